"""Handing promoted weights to an InferenceService of KServe's, which serves them to others.

It is somebody else's object, so it must be named by the installation, and one field of it is
changed, once: KServe then rolls its pods. Runs' own engines never change by this way.
"""

from collections.abc import Sequence
from pathlib import Path

from services.controller.platforms.kubernetes.api import (
    INFERENCE_SERVICES,
    Api,
    Object,
    UnknownKindError,
)
from zeroloop.core.batches import Weights
from zeroloop.errors import FailedPreconditionError, NotFoundError


class StorageUris:
    """As `promoting.HandOver`."""

    def __init__(
        self, api: Api, *, allowed: Sequence[str], runs_folder: Path, runs_claim: str
    ) -> None:
        """
        Args:
            api: Of the platform's namespace.
            allowed: InferenceServices that may be changed.
            runs_folder: Where the runs volume is mounted here.
            runs_claim: Its PersistentVolumeClaim.
        """
        self._api = api
        self._allowed = allowed
        self._runs_folder = runs_folder
        self._runs_claim = runs_claim

    async def __call__(self, inference_service: str, weights: Weights) -> str:
        """Make `storageUri` of its model the place of `weights`; return it.

        Raises:
            FailedPreconditionError: It may not be changed, it serves no model of KServe's, or
                the weights are a base model that only our images have.
            NotFoundError: There is no such InferenceService.
        """
        name = inference_service
        if name not in self._allowed:
            raise FailedPreconditionError(
                f"inference_service: {name!r} may not be changed; weights.promoteTo of the "
                f"installation allows {', '.join(self._allowed) or 'none'}"
            )
        uri = self._storage_uri(weights)
        model = _model(name, await self._get(name))
        if model.get("storageUri") != uri:
            change = {"spec": {"predictor": {"model": {"storageUri": uri}}}}
            await self._api.merge(INFERENCE_SERVICES, name, change)
        return uri

    def _storage_uri(self, weights: Weights) -> str:
        """What KServe calls the place of a version: a bucket's URL, or a path in a claim."""
        if "://" in weights.uri:
            return weights.uri
        place = Path(weights.uri)
        if not place.is_relative_to(self._runs_folder):
            raise FailedPreconditionError(
                f"weights v{weights.version} lie in {place}, which KServe cannot fetch; promote a "
                f"version that a round has made"
            )
        return f"pvc://{self._runs_claim}/{place.relative_to(self._runs_folder)}"

    async def _get(self, name: str) -> Object:
        try:
            return await self._api.get(INFERENCE_SERVICES, name)
        except UnknownKindError:
            raise FailedPreconditionError(
                f"inference_service: KServe is not installed, so there is no {name!r}"
            ) from None
        except NotFoundError:
            raise NotFoundError(
                f"no InferenceService {name!r} in namespace {self._api.namespace}"
            ) from None


def _model(name: str, service: Object) -> Object:
    model: Object | None = service["spec"].get("predictor", {}).get("model")
    if model is None:
        raise FailedPreconditionError(
            f"inference_service: {name!r} has no spec.predictor.model, so KServe fetches nothing "
            f"for it"
        )
    return model
