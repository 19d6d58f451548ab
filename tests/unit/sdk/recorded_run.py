"""A run as the platform would have stored it: seeds, rounds, evaluations. Made, not played."""

import random
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from zeroloop.core import figures
from zeroloop.core.batches import Weights
from zeroloop.core.figures import by_kind
from zeroloop.core.presets import PRESETS
from zeroloop.core.rounds import (
    Episode,
    Estimate,
    Record,
    Round,
    RoundState,
    Stage,
    StageSummary,
    StoredVerdict,
)
from zeroloop.core.runs import EventType, Phase, Run, RunEvent, RunSpec, RunStatus
from zeroloop.core.stored_tasks import Lineage, Observation, Origin, StoredTask
from zeroloop.core.tasks import Case, Kind, Outcome, Role, Task

NAME = "demo"
BEGAN = datetime(2026, 5, 4, 9, 30, tzinfo=UTC)
ROUND_S = 41.0
IDLE_RATIO = 0.1
PAUSED_S = 0.2
ROLLOUTS = 8
HELDOUT = 60
PER_KIND = 16

_BODIES = (
    ("return x[::-1]", "'abc'", "'cba'"),
    ("return x * 2", "21", "42"),
    ("return sum(i for i in x if i > 2)", "[1, 2, 3, 4]", "7"),
    ("a = sorted(x)\n    return a[0]", "[3, 1, 2]", "1"),
    ("s = 0\n    for i in x:\n        s += i * i\n    return s", "[1, 2, 3]", "14"),
    ("return {k: len(k) for k in x}", "['a', 'bb']", "{'a': 1, 'bb': 2}"),
)


@dataclass(frozen=True)
class RecordedRun:
    """Everything that the fake platform serves."""

    run: Run
    rounds: tuple[Round, ...]
    tasks: tuple[StoredTask, ...]
    records: dict[tuple[int, Stage], tuple[Record, ...]]
    weights: tuple[Weights, ...]
    events: tuple[RunEvent, ...]


def recorded_run(rounds: int = 14, *, with_metrics: bool = True, seed: int = 7) -> RecordedRun:
    """Make a run of so many rounds whose solver slowly improves."""
    dice = random.Random(seed)
    records: dict[tuple[int, Stage], tuple[Record, ...]] = {}
    tasks = [_task(dice, 0, i, kind) for kind in Kind for i in range(4)]
    records[0, Stage.EVALUATE] = _evaluation(dice, 0.0)
    for index in range(1, rounds + 1):
        new = [_task(dice, index, i, kind) for kind in Kind for i in range(PER_KIND - 1)]
        tasks += new
        records |= _records(dice, index, new)
    records[rounds, Stage.EVALUATE] = _evaluation(dice, 0.12)
    return RecordedRun(
        run=_run(rounds, len(tasks)),
        rounds=tuple(_round(i, rounds, records, with_metrics) for i in range(rounds + 1)),
        tasks=tuple(_numbered(tasks)),
        records=records,
        weights=tuple(_weights(i) for i in range(max(0, rounds - 2), rounds + 1)),
        events=tuple(_events(rounds)),
    )


def _run(rounds: int, tasks: int) -> Run:
    return Run(
        name=NAME,
        spec=RunSpec(
            model="models/seedling",
            rounds=rounds,
            preset="seedling",
            seed=7,
            settings={"rollouts": ROLLOUTS, "paper_eq4": True},
        ),
        status=RunStatus(
            phase=Phase.COMPLETED,
            round=rounds,
            weights_version=rounds,
            tasks=tasks,
            solver_accuracy=0.34,
            started_at=BEGAN,
            ended_at=BEGAN + timedelta(seconds=ROUND_S * rounds + 30),
        ),
        created_at=BEGAN,
        effective_settings={
            **PRESETS["seedling"].settings.with_changes({"paper_eq4": True}).to_mapping(),
            "pipeline.overlap": True,
        },
    )


