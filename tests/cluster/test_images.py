"""The platform's images run on the node as strictly as pods may be told to."""

import json
import os
import tarfile
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from tests.cluster import builder, checkout, host, images, pods
from tests.cluster.cluster import Cluster
from tests.cluster.conftest import cache
from tests.cluster.errors import ClusterError

# Three images are imported before the first test.
pytestmark = pytest.mark.timeout(600)

NAMESPACE = "images"
GROUP = 65532

FIND_SANDBOX = """
import os, sys
from pathlib import Path
from services.execution.isolation.image import ensure_image
from services.execution.isolation.interpreter import probe
print(ensure_image(probe(Path(sys.executable)), Path(os.environ["ZEROLOOP_CACHE"])).digest)
"""

IMPORT_ENGINE = """
import os, pathlib, sys
import deepspeed, grpc, torch, vllm
import services.inference.application, trainer, zeroloop
print("real", torch.ones(2, 3).sum().item(), vllm.__version__, os.getuid())
print(pathlib.Path(zeroloop.__file__).parent, pathlib.Path(vllm.__file__).parents[1])
"""

ANSWER_QUERY = """
initdb --pgdata=/tmp/data --username=zeroloop --auth=trust >/dev/null
echo 'select 6 * 7 as answer' | postgres --single -D /tmp/data postgres
"""


@pytest.fixture(scope="module")
def archives() -> dict[str, Path]:
    """The images as files."""
    try:
        return images.built(cache())
    except ClusterError as error:
        pytest.fail(str(error))


@pytest.fixture(scope="module")
def names(cluster: Cluster, archives: dict[str, Path]) -> dict[str, str]:
    """What the node calls the images, which it has."""
    return images.give(cluster, archives)


@pytest.fixture(scope="module")
def namespace(cluster: Cluster) -> Generator[str]:
    """A namespace that enforces the restricted profile and has the checkout as a volume."""
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    cluster.apply(
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE, "labels": labels}}
    )
    cluster.apply(*checkout.objects(NAMESPACE))
    where = f"--namespace={NAMESPACE}"
    cluster.kubectl("wait", "--for=create", "serviceaccount/default", where, "--timeout=60s")
    yield NAMESPACE
    cluster.kubectl("delete", "namespace", NAMESPACE)
    cluster.kubectl(
        "delete", "persistentvolume", checkout.objects(NAMESPACE)[0]["metadata"]["name"]
    )


def strict_pod(
    name: str, image: str, command: list[str], *, user: int | None = None, code: bool = False
) -> dict[str, Any]:
    """A pod as the chart makes them: nothing to write to but /tmp, and the image's own user."""
    pod = pods.make(name, image, "")
    container = pod["spec"]["containers"][0]
    container["command"] = command
    container["securityContext"]["readOnlyRootFilesystem"] = True
    container["volumeMounts"] = [{"name": "tmp", "mountPath": "/tmp"}]
    pod["spec"]["volumes"] = [{"name": "tmp", "emptyDir": {}}]
    pod["spec"]["enableServiceLinks"] = False
    pod["spec"]["automountServiceAccountToken"] = False
    del pod["spec"]["securityContext"]["runAsUser"]
    pod["spec"]["securityContext"]["fsGroup"] = GROUP
    if user is not None:
        pod["spec"]["securityContext"]["runAsUser"] = user
    if code:
        pod["spec"]["volumes"].append(checkout.volume())
        container["volumeMounts"].append(checkout.mount())
    return pod


def configuration(archive: Path) -> dict[str, Any]:
    """What an image says about itself."""
    with tarfile.open(archive) as file:

        def read(name: str) -> Any:
            member = file.extractfile(name)
            assert member is not None
            return json.load(member)

        (manifest,) = read("manifest.json")
        return read(manifest["Config"])


@pytest.mark.parametrize(
    "service",
    ["controller", "buffer", "reward", "execution"],
)
def test_a_light_service_starts_from_its_image(
    cluster: Cluster, namespace: str, names: dict[str, str], service: str
) -> None:
    command = ["python", "-m", f"services.{service}", "--help"]
    pod = strict_pod(f"services-{service}", names["services"], command)

    assert f"usage: python -m services.{service}" in pods.output_of(cluster, namespace, pod)


