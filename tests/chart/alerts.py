"""Scenarios of alerts, evaluated by Prometheus's own engine: `promtool test rules`.

A scenario is what Prometheus has scraped, a value a minute. `scenarios.yaml` has them.
"""

import functools
import os
import re
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tests.chart.rendering import NAMESPACE
from tests.cluster.programs import build, catalog

SCENARIOS = Path(__file__).with_name("scenarios.yaml")
ELSEWHERE = "elsewhere"
EVALUATED_S = 30
"""How often rules are evaluated: as often as the chart has pods scraped, and the operator's own
default."""

PROMTOOL_S = 60

Rule = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Scenario:
    """What was scraped, and what has to come of it. Times are minutes."""

    when: str
    series: Mapping[str, str]
    """Values in promtool's notation; without a namespace they are of the release's."""

    minutes: int
    """How long it is looked at."""

    since: float | None = None
    """From when on the rule's expression holds; None if it must not for as long as `for` asks."""

    until: float | None = None
    """From when on the alert has ended; None if it lasts."""

    labels: Mapping[str, str] = field(default_factory=dict[str, str])
    """What the alert has beside what the rule gives it."""

    value: str = ""
    """How the description has the value."""


def known() -> dict[str, list[Scenario]]:
    """All scenarios by alert."""
    # All as text: YAML takes 0x10 for 16.
    read = yaml.load(SCENARIOS.read_text(), yaml.CBaseLoader)
    return {alert: [_scenario(**fields) for fields in listed] for alert, listed in read.items()}


def expectations(rule: Rule, scenario: Scenario) -> list[dict[str, Any]]:
    """What promtool is to look for in a scenario: at each evaluation, no alert; or when, which."""
    name, waits = rule["alert"], _minutes(rule.get("for", "0s"))
    step = EVALUATED_S / 60
    quiet, after = scenario.minutes, scenario.minutes
    found: list[dict[str, Any]] = []
    if scenario.since is not None:
        quiet = scenario.since + waits
        after = scenario.minutes if scenario.until is None else scenario.until
        found = [_at(quiet, name, [_expected(rule, scenario)])]
        if "$value" not in rule["annotations"]["description"]:
            # It lasts; with a value the words may have become others.
            found.append(_at(after - step, name, [_expected(rule, scenario)]))
    moments = [count * step for count in range(int(scenario.minutes / step))]
    return [
        *(_at(moment, name, []) for moment in moments if moment < quiet),
        *found,
        *(_at(moment, name, []) for moment in moments if moment >= after),
    ]


def silence(names: Iterable[str], minutes: int) -> list[dict[str, Any]]:
    """What promtool is to look for where no alert of those may ever fire."""
    return [_at(moment, name, []) for name in names for moment in range(minutes)]


def group(
    name: str, series: Mapping[str, str], checks: list[dict[str, Any]], namespace: str = NAMESPACE
) -> dict[str, Any]:
    """One test of promtool's, of series that are in a namespace."""
    return {
        "name": name,
        "interval": "1m",
        "input_series": [
            {"series": _placed(written, namespace), "values": values}
            for written, values in series.items()
        ],
        "alert_rule_test": checks,
    }


def evaluate(rules: Mapping[str, Any], groups: list[dict[str, Any]], folder: Path) -> str:
    """What promtool has to complain of; nothing if all is as expected."""
    (folder / "rules.yaml").write_text(yaml.safe_dump(dict(rules)))
    test = folder / "test.yaml"
    content = {
        "rule_files": ["rules.yaml"],
        "evaluation_interval": f"{EVALUATED_S}s",
        "tests": groups,
    }
    test.write_text(yaml.safe_dump(content, sort_keys=False))
    done = subprocess.run(
        [str(promtool()), "test", "rules", str(test)],
        capture_output=True,
        text=True,
        check=False,
        timeout=PROMTOOL_S,
    )
    return "" if done.returncode == 0 else done.stdout + done.stderr


@functools.cache
def promtool() -> Path:
    """Where promtool is.

    Raises:
        LookupError: It is not built; says which command does that.
    """
    cache = Path(os.environ.get("ZEROLOOP_CACHE") or Path.home() / ".cache" / "zeroloop")
    program = catalog.PROMTOOL
    if build.missing([program], cache):
        raise LookupError("promtool is not built; run `python -m tests.cluster build promtool`")
    return build.place(program, cache, build.find_go(cache, build.go_minimum([program])))


def _scenario(minutes: str, since: str = "", until: str = "", **fields: Any) -> Scenario:
    return Scenario(
        minutes=int(minutes),
        since=float(since) if since else None,
        until=float(until) if until else None,
        **fields,
    )


def _placed(series: str, namespace: str) -> str:
    name, _, labels = series.partition("{")
    listed = [label for label in labels.rstrip("}").split(",") if label]
    if not any(label.startswith("namespace=") for label in listed):
        listed.append(f'namespace="{namespace}"')
    return f"{name}{{{','.join(listed)}}}"


def _expected(rule: Rule, scenario: Scenario) -> dict[str, Any]:
    def said(text: str) -> str:
        text = re.sub(r"{{ \$labels\.(\w+) }}", lambda found: scenario.labels[found[1]], text)
        return re.sub(r"{{ \$value[^}]*}}", scenario.value, text)

    return {
        "exp_labels": {**rule["labels"], **scenario.labels},
        "exp_annotations": {key: said(text) for key, text in rule["annotations"].items()},
    }


def _at(moment: float, name: str, alerts: list[dict[str, Any]]) -> dict[str, Any]:
    return {"eval_time": f"{int(moment * 60)}s", "alertname": name, "exp_alerts": alerts}


def _minutes(duration: str) -> float:
    number, unit = int(duration[:-1]), duration[-1]
    return number * {"s": 1 / 60, "m": 1.0, "h": 60.0}[unit]
