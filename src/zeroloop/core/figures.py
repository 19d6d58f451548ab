"""Names of the figures that events, stages and rounds carry.

One list, so that who writes them (the controller, the trainer) and who reads them (SDK, CLI,
report, dashboards) agree. Ratios are in [0, 1], durations in seconds, counts of one round
unless a comment says otherwise. A name with a kind is `by_kind(NAME, kind)`, for instance
`solver_accuracy.deduction`.
"""

# ---- progress within a stage (events of type "progress")
DONE = "done"
TOTAL = "total"
TOKENS_PER_S = "tokens_per_s"
EXECUTIONS_PER_S = "executions_per_s"
REMAINING_S = "remaining_s"
"""Estimated time until the run ends."""

# ---- a stage that has ended (events of type "stage", StageSummary.figures)
DURATION_S = "duration_s"
TOKENS = "tokens"
"""Tokens that the model generated."""
RUNS = "runs"
"""Runs of programs by status: `runs.ok`, `runs.timeout`, ..."""
WALL_S = "wall_s"
"""Time since the step before was stored. Over the steps of a round these add up, unlike the
durations of steps that overlap."""
IDLE_S = "idle_s"
"""Part of WALL_S in which neither engine nor sandbox worked. In events of type "round": part
of the round's WALL_S in which neither engine, sandbox nor optimiser worked."""

# ---- a round (events of type "round", Round.metrics)
PROPOSALS = "proposals"
VALID = "valid"
DISTINCT = "distinct"
"""Different programs among the valid proposals."""
VALIDITY = "validity"
"""VALID over the proposals whose validity is known; also by kind."""
HELDOUT_PROPOSED = "heldout_proposed"
"""Valid proposals whose program is held out for evaluation: rewarded, but not admitted."""
LEARNABLE = "learnable"
"""Share of the estimated proposals that the solver neither always nor never solved."""
LEARNABILITY = "learnability"
"""Mean learnability reward of the estimated proposals."""
SOLVER_ACCURACY = "solver_accuracy"
"""Mean accuracy of the solver's episodes; also by kind."""
ADMITTED = "admitted"
"""Tasks that joined the buffer; also by kind."""
TASKS = "tasks"
"""Tasks in the run's buffer after the round."""
NOT_EXECUTED = "not_executed"
"""Episodes without an outcome, because the platform failed."""

# ---- training and weights (Round.metrics, events of type "stage" and "weights")
LOSS = "loss"
"""Of the whole batch: policy loss minus the entropy bonus."""
POLICY_LOSS = "policy_loss"
ENTROPY = "entropy"
"""Of the next-token distribution, mean with the batch's token weights, nats."""
GRAD_NORM = "grad_norm"
"""Of the whole gradient before clipping."""
CLIP_FRACTION = "clip_fraction"
"""Share of the response tokens whose probability ratio left the clip range."""
MISMATCH_MAX = "mismatch_max"
"""Largest difference of a log-probability between the engine that sampled the batch and the
trainer, nats."""
MISMATCH_MEAN = "mismatch_mean"
MISMATCH_KL = "mismatch_kl"
"""Estimate of KL(engine || trainer) per token, nats; never negative."""
SEQUENCES = "sequences"
"""Sequences in the batch."""
TRAINED_TOKENS = "trained_tokens"
"""Response tokens in the batch."""
PADDING = "padding"
"""Share of the tokens computed in the optimiser step that was padding."""
STEP_S = "step_s"
"""Duration of the optimiser step."""
WEIGHTS_VERSION = "weights_version"
PAUSED_S = "paused_s"
"""Time during which inference served no call, because weights were exchanged."""
PARITY = "parity"
"""Largest difference of a log-probability between trainer and engine, nats."""

# ---- evaluation (events of type "evaluation", figures of that stage)
HELDOUT_ACCURACY = "heldout_accuracy"
"""By kind: mean accuracy on the held-out tasks."""
HELDOUT_TASKS = "heldout_tasks"
"""By kind: held-out tasks whose outcome is known."""

# ---- starting (events of type "state")
STARTED_S = "started_s"
"""By service: `started_s.buffer`, how long it took to serve."""


def by_kind(name: str, kind: str) -> str:
    """Return the name of the figure for one kind, service or status."""
    return f"{name}.{kind}"
