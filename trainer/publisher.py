"""Publishing a version: files first, whole and sealed, then the registry."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from trainer.exits import ReplayMismatchError
from trainer.group import Group
from trainer.microbatches import tokens_of
from trainer.store import Store
from zeroloop.core.batches import BatchSequence, Weights
from zeroloop.core.manifest import ProbeSequence
from zeroloop.weights_folder import seal, write_probe
from zeroloop.weights_store import WeightsStore

PROBE_TOKENS_MAX = 65_536
"""A probe is a spot check; longer ones would only lengthen the pause of a roll."""


class Source(Protocol):
    """The weights being trained; both methods are collective."""

    def logprobs(self, sequences: Sequence[BatchSequence]) -> list[tuple[float, ...]]: ...

    def write_weights(self, folder: Path) -> None: ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Origin:
    """What every version of a run has in common."""

    run: str
    base_model: str
    dtype: str
    companions: Sequence[Path]
    """Files of the base model that belong into every version: the tokenizer's."""


class Publisher:
    """Writes versions into one store and registers them. `publish` is collective."""

    def __init__(
        self,
        versions: WeightsStore,
        origin: Origin,
        group: Group,
        store: Store | None,
        *,
        probe_sequences: int,
    ) -> None:
        self._versions = versions
        self._origin = origin
        self._group = group
        self._store = store
        self._probe_sequences = probe_sequences

    def clear_unfinished(self) -> None:
        """Remove what a killed trainer left half written."""
        if self._group.rank == 0:
            self._versions.clear_unfinished()

    def publish(
        self,
        source: Source,
        version: int,
        *,
        parent: int | None,
        sequences: Sequence[BatchSequence] = (),
        traceparent: str = "",
    ) -> int:
        """Make the current weights version `version`; publishing it again changes nothing.

        A version that is registered already is only compared: its files are not touched, they
        may be in use or pruned.

        Args:
            parent: The version that these weights were trained from.
            sequences: The batch; some of it becomes the probe.

        Returns:
            Bytes of the version; 0 on all ranks but the first.

        Raises:
            ReplayMismatchError: It is registered with another digest.
            NotFoundError: The versions belong into a bucket that does not exist.
            UnavailableError, FailedPreconditionError: Their store does not answer or refuses
                access. Nothing of the version is to be seen, and another attempt writes it.
        """
        probe = choose_probe(sequences, limit=self._probe_sequences)
        logprobs = source.logprobs(probe)
        if self._store is None:
            # It takes part and writes nothing.
            source.write_weights(Path())
            return 0
        registered = self._store.registered(version)
        versions = self._versions
        # A version that may be in use is written to be compared, and thrown away.
        place = versions.writing(version) if registered is None else versions.scratch()
        with place as folder:
            digest = self._write(source, folder, version, parent, probe_of(probe, logprobs))
            size_bytes = sum(path.stat().st_size for path in folder.iterdir())
        if registered is not None:
            _compare(registered, digest)
            return size_bytes
        weights = self._weights(version, digest, size_bytes, traceparent)
        self._store.publish(weights)
        return size_bytes

    def _write(
        self,
        source: Source,
        folder: Path,
        version: int,
        parent: int | None,
        probe: tuple[ProbeSequence, ...],
    ) -> str:
        """Fill `folder`; return the digest, a function of content and lineage alone.

        Neither the run's name nor the trace is part of it: the same training, played again
        under another name, gives the same digest.
        """
        source.write_weights(folder)
        for path in self._origin.companions:
            (folder / path.name).write_bytes(path.read_bytes())
        if probe:
            write_probe(folder, probe)
        return seal(
            folder,
            version=version,
            parent=parent,
            dtype=self._origin.dtype,
            base_model=self._origin.base_model,
        )

    def _weights(self, version: int, digest: str, size_bytes: int, traceparent: str) -> Weights:
        return Weights(
            run=self._origin.run,
            version=version,
            uri=self._versions.uri(version),
            manifest_digest=digest,
            size_bytes=size_bytes,
            attributes={
                "base_model": self._origin.base_model,
                "dtype": self._origin.dtype,
                "traceparent": traceparent,
            },
        )


def choose_probe(sequences: Sequence[BatchSequence], *, limit: int) -> list[BatchSequence]:
    """Pick sequences evenly spread over the batch, so that every group of it is met.

    A function of the batch alone: the probe is part of the version's digest.
    """
    usable = [sequence for sequence in sequences if len(sequence.token_ids)]
    count = min(limit, len(usable))
    spread = [usable[index * len(usable) // count] for index in range(count)]
    chosen: list[BatchSequence] = []
    tokens = 0
    for sequence in spread:
        tokens += tokens_of(sequence)
        if tokens > PROBE_TOKENS_MAX and chosen:
            break
        chosen.append(sequence)
    return chosen


def probe_of(
    sequences: Sequence[BatchSequence], logprobs: Sequence[tuple[float, ...]]
) -> tuple[ProbeSequence, ...]:
    """Join sequences with what the new weights say of them."""
    return tuple(
        ProbeSequence(
            token_ids=(*sequence.prompt_token_ids, *sequence.token_ids),
            prompt_tokens=len(sequence.prompt_token_ids),
            logprobs=found,
        )
        for sequence, found in zip(sequences, logprobs, strict=True)
    )


def _compare(registered: Weights, digest: str) -> None:
    if registered.manifest_digest != digest:
        raise ReplayMismatchError(
            f"training round {registered.version} of run {registered.run} again gave the digest "
            f"{digest}, but {registered.manifest_digest} is registered and may have been served: "
            "the replay is not deterministic. Use the same machine type, threads and versions as "
            "before, on GPUs deterministic=true, or checkpoint_every_rounds=1, which needs no "
            "replay"
        )
