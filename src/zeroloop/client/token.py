"""The token that callers present: where it comes from, and the local file that holds it.

Order: argument, `ZEROLOOP_TOKEN`, the file that `ZEROLOOP_TOKEN_FILE` names, the user's own
token file. That last one is made by the first local service that starts, and whoever else
uses the machine can not read it: reading it is what makes a caller this user.
"""

import os
import secrets
import stat
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeAlias

from zeroloop.errors import AuthError

Token: TypeAlias = str | Callable[[], str]
"""A token, or what returns the one to present now."""

TOKEN_BYTES = 32
"""Entropy of a token that this module makes."""

_OTHERS = stat.S_IRWXO
_GROUP_AND_OTHERS = stat.S_IRWXG | stat.S_IRWXO


def token_path(environ: Mapping[str, str] | None = None) -> Path:
    """Where the user's own token file is, whether or not it exists."""
    environ = os.environ if environ is None else environ
    state = environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    return Path(state) / "zeroloop" / "token"


def load_token(token: str | None = None, environ: Mapping[str, str] | None = None) -> str:
    """Return the token to present.

    Raises:
        AuthError: There is none, or its file is empty or open to other users.
    """
    environ = os.environ if environ is None else environ
    if given := token or environ.get("ZEROLOOP_TOKEN"):
        return given.strip()
    if named := environ.get("ZEROLOOP_TOKEN_FILE"):
        return read_token(Path(named))
    path = token_path(environ)
    try:
        return read_token(path, private=True)
    except FileNotFoundError:
        raise AuthError(
            f"no token: {path} does not exist. For services on this machine start one first, for "
            "instance with `zeroloop play`; for others set ZEROLOOP_TOKEN or ZEROLOOP_TOKEN_FILE."
        ) from None


def ensure_token(path: Path | None = None) -> str:
    """Return the token in `path`, making it first if it is missing. Safe to race.

    Args:
        path: Default: the user's own token file.

    Raises:
        AuthError: The file is empty, open to other users or not this user's.
    """
    path = token_path() if path is None else path
    if not path.exists():
        _create(path)
    return read_token(path, private=True)


def service_token(path: Path | None = None) -> str:
    """Return the token that a service wants from its callers.

    A file of another user is one that a cluster has mounted; any other is this user's own,
    made if it is missing.

    Raises:
        AuthError: The file is empty, or open to those who must not read it.
    """
    if path is not None and path.exists() and path.stat().st_uid != os.geteuid():
        return read_token(path)
    return ensure_token(path)


def read_token(path: Path, *, private: bool = False) -> str:
    """Return the token in `path`.

    Args:
        private: Refuse a file that the group may read or that another user owns. Files that
            a cluster mounts are readable by the group, so only local ones are held to this.

    Raises:
        AuthError: The file is empty or open to others.
        FileNotFoundError: Only if `private`: there is no such file.
    """
    try:
        status = path.stat()
        text = path.read_text("utf-8").strip()
    except OSError as error:
        if private and isinstance(error, FileNotFoundError):
            raise
        raise AuthError(f"token file {path} cannot be read: {error.strerror}") from error
    if status.st_mode & (_GROUP_AND_OTHERS if private else _OTHERS):
        raise AuthError(
            f"token file {path} is open to other users (mode {stat.S_IMODE(status.st_mode):04o}); "
            f"they may have read it. Remove it, so that a new one is made: rm {path}"
        )
    if private and status.st_uid != os.geteuid():
        raise AuthError(f"token file {path} belongs to user {status.st_uid}, not to this one")
    if not text:
        raise AuthError(f"token file {path} is empty. Remove it: rm {path}")
    return text


class TokenFile:
    """The token in a file, read again whenever the file changes: a cluster renews its tokens."""

    def __init__(self, path: Path) -> None:
        """Read it for the first time.

        Raises:
            AuthError: It is missing, empty or open to others.
        """
        self._path = path
        self._seen: tuple[int, int, int] | None = None
        self._token = ""
        self()

    def __call__(self) -> str:
        """Return the token as it is now."""
        try:
            status = self._path.stat()
        except OSError as error:
            raise AuthError(f"token file {self._path} cannot be read: {error.strerror}") from error
        # Projected files are replaced whole, so a new one is another inode.
        found = (status.st_ino, status.st_mtime_ns, status.st_size)
        if found != self._seen:
            self._token, self._seen = read_token(self._path), found
        return self._token


def _create(path: Path) -> None:
    """Write a new token under a name of its own, then link it: whole or not at all."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(secrets.token_urlsafe(TOKEN_BYTES) + "\n")
        try:
            os.link(draft, path)
        except FileExistsError:
            return  # Another process was first; its token is the one.
    finally:
        draft.unlink()
