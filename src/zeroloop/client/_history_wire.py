"""Stored tasks, batches and weights, from values to messages and back."""

from array import array

from google.protobuf import json_format
from google.protobuf.struct_pb2 import Struct

from zeroloop.buffer.v1 import buffer_pb2 as pb
from zeroloop.client._buffer_wire import datetime_of
from zeroloop.client._task_wire import KINDS, ROLES, EnumTable, task_from_pb, task_to_pb
from zeroloop.core.batches import Batch, BatchSequence, Weights
from zeroloop.core.rounds import FLOAT32, INT32
from zeroloop.core.stored_tasks import (
    BufferFull,
    Lineage,
    NewTask,
    Observation,
    StoredTask,
    Strategy,
)

STRATEGIES = EnumTable(
    {
        Strategy.UNIFORM: pb.STRATEGY_UNIFORM,
        Strategy.STEP: pb.STRATEGY_STEP,
        Strategy.MAX_NEW: pb.STRATEGY_MAX_NEW,
        Strategy.HALF_NEW: pb.STRATEGY_HALF_NEW,
        Strategy.STEP_REPEATED: pb.STRATEGY_STEP_REPEATED,
    }
)

BUFFER_FULL = EnumTable(
    {
        BufferFull.KEEP_NEWEST: pb.BUFFER_FULL_KEEP_NEWEST,
        BufferFull.KEEP_OLDEST: pb.BUFFER_FULL_KEEP_OLDEST,
        BufferFull.RESERVOIR: pb.BUFFER_FULL_RESERVOIR,
    }
)


# ---- tasks


def observation_to_pb(observation: Observation) -> pb.Observation:
    """Return the message for one observation."""
    return pb.Observation(
        round=observation.round,
        weights_version=observation.weights_version,
        attempts=observation.attempts,
        success_rate=observation.success_rate,
    )


def observation_from_pb(message: pb.Observation) -> Observation:
    """Return the observation that `message` carries."""
    return Observation(
        round=message.round,
        weights_version=message.weights_version,
        attempts=message.attempts,
        success_rate=message.success_rate,
    )


def _lineage_to_pb(lineage: Lineage) -> pb.Lineage:
    return pb.Lineage(
        round=lineage.round,
        proposed_by_weights=lineage.proposed_by_weights,
        reference_task_ids=lineage.reference_task_ids,
        composite_task_ids=lineage.composite_task_ids,
        validator=lineage.validator,
        image_digest=lineage.image_digest,
        origin=lineage.origin,
    )


def _lineage_from_pb(message: pb.Lineage) -> Lineage:
    return Lineage(
        round=message.round,
        proposed_by_weights=message.proposed_by_weights,
        reference_task_ids=tuple(message.reference_task_ids),
        composite_task_ids=tuple(message.composite_task_ids),
        validator=message.validator,
        image_digest=message.image_digest,
        origin=message.origin,
    )


def new_task_to_pb(new: NewTask) -> pb.NewTask:
    """Return the message for a task to admit."""
    return pb.NewTask(
        task=task_to_pb(new.task),
        lineage=_lineage_to_pb(new.lineage),
        observation=None if new.observation is None else observation_to_pb(new.observation),
    )


def new_task_from_pb(message: pb.NewTask, field: str) -> NewTask:
    """Return the task to admit that `message` carries.

    Raises:
        InvalidRequestError: Its kind is unspecified; names the field below `field`.
    """
    return NewTask(
        task=task_from_pb(message.task, f"{field}.task"),
        lineage=_lineage_from_pb(message.lineage),
        observation=observation_from_pb(message.observation)
        if message.HasField("observation")
        else None,
    )


def stored_task_to_pb(stored: StoredTask) -> pb.StoredTask:
    """Return the message for an admitted task."""
    return pb.StoredTask(
        task=task_to_pb(stored.task),
        run=stored.run,
        lineage=_lineage_to_pb(stored.lineage),
        observations=[observation_to_pb(observation) for observation in stored.observations],
        sequence=stored.sequence,
        admitted_at=stored.admitted_at,
    )


def stored_task_from_pb(message: pb.StoredTask) -> StoredTask:
    """Return the admitted task that `message` carries."""
    return StoredTask(
        task=task_from_pb(message.task),
        run=message.run,
        lineage=_lineage_from_pb(message.lineage),
        observations=tuple(observation_from_pb(item) for item in message.observations),
        sequence=message.sequence,
        admitted_at=datetime_of(message.admitted_at),
    )


# ---- batches


def batch_to_pb(batch: Batch) -> pb.Batch:
    """Return the message for a batch."""
    return pb.Batch(
        run=batch.run,
        round=batch.round,
        sequences=batch.sequences,
        response_tokens=batch.response_tokens,
        attempt=batch.attempt,
        traceparent=batch.traceparent,
        weights_version=batch.weights_version,
    )


def batch_from_pb(message: pb.Batch) -> Batch:
    """Return the batch that `message` carries."""
    return Batch(
        run=message.run,
        round=message.round,
        sequences=message.sequences,
        response_tokens=message.response_tokens,
        attempt=message.attempt,
        traceparent=message.traceparent,
        weights_version=message.weights_version,
    )


def sequence_to_pb(sequence: BatchSequence) -> pb.BatchSequence:
    """Return the message for one sequence."""
    return pb.BatchSequence(
        index=sequence.index,
        kind=KINDS.to_pb(sequence.kind),
        role=ROLES.to_pb(sequence.role),
        prompt_token_ids=sequence.prompt_token_ids,
        token_ids=sequence.token_ids,
        logprobs=sequence.logprobs,
        advantage=sequence.advantage,
        token_weight=sequence.token_weight,
    )


def sequence_from_pb(message: pb.BatchSequence) -> BatchSequence:
    """Return the sequence that `message` carries."""
    return BatchSequence(
        index=message.index,
        kind=KINDS.from_pb(message.kind, "sequence.kind"),
        role=ROLES.from_pb(message.role, "sequence.role"),
        prompt_token_ids=array(INT32, message.prompt_token_ids),
        token_ids=array(INT32, message.token_ids),
        logprobs=array(FLOAT32, message.logprobs),
        advantage=message.advantage,
        token_weight=message.token_weight,
    )


# ---- weights


def weights_to_pb(weights: Weights) -> pb.Weights:
    """Return the message for one version of the weights."""
    attributes = Struct()
    attributes.update(dict(weights.attributes))
    return pb.Weights(
        run=weights.run,
        version=weights.version,
        uri=weights.uri,
        manifest_digest=weights.manifest_digest,
        bytes=weights.size_bytes,
        promoted=weights.promoted,
        published_at=weights.published_at,
        attributes=attributes,
    )


def weights_from_pb(message: pb.Weights) -> Weights:
    """Return the version of the weights that `message` carries."""
    return Weights(
        run=message.run,
        version=message.version,
        uri=message.uri,
        manifest_digest=message.manifest_digest,
        size_bytes=message.bytes,
        promoted=message.promoted,
        published_at=datetime_of(message.published_at)
        if message.HasField("published_at")
        else None,
        attributes=json_format.MessageToDict(message.attributes),
    )
