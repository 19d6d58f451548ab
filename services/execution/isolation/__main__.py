"""`python -m services.execution.isolation CACHE`: make the file system of sandboxes, no more.

For container images, which bring it along because they have no compiler. Starts no sandbox.
"""

import sys
from pathlib import Path

from services.execution.isolation.image import ensure_image
from services.execution.isolation.interpreter import probe
from zeroloop.errors import ConfigError

EXIT_CONFIG = 64


def main(arguments: list[str]) -> int:
    """Make it in the folder that is the only argument."""
    if len(arguments) != 1:
        print("usage: python -m services.execution.isolation CACHE", file=sys.stderr)
        return EXIT_CONFIG
    try:
        image = ensure_image(probe(Path(sys.executable)), Path(arguments[0]))
    except ConfigError as error:
        print(f"zeroloop execution: {error}", file=sys.stderr)
        return EXIT_CONFIG
    print(f"{image.root}: CPython {image.interpreter.version_text}, {image.digest}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
