"""What panels show, says Prometheus itself: something where there is something, and all of it."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.chart import alerts, queries
from tests.chart.rendering import CHART, NAMESPACE
from tests.chart.test_metrics import NAMES

RISING = ("_total", "_bucket", "_sum", "_count")
BOUNDS = {"0.1": 1, "1.0": 30, "+Inf": 60}
"""How many values more a minute a histogram has below a bound."""

MINUTES = 20

TARGETS = [
    pytest.param(panel, target, id=f"{name}: {panel['title']} {target['refId']}")
    for name, dashboard in NAMES.items()
    for panel in queries.panels(dashboard)
    for target in panel["targets"]
]


def written(expression: str) -> str:
    """An expression as Grafana asks it."""
    text = expression.replace("$namespace", NAMESPACE)
    return re.sub(r"\$__(rate_interval|range)", "5m", text)


def series_for(expression: str) -> Iterator[tuple[str, str]]:
    """Series of every metric that is asked for, with all labels that it has, of two pods."""
    asked = queries.read(expression)
    chosen = dict(asked.values)
    for metric in asked.metrics:
        labels = queries.labels_of(metric) - {"namespace", "pod", "le"}
        own = "".join(f',{label}="{chosen.get(label, "x")}"' for label in sorted(labels))
        bounds = BOUNDS.items() if metric.endswith("_bucket") else [("", 60)]
        for pod in ("a", "b"):
            for bound, step in bounds:
                le = f',le="{bound}"' if bound else ""
                rises = step if metric.endswith(RISING) else 0
                yield f'{metric}{{pod="{pod}"{own}{le}}}', f"1+{rises}x{MINUTES}"


def asked_of_promtool(expression: str, series: dict[str, str]) -> dict[str, Any]:
    """A test that an expression has a value. What is no number does not equal itself."""
    text = written(expression)
    expected = [{"labels": "{}", "value": 1}]
    return {
        **alerts.group(expression, series, []),
        "promql_expr_test": [
            {
                "expr": f"count(({text}) == ({text})) > bool 0",
                "eval_time": f"{MINUTES - 5}m",
                "exp_samples": expected,
            }
        ],
    }


def test_every_panel_has_values_where_its_metrics_have(tmp_path: Path) -> None:
    expressions = [target.values[1]["expr"] for target in TARGETS]
    groups = [asked_of_promtool(e, dict(series_for(e))) for e in expressions]

    assert alerts.evaluate({"groups": []}, groups, tmp_path) == ""


def test_a_panel_without_values_is_noticed(tmp_path: Path) -> None:
    apart = (
        'sum by (phase) (zeroloop_runs{namespace="$namespace"})'
        ' / sum by (outcome) (zeroloop_exec_cache_total{namespace="$namespace"})'
    )
    groups = [asked_of_promtool(apart, dict(series_for(apart)))]

    assert "got:" in alerts.evaluate({"groups": []}, groups, tmp_path)


def test_where_no_program_failed_the_share_is_0(tmp_path: Path) -> None:
    (expression,) = [
        target.values[1]["expr"]
        for target in TARGETS
        if target.values[0]["title"] == "Not executed"
    ]
    series = {'zeroloop_exec_runs_total{pod="a",status="ok"}': "0+9x20"}
    groups = [asked_of_promtool(expression, series)]

    assert alerts.evaluate({"groups": []}, groups, tmp_path) == ""


@pytest.mark.parametrize(("panel", "target"), TARGETS)
def test_a_legend_tells_apart_what_the_query_does(
    panel: dict[str, Any], target: dict[str, Any]
) -> None:
    outermost = re.search(r"\b(?:sum|max|avg)(?: by \(([^)]*)\))?", target["expr"])
    assert outermost is not None
    apart = set((outermost[1] or "le").split(", ")) - {"le"}

    assert set(re.findall(r"{{(\w+)}}", target["legendFormat"])) == apart
    # A stat has its title, others need a name for each line.
    assert panel["type"] == "stat" or target["legendFormat"]


def test_dashboards_are_of_one_schema() -> None:
    assert len({dashboard["schemaVersion"] for dashboard in NAMES.values()}) == 1


@pytest.mark.parametrize(
    ("title", "value"),
    [("Since the last stage", "noProgressSeconds"), ("Age of the round", "roundSeconds")],
)
def test_a_panel_turns_red_when_its_alert_fires(title: str, value: str) -> None:
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    (steps,) = [
        panel["fieldConfig"]["defaults"]["thresholds"]["steps"]
        for panel in queries.panels(NAMES["platform"])
        if panel["title"] == title
    ]

    assert steps[-1] == {"color": "red", "value": values["metrics"]["alerts"][value]}
