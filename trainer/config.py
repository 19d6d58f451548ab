"""Settings of the trainer, and the checks that need more than one of them."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from services._server.settings import load_settings
from trainer.exits import ExitCode
from zeroloop.core import settings as options
from zeroloop.core import training
from zeroloop.weights_store import checked_place

SERVICE = "trainer"


def _of_a_run(option: str) -> Any:
    """A setting that a run's option sets: the same default, the same range."""
    low, high = options.bounds(option)
    return Field(default=options.default(option), ge=low, le=high)


_UNKNOWN_FLAG = 2
"""What argparse ends with."""


class TrainerSettings(BaseSettings):
    """Settings, read from flags and from the environment as `ZEROLOOP_TRAINER__<FIELD>`.

    Processes on several nodes come from torchrun's own `PET_*` variables.
    """

    model_config = SettingsConfigDict(
        extra="forbid", use_attribute_docstrings=True, protected_namespaces=()
    )

    # ---- what to train, and where things are

    run: str = Field(min_length=1, max_length=253)
    """Name of the run whose batches to lease."""

    model: str = Field(min_length=1)
    """Folder of the base model in Hugging Face format, or `hf://organisation/name`."""

    buffer: str = Field(min_length=1)
    """Address of the buffer service, for instance `127.0.0.1:7071` or `dns:///buffer:443`."""

    token_file: Path | None = None
    """File with the token to present; unset means what the SDK would use."""

    tls_ca_file: Path | None = None
    """PEM of who signs the buffer's certificate; unset: no TLS."""

    tls_cert_file: Path | None = None
    """PEM of the trainer's own certificate, for a buffer that wants one."""

    tls_key_file: Path | None = None
    """PEM of its key."""

    weights_dir: str = Field(min_length=1)
    """Folder of the run's weights, or URL of a prefix of a bucket for them, for instance
    `s3://bucket/weights/run`; version v lies below it as `v`."""

    weights_scratch: Path | None = None
    """With a bucket: folder of this process alone where versions are put together before they
    are uploaded, each of the model's size; unset: the system's temporary folder."""

    checkpoint_dir: Path
    """Folder of the checkpoints; on several nodes all of them must share it."""

    last_round: int = Field(default=0, ge=0)
    """Exit 0 once this round is trained, published, acknowledged and in a checkpoint; 0 trains
    until told to stop."""

    # ---- the objective (docs/reference/algorithm.md 7)

    clip: float = _of_a_run("clip")
    """Largest change of a token's probability ratio that is still rewarded."""

    entropy_coef: float = _of_a_run("entropy_coef")
    """Weight of the entropy bonus, a mean over tokens by the batch's token weights."""

    max_staleness: int = Field(default=0, ge=0, le=64)
    """Versions that a batch may lag behind. At 1 and more each token's weight is multiplied by
    min(trainer's probability / engine's probability, `importance_bound`)."""

    importance_bound: float = _of_a_run("importance_bound")
    """Bound of that factor, unitless."""

    # ---- the optimiser: AdamW

    learning_rate: float = _of_a_run("learning_rate")
    """Constant, without warm-up."""

    adam_beta1: float = _of_a_run("beta_1")
    """Decay of the gradient's running mean."""

    adam_beta2: float = _of_a_run("beta_2")
    """Decay of its running square."""

    adam_eps: float = Field(default=1e-8, gt=0, le=1)
    """Added to the root of the running square."""

    weight_decay: float = _of_a_run("weight_decay")
    """Decoupled, on every parameter."""

    gradient_clip: float = _of_a_run("grad_norm_max")
    """Largest norm of the whole gradient."""

    # ---- how it runs

    ranks: int = Field(default=1, ge=1, le=training.RANKS_MAX)
    """Processes on this node; one per GPU."""

    zero_stage: int = Field(default=2, ge=training.ZERO_STAGE_MIN, le=training.ZERO_STAGE_MAX)
    """DeepSpeed ZeRO: 2 shares out optimiser state and gradients, 3 the weights as well."""

    device: Literal["auto", "cpu", "cuda"] = "auto"
    """`auto` is cuda where there is one."""

    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    """Of the computation; the optimiser keeps 32-bit weights. `auto`: float32 on CPUs, else
    bfloat16."""

    micro_batch_tokens: int = Field(default=16_384, ge=16, le=training.MICRO_BATCH_TOKENS_MAX)
    """Tokens of one forward pass, padding included; the longest sequence must fit."""

    gradient_checkpointing: bool = False
    """Compute activations twice instead of keeping them: less memory, a third more time."""

    logits_mib: int = Field(default=1024, ge=1, le=1 << 16)
    """Memory for one block of 32-bit logits, mebibytes; what needs more is done in blocks."""

    threads: int = Field(default=0, ge=0, le=1024)
    """CPU threads of each rank; 0 shares out all cores of this node."""

    deterministic: bool = False
    """On GPUs: deterministic kernels only, which are slower. CPUs are always deterministic."""

    seed: int = Field(default=0, ge=0, lt=1 << 63)
    """Drives every random generator."""

    # ---- checkpoints and published weights

    checkpoint_every_rounds: int = Field(default=1, ge=1, le=training.CHECKPOINT_EVERY_ROUNDS_MAX)
    """Rounds between checkpoints. The buffer must keep the batches since the last one."""

    checkpoints_keep: int = Field(default=2, ge=1, le=100)
    """Newest checkpoints to keep."""

    probe_sequences: int = Field(default=8, ge=0, le=64)
    """Sequences of the batch whose log-probabilities are published, to check engines with."""

    shard_mib: int = Field(default=4096, ge=1, le=1 << 20)
    """Largest file of published weights, mebibytes."""

    # ---- waiting and failing

    poll_s: float = Field(default=20.0, ge=0.1, le=600)
    """Longest single wait for a batch; a stop request on another rank is seen after it."""

    lease_s: float = Field(default=60.0, ge=3, le=3600)
    """Lease of a batch, renewed every third of it while training."""

    unavailable_s: float = Field(default=300.0, ge=0)
    """How long the buffer may be unreachable before the trainer exits 75."""

    peers_s: float = Field(default=1800.0, ge=10)
    """How long a rank waits for the others before it exits 75."""

    # ---- observation

    ready_file: Path | None = None
    """Written, with the last applied round, once the trainer waits for its first batch."""

    telemetry_dir: Path | None = None
    """Folder for spans and metrics as JSON lines; unset means none. With
    OTEL_EXPORTER_OTLP_ENDPOINT set they go there too."""

    metrics_port: int | None = Field(default=None, ge=0, le=65535)
    """Port that answers Prometheus at /metrics, over plain HTTP and without a token, on each
    node; 0 lets the system choose one and the log say it, unset means none."""

    metrics_host: str = "127.0.0.1"
    """Address to listen on for that."""

    log_level: str = Field(default="INFO", pattern="^(DEBUG|INFO|WARNING|ERROR)$")
    """DEBUG, INFO, WARNING or ERROR."""

    exit_with_parent: bool = False
    """End when the process that started this one ends, whatever ended it."""

    _place = field_validator("weights_dir")(checked_place)