def _task(dice: random.Random, round_index: int, number: int, kind: Kind) -> StoredTask:
    body, given, found = _BODIES[dice.randrange(len(_BODIES))]
    pad = "" if dice.random() < 0.2 else f"b = {dice.randrange(90)}\n    "
    cases = [Case(given, found)] * (10 if kind is Kind.INDUCTION else 1)
    solved = min(ROLLOUTS, max(0, round(dice.gauss(2.4, 2.2))))
    return StoredTask(
        task=Task(
            domain="code",
            kind=kind,
            program=f"def f(x):\n    {pad}{body}",
            cases=tuple(cases),
            message="What does it do to its input?" if kind is Kind.INDUCTION else "",
            shown=5 if kind is Kind.INDUCTION else 0,
            task_id=f"{kind[:3]}-{round_index}-{number}",
        ),
        run=NAME,
        lineage=Lineage(
            round=round_index,
            proposed_by_weights=max(0, round_index - 1),
            validator="code-1",
            origin=Origin.ROUND if round_index else Origin.SEED,
        ),
        sequence=0,
        admitted_at=BEGAN + timedelta(seconds=ROUND_S * round_index),
        observations=(
            Observation(
                round=round_index,
                weights_version=max(0, round_index - 1),
                attempts=ROLLOUTS,
                success_rate=solved / ROLLOUTS,
            ),
        )
        if round_index
        else (),
    )


def _numbered(tasks: list[StoredTask]) -> list[StoredTask]:
    from dataclasses import replace

    return [replace(task, sequence=number) for number, task in enumerate(tasks)]


def _episode(index: int, kind: Kind, role: Role, **more: object) -> Episode:
    values: dict[str, object] = {
        "index": index,
        "kind": kind,
        "role": role,
        "prompt_token_ids": [1, 2],
        "token_ids": [3, 4, 5],
        **more,
    }
    return Episode(**values)  # type: ignore[arg-type]


def _records(
    dice: random.Random, index: int, tasks: list[StoredTask]
) -> dict[tuple[int, Stage], tuple[Record, ...]]:
    proposals, verdicts, estimates = [], [], []
    for kind in Kind:
        mine = [task for task in tasks if task.kind is kind]
        for number in range(PER_KIND):
            at = len(proposals)
            proposals.append(_episode(at, kind, Role.PROPOSER))
            if number >= len(mine):
                verdicts.append(StoredVerdict(index=at, rejection="syntax_error"))
                continue
            verdicts.append(StoredVerdict(index=at, task=mine[number].task, format_ok=True))
            solved = round((mine[number].success_rate or 0) * ROLLOUTS)
            right = [Outcome.CORRECT] * solved + [Outcome.WRONG] * (ROLLOUTS - solved)
            scores = tuple(float(o is Outcome.CORRECT) for o in right)
            estimates.append(Estimate(index=at, outcomes=tuple(right), accuracies=scores))
    return {
        (index, Stage.PROPOSE): tuple(proposals),
        (index, Stage.VALIDATE): tuple(verdicts),
        (index, Stage.ESTIMATE): tuple(estimates),
        (index, Stage.SOLVE): _solved(dice, index),
        (index, Stage.REWARD): (),
    }


def _solved(dice: random.Random, index: int) -> tuple[Record, ...]:
    base = {Kind.ABDUCTION: 0.33, Kind.DEDUCTION: 0.28, Kind.INDUCTION: 0.16}
    episodes = []
    for kind in Kind:
        for _ in range(PER_KIND):
            won = dice.random() < base[kind] + 0.006 * index
            outcome = Outcome.CORRECT if won else Outcome.WRONG
            episodes.append(
                _episode(len(episodes), kind, Role.SOLVER, outcome=outcome, accuracy=float(won))
            )
    return tuple(episodes)


def _evaluation(dice: random.Random, gain: float) -> tuple[Record, ...]:
    """Sample the same tasks each time: half of them out of reach, half within it."""
    episodes = []
    for kind in Kind:
        for number in range(HELDOUT):
            chance = 0.02 if number % 2 else 0.38 + gain * (kind is not Kind.INDUCTION)
            won = dice.random() < chance
            outcome = Outcome.CORRECT if won else Outcome.WRONG
            episodes.append(
                _episode(
                    len(episodes),
                    kind,
                    Role.SOLVER,
                    task_id=f"held-{kind}-{number}",
                    outcome=outcome,
                    accuracy=float(won),
                )
            )
    return tuple(episodes)


_STAGE_S = {
    Stage.EVALUATE: 21.0,
    Stage.PROPOSE: 7.2,
    Stage.VALIDATE: 5.9,
    Stage.ESTIMATE: 14.1,
    Stage.SOLVE: 4.4,
    Stage.REWARD: 0.1,
}


