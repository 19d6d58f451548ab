"""Monitors, dashboards and alerts: only on request, about the right pods, of metrics that exist."""

import json
import re
from collections.abc import Mapping
from itertools import combinations
from typing import Any

import pytest
import yaml

from services._server import semconv
from services._server.instruments import METRICS
from tests.chart import queries
from tests.chart.matrix import CASES
from tests.chart.rendering import CHART, NAME, ROOT, Pod, Release, refusal, render, template
from zeroloop.core.runs import Phase
from zeroloop.core.tasks import RunStatus

ALL_ON = (
    "--set=metrics.podMonitor.enabled=true",
    "--set=metrics.dashboards.enabled=true",
    "--set=metrics.alerts.enabled=true",
)
METERED = {"controller", "buffer", "reward", "execution", "inference", "trainer"}
OPERATOR = {"PodMonitor", "PrometheusRule"}
PORT = 9464

RUNBOOKS = ROOT / "docs" / "runbooks"
DASHBOARDS = sorted((CHART / "dashboards").glob("*.json"))

NAMES: Mapping[str, Any] = {path.stem: json.loads(path.read_text()) for path in DASHBOARDS}


def ports(pod: Pod) -> dict[str, int]:
    return {
        port["name"]: port["containerPort"] for c in pod.containers for port in c.get("ports", [])
    }


def selects(monitor: Mapping[str, Any], pod: Pod) -> bool:
    selector = monitor["spec"]["selector"]
    return selector["matchLabels"].items() <= pod.labels.items() and all(
        expression["operator"] == "In" and pod.labels[expression["key"]] in expression["values"]
        for expression in selector["matchExpressions"]
    )


def alerts(release: Release) -> list[dict[str, Any]]:
    return [
        rule
        for item in release.of("PrometheusRule")
        for group in item["spec"]["groups"]
        for rule in group["rules"]
    ]


# ---- what is there


@pytest.mark.parametrize(
    "case", [name for name in CASES if name not in ("everything", "gpu-cluster")]
)
def test_nothing_of_an_operator_without_a_switch(case: str) -> None:
    release = render(*CASES[case])

    assert not [item for item in release.objects if item["kind"] in OPERATOR]
    assert not [name for name in release.names("ConfigMap") if "dashboard" in name]


@pytest.mark.parametrize("case", CASES)
def test_the_monitor_selects_exactly_the_pods_that_answer(case: str) -> None:
    release = render(*CASES[case], *ALL_ON, "--set=metrics.enabled=true")
    (monitor,) = release.of("PodMonitor")
    (endpoint,) = monitor["spec"]["podMetricsEndpoints"]

    found = {pod.component for pod in release.pods() if selects(monitor, pod)}

    assert found == METERED & release.components()
    assert found == {pod.component for pod in release.pods() if endpoint["port"] in ports(pod)}


@pytest.mark.parametrize("component", sorted(METERED))
def test_the_port_is_where_the_process_answers(component: str) -> None:
    pod = render("--set=metrics.port=9999").pod(component)
    (told,) = [
        entry["value"]
        for entry in pod.spec["containers"][0]["env"]
        if entry["name"].endswith("__METRICS_PORT")
    ]

    assert ports(pod)["metrics"] == int(told) == 9999


def test_without_metrics_no_pod_answers() -> None:
    release = render("--set=metrics.enabled=false")

    assert not [pod for pod in release.pods() if "metrics" in ports(pod)]
    assert "METRICS_PORT" not in template(["--set=metrics.enabled=false"]).stdout
    assert not [
        item["metadata"]["name"]
        for item in release.of("NetworkPolicy")
        if str(PORT) in json.dumps(item)
    ]


@pytest.mark.parametrize("block", ["podMonitor", "dashboards", "alerts"])
def test_watching_what_does_not_answer_is_refused(block: str) -> None:
    said = refusal("--set=metrics.enabled=false", f"--set=metrics.{block}.enabled=true")

    assert f"metrics.{block}.enabled needs metrics.enabled=true" in said


def test_the_port_of_calls_is_taken() -> None:
    assert "metrics.port must not be 50051" in refusal("--set=metrics.port=50051")


