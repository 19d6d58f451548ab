"""Which right a caller needs for which method, in the words of Kubernetes' RBAC.

Runs are objects, so their API needs the rights on those objects. The other services are not:
their rights exist in Roles alone, with the verb `call` on a resource named for the service.
"""

from dataclasses import dataclass

GROUP = "zeroloop.dev"

_RUNS = {
    "CreateRun": "create",
    "GetRun": "get",
    "GetEndpoints": "get",
    "ListEvents": "get",
    "ListRuns": "list",
    "WatchRun": "watch",
    "SuspendRun": "patch",
    "ResumeRun": "patch",
    "StopRun": "patch",
}


@dataclass(frozen=True, slots=True)
class Permission:
    """A right in the group `zeroloop.dev`."""

    verb: str
    resource: str
    subresource: str = ""

    def __str__(self) -> str:
        name = f"{self.resource}/{self.subresource}" if self.subresource else self.resource
        return f"{self.verb} {name}.{GROUP}"


def permission_of(method: str) -> Permission | None:
    """The right that a method needs, for instance `/zeroloop.buffer.v1.TaskService/Sample`.

    None: any caller who is somebody may call it, as gRPC's reflection.
    """
    service, _, name = method.removeprefix("/").partition("/")
    package = service.split(".")
    if package[0] != "zeroloop" or len(package) < 3:
        return None
    if service == "zeroloop.controller.v1.RunService":
        if name == "PromoteWeights":
            return Permission("update", "selfplayruns", "weights")
        # A method that is not known here wants a right that nobody has by chance.
        return Permission(_RUNS.get(name, "*"), "selfplayruns")
    changes_weights = service == "zeroloop.inference.v1.WeightsService"
    return Permission("call", package[1], "weights" if changes_weights else "")
