"""Container images without a registry or an engine: a folder packed as one layer."""

import hashlib
import io
import json
import platform
import shutil
import sys
import sysconfig
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from services.execution.isolation.interpreter import shared_libraries

ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
SEARCH_PATH = "/usr/local/bin:/usr/bin:/bin"

_LEFT_OUT = shutil.ignore_patterns(
    "__pycache__", "config-*", "ensurepip", "idlelib", "lib2to3", "site-packages", "test", "tests",
    "tkinter", "turtledemo", "dist-packages", "*.a", "_test*", "_tkinter*",
)  # fmt: skip
_NAME_SERVICE = ("libnss_dns.so.2", "libnss_files.so.2", "libresolv.so.2")
"""What the C library loads when it first looks up a name."""


def pack(root: Path, name: str, archive: Path, command: Sequence[str]) -> None:
    """Write the image of a folder, as `ctr images import` reads it.

    Args:
        root: What containers see as /. Its files become root's.
        name: With a tag other than latest, such as localhost/python:1; the kubelet would try to
            pull latest.
        archive: The file to write.
        command: What a container runs by default.
    """
    layer = _layer(root)
    digest = hashlib.sha256(layer).hexdigest()
    config = json.dumps(
        {
            "architecture": ARCHITECTURES.get(platform.machine(), platform.machine()),
            "os": "linux",
            "config": {"Cmd": list(command), "Env": [f"PATH={SEARCH_PATH}"]},
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}"]},
        }
    ).encode()
    config_name = hashlib.sha256(config).hexdigest() + ".json"
    manifest = [{"Config": config_name, "RepoTags": [name], "Layers": ["layer.tar"]}]
    content: Mapping[str, bytes] = {
        config_name: config,
        "layer.tar": layer,
        "manifest.json": json.dumps(manifest).encode(),
    }
    with tarfile.open(archive, "w") as file:
        for member, data in content.items():
            information = tarfile.TarInfo(member)
            information.size = len(data)
            file.addfile(information, io.BytesIO(data))


def make_python_root(root: Path) -> None:
    """Fill a folder with this interpreter, its standard library and the libraries they load.

    As /usr/bin/python3, without installed packages. Takes about a second.
    """
    for name in ("dev", "etc", "proc", "sys", "tmp", "usr/bin", "usr/lib"):
        (root / name).mkdir(parents=True)
    # Every loader searches one of these by itself.
    for name, target in (("lib", "usr/lib"), ("lib64", "usr/lib"), ("usr/lib64", "lib")):
        (root / name).symlink_to(target)
    (root / "etc/passwd").write_text("root:x:0:0::/:/bin/false\nnobody:x:65534:65534::/:/x\n")
    (root / "etc/nsswitch.conf").write_text("hosts: files dns\n")
    executable = Path(sys.executable).resolve()
    library = Path(sysconfig.get_path("stdlib"))
    shutil.copy2(executable, root / "usr/bin/python3")
    shutil.copytree(library, root / "usr/lib" / library.name, ignore=_LEFT_OUT)
    modules = (root / "usr/lib" / library.name / "lib-dynload").glob("*.so")
    for file, needed in shared_libraries([executable, *modules]).items():
        if needed is None and file != executable:
            file.unlink()  # it would not load outside either
        for source in needed or ():
            _copy_library(source, root)
            for companion in _NAME_SERVICE:
                if source.name.startswith("libc.so") and source.with_name(companion).exists():
                    _copy_library(source.with_name(companion), root)


def _copy_library(source: Path, root: Path) -> None:
    if not (root / "usr/lib" / source.name).exists():
        shutil.copy2(source, root / "usr/lib")


def _layer(root: Path) -> bytes:
    """A tar of a folder: root's, without dates, so that the same content has the same digest."""

    def anonymous(member: tarfile.TarInfo) -> tarfile.TarInfo:
        member.uid = member.gid = member.mtime = 0
        member.uname = member.gname = ""
        # Whoever a container runs as reads it, whatever mask it was written under.
        runs = member.isdir() or bool(member.mode & 0o100)
        member.mode |= 0o555 if runs else 0o444
        return member

    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as file:
        file.add(root, arcname=".", filter=anonymous)
    return buffer.getvalue()
