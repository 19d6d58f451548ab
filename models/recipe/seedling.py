"""Makes the model that ships: data, pretraining, held-out tasks, figures, card and manifest."""

import hashlib
import logging
import shutil
import time
from pathlib import Path

import torch
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from models.recipe.card import write_card
from models.recipe.heldout import draw_held_out, read_held_out, write_held_out
from models.recipe.measure import Figures, measure
from models.recipe.play import Player
from models.recipe.pretrain import build_model, pretrain
from models.recipe.running import ForkRunner
from models.recipe.settings import RecipeSettings
from models.recipe.tokenizer import build_tokenizer
from zeroloop.core.manifest import MANIFEST_NAME, FileDigest, Manifest, manifest_to_bytes

logger = logging.getLogger(__name__)

WEIGHTS_NAME = "model.safetensors"


def make_seedling(out_dir: Path, work_dir: Path, settings: RecipeSettings) -> None:
    """Make the model in `work_dir` and move it to `out_dir` when it is complete.

    A repeated call goes on where an earlier one with the same recipe stopped. The same recipe on
    the same type of CPU gives the same files.
    """
    fix_arithmetic(settings)
    work_dir.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    tokenizer = build_tokenizer()
    model = build_model(settings, tokenizer)
    pretrain(model, settings, tokenizer, work_dir / "pretraining.pt")
    folder = work_dir / "seedling"
    save(model, tokenizer, folder)
    write_held_out(folder, draw_held_out(settings))
    logger.info("pretrained in %.0f s; measuring", time.monotonic() - started)
    figures = measure_folder(folder, settings)
    write_card(
        folder,
        figures,
        settings,
        parameters=model.num_parameters(),
        weights=folder / WEIGHTS_NAME,
    )
    write_manifest(folder)
    shutil.copytree(folder, out_dir, dirs_exist_ok=True)
    logger.info("wrote %s in %.0f s", out_dir, time.monotonic() - started)


def fix_arithmetic(settings: RecipeSettings) -> None:
    """Make the order of floating-point sums repeatable."""
    torch.set_num_threads(settings.threads)
    torch.use_deterministic_algorithms(mode=True)


def save(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """Write a Hugging Face folder."""
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    (folder / WEIGHTS_NAME).chmod(0o644)


def measure_folder(folder: Path, settings: RecipeSettings) -> Figures:
    """The figures of a finished folder on its own held-out tasks."""
    fix_arithmetic(settings)
    model = LlamaForCausalLM.from_pretrained(folder).eval()
    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
    with ForkRunner() as runner:
        player = Player(model, tokenizer, settings.algorithm, runner)
        return measure(player, read_held_out(folder), settings)


def write_manifest(folder: Path) -> None:
    """Seal the folder with the size and SHA-256 of each of its files."""
    files = {
        path.name: FileDigest(hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_size)
        for path in sorted(folder.iterdir())
        if path.name != MANIFEST_NAME
    }
    manifest = Manifest(
        version=0, parent=None, files=files, dtype="float32", base_model=folder.name
    )
    (folder / MANIFEST_NAME).write_bytes(manifest_to_bytes(manifest))


def differing_files(folder: Path, other: Path) -> list[str]:
    """Names of files whose content differs between two folders, those of one alone included."""
    digests = [
        {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in place.iterdir()}
        for place in (folder, other)
    ]
    return sorted(
        name
        for name in digests[0].keys() | digests[1].keys()
        if digests[0].get(name) != digests[1].get(name)
    )
