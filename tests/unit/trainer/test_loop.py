"""The loop on a fake learner and a store in memory: whatever dies, each batch counts once."""

import errno
import random
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.unit.trainer.fakes import HistoryLearner, Killed
from tests.unit.trainer.samples import batch, sequence
from trainer.checkpoints import Checkpoints, Identity
from trainer.exits import ExitCode, ReplayMismatchError
from trainer.group import SoloGroup
from trainer.loop import Schedule, Trainer
from trainer.publisher import Origin, Publisher
from trainer.stopping import StopRequest
from trainer.store import MemoryStore
from zeroloop.core.batches import LeasedBatch, Weights
from zeroloop.errors import ConfigError, CorruptDataError, FailedPreconditionError
from zeroloop.weights_folder import verify
from zeroloop.weights_store import FolderStore

ROUNDS = 5


class FaultyStore(MemoryStore):
    """Dies before or after a write, as a process can."""

    fault: Callable[[str], None] = staticmethod(lambda _: None)
    released: str = ""

    def release(self, lease_token: str) -> None:
        self.released = lease_token

    def publish(self, weights: Weights) -> None:
        self.fault("publish")
        super().publish(weights)
        self.fault("published")

    def ack(self, lease_token: str, metrics: Mapping[str, float]) -> None:
        self.fault("ack")
        super().ack(lease_token, metrics)
        self.fault("acked")


def store_of(rounds: int) -> FaultyStore:
    return FaultyStore("r", {index: batch(4, seed=index) for index in range(1, rounds + 1)})


def trainer_of(
    folder: Path, store: MemoryStore, learner: HistoryLearner, **changes: Any
) -> Trainer:
    values: dict[str, Any] = {
        "every": 1,
        "last": ROUNDS,
        "stop": StopRequest(),
        "keep": 2,
        "stage": 2,
    }
    values |= changes
    identity = Identity(
        run="r", base_model="m", zero_stage=values["stage"], ranks=1, dtype="float32"
    )
    origin = Origin(run="r", base_model="m", dtype="float32", companions=[])
    group = SoloGroup()
    return Trainer(
        learner,
        group,
        Checkpoints(folder / "checkpoints", identity, group, keep=values["keep"]),
        Publisher(FolderStore(folder / "weights"), origin, group, store, probe_sequences=2),
        store,
        schedule=Schedule(
            checkpoint_every_rounds=values["every"], last_round=values["last"], poll_s=0.1
        ),
        stop=values["stop"],
    )


def digests(store: MemoryStore) -> list[str]:
    return [store.weights[version].manifest_digest for version in sorted(store.weights)]


def test_every_round_is_trained_published_and_acknowledged(tmp_path: Path) -> None:
    store, learner = store_of(ROUNDS), HistoryLearner()

    code = trainer_of(tmp_path, store, learner).run()

    assert code == ExitCode.DONE
    assert store.acks == list(range(1, ROUNDS + 1))
    assert sorted(store.weights) == list(range(ROUNDS + 1))
    assert len(learner.history) == ROUNDS
    assert store.metrics[1]["loss"] == 0.5
    assert [path.name for path in sorted((tmp_path / "checkpoints").iterdir())] == ["4", "5"]


def test_a_published_version_verifies_and_carries_lineage_and_probe(tmp_path: Path) -> None:
    store = store_of(2)
    trainer_of(tmp_path, store, HistoryLearner(), last=2).run()

    version = verify(Path(store.weights[2].uri), store.weights[2].manifest_digest)

    assert (version.manifest.version, version.manifest.parent) == (2, 1)
    assert version.size_bytes == store.weights[2].size_bytes
    first = store.batches[2][0]
    assert version.probe[0].token_ids == (*first.prompt_token_ids, *first.token_ids)
    assert len(version.probe) == 2
    assert verify(Path(store.weights[0].uri)).manifest.parent is None


