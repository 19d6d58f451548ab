"""Command lines of the processes of a run, the same wherever they are started."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from services.controller.options import Settings
from services.controller.store import RunFolder
from zeroloop.core.runs import Run


def inference_flags(settings: Settings, model: str) -> dict[str, Any]:
    """What an engine of this run is told, wherever it listens."""
    options = settings.play.inference
    return {
        "model": model,
        "engine": options.engine,
        "parity_max": options.parity_max,
        "sleep_mode": settings.play.training.colocate,
    }


def trainer_flags(
    run: Run,
    settings: Settings,
    folder: RunFolder,
    *,
    model: str,
    buffer: str,
    token_file: Path,
    last_round: int,
) -> dict[str, Any]:
    """What the trainer of this run is told.

    Args:
        run: Which run.
        settings: In force for it.
        folder: Where it keeps weights and checkpoints.
        model: Folder of the base model, or a hub id.
        buffer: gRPC target of the buffer.
        token_file: File with the token to present.
        last_round: With which it ends; 0: it does not.
    """
    algorithm, play = settings.algorithm, settings.play
    return {
        "run": run.name,
        "model": model,
        "buffer": buffer,
        "token_file": token_file,
        "weights_dir": folder.weights,
        "checkpoint_dir": folder.checkpoints,
        "clip": algorithm.clip,
        "entropy_coef": algorithm.entropy_coef,
        "max_staleness": play.pipeline.max_staleness,
        "importance_bound": algorithm.importance_bound,
        "learning_rate": algorithm.learning_rate,
        "adam_beta1": algorithm.beta_1,
        "adam_beta2": algorithm.beta_2,
        "weight_decay": algorithm.weight_decay,
        "gradient_clip": algorithm.grad_norm_max,
        "ranks": play.training.ranks,
        "zero_stage": play.training.zero_stage,
        "micro_batch_tokens": play.training.micro_batch_tokens,
        "deterministic": play.deterministic,
        "seed": run.spec.seed,
        "checkpoint_every_rounds": play.checkpoint.every_rounds,
        "last_round": last_round,
    }


def arguments(flags: Mapping[str, Any]) -> list[str]:
    """Flags as a command line has them; a false one is left out."""
    found: list[str] = []
    for name, value in flags.items():
        flag = f"--{name.replace('_', '-')}"
        if isinstance(value, bool):
            found += [flag] if value else []
        else:
            found += [flag, f"{value}"]
    return found
