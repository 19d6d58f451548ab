"""The asynchronous face of the SDK; `zeroloop.connect` is the same for blocking callers.

    async with zeroloop.aio.connect("localhost:7070") as z:
        run = await z.runs.create(model="models/seedling", preset="seedling", rounds=30, seed=7)
        async for event in run.watch():
            print(event.round, event.stage)

Every method raises errors of `zeroloop.Error` alone, and every method may be repeated.
"""

import asyncio
import uuid
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from zeroloop._results import Execution, RunView
from zeroloop._switchboard import Switchboard
from zeroloop._weights_folder import export_weights
from zeroloop.client.token import load_token
from zeroloop.core import runs as values
from zeroloop.core.batches import Weights
from zeroloop.core.execution import Limits, Program
from zeroloop.core.generation import Completion, Prompt, Sampling
from zeroloop.core.rounds import Record, Round, Stage
from zeroloop.core.runs import Endpoints, RunEvent, RunSpec
from zeroloop.core.stored_tasks import StoredTask
from zeroloop.core.tasks import Kind
from zeroloop.errors import UnavailableError

__all__ = ["Client", "Rounds", "Run", "Runs", "Tasks", "WeightsVersions", "connect"]

PAGE_SIZE = 500
"""Items asked for in one message; lists are read page by page."""

RECONNECTS_MAX = 5
"""Times in a row that a watch is begun anew without hearing anything."""

RECONNECT_AFTER_S = 1.0


def connect(address: str, token: str | None = None) -> "Client":
    """Connect to a controller; it names the other services. Nothing is sent yet.

    Args:
        address: gRPC target of the controller, for instance `localhost:7070`.
        token: Default: ZEROLOOP_TOKEN, the file that ZEROLOOP_TOKEN_FILE names, the local
            token file.

    Raises:
        AuthError: There is no token.
    """
    return Client(Switchboard(load_token(token), controller=address))


def connect_services(endpoints: Endpoints, token: str | None = None) -> "Client":
    """Connect to services whose addresses are known, without a controller."""
    return Client(Switchboard(load_token(token), endpoints=endpoints))


class Client:
    """A connection to the platform. Use it in `async with`, or close it."""

    def __init__(self, switchboard: Switchboard) -> None:
        self._switchboard = switchboard
        self.runs = Runs(switchboard)
        self.tasks = Tasks(switchboard)
        self.rounds = Rounds(switchboard)
        self.weights = WeightsVersions(switchboard)

    async def exec(
        self,
        source: str,
        inputs: Sequence[str] = ("",),
        *,
        limits: Limits | None = None,
        check_determinism: bool = True,
        run: str = "",
    ) -> Execution:
        """Run a program in the sandbox, once per input.

        A program that fails or is killed at a limit is a result and not an error.

        Args:
            source: Python text that defines `f`.
            inputs: Argument lists as literals, for instance `"'abc', 2"`; at most 64.
            limits: On each run; None takes the service's defaults.
            check_determinism: Run each input twice and compare; see `Execution.deterministic`.
            run: Use the sandbox of this run.
        """
        client = await self._switchboard.execution(run)
        program = Program(source, tuple(inputs), check_determinism=check_determinism)
        results = [result async for result in client.execute([program], limits)]
        return Execution(tuple(sorted(results, key=lambda result: result.input_index)))

    async def generate(
        self,
        prompts: str | Sequence[str],
        *,
        max_tokens: int = 256,
        n: int = 1,
        temperature: float = 1.0,
        top_p: float = 1.0,
        seed: int | None = None,
        logprobs: bool = False,
        run: str = "",
    ) -> list[list[Completion]]:
        """Let the model that is learning complete prompts.

        Args:
            prompts: One or more texts.
            max_tokens: Most tokens of one completion.
            n: Completions per prompt.
            temperature: 0 is greedy.
            top_p: Nucleus of sampling; 1 is off.
            seed: Makes the samples reproducible under the same weights.
            logprobs: Also return the log-probability of each token.
            run: Use the model of this run.

        Returns:
            For each prompt, in order, its `n` completions.
        """
        texts = [prompts] if isinstance(prompts, str) else list(prompts)
        # Far enough apart that no two samples of different prompts share a seed.
        asked = [
            Prompt(text=text, seed=None if seed is None else seed + index * n)
            for index, text in enumerate(texts)
        ]
        sampling = Sampling(
            max_tokens=max_tokens, n=n, temperature=temperature, top_p=top_p, logprobs=logprobs
        )
        client = await self._switchboard.inference(run)
        grouped: list[list[Completion]] = [[] for _ in texts]
        async for completion in client.generate(asked, sampling):
            grouped[completion.prompt_index].append(completion)
        return [sorted(group, key=lambda c: c.sample_index) for group in grouped]

    async def close(self) -> None:
        """Close the connection; calls in flight are cancelled."""
        await self._switchboard.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()


