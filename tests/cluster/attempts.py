"""Attempts to train on a cluster: what stands for them, whatever it is made of, and their pods."""

from typing import Any

from tests.cluster.installation import RELEASE, Installation

KINDS = {
    "job": "jobs.batch",
    "jobset": "jobsets.jobset.x-k8s.io",
    "trainjob": "trainjobs.trainer.kubeflow.org",
}
"""By the chart's value for a backend."""


def of_run(installed: Installation, backend: str, run: str) -> dict[str, dict[str, Any]]:
    """The controller's own objects of a run's attempts, by name."""
    found = installed.get(KINDS[backend], f"--selector={_of(run)}")["items"]
    return {item["metadata"]["name"]: item for item in found}


def pods(installed: Installation, run: str) -> list[dict[str, Any]]:
    """Trainers of a run that have not ended."""
    found = installed.get("pods", f"--selector={_of(run)}")["items"]
    return [pod for pod in found if pod["status"]["phase"] in ("Pending", "Running")]


def conditions(item: dict[str, Any]) -> dict[str, str]:
    """What is true of an attempt, with the reason."""
    found = (item.get("status") or {}).get("conditions") or ()
    return {entry["type"]: entry.get("reason", "") for entry in found if entry["status"] == "True"}


def kill_one(installed: Installation, run: str) -> None:
    """End a trainer without warning, once one runs."""
    found = [pod for pod in pods(installed, run) if pod["status"]["phase"] == "Running"]
    installed.kill(found[0]["metadata"]["name"])


def refused(installed: Installation) -> list[dict[str, Any]]:
    """What the API server has told the controller that it may not do."""
    account = f"system:serviceaccount:{installed.namespace}:{RELEASE}-controller"
    return [
        event["objectRef"]
        for event in installed.cluster.audit_events()
        if event["user"]["username"] == account
        and event["stage"] == "ResponseComplete"
        and event["responseStatus"]["code"] == 403
    ]


def _of(run: str) -> str:
    return f"zeroloop.dev/run={run},app.kubernetes.io/component=trainer"
