"""The base model, loaded for training."""

from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM
from transformers.utils import logging as transformers_logging

from zeroloop.errors import ConfigError


def load_model(folder: Path, *, dtype: torch.dtype, gradient_checkpointing: bool) -> Any:
    """Load the model for training, without dropout.

    Raises:
        ConfigError: The files are not those of a causal language model.
    """
    transformers_logging.disable_progress_bar()
    try:
        config = AutoConfig.from_pretrained(folder, local_files_only=True)
        _switch_off_dropout(config)
        model: Any = AutoModelForCausalLM.from_pretrained(
            folder, config=config, dtype=dtype, local_files_only=True
        )
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise ConfigError(f"model folder {folder} cannot be loaded: {error}") from error
    if gradient_checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    # Training mode only switches on what was asked for: dropout is off by configuration.
    model.train(gradient_checkpointing)
    return model


def context_tokens(model: Any) -> int:
    """The longest sequence that the model can see."""
    return int(getattr(model.config, "max_position_embeddings", 1 << 30))


def _switch_off_dropout(config: Any) -> None:
    # The trainer's log-probabilities have to be those of the engine, which knows no dropout.
    for name, value in vars(config).items():
        if isinstance(value, float) and ("dropout" in name or name.endswith(("_pdrop", "_drop"))):
            setattr(config, name, 0.0)