@pytest.mark.parametrize("every", [1, 3])
@pytest.mark.parametrize("seed", range(12))
def test_every_batch_counts_once_whatever_dies(tmp_path: Path, seed: int, every: int) -> None:
    """The process is killed at random moments. A failing seed replays exactly."""
    dice = random.Random(seed)

    def fault(_place: str) -> None:
        if dice.random() < 0.12:
            raise Killed

    store = store_of(ROUNDS)
    store.fault = fault
    code, starts = None, 0
    while code is None:
        starts += 1
        assert starts < 500, "the run is stuck"
        learner = HistoryLearner(fault)
        try:
            code = trainer_of(tmp_path, store, learner, every=every).run()
        except Killed:
            continue

    undisturbed = store_of(ROUNDS)
    trainer_of(tmp_path / "undisturbed", undisturbed, HistoryLearner(), every=every).run()
    assert code == ExitCode.DONE
    assert digests(store) == digests(undisturbed)
    assert (
        learner.history
        == (tmp_path / "weights" / str(ROUNDS) / "model.safetensors").read_text().split()
    )
    assert sorted(store.metrics) == list(range(1, ROUNDS + 1))
    assert not list(tmp_path.rglob(".building-*"))


@pytest.mark.parametrize("length", [1, 2, 3])
def test_segments_train_what_one_trainer_would(tmp_path: Path, length: int) -> None:
    store = store_of(ROUNDS)
    for last in (*range(length, ROUNDS, length), ROUNDS):
        code = trainer_of(tmp_path, store, HistoryLearner(), every=10, last=last).run()
        assert code == ExitCode.DONE
        assert store.acks == list(range(1, last + 1)), "no further than its segment"
        assert (tmp_path / "checkpoints" / str(last)).is_dir(), "whatever the schedule says"

    whole = store_of(ROUNDS)
    trainer_of(tmp_path / "whole", whole, HistoryLearner(), every=10).run()
    assert digests(store) == digests(whole)


def test_a_segment_does_not_end_before_its_last_batch_is_acknowledged(tmp_path: Path) -> None:
    """Whoever published and was killed may hold the lease for a minute."""

    class HeldStore(FaultyStore):
        held = 0

        def lease(self, *, wait_s: float) -> LeasedBatch | None:
            self.held -= 1
            return None if self.held >= 0 else super().lease(wait_s=wait_s)

    def die(place: str) -> None:
        if place == "ack":
            raise Killed

    store = HeldStore("r", {1: batch(4), 2: batch(4)})
    store.fault = die
    with pytest.raises(Killed):
        trainer_of(tmp_path, store, HistoryLearner(), last=1).run()
    store.fault, store.held = lambda _: None, 3
    learner = HistoryLearner()

    code = trainer_of(tmp_path, store, learner, last=1).run()

    assert code == ExitCode.DONE
    assert store.acks == [1]
    assert len(learner.history) == 1, "it is in the checkpoint and not trained again"


def test_a_request_to_stop_is_answered_with_a_checkpoint(tmp_path: Path) -> None:
    store, stop = store_of(5), StopRequest()

    def ack(place: str) -> None:
        if place == "acked" and len(store.acks) == 2:
            stop.request()

    store.fault = ack

    code = trainer_of(tmp_path, store, HistoryLearner(), every=10, stop=stop).run()

    assert code == ExitCode.STOPPED
    assert store.acks == [1, 2]
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["2"]


def test_a_step_is_given_up_when_asked_to_stop(tmp_path: Path) -> None:
    store, stop = store_of(1), StopRequest()
    learner = HistoryLearner(lambda place: stop.request() if place == "step" else None)

    code = trainer_of(tmp_path, store, learner, stop=stop).run()

    assert code == ExitCode.STOPPED
    assert learner.history == []
    assert store.acks == []
    assert sorted(store.weights) == [0]


def test_a_replay_that_gives_other_weights_is_refused(tmp_path: Path) -> None:
    store = store_of(2)
    trainer_of(tmp_path, store, HistoryLearner(), last=2).run()
    store.batches[2] = batch(4, seed=99)
    forget(tmp_path)

    with pytest.raises(ReplayMismatchError, match=r"round 2 of run r again.*not deterministic"):
        trainer_of(tmp_path, store, HistoryLearner(), last=2).run()


