"""The real engine: vLLM's `AsyncLLM`, its core in a process of its own.

The same code for CPUs and GPUs; what it is started with differs, see `vllm_options`.
"""

import asyncio
import itertools
import threading
from array import array
from collections.abc import AsyncGenerator, Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from services.inference.engine.base import Drawn, EngineInfo
from services.inference.engine.vllm_options import (
    VllmSettings,
    engine_arguments,
    installed_version,
)
from services.inference.model_folder import tokenizer_digest
from zeroloop.core.generation import FinishReason, Sampling, WeightsSpan
from zeroloop.errors import ConfigError, InternalError, UnavailableError

if TYPE_CHECKING:
    from vllm import RequestOutput, SamplingParams
    from vllm.v1.engine.async_llm import AsyncLLM

T = TypeVar("T")

WATCH_EVERY_S = 0.25
"""How often to look whether the engine lives; a call in flight learns at once."""

SHUTDOWN_S = 5.0
"""How long the engine's processes may take to end."""

_SCHEDULERS = {
    False: "services.inference.engine.vllm_scheduler.GatheringScheduler",
    True: "services.inference.engine.vllm_scheduler.AsyncGatheringScheduler",
}
"""By whether the engine plans ahead; imported by its core only."""

_REASONS = {"stop": FinishReason.STOP, "length": FinishReason.LENGTH}


class VllmEngine:
    """An `AsyncLLM` as an `Engine`. Make one with `launch`."""

    def __init__(self, llm: "AsyncLLM", info: EngineInfo) -> None:
        self._llm = llm
        self._info = info
        self._tokenizer: Any = llm.get_tokenizer()
        self._ids = itertools.count()
        self._closed = False

    @classmethod
    async def launch(
        cls, folder: str, weights_version: int, settings: VllmSettings
    ) -> "VllmEngine":
        """Start an engine with the model and the weights in `folder`, or a hub id.

        Takes 15 to 60 s. `prepare_environment` came before.

        Raises:
            ConfigError: vLLM is not installed, or refuses the model.
        """
        llm = await _in_daemon_thread(lambda: _start(folder, settings))
        try:
            await llm.update_weight_version(str(weights_version))
            return cls(llm, _info(llm, folder, settings))
        except BaseException:
            llm.shutdown(timeout=0)
            raise

    @property
    def info(self) -> EngineInfo:
        """What this engine is."""
        return self._info

    def encode(self, text: str) -> list[int]:
        """Return the tokens of `text`."""
        return list(self._tokenizer.encode(text))

    def decode(self, token_ids: Sequence[int]) -> str:
        """Return the text of `token_ids` without special tokens."""
        return self._tokenizer.decode(list(token_ids), skip_special_tokens=True)

    async def draw(self, token_ids: Sequence[int], sampling: Sampling, seed: int | None) -> Drawn:
        """Return one sample that follows `token_ids`."""
        params = _sampling_params(
            max_tokens=sampling.max_tokens,
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            top_k=max(sampling.top_k, 0),
            seed=seed,
            logprobs=0 if sampling.logprobs else None,
        )
        output = (await self._run(token_ids, params)).outputs[0]
        reason = _REASONS.get(output.finish_reason or "")
        if reason is None:
            raise UnavailableError(
                f"the engine ended a sample for the reason {output.finish_reason!r}; retry"
            )
        logprobs: Any = output.logprobs
        return Drawn(
            token_ids=array("i", output.token_ids),
            logprobs=array("f", logprobs.logprobs if sampling.logprobs else ()),
            finish_reason=reason,
            weights=tuple(
                WeightsSpan(int(span.version), span.start, span.end)
                for span in output.weight_versions or ()
            ),
        )

    async def score(self, token_ids: Sequence[int], prompt_tokens: int) -> Sequence[float]:
        """Return the log-probabilities of `token_ids[prompt_tokens:]`.

        All but the last token are a prompt whose log-probabilities vLLM returns; the last
        one is asked for as an alternative to the token sampled after them. So a sequence
        may fill the whole context, where vLLM wants room for one more token.
        """
        *head, last = token_ids
        params = _sampling_params(max_tokens=1, prompt_logprobs=0, logprob_token_ids=[last])
        output = await self._run(head, params)
        # Flat lists: one entry per head token but the first, which nothing precedes.
        of_head: Any = output.prompt_logprobs
        of_last: Any = output.outputs[0].logprobs
        if len(of_head.logprobs) != len(head) - 1 or of_last.token_ids[1] != last:
            raise InternalError(
                f"vLLM returned {len(of_head.logprobs)} log-probabilities for {len(head)} tokens"
            )
        return array("f", [*of_head.logprobs[prompt_tokens - 1 :], of_last.logprobs[1]])

    async def load_weights(self, folder: str, version: int) -> None:
        """Replace the weights in place.

        A reload that fails leaves tensors without storage; the engine stays paused then, as
        one step with them would kill it, until another load succeeds.
        """
        try:
            await self._llm.pause_generation(mode="wait", clear_cache=True)
            await self._llm.collective_rpc("reload_everything", args=(folder,))
            await self._llm.update_weight_version(str(version))
            await self._llm.resume_generation()
        except Exception as error:
            raise self._translated(error, f"weights in {folder} did not load") from error

    async def sleep(self) -> None:
        """Move the weights to the host's memory and drop the cache; a CPU has but one memory."""
        try:
            await self._llm.sleep(level=_sleep_level(), mode="wait")
        except Exception as error:
            raise self._translated(error, "the engine did not fall asleep") from error

    async def wake(self) -> None:
        """Move the weights back."""
        try:
            await self._llm.wake_up(tags=None if _sleep_level() else ["scheduling"])
        except Exception as error:
            raise self._translated(error, "the engine did not wake up") from error

    async def died(self) -> str:
        """Return when the engine is dead."""
        while not self._llm.errored:  # noqa: ASYNC110  vLLM has nothing to wait for
            await asyncio.sleep(WATCH_EVERY_S)
        return "a process of vLLM ended; its log has the cause"

    async def close(self) -> None:
        """End the engine's processes."""
        if not self._closed:
            self._closed = True
            await _in_daemon_thread(lambda: self._llm.shutdown(timeout=SHUTDOWN_S))

    async def _run(self, token_ids: Sequence[int], params: "SamplingParams") -> "RequestOutput":
        stream: AsyncGenerator[RequestOutput] = self._llm.generate(
            {"prompt_token_ids": list(token_ids)}, params, request_id=str(next(self._ids))
        )
        output: RequestOutput | None = None
        try:
            async for received in stream:
                output = received
        except Exception as error:
            raise self._translated(error, "the engine failed") from error
        if output is None or not output.finished:
            raise UnavailableError("the engine ended a request without an answer; retry")
        return output

    def _translated(self, error: Exception, what: str) -> Exception:
        from vllm.v1.engine.exceptions import EngineDeadError

        if isinstance(error, EngineDeadError) or self._llm.errored:
            return UnavailableError(f"the engine died; it is being restarted, retry ({error})")
        return InternalError(f"{what}: {error}")


