"""Values: what is refused and how, what is documented, what ships."""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.chart.matrix import CASES, DIGEST
from tests.chart.rendering import CHART, EXAMPLES, NAME, helm, refusal, render, template
from zeroloop.core.presets import PRESETS

VALUES: dict[str, Any] = yaml.safe_load((CHART / "values.yaml").read_text())
SCHEMA: dict[str, Any] = json.loads((CHART / "values.schema.json").read_text())


@pytest.mark.parametrize("values", [None, *EXAMPLES], ids=lambda path: path and path.stem)
def test_helm_lint(values: Path | None) -> None:
    done = helm("lint", "--strict", str(CHART), *([f"--values={values}"] if values else []))

    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("flag", "named"),
    [
        ("bufer.replicas=2", "additional properties 'bufer' not allowed"),
        ("buffer.replica=2", "at '/buffer': additional properties 'replica' not allowed"),
        ("buffer.settings.connections=2", "at '/buffer/settings': additional properties 'conn"),
        ("buffer.settings.database_url=x", "additional properties 'database_url' not allowed"),
        ("buffer.settings.connections_max=101", "at '/buffer/settings/connections_max': maximum"),
        ("inference.settings.dtype=int8", "at '/inference/settings/dtype'"),
        ("training.settings.learning_rate=1", "additional properties 'learning_rate' not allowed"),
        ("inference.backend=knative", "at '/inference/backend'"),
        ("controller.replicas=0", "at '/controller/replicas': minimum"),
        ("controller.replicas=two", "at '/controller/replicas'"),
        ("logLevel=info", "at '/logLevel'"),
        ("image.services.tag=latest", "at '/image/services/tag'"),
        ("image.services.digest=sha256:12", "at '/image/services/digest'"),
        ("image.services.pullPolicy=always", "at '/image/services/pullPolicy'"),
        ("runsVolume.accessModes[0]=ReadOnlyMany", "at '/runsVolume/accessModes/0'"),
        ("execution.runtimeClassName=", "at '/execution/runtimeClassName'"),
        ("execution.resources.limits.memory=3GB", "at '/execution/resources/limits/memory'"),
        ("tracing.otlpEndpoint=collector:4317", "at '/tracing/otlpEndpoint'"),
        ("tracing.sampleRatio=2", "at '/tracing/sampleRatio': maximum"),
        ("metrics.port=80", "at '/metrics/port': minimum"),
        ("metrics.podmonitor.enabled=true", "additional properties 'podmonitor' not allowed"),
        ("metrics.podMonitor.interval=30", "at '/metrics/podMonitor/interval'"),
        ("metrics.alerts.idleRatio=2", "at '/metrics/alerts/idleRatio': maximum"),
        ("buffer.settings.metrics_port=1", "additional properties 'metrics_port' not allowed"),
        ("targets.buffer=buffer", "at '/targets/buffer'"),
        ("inference.gpu.count=-1", "at '/inference/gpu/count': minimum"),
        ("auth.mode=none", "at '/auth/mode'"),
        ("tls.mode=off", "at '/tls/mode'"),
        ("tls.certManager.duration=1y", "at '/tls/certManager/duration'"),
    ],
)
def test_wrong_values_are_refused_by_name(flag: str, named: str) -> None:
    assert named in refusal(f"--set={flag}")


@pytest.mark.parametrize(
    ("flags", "remedy"),
    [
        (["buffer.enabled=false"], "targets.buffer"),
        (["reward.enabled=false"], "targets.reward"),
        (["execution.enabled=false"], "targets.execution"),
        (["controller.enabled=false", "execution.enabled=false"], "targets.execution"),
        (["postgresql.enabled=false"], "database.existingSecret"),
        (["database.existingSecret=ours"], "postgresql.enabled=false"),
        (["tls.mode=existingSecret"], "tls.existingSecret"),
        (["tls.existingSecret=ours"], "tls.mode=existingSecret"),
        (["auth.users[0].kind=Group"], "auth.mode=kubernetes"),
        (["reward.autoscaling.enabled=true", "reward.autoscaling.maxReplicas=1"], "maxReplicas"),
        (["inference.settings.tensor_parallel_size=2"], "raise inference.gpu.count"),
    ],
)
def test_values_that_do_not_fit_together_are_refused(flags: list[str], remedy: str) -> None:
    assert remedy in refusal(*(f"--set={flag}" for flag in flags))


def test_all_that_does_not_fit_is_said_at_once() -> None:
    said = refusal("--set=buffer.enabled=false", "--set=reward.enabled=false")

    assert "targets.buffer" in said
    assert "targets.reward" in said


