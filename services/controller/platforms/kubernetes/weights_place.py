"""Where a run's weights go: into its folder on the runs volume, or into the installation's bucket.

In the bucket the name of a run is not enough: other namespaces and clusters may have one of the
same name, and the same prefix by mistake.
"""

from services.controller.store import RunFolder
from zeroloop.errors import FailedPreconditionError

MARK = "weights-place"
"""In a run's folder: where its weights went when it began."""

_UID_CHARS = 8


def weights_place(store: str, folder: RunFolder, uid: str) -> str:
    """Folder or URL of a run's versions.

    Args:
        store: URL of the installation's store; empty: the runs volume.
        folder: Of the run, which is named for it.
        uid: Of the run's object.
    """
    if not store:
        return str(folder.weights)
    return f"{store.rstrip('/')}/{folder.path.name}-{uid[:_UID_CHARS]}"


def note(folder: RunFolder, place: str) -> None:
    """Keep in mind where a new run's weights go."""
    (folder.path / MARK).write_text(place)


def require(folder: RunFolder, place: str) -> None:
    """Hold a run to the place that it began with.

    Engines read a run's versions from one place only: with another they would start from the
    base model.

    Raises:
        FailedPreconditionError: It began with another place.
    """
    mark = folder.path / MARK
    # Runs from before there was a choice have no mark.
    began = mark.read_text() if mark.exists() else str(folder.weights)
    if began != place:
        raise FailedPreconditionError(
            f"run {folder.path.name} has its weights in {began}, the installation now keeps them "
            f"in {place}: set weights.store back until its runs have ended, or start a new run"
        )
