"""What a model folder must hold, looked at before an engine spends a minute on it."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from zeroloop.errors import ConfigError, CorruptDataError

HUB_SCHEME = "hf://"

TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer.model",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
)

CONFIG_FILE = "config.json"
_VOCABULARIES = ("tokenizer.json", "tokenizer.model", "vocab.json")
_HEADER_LENGTH_BYTES = 8
_HEADER_BYTES_MAX = 100 * 1024 * 1024

Shapes = Mapping[str, tuple[int, ...]]


def locate(model: str) -> str:
    """Return the folder or hub id that a `model` setting names, after a look at the folder.

    Raises:
        ConfigError: The folder is missing or incomplete; says what to do.
    """
    if model.startswith(HUB_SCHEME):
        return model.removeprefix(HUB_SCHEME)
    folder = Path(model)
    if not folder.is_dir():
        raise ConfigError(
            f"model folder {model!r} does not exist; give a folder with config.json, a tokenizer "
            f"and safetensors, or {HUB_SCHEME}ORG/NAME to fetch a model"
        )
    check(folder)
    return str(folder)


def check(folder: Path) -> None:
    """Raise ConfigError unless `folder` can be a model: configuration, tokenizer, weights."""
    config = _read_config(folder / CONFIG_FILE)
    if not config.get("architectures"):
        raise ConfigError(f"{folder / 'config.json'} names no architectures; it is no model's")
    if not any((folder / name).is_file() for name in _VOCABULARIES):
        raise ConfigError(f"{folder} has no tokenizer: none of {', '.join(_VOCABULARIES)}")
    try:
        tensors(folder)
    except CorruptDataError as error:
        raise ConfigError(str(error)) from error


def tensors(folder: Path) -> Shapes:
    """Return the shape of every tensor in the folder's safetensors, read from their headers.

    Raises:
        CorruptDataError: There is no such file, or one is cut off or no safetensors.
    """
    shapes: dict[str, tuple[int, ...]] = {}
    for path in sorted(folder.glob("*.safetensors")):
        shapes.update(_read_header(path))
    if not shapes:
        raise CorruptDataError(f"{folder} has no weights: no *.safetensors with a tensor in it")
    return shapes


def check_fit(served: str, offered: Path) -> None:
    """Raise CorruptDataError unless the weights in `offered` fit the model in `served`.

    vLLM leaves a tensor that is missing as it was, with no error. An output layer may be
    missing, as models that tie it to the embedding leave it out. Weights of a hub id are not
    compared.
    """
    found = tensors(offered)
    if not Path(served).is_dir():
        return
    wanted = tensors(Path(served))
    missing = [name for name in wanted if name not in found and not name.startswith("lm_head.")]
    reshaped = [name for name in wanted if found.get(name, wanted[name]) != wanted[name]]
    if missing or reshaped:
        name = (missing or reshaped)[0]
        raise CorruptDataError(
            f"{offered} is not the model that is served: {len(missing)} tensors are missing and "
            f"{len(reshaped)} have another shape, for instance {name!r} is "
            f"{found.get(name, 'missing')} instead of {wanted[name]}"
        )


def configuration(model: str) -> Mapping[str, Any]:
    """Return the config.json of a model, nothing if there is none on this machine.

    Raises:
        ConfigError: It is no JSON object.
    """
    path = Path(model) / CONFIG_FILE
    return _read_config(path) if path.is_file() else {}


def tokenizer_digest(folder: Path) -> str:
    """Return SHA-256 over the tokenizer's files, by name and content; hexadecimal."""
    digest = hashlib.sha256()
    for name in sorted(TOKENIZER_FILES):
        path = folder / name
        if path.is_file():
            content = hashlib.sha256(path.read_bytes()).hexdigest()
            digest.update(f"{name} {content}\n".encode())
    return digest.hexdigest()


def _read_config(path: Path) -> dict[str, Any]:
    try:
        config = json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}; is it a model?") from error
    except ValueError as error:
        raise ConfigError(f"{path} is not JSON: {error}") from error
    if isinstance(config, dict):
        return cast("dict[str, Any]", config)
    raise ConfigError(f"{path} must be a JSON object, got {type(config).__name__}")


def _read_header(path: Path) -> dict[str, tuple[int, ...]]:
    """Shapes of one file: 8 bytes of length, then JSON, then exactly the tensors' bytes."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(_HEADER_LENGTH_BYTES), "little")
        if not 2 <= length <= _HEADER_BYTES_MAX:
            raise CorruptDataError(f"{path} is no safetensors file; replace it")
        content = file.read(length)
    try:
        header = {name: entry for name, entry in json.loads(content).items() if name[:2] != "__"}
        shapes = {name: tuple(map(int, entry["shape"])) for name, entry in header.items()}
        ends = [int(entry["data_offsets"][1]) for entry in header.values()]
    except (ValueError, TypeError, KeyError, AttributeError, IndexError) as error:
        raise CorruptDataError(f"{path} has a damaged header ({error}); replace it") from error
    expected_bytes = _HEADER_LENGTH_BYTES + length + max(ends, default=0)
    if path.stat().st_size != expected_bytes:
        raise CorruptDataError(
            f"{path} has {path.stat().st_size} bytes, its header says {expected_bytes}; it was "
            "cut off, replace it"
        )
    return shapes
