"""What the model of the tests knows by heart is right; a round's own test plays with it."""

from random import Random

from transformers import AutoTokenizer

from models.recipe import bpe
from models.recipe.bpe import (
    CONTEXT,
    build_bpe_model,
    build_tokenizer,
    draw_lessons,
    known_tasks,
)
from models.recipe.running import ForkRunner
from services.reward.domains.code.plugin import CodeDomain
from zeroloop.core.judging import PromptSpec, Solution
from zeroloop.core.parsing import format_ok
from zeroloop.core.settings import AlgorithmSettings
from zeroloop.core.tasks import Kind, Outcome, Role

SETTINGS = AlgorithmSettings(prompt_style="r1")


def test_every_response_has_the_required_layout():
    assert all(format_ok(lesson.response) for lesson in draw_lessons(SETTINGS, Random(1)))


async def test_the_answers_solve_their_tasks():
    lessons = {lesson.prompt: lesson.response for lesson in draw_lessons(SETTINGS, Random(1))}
    domain = CodeDomain()
    with ForkRunner() as runner:
        for kind in Kind:
            for task in known_tasks(kind, SETTINGS):
                spec = PromptSpec(kind=kind, role=Role.SOLVER, task=task)
                response = lessons[domain.build_prompt(spec, SETTINGS)]
                solution = Solution(solution_id="", task=task, response=response)
                judgement = await domain.judge(solution, SETTINGS, runner)
                assert judgement.outcome is Outcome.CORRECT


def test_the_tokenizer_is_read_back_as_the_same_one(tmp_path):
    lessons = draw_lessons(SETTINGS, Random(1))
    tokenizer = build_tokenizer(lessons)
    tokenizer.save_pretrained(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "qwen2"}')
    read = AutoTokenizer.from_pretrained(tmp_path)
    for lesson in lessons:
        ids = tokenizer.encode(lesson.prompt)
        assert read.encode(lesson.prompt) == ids
        assert read.decode(ids) == lesson.prompt
        assert len(ids) < CONTEXT


def test_a_model_that_was_made_before_is_copied(tmp_path):
    made = tmp_path / "cache" / f"bpe-{bpe._digest(seed=5)}"
    made.mkdir(parents=True)
    (made / "config.json").write_text("made before")

    folder = build_bpe_model(tmp_path / "out", seed=5, cache_dir=tmp_path / "cache")

    assert (folder / "config.json").read_text() == "made before"
    assert made.is_dir()


def test_another_seed_is_another_model():
    assert bpe._digest(seed=0) == bpe._digest(seed=0)
    assert bpe._digest(seed=0) != bpe._digest(seed=1)
