"""The controller's API through a real server: create, watch, suspend, resume, stop, fail."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.services.controller_server import Controller, serving
from zeroloop.client.channel import open_channel
from zeroloop.client.controller import RunClient
from zeroloop.core.runs import ConditionType, EventType, Phase, Run, RunEvent, RunSpec
from zeroloop.errors import (
    AlreadyExistsError,
    AuthError,
    FailedPreconditionError,
    InvalidRequestError,
    NotFoundError,
    UnavailableError,
)


@pytest.fixture
def spec(tmp_path: Path) -> RunSpec:
    model = tmp_path / "model"
    model.mkdir()
    (model / "config.json").write_text("{}")
    (model / "model.safetensors").write_bytes(b"")
    task = {
        "kind": "deduction",
        "program": "def f(x): return x",
        "cases": [{"input": "1", "output": "1"}],
    }
    (model / "heldout.jsonl").write_text(json.dumps(task) + "\n")
    return RunSpec(model=str(model), preset="seedling", rounds=3, seed=7)


@pytest.fixture
async def controller(tmp_path: Path) -> AsyncIterator[Controller]:
    async with serving(tmp_path / "runs") as controller:
        yield controller


async def ended(controller: Controller, name: str) -> tuple[Run, list[RunEvent]]:
    run: Run | None = None
    events: list[RunEvent] = []
    async for update in controller.client.watch_run(name, deadline_s=20):
        run = update.run or run
        events += [update.event] if update.event else []
    assert run is not None
    return run, events


async def until(controller: Controller, name: str, phase: Phase) -> Run:
    async with asyncio.timeout(10):
        while True:
            run = await controller.client.get_run(name)
            if run.status.phase is phase:
                return run
            await asyncio.sleep(0.01)


async def test_a_run_is_played_to_its_end_and_watched(
    controller: Controller, spec: RunSpec
) -> None:
    controller.step_s = 0.002
    made = await controller.client.create_run(spec, request_id="q", name="first")
    run, events = await ended(controller, "first")

    assert made.effective_settings["samples_per_group"] == 16
    assert run.status.phase is Phase.COMPLETED
    assert run.status.ended_at is not None
    completed = run.status.condition(ConditionType.COMPLETED)
    assert completed is not None
    assert completed.reason == "AllRoundsPlayed"
    assert controller.platforms["first"].trained == [1, 2, 3]
    assert controller.platforms["first"].trainer_stopped
    assert [e.type for e in events][-1] is EventType.STATE
    kept = [json.loads(line) for line in (controller.folder / "first/events.jsonl").open()]
    assert {e["type"] for e in kept} >= {"stage", "state"}


async def test_repeating_a_request_makes_one_run(controller: Controller, spec: RunSpec) -> None:
    first = await controller.client.create_run(spec, request_id="same")
    second = await controller.client.create_run(spec, request_id="same")

    assert first.name == second.name
    assert len((await controller.client.list_runs()).runs) == 1


async def test_a_name_is_not_taken_over_by_another_spec(
    controller: Controller, spec: RunSpec
) -> None:
    await controller.client.create_run(spec, request_id="a", name="mine")

    with pytest.raises(AlreadyExistsError, match="another spec"):
        await controller.client.create_run(replace(spec, seed=8), request_id="a", name="mine")


async def test_every_wrong_field_is_named(controller: Controller) -> None:
    wrong = RunSpec(model="/nowhere", rounds=-1, settings={"rollout": 1, "keep.weights": 0})

    with pytest.raises(InvalidRequestError) as caught:
        await controller.client.create_run(wrong, request_id="q")

    fields = {violation.field for violation in caught.value.violations}
    assert fields >= {"spec.rounds", "spec.model", "spec.settings.keep.weights"}
    assert (await controller.client.list_runs()).runs == ()


async def test_a_run_without_rounds_plays_as_many_as_its_settings_say(
    controller: Controller, spec: RunSpec
) -> None:
    unsaid = replace(spec, rounds=0, settings={**spec.settings, "total_steps": 2})
    made = await controller.client.create_run(unsaid, request_id="q", name="r")
    again = await controller.client.create_run(unsaid, request_id="q", name="r")

    assert made.spec.rounds == again.spec.rounds == 2


async def test_held_out_tasks_that_are_none_are_refused_with_their_line(
    controller: Controller, spec: RunSpec
) -> None:
    path = Path(spec.model) / "heldout.jsonl"
    path.write_text(path.read_text() + '{"kind": "deduction"}\n')

    with pytest.raises(InvalidRequestError, match="line 2 is no task"):
        await controller.client.create_run(spec, request_id="q")


async def test_a_suspended_run_goes_on_where_it_was(controller: Controller, spec: RunSpec) -> None:
    controller.step_s = 0.02
    await controller.client.create_run(spec, request_id="q", name="r")
    await until(controller, "r", Phase.PLAYING)
    await controller.client.suspend_run("r")
    await until(controller, "r", Phase.SUSPENDED)
    before = list(controller.platforms["r"].trained)
    assert before != [1, 2, 3]

    await controller.client.resume_run("r")
    run, _ = await ended(controller, "r")

    assert run.status.phase is Phase.COMPLETED
    assert controller.platforms["r"].trained == [1, 2, 3]


async def test_a_completed_run_can_be_given_more_rounds(
    controller: Controller, spec: RunSpec
) -> None:
    await controller.client.create_run(spec, request_id="q", name="r")
    await until(controller, "r", Phase.COMPLETED)

    await controller.client.resume_run("r", rounds=5)
    run = await until(controller, "r", Phase.COMPLETED)

    assert run.spec.rounds == 5
    assert controller.platforms["r"].trained == [1, 2, 3, 4, 5]


async def test_a_stopped_run_leaves_nothing_running_at_once(
    controller: Controller, spec: RunSpec
) -> None:
    controller.step_s = 30.0
    await controller.client.create_run(spec, request_id="q", name="r")
    await until(controller, "r", Phase.PLAYING)

    async with asyncio.timeout(5):
        run = await controller.client.stop_run("r")

    assert run.status.phase is Phase.STOPPED
    assert controller.platforms["r"].closed
    with pytest.raises(FailedPreconditionError, match="no services run for r"):
        await controller.client.get_endpoints("r")


async def given_up_while_it_stops(controller: Controller, spec: RunSpec) -> None:
    """Play run `r`, and cancel the call that stops it while its services end."""
    controller.step_s = 30.0
    controller.closes_at_once = False
    await controller.client.create_run(spec, request_id="q", name="r")
    await until(controller, "r", Phase.PLAYING)
    call = asyncio.create_task(controller.client.stop_run("r", resumable=True))
    async with asyncio.timeout(5):
        await controller.platforms["r"].closing.wait()
    call.cancel()
    await asyncio.sleep(0.1)  # Until the server knows of it.


async def test_a_run_is_stopped_though_its_caller_gave_up(
    controller: Controller, spec: RunSpec
) -> None:
    await given_up_while_it_stops(controller, spec)
    controller.platforms["r"].may_close.set()

    await until(controller, "r", Phase.SUSPENDED)

    assert controller.platforms["r"].closed


async def test_a_run_is_resumed_after_its_services_have_ended(
    controller: Controller, spec: RunSpec
) -> None:
    await given_up_while_it_stops(controller, spec)
    first = controller.platforms["r"]
    controller.step_s, controller.closes_at_once = 0.0, True
    resumed = asyncio.create_task(controller.client.resume_run("r"))
    await asyncio.sleep(0.1)
    assert not resumed.done(), "two sets of services would share one folder"
    first.may_close.set()
    await resumed

    await until(controller, "r", Phase.COMPLETED)

    assert controller.platforms["r"] is not first


async def test_a_second_run_waits_for_the_first(controller: Controller, spec: RunSpec) -> None:
    controller.step_s = 0.02
    await controller.client.create_run(spec, request_id="1", name="one")
    await controller.client.create_run(spec, request_id="2", name="two")
    await until(controller, "one", Phase.PLAYING)
    assert (await controller.client.get_run("two")).status.phase is Phase.PENDING

    await until(controller, "two", Phase.COMPLETED)

    assert controller.platforms["one"].closed, "the services of an ended run make room"
    assert not controller.platforms["two"].closed, "those of the last run still answer"


async def test_refused_weights_degrade_the_run_until_a_person_resumes_it(
    controller: Controller, spec: RunSpec
) -> None:
    controller.bad_version = 2
    await controller.client.create_run(spec, request_id="q", name="r")

    run = await until(controller, "r", Phase.DEGRADED)

    degraded = run.status.condition(ConditionType.DEGRADED)
    assert degraded is not None
    assert degraded.reason == "WeightsRejected"
    assert run.status.weights_version == 1


async def test_a_run_that_cannot_be_played_fails_with_the_reason(
    controller: Controller, spec: RunSpec
) -> None:
    controller.error = FailedPreconditionError("no prompt fits; raise prompt_tokens_max")
    await controller.client.create_run(spec, request_id="q", name="r")

    run = await until(controller, "r", Phase.FAILED)

    failed = run.status.condition(ConditionType.FAILED)
    assert failed is not None
    assert "raise prompt_tokens_max" in failed.message


async def test_a_bug_fails_the_run_and_not_the_controller(
    controller: Controller, spec: RunSpec
) -> None:
    controller.error = ZeroDivisionError()
    await controller.client.create_run(spec, request_id="q", name="r")
    run = await until(controller, "r", Phase.FAILED)

    failed = run.status.condition(ConditionType.FAILED)
    assert failed is not None
    assert failed.reason == "InternalError"
    controller.error = None
    await controller.client.create_run(spec, request_id="2", name="next")
    await until(controller, "next", Phase.COMPLETED)


@pytest.mark.parametrize(
    ("resume", "phase"),
    [
        pytest.param(False, Phase.SUSPENDED, id="and waits"),
        pytest.param(True, Phase.COMPLETED, id="and goes on"),
    ],
)
async def test_a_new_controller_takes_over_what_the_last_one_left(
    tmp_path: Path, spec: RunSpec, resume: bool, phase: Phase
) -> None:
    async with serving(tmp_path / "runs") as first:
        first.step_s = 30.0
        await first.client.create_run(spec, request_id="q", name="r")
        await until(first, "r", Phase.PLAYING)
        document = (tmp_path / "runs" / "r" / "run.json").read_text()
    # As if it had been killed: what it wrote last is what it wrote while it played.
    (tmp_path / "runs" / "r" / "run.json").write_text(document)

    async with serving(tmp_path / "runs", resume=resume) as second:
        await until(second, "r", phase)


async def test_pages_of_runs_follow_each_other(controller: Controller, spec: RunSpec) -> None:
    for number in range(5):
        await controller.client.create_run(spec, request_id=str(number), name=f"r{number}")
    names: list[str] = []
    token = ""
    while True:
        page = await controller.client.list_runs(page_size=2, page_token=token)
        names += [run.name for run in page.runs]
        token = page.next_page_token
        if not token:
            break

    assert names == ["r4", "r3", "r2", "r1", "r0"]


async def test_what_happened_is_told_page_by_page_as_it_is_kept(
    controller: Controller, spec: RunSpec
) -> None:
    await controller.client.create_run(spec, request_id="q", name="r")
    await until(controller, "r", Phase.COMPLETED)
    events: list[RunEvent] = []
    page = await controller.client.list_events("r", page_size=4)
    events += page.events
    while page.next_page_token:
        page = await controller.client.list_events(
            "r", page_size=4, page_token=page.next_page_token
        )
        events += page.events

    kept = [json.loads(line) for line in (controller.folder / "r/events.jsonl").open()]
    assert [e.message for e in events] == [line["message"] for line in kept]
    assert len(events) > 4
    with pytest.raises(InvalidRequestError, match="page_token"):
        await controller.client.list_events("r", page_token="-1")


async def test_what_does_not_exist_is_not_found(controller: Controller) -> None:
    for call in (
        controller.client.get_run("nobody"),
        controller.client.stop_run("nobody"),
        controller.client.get_endpoints("nobody"),
        controller.client.list_events("nobody"),
    ):
        with pytest.raises(NotFoundError, match="no run 'nobody'"):
            await call


async def test_without_the_token_nothing_is_said(controller: Controller) -> None:
    async with open_channel(controller.address, token="wrong") as opened:
        with pytest.raises(AuthError):
            await RunClient(opened).get_run("r")


async def test_a_watch_ends_when_its_deadline_is_over(
    controller: Controller, spec: RunSpec
) -> None:
    controller.step_s = 30.0
    await controller.client.create_run(spec, request_id="q", name="r")

    with pytest.raises(UnavailableError, match="deadline"):
        async for _ in controller.client.watch_run("r", deadline_s=0.3):
            pass