def test_a_replay_needs_its_batch(tmp_path: Path) -> None:
    store = store_of(2)
    trainer_of(tmp_path, store, HistoryLearner(), last=2).run()
    del store.batches[1]
    forget(tmp_path)

    with pytest.raises(CorruptDataError, match=r"round 1 has to be trained again.*Keep more"):
        trainer_of(tmp_path, store, HistoryLearner(), last=2).run()


def test_pruned_versions_stay_pruned_in_a_replay(tmp_path: Path) -> None:
    store = store_of(3)
    trainer_of(tmp_path, store, HistoryLearner(), last=3).run()
    forget(tmp_path)
    shutil.rmtree(tmp_path / "weights" / "1")

    trainer_of(tmp_path, store, HistoryLearner(), last=3).run()

    assert sorted(path.name for path in (tmp_path / "weights").iterdir()) == ["0", "2", "3"]


def test_a_checkpoint_of_another_run_is_refused(tmp_path: Path) -> None:
    trainer_of(tmp_path, store_of(3), HistoryLearner(), last=3).run()

    with pytest.raises(CorruptDataError, match=r"at round 3, the registry ends at version 0"):
        trainer_of(tmp_path, store_of(0), HistoryLearner(), last=3).run()


def test_a_checkpoint_of_other_settings_is_refused(tmp_path: Path) -> None:
    store = store_of(1)
    trainer_of(tmp_path, store, HistoryLearner(), last=1).run()

    with pytest.raises(ConfigError, match="zero_stage is 2 there and 3 here"):
        trainer_of(tmp_path, store, HistoryLearner(), last=1, stage=3).run()


def test_a_half_written_checkpoint_does_not_count(tmp_path: Path) -> None:
    store = store_of(2)
    trainer_of(tmp_path, store, HistoryLearner(), last=1).run()
    (tmp_path / "checkpoints" / ".building-2").mkdir()
    (tmp_path / "checkpoints" / "2").mkdir()
    learner = HistoryLearner()

    trainer_of(tmp_path, store, learner, last=2).run()

    assert len(learner.history) == 2
    assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir()) == ["1", "2"]


@pytest.mark.parametrize(
    ("free_bytes", "code"), [(0, errno.ENOSPC), (1 << 40, errno.EIO)], ids=["full", "broken"]
)
def test_a_checkpoint_that_cannot_be_written_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free_bytes: int, code: int
) -> None:
    """torch's writer raises a RuntimeError of its own when the disk is full."""

    def fail(place: str) -> None:
        if place == "saved":
            raise RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 6 vs 1")

    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=free_bytes))
    store = store_of(1)

    with pytest.raises(OSError, match="checkpoints") as caught:
        trainer_of(tmp_path, store, HistoryLearner(fail), last=1).run()

    assert caught.value.errno == code
    assert store.released == "1", "the next attempt waits for the lease"
    assert list((tmp_path / "checkpoints").iterdir()) == []


def test_a_round_without_sequences_publishes_the_weights_as_they_are(tmp_path: Path) -> None:
    store, learner = store_of(2), HistoryLearner()
    store.batches[1] = []

    trainer_of(tmp_path, store, learner, last=2).run()

    assert len(learner.history) == 1
    assert sorted(store.weights) == [0, 1, 2]


def test_a_bad_batch_ends_the_trainer_before_it_is_trained(tmp_path: Path) -> None:
    store, learner = store_of(0), HistoryLearner()
    store.batches[1] = [sequence(token_ids=[64, 1])]

    with pytest.raises(CorruptDataError, match="round 1: sequence 0 has the token id 64"):
        trainer_of(tmp_path, store, learner).run()

    assert learner.history == []


def test_a_lost_lease_is_no_reason_to_train_twice(tmp_path: Path) -> None:
    class LosingStore(FaultyStore):
        lost = 1

        def ack(self, lease_token: str, metrics: Mapping[str, float]) -> None:
            if self.lost:
                self.lost -= 1
                raise FailedPreconditionError("another one holds it")
            super().ack(lease_token, metrics)

    store, learner = LosingStore("r", {1: batch(4)}), HistoryLearner()

    trainer_of(tmp_path, store, learner, last=1).run()

    assert len(learner.history) == 1
    assert store.acks == [1]


def forget(folder: Path) -> None:
    """Lose all checkpoints."""
    shutil.rmtree(folder / "checkpoints")
