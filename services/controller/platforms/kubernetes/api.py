"""The Kubernetes API as this controller needs it: plain objects, bounded calls, our errors.

Objects are what the API server says, as JSON. The official client does transport and
authentication; its typed models would only be taken apart again.
"""

import json
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import aiohttp

from services._server.cluster import ApiClient, cluster_client
from zeroloop.errors import (
    AlreadyExistsError,
    FailedPreconditionError,
    InvalidRequestError,
    NotFoundError,
    UnavailableError,
    ZeroloopError,
)

Object: TypeAlias = Mapping[str, Any]

MANAGER: Final = "zeroloop-controller"
"""Whose fields these are, for server-side apply."""

CALL_S = 10.0
"""An API server that is silent for so long is treated as gone; the next tick asks again."""

WATCH_S = 240
"""The API server ends a watch after this; the next one goes on where it ended."""

WATCH_SILENCE_S = 150.0
"""Bookmarks come every minute. After this long without a byte the connection is dead."""

LIST_PAGE = 500

_UNKNOWN_GROUP = b"404 page not found"
"""What the API server says of a group that it does not serve. Not an object, unlike all else."""

_MERGE = "application/merge-patch+json"
_APPLY = "application/apply-patch+yaml"


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of namespaced object."""

    version: str
    """`v1`, or group and version."""

    plural: str

    def path(self, namespace: str, name: str = "") -> str:
        """Of the collection, or of one object."""
        root = "/api" if self.version == "v1" else "/apis"
        path = f"{root}/{self.version}/namespaces/{namespace}/{self.plural}"
        return f"{path}/{name}" if name else path


RUNS: Final = Kind("zeroloop.dev/v1alpha1", "selfplayruns")
DEPLOYMENTS: Final = Kind("apps/v1", "deployments")
JOBS: Final = Kind("batch/v1", "jobs")
JOB_SETS: Final = Kind("jobset.x-k8s.io/v1alpha2", "jobsets")
TRAIN_JOBS: Final = Kind("trainer.kubeflow.org/v1alpha1", "trainjobs")
TRAINING_RUNTIMES: Final = Kind("trainer.kubeflow.org/v1alpha1", "trainingruntimes")
INFERENCE_SERVICES: Final = Kind("serving.kserve.io/v1beta1", "inferenceservices")
SERVICES: Final = Kind("v1", "services")
PODS: Final = Kind("v1", "pods")
EVENTS: Final = Kind("v1", "events")
LEASES: Final = Kind("coordination.k8s.io/v1", "leases")
ENDPOINT_SLICES: Final = Kind("discovery.k8s.io/v1", "endpointslices")


class UnknownKindError(NotFoundError):
    """The cluster has no such kind of object, until somebody installs it."""


class ExpiredError(UnavailableError):
    """The version to watch from is too old; list again."""


class ConflictError(UnavailableError):
    """Somebody else changed the object meanwhile; look again."""


class Api:
    """Calls on one namespace. Every call raises the errors of `zeroloop.errors`."""

    def __init__(self, client: ApiClient, namespace: str) -> None:
        self._client = client
        self.namespace = namespace

    async def get(self, kind: Kind, name: str) -> Object:
        """Return one object.

        Raises:
            NotFoundError: There is none.
        """
        return await self._call("GET", kind.path(self.namespace, name))

    async def list(self, kind: Kind, *, labels: Mapping[str, str] | None = None) -> Object:
        """Return the objects with these labels: `items`, and `metadata.resourceVersion`."""
        items: list[Object] = []
        query = {"limit": str(LIST_PAGE)}
        if labels:
            query["labelSelector"] = ",".join(f"{key}={value}" for key, value in labels.items())
        while True:
            page = await self._call("GET", kind.path(self.namespace), query=query)
            items += page.get("items", [])
            following = page["metadata"].get("continue")
            if not following:
                return {**page, "items": items}
            query["continue"] = following

    async def create(self, kind: Kind, body: Object) -> Object:
        """Create an object.

        Raises:
            AlreadyExistsError: There is one of that name.
            InvalidRequestError: The API server does not take it; says why.
        """
        return await self._call("POST", kind.path(self.namespace), body=body)

    async def apply(self, kind: Kind, body: Object) -> Object:
        """Make an object have these fields, which are ours from then on."""
        path = kind.path(self.namespace, body["metadata"]["name"])
        query = {"fieldManager": MANAGER, "force": "true"}
        return await self._call("PATCH", path, body=body, query=query, content=_APPLY)

    async def merge(self, kind: Kind, name: str, body: Object, *, subresource: str = "") -> Object:
        """Change some fields of an object; None removes one."""
        path = kind.path(self.namespace, name) + (f"/{subresource}" if subresource else "")
        query = {"fieldManager": MANAGER}
        return await self._call("PATCH", path, body=body, query=query, content=_MERGE)

    async def replace(self, kind: Kind, body: Object) -> Object:
        """Replace an object, unless it has changed since it was read.

        Raises:
            ConflictError: It has.
        """
        path = kind.path(self.namespace, body["metadata"]["name"])
        return await self._call("PUT", path, body=body)

    async def delete(self, kind: Kind, name: str, *, foreground: bool = False) -> None:
        """Delete an object and what it owns; that it is gone already is fine.

        Args:
            kind: Which kind.
            name: Which one.
            foreground: It stays, marked as being deleted, until all that it owns is gone.
        """
        policy = "Foreground" if foreground else "Background"
        body = {"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": policy}
        try:
            await self._call("DELETE", kind.path(self.namespace, name), body=body)
        except NotFoundError:
            return

    async def watch(self, kind: Kind, version: str) -> AsyncGenerator[Object]:
        """Yield changes after a version until the API server ends the watch.

        Raises:
            ExpiredError: It does not know that version any more.
            UnavailableError: The connection broke or fell silent.
        """
        query = {
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": version,
            "timeoutSeconds": str(WATCH_S),
        }
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CALL_S, sock_read=WATCH_SILENCE_S)
        async with self._response(
            "GET", kind.path(self.namespace), query=query, timeout=timeout
        ) as response:
            if response.status >= 400:
                raise _error(response.status, await response.read())
            async for line in response.content:
                event = json.loads(line)
                if event["type"] == "ERROR":
                    raise _error_of(event["object"])
                yield event

    async def _call(
        self,
        method: str,
        path: str,
        *,
        body: Object | None = None,
        query: Mapping[str, str] | None = None,
        content: str = "application/json",
    ) -> Any:
        timeout = aiohttp.ClientTimeout(total=CALL_S)
        async with self._response(
            method, path, query=query, body=body, content=content, timeout=timeout
        ) as response:
            data = await response.read()
            if response.status >= 400:
                raise _error(response.status, data)
            return json.loads(data)

    @asynccontextmanager
    async def _response(
        self,
        method: str,
        path: str,
        *,
        timeout: aiohttp.ClientTimeout,
        query: Mapping[str, str] | None = None,
        body: Object | None = None,
        content: str = "application/json",
    ) -> AsyncGenerator[aiohttp.ClientResponse]:
        request = await self._client.param_serialize(
            method,
            path,
            query_params=list((query or {}).items()),
            header_params={"Content-Type": content, "Accept": "application/json"},
            body=body,
            auth_settings=["BearerToken"],
        )
        try:
            answer = await self._client.call_api(*request, _request_timeout=timeout)
            async with answer.response as response:
                yield response
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            why = str(error) or type(error).__name__
            raise UnavailableError(f"the Kubernetes API does not answer: {why}") from error


@asynccontextmanager
async def connect(namespace: str, kubeconfig: str = "") -> AsyncGenerator[Api]:
    """Open the API with this pod's service account, or as a kubeconfig file says."""
    async with cluster_client(kubeconfig) as client:
        yield Api(client, namespace)


