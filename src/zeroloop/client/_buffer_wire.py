"""Rounds, stages and their records, from values to messages and back."""

from array import array
from datetime import UTC, datetime

from google.protobuf.timestamp_pb2 import Timestamp

from zeroloop.buffer.v1 import buffer_pb2 as pb
from zeroloop.client._task_wire import (
    KINDS,
    OUTCOMES,
    ROLES,
    EnumTable,
    task_from_pb,
    task_to_pb,
)
from zeroloop.core.rounds import (
    FLOAT32,
    INT32,
    Episode,
    EpisodeReward,
    Estimate,
    Record,
    Round,
    RoundState,
    Stage,
    StageSummary,
    StoredVerdict,
)
from zeroloop.errors import invalid

STAGES = EnumTable(
    {
        Stage.PROPOSE: pb.STAGE_PROPOSE,
        Stage.VALIDATE: pb.STAGE_VALIDATE,
        Stage.ESTIMATE: pb.STAGE_ESTIMATE,
        Stage.SOLVE: pb.STAGE_SOLVE,
        Stage.REWARD: pb.STAGE_REWARD,
        Stage.EVALUATE: pb.STAGE_EVALUATE,
    }
)

ROUND_STATES = EnumTable(
    {
        RoundState.OPEN: pb.ROUND_STATE_OPEN,
        RoundState.COMMITTED: pb.ROUND_STATE_COMMITTED,
        RoundState.TRAINED: pb.ROUND_STATE_TRAINED,
    }
)


def datetime_of(message: Timestamp) -> datetime:
    """The moment, in UTC."""
    return message.ToDatetime(tzinfo=UTC)


# ---- records


def record_to_pb(record: Record) -> pb.Record:
    """Return the message for one record of a stage."""
    match record:
        case Episode():
            return pb.Record(episode=_episode_to_pb(record))
        case StoredVerdict():
            return pb.Record(verdict=_verdict_to_pb(record))
        case Estimate():
            return pb.Record(estimate=_estimate_to_pb(record))
        case EpisodeReward():
            return pb.Record(reward=_reward_to_pb(record))


def record_from_pb(message: pb.Record) -> Record:
    """Return the record that `message` carries.

    Raises:
        InvalidRequestError: It is empty or a field of it is out of range.
    """
    match message.WhichOneof("kind"):
        case "episode":
            return _episode_from_pb(message.episode)
        case "verdict":
            return _verdict_from_pb(message.verdict)
        case "estimate":
            return _estimate_from_pb(message.estimate)
        case "reward":
            return _reward_from_pb(message.reward)
        case _:
            raise invalid("record", "must have an episode, verdict, estimate or reward, got none")


def _episode_to_pb(episode: Episode) -> pb.Episode:
    return pb.Episode(
        index=episode.index,
        kind=KINDS.to_pb(episode.kind),
        role=ROLES.to_pb(episode.role),
        task_id=episode.task_id,
        reference_task_ids=episode.reference_task_ids,
        composite_task_ids=episode.composite_task_ids,
        prompt_token_ids=episode.prompt_token_ids,
        token_ids=episode.token_ids,
        logprobs=episode.logprobs,
        text=episode.text,
        finish_reason=episode.finish_reason,
        weights_version=episode.weights_version,
        seed=episode.seed,
        outcome=None if episode.outcome is None else OUTCOMES.to_pb(episode.outcome),
        accuracy=episode.accuracy,
        format_ok=episode.format_ok,
        proposal_index=episode.proposal_index,
    )


def _episode_from_pb(message: pb.Episode) -> Episode:
    return Episode(
        index=message.index,
        kind=KINDS.from_pb(message.kind, "record.episode.kind"),
        role=ROLES.from_pb(message.role, "record.episode.role"),
        task_id=message.task_id,
        reference_task_ids=tuple(message.reference_task_ids),
        composite_task_ids=tuple(message.composite_task_ids),
        prompt_token_ids=array(INT32, message.prompt_token_ids),
        token_ids=array(INT32, message.token_ids),
        logprobs=array(FLOAT32, message.logprobs),
        text=message.text,
        finish_reason=message.finish_reason,
        weights_version=message.weights_version,
        seed=message.seed,
        outcome=OUTCOMES.from_pb(message.outcome, "record.episode.outcome")
        if message.outcome
        else None,
        accuracy=message.accuracy,
        format_ok=message.format_ok,
        proposal_index=message.proposal_index,
    )


