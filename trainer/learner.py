"""Where model and optimiser live: DeepSpeed behind a few methods, all of them collective."""

import math
import os
import random
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import deepspeed
import torch
from torch import Tensor

from trainer.config import TrainerSettings
from trainer.group import Group
from trainer.loss import Objective, batch_loss, token_statistics
from trainer.microbatches import cut, padding_ratio, share
from trainer.model import context_tokens, load_model
from trainer.reports import LossSums, StepReport
from trainer.tensors import collate
from zeroloop.core.batches import BatchSequence
from zeroloop.errors import ConfigError, CorruptDataError

BUCKET_PARAMETERS_MAX = 100_000_000
"""Most gradient values that are reduced at once."""

_SHARDS = "shards"
_MUON = "deepspeed.runtime.zero.muon.muon_optimizer"


class Learner:
    """The weights being trained. Needs an initialised process group."""

    def __init__(
        self, settings: TrainerSettings, folder: Path, group: Group, device: torch.device
    ) -> None:
        self._settings = settings
        self._group = group
        self._device = device
        self.dtype = _dtype(settings.dtype, device)
        model: Any = load_model(
            folder, dtype=self.dtype, gradient_checkpointing=settings.gradient_checkpointing
        )
        self.context_tokens = context_tokens(model)
        self.vocabulary = int(model.config.get_text_config().vocab_size)
        self._rows_max = max(1, settings.logits_mib * (1 << 20) // (4 * self.vocabulary))
        self._objective = Objective(
            clip=settings.clip,
            entropy_coef=settings.entropy_coef,
            importance_bound=settings.importance_bound if settings.max_staleness else None,
        )
        self._engine: Any = deepspeed.initialize(
            model=model,
            optimizer=_adamw(model, settings),
            config=deepspeed_config(
                settings, self.dtype, parameters=sum(p.numel() for p in model.parameters())
            ),
            dist_init_required=False,
        )[0]

    def step(
        self, sequences: Sequence[BatchSequence], *, cancelled: Callable[[], bool]
    ) -> StepReport | None:
        """Take one optimiser step over the whole batch.

        Args:
            cancelled: Asked between micro-batches, collectively. Once it says yes the step is
                given up, and the learner must not be used again but to `save` it.

        Returns:
            None if it was cancelled: the weights are as before.

        Raises:
            CorruptDataError: Loss or gradient is not finite; the learner is of no more use.
        """
        started = time.monotonic()
        micro_batches = cut(sequences, tokens_max=self._settings.micro_batch_tokens)
        mine = share(micro_batches, rank=self._group.rank, ranks=self._group.ranks)
        sums = LossSums()
        for index, micro_batch in enumerate(mine):
            if cancelled():
                return None
            tokens = collate(micro_batch).to(self._device)
            self._engine.set_gradient_accumulation_boundary(index == len(mine) - 1)
            loss, its_sums = batch_loss(
                self._logits(tokens.tokens_BT), tokens, self._objective, rows_max=self._rows_max
            )
            _require_finite(its_sums.loss, "loss")
            # DeepSpeed averages gradients over ranks; the loss is a sum.
            self._engine.backward(loss * self._group.ranks, scale_wrt_gas=False)
            sums += its_sums
        self._engine.step()
        grad_norm = float(self._engine.get_global_grad_norm() or 0.0)
        _require_finite(grad_norm, "norm of the gradient")
        return StepReport(
            sums=sum(self._group.gather(sums), LossSums()),
            grad_norm=grad_norm,
            padding=padding_ratio(micro_batches),
            duration_s=time.monotonic() - started,
        )

    def logprobs(self, sequences: Sequence[BatchSequence]) -> list[tuple[float, ...]]:
        """Return the log-probabilities of each sequence's response under the current weights."""
        found: list[tuple[float, ...]] = []
        with torch.no_grad():
            for sequence in sequences:
                tokens = collate((sequence,)).to(self._device)
                logits_NV = self._logits(tokens.tokens_BT)[tokens.rows_N, tokens.columns_N]
                logprobs_N, _ = token_statistics(
                    logits_NV, tokens.targets_N, rows_max=self._rows_max
                )
                found.append(tuple(logprobs_N.tolist()))
        return found

    def write_weights(self, folder: Path) -> None:
        """Write config and weights in Hugging Face format; rank 0 writes, all take part."""
        tensors = self._gathered()
        if self._group.rank == 0:
            self._engine.module.save_pretrained(
                folder,
                state_dict=tensors,
                max_shard_size=self._settings.shard_mib << 20,
            )

    def save(self, folder: Path) -> None:
        """Write model, optimiser and random state of every rank into an existing folder."""
        self._engine.save_checkpoint(str(folder), tag=_SHARDS, save_latest=False)
        torch.save(_random_state(), folder / f"random-{self._group.rank}.pt")

    def load(self, folder: Path) -> None:
        """Restore what `save` wrote, bit for bit."""
        loaded, _ = self._engine.load_checkpoint(str(folder), tag=_SHARDS)
        if loaded is None:
            raise FileNotFoundError(f"{folder} holds no DeepSpeed checkpoint")
        # Written by this program alone, into a folder of its user's.
        state = torch.load(folder / f"random-{self._group.rank}.pt", weights_only=False)
        _restore_random_state(state)

    def _logits(self, tokens_BT: Tensor) -> Tensor:
        return self._engine(input_ids=tokens_BT, use_cache=False).logits

    def _gathered(self) -> dict[str, Tensor]:
        """Whole tensors by name on rank 0, tied ones once; empty on the others."""
        module = self._engine.module
        stored = module.state_dict().keys()
        tensors = {name: buffer for name, buffer in module.named_buffers() if name in stored}
        for name, parameter in module.named_parameters():
            with deepspeed.zero.GatheredParameters(
                [parameter], enabled=self._settings.zero_stage == 3
            ):
                if self._group.rank == 0:
                    tensors[name] = parameter.detach().to("cpu", copy=True)
        return tensors


def deepspeed_config(
    settings: TrainerSettings, dtype: torch.dtype, *, parameters: int
) -> dict[str, Any]:
    """Return DeepSpeed's configuration.

    Micro-batches differ in number and size, so the boundary of accumulation is set by hand
    and DeepSpeed counts one micro-batch per step.
    """
    # DeepSpeed allocates whole buckets for every pass; its default is 2 GB in 32 bits.
    bucket = min(parameters, BUCKET_PARAMETERS_MAX)
    config: dict[str, Any] = {
        "train_micro_batch_size_per_gpu": 1,
        "gradient_accumulation_steps": 1,
        "gradient_clipping": settings.gradient_clip,
        "zero_optimization": {
            "stage": settings.zero_stage,
            "reduce_bucket_size": bucket,
            "allgather_bucket_size": bucket,
        },
        "zero_allow_untested_optimizer": True,
        "steps_per_print": 1 << 60,
        "wall_clock_breakdown": False,
    }
    if dtype == torch.bfloat16:
        config["bf16"] = {"enabled": True}
        # Else small gradients of late micro-batches vanish in the sum.
        config["data_types"] = {"grad_accum_dtype": "fp32"}
    return config


def prepare_process(settings: TrainerSettings, *, local_rank: int, ranks_here: int) -> torch.device:
    """Set threads, seeds and determinism of this process; return its device.

    Raises:
        ConfigError: CUDA was asked for and there is none.
    """
    torch.set_num_threads(settings.threads or max(1, (os.cpu_count() or 1) // ranks_here))
    random.seed(settings.seed)
    torch.manual_seed(settings.seed)
    device = _device(settings.device, local_rank)
    if device.type == "cuda":
        torch.cuda.set_device(device)
        # Its backward pass is not deterministic, and torch would refuse it.
        torch.backends.cuda.enable_mem_efficient_sdp(not settings.deterministic)
    torch.use_deterministic_algorithms(settings.deterministic or device.type == "cpu")
    # It would fill every new tensor, which is for finding reads of unset memory.
    deterministic: Any = torch.utils.deterministic
    deterministic.fill_uninitialized_memory = False
    return device


def without_compilers() -> None:
    """Keep DeepSpeed from compiling; call it before anything of it is initialised.

    Its shared-memory collectives need a compiler and a minute, and a build that is killed
    leaves a lock that hangs every later start. Its Muon optimiser, which is not used, loads
    torch's whole compiler stack just to be compared with ours.
    """
    ops: Any = deepspeed.ops
    ops.__compatible_ops__ = {}
    stand_in: Any = ModuleType(_MUON)
    stand_in.MuonWithAuxAdam = type("MuonWithAuxAdam", (), {})
    sys.modules.setdefault(_MUON, stand_in)


def _require_finite(value: float, name: str) -> None:
    if not math.isfinite(value):
        raise CorruptDataError(
            f"the {name} is {value}; nothing was saved or published. Lower learning_rate, or "
            "start from an earlier version of the weights"
        )


def _device(wanted: str, local_rank: int) -> torch.device:
    if wanted == "cpu" or (wanted == "auto" and not torch.cuda.is_available()):
        return torch.device("cpu")
    if not torch.cuda.is_available():
        raise ConfigError("device cuda was asked for, but torch sees no GPU; use device=cpu")
    if local_rank >= torch.cuda.device_count():
        raise ConfigError(
            f"rank {local_rank} of this node has no GPU of its own: there are "
            f"{torch.cuda.device_count()}; lower ranks"
        )
    return torch.device("cuda", local_rank)


def _dtype(wanted: str, device: torch.device) -> torch.dtype:
    if wanted == "auto":
        return torch.float32 if device.type == "cpu" else torch.bfloat16
    return {"float32": torch.float32, "bfloat16": torch.bfloat16}[wanted]


def _adamw(model: torch.nn.Module, settings: TrainerSettings) -> torch.optim.AdamW:
    return torch.optim.AdamW(
        model.parameters(),
        lr=settings.learning_rate,
        betas=(settings.adam_beta1, settings.adam_beta2),
        eps=settings.adam_eps,
        weight_decay=settings.weight_decay,
    )


def _random_state() -> dict[str, Any]:
    state: dict[str, Any] = {"python": random.getstate(), "torch": torch.get_rng_state()}
    if torch.cuda.is_available():
        state["cuda"] = torch.cuda.get_rng_state()
    return state


def _restore_random_state(state: dict[str, Any]) -> None:
    random.setstate(state["python"])
    torch.set_rng_state(state["torch"])
    if "cuda" in state and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["cuda"])
