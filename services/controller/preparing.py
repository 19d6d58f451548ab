"""Checking a run before anything is started for it."""

from dataclasses import dataclass
from pathlib import Path

from services.controller.options import Settings, settings_of
from services.controller.rounds.evaluating import FILE_NAME, read_heldout
from services.controller.rounds.game import HeldOut
from zeroloop.core.runs import RunSpec
from zeroloop.errors import InvalidRequestError, Violation, invalid

HUB_SCHEME = "hf://"
CONFIG_FILE = "config.json"


@dataclass(frozen=True, slots=True)
class Prepared:
    """A run that can be started."""

    settings: Settings
    model: str
    """Absolute folder, or a hub id."""

    heldout: list[HeldOut]


def prepare(spec: RunSpec) -> Prepared:
    """Check a spec and resolve what it names.

    Raises:
        InvalidRequestError: Names every field that is wrong.
    """
    problems: list[Violation] = []
    if spec.rounds < 0:
        problems.append(Violation("spec.rounds", f"must not be negative, got {spec.rounds}"))
    if spec.seed < 0:
        problems.append(Violation("spec.seed", f"must not be negative, got {spec.seed}"))
    problems += _model_problems(spec.model)
    try:
        settings = settings_of(spec)
    except InvalidRequestError as error:
        problems += error.violations
        raise _refused(problems) from error
    if problems:
        raise _refused(problems)
    return Prepared(settings, _located(spec.model), _heldout(spec, settings))


def require_one_machine(settings: Settings) -> None:
    """Check that a run asks for no more than one machine has.

    Raises:
        InvalidRequestError: Names every setting that asks for more.
    """
    play = settings.play
    found = {"inference.replicas": play.inference.replicas, "training.nodes": play.training.nodes}
    problems = [
        Violation(f"spec.settings.{name}", f"must be 1 on one machine, got {value}")
        for name, value in found.items()
        if value > 1
    ]
    if problems:
        raise _refused(problems)


def _model_problems(model: str) -> list[Violation]:
    field = "spec.model"
    if not model:
        return [Violation(field, "is required: a folder, or a hub id as hf://ORG/NAME")]
    if model.startswith(HUB_SCHEME):
        return []
    folder = Path(model)
    if not folder.is_dir():
        return [Violation(field, f"must be a folder with a model, got {model!r}, which is none")]
    missing = [name for name in (CONFIG_FILE,) if not (folder / name).is_file()]
    if not list(folder.glob("*.safetensors")):
        missing.append("*.safetensors")
    if missing:
        listed = " and ".join(missing)
        return [Violation(field, f"{model!r} is no Hugging Face model: {listed} is missing")]
    return []


def _located(model: str) -> str:
    return model if model.startswith(HUB_SCHEME) else str(Path(model).resolve())


def _heldout(spec: RunSpec, settings: Settings) -> list[HeldOut]:
    evaluate = settings.play.evaluate
    if not evaluate.enabled:
        return []
    if spec.heldout:
        return read_heldout(Path(spec.heldout), evaluate.tasks_per_kind)
    if spec.model.startswith(HUB_SCHEME):
        return []
    beside = Path(spec.model) / FILE_NAME
    return read_heldout(beside, evaluate.tasks_per_kind) if beside.is_file() else []


def _refused(problems: list[Violation]) -> InvalidRequestError:
    if len(problems) == 1:
        return invalid(problems[0].field, problems[0].problem)
    text = "; ".join(f"{problem.field}: {problem.problem}" for problem in problems)
    return InvalidRequestError(text, problems)
