"""The folder of the base model, looked at without loading anything heavy."""

from pathlib import Path

from zeroloop.core.manifest import MANIFEST_NAME, PROBE_NAME
from zeroloop.errors import ConfigError
from zeroloop.weights_folder import verify

HUB_SCHEME = "hf://"

_WEIGHTS = (".safetensors", ".bin", ".pt", ".pth", ".gguf", ".h5", ".msgpack", ".onnx")
_MADE_ANEW = {"config.json", "generation_config.json", MANIFEST_NAME, PROBE_NAME}


def resolve_model(model: str) -> Path:
    """Return the folder of the base model; fetch it if it is named by `hf://`.

    Raises:
        ConfigError: There is no such folder, or it is not a Hugging Face model.
        CorruptDataError: It has a manifest that its files do not match.
    """
    if model.startswith(HUB_SCHEME):
        return _fetch(model.removeprefix(HUB_SCHEME))
    folder = Path(model).expanduser()
    if not folder.is_dir():
        raise ConfigError(
            f"model folder {model} does not exist; name a folder in Hugging Face format, "
            f"or a hub id as {HUB_SCHEME}organisation/name"
        )
    if not (folder / "config.json").is_file():
        raise ConfigError(f"model folder {model} has no config.json; it is no Hugging Face model")
    if not any(path.suffix in _WEIGHTS for path in folder.iterdir()):
        raise ConfigError(f"model folder {model} has no weights (*.safetensors)")
    if (folder / MANIFEST_NAME).is_file():
        verify(folder)
    return folder


def companions(folder: Path) -> list[Path]:
    """The files that belong to every version besides weights and configs: the tokenizer's."""
    return [
        path
        for path in sorted(folder.iterdir())
        if path.is_file()
        and path.suffix not in _WEIGHTS
        and path.name not in _MADE_ANEW
        and not path.name.endswith(".index.json")
        and not path.name.startswith(".")
        and path.suffix not in {".md", ".py"}
    ]


def _fetch(repository: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(repository, ignore_patterns=["*.gguf", "*.onnx", "*.h5"]))
    except (HfHubHTTPError, LocalEntryNotFoundError, ValueError) as error:
        raise ConfigError(f"model {HUB_SCHEME}{repository} cannot be fetched: {error}") from error