def _verdict_to_pb(verdict: StoredVerdict) -> pb.StoredVerdict:
    message = pb.StoredVerdict(
        index=verdict.index, format_ok=verdict.format_ok, detail=verdict.detail
    )
    if verdict.task is not None:
        message.task.CopyFrom(task_to_pb(verdict.task))
    elif verdict.rejection:
        message.rejection = verdict.rejection
    else:
        message.not_executed = verdict.not_executed
    return message


def _verdict_from_pb(message: pb.StoredVerdict) -> StoredVerdict:
    task = task_from_pb(message.task, "record.verdict.task") if message.HasField("task") else None
    try:
        return StoredVerdict(
            index=message.index,
            task=task,
            rejection=message.rejection,
            not_executed=message.not_executed,
            format_ok=message.format_ok,
            detail=message.detail,
        )
    except ValueError as error:
        raise invalid("record.verdict.result", str(error)) from error


def _estimate_to_pb(estimate: Estimate) -> pb.Estimate:
    return pb.Estimate(
        index=estimate.index,
        outcomes=[OUTCOMES.to_pb(outcome) for outcome in estimate.outcomes],
        accuracies=estimate.accuracies,
    )


def _estimate_from_pb(message: pb.Estimate) -> Estimate:
    outcomes = tuple(
        OUTCOMES.from_pb(outcome, "record.estimate.outcomes") for outcome in message.outcomes
    )
    if len(outcomes) != len(message.accuracies):
        raise invalid(
            "record.estimate.accuracies",
            f"must be one per outcome, {len(outcomes)}, got {len(message.accuracies)}",
        )
    return Estimate(index=message.index, outcomes=outcomes, accuracies=tuple(message.accuracies))


def _reward_to_pb(reward: EpisodeReward) -> pb.Reward:
    return pb.Reward(
        stage=STAGES.to_pb(reward.stage),
        index=reward.index,
        reward=reward.reward,
        advantage=reward.advantage,
        token_weight=reward.token_weight,
    )


def _reward_from_pb(message: pb.Reward) -> EpisodeReward:
    return EpisodeReward(
        stage=STAGES.from_pb(message.stage, "record.reward.stage"),
        index=message.index,
        reward=message.reward,
        advantage=message.advantage,
        token_weight=message.token_weight,
    )


# ---- rounds


def summary_to_pb(summary: StageSummary) -> pb.StageSummary:
    """Return the message for what is known of a stage."""
    return pb.StageSummary(
        stage=STAGES.to_pb(summary.stage),
        records=summary.records,
        duration_s=summary.duration_s,
        figures=summary.figures,
        stored_at=summary.stored_at,
    )


def summary_from_pb(message: pb.StageSummary) -> StageSummary:
    """Return what `message` says of a stage.

    Raises:
        InvalidRequestError: The stage is unspecified.
    """
    return StageSummary(
        stage=STAGES.from_pb(message.stage, "header.summary.stage"),
        records=message.records,
        duration_s=message.duration_s,
        figures=dict(message.figures),
        stored_at=datetime_of(message.stored_at) if message.HasField("stored_at") else None,
    )


def round_to_pb(value: Round) -> pb.Round:
    """Return the message for a round."""
    return pb.Round(
        run=value.run,
        round=value.round,
        state=ROUND_STATES.to_pb(value.state),
        weights_version=value.weights_version,
        stages=[summary_to_pb(summary) for summary in value.stages],
        metrics=value.metrics,
        opened_at=value.opened_at,
        committed_at=value.committed_at,
        traceparent=value.traceparent,
    )


def round_from_pb(message: pb.Round) -> Round:
    """Return the round that `message` carries."""
    return Round(
        run=message.run,
        round=message.round,
        state=ROUND_STATES.from_pb(message.state, "round.state"),
        weights_version=message.weights_version,
        stages=tuple(summary_from_pb(summary) for summary in message.stages),
        metrics=dict(message.metrics),
        opened_at=datetime_of(message.opened_at),
        committed_at=datetime_of(message.committed_at)
        if message.HasField("committed_at")
        else None,
        traceparent=message.traceparent,
    )
