"""The figures of a round, from what its stages have stored."""

import statistics
from collections.abc import Iterable, Sequence

from services.controller.rounds.game import Game
from services.controller.rounds.records import Facts, Records
from zeroloop.core import figures
from zeroloop.core.figures import by_kind
from zeroloop.core.rewards import learnability, success_rate
from zeroloop.core.tasks import Kind, Outcome, Role, Task

_PREFIX = {Role.PROPOSER: "gen", Role.SOLVER: "pred"}
_CODE = {Kind.ABDUCTION: "code_i", Kind.DEDUCTION: "code_o", Kind.INDUCTION: "code_f"}


def measure(game: Game, records: Records) -> dict[str, float]:
    """Return the metrics of a round by name."""
    metrics = _overall(game, records)
    for kind in game.algorithm.kinds:
        metrics |= _of_kind(game, records, kind)
        for role in (Role.PROPOSER, Role.SOLVER):
            metrics |= _of_group(game, records, kind, role)
    return metrics


def _overall(game: Game, records: Records) -> dict[str, float]:
    valid = _valid_tasks(records)
    known = sum(not v.not_executed for v in records.verdicts.values())
    rates = _rates(records)
    executed = _executed(records.solutions.values())
    failed = sum(bool(v.not_executed) for v in records.verdicts.values())
    failed += sum(o is Outcome.NOT_EXECUTED for e in records.estimates.values() for o in e.outcomes)
    failed += len(records.solutions) - len(executed)
    return {
        figures.PROPOSALS: len(records.proposals),
        figures.VALID: len(valid),
        figures.DISTINCT: len({task.source for task in valid}),
        figures.VALIDITY: len(valid) / known if known else 0.0,
        figures.HELDOUT_PROPOSED: sum(map(game.is_held_out, valid)),
        figures.LEARNABLE: _mean(0 < rate < 1 for rate in rates),
        figures.LEARNABILITY: _learnability(game, rates),
        figures.SOLVER_ACCURACY: _mean(facts.accuracy for facts in executed),
        figures.NOT_EXECUTED: failed,
        figures.SEQUENCES: len(records.rewards),
    }


def _of_kind(game: Game, records: Records, kind: Kind) -> dict[str, float]:
    verdicts = [v for i, v in records.verdicts.items() if records.proposals[i].kind is kind]
    known = [v for v in verdicts if not v.not_executed]
    executed = _executed(f for f in records.solutions.values() if f.kind is kind)
    rates = _rates(records, kind)
    lines = [v.task.program.count("\n") + 1 for v in known if v.task is not None]
    return {
        by_kind(figures.VALIDITY, kind): _mean(v.task is not None for v in known),
        by_kind(figures.DISTINCT, kind): len({v.task.source for v in known if v.task is not None}),
        by_kind(figures.LEARNABLE, kind): _mean(0 < rate < 1 for rate in rates),
        by_kind(figures.LEARNABILITY, kind): _learnability(game, rates),
        by_kind(figures.SOLVER_ACCURACY, kind): _mean(facts.accuracy for facts in executed),
        f"gen_{_CODE[kind]}/num_valid_programs": len(lines),
        f"gen_{_CODE[kind]}/avg_program_lines": _mean(lines),
    }


def _of_group(game: Game, records: Records, kind: Kind, role: Role) -> dict[str, float]:
    episodes = records.proposals if role is Role.PROPOSER else records.solutions
    group = [facts for facts in episodes.values() if facts.kind is kind]
    name = f"{_PREFIX[role]}_{_CODE[kind]}"
    well_formed = [
        _is_well_formed(records, facts)
        for facts in group
        if facts.outcome is not Outcome.NOT_EXECUTED
    ]
    rewards = [r for r in records.rewards if _is_of(records.episode(r), kind, role)]
    cut = [facts.finish_reason == "length" for facts in group]
    return {
        f"{name}/accuracy": _accuracy(game, records, kind, role),
        f"{name}/format_score": _mean(well_formed),
        f"{name}/none_count": len(group) - len(well_formed),
        f"{name}/response_length/clip_ratio": _mean(cut),
        **_spread(f"{name}/critic/rewards", [r.reward for r in rewards]),
        **_spread(f"{name}/critic/advantages", [r.advantage for r in rewards]),
        **_spread(f"{name}/response_length", [facts.tokens for facts in group]),
        **_spread(f"{name}/prompt_length", [facts.prompt_tokens for facts in group]),
    }


def _accuracy(game: Game, records: Records, kind: Kind, role: Role) -> float:
    if role is Role.PROPOSER:
        return _learnability(game, _rates(records, kind))
    executed = _executed(f for f in records.solutions.values() if f.kind is kind)
    return _mean(facts.accuracy for facts in executed)


def _is_well_formed(records: Records, facts: Facts) -> bool:
    if facts.role is Role.SOLVER:
        return facts.format_ok
    verdict = records.verdicts.get(facts.index)
    return verdict is not None and verdict.task is not None and verdict.format_ok


def _is_of(facts: Facts, kind: Kind, role: Role) -> bool:
    return facts.kind is kind and facts.role is role


def _valid_tasks(records: Records) -> list[Task]:
    return [v.task for v in records.verdicts.values() if v.task is not None]


def _rates(records: Records, kind: Kind | None = None) -> list[float]:
    known = [
        records.accuracies(index)
        for index in records.estimates
        if kind is None or records.proposals[index].kind is kind
    ]
    return [success_rate(accuracies) for accuracies in known if accuracies]


def _learnability(game: Game, rates: Sequence[float]) -> float:
    conversion = game.algorithm.accuracy_conversion
    return _mean(learnability(rate, conversion) for rate in rates)


def _executed(episodes: Iterable[Facts]) -> list[Facts]:
    return [facts for facts in episodes if facts.outcome is not Outcome.NOT_EXECUTED]


def _spread(name: str, values: Sequence[float]) -> dict[str, float]:
    if not values:
        return {}
    return {
        f"{name}/mean": statistics.fmean(values),
        f"{name}/max": max(values),
        f"{name}/min": min(values),
    }


def _mean(values: Iterable[float]) -> float:
    """The mean; 0 of nothing, because a figure must be a number."""
    known = list(values)
    return statistics.fmean(known) if known else 0.0
