"""Named settings, and how each of them departs from the paper."""

from collections.abc import Mapping
from dataclasses import dataclass

from zeroloop.core.settings import AlgorithmSettings, SettingsError


@dataclass(frozen=True, slots=True)
class Override:
    """An option that a preset sets, and why it departs from the paper."""

    value: object
    why: str


@dataclass(frozen=True, slots=True)
class Departure:
    """One option whose value is not the paper's."""

    name: str
    paper: object
    value: object
    why: str


@dataclass(frozen=True, slots=True)
class Preset:
    """A name for settings: the paper's, but for some named overrides."""

    name: str
    purpose: str
    overrides: Mapping[str, Override]

    @property
    def settings(self) -> AlgorithmSettings:
        """What the preset stands for."""
        values = {name: override.value for name, override in self.overrides.items()}
        return PAPER.with_changes(values)


PAPER = AlgorithmSettings(cpu_limit_s=10.0)
"""The published sizes and options."""

PRESETS: dict[str, Preset] = {
    "paper": Preset("paper", "fidelity to the published algorithm", {}),
    "seedling": Preset(
        "seedling",
        "the model that ships, on two cores",
        {
            "samples_per_group": Override(16, "a round takes under a minute on two cores"),
            "prompt_style": Override("compact", "the model reads characters and is tiny"),
            "prompt_tokens_max": Override(512, "half of the model's context, in characters"),
            "response_tokens_max": Override(256, "a quarter of the model's context"),
            "references": Override(2, "more examples do not fit the model's context"),
            "num_inputs": Override(6, "ten inputs do not fit the model's context"),
            "cpu_limit_s": Override(1.0, "its programs run in milliseconds; loops end sooner"),
            "learning_rate": Override(2e-4, "a small model needs larger steps"),
            "train_on_mc_rollouts": Override(
                value=True, why="eight times the answers to learn from, already sampled and judged"
            ),
        },
    ),
}


def preset(name: str) -> Preset:
    """The preset of that name.

    Raises:
        SettingsError: There is none.
    """
    if name not in PRESETS:
        raise SettingsError([f"preset must be one of {', '.join(PRESETS)}, got {name!r}"])
    return PRESETS[name]


def departures(settings: AlgorithmSettings, base: Preset = PRESETS["paper"]) -> list[Departure]:
    """List where `settings` differ from the paper, with the reasons of the preset `base`.

    An option that the preset does not set to this value was set by the user.
    """
    paper, values = PAPER.to_mapping(), settings.to_mapping()
    intended = base.settings.to_mapping()
    return [
        Departure(name, paper[name], value, _why(base, name, same=value == intended[name]))
        for name, value in values.items()
        if value != paper[name]
    ]


def _why(base: Preset, name: str, *, same: bool) -> str:
    return base.overrides[name].why if same and name in base.overrides else "set for this run"
