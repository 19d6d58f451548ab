"""An image of the Execution service alone, made of what this checkout has installed."""

import py_compile
import shutil
import sys
import sysconfig
from pathlib import Path

from services.execution.isolation.image import ensure_image
from services.execution.isolation.interpreter import probe, shared_libraries
from tests.cluster import image

ROOT = Path(__file__).resolve().parents[2]
CACHE = "opt/zeroloop"
PACKAGES = "opt/packages"
COMMAND = ["/usr/bin/python3", "-m", "services.execution"]
ENVIRONMENT = {
    "PYTHONPATH": f"/app:/app/src:/{PACKAGES}",
    "ZEROLOOP_CACHE": f"/{CACHE}",
    "HOME": "/tmp",
}

_PACKAGES = (
    "annotated_types", "dotenv", "google", "grpc", "grpc_health", "grpc_reflection",
    "opentelemetry", "packaging", "psutil", "pydantic", "pydantic_core", "pydantic_settings",
    "typing_extensions.py", "typing_inspection", "wrapt",
)  # fmt: skip
"""What `services.execution` and the server kit import, of what requirements/services.lock has."""

_METADATA = ("opentelemetry", "psutil", "pydantic", "wrapt")
"""Packages that ask for their own or each other's versions and entry points."""


def make_root(root: Path) -> None:
    """Fill a folder with the service, its packages, an interpreter and the sandbox's image."""
    image.make_python_root(root)
    installed = Path(sysconfig.get_path("purelib"))
    for name in _PACKAGES:
        _copy(installed / name, root / PACKAGES / name)
    for folder in installed.glob("*.dist-info"):
        if folder.name.startswith(_METADATA):
            _copy(folder, root / PACKAGES / folder.name)
    for name in ("services/__init__.py", "services/_server", "services/execution", "src"):
        _copy(ROOT / name, root / "app" / name)
    _copy_libraries(root)
    _compile(root)
    ensure_image(probe(Path(sys.executable)), root / CACHE)


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        shutil.copy2(source, target)


def _copy_libraries(root: Path) -> None:
    """Libraries that packages load, beyond those that the interpreter does."""
    modules = sorted((root / PACKAGES).rglob("*.so"))
    for needed in shared_libraries(modules).values():
        for library in needed or ():
            if not (root / "usr/lib" / library.name).exists():
                shutil.copy2(library, root / "usr/lib")


def _compile(root: Path) -> None:
    """A container could not keep what it compiles, and the layer forgets all dates."""
    for source in root.rglob("*.py"):
        py_compile.compile(
            str(source),
            dfile=f"/{source.relative_to(root)}",
            invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
        )