def _round(
    index: int,
    rounds: int,
    records: dict[tuple[int, Stage], tuple[Record, ...]],
    with_metrics: bool,
) -> Round:
    opened = BEGAN + timedelta(seconds=ROUND_S * index)
    stages, at_s = [], 0.0
    for stage in Stage:
        if (index, stage) not in records:
            continue
        overlapping = stage is Stage.VALIDATE
        at_s = at_s + 1.0 if overlapping else at_s + _STAGE_S[stage]
        stages.append(
            StageSummary(
                stage=stage,
                records=len(records[index, stage]),
                duration_s=_STAGE_S[stage],
                figures={
                    figures.TOKENS: 3.0 * len(records[index, stage]),
                    "runs.ok": 90.0,
                    "runs.timeout": 2.0,
                },
                stored_at=opened + timedelta(seconds=at_s),
            )
        )
    return Round(
        run=NAME,
        round=index,
        state=RoundState.TRAINED if index > 0 else RoundState.COMMITTED,
        weights_version=max(0, index - 1),
        opened_at=opened,
        committed_at=opened + timedelta(seconds=at_s + 0.3),
        stages=tuple(stages),
        metrics=_metrics(index) if with_metrics and index else {},
        traceparent="00-" + "ab" * 16 + "-" + "cd" * 8 + "-01",
    )


def _metrics(index: int) -> dict[str, float]:
    accuracies = {Kind.ABDUCTION: 0.38, Kind.DEDUCTION: 0.34, Kind.INDUCTION: 0.21}
    return {
        figures.PROPOSALS: 48,
        figures.VALID: 45,
        figures.DISTINCT: 41,
        figures.VALIDITY: 45 / 48,
        **{by_kind(figures.VALIDITY, kind): 15 / 16 for kind in Kind},
        figures.LEARNABLE: 0.61,
        figures.SOLVER_ACCURACY: 0.31,
        **{by_kind(figures.SOLVER_ACCURACY, k): v + 0.004 * index for k, v in accuracies.items()},
        figures.LOSS: 0.02,
        "duration_s.train": 6.1,
        "duration_s.roll": 0.6,
    }


def _weights(version: int) -> Weights:
    return Weights(
        run=NAME,
        version=version,
        uri=f"/nowhere/weights/{version}",
        manifest_digest="0" * 64,
        size_bytes=7_340_032,
        published_at=BEGAN + timedelta(seconds=ROUND_S * version),
    )


def _events(rounds: int) -> list[RunEvent]:
    at = BEGAN
    found = [
        RunEvent(
            at=at,
            type=EventType.STATE,
            message="services are ready",
            figures={
                "started_s.buffer": 0.8,
                "started_s.execution": 0.4,
                "started_s.inference": 17,
            },
        ),
        RunEvent(at=at, type=EventType.EVALUATION, stage="evaluate", figures=_heldout(0.20)),
    ]
    for index in range(1, rounds + 1):
        for stage in ("propose", "estimate", "train"):
            at += timedelta(seconds=10)
            found.append(
                RunEvent(
                    at=at,
                    type=EventType.PROGRESS,
                    round=index,
                    stage=stage,
                    figures={
                        figures.DONE: 24,
                        figures.TOTAL: 48,
                        figures.TOKENS_PER_S: 3400,
                        figures.EXECUTIONS_PER_S: 110,
                    },
                )
            )
        found += [
            RunEvent(
                at=at,
                type=EventType.WEIGHTS,
                round=index,
                figures={figures.WEIGHTS_VERSION: index, figures.PAUSED_S: PAUSED_S},
            ),
            RunEvent(
                at=at,
                type=EventType.ROUND,
                round=index,
                figures={
                    **_metrics(index),
                    figures.DURATION_S: ROUND_S,
                    figures.WALL_S: ROUND_S,
                    figures.IDLE_S: IDLE_RATIO * ROUND_S,
                    figures.TASKS: 45 * index,
                },
            ),
        ]
    found.append(
        RunEvent(
            at=at,
            type=EventType.EVALUATION,
            round=rounds,
            stage="evaluate",
            figures=_heldout(0.22),
        )
    )
    found.append(RunEvent(at=at, type=EventType.STATE, round=rounds, message="completed"))
    return found


def _heldout(accuracy: float) -> dict[str, float]:
    return {
        **{by_kind(figures.HELDOUT_ACCURACY, kind): accuracy for kind in Kind},
        **{by_kind(figures.HELDOUT_TASKS, kind): 300 for kind in Kind},
    }
