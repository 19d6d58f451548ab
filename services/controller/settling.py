"""What a run's status says: of what was seen, of how it ended, of whether it should be played."""

from dataclasses import replace

from services.controller.book import RunBook
from services.controller.decide import Halt, Observed, Pause, Reason, Services, Spec, Trainer
from services.controller.metrics import playing
from zeroloop.core.runs import ConditionType, EventType, Phase, Run


def settle(book: RunBook, ended: Halt | Pause, problem: str) -> None:
    """Say how a run ended, or why it cannot go on."""
    progressing = ConditionType.PROGRESSING
    match ended:
        case Pause():
            book.set_condition(progressing, status=False, reason="Suspended")
            book.set_phase(Phase.SUSPENDED)
        case Halt(Reason.ALL_ROUNDS_PLAYED, message):
            book.set_condition(progressing, status=False, reason="Completed")
            book.set_condition(
                ConditionType.COMPLETED, status=True, reason=ended.reason, message=message
            )
            book.set_phase(Phase.COMPLETED, message)
        case Halt(Reason.WEIGHTS_REJECTED, message):
            book.set_condition(
                ConditionType.DEGRADED, status=True, reason=ended.reason, message=message
            )
            book.set_condition(ConditionType.WEIGHTS_SYNCED, status=False, reason=ended.reason)
            book.set_phase(Phase.DEGRADED, message)
        case Halt(reason, message):
            why = problem or f"see {book.folder.logs}"
            fail(book, reason, f"{message}: {why}")


def fail(book: RunBook, reason: str, message: str) -> None:
    """Say that a run has failed, and why."""
    book.emit(EventType.WARNING, message)
    book.set_condition(ConditionType.PROGRESSING, status=False, reason=reason)
    book.set_condition(ConditionType.FAILED, status=True, reason=reason, message=message)
    book.set_phase(Phase.FAILED, message)


def report_seen(book: RunBook, observed: Observed, spec: Spec, replicas: int) -> None:
    """Say what was seen of a run that is played and wants `replicas` of its engine."""
    ready = observed.services is Services.READY
    phase = Phase.PLAYING if ready else Phase.STARTING
    book.set_phase(phase)
    playing.seen(book.run.name, observed, replicas)
    _report_trainer(book, observed, spec)
    reason = "Playing" if ready else "Starting"
    book.set_condition(ConditionType.PROGRESSING, status=True, reason=reason)
    if observed.served:
        version = min(observed.served)
        book.set_status(replace(book.run.status, weights_version=version))


def _report_trainer(book: RunBook, observed: Observed, spec: Spec) -> None:
    waits = observed.trainer_waits
    # Between two segments nothing is wrong and nothing is missing.
    resting = spec.rounds_per_job > 0 and observed.trainer is Trainer.ABSENT
    if waits:
        reason, message = "Unschedulable", waits
    elif resting:
        reason, message = "Resting", "the next trainer starts when a batch waits for it"
    else:
        reason, message = observed.trainer.value.capitalize(), ""
    ready = resting or observed.trainer is Trainer.RUNNING
    book.set_condition(
        ConditionType.TRAINING_READY, status=ready and not waits, reason=reason, message=message
    )


def wants_play(run: Run, *, changed: bool) -> bool:
    """Whether a run that nobody plays should be played; a person who changes it wants that."""
    if run.spec.suspend:
        return False
    match run.status.phase:
        case Phase.PENDING | Phase.STARTING | Phase.PLAYING | Phase.SUSPENDED:
            return True
        case Phase.COMPLETED:
            return run.spec.rounds > run.status.round
        case Phase.DEGRADED | Phase.FAILED | Phase.STOPPED:
            return changed
