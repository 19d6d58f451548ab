"""The asynchronous face of the SDK; `zeroloop.connect` is the same for blocking callers.

    async with zeroloop.aio.connect("localhost:7070") as z:
        run = await z.runs.create(model="models/seedling", preset="seedling", rounds=30, seed=7)
        async for event in run.watch():
            print(event.round, event.stage)

Every method raises errors of `zeroloop.Error` alone, and every method may be repeated.
"""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from pathlib import Path
from types import TracebackType
from typing import Self

from zeroloop._results import Execution
from zeroloop._runs import Run, Runs
from zeroloop._switchboard import Switchboard
from zeroloop._weights_folder import export_weights
from zeroloop.client.channel import Access
from zeroloop.client.tls import Tls, load_tls
from zeroloop.client.token import load_token
from zeroloop.core.batches import Weights
from zeroloop.core.execution import Limits, Program
from zeroloop.core.generation import Completion, Prompt, Sampling
from zeroloop.core.rounds import Record, Round, Stage
from zeroloop.core.runs import Endpoints, Promotion
from zeroloop.core.stored_tasks import StoredTask
from zeroloop.core.tasks import Kind
from zeroloop.errors import invalid

__all__ = ["Client", "Rounds", "Run", "Runs", "Tasks", "WeightsVersions", "connect"]

PAGE_SIZE = 500
"""Items asked for in one message; lists are read page by page."""


def connect(
    address: str, token: str | None = None, *, ca_file: str | Path | None = None
) -> "Client":
    """Connect to a controller; it names the other services. Nothing is sent yet.

    Args:
        address: gRPC target of the controller, for instance `localhost:7070`.
        token: Default: ZEROLOOP_TOKEN, the file that ZEROLOOP_TOKEN_FILE names, the local
            token file.
        ca_file: PEM of who signs the platform's certificates, which turns TLS on; "" turns it
            off. Default: ZEROLOOP_CA_FILE, see docs/how-to/tokens.md.

    Raises:
        AuthError: There is no token.
        ConfigError: `ca_file` is not a PEM file.
    """
    access = Access(load_token(token), load_tls(ca_file))
    return Client(Switchboard(access, controller=address))


def connect_services(
    endpoints: Endpoints, token: str | None = None, *, tls: Tls | None = None
) -> "Client":
    """Connect to services whose addresses are known, without a controller."""
    return Client(Switchboard(Access(load_token(token), tls), endpoints=endpoints))


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
        async with aclosing(client.generate(asked, sampling)) as completions:
            async for completion in completions:
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

    async def promote(
        self, *, run: str, version: int | None = None, inference_service: str = ""
    ) -> Promotion:
        """Keep a version for ever, and hand it to an InferenceService of KServe's.

        Args:
            run: Whose weights.
            version: None: the newest.
            inference_service: On Kubernetes: whose `storageUri` it becomes; empty: nobody's.

        Raises:
            FailedPreconditionError: The installation does not allow that InferenceService.
        """
        if version is None:
            version = (await self.get(run)).version
        return await self._switchboard.runs().promote_weights(
            run, version, inference_service=inference_service
        )


def _kind(kind: Kind | str) -> Kind:
    try:
        return Kind(kind)
    except ValueError:
        raise invalid("kind", f"must be one of {', '.join(Kind)}, got {kind!r}") from None
