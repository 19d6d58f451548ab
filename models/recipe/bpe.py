"""A second tiny model, for tests alone: another architecture, a BPE tokenizer, long prompts.

It is a Qwen2 with grouped queries whose tokenizer is trained on the `r1` prompts of a few tasks.
It knows those tasks by heart, which is enough to play a round: nothing in the platform may depend
on characters, Llama or short prompts.
"""

import hashlib
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any, TypeAlias

import torch
import transformers
from torch import Tensor
from torch.nn import functional
from transformers import Qwen2Config, Qwen2ForCausalLM, Qwen2Tokenizer

from models.recipe import muon
from models.recipe.games import ZERO_TASKS, fence
from models.recipe.muon import Muon
from services.reward.domains.code.plugin import CodeDomain
from zeroloop.core.judging import PromptSpec
from zeroloop.core.settings import AlgorithmSettings
from zeroloop.core.tasks import Case, Kind, Role, Task

VOCABULARY = 640
"""Few enough that a proposer's prompt has more than a thousand tokens."""

CONTEXT = 8192
PASSES = 40
BATCH = 8
MATRIX_LEARNING_RATE = 0.02
LEARNING_RATE = 3e-3
IGNORED = -100

_Meaning: TypeAlias = Callable[[list[int], int], object]


def _raised(items: list[int], constant: int) -> list[int]:
    return [item + constant for item in items]


def _repeated(items: list[int], constant: int) -> list[int]:
    return items * constant


def _total(items: list[int], constant: int) -> int:
    return sum(items) * constant


_RULES: tuple[tuple[str, str, _Meaning], ...] = (
    ("[i + {} for i in x]", "Add a number to each item.", _raised),
    ("x * {}", "Repeat the list.", _repeated),
    ("sum(x) * {}", "Add up and multiply.", _total),
)
"""Expression, hint and meaning of the programs that the model knows."""

_CONSTANTS = (2, 3)
_INPUTS = tuple([item, 5] for item in range(10))


@dataclass(frozen=True, slots=True)
class Lesson:
    """A prompt and the response to know by heart."""

    prompt: str
    response: str


def build_bpe_model(out_dir: Path, *, seed: int = 0, cache_dir: Path | None = None) -> Path:
    """Make the model in `out_dir`, or copy it from `cache_dir` if it was made before.

    Takes about a minute on one core. The cache is keyed by all that the model comes from, and
    several processes may use it at once.
    """
    if cache_dir is None:
        _build(out_dir, seed)
        return out_dir
    cached = cache_dir / f"bpe-{_digest(seed)}"
    if not cached.exists():
        _build_into_cache(cached, seed)
    shutil.copytree(cached, out_dir, dirs_exist_ok=True)
    return out_dir


def _digest(seed: int) -> str:
    """What the model comes from: this recipe, the prompts as they are worded, libraries, seed."""
    lessons = draw_lessons(AlgorithmSettings(prompt_style="r1"), Random(seed))
    sources = (Path(__file__).read_text(), Path(muon.__file__).read_text(), *map(repr, lessons))
    versions = (torch.__version__, transformers.__version__, str(seed))
    return hashlib.sha256("\n".join((*sources, *versions)).encode()).hexdigest()[:16]


def _build_into_cache(cached: Path, seed: int) -> None:
    cached.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cached.parent, prefix=".bpe-") as scratch:
        unfinished = Path(scratch) / cached.name
        _build(unfinished, seed)
        try:
            unfinished.rename(cached)
        except OSError:
            if not cached.exists():  # else another process was faster
                raise


def known_tasks(kind: Kind, settings: AlgorithmSettings) -> list[Task]:
    """The tasks that the model knows by heart."""
    tasks: list[Task] = []
    for expression, hint, meaning in _RULES:
        for constant in _CONSTANTS:
            cases = tuple(Case(repr(x), repr(meaning(x, constant))) for x in _INPUTS)
            induction = kind is Kind.INDUCTION
            tasks.append(
                Task(
                    domain="code",
                    kind=kind,
                    program=f"def f(x):\n    return {expression.format(constant)}",
                    cases=cases[: settings.num_inputs]
                    if induction
                    else cases[len(tasks) % 10 :][:1],
                    message=hint if induction else "",
                    shown=settings.induction_shown if induction else 0,
                )
            )
    return tasks


def draw_lessons(settings: AlgorithmSettings, random: Random) -> list[Lesson]:
    """Every kind and role, with references and programs as a round may show them."""
    domain = CodeDomain()
    lessons: list[Lesson] = []
    for kind in Kind:
        for task in known_tasks(kind, settings):
            for spec, response in (
                (_proposal_spec(task, settings, random), _proposal(task)),
                (PromptSpec(kind=kind, role=Role.SOLVER, task=task), _solution(task)),
            ):
                lessons.append(Lesson(domain.build_prompt(spec, settings), response))
    return lessons


