"""How a caller checks the service that it talks to, and proves what it is itself.

Files, not bytes: a cluster replaces them, and the next call reads what is there then.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import grpc

from zeroloop.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Tls:
    """Certificates of one caller."""

    ca_file: Path
    """PEM: who signs the services' certificates."""

    cert_file: Path | None = None
    """PEM: the caller's own certificate, for services that want one."""

    key_file: Path | None = None
    """PEM: its key."""

    server_name: str = ""
    """The name that a service's certificate must have, where it is called by its address."""

    def credentials(self, prefix: str = "") -> grpc.ChannelCredentials:
        """What a channel is opened with.

        Args:
            prefix: What the names of the settings begin with, for errors.

        Raises:
            ConfigError: A file cannot be read, or one of certificate and key is missing.
        """
        if (self.cert_file is None) is not (self.key_file is None):
            raise ConfigError("a client certificate needs its key, and a key its certificate")
        return grpc.ssl_channel_credentials(
            root_certificates=read_pem(self.ca_file, f"{prefix}ca_file"),
            private_key=self.key_file and read_pem(self.key_file, f"{prefix}key_file"),
            certificate_chain=self.cert_file and read_pem(self.cert_file, f"{prefix}cert_file"),
        )

    def state(self) -> tuple[tuple[int, int, int], ...]:
        """What differs from before once a file was replaced.

        Raises:
            OSError: One is missing.
        """
        files = (self.ca_file, self.cert_file, self.key_file)
        found = [path.stat() for path in files if path is not None]
        # Projected files are replaced whole, so a new one is another inode.
        return tuple((status.st_ino, status.st_mtime_ns, status.st_size) for status in found)


def read_pem(path: Path, field: str) -> bytes:
    """Return the bytes of the PEM file that a setting names.

    Raises:
        ConfigError: It cannot be read, or is something else; names the setting.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{field}: {path} cannot be read: {error.strerror}") from error
    if b"-----BEGIN " not in data:
        raise ConfigError(
            f"{field}: {path} is not a PEM file: nothing in it begins with -----BEGIN"
        )
    return data


def load_tls(
    ca_file: str | Path | None = None, environ: Mapping[str, str] | None = None
) -> Tls | None:
    """Return what the argument or the environment says; None for a connection without TLS.

    A `ca_file` turns TLS on, and "" off; None means what `ZEROLOOP_CA_FILE` says.
    `ZEROLOOP_CERT_FILE` and `ZEROLOOP_KEY_FILE` are for services that want a certificate of their
    callers, `ZEROLOOP_SERVER_NAME` for a service that is reached under another name than its
    certificate has, as through `kubectl port-forward`.
    """
    environ = os.environ if environ is None else environ
    found = environ.get("ZEROLOOP_CA_FILE", "") if ca_file is None else str(ca_file)
    if not found:
        return None
    cert_file, key_file = (environ.get(f"ZEROLOOP_{name}_FILE", "") for name in ("CERT", "KEY"))
    return Tls(
        ca_file=Path(found),
        cert_file=Path(cert_file) if cert_file else None,
        key_file=Path(key_file) if key_file else None,
        server_name=environ.get("ZEROLOOP_SERVER_NAME", ""),
    )
