"""What the chart tells services is what they understand."""

import json
import os
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from services._server.settings import load_settings
from services.controller.options import settings_of
from services.controller.platforms.flags import inference_flags, trainer_flags
from services.controller.platforms.kubernetes.templates import read_templates
from services.controller.store import RunStore
from tests.chart import settings_schema
from tests.chart.matrix import CASES
from tests.chart.rendering import Pod, render
from trainer.config import load_trainer_settings
from zeroloop.core.runs import RunSpec

SERVERS = ("controller", "buffer", "reward", "execution", "inference")

SECRET_TEXT = {"ZEROLOOP_BUFFER__DATABASE_URL": "postgresql://zeroloop:x@postgresql/zeroloop"}

OF_A_RUN = {
    "inference": ["--model=/models/a"],
    "trainer": [
        *("--run=a", "--model=/models/a", "--buffer=dns:///buffer:50051"),
        *("--weights-dir=/a/weights", "--checkpoint-dir=/a/checkpoints"),
    ],
}
"""What the controller adds."""


def environment(pod: Pod) -> dict[str, str]:
    """As a container sees it, with some text for what comes from elsewhere."""
    return {
        entry["name"]: entry.get("value", SECRET_TEXT.get(entry["name"], "text"))
        for entry in pod.spec["containers"][0]["env"]
    }


def loaded(pod: Pod) -> Any:
    """The settings of the service that a pod runs; raises what its start would raise."""
    flags = OF_A_RUN.get(pod.component, [])
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment(pod).items():
            patch.setenv(name, value)
        if pod.component == "trainer":
            return load_trainer_settings(flags, os.environ)
        kind = settings_schema.KINDS[pod.component]
        return load_settings(pod.component, kind, flags, os.environ)


def is_module(name: str) -> bool:
    found = find_spec(name)
    if found is not None and found.submodule_search_locations is not None:
        return is_module(f"{name}.__main__")
    return found is not None and '__name__ == "__main__"' in Path(found.origin or "").read_text()


@pytest.mark.parametrize("case", CASES)
def test_services_take_what_they_are_told(case: str) -> None:
    for pod in render(*CASES[case]).pods():
        if pod.component in (*SERVERS, "trainer"):
            assert loaded(pod) is not None


@pytest.mark.parametrize("component", SERVERS)
def test_servers_listen_where_services_and_probes_ask(component: str) -> None:
    settings = loaded(render().pod(component))

    assert (settings.host, settings.port) == ("0.0.0.0", 50051)
    assert str(settings.token_file) == "/etc/zeroloop/token/token"


def test_the_services_find_each_other() -> None:
    controller = loaded(render().pod("controller"))
    reward = loaded(render().pod("reward"))

    assert controller.platform == "kubernetes"
    assert controller.execution_target == reward.execution_target
    assert controller.buffer_target == "dns:///loop-zeroloop-buffer.lab.svc:50051"
    assert controller.reward_target == "dns:///loop-zeroloop-reward.lab.svc:50051"


def test_programs_run_in_the_pod_s_own_gvisor() -> None:
    assert loaded(render().pod("execution")).isolation == "gvisor-pod"


@pytest.mark.parametrize("component", [*SERVERS, "trainer", "migrations", "test"])
def test_commands_are_modules_that_do_something(component: str) -> None:
    interpreter, flag, module = render().pod(component).spec["containers"][0]["command"]

    assert (interpreter, flag) == ("python", "-m")
    assert is_module(module)


def test_the_controller_reads_the_pod_templates(tmp_path: Path) -> None:
    pods = render().one("ConfigMap", "pod-templates")["data"]["pods.yaml"]
    (tmp_path / "pods.yaml").write_text(pods)

    templates = read_templates(tmp_path / "pods.yaml")

    assert templates.inference["spec"]["containers"][0]["name"] == "inference"
    assert templates.trainer["spec"]["containers"][0]["name"] == "trainer"


def test_labels_of_runs_are_those_that_policies_select_by() -> None:
    release = render("--set=commonLabels.team=research")
    labels = loaded(release.pod("controller")).labels
    pod = release.pod("inference")

    assert labels["team"] == "research"
    changed = {key for key, value in labels.items() if pod.labels[key] != value}
    assert changed == {"app.kubernetes.io/managed-by"}


def test_gpus_are_limits_of_the_named_resource() -> None:
    release = render(
        "--set=inference.gpu.resourceName=nvidia.com/mig-1g.10gb,inference.gpu.count=2",
        "--set=training.gpu.count=8",
    )

    def limits(component: str) -> Mapping[str, Any]:
        return release.pod(component).spec["containers"][0]["resources"]["limits"]

    assert limits("inference")["nvidia.com/mig-1g.10gb"] == 2
    assert "nvidia.com/gpu" not in limits("inference")
    assert limits("trainer")["nvidia.com/gpu"] == 8


@pytest.mark.parametrize(
    ("values", "spread_over"),
    [
        ("inference.gpu.count=0", None),
        ("inference.gpu.count=1", None),
        ("inference.gpu.count=4", "4"),
        ("inference.gpu.count=4,inference.settings.tensor_parallel_size=2", "2"),
        ("inference.gpu.count=0,inference.settings.tensor_parallel_size=2", "2"),
    ],
)
def test_a_model_is_spread_over_the_gpus_of_its_replica(
    values: str, spread_over: str | None
) -> None:
    found = environment(render(f"--set={values}").pod("inference"))

    assert found.get("ZEROLOOP_INFERENCE__TENSOR_PARALLEL_SIZE") == spread_over


def test_large_numbers_stay_whole() -> None:
    pod = render("--set=inference.settings.kv_cache_mib=1000000").pod("inference")

    assert environment(pod)["ZEROLOOP_INFERENCE__KV_CACHE_MIB"] == "1000000"


def test_own_variables_win() -> None:
    pod = render(
        "--set=buffer.settings.connections_max=4",
        "--set=buffer.extraEnv[0].name=ZEROLOOP_BUFFER__CONNECTIONS_MAX",
        "--set-string=buffer.extraEnv[0].value=2",
    ).pod("buffer")

    assert loaded(pod).connections_max == 2


def test_what_a_run_decides_cannot_be_set_for_all(tmp_path: Path) -> None:
    spec = RunSpec(model="a", preset="paper", rounds=1, seed=0, settings={})
    settings = settings_of(spec)
    folder = RunStore(tmp_path).folder("a")
    run: Any = type("Run", (), {"name": "a", "spec": spec})
    of_trainer = trainer_flags(
        run, settings, folder, model="a", buffer="b", token_file=tmp_path / "token", last_round=0
    )
    of_engine = inference_flags(settings, "a")

    assert not set(settings_schema.definition("training")["properties"]) & set(of_trainer)
    assert not set(settings_schema.definition("inference")["properties"]) & set(of_engine)


def test_withheld_settings_exist() -> None:
    for block, kind in settings_schema.KINDS.items():
        assert settings_schema.withheld(block) <= set(kind.model_fields), block


def test_the_schema_has_the_services_settings() -> None:
    remedy = "run `python -m tests.chart.settings_schema`"
    assert json.loads(settings_schema.SCHEMA.read_text()) == settings_schema.written(), remedy


def test_a_quota_is_what_the_values_say() -> None:
    hard = "resourceQuota.hard"
    (quota,) = render(f"--set={hard}.requests\\.nvidia\\.com/gpu=8,{hard}.pods=50").of(
        "ResourceQuota"
    )

    assert quota["spec"]["hard"] == {"requests.nvidia.com/gpu": 8, "pods": 50}
    assert not render().of("ResourceQuota")
