"""Which versions of the weights stay on disk."""

from pathlib import Path

from services.controller.retention import retain_weights
from tests.unit.controller.fake_buffer import FakeBuffer
from zeroloop.core.batches import Weights
from zeroloop.weights_store import FolderStore


async def buffer_with(root: Path, count: int) -> FakeBuffer:
    buffer = FakeBuffer()
    for version in range(count):
        folder = root / str(version)
        folder.mkdir(parents=True)
        (folder / "model.safetensors").write_bytes(b"w")
        weights = Weights(run="r", version=version, uri=str(folder), manifest_digest="d")
        await buffer.weights.publish(weights)
    return buffer


def left(root: Path) -> list[str]:
    return sorted(path.name for path in root.iterdir())


async def test_the_newest_the_promoted_and_the_base_stay(tmp_path: Path) -> None:
    buffer = await buffer_with(tmp_path, 7)
    await buffer.weights.promote("r", 2)

    removed = await retain_weights(buffer, "r", FolderStore(tmp_path), keep=2)

    assert sorted(removed) == [1, 3, 4]
    assert left(tmp_path) == ["0", "2", "5", "6"]
    assert [w.version for w in buffer.weights.versions] == [0, 2, 5, 6]


async def test_repeating_changes_nothing(tmp_path: Path) -> None:
    buffer = await buffer_with(tmp_path, 5)
    await retain_weights(buffer, "r", FolderStore(tmp_path), keep=2)

    assert await retain_weights(buffer, "r", FolderStore(tmp_path), keep=2) == []


async def test_a_folder_outside_the_run_is_left_alone(tmp_path: Path) -> None:
    buffer = await buffer_with(tmp_path / "elsewhere", 5)

    removed = await retain_weights(buffer, "r", FolderStore(tmp_path / "run"), keep=2)

    assert removed == []
    assert left(tmp_path / "elsewhere") == ["0", "1", "2", "3", "4"]
