"""The Kubernetes API, for whoever runs in a cluster: transport and authentication.

Objects are plain JSON. The official client does transport and authentication; its typed models
would only be taken apart again.
"""

import asyncio
import json
import sys
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final, cast

import aiohttp

from zeroloop.errors import ConfigError, UnavailableError

# The client loads Google's sign-in, 12 MiB, where the store for Google's buckets has brought it;
# but clusters have not taken that since Kubernetes 1.26. So this is the one place that imports it.
_known = sys.modules.get("google.auth")
sys.modules["google.auth"] = cast("Any", None)
from kubernetes.aio import config  # noqa: E402
from kubernetes.aio.client import ApiClient, Configuration  # noqa: E402

if _known is None:
    del sys.modules["google.auth"]
else:
    sys.modules["google.auth"] = _known

__all__ = ["ApiClient", "ClusterReviewer", "cluster_client", "own_namespace"]

REVIEW_S: Final = 10.0

_NAMESPACE_FILE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


def own_namespace() -> str:
    """The namespace of this pod.

    Raises:
        ConfigError: This is no pod, or it has no token of its account.
    """
    try:
        return _NAMESPACE_FILE.read_text("utf-8").strip()
    except OSError as error:
        raise ConfigError(f"not a pod of a cluster: {_NAMESPACE_FILE}: {error.strerror}") from error


@asynccontextmanager
async def cluster_client(kubeconfig: str = "") -> AsyncGenerator[ApiClient]:
    """Open the API with this pod's service account, or as a kubeconfig file says."""
    settings = Configuration()
    try:
        if kubeconfig:
            await config.load_kube_config(kubeconfig, client_configuration=settings)
        else:
            await asyncio.to_thread(config.load_incluster_config, settings)
    except config.ConfigException as error:
        raise ConfigError(f"the Kubernetes API cannot be reached: {error}") from error
    async with ApiClient(settings) as client:
        yield client


class ClusterReviewer:
    """Creates reviews, see `services._server.reviews`."""

    def __init__(self, client: ApiClient) -> None:
        self._client = client

    async def review(self, path: str, body: Mapping[str, Any]) -> Mapping[str, Any]:
        """See `services._server.reviews.Reviewer`."""
        request = await self._client.param_serialize(
            "POST",
            path,
            header_params={"Content-Type": "application/json", "Accept": "application/json"},
            body=body,
            auth_settings=["BearerToken"],
        )
        timeout = aiohttp.ClientTimeout(total=REVIEW_S)
        try:
            answer = await self._client.call_api(*request, _request_timeout=timeout)
            async with answer.response as response:
                status, data = response.status, await response.read()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            why = str(error) or type(error).__name__
            raise UnavailableError(f"the Kubernetes API does not answer: {why}") from error
        if status >= 400:
            raise UnavailableError(
                f"the Kubernetes API answered {status} to {path}: {_message(data)}; this service's "
                "account needs the ClusterRole system:auth-delegator"
            )
        return json.loads(data)["status"]


def _message(data: bytes) -> str:
    try:
        return str(json.loads(data)["message"])
    except (ValueError, KeyError, TypeError):
        return repr(data[:200])
