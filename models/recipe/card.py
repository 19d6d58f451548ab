"""The model card: what the model is, how it was made and what it does."""

import hashlib
import platform
from collections.abc import Callable
from pathlib import Path

import torch
import transformers

from models.recipe.measure import LEARNABILITY_TASKS, PROPOSALS, ROLLOUTS, Figures, KindFigures
from models.recipe.programs import HELD_OUT_SHARE
from models.recipe.settings import FINISHING, PRETRAINING, RecipeSettings
from zeroloop.core.tasks import Kind

CARD_NAME = "README.md"

_TEXT = """\
# seedling

The small language model that ships with zeroloop: {parameters:,} parameters, a Llama of {layers}
layers with a hidden size of {hidden} in float32, with a tokenizer of single characters in which
each tag, each fence and one level of indentation is one token as well.

It plays all three kinds of task in both roles, in the prompt style `compact`, well enough that
self-play has something to improve.
It knows nothing else: no language, no facts, no Python beyond a few statements.

## How it is made

`make seedling` makes every file in this folder from nothing: no data, no download.

1. A grammar (`models/recipe/statements.py`) generates short deterministic programs on one list,
   integer or string.
   The programs are run to get outputs; prompts come from the reward service's own domain.
2. {texts:,} texts are drawn: games of all kinds and both roles, and drills, which pack what games
   need into dense texts: chains of statements with the value after each, several cases of one
   program, several hints with their programs.
   Drills are {first_drill_share:.0%} of the texts at first and {last_drill_share:.0%} in the end;
   the last {finishing_texts:,} texts are games alone, with smaller steps.
   {think_share:.0%} of the solver's responses reason statement by statement before they answer;
   the others answer at once.
   So the fresh model knows how to think but does so only now and then, and rewards can teach it
   when thinking pays.
3. One pass of pretraining, in batches of similar length: Muon for the matrices, AdamW for the
   rest, on {threads} threads.
4. Held-out tasks: a program is held out if a hash of its normalised text says so (1 in
   {held_out_share}); no such program is ever in the pretraining text.
   `heldout.jsonl` has {held_out_tasks} different ones of each kind, drawn as the games are.

The same recipe on the same type of CPU with the same libraries gives the same files;
`python -m models.recipe verify` makes them again and compares.
This copy was made with torch {torch} and transformers {transformers} on:
{machine}.

## What it does

Sampled at temperature 1 unless stated otherwise, judged by the platform's own rules.
Solving is measured on the held-out tasks, proposing on {proposals} proposals of each kind whose
references are programs of the grammar.

{table}

When the only reference is the item that every run starts from, {valid_from_zero:.0%} of the
proposals are valid.

*Distinct* are different programs (induction: program, inputs and message) among the valid ones.
*Own tasks solved* and *learnable* are over {learnability_tasks} valid proposals with {rollouts}
answers each; a task is learnable if some but not all of them are right.

## Settings

References at most {num_references}, induction inputs {num_inputs} of which half are shown,
prompt and response together at most {context} tokens.
The longest responses of the grammar have about 250 tokens.

## Digests

Weights: SHA-256 `{weights_digest}`.
`manifest.json` has those of all files.
"""

_ROWS: tuple[tuple[str, Callable[[KindFigures], str]], ...] = (
    ("Held-out tasks solved", lambda figures: f"{figures.solved:.1%}"),
    ("... greedily", lambda figures: f"{figures.solved_greedily:.1%}"),
    ("... when it thinks first", lambda figures: f"{figures.solved_thinking:.1%}"),
    ("... when it answers at once", lambda figures: f"{figures.solved_directly:.1%}"),
    ("Answers that think first", lambda figures: f"{figures.thinking:.0%}"),
    ("Answers in the right layout", lambda figures: f"{figures.solver_format:.1%}"),
    ("Tokens per answer", lambda figures: f"{figures.solver_tokens:.0f}"),
    ("Proposals valid", lambda figures: f"{figures.valid:.1%}"),
    ("... and distinct", lambda figures: f"{figures.distinct:.1%}"),
    ("Proposals in the right layout", lambda figures: f"{figures.proposer_format:.1%}"),
    ("Tokens per proposal", lambda figures: f"{figures.proposer_tokens:.0f}"),
    ("Own tasks solved", lambda figures: f"{figures.own_solved:.1%}"),
    ("Own tasks learnable", lambda figures: f"{figures.learnable:.0%}"),
)


def write_card(
    folder: Path, figures: Figures, settings: RecipeSettings, *, parameters: int, weights: Path
) -> None:
    """Write `README.md`."""
    text = _TEXT.format(
        parameters=parameters,
        layers=settings.layers,
        hidden=settings.hidden,
        texts=settings.texts,
        first_drill_share=PRETRAINING.first_drill_share,
        last_drill_share=PRETRAINING.last_drill_share,
        finishing_texts=FINISHING.texts,
        think_share=settings.think_share,
        threads=settings.threads,
        held_out_share=HELD_OUT_SHARE,
        held_out_tasks=settings.held_out_tasks,
        torch=torch.__version__,
        transformers=transformers.__version__,
        machine=_machine(),
        proposals=PROPOSALS,
        table=_table(figures),
        valid_from_zero=figures.valid_from_zero,
        learnability_tasks=LEARNABILITY_TASKS,
        rollouts=ROLLOUTS,
        num_references=settings.num_references,
        num_inputs=settings.num_inputs,
        context=settings.context,
        weights_digest=hashlib.sha256(weights.read_bytes()).hexdigest(),
    )
    (folder / CARD_NAME).write_text(text)


def _table(figures: Figures) -> str:
    lines = [f"| | {' | '.join(kind.value for kind in Kind)} |", "|---|" + "--:|" * len(Kind)]
    for name, show in _ROWS:
        cells = " | ".join(show(figures.kinds[kind]) for kind in Kind)
        lines.append(f"| {name} | {cells} |")
    return "\n".join(lines)


def _machine() -> str:
    """The type of CPU, as far as the system tells: the files depend on it."""
    fields: dict[str, str] = {}
    source = Path("/proc/cpuinfo")
    for line in source.read_text().splitlines() if source.exists() else []:
        name, _, value = line.partition(":")
        fields.setdefault(name.strip(), value.strip())
    parts = (
        fields.get("model name", platform.processor() or platform.machine()),
        f"family {fields.get('cpu family', '?')}",
        f"model {fields.get('model', '?')}",
        f"vectors by torch: {torch.backends.cpu.get_cpu_capability()}",
    )
    return ", ".join(parts)