def _proposal_spec(task: Task, settings: AlgorithmSettings, random: Random) -> PromptSpec:
    if task.kind is Kind.INDUCTION:
        return PromptSpec(kind=task.kind, role=Role.PROPOSER, task=task)
    pool = [*known_tasks(task.kind, settings), *[ZERO_TASKS[task.kind]] * 3]
    count = random.randint(1, settings.references)
    references = tuple(random.sample(pool, count)) if random.random() < 0.7 else (pool[-1],)
    return PromptSpec(kind=task.kind, role=Role.PROPOSER, references=references)


def _proposal(task: Task) -> str:
    if task.kind is Kind.INDUCTION:
        fences = [fence("input", case.input) for case in task.cases]
        return _response("\n".join((*fences, fence("message", task.message))))
    answer = fence("python", task.program) + "\n" + fence("input", task.cases[0].input)
    return _response(answer)


def _solution(task: Task) -> str:
    if task.kind is Kind.INDUCTION:
        return _response(fence("python", task.program))
    if task.kind is Kind.ABDUCTION:
        return _response(fence("input", task.cases[0].input))
    return _response(fence("output", task.cases[0].output))


def _response(answer: str) -> str:
    return f"Step by step. </think> <answer>{answer}</answer>"


def _build(out_dir: Path, seed: int) -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # The same files on any number of cores; more would gain little.
    try:
        _train(out_dir, seed)
    finally:
        torch.set_num_threads(threads)


def _train(out_dir: Path, seed: int) -> None:
    settings = AlgorithmSettings(prompt_style="r1")
    random = Random(seed)
    torch.manual_seed(seed)
    tokenizer = build_tokenizer(draw_lessons(settings, random))
    model = Qwen2ForCausalLM(_config(tokenizer))
    matrices = [each for each in model.model.layers.parameters() if each.ndim == 2]
    others = [each for each in model.parameters() if all(each is not other for other in matrices)]
    optimiser = Muon(matrices, weight_decay=0.0)
    adam = torch.optim.AdamW(others, betas=(0.9, 0.98))
    for passed in range(PASSES):
        optimiser.learning_rate = MATRIX_LEARNING_RATE * (1 - passed / PASSES)
        adam.param_groups[0]["lr"] = LEARNING_RATE * (1 - passed / PASSES)
        for tokens_BT, labels_BT in _batches(settings, tokenizer, random):
            logits_BTV = model(input_ids=tokens_BT).logits
            loss = functional.cross_entropy(
                logits_BTV[:, :-1].flatten(0, 1), labels_BT[:, 1:].flatten(), ignore_index=IGNORED
            )
            loss.backward()
            torch.nn.utils.clip_grad_norm_(others, 1.0)
            optimiser.step()
            adam.step()
            adam.zero_grad()
    model.save_pretrained(out_dir)
    tokenizer.save_pretrained(out_dir)


def build_tokenizer(lessons: Sequence[Lesson]) -> Qwen2Tokenizer:
    """A tokenizer that `AutoTokenizer` reads back as the same one: it goes by the architecture."""
    texts = [f"{lesson.prompt}{lesson.response}" for lesson in lessons]
    return Qwen2Tokenizer().train_new_from_iterator(texts, VOCABULARY, show_progress=False)


def _config(tokenizer: Any) -> Qwen2Config:
    return Qwen2Config(
        vocab_size=len(tokenizer),
        hidden_size=128,
        intermediate_size=256,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=CONTEXT,
        tie_word_embeddings=False,
        initializer_range=0.05,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
    )


def _batches(
    settings: AlgorithmSettings, tokenizer: Any, random: Random
) -> Iterator[tuple[Tensor, Tensor]]:
    """Each lesson once, drawn anew because the references differ, with those of similar length."""
    encoded = [
        (tokenizer.encode(lesson.prompt), tokenizer.encode(lesson.response))
        for lesson in draw_lessons(settings, random)
    ]
    encoded.sort(key=lambda pair: len(pair[0]) + len(pair[1]) + 30 * random.random())
    groups = [encoded[start : start + BATCH] for start in range(0, len(encoded), BATCH)]
    random.shuffle(groups)
    for group in groups:
        longest = max(len(prompt) + len(response) + 1 for prompt, response in group)
        tokens_BT = torch.full((len(group), longest), tokenizer.pad_token_id)
        labels_BT = torch.full((len(group), longest), IGNORED)
        for row, (prompt, response) in enumerate(group):
            ids = torch.tensor([*prompt, *response, tokenizer.eos_token_id])
            tokens_BT[row, : len(ids)] = ids
            labels_BT[row, len(prompt) : len(ids)] = ids[len(prompt) :]
        yield tokens_BT, labels_BT