def test_others_find_the_objects_by_the_labels_of_the_values() -> None:
    release = render(
        *ALL_ON,
        "--set=metrics.podMonitor.labels.release=prometheus",
        "--set=metrics.alerts.labels.role=alerts",
        "--set=metrics.dashboards.annotations.grafana_folder=zeroloop",
    )
    (monitor,), (rule,) = release.of("PodMonitor"), release.of("PrometheusRule")
    boards = [item for item in release.of("ConfigMap") if "dashboard" in item["metadata"]["name"]]

    assert monitor["metadata"]["labels"]["release"] == "prometheus"
    assert rule["metadata"]["labels"]["role"] == "alerts"
    assert {board["metadata"]["labels"]["grafana_dashboard"] for board in boards} == {"1"}
    assert {board["metadata"]["annotations"]["grafana_folder"] for board in boards} == {"zeroloop"}


# ---- dashboards


def test_every_dashboard_is_in_a_config_map() -> None:
    release = render(*ALL_ON)

    for name, dashboard in NAMES.items():
        data = release.one("ConfigMap", f"dashboard-{name}")["data"]
        assert json.loads(data[f"zeroloop-{name}.json"]) == dashboard
    assert len({dashboard["uid"] for dashboard in NAMES.values()}) == len(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_dashboard_works_with_any_data_source_and_namespace(name: str) -> None:
    variables = {v["name"]: v for v in NAMES[name]["templating"]["list"]}

    assert variables["datasource"]["type"] == "datasource"
    assert "zeroloop_serving" in variables["namespace"]["definition"]
    for panel in queries.panels(NAMES[name]):
        sources = [panel["datasource"], *(t["datasource"] for t in panel["targets"])]
        assert {source["uid"] for source in sources} == {"${datasource}"}


@pytest.mark.parametrize("name", NAMES)
def test_panels_say_what_they_show(name: str) -> None:
    shown = list(queries.panels(NAMES[name]))

    assert len({panel["id"] for panel in NAMES[name]["panels"]}) == len(NAMES[name]["panels"])
    assert len({panel["title"] for panel in shown}) == len(shown)
    for panel in shown:
        assert panel["description"].endswith("."), panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]


@pytest.mark.parametrize("name", NAMES)
def test_panels_do_not_overlap(name: str) -> None:
    places = [panel["gridPos"] for panel in NAMES[name]["panels"]]

    assert all(place["x"] + place["w"] <= 24 for place in places)
    for a, b in combinations(places, 2):
        beside = a["x"] + a["w"] <= b["x"] or b["x"] + b["w"] <= a["x"]
        below = a["y"] + a["h"] <= b["y"] or b["y"] + b["h"] <= a["y"]
        assert beside or below, (a, b)


EXPRESSIONS = [
    pytest.param(target["expr"], id=f"{name}: {panel['title']} {target['refId']}")
    for name, dashboard in NAMES.items()
    for panel in queries.panels(dashboard)
    for target in panel["targets"]
]


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_queries_ask_for_what_is_exposed(expression: str) -> None:
    check(queries.read(expression))


def check(query: queries.Query) -> None:
    ours = {name for name in query.metrics if not queries.is_of_vllm(name)}
    assert ours <= queries.answered()
    assert not query.unscoped
    known = {label for name in query.metrics for label in queries.labels_of(name)}
    assert query.labels <= known
    stages = {("phase", phase.value) for phase in Phase} | {
        *(("state", "wanted"), ("state", "serving")),
        *(("component", component) for component in METERED),
        *(("job", component) for component in METERED),
        *(("status", status.value) for status in RunStatus),
        ("agrees", "no"),
        ("gen_ai_token_type", "output"),
        *(("zeroloop_reward_kind", role) for role in ("proposer", "solver")),
    }
    chosen = {pair for pair in query.values if pair[0] not in ("namespace", "error_type")}
    assert chosen <= stages


def test_dashboards_show_almost_every_metric() -> None:
    asked = {
        name
        for dashboard in NAMES.values()
        for panel in queries.panels(dashboard)
        for target in panel["targets"]
        for name in queries.read(target["expr"]).metrics
    }
    unseen = {metric.name for metric in METRICS if not asked & set(metric.series)}

    # Alerts speak of one; another is the entropy and more in one number; the last never changes.
    assert unseen == {
        semconv.METRIC_RUN_PHASES,
        semconv.METRIC_LEARNING_LOSS,
        semconv.METRIC_EXEC_INFO,
    }


# ---- alerts


def rules() -> list[dict[str, Any]]:
    return alerts(render(*ALL_ON))


def test_every_alert_has_a_page_and_every_page_an_alert() -> None:
    names = [rule["alert"] for rule in rules()]

    assert len(names) == len(set(names))
    assert {path.stem for path in RUNBOOKS.glob("*.md")} == {*names, "README"}


