"""Pretraining of the seedling on the grammar's text."""

import hashlib
import logging
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from models.recipe.batches import Batch, batches
from models.recipe.muon import Muon
from models.recipe.settings import RecipeSettings

logger = logging.getLogger(__name__)

REPORT_S = 15
CHECKPOINT_S = 60
_LOSS_DECAY = 0.98


def build_model(settings: RecipeSettings, tokenizer: Any) -> LlamaForCausalLM:
    """A fresh model; its weights depend on the settings alone."""
    torch.manual_seed(settings.seed)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=settings.hidden,
        intermediate_size=settings.mlp,
        num_hidden_layers=settings.layers,
        num_attention_heads=settings.heads,
        num_key_value_heads=settings.heads,
        max_position_embeddings=settings.context,
        tie_word_embeddings=True,
        initializer_range=0.02,
        rms_norm_eps=1e-5,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    return LlamaForCausalLM(config)


def loss_of(model: LlamaForCausalLM, batch: Batch) -> Tensor:
    """Weighted mean cross-entropy of the next token, nats."""
    logits_BTV = model(input_ids=batch.tokens).logits
    losses_BT = functional.cross_entropy(
        logits_BTV[:, :-1].transpose(1, 2), batch.tokens[:, 1:], reduction="none"
    )
    weights_BT = batch.weights[:, 1:]
    return (losses_BT * weights_BT).sum() / weights_BT.sum()


class Pretraining:
    """A model with its optimisers. Muon has the matrices, AdamW the embedding and the norms."""

    def __init__(self, model: LlamaForCausalLM, settings: RecipeSettings) -> None:
        self.steps = 0
        self.mean_loss = 0.0
        self._model = model
        self._settings = settings
        inner = [parameter for parameter in model.model.layers.parameters() if parameter.ndim == 2]
        others = {id(parameter) for parameter in inner}
        self._outer = [each for each in model.parameters() if id(each) not in others]
        self._muon = Muon(inner, weight_decay=settings.weight_decay)
        self._adam = torch.optim.AdamW(self._outer, betas=(0.9, 0.98), weight_decay=0.0)

    def step(self, batch: Batch) -> None:
        """One update."""
        self._muon.learning_rate = batch.learning_rate * self._settings.matrix_learning_rate
        for group in self._adam.param_groups:
            group["lr"] = batch.learning_rate * self._settings.learning_rate
        loss = loss_of(self._model, batch)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self._outer, 1.0)
        self._muon.step()
        self._adam.step()
        self._adam.zero_grad()
        decay = _LOSS_DECAY if self.steps else 0.0
        self.mean_loss = decay * self.mean_loss + (1 - decay) * loss.item()
        self.steps += 1

    def state(self) -> dict[str, Any]:
        """What a checkpoint has to keep."""
        return {
            "recipe": recipe_digest(self._settings),
            "steps": self.steps,
            "mean_loss": self.mean_loss,
            "model": self._model.state_dict(),
            "muon": self._muon.state(),
            "adam": self._adam.state_dict(),
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint of the same recipe; one of another is left aside."""
        if state.get("recipe") != recipe_digest(self._settings):
            return
        self.steps = state["steps"]
        self.mean_loss = state["mean_loss"]
        self._model.load_state_dict(state["model"])
        self._muon.load_state(state["muon"])
        self._adam.load_state_dict(state["adam"])


def pretrain(
    model: LlamaForCausalLM,
    settings: RecipeSettings,
    tokenizer: PreTrainedTokenizerFast,
    checkpoint: Path,
) -> None:
    """Train `model` in place, from `checkpoint` if there is one; logs the time left."""
    pretraining = Pretraining(model, settings)
    if checkpoint.exists():
        pretraining.load_state(torch.load(checkpoint, weights_only=True))
    resumed = pretraining.steps
    clock = _Clock()
    model.train()
    for index, batch in enumerate(batches(settings, tokenizer)):
        if index < resumed:
            continue
        clock.start(batch.done)
        pretraining.step(batch)
        clock.tokens += batch.num_tokens
        if clock.due("report", REPORT_S):
            clock.report(batch.done, pretraining)
        if clock.due("checkpoint", CHECKPOINT_S):
            save_checkpoint(pretraining, checkpoint)
    save_checkpoint(pretraining, checkpoint)
    model.eval()


def recipe_digest(settings: RecipeSettings) -> str:
    """SHA-256 of the settings and of every module of the recipe, its grammar included."""
    sources = sorted(Path(__file__).parent.glob("*.py"))
    parts = [repr(settings).encode(), *(source.read_bytes() for source in sources)]
    return hashlib.sha256(b"\n".join(parts)).hexdigest()


def save_checkpoint(pretraining: Pretraining, path: Path) -> None:
    """Write a checkpoint in one piece."""
    unfinished = path.with_suffix(".unfinished")
    torch.save(pretraining.state(), unfinished)
    unfinished.replace(path)


class _Clock:
    """Rates and the time left, of this process alone."""

    def __init__(self) -> None:
        self.tokens = 0
        self._started_s: float | None = None
        self._done_before = 0.0
        self._last_s: dict[str, float] = {}

    def start(self, done: float) -> None:
        """Note the first step; what was replayed before it does not count."""
        if self._started_s is None:
            self._started_s = time.monotonic()
            self._done_before = done

    def due(self, what: str, every_s: float) -> bool:
        """Whether `what` was last due at least `every_s` ago."""
        now_s = time.monotonic()
        if now_s - self._last_s.setdefault(what, now_s) < every_s:
            return False
        self._last_s[what] = now_s
        return True

    def report(self, done: float, pretraining: Pretraining) -> None:
        """Log how far the pretraining is."""
        assert self._started_s is not None
        elapsed_s = time.monotonic() - self._started_s
        left_s = elapsed_s * (1 - done) / max(1e-9, done - self._done_before)
        logger.info(
            "pretraining %2.0f %%, step %d, loss %.3f, %.0f tokens/s, %.0f s left",
            100 * done,
            pretraining.steps,
            pretraining.mean_loss,
            self.tokens / elapsed_s,
            left_s,
        )
