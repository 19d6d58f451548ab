import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.unit.trainer.samples import batch
from tests.unit.trainer.served_store import ServedStore, serve
from trainer.grpc_store import GrpcStore
from trainer.stopping import StopRequest
from trainer.store import MemoryStore
from zeroloop.client.channel import Access
from zeroloop.core.batches import Weights
from zeroloop.errors import (
    AlreadyExistsError,
    FailedPreconditionError,
    NotFoundError,
    UnavailableError,
)


@pytest.fixture
def served() -> Iterator[ServedStore]:
    with serve(MemoryStore("r", {1: batch(3)})) as served:
        yield served


@pytest.fixture
def stop() -> StopRequest:
    return StopRequest()


@pytest.fixture
def store(served: ServedStore, stop: StopRequest) -> Iterator[GrpcStore]:
    yield from connected(served.target, stop)


def connected(
    target: str, stop: StopRequest, *, lease_s: float = 60.0, unavailable_s: float = 0.0
) -> Iterator[GrpcStore]:
    store = GrpcStore(
        "r", target, Access("secret"), stop=stop, lease_s=lease_s, unavailable_s=unavailable_s
    )
    yield store
    store.close()


def weights(version: int, digest: str = "0" * 64) -> Weights:
    return Weights(run="r", version=version, uri="/w", manifest_digest=digest)


def test_a_batch_makes_the_whole_way(served: ServedStore, store: GrpcStore) -> None:
    leased = store.lease(wait_s=1)
    assert leased is not None
    found, sequences = store.read(leased.batch.round)

    assert found == leased.batch
    assert sequences == served.store.batches[1]
    assert served.batches.metadata[0]["authorization"] == "Bearer secret"

    store.publish(weights(1))
    assert not store.trained(1)
    store.ack(leased.lease_token, {"loss": 0.5})
    assert store.trained(1)
    assert not store.trained(2)
    assert served.store.metrics == {1: {"loss": 0.5}}
    assert store.lease(wait_s=0) is None


def test_errors_keep_their_meaning(served: ServedStore, store: GrpcStore) -> None:
    with pytest.raises(NotFoundError):
        store.read(9)
    with pytest.raises(FailedPreconditionError, match="not published"):
        store.ack("1", {})
    store.publish(weights(1))
    with pytest.raises(AlreadyExistsError):
        store.publish(weights(1, "f" * 64))


def test_versions_are_listed_over_all_pages(served: ServedStore, store: GrpcStore) -> None:
    for version in range(7):
        served.store.publish(weights(version))

    assert [found.version for found in store.versions_after(1)] == [2, 3, 4, 5, 6]
    assert [found.version for found in store.versions_after(-1)] == list(range(7))
    assert store.versions_after(6) == []
    assert store.registered(3) == weights(3)
    assert store.registered(8) is None


def test_a_request_to_stop_ends_the_wait_at_once(
    served: ServedStore, store: GrpcStore, stop: StopRequest
) -> None:
    served.store.batches.clear()
    threading.Timer(0.2, stop.request).start()
    started = time.monotonic()

    assert store.lease(wait_s=30) is None
    assert time.monotonic() - started < 5
    assert store.lease(wait_s=30) is None


def test_a_lease_is_renewed_while_the_step_computes(served: ServedStore, stop: StopRequest) -> None:
    for store in connected(served.target, stop, lease_s=0.15):
        with store.keep("1"):
            deadline = time.monotonic() + 5
            while len(served.batches.renewals) < 3 and time.monotonic() < deadline:
                time.sleep(0.01)
        renewals = len(served.batches.renewals)
        time.sleep(0.2)

    assert renewals >= 3
    assert len(served.batches.renewals) <= renewals + 1


def test_a_lost_lease_does_not_disturb_the_step(served: ServedStore, stop: StopRequest) -> None:
    for store in connected(served.target, stop, lease_s=0.06):
        with store.keep("lost"):
            time.sleep(0.2)

    assert len(served.batches.renewals) == 1


def test_a_released_lease_runs_out_soon(served: ServedStore, store: GrpcStore) -> None:
    store.release("1")
    store.release("lost")

    assert served.batches.renewals == [("1", 1.0), ("lost", 1.0)]


def test_a_service_that_stays_away_is_given_up(stop: StopRequest) -> None:
    for store in connected("127.0.0.1:1", stop, unavailable_s=0.5):
        with pytest.raises(UnavailableError):
            store.lease(wait_s=0)


def test_a_service_that_comes_late_is_waited_for(stop: StopRequest) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    for store in connected(f"127.0.0.1:{port}", stop, unavailable_s=30):
        with ThreadPoolExecutor() as pool:
            found = pool.submit(store.registered, 3)
            threading.Event().wait(0.5)
            late = MemoryStore("r")
            late.publish(weights(3))
            with serve(late, port=port):
                assert found.result(timeout=20) == weights(3)


def test_a_request_to_stop_ends_the_wait_for_a_service(stop: StopRequest) -> None:
    for store in connected("127.0.0.1:1", stop, unavailable_s=300):
        threading.Timer(0.2, stop.request).start()
        with pytest.raises(UnavailableError):
            store.registered(0)
