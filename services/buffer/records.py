"""What the records of a stage must satisfy to be stored."""

import math

from services.buffer.limits import EPISODE_TOKENS_MAX
from zeroloop.core.rounds import (
    RECORD_TYPES,
    Episode,
    EpisodeReward,
    Estimate,
    Record,
    Stage,
)
from zeroloop.errors import invalid


def require_record(stage: Stage, position: int, record: Record) -> None:
    """Raise unless `record` may stand at `position` of the output of `stage`.

    Raises:
        InvalidRequestError: Names the field.
    """
    place = f"records[{position}]"
    if not isinstance(record, RECORD_TYPES[stage]):
        allowed = " or ".join(kind.__name__ for kind in RECORD_TYPES[stage])
        raise invalid(place, f"stage {stage} stores {allowed}, got {type(record).__name__}")
    if record.index < 0:
        raise invalid(f"{place}.index", f"must be at least 0, got {record.index}")
    match record:
        case Episode():
            _require_episode(place, record)
        case Estimate():
            _require_finite(f"{place}.accuracies", *record.accuracies)
        case EpisodeReward():
            _require_finite(f"{place}.reward", record.reward)
            _require_finite(f"{place}.advantage", record.advantage)
            _require_finite(f"{place}.token_weight", record.token_weight)
            if record.token_weight < 0:
                raise invalid(
                    f"{place}.token_weight", f"must be at least 0, got {record.token_weight:g}"
                )
        case _:
            pass


def _require_episode(place: str, episode: Episode) -> None:
    for field, tokens in (
        ("prompt_token_ids", episode.prompt_token_ids),
        ("token_ids", episode.token_ids),
    ):
        if len(tokens) > EPISODE_TOKENS_MAX:
            raise invalid(
                f"{place}.{field}", f"must be at most {EPISODE_TOKENS_MAX}, got {len(tokens)}"
            )
    # An evaluation has no use for them; what is trained on must have one for each token.
    if len(episode.logprobs) not in (0, len(episode.token_ids)):
        raise invalid(
            f"{place}.logprobs",
            f"must be one per token, {len(episode.token_ids)}, or none, "
            f"got {len(episode.logprobs)}",
        )
    _require_finite(f"{place}.accuracy", episode.accuracy)


def _require_finite(field: str, *values: float) -> None:
    for value in values:
        if not math.isfinite(value):
            raise invalid(field, f"must be a finite number, got {value}")
