"""TLS, client certificates and the health port, over a real wire with real certificates."""

import asyncio
import shutil
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from services._server.auth import SharedToken, TokenInterceptor
from services._server.health import Health
from services._server.settings import ServiceSettings
from services._server.transport import access, client_tls, health_port, listen
from tests.cluster.certificates import Authority, make_authority
from zeroloop.client._renewal import RenewedChannel
from zeroloop.client.channel import Access, translate_errors
from zeroloop.client.tls import Tls, load_tls
from zeroloop.client.token import TokenFile
from zeroloop.errors import AuthError, ConfigError, UnavailableError

NAME = "zeroloop.test.svc"
SERVICE = "zeroloop.buffer.v1.TaskService"


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    made = make_authority(tmp_path)
    made.issue(tmp_path, "tls", "zeroloop", names=[NAME, "localhost"])
    return made


@pytest.fixture
def settings(authority: Authority, tmp_path: Path) -> ServiceSettings:
    token = tmp_path / "token"
    token.write_text("secret")
    token.chmod(0o600)
    return ServiceSettings(
        token_file=token,
        tls_cert_file=tmp_path / "tls.crt",
        tls_key_file=tmp_path / "tls.key",
        tls_ca_file=tmp_path / "ca.crt",
    )


@asynccontextmanager
async def served(settings: ServiceSettings) -> AsyncIterator[str]:
    server = grpc.aio.server(interceptors=[TokenInterceptor(SharedToken("secret"))])
    health = Health()
    health_pb2_grpc.add_HealthServicer_to_server(health.servicer, server)
    await health.serving(SERVICE)
    address = listen(server, settings)
    async with health_port(health, settings):
        await server.start()
        yield address
        await server.stop(None)


async def ask(address: str, shown: Access, service: str = "") -> int:
    """Return the health of a service; every call is a new connection."""
    async with shown.channel(address) as channel:
        request = health_pb2.HealthCheckRequest(service=service)
        with translate_errors():
            reply = await health_pb2_grpc.HealthStub(channel).Check(request, timeout=5)
        return reply.status


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


async def test_services_reach_each_other_by_address_under_the_platforms_name(settings) -> None:
    async with served(settings) as address:
        assert address.startswith("127.0.0.1:")
        assert (
            await ask(address, access(settings).by_address(NAME))
            == health_pb2.HealthCheckResponse.SERVING
        )


async def test_a_caller_without_tls_gets_no_answer(settings) -> None:
    async with served(settings) as address:
        with pytest.raises(UnavailableError):
            await ask(address, Access("secret"))


