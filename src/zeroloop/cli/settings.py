"""What `zeroloop play` was told, and by whom: flags, environment, zeroloop.toml, defaults.

A file looks like this; every name is optional, unknown ones are refused:

    [play]
    model = "models/seedling"   # folder of a Hugging Face causal language model
    preset = "seedling"         # paper or seedling
    rounds = 14
    seed = 7
    name = "first"              # default: made up
    heldout = "heldout.jsonl"   # default: the model folder's
    deterministic = false       # same seed, same machine, same bits; 3 % slower
    runs_dir = "runs"

    [settings]                  # over the preset's; docs/reference/settings.md lists them
    learning_rate = 1e-4
    rollouts = 4

The environment says the same as `ZEROLOOP_PLAY__ROUNDS=14`, and `ZEROLOOP_PLAY__SET` holds
`name=value` pairs separated by spaces.
"""

import dataclasses
import difflib
import json
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from zeroloop.core.presets import preset
from zeroloop.core.settings import AlgorithmSettings, SettingsError, names
from zeroloop.errors import ConfigError

ENVIRONMENT_PREFIX = "ZEROLOOP_PLAY__"
DEFAULT_FILE = "zeroloop.toml"
SEEDLING = "models/seedling"


@dataclass(frozen=True, kw_only=True, slots=True)
class PlaySettings:
    """Everything that decides what a run does and where it is kept."""

    model: str = SEEDLING
    preset: str = ""
    """Empty: `seedling` for the model that ships, else `paper`."""

    rounds: int = 14
    seed: int = 0
    name: str = ""
    heldout: str = ""
    deterministic: bool = False
    runs_dir: str = "runs"
    settings: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Algorithm options that differ from the preset, by name."""

    @property
    def preset_in_force(self) -> str:
        """The preset's name, chosen or implied."""
        if self.preset:
            return self.preset
        return "seedling" if Path(self.model).name == Path(SEEDLING).name else "paper"

    @property
    def algorithm(self) -> AlgorithmSettings:
        """The algorithm's options in force; those of the platform are the controller's."""
        known = {name: value for name, value in self.settings.items() if name in names()}
        return preset(self.preset_in_force).settings.with_changes(known)


_FIELDS = {f.name: f for f in dataclasses.fields(PlaySettings) if f.name != "settings"}


def resolve(
    flags: Mapping[str, Any],
    pairs: Iterable[str],
    environ: Mapping[str, str],
    file: Path | None,
) -> PlaySettings:
    """Merge what flags, environment and file say, in this order of precedence.

    Args:
        flags: By name of a field; None where a flag was not given.
        pairs: `name=value` of each --set.
        environ: The process's environment.
        file: zeroloop.toml or its like; None for none.

    Raises:
        ConfigError: Names are unknown or values wrong; lists all of them.
    """
    problems: list[str] = []
    play, settings = _from_file(file, problems) if file else ({}, {})
    variables, variable_settings = _from_environment(environ, problems)
    play |= variables
    play |= {name: value for name, value in flags.items() if value is not None}
    settings |= variable_settings | _pairs(pairs, "--set", problems)
    values = {name: _typed(name, value, problems) for name, value in play.items()}
    if problems:
        raise ConfigError("\n".join(problems))
    resolved = PlaySettings(**values, settings=settings)
    _check(resolved)
    return resolved


def _check(resolved: PlaySettings) -> None:
    if resolved.rounds < 1:
        raise ConfigError(f"rounds must be at least 1, got {resolved.rounds}")
    # Dotted names belong to the platform; the controller knows them and refuses others.
    unknown = [name for name in resolved.settings if name not in names() and "." not in name]
    problems = [_unknown(f"setting {name!r}", name, names()) for name in unknown]
    try:
        resolved.algorithm  # noqa: B018  (reading it checks names and ranges)
    except SettingsError as error:
        problems += error.problems
    if problems:
        raise ConfigError("\n".join(problems))


def _from_file(path: Path, problems: list[str]) -> tuple[dict[str, Any], dict[str, Any]]:
    try:
        document = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise ConfigError(f"settings file {path} cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"settings file {path} is not TOML: {error}") from error
    for section in document.keys() - {"play", "settings"}:
        problems.append(_unknown(f"{path}: section [{section}]", section, ("play", "settings")))
    play, settings = document.get("play", {}), document.get("settings", {})
    for name, table in (("play", play), ("settings", settings)):
        if not isinstance(table, dict):
            raise ConfigError(f"{path}: {name} must be a table, written as [{name}]")
    play = {k: v for k, v in play.items() if _is_field(k, f"{path}: [play] {k}", problems)}
    return play, _flat(settings)


def _from_environment(
    environ: Mapping[str, str], problems: list[str]
) -> tuple[dict[str, Any], dict[str, Any]]:
    play: dict[str, Any] = {}
    settings: dict[str, Any] = {}
    for variable, value in sorted(environ.items()):
        if not variable.startswith(ENVIRONMENT_PREFIX):
            continue
        name = variable.removeprefix(ENVIRONMENT_PREFIX).lower()
        if name == "set":
            settings = _pairs(value.split(), variable, problems)
        elif name != "settings" and _is_field(name, variable, problems):
            play[name] = value
    return play, settings


def settings_file(flag: Path | None, environ: Mapping[str, str], folder: Path) -> Path | None:
    """Which file to read: the flag's, the environment's, zeroloop.toml in `folder`, none."""
    named = flag or environ.get(f"{ENVIRONMENT_PREFIX}SETTINGS")
    if named:
        return Path(named)
    default = folder / DEFAULT_FILE
    return default if default.is_file() else None


def _pairs(pairs: Iterable[str], where: str, problems: list[str]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            problems.append(f"{where}: write name=value, got {pair!r}")
        else:
            values[name.strip()] = _plain(value.strip())
    return values


def _plain(value: str) -> Any:
    """Read numbers and true or false; everything else is text."""
    try:
        read = json.loads(value)
    except ValueError:
        return value
    return read if isinstance(read, int | float) else value


def _flat(table: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Write nested tables with dots, so that `pipeline.overlap` may stand either way."""
    flat: dict[str, Any] = {}
    for name, value in table.items():
        if isinstance(value, dict):
            flat |= _flat(cast("dict[str, Any]", value), f"{prefix}{name}.")
        else:
            flat[prefix + name] = value
    return flat


def _is_field(name: str, where: str, problems: list[str]) -> bool:
    if name in _FIELDS:
        return True
    problems.append(_unknown(where, name, _FIELDS))
    return False


def _unknown(what: str, name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, list(known), 1)
    hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(sorted(known))}"
    return f"{what} is unknown; {hint}"


def _typed(name: str, value: Any, problems: list[str]) -> Any:
    default = _FIELDS[name].default
    if isinstance(default, bool):
        words = {"true": True, "1": True, "false": False, "0": False}
        read = value if isinstance(value, bool) else words.get(str(value).lower())
        if read is None:
            problems.append(f"{name} must be true or false, got {value!r}")
        return read
    if isinstance(default, int):
        if re.fullmatch(r"-?\d+", str(value)):
            return int(value)
        problems.append(f"{name} must be an integer, got {value!r}")
        return default
    if not isinstance(value, str):
        problems.append(f"{name} must be text, got {value!r}")
    return value
