"""Settings of the controller service."""

from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator

from services._server import ServiceSettings
from zeroloop.weights_store import checked_place


class ControllerSettings(ServiceSettings):
    """Settings, read from flags and from the environment as ZEROLOOP_CONTROLLER__<FIELD>."""

    platform: Literal["local", "kubernetes"] = "local"
    """Where runs are played; `local`: child processes on this machine; `kubernetes`: pods."""

    runs_folder: Path = Path("runs")
    """Where each run has a folder."""

    runs_active_max: int = Field(default=1, ge=1, le=1000)
    """Runs that are played at once; later ones wait. An engine and an optimiser fill a
    machine."""

    resume: bool = False
    """Go on with the runs that were being played when the controller ended."""

    tick_s: float = Field(default=1.0, ge=0.01, le=60)
    """Pause after a look at the world that failed."""

    execution: dict[str, str] = Field(default_factory=dict)
    """On one machine: more settings of the execution service that runs start, by name, as JSON,
    for instance `{"workers": "2"}`."""

    namespace: str = ""
    """On Kubernetes: where runs are objects and pods; unset: this pod's own."""

    kubeconfig: Path | None = None
    """On Kubernetes: how to reach the API server from outside; unset: as this pod's account."""

    pod_name: str = ""
    """On Kubernetes: this pod. Of several controllers the one that leads labels itself with
    `zeroloop.dev/leader`, which its Service selects by. Unset: no label."""

    lease: str = "zeroloop-controller"
    """On Kubernetes: the Lease that controllers compete for."""

    pod_templates: Path | None = None
    """On Kubernetes: YAML with a pod template each for `inference` and `trainer`."""

    inference_backend: Literal["deployment", "kserve"] = "deployment"
    """On Kubernetes: who keeps inference replicas; `deployment`: a Deployment of the controller's;
    `kserve`: KServe, by an InferenceService. Changed, it holds for runs from their next look on."""

    training_backend: Literal["job", "jobset", "trainjob"] = "job"
    """On Kubernetes: what an attempt to train is; `job`: an Indexed Job; `jobset`: a JobSet;
    `trainjob`: a TrainJob of Kubeflow's. Changed, it holds from a run's next attempt on, and an
    attempt of the other kind that runs is ended for it."""

    gang_patience_s: float = Field(default=600.0, ge=1, le=86_400)
    """On Kubernetes: how long a training Job may hold nodes for some of its pods while others
    find none; then it lets go of all and leaves them to others for as long. Jobs in a queue of
    Kueue's are left to it."""

    weights_store: str = ""
    """On Kubernetes: URL of a prefix of a bucket below which the versions of the weights go, for
    instance `s3://bucket/weights`; unset: into `runs_folder`. A run stays with what it began
    with."""

    promote_to: list[str] = Field(default_factory=list)
    """On Kubernetes: InferenceServices of the namespace that promoted weights may be handed to,
    as JSON."""

    runs_claim: str = ""
    """On Kubernetes: the PersistentVolumeClaim behind `runs_folder`, as KServe is told it."""

    labels: dict[str, str] = Field(default_factory=dict)
    """On Kubernetes: labels of everything that is made, as JSON."""

    buffer_target: str = ""
    """On Kubernetes: where the Buffer service listens, as `dns:///name:port`."""

    reward_target: str = ""
    """On Kubernetes: where the Reward service listens."""

    execution_target: str = ""
    """On Kubernetes: where the Execution service listens."""

    execution_token_file: Path | None = None
    """On Kubernetes: file with the token to present to it; unset means the one of
    `token_file`."""

    _place = field_validator("weights_store")(checked_place)
