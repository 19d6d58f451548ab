"""What summary and report are made of: one run, read once, with the figures of each round."""

from collections import Counter, defaultdict
from collections.abc import AsyncIterable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from zeroloop import aio
from zeroloop.core import figures
from zeroloop.core.figures import by_kind
from zeroloop.core.heldout import Change, paired_change
from zeroloop.core.rounds import (
    Episode,
    Estimate,
    Record,
    Round,
    Stage,
    StoredVerdict,
)
from zeroloop.core.runs import EventType, Run, RunEvent
from zeroloop.core.stored_tasks import StoredTask
from zeroloop.core.tasks import Kind, Outcome
from zeroloop.errors import FailedPreconditionError, NotFoundError

_FROM_RECORDS: Mapping[Stage, str] = {
    Stage.VALIDATE: figures.VALIDITY,
    Stage.ESTIMATE: figures.LEARNABLE,
    Stage.SOLVE: figures.SOLVER_ACCURACY,
}
"""Where each figure can be computed from, should a round not carry it."""


@dataclass(frozen=True, slots=True)
class RoundFacts:
    """A round and its figures, stored or computed from its records."""

    round: Round
    figures: Mapping[str, float]
    told: Mapping[str, float] = field(default_factory=dict[str, float])
    """What its events told."""

    @property
    def index(self) -> int:
        """Number of the round; 0 holds the seeds."""
        return self.round.round

    def of(self, name: str, kind: Kind | None = None) -> float | None:
        """A figure, None if unknown."""
        return self.figures.get(by_kind(name, kind) if kind else name)

    @property
    def stage_seconds(self) -> dict[str, float]:
        """Wall time by stage, training and roll included."""
        seconds = {summary.stage.value: summary.duration_s for summary in self.round.stages}
        seconds["train"] = self.round.metrics.get(figures.STEP_S, 0.0)
        seconds["roll"] = self.told.get(figures.PAUSED_S, 0.0)
        return {stage: value for stage, value in seconds.items() if value}

    @property
    def wall_seconds(self) -> dict[str, float]:
        """The round's time by stage, each second once even where stages overlapped."""
        seconds = self.stage_seconds
        for summary in self.round.stages:
            seconds[summary.stage.value] = summary.figures.get(figures.WALL_S, summary.duration_s)
        # Held-out evaluation happens beside the rounds and would hide what a round takes.
        seconds.pop(Stage.EVALUATE.value, None)
        waiting_s = self.told.get(figures.WALL_S, 0.0) - sum(seconds.values())
        return seconds | ({"other": waiting_s} if waiting_s > 0 else {})

    @property
    def idle_ratio(self) -> float | None:
        """Share of the round in which neither engine, sandbox nor optimiser worked."""
        wall_s = self.told.get(figures.WALL_S, 0.0)
        return (
            self.told[figures.IDLE_S] / wall_s if wall_s and figures.IDLE_S in self.told else None
        )

    @property
    def tokens(self) -> int:
        """Tokens that the model generated."""
        return int(sum(s.figures.get(figures.TOKENS, 0) for s in self.round.stages))

    @property
    def runs(self) -> Counter[str]:
        """Runs of programs by status."""
        prefix = f"{figures.RUNS}."
        counts: Counter[str] = Counter()
        for summary in self.round.stages:
            for name, value in summary.figures.items():
                if name.startswith(prefix):
                    counts[name.removeprefix(prefix)] += int(value)
        return counts


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Held-out accuracy under one version of the weights."""

    round: int

    accuracies: Mapping[Kind, Mapping[str, float]]
    """By kind and task id; tasks without an outcome are left out."""


@dataclass(frozen=True, slots=True)
class RunFacts:
    """Everything that summary and report tell."""

    run: Run
    rounds: tuple[RoundFacts, ...]
    """Oldest first, round 0 included."""

    tasks: tuple[StoredTask, ...]
    """Oldest first, seeds included."""

    evaluations: tuple[Evaluation, ...]
    """The first and the last; one of them, or none, if there are not two."""

    @property
    def played(self) -> tuple[RoundFacts, ...]:
        """The committed rounds after the seeds."""
        return tuple(r for r in self.rounds if r.index > 0 and r.round.committed_at is not None)

    @property
    def weights_version(self) -> int:
        """Newest version that a round has trained."""
        return max((r.index for r in self.rounds if r.round.state == "trained"), default=0)

    @property
    def invented(self) -> tuple[StoredTask, ...]:
        """Tasks of the rounds, without the seeds."""
        return tuple(task for task in self.tasks if task.lineage.round > 0)

    def changes(self) -> dict[Kind, Change]:
        """Held-out accuracy before and after learning, by kind; empty without both."""
        if len(self.evaluations) < 2:
            return {}
        first, last = self.evaluations[0].accuracies, self.evaluations[-1].accuracies
        return {
            kind: paired_change(first[kind], last[kind])
            for kind in Kind
            if first.get(kind, {}).keys() & last.get(kind, {}).keys()
        }


async def gather(client: aio.Client, run: Run, events: Sequence[RunEvent] = ()) -> RunFacts:
    """Read a run's rounds, tasks and evaluations; `events` tell how long rounds took."""
    told: dict[int, dict[str, float]] = defaultdict(dict)
    for event in events:
        if event.type in (EventType.WEIGHTS, EventType.ROUND):
            told[event.round] |= event.figures
    rounds = await client.rounds.list(run=run.name)
    tasks = await client.tasks.list(run=run.name)
    return RunFacts(
        run=run,
        rounds=tuple([await _round_facts(client, one, told[one.round]) for one in rounds]),
        tasks=tuple(sorted(tasks, key=lambda task: task.sequence)),
        evaluations=tuple(await _evaluations(client, rounds)),
    )