def allowed(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """A schema with its reference followed."""
    if "$ref" in schema:
        return SCHEMA["definitions"][schema["$ref"].rpartition("/")[2]]
    return schema


def differences(values: Any, schema: Mapping[str, Any], path: str) -> Iterator[str]:
    """Keys that only one of default values and schema has, at our own levels."""
    schema = allowed(schema)
    if schema.get("additionalProperties", True) is not False or path.endswith(".settings"):
        return
    optional = {"claims"}
    for key in (values.keys() ^ schema["properties"].keys()) - optional:
        yield f"{path}.{key}"
    for key in values.keys() & schema["properties"].keys():
        if isinstance(values[key], dict):
            yield from differences(values[key], schema["properties"][key], f"{path}.{key}")


def test_every_value_has_a_default_and_a_schema() -> None:
    without_cpu_limit = {".execution.resources.limits.cpu"}

    assert set(differences(VALUES, SCHEMA, "")) - without_cpu_limit == set()


def test_blocks_have_their_keys_in_one_order() -> None:
    """Whoever knows one block finds a key in the others."""
    order = list(VALUES["controller"])
    for block in ("buffer", "reward", "execution"):
        shared = [key for key in VALUES[block] if key in order]
        assert shared == order, block


def test_every_top_level_value_is_explained() -> None:
    lines = (CHART / "values.yaml").read_text().splitlines()
    bare = [
        line
        for before, line in zip(["", *lines], lines, strict=False)
        if re.match(r"\w+:", line) and not before.startswith("#")
    ]

    assert bare == []


def test_digests_win_over_tags() -> None:
    release = render(*CASES["digests"], "--set=image.services.tag=1.2.3")
    images = {container["image"] for pod in release.pods() for container in pod.containers}

    assert images == {
        f"docker.io/zeroloop/services@{DIGEST}",
        f"docker.io/zeroloop/gpu@{DIGEST}",
        f"docker.io/library/postgres@{DIGEST}",
    }


def test_a_mirror_is_one_value() -> None:
    release = render(*CASES["a mirror"])
    images = [container["image"] for pod in release.pods() for container in pod.containers]

    assert all(image.startswith("mirror.lab:5000/") for image in images)


def test_the_default_tag_is_the_chart_s_version() -> None:
    version = yaml.safe_load((CHART / "Chart.yaml").read_text())["appVersion"]

    image = render().pod("reward").spec["containers"][0]["image"]

    assert image == f"docker.io/zeroloop/services:{version}"


def test_secrets_and_data_outlive_what_they_must() -> None:
    release = render()
    kept = {
        item["metadata"]["name"]
        for item in release.objects
        if (item["metadata"].get("annotations") or {}).get("helm.sh/resource-policy") == "keep"
    }

    assert kept == {f"{NAME}-runs", f"{NAME}-database", "selfplayruns.zeroloop.dev"}


def test_own_secrets_make_no_others() -> None:
    assert not render(*CASES["own secrets and claims"]).of("Secret")


def test_nothing_but_secrets_differs_between_renderings() -> None:
    """Else every upgrade would start pods anew."""

    def rest() -> str:
        documents = template([]).stdout.split("\n---\n")
        return "\n".join(text for text in documents if "kind: Secret" not in text)

    assert rest() == rest()


def test_only_crds_belong_to_the_cluster_by_default() -> None:
    of_the_cluster = [
        item["kind"] for item in render().objects if "namespace" not in item["metadata"]
    ]

    assert of_the_cluster == ["CustomResourceDefinition"]


def test_one_account_may_ask_the_api_server() -> None:
    (binding,) = render().of("RoleBinding")
    (role,) = render().of("Role")

    assert [subject["name"] for subject in binding["subjects"]] == [f"{NAME}-controller"]
    assert binding["roleRef"]["name"] == role["metadata"]["name"]
    assert not [rule for rule in role["rules"] if "*" in str(rule)]
    assert not [rule for rule in role["rules"] if "secrets" in rule["resources"]]


@pytest.mark.parametrize(
    ("backend", "made", "left"),
    [
        ("deployment", ("apps", "deployments"), ("serving.kserve.io", "inferenceservices")),
        ("kserve", ("serving.kserve.io", "inferenceservices"), ("apps", "deployments")),
    ],
)
def test_engines_are_of_one_kind_and_the_other_can_only_be_removed(
    backend: str, made: tuple[str, str], left: tuple[str, str]
) -> None:
    release = render(f"--set=inference.backend={backend}")
    (role,) = release.of("Role")
    verbs = {(rule["apiGroups"][0], rule["resources"][0]): rule["verbs"] for rule in role["rules"]}

    assert verbs[made] == ["get", "create", "patch", "delete"]
    assert verbs[left] == ["get", "delete"]
    env = release.pod("controller").containers[0]["env"]
    told = {entry["name"]: entry.get("value") for entry in env}
    assert told["ZEROLOOP_CONTROLLER__INFERENCE_BACKEND"] == backend


ATTEMPTS = {
    "job": ("batch", "jobs"),
    "jobset": ("jobset.x-k8s.io", "jobsets"),
    "trainjob": ("trainer.kubeflow.org", "trainjobs"),
}


@pytest.mark.parametrize("backend", ATTEMPTS)
def test_attempts_to_train_are_of_one_kind_and_others_can_only_be_counted_and_ended(
    backend: str,
) -> None:
    release = render(f"--set=training.backend={backend}")
    (role,) = release.of("Role")
    verbs = {(rule["apiGroups"][0], rule["resources"][0]): rule["verbs"] for rule in role["rules"]}

    for kind, resource in ATTEMPTS.items():
        if kind == backend:
            assert verbs[resource] == ["list", "create", "patch", "delete"]
        else:
            ending = ["list", "delete", "patch"] if kind == "trainjob" else ["list", "delete"]
            assert verbs[resource] == ending
    runtimes = ("trainer.kubeflow.org", "trainingruntimes")
    assert verbs.get(runtimes) == (["create", "patch"] if backend == "trainjob" else None)
    env = release.pod("controller").containers[0]["env"]
    told = {entry["name"]: entry.get("value") for entry in env}
    assert told["ZEROLOOP_CONTROLLER__TRAINING_BACKEND"] == backend


def test_hooks_clean_up() -> None:
    hooks = {
        item["metadata"]["name"]: item["metadata"]["annotations"]
        for item in render().objects
        if "helm.sh/hook" in (item["metadata"].get("annotations") or {})
    }

    assert {name: hook["helm.sh/hook"] for name, hook in hooks.items()} == {
        f"{NAME}-migrations": "pre-upgrade",
        f"{NAME}-test-round": "test",
    }
    for hook in hooks.values():
        assert hook["helm.sh/hook-delete-policy"] == "before-hook-creation,hook-succeeded"


CPU_LINE = re.compile(r"^(\d+)(m?)$")
UNITS = {"Mi": 1, "Gi": 1024, "Ti": 1024 * 1024}


def cores(quantity: str) -> float:
    number, milli = CPU_LINE.fullmatch(str(quantity)).groups()
    return int(number) / (1000 if milli else 1)


def mebibytes(quantity: str) -> int:
    return int(quantity[:-2]) * UNITS[quantity[-2:]]


def test_the_cpu_example_fits_its_node() -> None:
    """With two engines and two training pods, 0.3 cores left for the cluster's own pods."""
    release = render(*CASES["cpu"])
    copies = {"inference": 2, "trainer": 2, "migrations": 0}
    requested = [
        (copies.get(pod.component, 1), pod.spec["containers"][0]["resources"]["requests"])
        for pod in release.pods()
    ]

    assert sum(number * cores(wanted["cpu"]) for number, wanted in requested) <= 1.7
    assert sum(number * mebibytes(wanted["memory"]) for number, wanted in requested) <= 8 * 1024
    assert not [
        pod.where
        for pod in release.pods()
        if "nvidia.com/gpu" in str(pod.spec) or pod.spec.get("nodeSelector")
    ]


def notes(*arguments: str) -> str:
    done = helm(*("install", "loop", str(CHART), "--namespace=lab", "--dry-run=client", *arguments))
    assert done.returncode == 0, done.stderr
    return done.stdout.partition("\nNOTES:\n")[2]


def test_notes_say_what_is_missing() -> None:
    text = notes()

    for word in ("helm test", "port-forward", "grpcurl", "RuntimeClass gvisor", "nvidia.com/gpu"):
        assert word in text
    assert "baseline" in text
    assert "bundled database" in text
    assert "nvidia" not in notes(*CASES["cpu"])
    assert "cert-manager" not in text


def test_notes_say_what_the_certificate_waits_for() -> None:
    text = notes(*CASES["cert-manager's issuer"])

    assert "cert-manager, and its ClusterIssuer lab: pods wait for its Secret loop-" in text
    assert "describe certificates,certificaterequests" in text


def test_notes_of_services_alone_say_where_they_are_and_what_they_ask_for() -> None:
    text = notes(*CASES["sandbox"])

    assert "dns:///loop-zeroloop-execution.lab.svc:50051" in text
    assert "token in Secret loop-zeroloop-token and a certificate" in text
    for word in ("helm test", "kind: SelfPlayRun", "grpcurl", "-buffer.lab.svc"):
        assert word not in text


def test_the_run_in_the_notes_is_one_that_the_crd_takes() -> None:
    crd = render().one("CustomResourceDefinition", "selfplayruns.zeroloop.dev")
    (version,) = crd["spec"]["versions"]
    text = re.search(r"<<Y\n(.*?)\n *Y\n", notes(), re.DOTALL)[1]

    run = yaml.safe_load(text)

    assert run["apiVersion"] == f"{crd['spec']['group']}/{version['name']}"
    assert run["kind"] == crd["spec"]["names"]["kind"]
    assert run["spec"]["preset"] in PRESETS
    assert not list(
        unknown(run["spec"], version["schema"]["openAPIV3Schema"]["properties"]["spec"])
    )


def unknown(value: Any, schema: Mapping[str, Any]) -> Iterator[str]:
    for key, entry in value.items() if isinstance(value, dict) else ():
        if key not in schema.get("properties", {}):
            yield key
        else:
            yield from unknown(entry, schema["properties"][key])