@pytest.mark.parametrize(
    ("image", "code"), [("services", False), ("engine-runtime", True)], ids=["image", "checkout"]
)
def test_the_sandbox_is_made_already(
    cluster: Cluster, namespace: str, names: dict[str, str], image: str, code: bool
) -> None:
    pod = strict_pod(f"sandbox-{image}", names[image], ["python", "-c", FIND_SANDBOX], code=code)

    assert pods.output_of(cluster, namespace, pod).startswith("sha256:")


def test_the_engine_runs_from_the_checkout(
    cluster: Cluster, namespace: str, names: dict[str, str]
) -> None:
    before = (checkout.ROOT / "pyproject.toml").stat()
    command = ["python", "-c", IMPORT_ENGINE]
    pod = strict_pod("engine", names["engine-runtime"], command, code=True)

    said = pods.output_of(cluster, namespace, pod).splitlines()

    (real,) = [line for line in said if line.startswith("real")]
    assert real.split()[1] == "6.0"
    assert real.split()[-1] == str(GROUP)
    assert said[-1] == "/app/src/zeroloop /app/.venv/lib/python3.11/site-packages"
    after = (checkout.ROOT / "pyproject.toml").stat()
    assert (after.st_gid, after.st_mode) == (before.st_gid, before.st_mode)


@pytest.mark.parametrize("user", [None, GROUP], ids=["own", "ours"])
def test_postgresql_makes_a_database_and_answers(
    cluster: Cluster, namespace: str, names: dict[str, str], user: int | None
) -> None:
    name = f"postgresql-{user or 'own'}"
    pod = strict_pod(name, names["postgresql"], ["sh", "-ec", ANSWER_QUERY], user=user)

    assert 'answer = "42"' in pods.output_of(cluster, namespace, pod)


@pytest.mark.parametrize("name", images.RECIPES)
def test_an_image_runs_as_nobody_and_tells_nothing(archives: dict[str, Path], name: str) -> None:
    told = configuration(archives[name])

    user, group = map(int, told["config"]["User"].split(":"))
    assert min(user, group) >= 999
    for private in (*images.INDEX_VARIABLES, "PIP_", "SSL_CERT"):
        assert private not in json.dumps(told)


def test_images_of_another_base_are_others(monkeypatch: pytest.MonkeyPatch) -> None:
    before = set(images.references().values())
    monkeypatch.setattr(builder, "BASE_OPTIONS", (*builder.BASE_OPTIONS, "--verbose"))

    assert not before & set(images.references().values())


def test_what_is_not_built_is_named_with_its_remedy(tmp_path: Path) -> None:
    with pytest.raises(ClusterError, match=r"services, engine-runtime, .*--build-only"):
        images.built(tmp_path)


def test_missing_builders_are_named_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(host, "SBIN", str(tmp_path))

    with pytest.raises(ClusterError, match=r"apt-get install .*buildah mmdebstrap"):
        images.ensure(tmp_path)


@pytest.mark.parametrize(("refusals", "runs"), [(2, 3), (3, 3)])
def test_a_builder_that_the_kernel_refuses_its_own_copy_tries_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refusals: int, runs: int
) -> None:
    log = tmp_path / "runs"
    program = tmp_path / "buildah"
    program.write_text(
        f"#!/bin/sh\necho >>{log}\n"
        f"[ $(wc -l <{log}) -gt {refusals} ] && echo '[]' && exit\n"
        f"echo 'Close_Fd {builder.BUSY}' >&2\nexit 1\n"
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    store = builder.Store(tmp_path)

    if refusals < runs:
        assert not store.has("localhost/any")
    else:
        with pytest.raises(ClusterError, match=builder.BUSY):
            store.has("localhost/any")
    assert len(log.read_text()) == runs


def test_a_builder_that_fails_is_not_asked_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "buildah"
    program.write_text(f"#!/bin/sh\necho >>{tmp_path}/runs\necho 'no space left' >&2\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")

    with pytest.raises(ClusterError, match="no space left"):
        builder.Store(tmp_path).has("localhost/any")
    assert len((tmp_path / "runs").read_text()) == 1
