"""How a run is played, as opposed to what it computes: options that no result depends on.

Their names are dotted, for instance `pipeline.overlap`; the algorithm's own options, such as
`samples_per_group`, have no dot. Both come together in `RunSpec.settings`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
)

from zeroloop.core import training
from zeroloop.core.presets import preset
from zeroloop.core.runs import RunSpec
from zeroloop.core.settings import AlgorithmSettings, SettingsError
from zeroloop.errors import FailedPreconditionError, InvalidRequestError, Violation

DEFAULT_PRESET = "paper"

KEYWORDS = (
    *("outsmart", "defeat other machines", "deceive", "cheat the", "hack the", "exploit the"),
    *("grader", "reward model", "escape the sandbox", "exfiltrate"),
)
"""Words in a proposer's reasoning that a person should read. Matched without case."""


ATTEMPTS = (
    *("import socket", "import os", "import subprocess", "urllib", "open(", "__import__"),
    *("__subclasses__", "eval(", "exec(", "ctypes"),
)
"""What a program that looks for a way to files, the network or its interpreter contains."""


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class Pipeline(_Section):
    """How the stages of a round follow each other."""

    overlap: bool = True
    """Proposals are validated while others are generated, and so on."""

    max_staleness: int = Field(default=0, ge=0, le=0)
    """Versions by which the weights that sample may lag; only 0, strictly on-policy, so far."""


class Evaluate(_Section):
    """Held-out evaluation at the start and the end of a run."""

    enabled: bool = True
    """Off: no evaluation, as if there were no held-out tasks."""

    tasks_per_kind: int = Field(default=300, ge=1, le=100_000)
    """Held-out tasks of each kind."""

    samples: int = Field(default=1, ge=1, le=64)
    """Answers to each of them. A task's accuracy is their mean, so more of them show smaller
    changes."""


class Checkpoint(_Section):
    """When the trainer saves what it needs to go on."""

    every_rounds: int = Field(default=1, ge=1, le=training.CHECKPOINT_EVERY_ROUNDS_MAX)
    """1 for small models, 10 for large ones."""


class Keep(_Section):
    """What is kept on disk."""

    weights: int = Field(default=3, ge=2, le=10_000)
    """Newest versions of the weights; promoted ones are kept too."""

    rounds: int = Field(default=100, ge=1, le=1_000_000)
    """Newest rounds whose responses and tokens are kept."""


class Training(_Section):
    """The trainer's processes."""

    nodes: int = Field(default=1, ge=1, le=64)
    """Pods of a training Job; one on a single machine."""

    ranks: int = Field(default=1, ge=1, le=training.RANKS_MAX)
    """Processes that train together on a node; one per GPU."""

    rounds_per_job: int = Field(default=0, ge=0, le=1_000_000)
    """Rounds after which the trainer ends. The next one starts when a batch waits for it and
    goes on from the checkpoint, so others can use its devices meanwhile. 0: it stays until the
    run ends."""

    colocate: bool = False
    """Engine and trainer share devices and take turns: the engine sleeps while a trainer runs,
    which ends with each round as with `rounds_per_job` 1."""

    queue: str = Field(default="", max_length=63)
    """Kueue's LocalQueue that admits training Jobs; empty: none."""

    zero_stage: int = Field(default=2, ge=training.ZERO_STAGE_MIN, le=training.ZERO_STAGE_MAX)
    """DeepSpeed ZeRO: 2 shares out optimiser state and gradients, 3 the weights as well."""

    failures_max: int = Field(default=5, ge=0, le=1000)
    """Attempts that may fail per round."""

    micro_batch_tokens: int = Field(default=16_384, ge=256, le=training.MICRO_BATCH_TOKENS_MAX)
    """Padded tokens that one forward pass holds; the longest sequence must fit. The loss does
    not depend on it."""

    @field_validator("colocate")
    @classmethod
    def _one_round_a_turn(cls, colocate: Any, info: ValidationInfo) -> Any:
        rounds = info.data.get("rounds_per_job", 0)
        if colocate and rounds > 1:
            raise ValueError(
                f"rounds_per_job must be 1 with it, got {rounds}: every round both have a turn"
            )
        return colocate

    @property
    def segment_rounds(self) -> int:
        """Rounds after which the trainer ends; 0: it stays."""
        return 1 if self.colocate else self.rounds_per_job


class Inference(_Section):
    """The inference replicas."""

    replicas: int = Field(default=1, ge=1, le=64)
    """Engines that serve the model; one on a single machine."""

    keep_after_run: bool = False
    """On Kubernetes: go on serving the last weights when the run is over."""

    engine: str = Field(default="vllm", pattern="^(vllm|simulated)$")
    """`simulated` answers without a model, for tests of everything else."""

    parity_max: float = Field(default=1e-3, gt=0, le=10)
    """Largest difference of a log-probability between engine and trainer at a roll, nats."""