class Run(RunView):
    """A run as it stood at the last look, and what can be done with it."""

    def __init__(self, switchboard: Switchboard, value: values.Run) -> None:
        self._switchboard = switchboard
        self._value = value

    @property
    def value(self) -> values.Run:
        """Everything that is known of the run."""
        return self._value

    async def refresh(self) -> Self:
        """Look again."""
        self._value = await self._switchboard.runs().get_run(self.name)
        return self

    async def watch(self) -> AsyncGenerator[RunEvent]:
        """Yield what happens until the run ends, or is suspended and someone stops watching.

        The run itself is kept up to date meanwhile. A lost connection is taken up again.

        Raises:
            UnavailableError: The controller stays away.
        """
        silent = 0
        while True:
            updates = self._switchboard.runs().watch_run(self.name)
            try:
                async for update in updates:
                    silent = 0
                    self._value = update.run or self._value
                    if update.event is not None:
                        yield update.event
                return
            except UnavailableError:
                silent += 1
                if silent > RECONNECTS_MAX:
                    raise
                await asyncio.sleep(RECONNECT_AFTER_S)

    async def wait(self) -> Self:
        """Return when the run has ended."""
        async with aclosing(self.watch()) as events:
            async for _ in events:
                pass
        return await self.refresh()

    async def suspend(self) -> Self:
        """Let the present stage end, then play no further until `resume`."""
        self._value = await self._switchboard.runs().suspend_run(self.name)
        return self

    async def resume(self, *, rounds: int = 0) -> Self:
        """Go on at the first missing stage; `rounds` in all, 0 leaves it."""
        self._value = await self._switchboard.runs().resume_run(self.name, rounds=rounds)
        return self

    async def stop(self, *, resumable: bool = False) -> Self:
        """Stop within seconds, for good or until `resume`."""
        self._value = await self._switchboard.runs().stop_run(self.name, resumable=resumable)
        return self


class Runs:
    """Runs of self-play."""

    def __init__(self, switchboard: Switchboard) -> None:
        self._switchboard = switchboard

    async def create(
        self,
        *,
        model: str,
        rounds: int,
        preset: str = "paper",
        seed: int = 0,
        name: str = "",
        settings: Mapping[str, Any] | None = None,
        heldout: str = "",
        request_id: str = "",
    ) -> Run:
        """Create a run and start to play it.

        Args:
            model: Folder of a Hugging Face causal language model, or `hf://ORG/NAME`.
            rounds: To play in all, at least 1.
            preset: `paper` or `seedling`.
            seed: Drives every random choice.
            name: Lower-case letters, digits and hyphens; empty: made up.
            settings: What differs from the preset, by name as in docs/reference/settings.md.
            heldout: JSONL of held-out tasks; empty: the model folder's heldout.jsonl.
            request_id: Repeating it returns the same run; empty: a fresh one.

        Raises:
            InvalidRequestError: A setting is unknown or out of range; names each one.
            AlreadyExistsError: A run of this name has another spec.
        """
        spec = RunSpec(
            model=model,
            rounds=rounds,
            preset=preset,
            seed=seed,
            settings=dict(settings or {}),
            heldout=heldout,
        )
        request_id = request_id or uuid.uuid4().hex
        value = await self._switchboard.runs().create_run(spec, request_id=request_id, name=name)
        return Run(self._switchboard, value)

    async def get(self, name: str) -> Run:
        """Return a run by its name."""
        return Run(self._switchboard, await self._switchboard.runs().get_run(name))

    async def list(self, *, limit: int | None = None) -> list[Run]:
        """Return runs, newest first; at most `limit`."""
        found: list[values.Run] = []
        page_token = ""
        while limit is None or len(found) < limit:
            page = await self._switchboard.runs().list_runs(page_token=page_token)
            found += page.runs
            page_token = page.next_page_token
            if not page_token:
                break
        return [Run(self._switchboard, value) for value in found[:limit]]

    async def suspend(self, name: str) -> Run:
        """Let the present stage of a run end, then play no further until `resume`."""
        return await (await self.get(name)).suspend()

    async def resume(self, name: str, *, rounds: int = 0) -> Run:
        """Go on at the first missing stage; `rounds` in all, 0 leaves it."""
        return await (await self.get(name)).resume(rounds=rounds)

    async def stop(self, name: str, *, resumable: bool = False) -> Run:
        """Stop a run within seconds, for good or until `resume`."""
        return await (await self.get(name)).stop(resumable=resumable)


