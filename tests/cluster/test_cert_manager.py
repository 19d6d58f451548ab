"""The platform with `tls.mode: certManager`, beside cert-manager's own controllers.

One installation serves all tests of this file, in their order: at first there is no cert-manager,
then no issuer.
"""

import datetime as dt
import socket
import ssl
import time
from collections.abc import Generator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest
from cryptography import x509

from tests.cluster import cert_manager, installation, neighbours
from tests.cluster.cluster import Cluster
from tests.cluster.conftest import cache
from tests.cluster.errors import ClusterError
from tests.cluster.installation import RELEASE, Installation, until
from tests.cluster.managers import Manager
from tests.cluster.programs import catalog
from zeroloop.client.channel import Access
from zeroloop.client.reward import RewardClient
from zeroloop.client.tls import Tls
from zeroloop.core.judging import Solution
from zeroloop.core.presets import PAPER
from zeroloop.core.tasks import Case, Kind, Outcome, Task
from zeroloop.errors import UnavailableError

pytestmark = pytest.mark.timeout(1800)

ISSUER = "lab"
CERTIFICATE = f"{RELEASE}-tls"
AUTHORITY = f"{RELEASE}-ca"
SERVERS = ("controller", "buffer", "reward", "execution")
MOUNTED_S = 240
"""Until a changed Secret is in every pod: the kubelet looks again after 60 to 90 s, if not busy."""

OF_THE_LAB: dict[str, Any] = {
    "tls": {"mode": "certManager", "certManager": {"issuerRef": {"name": ISSUER}}}
}
OF_THE_CHART: dict[str, Any] = {"tls": {"mode": "certManager"}}

SQUARE = Task(
    domain="code",
    kind=Kind.ABDUCTION,
    program="def f(x):\n    return x * x",
    imports=(),
    cases=(Case("-3", "9"),),
    thought="",
)


