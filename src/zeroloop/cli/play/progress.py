"""What a person sees while a run is played. Pure: events and times in, lines out."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from zeroloop.cli.durations import rough, short
from zeroloop.core import figures
from zeroloop.core.figures import by_kind
from zeroloop.core.heldout import proportion_interval
from zeroloop.core.runs import EventType, RunEvent
from zeroloop.core.stored_tasks import StoredTask
from zeroloop.core.tasks import Kind

START = "start"
"""Stage before the services are there."""

BAR_CELLS = 16
LABEL_CELLS = 13
KINDS = (Kind.DEDUCTION, Kind.ABDUCTION, Kind.INDUCTION)
"""In the order of display: from the easiest to understand to the hardest."""

_SERVICES = ("buffer", "execution", "reward", "inference", "trainer")
"""In the order of display."""


@dataclass
class Progress:
    """How far a run has come. `now_s` everywhere is one monotonic clock."""

    rounds: int
    round: int = 0
    stage: str = START
    stage_began_s: float = 0.0
    began_s: float = 0.0
    weights_version: int = 0
    newest: StoredTask | None = None
    live: Mapping[str, float] = field(default_factory=dict[str, float])
    """Figures of the present stage."""

    last: Mapping[str, float] = field(default_factory=dict[str, float])
    """Figures of the last round that ended."""

    round_ends_s: list[float] = field(default_factory=list[float])
    expected: tuple[float, float] | None = None
    """(when it was said, seconds left then), as the controller expects."""

    def see(self, event: RunEvent, now_s: float) -> None:
        """Take note of an event."""
        if event.type is EventType.PROGRESS:
            self.enter(event.round, event.stage, now_s)
            self.live = {**self.live, **event.figures}
            if figures.REMAINING_S in event.figures:
                self.expected = now_s, event.figures[figures.REMAINING_S]
        elif event.type is EventType.STAGE:
            self.last = {**self.last, **event.figures}
        elif event.type is EventType.WEIGHTS:
            version = event.figures.get(figures.WEIGHTS_VERSION, event.round)
            self.weights_version = max(self.weights_version, int(version))
        elif event.type is EventType.ROUND:
            self.last = event.figures
            self.round_ends_s.append(now_s)

    def enter(self, round_index: int, stage: str, now_s: float) -> None:
        """Note that a stage is being played."""
        if stage and (round_index, stage) != (self.round, self.stage):
            self.round, self.stage = max(self.round, round_index), stage
            self.stage_began_s, self.live = now_s, {}

    def lines(self, now_s: float) -> list[str]:
        """The lines of the live display: one while services start, four while rounds are played."""
        if self.stage == START:
            return [f"{'starting':<{LABEL_CELLS}}services  {short(now_s - self.began_s):>6}"]
        known = {**self.last, **self.live}
        return [self._headline(now_s), *_quality(known, self.weights_version), *self._newest()]

    def remaining_s(self, now_s: float) -> float | None:
        """Estimated seconds to the end; None before there is anything to go by."""
        if self.expected is not None:
            said_s, left_s = self.expected
            return max(0.0, left_s - (now_s - said_s))
        ends = self.round_ends_s[-4:]
        if len(ends) < 2:
            return None
        per_round_s = (ends[-1] - ends[0]) / (len(ends) - 1)
        left = self.rounds - len(self.round_ends_s)
        return max(0.0, left * per_round_s - (now_s - ends[-1]))

    def _headline(self, now_s: float) -> str:
        label = f"round {self.round}/{self.rounds}" if self.round else "beginning"
        parts = [f"{label:<{LABEL_CELLS}}{self.stage:<10}"]
        done, total = self.live.get(figures.DONE), self.live.get(figures.TOTAL)
        if done is not None and total:
            parts.append(bar(done / total))
        parts.append(f"{short(max(0.0, now_s - self.stage_began_s)):>6}")
        if tokens := self.live.get(figures.TOKENS_PER_S):
            parts.append(f"{thousands(tokens)} tok/s")
        if runs := self.live.get(figures.EXECUTIONS_PER_S):
            parts.append(f"{runs:.0f} exec/s")
        left = self.remaining_s(now_s)
        if left is not None:
            parts.append(f"   about {rough(left)} left")
        return "  ".join(parts)

    def _newest(self) -> list[str]:
        if self.newest is None:
            return []
        seen = self.newest.observations
        fate = ""
        if seen and seen[-1].attempts:
            solved = round(seen[-1].success_rate * seen[-1].attempts)
            fate = f"     solved {solved} of {seen[-1].attempts}"
        program = one_line(self.newest.task.program)
        return [f"{'':<{LABEL_CELLS}}newest    {program}{fate}"]


def round_line(event: RunEvent, rounds: int) -> str:
    """One line for a round that has ended."""
    known = event.figures
    parts = [f"round {event.round}/{rounds}"]
    if figures.VALIDITY in known:
        parts.append(f"{percent(known[figures.VALIDITY])} valid")
    if figures.LEARNABLE in known:
        parts.append(f"{percent(known[figures.LEARNABLE])} learnable")
    if solver := _solver(known, short_names=True):
        parts.append(f"solver {solver}")
    if figures.LOSS in known:
        parts.append(f"loss {known[figures.LOSS]:.3g}")
    if figures.TASKS in known:
        parts.append(f"{known[figures.TASKS]:.0f} tasks")
    if figures.WALL_S in known:
        parts.append(short(known[figures.WALL_S]))
    return "  ".join(parts)


def seeds_line(event: RunEvent) -> str:
    """How many tasks the run begins with; empty if the event does not tell."""
    tasks = event.figures.get(figures.TASKS)
    return f"  seeds      {tasks:.0f} tasks of the untrained model" if tasks else ""


def services_line(event: RunEvent) -> str:
    """How long each service took to start; empty if the event does not tell."""
    prefix = f"{figures.STARTED_S}."
    took_s = {n.removeprefix(prefix): s for n, s in event.figures.items() if n.startswith(prefix)}
    started = [f"{name} {short(took_s[name])}" for name in sorted(took_s, key=_start_order)]
    return f"  services   {' · '.join(started)}" if started else ""


def evaluation_line(event: RunEvent) -> str:
    """Held-out accuracy by kind, with its 95 % interval; empty if the event does not tell."""
    known = event.figures
    parts: list[str] = []
    tasks = 0
    for kind in KINDS:
        accuracy = known.get(by_kind(figures.HELDOUT_ACCURACY, kind))
        if accuracy is None:
            continue
        tasks = int(known.get(by_kind(figures.HELDOUT_TASKS, kind), 0))
        half = proportion_interval(accuracy * tasks, tasks).half_width if tasks else 0.5
        parts.append(f"{kind} {accuracy * 100:.1f} % ±{half * 100:.1f}")
    if not parts:
        return ""
    when = "before learning" if event.round == 0 else f"after round {event.round}"
    return f"  held-out   {' · '.join(parts)}   ({when}, {tasks} tasks per kind, ± 95 %)"


def one_line(program: str, cells: int = 72) -> str:
    """Write a program on one line; blocks that cannot be joined end in an ellipsis."""
    lines = [line for line in program.splitlines() if line.strip()]
    if not lines:
        return ""
    head, body = lines[0].strip(), lines[1:]
    flat = body and len({len(line) - len(line.lstrip()) for line in body}) == 1
    joined = (
        f"{head} {'; '.join(line.strip() for line in body)}"
        if flat
        else " ⏎ ".join(line.strip() for line in lines)
    )
    return joined if len(joined) <= cells else joined[: cells - 1] + "…"


def bar(ratio: float, cells: int = BAR_CELLS) -> str:
    """A bar that is filled to `ratio`."""
    full = round(min(max(ratio, 0.0), 1.0) * cells)
    return "█" * full + "░" * (cells - full)


def thousands(value: float) -> str:
    """Write 3400 as 3.4k."""
    return f"{value / 1000:.1f}k" if value >= 1000 else f"{value:.0f}"


def percent(ratio: float) -> str:
    """Write 0.34 as 34 %."""
    return f"{ratio * 100:.0f} %"


def _start_order(service: str) -> tuple[int, str]:
    known = _SERVICES.index(service) if service in _SERVICES else len(_SERVICES)
    return known, service


def _quality(known: Mapping[str, float], weights_version: int) -> list[str]:
    pad = f"{'':<{LABEL_CELLS}}"
    lines: list[str] = []
    if figures.VALIDITY in known:
        text = f"{pad}proposals {percent(known[figures.VALIDITY])} valid"
        if figures.DISTINCT in known and known.get(figures.VALID):
            text += f", {known[figures.DISTINCT]:.0f} of {known[figures.VALID]:.0f} distinct"
        if figures.LEARNABLE in known:
            text += f"   learnable {percent(known[figures.LEARNABLE])}"
        lines.append(text)
    solver = _solver(known)
    text = f"{pad}solver    {solver or 'not yet known'}        weights v{weights_version}"
    if figures.LOSS in known:
        text += f"  loss {known[figures.LOSS]:.3g}"
    return [*lines, text]


def _solver(known: Mapping[str, float], *, short_names: bool = False) -> str:
    accuracies = {kind: known.get(by_kind(figures.SOLVER_ACCURACY, kind)) for kind in KINDS}
    return "  ".join(
        f"{kind[:3] if short_names else kind} {percent(accuracy)}"
        for kind, accuracy in accuracies.items()
        if accuracy is not None
    )
