"""The checkout as a volume of pods: its code, its Python packages and its models, read-only.

For pods of the image `engine-runtime`, which brings nothing of that. A `local` volume, because the
restricted profile refuses `hostPath`.
"""

from pathlib import Path
from typing import Any

from tests.cluster.configuration import NODE
from tests.cluster.errors import ClusterError

ROOT = Path(__file__).resolve().parents[2]
PATH = "/app"
CLAIM = "checkout"
PACKAGES = ".venv/lib/python3.11/site-packages"
"""Where the image looks for them: its Python is Debian's."""


def objects(namespace: str, root: Path = ROOT) -> list[dict[str, Any]]:
    """The claim and what it claims, for one namespace.

    Raises:
        ClusterError: The checkout's environment is of another Python than the image's.
    """
    if not (root / PACKAGES).is_dir():
        raise ClusterError(f"{root} has no {PACKAGES}: make .venv with Python 3.11, the images'")
    name = f"{CLAIM}-{namespace}"
    shared = {
        "accessModes": ["ReadOnlyMany"],
        "storageClassName": "",  # no default class may put something else in its place
    }
    here = {"key": "kubernetes.io/hostname", "operator": "In", "values": [NODE]}
    return [
        {
            "apiVersion": "v1",
            "kind": "PersistentVolume",
            "metadata": {"name": name},
            "spec": {
                **shared,
                "capacity": {"storage": "1Gi"},
                "claimRef": {"namespace": namespace, "name": CLAIM},
                "local": {"path": str(root)},
                "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [here]}]}},
                "persistentVolumeReclaimPolicy": "Retain",
            },
        },
        {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {"namespace": namespace, "name": CLAIM},
            "spec": {
                **shared,
                "volumeName": name,
                "resources": {"requests": {"storage": "1Gi"}},
            },
        },
    ]


def volume() -> dict[str, Any]:
    """An entry of a pod's `volumes`.

    Read-only here and not only where it is mounted: else a pod with `fsGroup` would give every
    file of the checkout to that group.
    """
    return {"name": CLAIM, "persistentVolumeClaim": {"claimName": CLAIM, "readOnly": True}}


def mount() -> dict[str, Any]:
    """An entry of a container's `volumeMounts`."""
    return {"name": CLAIM, "mountPath": PATH, "readOnly": True}
