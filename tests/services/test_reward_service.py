"""The Reward service over a real wire, with an Execution service that is a fake behind one."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import grpc
import pytest

from services._server.auth import SharedToken, TokenInterceptor
from services._server.errors import ErrorInterceptor
from services.reward.domains.registry import DOMAINS
from services.reward.runs import RetryPolicy
from services.reward.servicer import RewardServicer
from tests.unit.reward.fakes import FakeExecutor
from zeroloop.client import _execution_wire
from zeroloop.client import reward as reward_client
from zeroloop.client.channel import open_channel
from zeroloop.client.execution import ExecutionClient
from zeroloop.client.reward import RewardClient
from zeroloop.core.execution import Limits
from zeroloop.core.judging import (
    Judgement,
    PromptSpec,
    Proposal,
    ProposerEpisode,
    Scored,
    Solution,
    SolverEpisode,
)
from zeroloop.core.presets import PAPER
from zeroloop.core.tasks import Case, Kind, Outcome, Role, Task
from zeroloop.core.validity import Rejection
from zeroloop.errors import InvalidRequestError, OverloadedError, UnavailableError
from zeroloop.execution.v1 import execution_pb2, execution_pb2_grpc
from zeroloop.reward.v1 import reward_pb2 as pb
from zeroloop.reward.v1 import reward_pb2_grpc

TOKEN = "right"
SQUARE = "def f(x):\n    return x * x"
TASK = Task(
    domain="code",
    kind=Kind.ABDUCTION,
    program=SQUARE,
    imports=("import math",),
    cases=(Case("-3", "9"),),
    thought="long reasoning",
)
PAIRS = replace(
    TASK,
    kind=Kind.INDUCTION,
    cases=tuple(Case(str(i), str(i * i)) for i in range(10)),
    message="Square it.",
    shown=5,
)


class FakeExecution(execution_pb2_grpc.ExecutionServiceServicer):
    """Serves a `FakeExecutor`; can hang for ever instead."""

    def __init__(self, executor: FakeExecutor) -> None:
        self.executor = executor
        self.hangs = False
        self.cancelled = asyncio.Event()

    async def Execute(self, request: Any, context: Any) -> AsyncIterator[Any]:
        if self.hangs:
            try:
                await asyncio.Event().wait()
            finally:
                self.cancelled.set()
        programs = [_execution_wire.program_from_pb(program) for program in request.programs]
        limits = _execution_wire.limits_from_pb(request.limits, Limits())
        async for result in self.executor.execute(programs, limits):
            yield execution_pb2.ExecuteResponse(result=_execution_wire.result_to_pb(result))


async def serve(register: Any) -> tuple[grpc.aio.Server, str]:
    server = grpc.aio.server(
        interceptors=[TokenInterceptor(SharedToken(TOKEN)), ErrorInterceptor()]
    )
    register(server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    return server, f"127.0.0.1:{port}"


@pytest.fixture
def executor() -> FakeExecutor:
    return FakeExecutor()


@pytest.fixture
def execution(executor: FakeExecutor) -> FakeExecution:
    return FakeExecution(executor)


@pytest.fixture
async def execution_server(execution: FakeExecution) -> AsyncIterator[tuple[grpc.aio.Server, str]]:
    server, address = await serve(
        lambda s: execution_pb2_grpc.add_ExecutionServiceServicer_to_server(execution, s)
    )
    yield server, address
    await server.stop(grace=None)


@pytest.fixture
async def channel(execution_server: tuple[grpc.aio.Server, str]) -> AsyncIterator[Any]:
    async with open_channel(execution_server[1], token=TOKEN) as towards_execution:
        servicer = RewardServicer(
            DOMAINS, ExecutionClient(towards_execution), RetryPolicy(backoff_s=0.01)
        )
        server, address = await serve(
            lambda s: reward_pb2_grpc.add_RewardServiceServicer_to_server(servicer, s)
        )
        async with open_channel(address, token=TOKEN) as channel:
            yield channel
        await server.stop(grace=None)


@pytest.fixture
def client(channel: Any) -> RewardClient:
    return RewardClient(channel)


def proposal(name: str, program: str, kind: Kind = Kind.DEDUCTION, **changes: Any) -> Proposal:
    response = f"why</think><answer>```python\n{program}\n```\n```input\n-3\n```</answer>"
    return Proposal(proposal_id=name, kind=kind, response=response, **changes)


def solution(name: str, body: str, task: Task = TASK, **changes: Any) -> Solution:
    response = f"why</think><answer>{body}</answer>"
    return Solution(solution_id=name, task=task, response=response, **changes)


async def judged(client: RewardClient, *solutions: Solution) -> dict[str, Judgement]:
    return {one.solution_id: one async for one in client.judge(solutions)}


async def test_domains_are_listed(client: RewardClient) -> None:
    (domain,) = await client.list_domains()
    assert (domain.name, domain.kinds, domain.styles) == ("code", tuple(Kind), ("r1", "compact"))
    assert domain.validator


async def test_prompts_are_rendered_in_order_and_in_the_style_of_the_run(channel: Any) -> None:
    specs = [
        PromptSpec(kind=Kind.ABDUCTION, role=Role.SOLVER, task=TASK),
        PromptSpec(kind=Kind.DEDUCTION, role=Role.PROPOSER, references=(TASK, TASK)),
        PromptSpec(kind=Kind.INDUCTION, role=Role.PROPOSER, task=TASK),
    ]
    r1 = await RewardClient(channel).build_prompts(specs)
    options = PAPER.with_changes({"prompt_style": "compact", "num_inputs": 6})
    compact = await RewardClient(channel, options).build_prompts(specs)
    assert [SQUARE in prompt for prompt in r1] == [True] * 3
    assert "snippet_1" in r1[1]
    assert "Write 10 inputs" in r1[2]
    assert [len(short) < len(long) for short, long in zip(compact, r1, strict=True)] == [True] * 3
    assert "long reasoning" not in "".join(r1 + compact)
    assert await RewardClient(channel).build_prompts([]) == []


async def test_verdicts_stream_and_survive_the_round_trip(
    client: RewardClient, executor: FakeExecutor
) -> None:
    proposals = [
        proposal("good", SQUARE),
        proposal("bad", "import random\n" + SQUARE),
        Proposal(proposal_id="none", kind=Kind.INDUCTION, response="", source=TASK),
    ]
    verdicts = {one.proposal_id: one async for one in client.validate(proposals)}
    good = verdicts["good"]
    assert good.task == replace(
        TASK, kind=Kind.DEDUCTION, imports=(), thought="why", cases=(Case("-3", "9"),)
    )
    assert (good.format_ok, good.runs, good.rejection) == (True, {"ok": 1}, None)
    assert (verdicts["bad"].rejection, verdicts["bad"].detail) == (
        Rejection.BANNED_IMPORT,
        "random",
    )
    assert verdicts["none"].rejection is Rejection.UNPARSABLE
    assert not verdicts["none"].format_ok
    assert executor.limits == [Limits(cpu_time_s=10.0)]


async def test_programs_to_build_on_reach_prompt_and_verdict(client: RewardClient) -> None:
    known = replace(TASK, kind=Kind.DEDUCTION)
    spec = PromptSpec(kind=Kind.DEDUCTION, role=Role.PROPOSER, composites=(known,))
    body = "```python\ndef f(x):\n    return g_0(x) + 1\n```\n```input\n2\n```"
    proposals = [
        Proposal(
            proposal_id=name,
            kind=Kind.DEDUCTION,
            response=f"</think><answer>{body}</answer>",
            composites=composites,
        )
        for name, composites in (("built", (known,)), ("alone", ()))
    ]

    (prompt,) = await client.build_prompts([spec])
    verdicts = {v.proposal_id: v async for v in client.validate(proposals)}

    assert "def g_0(x):" in prompt
    task = verdicts["built"].task
    assert task is not None
    assert (task.cases, task.composites) == (
        (Case("2", "5"),),
        ("def g_0(x):\n    return x * x",),
    )
    assert verdicts["alone"].rejection is Rejection.FAILED


async def test_seeding_reads_the_whole_reply(client: RewardClient) -> None:
    response = f"```python\n{SQUARE} # why\n```\n```input\n2\n```"
    asked = [
        Proposal(proposal_id=str(seeding), kind=Kind.ABDUCTION, response=response, seeding=seeding)
        for seeding in (False, True)
    ]
    verdicts = {one.proposal_id: one async for one in client.validate(asked)}
    assert verdicts["False"].rejection is Rejection.UNPARSABLE
    seed = verdicts["True"].task
    assert seed is not None
    assert (seed.program, seed.cases) == (SQUARE, (Case("2", "4"),))


async def test_answers_are_judged(client: RewardClient) -> None:
    found = await judged(
        client,
        solution("right", "3"),
        solution("wrong", "4"),
        solution("refused", "1) or True #"),
        solution("program", f"```python\n{SQUARE}\n```", PAIRS),
        replace(solution("layout", "3"), response="<answer>3</answer>"),
        replace(solution("any", "3"), response="<answer>3</answer>", require_format=False),
    )
    assert {name: one.outcome for name, one in found.items()} == {
        "right": Outcome.CORRECT,
        "wrong": Outcome.WRONG,
        "refused": Outcome.WRONG,
        "program": Outcome.CORRECT,
        "layout": Outcome.MALFORMED,
        "any": Outcome.CORRECT,
    }
    assert found["program"].runs == {"ok": 5}
    assert (found["right"].accuracy, found["wrong"].accuracy) == (1.0, 0.0)
    assert (found["any"].format_ok, found["right"].format_ok) == (False, True)


async def test_rescoring_judges_again(client: RewardClient) -> None:
    found = [one async for one in client.rescore([solution("s", "3")])]
    assert [one.outcome for one in found] == [Outcome.CORRECT]


async def test_many_answers_travel_in_several_requests(
    client: RewardClient, executor: FakeExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reward_client, "REQUEST_BYTES_MAX", 10_000)
    found = await judged(client, *(solution(str(i), str(i)) for i in range(300)))
    assert len(found) == 300
    assert [i for i in range(300) if found[str(i)].outcome is Outcome.CORRECT] == [3]
    assert executor.runs == 300
    assert len(executor.calls) >= 5


async def test_a_dead_execution_service_is_never_a_verdict(
    client: RewardClient, execution_server: tuple[grpc.aio.Server, str]
) -> None:
    await execution_server[0].stop(grace=None)
    (verdict,) = [one async for one in client.validate([proposal("p", SQUARE)])]
    assert verdict.not_executed
    assert (verdict.task, verdict.rejection) == (None, None)
    found = await judged(
        client,
        solution("a", "4"),
        solution("i", f"```python\n{SQUARE}\n```", PAIRS),
        solution("d", "9", replace(TASK, kind=Kind.DEDUCTION)),
    )
    assert found["a"].outcome is found["i"].outcome is Outcome.NOT_EXECUTED
    assert found["d"].outcome is Outcome.CORRECT


async def test_a_failing_execution_service_is_tried_again(
    client: RewardClient, executor: FakeExecutor
) -> None:
    executor.errors = [UnavailableError("lost"), OverloadedError("full", retry_after_s=0.01)]
    assert (await judged(client, solution("s", "3")))["s"].outcome is Outcome.CORRECT


async def test_rewards_are_computed_and_what_was_not_executed_has_none(
    client: RewardClient,
) -> None:
    proposer, solver = await client.compute(
        [
            ProposerEpisode(valid=True, format_ok=True, rollout_accuracies=(1, 0, 0, 0)),
            ProposerEpisode(valid=True, format_ok=True),
            ProposerEpisode(valid=False, format_ok=True),
        ],
        [
            SolverEpisode(outcome=Outcome.CORRECT, accuracy=1),
            SolverEpisode(outcome=Outcome.NOT_EXECUTED),
            SolverEpisode(outcome=Outcome.WRONG),
        ],
    )
    assert proposer == [
        Scored(value=0.75, success_rate=0.25, learnability=0.75),
        Scored(value=None),
        Scored(value=-1.0),
    ]
    assert [scored.value for scored in solver] == [1.0, None, -0.5]


async def test_options_of_the_run_reach_the_rewards(channel: Any) -> None:
    client = RewardClient(channel, PAPER.with_changes({"paper_eq4": True}))
    episode = ProposerEpisode(valid=True, format_ok=True, rollout_accuracies=(1,))
    (scored,), _ = await client.compute([episode], [])
    assert scored.value == 0.0


async def test_a_call_that_is_left_stops_what_it_started(
    client: RewardClient, execution: FakeExecution
) -> None:
    execution.hangs = True
    waiting = asyncio.ensure_future(judged(client, solution("s", "3")))
    await asyncio.sleep(0.1)
    waiting.cancel()
    await asyncio.wait_for(execution.cancelled.wait(), timeout=5)


@pytest.mark.parametrize(
    ("method", "request_pb", "problem"),
    [
        ("BuildPrompts", pb.BuildPromptsRequest(context=pb.Context(domain="x")), "context.domain"),
        ("BuildPrompts", pb.BuildPromptsRequest(specs=[pb.PromptSpec()]), r"specs\[0\].kind"),
        ("BuildPrompts", pb.BuildPromptsRequest(specs=[pb.PromptSpec()] * 4097), "at most 4096"),
        (
            "ComputeRewards",
            pb.ComputeRewardsRequest(solver=[pb.SolverEpisode(accuracy=2)]),
            r"solver\[0\].accuracy",
        ),
        (
            "ComputeRewards",
            pb.ComputeRewardsRequest(proposer=[pb.ProposerEpisode(rollout_accuracies=[-1])]),
            r"proposer\[0\].rollout_accuracies",
        ),
    ],
)
async def test_a_malformed_request_names_its_field(
    channel: Any, method: str, request_pb: Any, problem: str
) -> None:
    stub = reward_pb2_grpc.RewardServiceStub(channel)
    with pytest.raises(grpc.aio.AioRpcError, match=problem) as caught:
        await getattr(stub, method)(request_pb, timeout=5)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_unknown_options_are_refused_all_at_once(channel: Any) -> None:
    stub = reward_pb2_grpc.RewardServiceStub(channel)
    about = pb.Context()
    about.options.update({"rollout": 3, "equality": "strict"})
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.ComputeRewards(pb.ComputeRewardsRequest(context=about), timeout=5)
    assert "did you mean rollouts?" in str(caught.value.details())
    assert "one of plain, typed, got 'strict'" in str(caught.value.details())


async def test_a_proposal_of_induction_without_its_program_is_refused(
    client: RewardClient,
) -> None:
    what = Proposal(proposal_id="p", kind=Kind.INDUCTION, response="")
    with pytest.raises(InvalidRequestError, match="needs the task it describes"):
        [one async for one in client.validate([what])]


async def test_an_induction_task_without_hidden_pairs_is_refused(client: RewardClient) -> None:
    with pytest.raises(InvalidRequestError, match="beyond those that are shown"):
        await judged(client, solution("s", "x", replace(PAIRS, shown=10)))