def test_alerts_ask_for_what_is_exposed() -> None:
    for rule in rules():
        query = queries.read(rule["expr"])
        check(query)
        assert ("namespace", "lab") in query.values


def test_alerts_say_what_is_wrong_and_where_to_read_on() -> None:
    base = "https://git.lab/zeroloop/docs/runbooks"
    for rule in alerts(render(*ALL_ON, f"--set=metrics.alerts.runbookBase={base}/")):
        said = rule["annotations"]
        assert said["runbook_url"] == f"{base}/{rule['alert']}.md"
        assert said["summary"]
        assert said["description"].endswith(".")
        assert rule["labels"]["severity"] in ("critical", "warning", "info")
        assert rule.keys() <= {"alert", "expr", "for", "labels", "annotations"}
        # What Helm was to leave to Prometheus, and only that.
        for name in re.findall(r"{{ \$(\w+)", json.dumps(rule)):
            assert name in ("value", "labels")


THRESHOLDS = {
    "noProgressSeconds": "ZeroloopNoProgress",
    "roundSeconds": "ZeroloopRoundStuck",
    "engineNotReadySeconds": "ZeroloopEngineNotReady",
    "trainFailures": "ZeroloopTrainerFailing",
    "leaseExpiries": "ZeroloopLeasesEnd",
}


@pytest.mark.parametrize(("value", "alert"), THRESHOLDS.items())
def test_thresholds_are_values(value: str, alert: str) -> None:
    number = "977"
    (changed,) = [
        rule
        for rule in alerts(render(*ALL_ON, f"--set=metrics.alerts.{value}={number}"))
        if number in str(rule.get("for", "")) + rule["expr"]
    ]

    assert changed["alert"] == alert


@pytest.mark.parametrize(
    ("value", "alert"),
    [
        ("idleRatio", "ZeroloopIdle"),
        ("notExecutedRatio", "ZeroloopNotExecuted"),
        ("callErrorRatio", "ZeroloopCallsFail"),
    ],
)
def test_shares_are_values(value: str, alert: str) -> None:
    (changed,) = [
        rule["alert"]
        for rule in alerts(render(*ALL_ON, f"--set-json=metrics.alerts.{value}=0.125"))
        if "> 0.125" in rule["expr"]
    ]

    assert changed == alert


def test_a_release_without_controller_does_not_miss_it() -> None:
    release = render(*CASES["execution alone"], *ALL_ON)

    assert "ZeroloopNoController" not in [rule["alert"] for rule in alerts(release)]


def test_objects_of_the_operator_have_only_its_fields() -> None:
    release = render(*ALL_ON)
    (monitor,), (rule,) = release.of("PodMonitor"), release.of("PrometheusRule")

    assert monitor["apiVersion"] == rule["apiVersion"] == "monitoring.coreos.com/v1"
    assert monitor["spec"].keys() == {"jobLabel", "selector", "podMetricsEndpoints"}
    (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
    assert endpoint.keys() == {"port", "path", "interval", "scrapeTimeout"}
    assert rule["spec"].keys() == {"groups"}
    assert {key for group in rule["spec"]["groups"] for key in group} == {"name", "rules"}
    assert monitor["metadata"]["name"] == f"{NAME}-pods"


# ---- the pages


@pytest.mark.parametrize("page", sorted(RUNBOOKS.glob("Zeroloop*.md")), ids=lambda path: path.stem)
def test_pages_have_the_same_parts(page: Any) -> None:
    text = page.read_text()

    assert text.startswith(f"# {page.stem}\n")
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == ["What it means", "Look at", "Do"]


def test_the_reference_lists_what_is_exposed() -> None:
    text = (ROOT / "docs" / "reference" / "metrics.md").read_text()
    listed = dict(re.findall(r"^\| `([a-z_]+)` \| (?:[^|]+) \| ([^|]*) \|", text, re.MULTILINE))

    labels = {m.family: [label.replace(".", "_") for label in m.labels] for m in METRICS}
    assert {name: re.findall(r"`(\w+)`", cell) for name, cell in listed.items()} == labels


def test_the_cluster_example_is_watched() -> None:
    release = render(*CASES["gpu-cluster"])
    values = yaml.safe_load((ROOT / "deploy" / "values" / "gpu-cluster.yaml").read_text())

    assert {item["kind"] for item in release.objects} >= OPERATOR
    assert values["metrics"]["dashboards"]["enabled"] is True