def _start(folder: str, settings: VllmSettings) -> "AsyncLLM":
    try:
        from vllm import AsyncEngineArgs
        from vllm.usage.usage_lib import UsageContext
        from vllm.v1.engine.async_llm import AsyncLLM
    except ImportError as error:
        raise ConfigError(
            f"vLLM is not installed ({error}); `make setup` installs it, or use --engine simulated"
        ) from error
    try:
        arguments = AsyncEngineArgs(**engine_arguments(folder, settings))
        config = arguments.create_engine_config(UsageContext.ENGINE_CONTEXT)
        # Only now it is known, as the device has the last word.
        ahead = bool(config.scheduler_config.async_scheduling)
        config.scheduler_config.scheduler_cls = _SCHEDULERS[ahead]
        return AsyncLLM.from_vllm_config(config, disable_log_stats=arguments.disable_log_stats)
    except Exception as error:
        raise ConfigError(f"vLLM did not start with model {folder!r}: {error}") from error


def _sleep_level() -> int:
    """1: weights go to the host's memory. 0: there is no other memory, only work stops."""
    from vllm.platforms import current_platform

    return 0 if current_platform.is_cpu() else 1


def _sampling_params(**values: Any) -> "SamplingParams":
    from vllm import SamplingParams
    from vllm.sampling_params import RequestOutputKind

    # No text and flat lists: with them log-probabilities cost nothing.
    return SamplingParams(
        detokenize=False,
        flat_logprobs=True,
        output_kind=RequestOutputKind.FINAL_ONLY,
        **values,
    )


def _info(llm: "AsyncLLM", folder: str, settings: VllmSettings) -> EngineInfo:
    config = llm.model_config
    return EngineInfo(
        engine="vllm",
        engine_version=installed_version(),
        dtype=str(config.dtype).removeprefix("torch."),
        context_tokens=config.max_model_len,
        vocabulary_tokens=config.get_vocab_size(),
        sequences_concurrent_max=settings.sequences_concurrent_max,
        eos_token_ids=_eos_token_ids(llm),
        tokenizer_digest=tokenizer_digest(_local(folder)),
    )


def _eos_token_ids(llm: "AsyncLLM") -> tuple[int, ...]:
    """Those of the tokenizer, then those that the generation config adds, as vLLM stops."""
    of_tokenizer: int | None = llm.get_tokenizer().eos_token_id
    of_config: Any = llm.model_config.try_get_generation_config().get("eos_token_id")
    more: list[int | None] = of_config if isinstance(of_config, list) else [of_config]
    found = [token for token in (of_tokenizer, *more) if token is not None]
    return tuple(dict.fromkeys(found))


def _local(folder: str) -> Path:
    """Where the files of `folder` are on disk, be it a hub id."""
    if Path(folder).is_dir():
        return Path(folder)
    from huggingface_hub import snapshot_download

    return Path(snapshot_download(folder, local_files_only=True))


async def _in_daemon_thread(work: Callable[[], T]) -> T:
    """Run `work`, which blocks, in a thread that does not keep the process from ending.

    A stop that arrives while the engine loads would otherwise wait for it.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()

    def settle(result: T | None, error: BaseException | None) -> None:
        if done.cancelled():
            return
        if error is not None:
            done.set_exception(error)
        else:
            done.set_result(result)  # pyright: ignore[reportArgumentType]

    def run() -> None:
        try:
            result, error = work(), None
        except BaseException as raised:  # noqa: BLE001  handed to whoever waits
            result, error = None, raised
        if not loop.is_closed():
            loop.call_soon_threadsafe(settle, result, error)

    threading.Thread(target=run, name="engine", daemon=True).start()
    return await done
