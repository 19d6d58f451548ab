"""What a step reports."""

from dataclasses import dataclass, fields

from zeroloop.core import figures


@dataclass(frozen=True, slots=True)
class LossSums:
    """Sums over response tokens, which add up over micro-batches and ranks."""

    loss: float = 0.0
    policy_loss: float = 0.0

    entropy: float = 0.0
    """Weighted like the loss, nats."""

    clipped: float = 0.0
    """Tokens whose ratio left the clip range."""

    tokens: float = 0.0

    mismatch_abs: float = 0.0
    """Sum of |engine's - trainer's log-probability|, nats."""

    mismatch_kl: float = 0.0
    """Sum of an estimate of KL(engine || trainer) that is never negative, nats."""

    mismatch_max: float = 0.0
    """Largest such difference, nats; the one field that does not add up."""

    def __add__(self, other: "LossSums") -> "LossSums":
        largest = max(self.mismatch_max, other.mismatch_max)
        sums = {f.name: getattr(self, f.name) + getattr(other, f.name) for f in fields(self)}
        return LossSums(**sums | {"mismatch_max": largest})


@dataclass(frozen=True, slots=True)
class StepReport:
    """What one optimiser step did, the same on every rank."""

    sums: LossSums
    """Over the whole batch."""

    grad_norm: float
    """Of the whole gradient before clipping."""

    padding: float
    """Share of the computed tokens that was padding."""

    duration_s: float


def round_metrics(report: StepReport, *, sequences: int) -> dict[str, float]:
    """The figures that become part of the round's record."""
    sums = report.sums
    tokens = max(sums.tokens, 1.0)
    return {
        figures.LOSS: sums.loss,
        figures.POLICY_LOSS: sums.policy_loss,
        figures.ENTROPY: sums.entropy,
        figures.GRAD_NORM: report.grad_norm,
        figures.CLIP_FRACTION: sums.clipped / tokens,
        figures.MISMATCH_MAX: sums.mismatch_max,
        figures.MISMATCH_MEAN: sums.mismatch_abs / tokens,
        figures.MISMATCH_KL: sums.mismatch_kl / tokens,
        figures.SEQUENCES: float(sequences),
        figures.TRAINED_TOKENS: sums.tokens,
        figures.PADDING: report.padding,
        figures.STEP_S: report.duration_s,
    }