class Tasks:
    """The verified tasks that the model has proposed."""

    def __init__(self, switchboard: Switchboard) -> None:
        self._switchboard = switchboard

    async def get(self, task_id: str, *, run: str = "") -> StoredTask:
        """Return one task with its history."""
        return await (await self._switchboard.buffer(run)).tasks.get(task_id)

    async def list(
        self,
        *,
        run: str,
        kind: Kind | str | None = None,
        success_rate: tuple[float, float] | None = None,
        rounds: tuple[int, int] | None = None,
        limit: int | None = None,
    ) -> list[StoredTask]:
        """Return tasks, newest first.

        Args:
            run: Whose tasks.
            kind: `abduction`, `deduction` or `induction`; None: all.
            success_rate: Lowest and highest share of attempts that solved it, inclusive.
            rounds: First and last round of admission.
            limit: At most so many.
        """
        low, high = success_rate or (None, None)
        first, last = rounds or (None, None)
        client = (await self._switchboard.buffer(run)).tasks
        found: list[StoredTask] = []
        page_token = ""
        while limit is None or len(found) < limit:
            page = await client.list(
                run,
                kind=None if kind is None else _kind(kind),
                success_rate_min=low,
                success_rate_max=high,
                round_min=first,
                round_max=last,
                page_size=PAGE_SIZE if limit is None else min(PAGE_SIZE, limit - len(found)),
                page_token=page_token,
            )
            found += page.tasks
            page_token = page.next_page_token
            if not page_token:
                break
        return found[:limit]


class Rounds:
    """Rounds of self-play, as they are stored."""

    def __init__(self, switchboard: Switchboard) -> None:
        self._switchboard = switchboard

    async def get(self, run: str, round_index: int) -> Round:
        """Return one round."""
        return await (await self._switchboard.buffer(run)).rounds.get(run, round_index)

    async def list(self, *, run: str) -> list[Round]:
        """Return all rounds of a run, oldest first."""
        client = (await self._switchboard.buffer(run)).rounds
        page = await client.list(run, page_size=PAGE_SIZE)
        found = list(page.rounds)
        while page.next_page_token:
            page = await client.list(run, page_size=PAGE_SIZE, page_token=page.next_page_token)
            found += page.rounds
        return found

    async def records(
        self, run: str, round_index: int, stage: Stage | str
    ) -> AsyncGenerator[Record]:
        """Yield what a stage of a round has stored: episodes, verdicts, estimates, rewards.

        Raises:
            NotFoundError: The stage is not stored.
            FailedPreconditionError: It was pruned.
        """
        client = (await self._switchboard.buffer(run)).rounds
        async with aclosing(client.get_stage(run, round_index, Stage(stage))) as records:
            async for record in records:
                yield record

    async def prune(self, run: str, *, keep_rounds: int) -> int:
        """Remove tokens and stages of all but the newest rounds; return how many it pruned."""
        return await (await self._switchboard.buffer(run)).rounds.prune(
            run, keep_rounds=keep_rounds
        )


class WeightsVersions:
    """The versions of a run's weights."""

    def __init__(self, switchboard: Switchboard) -> None:
        self._switchboard = switchboard

    async def get(self, run: str, version: int | None = None) -> Weights:
        """Return one version; None: the newest."""
        return await (await self._switchboard.buffer(run)).weights.get(run, version)

    async def list(self, *, run: str) -> list[Weights]:
        """Return all versions that are kept, newest first."""
        client = (await self._switchboard.buffer(run)).weights
        page = await client.list(run, page_size=PAGE_SIZE)
        found = list(page.weights)
        while page.next_page_token:
            page = await client.list(run, page_size=PAGE_SIZE, page_token=page.next_page_token)
            found += page.weights
        return found

    async def export(self, folder: str | Path, *, run: str, version: int | None = None) -> Weights:
        """Copy a version as a Hugging Face folder, verified file by file.

        Args:
            folder: Must not exist; it appears whole or not at all.
            run: Whose weights.
            version: None: the newest.

        Raises:
            CorruptDataError: A file does not match its digest; nothing is left behind.
            AlreadyExistsError: `folder` exists.
        """
        weights = await self.get(run, version)
        await asyncio.to_thread(export_weights, weights, Path(folder))
        return weights


def _kind(kind: Kind | str) -> Kind:
    from zeroloop.errors import invalid

    try:
        return Kind(kind)
    except ValueError:
        raise invalid("kind", f"must be one of {', '.join(Kind)}, got {kind!r}") from None
