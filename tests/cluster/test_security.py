"""Accounts, Roles and certificates on a real cluster: who may call whom, and who may not."""

import asyncio
import time
from collections.abc import Generator
from typing import Any

import pytest

from tests.cluster import installation
from tests.cluster.cluster import Cluster
from tests.cluster.conftest import cache
from tests.cluster.installation import RELEASE, Installation, until
from zeroloop.client.channel import Access
from zeroloop.client.tls import Tls
from zeroloop.errors import AuthError, ForbiddenError, UnavailableError

pytestmark = pytest.mark.timeout(1800)

AUDIENCE = "--audience=zeroloop"
USERS = [{"kind": "Group", "name": "researchers", "apiGroup": "rbac.authorization.k8s.io"}]
SOON_S = 20.0
"""A refusal is believed for five seconds, and the API server hears of a Role a moment later."""

VALUES: dict[str, Any] = {"auth": {"mode": "kubernetes", "users": USERS}}


@pytest.fixture(scope="module")
def installed(
    cluster: Cluster, tmp_path_factory: pytest.TempPathFactory
) -> Generator[Installation]:
    made = installation.prepare(cluster, cache(), tmp_path_factory.mktemp("release"))
    made.put(**VALUES)
    for account in ("alice", "stranger"):
        made.kubectl("create", "serviceaccount", account)
    made.kubectl(
        *("create", "rolebinding", "alice", f"--role={RELEASE}-user"),
        f"--serviceaccount={made.namespace}:alice",
    )
    yield made
    made.helm("uninstall", RELEASE, "--wait")


def token_of(installed: Installation, account: str, *flags: str) -> str:
    return installed.kubectl("create", "token", account, *flags).strip()


def test_a_round_is_played_by_accounts_alone(installed: Installation) -> None:
    """Every call of it shows a token of its caller's own; the test's account may play runs."""
    told = installed.helm("test", RELEASE, "--logs", "--timeout=900s")

    assert "completed" in told
    assert "v1" in told


async def test_whoever_has_the_role_may_play_runs(installed: Installation) -> None:
    token = token_of(installed, "alice", AUDIENCE)
    async with installed.client(token=token) as client:
        assert [run.name for run in await client.runs.list()]


async def test_an_account_without_the_role_is_told_which_right_is_missing(
    installed: Installation,
) -> None:
    token = token_of(installed, "stranger", AUDIENCE)
    async with installed.client(token=token) as client:
        with pytest.raises(ForbiddenError, match=r"stranger may not list selfplayruns"):
            await client.runs.list()


async def test_a_role_counts_soon_after_it_is_given(installed: Installation) -> None:
    installed.kubectl("create", "serviceaccount", "bob")
    token = token_of(installed, "bob", AUDIENCE)
    async with installed.client(token=token) as client:
        with pytest.raises(ForbiddenError):
            await client.runs.list()
        installed.kubectl(
            *("create", "rolebinding", "bob", f"--role={RELEASE}-user"),
            f"--serviceaccount={installed.namespace}:bob",
        )
        patience_s = time.monotonic() + SOON_S
        while True:
            try:
                await client.runs.list()
                break
            except ForbiddenError:
                assert time.monotonic() < patience_s
                await asyncio.sleep(0.5)


@pytest.mark.parametrize("flags", [(), ("--audience=other",)])
async def test_a_token_for_somebody_else_is_refused(installed: Installation, flags: Any) -> None:
    async with installed.client(token=token_of(installed, "alice", *flags)) as client:
        with pytest.raises(AuthError, match="audience 'zeroloop'"):
            await client.runs.list()


async def test_who_may_play_runs_may_not_call_the_services_behind(
    installed: Installation,
) -> None:
    token = token_of(installed, "alice", AUDIENCE)
    async with installed.client("buffer", token=token) as client:
        with pytest.raises(ForbiddenError, match="alice may not call buffer"):
            await client.rounds.list(run="any")


async def test_a_trainer_may_call_the_buffer_and_no_engine(installed: Installation) -> None:
    installed.create_run("engine", 1, settings={"evaluate.enabled": "false"})
    until(lambda: "inference" in str(ready(installed)), 240)
    trainer = token_of(installed, f"{RELEASE}-trainer", AUDIENCE)
    async with installed.client("inference", token=trainer) as client:
        with pytest.raises(ForbiddenError, match="may not call inference"):
            await client.generate("x", max_tokens=1)
    installed.kubectl("delete", "spr", "engine", "--timeout=60s")


async def test_without_a_certificate_nobody_reaches_the_services_behind(
    installed: Installation,
) -> None:
    tls = installed.tls()
    bare = Access("any", Tls(tls.ca_file, server_name=tls.server_name))
    for shown in (bare, Access("any")):
        async with installed.client("buffer", access=shown) as client:
            with pytest.raises(UnavailableError):
                await client.rounds.list(run="any")


def test_an_upgrade_keeps_the_certificate(installed: Installation) -> None:
    before = installed.secret("tls", "tls.crt")
    installed.put(upgrade=True, **VALUES, podAnnotations={"upgraded": "true"})

    assert installed.secret("tls", "tls.crt") == before


def test_services_ask_who_calls_and_nothing_else(installed: Installation) -> None:
    """But for the controller, whose rights have a test of their own."""
    asked: dict[str, set[str]] = {}
    start = f"system:serviceaccount:{installed.namespace}:{RELEASE}-"
    for event in installed.cluster.audit_events():
        name = event["user"]["username"]
        if name.startswith(start) and event["stage"] == "ResponseComplete":
            what = f"{event['verb']} {event['objectRef']['resource']}"
            asked.setdefault(name.removeprefix(start), set()).add(what)
    reviews = {"create tokenreviews", "create subjectaccessreviews"}

    assert {name for name, what in asked.items() if what & reviews} == {
        *("controller", "buffer", "reward", "inference"),
    }
    del asked["controller"]
    assert all(what <= reviews for what in asked.values()), asked


def ready(installed: Installation) -> list[str]:
    """Components of ready pods."""
    return [
        pod["metadata"]["labels"].get("app.kubernetes.io/component", "")
        for pod in installed.get("pods")["items"]
        for condition in pod["status"].get("conditions", ())
        if condition["type"] == "Ready" and condition["status"] == "True"
    ]
