"""Every option of the algorithm, with the paper's sizes as defaults.

"D1" to "D23" name the points where the paper and its reference code differ; the defaults are
those that reproduce the published numbers.
"""

import dataclasses
import difflib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Self, cast, get_args, get_origin, get_type_hints

from zeroloop.core.tasks import Kind

BANNED_MODULES = (
    *("logging", "random", "multiprocessing", "pebble", "subprocess", "threading"),
    *("datetime", "time", "hashlib", "hmac", "bcrypt", "os.sys", "os.path", "sys.exit"),
    *("os.environ", "calendar", "sys", "shutil"),
)
"""The reference's list, plus `sys` and `shutil` (D9)."""

BETA_MAX = 0.999_999
"""A running mean that keeps all of its past never moves."""


class SettingsError(ValueError):
    """Settings are unknown or out of range. `problems` lists all of them, one line each."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


def _option(default: Any, doc: str, low: float = -math.inf, high: float = math.inf) -> Any:
    metadata = {"doc": doc, "default": default, "low": low, "high": high}
    return field(default=default, metadata=metadata)


@dataclass(frozen=True, kw_only=True, slots=True)
class AlgorithmSettings:
    """What a run computes. Durations in seconds, lengths in tokens unless the name says so."""

    # Sizes of a round
    kinds: tuple[Kind, ...] = _option(tuple(Kind), "kinds of task that are played")
    samples_per_group: int = _option(64, "prompts per (kind, role) and round", 1, 4096)
    rollouts: int = _option(
        8, "solver attempts per valid proposal that estimate difficulty", 1, 256
    )
    references: int = _option(6, "examples in a proposer's prompt, at most", 0, 64)
    include_references: bool = _option(
        default=True, doc="off: proposers see no examples (ablation)"
    )
    num_inputs: int = _option(10, "inputs of an induction proposal; half are shown", 2, 64)
    seed_batch_factor: int = _option(
        4, "seeds per buffer = this times samples_per_group (D14)", 1, 64
    )
    buffer_tasks_max: int = _option(16_384, "tasks that one buffer keeps", 1, 10_000_000)
    buffer_full: Literal["keep_newest", "keep_oldest", "reservoir"] = _option(
        "keep_newest", "which tasks stay when a buffer is full (D16)"
    )
    total_steps: int = _option(
        500, "rounds of a run that is created without a number of them (D13)", 1, 10_000_000
    )
    train_propose: bool = _option(default=True, doc="off: the proposer is prompted, not trained")
    solve_only_steps: int = _option(
        0, "first steps without proposals, which train the solver alone", 0, 10_000_000
    )

    # Which tasks are read
    reference_strategy: Literal["uniform", "step"] = _option(
        "uniform", "how a proposer's examples are drawn; step: recent ones more often"
    )
    solver_strategy: Literal["max_new", "half_new", "uniform_total", "step"] = _option(
        "max_new", "how solver tasks are drawn"
    )
    past_epoch_window: int = _option(1, "steps back that count as new for solver tasks", 1, 1000)
    same_step_tasks: bool = _option(
        default=False, doc="solve tasks admitted in the same step, as the paper says (D2)"
    )
    admission: Literal["all", "non_one", "non_extremes"] = _option(
        "all", "valid tasks that enter the buffer: all, not always solved, sometimes solved"
    )
    resample_attempts_max: int = _option(
        20, "draws before giving up on a prompt that fits its limit", 1, 10_000
    )

    # Composite programs (D17)
    composite_start_step: int = _option(
        -1,
        "step from which proposals may have to build on earlier programs; -1 is off",
        -1,
        10_000_000,
    )
    composite_chance: float = _option(0.5, "share of proposals that have to", 0, 1)
    composite_count: Literal["inclusive", "exclusive"] = _option(
        "inclusive",
        "how many programs: 1 to the most, or one less than the most, at least 1 (D17)",
    )
    composite_programs_max: int = _option(3, "most programs that one proposal builds on", 1, 16)
    composite_schedule: bool = _option(
        default=False,
        doc="begin with at most 1 program; at steps 101, 151, ... raise that by 1 up to "
        "composite_programs_max, and composite_chance by 0.01 up to 0.8",
    )

    # Generation
    prompt_style: Literal["r1", "compact"] = _option("r1", "wording of the prompts")
    prompt_tokens_max: int = _option(6144, "longer prompts are drawn again (D21)", 16, 1_000_000)
    response_tokens_max: int = _option(8096, "a response is cut here", 1, 1_000_000)
    temperature: float = _option(1.0, "sampling temperature of trained responses", 0, 10)
    mc_temperature: float = _option(1.0, "of difficulty estimates (D5)", 0, 10)
    seed_temperature: float = _option(1.0, "of seeding (D5)", 0, 10)
    top_p: float = _option(1.0, "nucleus of sampling; 1 is off", 1e-6, 1)
    top_k: int = _option(-1, "most likely tokens kept; -1 is off", -1, 1_000_000)

    # Reading replies
    format_reward: bool = _option(default=True, doc="off: any layout counts as well-formed")
    boxed_retry: bool = _option(
        default=False, doc="no answer tags: take the last \\boxed{...} instead"
    )
    code_location: Literal["first", "last"] = _option(
        "first", "which fenced block of a proposal is its program"
    )
    f_replace_location: Literal["not_first", "not_last", "any_first", "any_last"] = _option(
        "not_first", "which function becomes f; any_*: one already named f has precedence"
    )
    reject_multiple_functions: bool = _option(
        default=True, doc="refuse programs with more than one def, nested ones too (D18)"
    )
    reject_test_input_in_code: bool = _option(
        default=False, doc="refuse programs that hold their own test input"
    )
    remove_input_from_snippet: bool = _option(
        default=False, doc="tell proposers to keep the test input out of the program"
    )
    remove_comments: bool = _option(default=False, doc="strip comments and docstrings")
    remove_after_return: bool = _option(default=False, doc="keep imports, defs and classes alone")
    remove_print: bool = _option(default=False, doc="drop print statements")
    seed_remove_comments: bool = _option(default=True, doc="remove_comments while seeding")
    seed_remove_after_return: bool = _option(default=True, doc="remove_after_return while seeding")

    # Validation and judging
    cpu_limit_s: float = _option(1.0, "CPU time of one run of a program (D22)", 0.05, 60)
    determinism: Literal["pair", "off"] = _option(
        "pair", "run proposals twice in fresh interpreters with different hash seeds (D8)"
    )
    banned_modules: tuple[str, ...] = _option(BANNED_MODULES, "imports that reject a proposal")
    banned_match: Literal["dotted", "component"] = _option(
        "dotted", "component: dotted entries never match, as in the reference (D9)"
    )
    equality: Literal["plain", "typed"] = _option(
        "plain", "plain: 1 == 1.0 == True; typed keeps them apart (D10)"
    )
    allow_none_output: bool = _option(default=False, doc="accept programs that return None (D11)")
    output_chars_max: int = _option(400, "characters of a gold output", 8, 65_536)
    long_output: Literal["reject", "truncate"] = _option(
        "reject", "what happens to longer outputs; cut ones cannot be solved (D19)"
    )
    distinct_induction_inputs: bool = _option(
        default=True, doc="refuse induction proposals whose inputs repeat (D20)"
    )
    induction_check: Literal["hidden", "all"] = _option(
        "hidden", "which pairs grade an induction answer (D15)"
    )

    # Rewards
    paper_eq4: bool = _option(
        default=False, doc="tasks never or always solved earn 0 instead of -0.5 (D1)"
    )
    accuracy_conversion: Literal["one_minus", "inverse"] = _option(
        "one_minus", "inverse: unsolvable tasks earn most"
    )
    induction_reward: Literal["binary", "accuracy", "if_one_correct"] = _option(
        "binary", "from the share of pairs that pass to the score of an induction answer"
    )
    train_on_mc_rollouts: bool = _option(
        default=False, doc="train on the difficulty estimates too (D23)"
    )

    # Optimisation
    advantage_norm: Literal["token", "sequence"] = _option(
        "token", "what the mean and deviation of a group run over (D3)"
    )
    loss_mean: Literal["token", "sequence"] = _option(
        "token", "mean over the tokens of a chunk of sequences, or per sequence (D4)"
    )
    loss_chunk_sequences: int = _option(16, "sequences of one chunk of the loss", 1, 4096)
    learning_rate: float = _option(1e-6, "constant, no warm-up", 1e-12, 1)
    beta_1: float = _option(0.9, "AdamW's decay of the mean", 0, BETA_MAX)
    beta_2: float = _option(0.999, "AdamW's decay of the square", 0, BETA_MAX)
    weight_decay: float = _option(0.01, "AdamW's decay of weights (D6)", 0, 1)
    clip: float = _option(0.2, "the ratio is clipped to [1 - clip, 1 + clip] (D7)", 0.001, 1)
    entropy_coef: float = _option(0.001, "weight of the entropy bonus (D6)", 0, 1)
    grad_norm_max: float = _option(1.0, "gradients are scaled down to this norm", 1e-9, 1e9)
    importance_bound: float = _option(
        2.0, "bound of the off-policy correction; has no effect on-policy", 1, 100
    )

    def __post_init__(self) -> None:
        problems = [problem for name in names() for problem in _problems(name, getattr(self, name))]
        if problems:
            raise SettingsError(problems)

    @property
    def group_seeds(self) -> int:
        """Tasks that each buffer holds before the first step."""
        return self.samples_per_group * self.seed_batch_factor

    @property
    def induction_shown(self) -> int:
        """Pairs that an induction solver sees; the others are hidden."""
        return self.num_inputs // 2

    def for_seeding(self) -> Self:
        """These settings as they hold while the buffers are seeded."""
        return dataclasses.replace(
            self,
            temperature=self.seed_temperature,
            remove_comments=self.seed_remove_comments,
            remove_after_return=self.seed_remove_after_return,
        )

    def with_changes(self, changes: Mapping[str, object]) -> Self:
        """These settings with some replaced, by name.

        Texts are read as the option's type, so values may come from flags and variables.

        Raises:
            SettingsError: Names are unknown or values out of range; all of them at once.
        """
        problems: list[str] = []
        values: dict[str, Any] = {}
        for name, value in changes.items():
            if name in _TYPES:
                values[name] = _read(_TYPES[name], value)
                problems += _problems(name, values[name])
            else:
                problems.append(_unknown(name))
        if problems:
            raise SettingsError(problems)
        return dataclasses.replace(self, **values)

    def to_mapping(self) -> dict[str, Any]:
        """All options as JSON values: texts, numbers, bools and lists of texts."""
        values = {name: getattr(self, name) for name in names()}
        return {name: _plain(value) for name, value in values.items()}


def from_mapping(mapping: Mapping[str, object]) -> AlgorithmSettings:
    """Read options by name over the defaults; the inverse of `to_mapping`.

    Raises:
        SettingsError: Names are unknown or values out of range; all of them at once.
    """
    return AlgorithmSettings().with_changes(mapping)


def names() -> tuple[str, ...]:
    """The names of all options, in the order of their documentation."""
    return tuple(_TYPES)


def describe(name: str) -> str:
    """What option `name` means."""
    return str(_METADATA[name]["doc"])


def allowed(name: str) -> str:
    """Which values option `name` takes, in words."""
    kind = _TYPES[name]
    if kind is bool:
        return "true or false"
    if get_origin(kind) is tuple:
        members = get_args(kind)[0]
        return f"a list of {', '.join(members) if members is Kind else 'names'}"
    if get_origin(kind) is Literal:
        return f"one of {', '.join(get_args(kind))}"
    noun = "an integer" if kind is int else "a number"
    return f"{noun} from {_METADATA[name]['low']:g} to {_METADATA[name]['high']:g}"


def default(name: str) -> Any:
    """The value of option `name` unless it is set."""
    return _METADATA[name]["default"]


def bounds(name: str) -> tuple[float, ...]:
    """The lowest and the highest value of option `name`; nothing unless it is a number."""
    if _TYPES[name] not in (int, float):
        return ()
    return _METADATA[name]["low"], _METADATA[name]["high"]


def _problems(name: str, value: object) -> list[str]:
    if _is_allowed(name, value):
        return []
    return [f"{name} must be {allowed(name)}, got {value!r}"]


def _is_allowed(name: str, value: Any) -> bool:
    kind = _TYPES[name]
    if kind is bool:
        return isinstance(value, bool)
    if get_origin(kind) is Literal:
        return value in get_args(kind)
    if get_origin(kind) is tuple:
        return _is_allowed_list(get_args(kind)[0], value)
    numeric = isinstance(value, int) or (kind is float and isinstance(value, float))
    if isinstance(value, bool) or not numeric:
        return False
    return _METADATA[name]["low"] <= value <= _METADATA[name]["high"]


def _is_allowed_list(member: Any, value: object) -> bool:
    if not isinstance(value, tuple):
        return False
    items = cast("tuple[object, ...]", value)
    typed = all(isinstance(item, member) for item in items)
    return typed and (member is not Kind or 0 < len(items) == len(set(items)))


def _unknown(name: str) -> str:
    near = difflib.get_close_matches(name, names(), n=1)
    hint = f"; did you mean {near[0]}?" if near else f"; known are {', '.join(names())}"
    return f"unknown option {name!r}{hint}"


def _read(kind: Any, value: Any) -> Any:
    """Bring a JSON value or a text nearer to `kind`; what does not fit stays as it is."""
    if isinstance(value, str) and kind in (bool, int, float):
        try:
            value = json.loads(value.lower())
        except ValueError:
            return value
    if get_origin(kind) is tuple:
        return _read_list(get_args(kind)[0], value)
    if isinstance(value, float) and kind is int and value.is_integer():
        return int(value)  # some carriers of JSON know floats alone
    if isinstance(value, int) and not isinstance(value, bool) and kind is float:
        return float(value)
    return value


def _read_list(member: Any, value: Any) -> Any:
    if isinstance(value, str):
        return _read_list(member, value.split(","))
    try:
        return tuple(member(item.strip()) for item in value)
    except (TypeError, ValueError, AttributeError):
        return value


def _plain(value: Any) -> Any:
    return [str(item) for item in value] if isinstance(value, tuple) else value


_TYPES: dict[str, Any] = get_type_hints(AlgorithmSettings)
_METADATA: dict[str, Mapping[str, Any]] = {
    option.name: option.metadata for option in dataclasses.fields(AlgorithmSettings)
}
