"""Finding the services, which run from a checkout of the repository."""

import importlib.util
from collections.abc import Mapping
from pathlib import Path

from zeroloop.errors import ConfigError

MARKER = Path("services") / "_server" / "server.py"


def find_checkout(environ: Mapping[str, str], folder: Path | None = None) -> Path:
    """Return the checkout that holds the services.

    It is ZEROLOOP_CHECKOUT, or the one that the current folder or this package lies in.

    Raises:
        ConfigError: There is none.
    """
    named = environ.get("ZEROLOOP_CHECKOUT")
    here = (folder or Path.cwd()).resolve()
    package = Path(__file__).resolve()
    candidates = [Path(named)] if named else [here, *here.parents, *package.parents]
    for candidate in candidates:
        if (candidate / MARKER).is_file():
            return candidate
    where = f"ZEROLOOP_CHECKOUT={named} is none" if named else f"{here} is in none"
    raise ConfigError(
        "this command starts services on this machine, and they run from a checkout of the "
        f"repository; {where}. Change into one, set ZEROLOOP_CHECKOUT, or talk to services that "
        "run elsewhere with --address"
    )


def require_packages(*names: str) -> None:
    """Check that the services' packages are installed beside this one.

    Raises:
        ConfigError: Some are missing.
    """
    missing = [name for name in names if importlib.util.find_spec(name) is None]
    if missing:
        raise ConfigError(
            f"the services need {', '.join(missing)}, which this Python lacks; install everything "
            "with `make setup` in the checkout and use its .venv/bin/zeroloop"
        )
