"""Settings of the Inference service."""

from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator

from services._server import ServiceSettings
from zeroloop.weights_store import checked_place


class InferenceSettings(ServiceSettings):
    """The Inference service: generates and scores with the model that is learning."""

    model: str = Field(min_length=1)
    """Folder of a Hugging Face causal language model, or `hf://ORG/NAME` to fetch one."""

    engine: Literal["vllm", "simulated"] = "vllm"
    """`simulated` answers without a model, for tests of everything else."""

    weights_uri: str = ""
    """Folder of the version to start from, with manifest.json, or its URL in a bucket; empty:
    those in `model`."""

    weights_version: int = Field(default=0, ge=0)
    """Version of the weights that the service starts with."""

    weights_digest: str = Field(default="", pattern="^([0-9a-f]{64})?$")
    """SHA-256 that the manifest.json in `weights_uri` must have; empty trusts what is there, and
    is not enough for a URL."""

    weights_pointer: str = ""
    """File or URL of an object that names the version to start from, see
    `zeroloop.weights_pointer`; as long as it is missing, `weights_uri` and `model` say so. For
    replicas that may restart at any time."""

    weights_cache: Path | None = None
    """Folder of this process alone for copies of versions that lie in a bucket. It needs room
    for three of them, and for five if callers stage many; unset: a temporary folder."""

    parity_max: float = Field(default=1e-3, gt=0, le=10)
    """Largest difference from the trainer's log-probabilities on a version's probe, nats,
    where the caller of Apply names none. Raise it for bfloat16."""

    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """Of the engine's arithmetic; `auto` is float32 on a CPU and bfloat16 on a GPU."""

    context_tokens: int = Field(default=0, ge=0)
    """Longest prompt and completion together; 0: what the model was made for."""

    sequences_concurrent_max: int = Field(default=256, ge=1, le=4096)
    """Sequences decoded at once; more wait in the engine's queue."""

    tensor_parallel_size: int = Field(default=1, ge=1, le=64)
    """GPUs that one engine spreads over; on CPUs, processes."""

    gpu_memory_ratio: float = Field(default=0.9, gt=0, le=1)
    """Share of a GPU's memory that the engine takes."""

    sleep_mode: bool = False
    """Allow Sleep, which frees a GPU for a trainer that takes turns with the engine. On a CPU
    the engine rests then and its memory stays."""

    kv_cache_mib: int = Field(default=1024, ge=16)
    """Memory for attention keys and values on a CPU."""

    threads: int = Field(default=0, ge=0, le=1024)
    """OpenMP threads of the engine on a CPU; 0: all cores but one, which the rest needs."""

    calls_max: int = Field(default=256, ge=1, le=65536)
    """Generate and Score calls open at once; the next one gets RESOURCE_EXHAUSTED."""

    restarts_max: int = Field(default=3, ge=0, le=100)
    """Times that a dead engine is started again within `restart_window_s`; the next death
    ends the process, non-zero, for its supervisor to decide."""

    restart_window_s: float = Field(default=600.0, gt=0)
    """See `restarts_max`."""

    simulated_skill: float = Field(default=0.5, ge=0, le=1)
    """Simulated engine: share of tasks that it solves."""

    simulated_tokens_min: int = Field(default=0, ge=0, le=32_768)
    """Simulated engine: shortest response; reasoning is padded to reach it."""

    simulated_tokens_max: int = Field(default=0, ge=0, le=32_768)
    """Simulated engine: padding is drawn up to this length; 0: none."""

    simulated_tokens_per_s: float = Field(default=0.0, ge=0)
    """Simulated engine: speed of one sequence; 0: at once."""

    simulated_dies_after: int = Field(default=0, ge=0)
    """Simulated engine: completions until it dies, each time anew; 0: it lives."""

    _places = field_validator("weights_uri", "weights_pointer")(checked_place)
