"""buildah with a storage of its own, and the base that all images are built on.

mmdebstrap makes the base from Debian's packages, so no registry of images is asked for one.
"""

import hashlib
import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from tests.cluster import host
from tests.cluster.errors import ClusterError

BUILD_S = 3600.0
"""Of one image, on a machine that is busy with something else."""

STORAGE_BYTES_MAX = 8 * 2**30
"""Of layers. A fresh set takes about 2 GB; beyond this all of them are made anew."""

BUSY = "sealing memfd copy: Device or resource busy"
"""What buildah says if the kernel will not seal the copy of itself that it makes in memory."""
BUSY_ATTEMPTS_MAX = 3

BASE_SUITE = "bookworm"
BASE_HOOK = """
# What is installed on top of it leaves no caches, and is not started by being installed.
cat >"$1"/etc/apt/apt.conf.d/99small <<'END'
APT::Keep-Downloaded-Packages "0";
Dir::Cache { pkgcache ""; srcpkgcache ""; }
END
printf '#!/bin/sh\\nexit 101\\n' >"$1"/usr/sbin/policy-rc.d
chmod 755 "$1"/usr/sbin/policy-rc.d
# The last two are the building machine's.
rm -f "$1"/var/cache/apt/*.bin "$1"/etc/hostname "$1"/etc/resolv.conf
"""
BASE_OPTIONS = (
    "--variant=apt",
    "--include=ca-certificates,python-is-python3,python3,python3-venv",
    # Stays in the image, so what is installed on top of it is as bare.
    "--dpkgopt=path-exclude=/usr/share/doc/*",
    "--dpkgopt=path-include=/usr/share/doc/*/copyright",
    "--dpkgopt=path-exclude=/usr/share/info/*",
    "--dpkgopt=path-exclude=/usr/share/locale/*",
    "--dpkgopt=path-exclude=/usr/share/man/*",
    '--aptopt=Acquire::Languages "none"',
    f"--customize-hook={BASE_HOOK}",
)
BASE_DOCKERFILE = """\
FROM scratch
ADD base.tar /
ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8
CMD ["python3"]
"""


class Store:
    """buildah with a storage of its own, so that nobody's images are in the way of another's."""

    def __init__(self, folder: Path) -> None:
        self.scratch = folder / "scratch"
        self._storage = folder / "storage"
        self._state = folder / "state"
        self._policy = folder / "policy.json"

    def build(self, name: str, file: Path | str, context: Path, *options: str) -> str:
        """Build an image from a Dockerfile or the text of one; return its id."""
        told = self.scratch / "id"
        if isinstance(file, str):
            (self.scratch / "Dockerfile").write_text(file)
            file = self.scratch / "Dockerfile"
        self._run(
            *("build", "--layers", "--isolation", "chroot", "--pull-never", "--force-rm"),
            *("--signature-policy", str(self._policy), "--tag", name, *options),
            *("--iidfile", str(told), "--file", str(file), str(context)),
        )
        return told.read_text().removeprefix("sha256:")

    def save(self, image: str, reference: str, archive: Path) -> None:
        """Write an image as an archive, which appears whole or not at all."""
        new = self.scratch / archive.name
        self._run(
            *("push", "--signature-policy", str(self._policy), image),
            f"docker-archive:{new}:{reference}",
        )
        new.rename(archive)

    def has(self, name: str) -> bool:
        listed = json.loads(self._run("images", "--json") or "[]")
        return any(name in (entry.get("names") or ()) for entry in listed)

    def clear(self) -> None:
        """Remove what an interrupted build has left."""
        shutil.rmtree(self.scratch, ignore_errors=True)
        self.scratch.mkdir(parents=True)
        # No registry is ever asked, so there is no one whose signature to ask for.
        self._policy.write_text('{"default": [{"type": "insecureAcceptAnything"}]}\n')
        self._run("rm", "--all")

    def trim(self) -> None:
        """Remove every layer if they have become too many, and the scratch folder anyway."""
        if _size_bytes(self._storage) > STORAGE_BYTES_MAX:
            # At once, whatever interrupts what follows: half a storage is worse than none.
            self._storage.rename(self.scratch / "storage")
        shutil.rmtree(self.scratch)

    def _run(self, *arguments: str) -> str:
        own = ["--root", str(self._storage), "--runroot", str(self._state)]
        own += ["--storage-driver", "overlay"]
        command = [host.program("buildah"), *own, *arguments]
        for _ in range(BUSY_ATTEMPTS_MAX - 1):
            try:
                return _run(command, self.scratch)
            except ClusterError as error:
                # Layers that are done are kept, so the next attempt goes on from there.
                if BUSY not in str(error):
                    raise
        return _run(command, self.scratch)


def ensure_base(store: Store, report: Callable[[str], None]) -> None:
    """Make the base if the storage has none, or has lost it."""
    if store.has(base_name()):
        return
    report("making the base of images from Debian's packages")
    began_s = time.monotonic()
    archive = store.scratch / "base.tar"
    program = host.program("mmdebstrap")
    _run([program, "--mode=root", *BASE_OPTIONS, BASE_SUITE, str(archive)], store.scratch)
    store.build(base_name(), BASE_DOCKERFILE, store.scratch)
    archive.unlink()
    report(f"made the base in {time.monotonic() - began_s:.0f} s")


def check_host() -> None:
    """Say everything that is missing at once."""
    programs = ("buildah", "mmdebstrap")
    if absent := [name for name in programs if shutil.which(name, path=host.search_path()) is None]:
        command = f"apt-get install --no-install-recommends {' '.join(absent)}"
        raise ClusterError(f"to build images, missing: {', '.join(absent)}. On Debian: {command}")
    if os.geteuid() != 0:
        raise ClusterError("images are built with mounts and users of their own: run it as root")


def base_name() -> str:
    return f"localhost/zeroloop-base:{BASE_SUITE}-{base_digest()}"


def base_digest() -> str:
    recipe = "\n".join([BASE_SUITE, *BASE_OPTIONS, BASE_DOCKERFILE])
    return hashlib.sha256(recipe.encode()).hexdigest()[:12]


def _run(command: list[str], scratch: Path) -> str:
    done = subprocess.run(
        # What it mounts goes with it, however it ends.
        [host.program("unshare"), "--mount", "--propagation", "private", "--", *command],
        stdin=subprocess.DEVNULL,
        env={**os.environ, "PATH": host.search_path(), "TMPDIR": str(scratch)},
        capture_output=True,
        text=True,
        check=False,
        timeout=BUILD_S,
    )
    if done.returncode != 0:
        tail = "\n".join((done.stdout + done.stderr).strip().splitlines()[-20:])
        raise ClusterError(f"{Path(command[0]).name} failed:\n{tail}")
    return done.stdout


def _size_bytes(folder: Path) -> int:
    """What a folder takes on disk, as `du` counts: files that are linked twice count once."""
    if not folder.exists():
        return 0
    told = subprocess.run(["du", "-sk", folder], capture_output=True, text=True, check=False)
    return int(told.stdout.split()[0]) * 1024
