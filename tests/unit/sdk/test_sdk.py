"""Both faces of the SDK against the real wire: what the documentation shows, works."""

import inspect
import threading

import pytest

import zeroloop
from tests.unit.sdk.fake_platform import TOKEN, FakePlatform
from zeroloop import _runs, aio
from zeroloop.core.runs import Endpoints


def test_the_researchers_first_lines(platform: FakePlatform) -> None:
    with zeroloop.connect(platform.address, TOKEN) as z:
        run = z.runs.create(model="models/seedling", preset="seedling", rounds=3, seed=7)
        seen = [(event.round, event.stage, event.solver_accuracy) for event in run.watch()]
        hard = z.tasks.list(run=run.name, kind="deduction", success_rate=(0.1, 0.5), limit=10)
        value = z.exec("def f(x): return x[::-1]", inputs=["'abc'"]).value

    assert (3, "train", 0.0) in seen
    assert value == "'cba'"
    assert 0 < len(hard) <= 10
    for task in hard:
        assert task.kind is zeroloop.Kind.DEDUCTION
        assert task.success_rate is not None
        assert 0.1 <= task.success_rate <= 0.5
        assert task.program.startswith("def f(x):")
        assert task.lineage.proposed_by_weights == task.lineage.round - 1
        assert (task.input, task.output) == (task.task.cases[0].input, task.task.cases[0].output)


async def test_the_asynchronous_face_says_the_same(platform: FakePlatform) -> None:
    async with aio.connect(platform.address, TOKEN) as z:
        run = await z.runs.create(model="models/seedling", rounds=3, name="mine")
        rounds = [event.round async for event in run.watch() if event.type == "round"]
        tasks = await z.tasks.list(run="mine")

    assert run.name == "mine"
    assert run.phase is zeroloop.Phase.COMPLETED
    assert rounds == [1, 2, 3]
    assert len(tasks) == len(platform.recorded.tasks)
    assert tasks[0].sequence > tasks[-1].sequence


def test_lists_read_every_page(platform: FakePlatform) -> None:
    with zeroloop.connect(platform.address, TOKEN) as z:
        for name in ("a", "b", "c"):
            z.runs.create(model="models/seedling", rounds=1, name=name)

        assert [run.name for run in z.runs.list()] == ["a", "b", "c", "demo"]
        assert [run.name for run in z.runs.list(limit=2)] == ["a", "b"]
        assert len(z.tasks.list(run="demo", limit=33)) == 33


def test_a_run_is_steered_by_its_name_or_itself(platform: FakePlatform) -> None:
    with zeroloop.connect(platform.address, TOKEN) as z:
        run = z.runs.get("demo")

        assert run.suspend().phase is zeroloop.Phase.SUSPENDED
        assert z.runs.resume("demo", rounds=9).phase is zeroloop.Phase.PLAYING
        assert z.runs.stop("demo").phase is zeroloop.Phase.STOPPED
        assert run.refresh().phase is zeroloop.Phase.STOPPED


def test_a_watch_survives_a_controller_that_restarts(
    platform: FakePlatform, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_runs, "RECONNECT_AFTER_S", 0.0)
    platform.controller.watches_lost = 3
    with zeroloop.connect(platform.address, TOKEN) as z:
        rounds = [event.round for event in z.runs.get("demo").watch() if event.type == "round"]

    assert rounds == [1, 2, 3]


def test_leaving_a_watch_early_leaves_no_call_open(platform: FakePlatform) -> None:
    with zeroloop.connect(platform.address, TOKEN) as z:
        for _ in z.runs.get("demo").watch():
            break
        assert z.runs.get("demo").name == "demo"
    assert "zeroloop-sdk" not in [thread.name for thread in threading.enumerate()]


