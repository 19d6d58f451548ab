"""Settings that every service has, and how a service reads its own.

Order of precedence: command line, environment (`ZEROLOOP_<SERVICE>__<FIELD>`), defaults.
Unknown names are refused in both, and every problem is reported at once.
"""

import difflib
import json
import os
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar, cast

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, CliSettingsSource, SettingsConfigDict

from zeroloop.errors import ConfigError

S = TypeVar("S", bound="ServiceSettings")
B = TypeVar("B", bound=BaseSettings)


class ServiceSettings(BaseSettings):
    """What every service can be told. A subclass adds its own fields with a docstring each."""

    model_config = SettingsConfigDict(extra="forbid", use_attribute_docstrings=True)

    host: str = "127.0.0.1"
    """Address to listen on. Anything but loopback needs a network that is trusted."""

    port: int = Field(default=0, ge=0, le=65535)
    """Port to listen on; 0 lets the system choose one, see `address_file`."""

    address_file: Path | None = None
    """Where to write `host:port` once the service listens."""

    token_file: Path | None = None
    """File with the token that callers must present; unset means the user's own token file,
    which is created, readable by the user alone, if it does not exist."""

    auth: Literal["token", "kubernetes"] = "token"
    """Who may call; `token`: whoever has the one in `token_file`; `kubernetes`: whoever the
    cluster's API knows by the token that they present, and lets call the method. Then
    `token_file` is what this service presents to others."""

    auth_audience: str = Field(default="zeroloop", min_length=1)
    """With `auth` kubernetes: what callers' tokens must be made for."""

    auth_namespace: str = ""
    """With `auth` kubernetes: where Roles are looked for; unset: this pod's namespace."""

    tls_cert_file: Path | None = None
    """PEM of this service's certificate, and of those between it and `tls_ca_file`; unset: no
    TLS. A renewed file counts from the next connection on."""

    tls_key_file: Path | None = None
    """PEM of its key."""

    tls_ca_file: Path | None = None
    """PEM of who signs the certificates of the services that this one calls; unset: no TLS
    there."""

    tls_require_client: bool = False
    """Let only those connect that have a certificate by `tls_ca_file` themselves."""

    health_port: int | None = Field(default=None, ge=0, le=65535)
    """Port that answers health checks and nothing else, without TLS; unset: none. Health checks
    are answered on `port` in any case."""

    telemetry_dir: Path | None = None
    """Folder for spans and metrics as JSON lines; unset means none. With
    OTEL_EXPORTER_OTLP_ENDPOINT set they go there too."""

    metrics_port: int | None = Field(default=None, ge=0, le=65535)
    """Port on `host` that answers Prometheus at /metrics, over plain HTTP and without a token; 0
    lets the system choose one and the log say it, unset means none."""

    log_level: str = Field(default="INFO", pattern="^(DEBUG|INFO|WARNING|ERROR)$")
    """DEBUG, INFO, WARNING or ERROR."""

    drain_s: float = Field(default=5.0, ge=0, le=3600)
    """On SIGTERM, how long running calls may finish."""

    drain_delay_s: float = Field(default=0.0, ge=0, le=300)
    """On SIGTERM, how long to go on serving as NOT_SERVING, so that callers see it."""

    exit_with_parent: bool = False
    """End when the process that started this one ends, whatever ended it."""


def load_settings(
    service: str,
    kind: type[B],
    arguments: Sequence[str],
    environ: Mapping[str, str],
    *,
    program: str = "",
) -> B:
    """Build `kind` from flags and environment.

    `program` is how the user calls it, for `--help`; default `python -m services.<service>`.

    `--print-config` prints the settings as JSON and exits; `--check-config` only checks.

    Raises:
        ConfigError: Names every setting that is unknown or out of range.
    """
    prefix = f"ZEROLOOP_{service.upper()}__"
    _refuse_unknown_variables(kind, prefix, environ)
    flags = [a for a in arguments if a not in ("--print-config", "--check-config")]

    class Bound(kind):
        model_config = SettingsConfigDict(
            env_prefix=prefix,
            cli_prog_name=program or f"python -m services.{service}",
            cli_kebab_case=True,
            cli_hide_none_type=True,
            cli_implicit_flags=True,
        )

    Bound.__doc__ = kind.__doc__
    try:
        source: Any = CliSettingsSource(Bound, cli_parse_args=flags)
        settings = cast("B", Bound(_cli_settings_source=source))  # pyright: ignore[reportCallIssue]
    except ValidationError as error:
        raise ConfigError(_explain(error, prefix)) from error
    if "--print-config" in arguments:
        print(json.dumps(settings.model_dump(mode="json"), indent=2))
        sys.exit(0)
    if "--check-config" in arguments:
        sys.exit(0)
    return settings


def _refuse_unknown_variables(
    kind: type[BaseSettings], prefix: str, environ: Mapping[str, str]
) -> None:
    known = {f"{prefix}{name.upper()}" for name in kind.model_fields}
    unknown = sorted(name for name in environ if name.startswith(prefix) and name not in known)
    if not unknown:
        return
    hints = [
        f"{name} (did you mean {near[0]}?)"
        if (near := difflib.get_close_matches(name, known, 1))
        else name
        for name in unknown
    ]
    raise ConfigError(f"unknown settings: {', '.join(hints)}")


def _explain(error: ValidationError, prefix: str) -> str:
    lines: list[str] = []
    for problem in error.errors():
        name = ".".join(str(part) for part in problem["loc"])
        got = _redacted(problem.get("input"))
        # Our own words need no announcement by pydantic.
        words = problem["msg"].removeprefix("Value error, ")
        lines.append(f"{name} ({prefix}{name.upper()}): {words}, got {got}")
    return "; ".join(lines)


def _redacted(value: Any) -> str:
    if isinstance(value, SecretStr):
        return "a secret"
    # A URL may carry credentials.
    return re.sub(r"://[^/@\s]+@", "://...@", repr(value))


def environment() -> Mapping[str, str]:
    """The process's environment; entry points alone call this."""
    return os.environ
