"""What a run's settings allow, the trainer takes: it would refuse only once a round is played."""

from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from services.controller.options import PlayOptions, settings_of
from services.controller.platforms.local.commands import Commands
from services.controller.store import RunFolder
from trainer.config import TrainerSettings, load_trainer_settings
from zeroloop.core import settings as algorithm
from zeroloop.core.runs import Run, RunSpec, RunStatus
from zeroloop.errors import FailedPreconditionError, InvalidRequestError


def trainer_settings(spec: RunSpec) -> TrainerSettings:
    """What a trainer of such a run is started with, read as it reads it."""
    commands = Commands(
        run=Run(name="r", spec=spec, status=RunStatus(), created_at=datetime.now(UTC)),
        settings=settings_of(spec),
        folder=RunFolder(Path("runs/r")),
        model="m",
        token_file=Path("token"),
        environment={},
        execution={},
    )
    _, _, _, *flags = commands.trainer("b:1", 0).arguments
    return load_trainer_settings(flags, {})


def extreme(end: int) -> dict[str, Any]:
    """Every numeric option at its lowest (0) or highest (1) value."""
    values = {n: algorithm.bounds(n)[end] for n in algorithm.names() if algorithm.bounds(n)}
    for section, field in PlayOptions.model_fields.items():
        kind = field.annotation
        inner = kind.model_fields if isinstance(kind, type) and issubclass(kind, BaseModel) else {}
        for name, option in inner.items():
            for bound in option.metadata:
                if hasattr(bound, ("ge", "le")[end]):
                    values[f"{section}.{name}"] = getattr(bound, ("ge", "le")[end])
    return values


@pytest.mark.parametrize("end", [pytest.param(0, id="lowest"), pytest.param(1, id="highest")])
def test_the_trainer_takes_both_ends_of_every_range(end: int) -> None:
    spec = RunSpec(model="m", rounds=1, settings=extreme(end))

    assert trainer_settings(spec).ranks == (1, 16)[end]


@pytest.mark.parametrize(
    ("name", "value", "limit"),
    [
        pytest.param("training.zero_stage", 1, "2", id="zero stage"),
        pytest.param("training.ranks", 17, "16", id="ranks"),
        pytest.param("training.micro_batch_tokens", (1 << 22) + 1, "4194304", id="tokens"),
        pytest.param("checkpoint.every_rounds", 1001, "1000", id="checkpoints"),
        pytest.param("clip", 0, "0.001", id="clip"),
        pytest.param("learning_rate", 0, "1e-12", id="rate"),
        pytest.param("beta_1", 1, "0.999999", id="beta"),
    ],
)
def test_what_the_trainer_would_refuse_is_refused_at_once(
    name: str, value: float, limit: str
) -> None:
    with pytest.raises(InvalidRequestError, match=f"{name}.*{limit}.*got {value}") as caught:
        settings_of(RunSpec(model="m", rounds=1, settings={name: value}))

    assert [v.field for v in caught.value.violations] == [f"spec.settings.{name}"]


@pytest.mark.parametrize(
    ("context_tokens", "fits"),
    [
        pytest.param(32_768, False, id="a long context"),
        pytest.param(8_192, True, id="a context that ends sooner"),
    ],
)
def test_sequences_longer_than_a_forward_pass_are_refused_before_a_round(
    context_tokens: int, fits: bool
) -> None:
    found = settings_of(RunSpec(model="m", rounds=1, settings={"response_tokens_max": 12_000}))

    with (
        nullcontext()
        if fits
        else pytest.raises(
            FailedPreconditionError, match=r"micro_batch_tokens .* got 16384; raise it to 18144"
        )
    ):
        found.require_trainable(context_tokens)
