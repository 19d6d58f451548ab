"""Copying a version of the weights, trusting only bytes whose digests agree."""

from pathlib import Path

from zeroloop.core.batches import Weights
from zeroloop.core.manifest import Manifest
from zeroloop.errors import AlreadyExistsError, NotFoundError
from zeroloop.weights_copy import copy_version


def export_weights(weights: Weights, target: Path) -> Manifest:
    """Copy a version into a new folder; it appears whole and verified, or not at all.

    Raises:
        AlreadyExistsError: `target` exists.
        NotFoundError: The version's files are gone.
        UnavailableError: The store does not answer, or the disk is full.
        FailedPreconditionError: They lie in a store that this machine cannot read: says which
            package or which right is missing.
        CorruptDataError: A file does not match its digest.
    """
    if target.exists():
        raise AlreadyExistsError(f"{target} exists already; choose another folder or remove it")
    try:
        return copy_version(weights.uri, weights.manifest_digest, target).manifest
    except NotFoundError as error:
        raise NotFoundError(
            f"the files of weights v{weights.version} are not in {weights.uri}; old versions are "
            "removed, `zeroloop weights list` shows which are kept"
        ) from error
