"""What the host must bring: rights, and Debian's programs that Go modules do not give us."""

import os
import shutil
import sys
from pathlib import Path

from tests.cluster.errors import ClusterError

PACKAGES = {
    "runc": "runc",
    "iptables": "iptables",
    "ip": "iproute2",
    "mount": "mount",
    "unshare": "util-linux",
    "nsenter": "util-linux",
    "setpriv": "util-linux",
}
"""Program to the Debian package that has it."""

CNI_PACKAGE = "containernetworking-plugins"
CNI_PLUGINS = ("ptp", "host-local", "loopback")
CNI_FOLDERS = (Path("/usr/lib/cni"), Path("/opt/cni/bin"))
SBIN = "/usr/local/sbin:/usr/sbin:/sbin"
"""Where system programs are; not on everyone's PATH."""


def search_path() -> str:
    """The PATH with the folders of system programs."""
    return f"{os.environ.get('PATH', os.defpath)}:{SBIN}"


def program(name: str) -> str:
    """Return a system program's path.

    Raises:
        ClusterError: It is not installed.
    """
    path = shutil.which(name, path=search_path())
    if path is None:
        raise ClusterError(f"{name} is missing: apt-get install {PACKAGES.get(name, name)}")
    return path


def cni_folder() -> Path | None:
    """The first folder that has every CNI plugin that we use."""
    for folder in CNI_FOLDERS:
        if all((folder / plugin).exists() for plugin in CNI_PLUGINS):
            return folder
    return None


def check() -> None:
    """Make sure that a cluster can run here.

    Raises:
        ClusterError: Something is missing; names all of it and the one command that mends it.
    """
    if sys.platform != "linux":
        raise ClusterError("the test cluster needs Linux: it is made of namespaces and cgroups")
    missing = {
        name: package
        for name, package in PACKAGES.items()
        if shutil.which(name, path=search_path()) is None
    }
    if cni_folder() is None:
        missing[f"CNI plugins ({', '.join(CNI_PLUGINS)})"] = CNI_PACKAGE
    if missing:
        packages = " ".join(sorted(set(missing.values())))
        raise ClusterError(f"missing: {', '.join(missing)}. On Debian: apt-get install {packages}")
    if os.geteuid() != 0:
        raise ClusterError("the test cluster makes namespaces and mounts: run it as root")