async def _round_facts(client: aio.Client, one: Round, told: Mapping[str, float]) -> RoundFacts:
    found: dict[str, float] = {}
    missing = [
        stage
        for stage, name in _FROM_RECORDS.items()
        if one.stage(stage) is not None and not _carries(one.metrics, name)
    ]
    if missing:
        proposals = await _records(client, one, Stage.PROPOSE)
        kinds = {r.index: r.kind for r in proposals if isinstance(r, Episode)}
        for stage in missing:
            found |= computed(await _records(client, one, stage), kinds)
    return RoundFacts(one, {**found, **one.metrics}, told)


def _carries(metrics: Mapping[str, float], name: str) -> bool:
    return any(key == name or key.startswith(f"{name}.") for key in metrics)


async def _records(client: aio.Client, one: Round, stage: Stage) -> list[Record]:
    try:
        return [record async for record in client.rounds.records(one.run, one.round, stage)]
    except (NotFoundError, FailedPreconditionError):
        return []  # Never stored, or pruned: then the figure stays unknown.


def computed(records: Sequence[Record], kinds: Mapping[int, Kind]) -> dict[str, float]:
    """Compute the figures of a stage from its records; `kinds` are those of the proposals."""
    verdicts = [r for r in records if isinstance(r, StoredVerdict) and not r.not_executed]
    estimates = [r for r in records if isinstance(r, Estimate)]
    episodes = [r for r in records if isinstance(r, Episode)]
    found: dict[str, float] = {}
    if verdicts:
        valid = [(kinds.get(v.index), float(v.task is not None)) for v in verdicts]
        found |= _means(figures.VALIDITY, valid)
        found[figures.PROPOSALS] = len(verdicts)
        programs = [v.task.source for v in verdicts if v.task is not None]
        found[figures.VALID], found[figures.DISTINCT] = len(programs), len(set(programs))
    rates = [rate for e in estimates if (rate := _rate(e)) is not None]
    if rates:
        found[figures.LEARNABLE] = sum(0 < rate < 1 for rate in rates) / len(rates)
    elif episodes:
        found |= _means(figures.SOLVER_ACCURACY, [(e.kind, e.accuracy) for e in _known(episodes)])
    return found


def _means(name: str, values: Iterable[tuple[Kind | None, float]]) -> dict[str, float]:
    groups: dict[str, list[float]] = defaultdict(list)
    for kind, value in values:
        groups[name].append(value)
        if kind is not None:
            groups[by_kind(name, kind)].append(value)
    return {key: sum(group) / len(group) for key, group in groups.items()}


def _rate(estimate: Estimate) -> float | None:
    known = [
        accuracy
        for accuracy, outcome in zip(estimate.accuracies, estimate.outcomes, strict=True)
        if outcome is not Outcome.NOT_EXECUTED
    ]
    return sum(known) / len(known) if known else None


def _known(episodes: Iterable[Episode]) -> list[Episode]:
    return [e for e in episodes if e.outcome not in (None, Outcome.NOT_EXECUTED)]


async def _evaluations(client: aio.Client, rounds: Sequence[Round]) -> list[Evaluation]:
    evaluated = [one for one in rounds if one.stage(Stage.EVALUATE) is not None]
    ends = evaluated[:1] + evaluated[1:][-1:]
    return [
        Evaluation(
            one.round, await _accuracies(client.rounds.records(one.run, one.round, "evaluate"))
        )
        for one in ends
    ]


async def _accuracies(records: AsyncIterable[Record]) -> dict[Kind, dict[str, float]]:
    """Mean accuracy by kind and task, over the samples whose outcome is known."""
    samples: dict[Kind, dict[str, list[float]]] = {}
    async for record in records:
        if isinstance(record, Episode) and _known([record]):
            by_task = samples.setdefault(record.kind, {})
            by_task.setdefault(record.task_id, []).append(record.accuracy)
    return {
        kind: {task: sum(values) / len(values) for task, values in by_task.items()}
        for kind, by_task in samples.items()
    }