async def test_another_authority_is_not_believed(settings, tmp_path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    make_authority(other)
    async with served(settings) as address:
        with pytest.raises(UnavailableError, match=r"(?i)certificate"):
            await ask(address, Access("secret", Tls(other / "ca.crt", server_name=NAME)))


async def test_a_certificate_for_another_name_is_not_believed(settings, tmp_path) -> None:
    async with served(settings) as address:
        with pytest.raises(UnavailableError, match=r"(?i)hostname|peer name"):
            await ask(address, Access("secret", Tls(tmp_path / "ca.crt", server_name="other")))


async def test_a_service_may_want_its_callers_certificate(settings, tmp_path) -> None:
    settings = settings.model_copy(update={"tls_require_client": True})
    async with served(settings) as address:
        assert (
            await ask(address, access(settings).by_address(NAME))
            == health_pb2.HealthCheckResponse.SERVING
        )
        with pytest.raises(UnavailableError):
            await ask(address, Access("secret", Tls(tmp_path / "ca.crt", server_name=NAME)))


async def test_a_renewed_certificate_counts_from_the_next_connection(settings, tmp_path) -> None:
    async with served(settings) as address:
        await ask(address, access(settings).by_address(NAME))
        renewed = tmp_path / "renewed"
        renewed.mkdir()
        make_authority(renewed).issue(renewed, "tls", "zeroloop", names=[NAME])
        for name in ("tls.crt", "tls.key"):
            shutil.copy(renewed / name, tmp_path / f"new-{name}")
            (tmp_path / f"new-{name}").replace(tmp_path / name)
        with pytest.raises(UnavailableError):
            await ask(address, access(settings).by_address(NAME))
        new = Tls(renewed / "ca.crt", server_name=NAME)
        assert await ask(address, Access("secret", new)) == health_pb2.HealthCheckResponse.SERVING


async def test_an_open_channel_follows_its_files_to_another_authority(settings, tmp_path) -> None:
    """Services call each other for longer than certificates hold."""
    settings = settings.model_copy(update={"tls_require_client": True, "port": free_port()})
    async with access(settings).by_address(NAME).channel(f"127.0.0.1:{settings.port}") as channel:
        check = health_pb2_grpc.HealthStub(channel).Check
        for _ in range(2):
            async with served(settings):
                reply = await check(health_pb2.HealthCheckRequest(), timeout=10)
                assert reply.status == health_pb2.HealthCheckResponse.SERVING
            make_authority(tmp_path).issue(tmp_path, "tls", "zeroloop", names=[NAME])


async def test_a_connection_is_kept_until_the_called_service_has_its_files(
    settings, tmp_path
) -> None:
    """Pods hear of a change within a minute or two, each at its own time."""
    mine = tmp_path / "mine"
    mine.mkdir()
    for path in tmp_path.glob("*.*"):
        shutil.copy(path, mine)
    shown = Access("secret", Tls(mine / "ca.crt", server_name=NAME))
    async with served(settings) as address, shown.channel(address) as channel:
        assert isinstance(channel, RenewedChannel)
        check, old = health_pb2_grpc.HealthStub(channel).Check, channel.current()
        await check(health_pb2.HealthCheckRequest(), timeout=5)
        make_authority(mine).issue(mine, "tls", "zeroloop", names=[NAME])
        for _ in range(5):
            await check(health_pb2.HealthCheckRequest(), timeout=5)
            await asyncio.sleep(0.1)
        assert channel.current() is old
        for name in ("tls.crt", "tls.key"):
            shutil.copy(mine / name, tmp_path)
        for _ in range(30):
            await check(health_pb2.HealthCheckRequest(), timeout=5)
            await asyncio.sleep(0.1)
        assert channel.current() is not old


async def test_a_call_that_has_begun_ends_under_its_old_certificate(settings, tmp_path) -> None:
    async with served(settings) as address:
        shown = access(settings).by_address(NAME)
        async with shown.channel(address) as channel:
            stub = health_pb2_grpc.HealthStub(channel)
            watch = stub.Watch(health_pb2.HealthCheckRequest())
            await watch.read()
            make_authority(tmp_path).issue(tmp_path, "tls", "zeroloop", names=[NAME])
            await stub.Check(health_pb2.HealthCheckRequest(), timeout=5)
            await asyncio.sleep(0.1)
            assert not watch.done()
        assert watch.done(), "a closed channel leaves nothing behind"


async def test_an_open_channel_outlives_files_that_are_half_replaced(settings, tmp_path) -> None:
    shown = access(settings).by_address(NAME)
    async with served(settings) as address, shown.channel(address) as channel:
        check = health_pb2_grpc.HealthStub(channel).Check
        await check(health_pb2.HealthCheckRequest(), timeout=5)
        (tmp_path / "ca.crt").write_text("")
        await check(health_pb2.HealthCheckRequest(), timeout=5)
        (tmp_path / "ca.crt").unlink()
        await check(health_pb2.HealthCheckRequest(), timeout=5)


async def test_a_certificate_that_is_half_replaced_does_not_end_service(settings, tmp_path) -> None:
    async with served(settings) as address:
        shown = Access("secret", Tls(tmp_path / "ca.crt", server_name=NAME))
        (tmp_path / "tls.crt").write_text("")
        assert await ask(address, shown) == health_pb2.HealthCheckResponse.SERVING


async def test_the_health_port_answers_in_plain_text_and_nothing_else(settings) -> None:
    settings = settings.model_copy(update={"health_port": free_port(), "tls_require_client": True})
    async with served(settings):
        plain = f"127.0.0.1:{settings.health_port}"
        assert await ask(plain, Access(), SERVICE) == health_pb2.HealthCheckResponse.SERVING
        async with Access("secret").channel(plain) as channel:
            call = channel.unary_unary(f"/{SERVICE}/Sample")
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await call(b"", timeout=5)
        assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_a_health_port_that_is_taken_is_named(settings) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = settings.model_copy(update={"health_port": other.getsockname()[1]})
        with pytest.raises(ConfigError, match="--health-port"):
            async with served(taken):
                pass


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"tls_key_file": None}, "go together"),
        ({"tls_cert_file": Path("/nowhere")}, "tls_cert_file: /nowhere cannot be read"),
        ({"tls_ca_file": None, "tls_require_client": True}, "needs tls_ca_file"),
    ],
)
async def test_wrong_settings_say_what_is_missing(settings, change, words) -> None:
    with pytest.raises(ConfigError, match=words):
        async with served(settings.model_copy(update=change)):
            pass


async def test_a_key_of_another_certificate_is_refused(settings, authority, tmp_path) -> None:
    authority.issue(tmp_path, "other", "zeroloop", names=[NAME])
    settings = settings.model_copy(update={"tls_key_file": tmp_path / "other.key"})
    with pytest.raises(ConfigError, match="key"):
        async with served(settings):
            pass


def test_a_file_that_is_no_certificate_is_named(settings, tmp_path) -> None:
    wrong = tmp_path / "wrong.crt"
    wrong.write_text("hello")
    with pytest.raises(ConfigError, match=r"wrong\.crt is not a PEM file"):
        client_tls(settings.model_copy(update={"tls_ca_file": wrong}))


def test_a_renewed_token_is_presented_at_once(tmp_path) -> None:
    path = tmp_path / "token"
    path.write_text("one\n")
    path.chmod(0o600)
    token = TokenFile(path)
    assert token() == "one"
    fresh = tmp_path / "fresh"
    fresh.write_text("two")
    fresh.chmod(0o600)
    fresh.replace(path)
    assert token() == "two"
    path.unlink()
    with pytest.raises(AuthError, match="cannot be read"):
        token()


def test_the_environment_says_how_to_check_services() -> None:
    environ = {"ZEROLOOP_CA_FILE": "/ca", "ZEROLOOP_SERVER_NAME": "x", "ZEROLOOP_CERT_FILE": "/c"}
    assert load_tls(environ=environ) == Tls(Path("/ca"), Path("/c"), None, "x")
    assert load_tls("", environ) is None
    assert load_tls(environ={}) is None
    with pytest.raises(ConfigError, match="needs its key"):
        Tls(Path("/ca"), Path("/c")).credentials()


async def test_many_connections_at_once_survive_a_renewal(settings, authority, tmp_path) -> None:
    async with served(settings) as address:
        for _ in range(5):
            authority.issue(tmp_path, "tls", "zeroloop", names=[NAME])
            answers = await asyncio.gather(
                *(ask(address, access(settings).by_address(NAME)) for _ in range(8))
            )
            assert set(answers) == {health_pb2.HealthCheckResponse.SERVING}
