"""Three releases on one cluster: a lab, another lab, and a sandbox service that the second uses.

The tests are in the order of what happens: the first lab is removed at the end.
"""

from collections.abc import Generator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from tests.cluster import certificates, installation
from tests.cluster.cluster import Cluster
from tests.cluster.conftest import cache
from tests.cluster.installation import RELEASE, SMALL, Chart, Installation
from tests.cluster.test_platform import once_each
from zeroloop.client.channel import Access
from zeroloop.core.execution import Isolation, Mode
from zeroloop.errors import AuthError

pytestmark = pytest.mark.timeout(1800)

RUN = "same-name"
EIGHT = [str(number) for number in range(8)]
SANDBOX, GUEST = "sandbox", "guest"
SHARED_TLS = {"mode": "existingSecret", "existingSecret": f"{RELEASE}-tls"}
ENGINES = {"resources": {"requests": {"cpu": "100m"}}}
"""Two labs' engines and trainers on two cores."""

ONE_POD = {"replicas": 1, "resources": {"requests": {"cpu": "100m"}}}
SANDBOX_ALONE = Chart(values=installation.ROOT / "deploy/values/sandbox.yaml")
GUEST_VALUES: dict[str, Any] = {
    "crds": {"enabled": False},
    "execution": {"enabled": False},
    "targets": {"execution": f"dns:///{RELEASE}-execution.{SANDBOX}.svc:50051"},
    "tls": SHARED_TLS,
    "auth": {"existingSecret": f"{RELEASE}-token"},
    "inference": ENGINES,
    "training": ENGINES,
}


@dataclass(frozen=True, slots=True)
class Releases:
    lab: Installation
    sandbox: Installation
    guest: Installation


@pytest.fixture(scope="module")
def releases(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Generator[Releases]:
    """As docs/kubernetes.md says; only the first release may take over an older one's CRD."""

    def prepared(namespace: str = "") -> Installation:
        folder = tmp_path_factory.mktemp("release")
        return installation.prepare(cluster, cache(), folder, namespace)

    made = Releases(prepared(), prepared(SANDBOX), prepared(GUEST))
    made.lab.put(inference=ENGINES, training=ENGINES)
    give_certificates(made.sandbox, made.guest, folder=tmp_path_factory.mktemp("tls"))
    made.sandbox.put(chart=SANDBOX_ALONE, take_ownership=False, tls=SHARED_TLS, execution=ONE_POD)
    secret(made.guest, "token", {"token": made.sandbox.secret("token", "token").decode()})
    made.guest.put(take_ownership=False, **GUEST_VALUES)
    yield made
    for one in (made.guest, made.sandbox):
        one.helm("uninstall", RELEASE, "--wait")


def give_certificates(*releases: Installation, folder: Path) -> None:
    """To each its own, by one authority."""
    authority = certificates.make_authority(folder)
    for one in releases:
        authority.issue(folder, "tls", "zeroloop", names=[f"*.{one.namespace}.svc"])
        files = {name: (folder / name).read_text() for name in ("ca.crt", "tls.crt", "tls.key")}
        secret(one, "tls", files)


def secret(where: Installation, name: str, values: dict[str, str]) -> None:
    metadata = {"name": f"{RELEASE}-{name}", "namespace": where.namespace}
    wanted: dict[str, Any] = {"apiVersion": "v1", "kind": "Secret", "metadata": metadata}
    where.cluster.apply({**wanted, "stringData": values})


async def test_a_sandbox_service_alone_runs_programs(releases: Releases) -> None:
    components = {
        item["metadata"]["labels"]["app.kubernetes.io/component"]
        for item in releases.sandbox.get("deployments,statefulsets,services")["items"]
    }
    assert components == {"execution"}

    async with releases.sandbox.client("execution") as client:
        ran = await client.exec("def f(a):\n    return sorted(a)\n", ["[3, 1, 2]"])

    assert ran.values == ("[1, 2, 3]",)
    assert ran.results[0].isolation is Isolation.GVISOR


async def test_programs_of_two_releases_share_no_worker(releases: Releases) -> None:
    token = releases.sandbox.secret("token", "token").decode()
    name = releases.sandbox.tls().server_name
    found: dict[str, set[str]] = {SANDBOX: set(), GUEST: set()}
    for release in (releases.sandbox, releases.guest) * 3:
        shown = Access(token, replace(release.tls(), server_name=name))
        async with releases.sandbox.client("execution", access=shown) as client:
            ran = await client.exec("import os\ndef f(x):\n    return os.getpid()\n", EIGHT)
        assert {result.mode for result in ran.results} == {Mode.RESET}
        found[release.namespace].update(ran.values)

    assert all(len(workers) < 3 * len(EIGHT) for workers in found.values())
    assert not found[SANDBOX] & found[GUEST]


async def test_two_labs_play_runs_of_one_name_at_once(releases: Releases) -> None:
    labs = (releases.lab, releases.guest)
    for lab in labs:
        lab.create_run(RUN, 1, settings=SMALL)

    for lab in labs:
        lab.wait_for(RUN, lambda status: status.get("phase") == "Completed")
        await once_each(lab, RUN, 1)
    assert not releases.guest.get("pods", "--selector=app.kubernetes.io/component=execution")[
        "items"
    ], "its programs can only have run in the sandbox service"


async def test_the_token_of_one_lab_opens_no_other(releases: Releases) -> None:
    token = releases.lab.secret("token", "token").decode()
    shown = Access(token, releases.guest.tls())

    async with releases.guest.client(access=shown) as client:
        with pytest.raises(AuthError):
            await client.runs.list()


def test_a_controller_may_look_at_its_own_namespace_alone(releases: Releases) -> None:
    controller = f"system:serviceaccount:{releases.lab.namespace}:{RELEASE}-controller"

    def allowed(where: Installation) -> str:
        return where.kubectl(
            *("get", "--raw"),
            f"/apis/zeroloop.dev/v1alpha1/namespaces/{where.namespace}/selfplayruns",
            f"--as={controller}",
        )

    assert RUN in allowed(releases.lab)
    with pytest.raises(Exception, match="cannot list"):
        allowed(releases.guest)


async def test_one_lab_goes_and_the_other_plays_on(releases: Releases) -> None:
    """The CRD was the lab's that goes; it stays, with the runs of everybody."""
    releases.lab.helm("uninstall", RELEASE, "--wait")

    releases.guest.kubectl("patch", "spr", RUN, "--type=merge", '--patch={"spec":{"rounds":2}}')

    releases.guest.wait_for(RUN, lambda status: status.get("weightsVersion") == 2)
    releases.guest.wait_for(RUN, lambda status: status.get("phase") == "Completed")
    await once_each(releases.guest, RUN, 2)
    assert releases.lab.get("spr", RUN)["status"]["phase"] == "Completed"
