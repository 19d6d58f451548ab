"""How services listen and how they call each other: ports, certificates, tokens."""

import ssl
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import cast

import grpc
import grpc.aio
from grpc_health.v1 import health_pb2_grpc

from services._server.health import Health
from services._server.settings import ServiceSettings
from zeroloop.client.channel import Access
from zeroloop.client.tls import Tls, read_pem
from zeroloop.client.token import Token, TokenFile, service_token
from zeroloop.errors import ConfigError


def listen(server: grpc.aio.Server, settings: ServiceSettings) -> str:
    """Bind the server to its port; return the address.

    Raises:
        ConfigError: The port is taken, or the certificate cannot be used.
    """
    if settings.tls_cert_file is None:
        return _bind(server, settings.host, settings.port, None)
    return _bind(server, settings.host, settings.port, _credentials(settings))


@asynccontextmanager
async def health_port(health: Health, settings: ServiceSettings) -> AsyncGenerator[None]:
    """Answer health checks, and nothing else, without TLS on a port of their own.

    The kubelet's probes speak neither TLS nor have they a token.
    """
    if settings.health_port is None:
        yield
        return
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    health_pb2_grpc.add_HealthServicer_to_server(health.servicer, server)
    _bind(server, settings.host, settings.health_port, None, name="health-port")
    await server.start()
    try:
        yield
    finally:
        await server.stop(None)


def access(settings: ServiceSettings, token_file: Path | None = None) -> Access:
    """What this service shows to those that it calls.

    Args:
        settings: Its own.
        token_file: Of the called service, if it wants another token than this one does.

    Raises:
        AuthError: The token cannot be read.
        ConfigError: The same of a certificate.
    """
    path = token_file or settings.token_file
    token: Token = (
        TokenFile(path) if path and settings.auth == "kubernetes" else service_token(path)
    )
    return Access(token, client_tls(settings))


def client_tls(settings: ServiceSettings) -> Tls | None:
    """How this service checks those that it calls; with its own certificate it proves itself."""
    if settings.tls_ca_file is None:
        return None
    tls = Tls(
        ca_file=settings.tls_ca_file,
        cert_file=settings.tls_cert_file,
        key_file=settings.tls_key_file,
    )
    tls.credentials("tls_")
    return tls


def _bind(
    server: grpc.aio.Server,
    host: str,
    port: int,
    credentials: grpc.ServerCredentials | None,
    name: str = "port",
) -> str:
    address = f"{host}:{port}"
    try:
        if credentials is None:
            bound = server.add_insecure_port(address)
        else:
            bound = server.add_secure_port(address, credentials)
    except RuntimeError as error:
        raise ConfigError(
            f"cannot listen on {address}: another process has the port, or the address is not "
            f"this machine's; choose another one with --{name}, or 0 for a free one"
        ) from error
    return f"{host}:{bound}"


def _credentials(settings: ServiceSettings) -> grpc.ServerCredentials:
    """Credentials that follow the files: a renewed certificate counts from the next handshake."""
    files = _Certificates(settings)
    # The fetcher may return None for "as before", which its type does not say.
    fetcher = cast("Callable[[], grpc.ServerCertificateConfiguration]", files)
    return grpc.dynamic_ssl_server_credentials(
        files.first, fetcher, require_client_authentication=settings.tls_require_client
    )


def _check_pair(cert_file: Path, key_file: Path) -> None:
    """gRPC itself would only say that it cannot listen."""
    read_pem(cert_file, "tls_cert_file")
    read_pem(key_file, "tls_key_file")
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(cert_file, key_file)
    except ssl.SSLError as error:
        raise ConfigError(
            f"{key_file} is not the key of the certificate {cert_file}: {error.reason}"
        ) from error


class _Certificates:
    """Reads the server's certificates, and again when one of the files has changed."""

    def __init__(self, settings: ServiceSettings) -> None:
        if settings.tls_cert_file is None or settings.tls_key_file is None:
            raise ConfigError("tls_cert_file and tls_key_file go together")
        if settings.tls_require_client and settings.tls_ca_file is None:
            raise ConfigError("tls_require_client needs tls_ca_file, to check clients against")
        self._cert_file, self._key_file = settings.tls_cert_file, settings.tls_key_file
        self._ca_file = settings.tls_ca_file if settings.tls_require_client else None
        self.first = self.read()
        self._seen = self._state()

    def read(self) -> grpc.ServerCertificateConfiguration:
        """The certificates as they are now.

        Raises:
            ConfigError: A file cannot be read, or the key is of another certificate.
        """
        _check_pair(self._cert_file, self._key_file)
        pair = (
            read_pem(self._key_file, "tls_key_file"),
            read_pem(self._cert_file, "tls_cert_file"),
        )
        return grpc.ssl_server_certificate_configuration(
            [pair], root_certificates=self._ca_file and read_pem(self._ca_file, "tls_ca_file")
        )

    def __call__(self) -> grpc.ServerCertificateConfiguration | None:
        """Called by gRPC before each handshake, on a thread of its own; None: as before."""
        try:
            state = self._state()
            if state == self._seen:
                return None
            found = self.read()
        except (OSError, ConfigError):
            return None  # Half replaced: those in use hold until the next handshake.
        self._seen = state
        return found

    def _state(self) -> tuple[tuple[int, int], ...]:
        files = (self._cert_file, self._key_file, self._ca_file)
        found = [path.stat() for path in files if path is not None]
        return tuple((status.st_ino, status.st_mtime_ns) for status in found)