@pytest.fixture(scope="module")
def prepared(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Installation:
    neighbours.require(catalog.CERT_MANAGER)
    return installation.prepare(cluster, cache(), tmp_path_factory.mktemp("release"))


@pytest.fixture(scope="module")
def manager(prepared: Installation) -> Generator[Manager]:
    with neighbours.arrived(prepared, "cert-manager", cert_manager.running) as running:
        yield running


@pytest.fixture(scope="module")
def installing(prepared: Installation, manager: Manager) -> Generator[Future[str]]:
    """An installation that waits for an issuer."""
    with ThreadPoolExecutor(1) as threads:
        yield threads.submit(prepared.put, **OF_THE_LAB)
    prepared.helm("uninstall", RELEASE, "--wait")


@pytest.fixture(scope="module")
def installed(prepared: Installation, installing: Future[str]) -> Installation:
    prepared.cluster.apply(*cert_manager.authority(ISSUER, prepared.namespace))
    installing.result()
    return prepared


def test_without_cert_manager_helm_says_what_is_missing(prepared: Installation) -> None:
    with pytest.raises(ClusterError, match=r'no matches for kind "Certificate".*cert-manager\.io'):
        prepared.put(**OF_THE_LAB)
    assert not prepared.helm("list", "--short").strip()


@pytest.mark.usefixtures("installing")
def test_without_its_issuer_pods_wait_and_say_for_what(prepared: Installation) -> None:
    until(lambda: f'secret "{CERTIFICATE}" not found' in told(prepared, "Pod"))
    until(lambda: f'"{ISSUER}" not found' in told(prepared, "CertificateRequest"))
    assert conditions(prepared, CERTIFICATE)["Ready"] == "False"


def test_once_there_is_an_issuer_the_installation_goes_on(installed: Installation) -> None:
    until(lambda: conditions(installed, CERTIFICATE)["Ready"] == "True")
    made = certificate(installed)
    names = made.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert f"*.{installed.namespace}.svc" in names.get_values_for_type(x509.DNSName)
    made.verify_directly_issued_by(certificate(installed, "ca.crt"))
    assert {served(installed, component) for component in SERVERS} == {made.serial_number}


async def test_users_need_its_authority_and_no_certificate(installed: Installation) -> None:
    tls = installed.tls()
    token = installed.secret("token", "token").decode()
    user = Access(token, Tls(tls.ca_file, server_name=tls.server_name))
    async with installed.client(access=user) as client:
        assert not [run.name for run in await client.runs.list()]
    async with installed.client("buffer", access=user) as client:
        with pytest.raises(UnavailableError):
            await client.rounds.list(run="any")


async def test_a_renewed_certificate_is_served_without_a_restart(installed: Installation) -> None:
    await plays(installed)
    before, pods = certificate(installed), living(installed)
    cert_manager.renew(installed.cluster, installed.namespace, CERTIFICATE)
    until(lambda: certificate(installed) != before)
    until_served(installed)
    assert living(installed) == pods
    assert certificate(installed).public_key() != before.public_key()
    await plays(installed)


async def test_services_go_on_under_another_authority(installed: Installation) -> None:
    """Services opened their connections long ago; a new pod has the new certificates alone."""
    pods = living(installed)
    old = installed.secret("tls", "ca.crt")
    installed.put(upgrade=True, **OF_THE_CHART)
    until(lambda: installed.secret("tls", "ca.crt") != old)
    until_served(installed)
    assert living(installed) == pods
    installed.kubectl("delete", "pod", installed.pod_of("execution"))
    installed.kubectl("rollout", "status", f"deployment/{RELEASE}-execution")
    await plays(installed)


def test_a_renewed_authority_keeps_its_key(installed: Installation) -> None:
    """Else nobody who knows the old one would believe what the new one signs."""
    old = certificate(installed, "ca.crt")
    cert_manager.renew(installed.cluster, installed.namespace, AUTHORITY)
    until(lambda: conditions(installed, AUTHORITY).get("Issuing") != "True")
    cert_manager.renew(installed.cluster, installed.namespace, CERTIFICATE)
    until(lambda: certificate(installed, "ca.crt") != old)
    certificate(installed).verify_directly_issued_by(old)


def test_the_chart_takes_over_no_certificate_that_nobody_would_renew(
    installed: Installation,
) -> None:
    with pytest.raises(ClusterError, match=rf"delete secret {CERTIFICATE}"):
        installed.put(upgrade=True)
    installed.kubectl("delete", "certificate", CERTIFICATE)
    installed.kubectl("delete", "secret", CERTIFICATE)
    installed.put(upgrade=True)
    made = certificate(installed)
    assert made.not_valid_after_utc - made.not_valid_before_utc > dt.timedelta(days=3600)


# ---- looking


async def plays(installed: Installation) -> None:
    """An answer is judged, for which reward calls execution; both want certificates."""
    solution = Solution(solution_id="one", task=SQUARE, response="why</think><answer>3</answer>")
    token = installed.secret("token", "token").decode()
    async with Access(token, installed.tls()).channel(installed.address_of("reward")) as channel:
        client = RewardClient(channel, PAPER, domain="code")
        found = [one async for one in client.judge([solution])]
    assert [one.outcome for one in found] == [Outcome.CORRECT]


def told(installed: Installation, kind: str) -> str:
    """What the events of objects of a kind say."""
    events = installed.get("events", f"--field-selector=involvedObject.kind={kind}")["items"]
    return "\n".join(event["message"] for event in events)


def conditions(installed: Installation, name: str) -> dict[str, str]:
    """Of a Certificate."""
    status = installed.get("certificate", name).get("status") or {}
    return {found["type"]: found["status"] for found in status.get("conditions") or ()}


def certificate(installed: Installation, name: str = "tls.crt") -> x509.Certificate:
    """What the Secret has."""
    return x509.load_pem_x509_certificate(installed.secret("tls", name))


def served(installed: Installation, component: str) -> int:
    """The serial number of the certificate that one shows to its callers."""
    context = ssl.create_default_context(cadata=installed.secret("tls", "ca.crt").decode())
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    host, _, port = installed.address_of(component).partition(":")
    with (
        socket.create_connection((host, int(port)), timeout=10) as plain,
        context.wrap_socket(plain) as wrapped,
    ):
        shown = wrapped.getpeercert(binary_form=True)
    assert shown is not None
    return x509.load_der_x509_certificate(shown).serial_number


def until_served(installed: Installation) -> None:
    """Wait until every service shows the certificate of the Secret."""
    began_s = time.monotonic()
    wanted = {certificate(installed).serial_number}
    until(lambda: {served(installed, one) for one in SERVERS} == wanted, MOUNTED_S)
    print(f"every service shows it after {time.monotonic() - began_s:.0f} s")


def living(installed: Installation) -> dict[str, int]:
    """Restarts of each pod of the services."""
    return {
        pod["metadata"]["uid"]: sum(c["restartCount"] for c in pod["status"]["containerStatuses"])
        for pod in installed.get("pods")["items"]
        if pod["metadata"]["labels"].get("app.kubernetes.io/component") in SERVERS
    }
