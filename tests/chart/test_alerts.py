"""Each alert fires when it should, as it should, and not otherwise, says Prometheus itself."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.chart import alerts, queries
from tests.chart.alerts import Scenario
from tests.chart.rendering import NAMESPACE, ROOT, render

ON = "--set=metrics.alerts.enabled=true"
KNOWN = alerts.known()
HEALTHY = "healthy"
"""Scenarios in which nothing fires."""

NAMED = {name: listed for name, listed in KNOWN.items() if name != HEALTHY}
WATCHES = sorted(
    f"{package}.{service}/{call}"
    for path in (ROOT / "protos").rglob("*.proto")
    for package in re.findall(r"^package (\S+);", path.read_text(), re.MULTILINE)
    for service, body in re.findall(
        r"^service (\w+) {(.+?)^}", path.read_text(), re.MULTILINE | re.DOTALL
    )
    for call in re.findall(r"rpc (Watch\w*)\(", body)
)


def spec(*flags: str) -> Mapping[str, Any]:
    (found,) = render(ON, *flags).of("PrometheusRule")
    return found["spec"]


def rules(*flags: str) -> dict[str, alerts.Rule]:
    return {rule["alert"]: rule for group in spec(*flags)["groups"] for rule in group["rules"]}


def only(rule: alerts.Rule) -> Mapping[str, Any]:
    """A file of one rule; each scenario takes a twelfth of the time."""
    return {"groups": [{"name": "only", "rules": [rule]}]}


def test_every_alert_has_scenarios_in_which_it_fires_and_in_which_it_must_not() -> None:
    assert set(rules()) == set(NAMED)
    for name, listed in NAMED.items():
        assert [scenario for scenario in listed if scenario.since is not None], name
        assert [scenario for scenario in listed if scenario.since is None], name


@pytest.mark.parametrize("name", NAMED)
def test_an_alert_fires_when_it_should_and_not_otherwise(name: str, tmp_path: Path) -> None:
    rule = rules()[name]
    groups = [
        alerts.group(scenario.when, scenario.series, alerts.expectations(rule, scenario))
        for scenario in NAMED[name]
    ]
    # Another release may be in any trouble, unless the trouble is that something is not there.
    if not rule["expr"].startswith("absent("):
        groups += [
            alerts.group(
                f"{scenario.when}, elsewhere",
                scenario.series,
                alerts.silence([name], scenario.minutes),
                namespace=alerts.ELSEWHERE,
            )
            for scenario in NAMED[name]
            if scenario.since is not None
        ]

    assert alerts.evaluate(only(rule), groups, tmp_path) == ""


def test_nothing_fires_where_nothing_is_wrong(tmp_path: Path) -> None:
    groups = [
        alerts.group(scenario.when, scenario.series, alerts.silence(rules(), scenario.minutes))
        for scenario in KNOWN[HEALTHY]
    ]

    assert alerts.evaluate(spec(), groups, tmp_path) == ""


def test_a_watch_that_ends_with_its_deadline_is_no_failed_call(tmp_path: Path) -> None:
    ended = 'rpc_response_status_code="DEADLINE_EXCEEDED",error_type="DEADLINE_EXCEEDED"'
    series = {
        f'rpc_server_call_duration_seconds_count{{rpc_method="{method}",{ended}}}': "0+5x60"
        for method in WATCHES
    }

    assert len(WATCHES) > 2
    checks = alerts.silence(["ZeroloopCallsFail"], 60)
    groups = [alerts.group("watches", series, checks)]
    assert alerts.evaluate(only(rules()["ZeroloopCallsFail"]), groups, tmp_path) == ""


def test_two_releases_do_not_share_an_alert() -> None:
    """Alertmanager takes alerts of equal labels for one, and routes by the namespace."""
    for rule in rules().values():
        assert rule["labels"]["namespace"] == NAMESPACE, rule["alert"]


@pytest.mark.parametrize("name", KNOWN)
def test_scenarios_have_series_that_are_exposed(name: str) -> None:
    for scenario in KNOWN[name]:
        for series in scenario.series:
            metric, _, labels = series.partition("{")
            assert metric in queries.answered(), series
            used = set(re.findall(r"(\w+)=", labels))
            assert used <= queries.labels_of(metric) | {"namespace"}, series


def test_a_scenario_that_is_wrong_is_noticed(tmp_path: Path) -> None:
    """The engine really looks: the same series, and the opposite expected."""
    rule, (fires, *_) = rules()["ZeroloopRoundStuck"], NAMED["ZeroloopRoundStuck"]
    quiet = Scenario(fires.when, fires.series, fires.minutes)
    groups = [alerts.group("wrong", fires.series, alerts.expectations(rule, quiet))]

    assert "alertname: ZeroloopRoundStuck" in alerts.evaluate(only(rule), groups, tmp_path)