def test_records_of_a_stage_come_in_their_order(platform: FakePlatform) -> None:
    with zeroloop.connect(platform.address, TOKEN) as z:
        records = list(z.rounds.records("demo", 2, "solve"))
        rounds = z.rounds.list(run="demo")

    assert [record.index for record in records] == list(range(len(records)))
    assert [one.round for one in rounds] == [0, 1, 2, 3]


def test_results_stand_in_the_order_of_their_inputs(platform: FakePlatform) -> None:
    with zeroloop.connect(platform.address, TOKEN) as z:
        execution = z.exec("def f(x): return x[::-1]", ["'ab'", "'cd'"])
        failed = z.exec("boom", ["1"])
        completions = z.generate(["a", "b"], n=2, seed=5)

    assert execution.values == ("'ba'", "'dc'")
    assert (execution.ok, execution.deterministic) == (True, True)
    assert (failed.ok, failed.value, failed.status) == (False, None, zeroloop.RunStatus.ERROR)
    texts = [[completion.text for completion in group] for group in completions]
    assert texts == [["a 5", "a 6"], ["b 7", "b 8"]]


# ---- errors


def test_a_wrong_token_is_an_error_that_says_where_the_right_one_is(
    platform: FakePlatform,
) -> None:
    z = zeroloop.connect(platform.address, "wrong")
    with z, pytest.raises(zeroloop.AuthError, match="token file"):
        z.runs.list()


def test_an_unknown_setting_is_named_with_a_suggestion(platform: FakePlatform) -> None:
    z = zeroloop.connect(platform.address, TOKEN)
    with z, pytest.raises(zeroloop.InvalidRequestError, match="did you mean rollouts") as caught:
        z.runs.create(model="models/seedling", rounds=1, settings={"rolouts": 4})

    assert caught.value.violations[0].field == "spec.settings.rolouts"


def test_an_unknown_run_kind_or_service_is_an_error_of_the_one_tree(
    platform: FakePlatform,
) -> None:
    with zeroloop.connect(platform.address, TOKEN) as z:
        with pytest.raises(zeroloop.Error, match="no run 'nobody'"):
            z.runs.get("nobody")
        with pytest.raises(zeroloop.Error, match="kind: must be one of abduction"):
            z.tasks.list(run="demo", kind="seduction")
        platform.controller.services_down = True
        with pytest.raises(zeroloop.Error, match="execution service of the platform is not"):
            z.exec("def f(): return 1")


def test_nobody_there_is_an_error_and_not_a_hang() -> None:
    with zeroloop.connect("127.0.0.1:1", TOKEN) as z, pytest.raises(zeroloop.UnavailableError):
        z.runs.list()


async def test_runs_need_a_controller(platform: FakePlatform) -> None:
    async with aio.connect_services(Endpoints(buffer=platform.address), TOKEN) as z:
        assert await z.rounds.list(run="demo")
        with pytest.raises(zeroloop.FailedPreconditionError, match="--address"):
            await z.runs.list()


# ---- the public face


def test_every_public_name_exists() -> None:
    for name in zeroloop.__all__:
        assert getattr(zeroloop, name) is not None
    assert zeroloop.Error is zeroloop.ZeroloopError
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        zeroloop.nothing  # noqa: B018


@pytest.mark.parametrize("name", ["runs", "tasks", "rounds", "weights"])
def test_both_faces_have_the_same_methods_with_the_same_parameters(name: str) -> None:
    asynchronous = getattr(aio.Client(object()), name)  # type: ignore[arg-type]
    client = zeroloop.Client(aio.Client(object()))  # type: ignore[arg-type]
    blocking = getattr(client, name)
    try:
        methods = [m for m in dir(asynchronous) if not m.startswith("_")]
        assert methods
        for method in methods:
            theirs = inspect.signature(getattr(asynchronous, method))
            ours = inspect.signature(getattr(blocking, method))
            assert list(theirs.parameters) == list(ours.parameters)
            assert getattr(blocking, method).__doc__ == getattr(asynchronous, method).__doc__
    finally:
        client.loop.close()