class Limits(_Section):
    """What bounds the controller's own work."""

    generate_calls_max: int = Field(default=64, ge=1, le=1024)
    """Generate calls in flight."""

    generate_prompts_max: int = Field(default=64, ge=1, le=4096)
    """Prompts in one Generate call."""

    validate_calls_max: int = Field(default=4, ge=1, le=256)
    """ValidateProposals calls in flight."""

    judge_calls_max: int = Field(default=4, ge=1, le=256)
    """JudgeSolutions calls in flight."""

    judge_batch_max: int = Field(default=32, ge=1, le=256)
    """Proposals or answers in one call to the reward service."""

    gather_s: float = Field(default=0.03, ge=0, le=10)
    """How long a call to the reward service waits for more items to take along. One call per
    answer would cost more than the judging."""

    unavailable_s: float = Field(default=300.0, ge=0, le=86_400)
    """How long a stage waits for a service that is down before it gives up; the run then
    plays the stage again."""

    seed_attempts_max: int = Field(default=40, ge=1, le=10_000)
    """Passes over a buffer's seeding. A model that fills none of it in so many cannot play."""

    not_executed_ratio_max: float = Field(default=0.5, ge=0, le=1)
    """Share of a stage's episodes that the platform may fail on; with more, and always with
    all of them, the stage is played again instead of training on the few that are left."""


class Oversight(_Section):
    """Monitors on what the model does."""

    keywords: tuple[str, ...] = KEYWORDS
    """Words in a proposer's reply that raise a warning."""

    attempts: tuple[str, ...] = ATTEMPTS
    """Parts of programs that raise a warning: attempts on files, network or interpreter. The
    sandbox has none of them; that a model tries is worth knowing."""

    pause: bool = False
    """Suspend the run at a warning of oversight."""


class PlayOptions(_Section):
    """Every option of the platform."""

    pipeline: Pipeline = Pipeline()
    evaluate: Evaluate = Evaluate()
    checkpoint: Checkpoint = Checkpoint()
    keep: Keep = Keep()
    training: Training = Training()
    inference: Inference = Inference()
    limits: Limits = Limits()
    oversight: Oversight = Oversight()
    deterministic: bool = False
    """Same seed, same machine: same tasks, rewards and weights, bit for bit."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that is in force for a run."""

    algorithm: AlgorithmSettings
    play: PlayOptions

    def to_mapping(self) -> dict[str, Any]:
        """All options by name as JSON values."""
        play = flatten(self.play.model_dump(mode="json"))
        return {**self.algorithm.to_mapping(), **play}

    def require_trainable(self, context_tokens: int) -> None:
        """Check that the longest sequence that can be played can also be trained on.

        Raises:
            FailedPreconditionError: The trainer would refuse it after a round.
        """
        algorithm, allowed = self.algorithm, self.play.training.micro_batch_tokens
        asked = algorithm.prompt_tokens_max + algorithm.response_tokens_max
        if min(asked, context_tokens) > allowed:
            raise FailedPreconditionError(
                f"training.micro_batch_tokens must hold the longest sequence: prompt_tokens_max + "
                f"response_tokens_max is {asked}, the model's context {context_tokens} tokens, got "
                f"{allowed}; raise it to {min(asked, context_tokens)}, or lower "
                "response_tokens_max"
            )


def settings_of(spec: RunSpec) -> Settings:
    """Merge a spec's preset and settings.

    Raises:
        InvalidRequestError: Names every setting that is unknown or out of range.
    """
    flat = flatten(spec.settings)
    play_names = set(flatten(PlayOptions().model_dump(mode="json")))
    sections = {name for name in PlayOptions.model_fields if name != "deterministic"}
    is_play = {n: n in play_names or n.split(".")[0] in sections for n in flat}
    problems: list[Violation] = []
    algorithm = AlgorithmSettings()
    try:
        base = preset(spec.preset or DEFAULT_PRESET).settings
        algorithm = base.with_changes({n: v for n, v in flat.items() if not is_play[n]})
    except SettingsError as error:
        problems += [Violation(f"spec.settings.{p.split()[0]}", p) for p in error.problems]
    play = PlayOptions()
    try:
        play = PlayOptions.model_validate(_nest({n: v for n, v in flat.items() if is_play[n]}))
    except ValidationError as error:
        problems += [_violation(problem) for problem in error.errors()]
    if problems:
        text = "; ".join(problem.problem for problem in problems)
        raise InvalidRequestError(f"settings: {text}", problems)
    return Settings(algorithm, play)


def effective(spec: RunSpec, settings: Settings) -> dict[str, Any]:
    """Everything in force for a run, by name, as it is told with the run."""
    preset_name = spec.preset or DEFAULT_PRESET
    return {"preset": preset_name, "seed": spec.seed, **settings.to_mapping()}


def _violation(problem: Any) -> Violation:
    name = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "extra_forbidden":
        section = name.rpartition(".")[0]
        known = [n for n in flatten(PlayOptions().model_dump()) if n.startswith(f"{section}.")]
        return Violation(
            f"spec.settings.{name}", f"unknown option {name!r}; known are {', '.join(known)}"
        )
    if problem["type"] == "value_error":  # Of our own validators: all is said.
        return Violation(f"spec.settings.{name}", f"{name}: {problem['ctx']['error']}")
    return Violation(f"spec.settings.{name}", f"{name}: {problem['msg']}, got {problem['input']!r}")


def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings by their dotted names."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            flat.update(flatten(cast("Mapping[str, Any]", value), f"{prefix}{name}."))
        else:
            flat[f"{prefix}{name}"] = value
    return flat


def _nest(flat: Mapping[str, Any]) -> dict[str, Any]:
    nested: dict[str, Any] = {}
    for name, value in flat.items():
        *sections, last = name.split(".")
        place = nested
        for section in sections:
            place = place.setdefault(section, {})
        place[last] = value
    return nested
