"""Who keeps an engine's replicas: a Deployment of ours, or KServe by an InferenceService.

Pods, image and readiness are the same, and whether a replica serves is always asked of the
EndpointSlices of our own Service. What an object's status says is used for one thing: to tell
why no replica serves.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Protocol

from services.controller.platforms.kubernetes.api import (
    DEPLOYMENTS,
    INFERENCE_SERVICES,
    Kind,
    Object,
    condition_of,
)
from services.controller.platforms.kubernetes.workloads import (
    START_S,
    TEMPLATE,
    Belonging,
    engine_deployment,
    engine_inference_service,
    engine_name,
    inference_service_name,
)

TAKE_UP_S: Final = 30
"""How long KServe's controller may take to say anything of an InferenceService."""

_REFUSALS: Final = ("ReconcileFailed", "FailedCreate")
"""KServe's reasons that say more than that pods are not ready: it cannot make the Deployment,
or the Deployment may not make pods."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """Why no replica starts: a condition's reason, and the words of who holds it up."""

    reason: str = ""
    message: str = ""


class Backend(Protocol):
    """One way to ask for replicas."""

    @property
    def kind(self) -> Kind:
        """Of the object that asks for them."""
        ...

    @property
    def missing(self) -> str:
        """What to say where the cluster does not know that kind."""
        ...

    def name(self, run: str) -> str:
        """Of the object that a run has."""
        ...

    def object(
        self, belonging: Belonging, template: Object, arguments: Sequence[str], replicas: int
    ) -> dict[str, Any]:
        """The object to apply."""
        ...

    def asked(self, item: Object) -> tuple[int, str]:
        """What an object asks for: how many replicas, and the digest of their template."""
        ...

    def stuck(self, item: Object, now: datetime) -> str:
        """Why its replicas will not come any more; empty if they may."""
        ...

    def waiting(self, item: Object, now: datetime) -> Waiting:
        """Why there is no pod yet; empty if nothing is said of it."""
        ...


class Deployments:
    """A Deployment that the controller makes."""

    kind: Kind = DEPLOYMENTS
    missing: str = "the cluster has no Deployments (apps/v1)"

    def name(self, run: str) -> str:
        """See `Backend.name`."""
        return engine_name(run)

    def object(
        self, belonging: Belonging, template: Object, arguments: Sequence[str], replicas: int
    ) -> dict[str, Any]:
        """See `Backend.object`."""
        return engine_deployment(belonging, template, arguments, replicas)

    def asked(self, item: Object) -> tuple[int, str]:
        """See `Backend.asked`."""
        spec = item["spec"]
        return spec["replicas"], _digest(spec["template"]["metadata"])

    def stuck(self, item: Object, now: datetime) -> str:
        """See `Backend.stuck`; the Deployment has a deadline of its own."""
        condition = condition_of(item, "Progressing")
        return _words(item, condition) if condition.get("status") == "False" else ""

    def waiting(self, item: Object, now: datetime) -> Waiting:
        """See `Backend.waiting`."""
        return Waiting()


class InferenceServices:
    """An InferenceService, from which KServe makes the Deployment.

    In this mode `status.observedGeneration` counts the generations of that Deployment and not
    of the InferenceService, so it cannot tell whether a condition is stale (seen in 0.20).
    """

    kind: Kind = INFERENCE_SERVICES
    missing: str = (
        f"KServe is not installed: the cluster has no InferenceService "
        f"({INFERENCE_SERVICES.version}); install KServe, or set the chart's value "
        f"inference.backend to deployment"
    )

    def name(self, run: str) -> str:
        """See `Backend.name`."""
        return inference_service_name(run)

    def object(
        self, belonging: Belonging, template: Object, arguments: Sequence[str], replicas: int
    ) -> dict[str, Any]:
        """See `Backend.object`."""
        return engine_inference_service(belonging, template, arguments, replicas)

    def asked(self, item: Object) -> tuple[int, str]:
        """See `Backend.asked`."""
        predictor = item["spec"]["predictor"]
        return predictor.get("minReplicas", 1), _digest(predictor)

    def stuck(self, item: Object, now: datetime) -> str:
        """See `Backend.stuck`.

        KServe's Deployment calls itself stuck after 10 minutes, which cannot be set and is too
        short for large models; so this counts from the time that the predictor was not ready.
        """
        condition = condition_of(item, "PredictorReady")
        if condition.get("status") != "False" or _age(condition, now) < timedelta(seconds=START_S):
            return ""
        return _words(item, condition)

    def waiting(self, item: Object, now: datetime) -> Waiting:
        """See `Backend.waiting`."""
        condition = condition_of(item, "PredictorReady")
        if condition.get("status") == "False" and condition.get("reason") in _REFUSALS:
            return Waiting(condition["reason"], _words(item, condition))
        created = datetime.fromisoformat(item["metadata"]["creationTimestamp"])
        if not condition and now - created > timedelta(seconds=TAKE_UP_S):
            name = item["metadata"]["name"]
            why = f"KServe has not taken up InferenceService {name}: does its controller run?"
            return Waiting("NotTakenUp", why)
        return Waiting()


BACKENDS: Final[Mapping[str, Backend]] = {
    "deployment": Deployments(),
    "kserve": InferenceServices(),
}
"""By the name that a setting has for them."""


def others(backend: Backend) -> Iterable[Backend]:
    """Those that an installation may have used before."""
    return (other for other in BACKENDS.values() if other is not backend)


def _digest(metadata: Object) -> str:
    return (metadata.get("annotations") or {}).get(TEMPLATE, "")


def _age(condition: Object, now: datetime) -> timedelta:
    since = condition.get("lastTransitionTime")
    return now - datetime.fromisoformat(since) if since else timedelta()


def _words(item: Object, condition: Object) -> str:
    return f"{item['metadata']['name']}: {condition.get('message', '')}"
