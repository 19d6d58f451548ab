"""Generate the committed stubs from protos/ with the pinned grpcio-tools.

python -m tools.protos            write them
python -m tools.protos --check    exit 1 if a committed stub differs
"""

import filecmp
import shutil
import sys
import tempfile
from importlib import resources
from pathlib import Path

from grpc_tools import protoc

ROOT = Path(__file__).resolve().parent.parent
PROTOS = ROOT / "protos"
PACKAGE = ROOT / "src"


def generate(target: Path) -> list[Path]:
    """Write every stub under `target`; return their paths relative to it."""
    sources = sorted(str(path.relative_to(PROTOS)) for path in PROTOS.rglob("*.proto"))
    well_known = str(resources.files("grpc_tools") / "_proto")
    arguments = [
        "protoc",
        f"--proto_path={PROTOS}",
        f"--proto_path={well_known}",
        f"--python_out={target}",
        f"--pyi_out={target}",
        f"--grpc_python_out={target}",
        f"--plugin=protoc-gen-mypy_grpc={Path(sys.executable).parent / 'protoc-gen-mypy_grpc'}",
        f"--mypy_grpc_out={target}",
        *sources,
    ]
    if protoc.main(arguments) != 0:
        raise SystemExit("protoc failed; its messages are above")
    for path in target.rglob("*_pb2_grpc.py"):
        if "Servicer:" not in path.read_text():  # Messages alone need no gRPC module.
            path.unlink()
            path.with_suffix(".pyi").unlink(missing_ok=True)
    return sorted(path.relative_to(target) for path in target.rglob("*_pb2*.py*"))


def main(arguments: list[str]) -> int:
    """Generate, then copy into the package or compare with it."""
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        stubs = generate(scratch)
        if "--check" in arguments:
            stale = [
                str(stub)
                for stub in stubs
                if not (PACKAGE / stub).exists()
                or not filecmp.cmp(scratch / stub, PACKAGE / stub, shallow=False)
            ]
            for stub in stale:
                print(f"stale stub: src/{stub}; run `make protos` and commit the result")
            return 1 if stale else 0
        for stub in stubs:
            (PACKAGE / stub).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(scratch / stub, PACKAGE / stub)
            for folder_init in (PACKAGE / stub).parent, (PACKAGE / stub).parent.parent:
                (folder_init / "__init__.py").touch()
        print(f"{len(stubs)} stubs written under src/zeroloop")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
