"""What is wrong with a model folder is said before an engine is started."""

import json
import struct
from pathlib import Path

import pytest

from services.inference.model_folder import check_fit, locate, tensors, tokenizer_digest
from zeroloop.errors import ConfigError, CorruptDataError


def write_safetensors(path: Path, **shapes: tuple[int, ...]) -> None:
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, shape in shapes.items():
        size = 4
        for extent in shape:
            size *= extent
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [end, end + size]}
        end += size
    content = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(content)) + content + bytes(end))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text('{"architectures": ["LlamaForCausalLM"]}')
    (folder / "tokenizer.json").write_text("{}")
    write_safetensors(folder / "model.safetensors", embed=(3, 2), head=(2,))
    return folder


def test_a_whole_folder_is_located(folder: Path) -> None:
    assert locate(str(folder)) == str(folder)
    assert tensors(folder) == {"embed": (3, 2), "head": (2,)}


def test_a_hub_id_needs_its_scheme() -> None:
    assert locate("hf://org/name") == "org/name"
    with pytest.raises(ConfigError, match="hf://"):
        locate("org/name")


@pytest.mark.parametrize(
    ("name", "content", "named"),
    [
        ("config.json", None, r"config\.json cannot be read"),
        ("config.json", b"{", r"config\.json is not JSON"),
        ("config.json", b"[]", r"config\.json must be a JSON object"),
        ("config.json", b"{}", "architectures"),
        ("tokenizer.json", None, "no tokenizer"),
        ("model.safetensors", None, "no weights"),
        ("model.safetensors", b"", "no safetensors file"),
        ("model.safetensors", b"\x02\0\0\0\0\0\0\0[]", "damaged header"),
        ("model.safetensors", b"\xff" * 64, "no safetensors file"),
    ],
)
def test_what_is_missing_or_damaged_is_named(
    folder: Path, name: str, content: bytes | None, named: str
) -> None:
    if content is None:
        (folder / name).unlink()
    else:
        (folder / name).write_bytes(content)
    with pytest.raises(ConfigError, match=named):
        locate(str(folder))


def test_a_file_that_was_cut_off_is_named(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ConfigError, match=r"model\.safetensors has .* cut off"):
        locate(str(folder))


def test_weights_of_another_model_are_refused(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    path = other / "model.safetensors"
    write_safetensors(folder / "model.safetensors", embed=(3, 2), head=(2,), **{"lm_head.w": (3,)})
    write_safetensors(path, embed=(3, 2), head=(2,))
    check_fit(str(folder), other)
    write_safetensors(path, head=(2,))
    with pytest.raises(CorruptDataError, match="'embed' is missing"):
        check_fit(str(folder), other)
    write_safetensors(path, embed=(4, 2), head=(2,))
    with pytest.raises(CorruptDataError, match=r"\(4, 2\) instead of \(3, 2\)"):
        check_fit(str(folder), other)


def test_the_tokenizers_digest_follows_its_files_alone(folder: Path) -> None:
    before = tokenizer_digest(folder)
    (folder / "model.safetensors").write_bytes(b"other")
    assert tokenizer_digest(folder) == before
    (folder / "tokenizer.json").write_text('{"other": 1}')
    assert tokenizer_digest(folder) != before