def condition_of(item: Object, kind: str) -> Object:
    """What an object's status says of one condition; empty if nothing."""
    for condition in (item.get("status") or {}).get("conditions") or ():
        if condition["type"] == kind:
            return condition
    return {}


def _error(status: int, data: bytes) -> ZeroloopError:
    if status == 404 and data.strip() == _UNKNOWN_GROUP:
        return UnknownKindError("the cluster does not know this kind of object")
    try:
        return _error_of(json.loads(data))
    except (ValueError, AttributeError):
        # Whatever stands before the API server may answer in its own words.
        return UnavailableError(f"the Kubernetes API answered {status}: {data[:200]!r}")


def _error_of(status: Object) -> ZeroloopError:
    message, reason = status.get("message", ""), status.get("reason", "")
    match status.get("code"):
        case 404 if "name" not in (status.get("details") or {}):
            return UnknownKindError(message)
        case 404:
            return NotFoundError(message)
        case 409 if reason == "AlreadyExists":
            return AlreadyExistsError(message)
        case 409:
            return ConflictError(message)
        case 410:
            return ExpiredError(message)
        case 400 | 422:
            return InvalidRequestError(message)
        case 401 | 403:
            return FailedPreconditionError(f"the Kubernetes API refuses: {message}")
        case _:
            return UnavailableError(f"the Kubernetes API: {message}")
