"""The command `zeroloop`. Its packages, click and rich, come with the extra `cli`."""

import sys


def main() -> None:
    """Run the command line; never returns."""
    try:
        from zeroloop.cli.app import run
    except ModuleNotFoundError as error:
        if error.name not in ("click", "rich"):
            raise
        sys.exit(
            "zeroloop: the command line needs two more packages; "
            "install them with: pip install 'zeroloop[cli]'"
        )
    sys.exit(run())