def load_trainer_settings(arguments: Sequence[str], environ: Mapping[str, str]) -> TrainerSettings:
    """Read the settings. `--print-config` and `--check-config` exit here.

    Raises:
        ConfigError: Names every setting that is unknown, missing or out of range.
    """
    try:
        return load_settings(
            SERVICE, TrainerSettings, arguments, environ, program="python -m trainer.launch"
        )
    except SystemExit as end:
        # An unknown flag is explained already; its code must say that a retry cannot help.
        sys.exit(ExitCode.CONFIG if end.code == _UNKNOWN_FLAG else end.code)


RUNTIME_ENVIRONMENT = {
    # Threads that wait by spinning would slow whatever else runs on these cores tenfold.
    "OMP_WAIT_POLICY": "passive",
    "GOMP_SPINCOUNT": "0",
    "KMP_BLOCKTIME": "0",
    # No compiler is needed: the optimiser is torch's own.
    "DS_BUILD_OPS": "0",
    "DS_LOG_LEVEL": "warning",
    # A failed rank must not hang the others.
    "TORCH_NCCL_ASYNC_ERROR_HANDLING": "1",
    # Without it cuBLAS may sum in another order each time.
    "CUBLAS_WORKSPACE_CONFIG": ":4096:8",
    "TRANSFORMERS_NO_ADVISORY_WARNINGS": "1",
    "TOKENIZERS_PARALLELISM": "false",
}
"""What torch and DeepSpeed read when they are imported; set before that, if unset."""
