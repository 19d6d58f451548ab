"""The manifest that seals one version of the weights, and the probe that proves a roll.

A version is a Hugging Face folder with two files of ours beside the model's:

* `manifest.json` names every other file with its size and SHA-256. A reader trusts a
  version only when all of them agree with the bytes on disk.
* `probe.json` (optional) holds a few sequences with the log-probabilities that the trainer
  computed from exactly these weights. An engine that has loaded them must agree.

Both are canonical JSON (sorted keys, no spaces), so equal content has equal digests.
"""

import hashlib
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

MANIFEST_NAME = "manifest.json"
PROBE_NAME = "probe.json"

PROBE_SEQUENCES_MAX = 64
"""A probe is a spot check: more sequences would only lengthen the pause of a roll."""

_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class FileDigest:
    """Content of one file of a version."""

    sha256: str
    """Lower-case hexadecimal."""

    size_bytes: int


@dataclass(frozen=True, slots=True)
class Manifest:
    """What one version of the weights consists of, and where it comes from."""

    version: int
    """The round that produced it; 0 for the base model."""

    parent: int | None
    """The version that it was trained from; None for a base model."""

    files: Mapping[str, FileDigest]
    """Every file of the folder but the manifest, by its name; no sub-folders."""

    dtype: str
    """Of the stored tensors, for instance `float32`."""

    base_model: str = ""
    """Folder or hub id that the run started from."""

    run: str = ""

    traceparent: str = ""
    """W3C trace context of the span that published it; empty if there was none."""


@dataclass(frozen=True, slots=True)
class ProbeSequence:
    """One sequence with the trainer's log-probabilities of the tokens after the prompt."""

    token_ids: tuple[int, ...]

    prompt_tokens: int
    """At least 1: the first token of a sequence has no probability."""

    logprobs: tuple[float, ...]
    """Natural logarithms, aligned with `token_ids[prompt_tokens:]`."""


def manifest_to_bytes(manifest: Manifest) -> bytes:
    """Return the content of `manifest.json`."""
    return _canonical_json(
        {
            "version": manifest.version,
            "parent": manifest.parent,
            "files": {
                name: {"sha256": digest.sha256, "bytes": digest.size_bytes}
                for name, digest in manifest.files.items()
            },
            "dtype": manifest.dtype,
            "base_model": manifest.base_model,
            "run": manifest.run,
            "traceparent": manifest.traceparent,
        }
    )


def manifest_digest(content: bytes) -> str:
    """Return the digest that a registry keeps: lower-case hexadecimal SHA-256."""
    return hashlib.sha256(content).hexdigest()


def parse_manifest(content: bytes) -> Manifest:
    """Return the manifest that `manifest.json` states.

    Raises:
        ValueError: If it is not one; the message names the field.
    """
    document = _object(_parse_json(content, MANIFEST_NAME), MANIFEST_NAME)
    files = _object(document.get("files"), "files")
    if not files:
        raise ValueError(f"{MANIFEST_NAME}: files must name at least one file, got none")
    parent = document.get("parent")
    return Manifest(
        version=_integer(document.get("version"), "version", minimum=0),
        parent=None if parent is None else _integer(parent, "parent", minimum=0),
        files={_file_name(name): _file_digest(name, value) for name, value in files.items()},
        dtype=_text(document.get("dtype"), "dtype"),
        base_model=_text(document.get("base_model", ""), "base_model"),
        run=_text(document.get("run", ""), "run"),
        traceparent=_text(document.get("traceparent", ""), "traceparent"),
    )


def probe_to_bytes(sequences: Sequence[ProbeSequence]) -> bytes:
    """Return the content of `probe.json`."""
    return _canonical_json(
        {
            "sequences": [
                {
                    "token_ids": list(sequence.token_ids),
                    "prompt_tokens": sequence.prompt_tokens,
                    "logprobs": list(sequence.logprobs),
                }
                for sequence in sequences
            ]
        }
    )


def parse_probe(content: bytes) -> tuple[ProbeSequence, ...]:
    """Return the sequences that `probe.json` states.

    Raises:
        ValueError: If it is not a probe; the message names the field.
    """
    document = _object(_parse_json(content, PROBE_NAME), PROBE_NAME)
    sequences = _array(document.get("sequences"), "sequences")
    if not 1 <= len(sequences) <= PROBE_SEQUENCES_MAX:
        raise ValueError(
            f"{PROBE_NAME}: sequences must be 1 to {PROBE_SEQUENCES_MAX}, got {len(sequences)}"
        )
    return tuple(_probe_sequence(index, value) for index, value in enumerate(sequences))


def _probe_sequence(index: int, value: object) -> ProbeSequence:
    place = f"sequences[{index}]"
    document = _object(value, place)
    token_ids = tuple(
        _integer(token, f"{place}.token_ids", minimum=0)
        for token in _array(document.get("token_ids"), f"{place}.token_ids")
    )
    prompt_tokens = _integer(document.get("prompt_tokens"), f"{place}.prompt_tokens", minimum=1)
    logprobs = tuple(
        _number(logprob, f"{place}.logprobs")
        for logprob in _array(document.get("logprobs"), f"{place}.logprobs")
    )
    if len(logprobs) == 0 or len(token_ids) != prompt_tokens + len(logprobs):
        raise ValueError(
            f"{PROBE_NAME}: {place} has {len(token_ids)} tokens of which {prompt_tokens} are "
            f"prompt, so logprobs must be {len(token_ids) - prompt_tokens} (at least 1), "
            f"got {len(logprobs)}"
        )
    return ProbeSequence(token_ids, prompt_tokens, logprobs)


def _file_name(name: str) -> str:
    if name in {"", ".", "..", MANIFEST_NAME} or "/" in name or "\\" in name or "\0" in name:
        raise ValueError(
            f"{MANIFEST_NAME}: files names {name!r}; a plain file name other than "
            f"{MANIFEST_NAME} is needed"
        )
    return name


def _file_digest(name: str, value: object) -> FileDigest:
    place = f"files[{name!r}]"
    document = _object(value, place)
    sha256 = _text(document.get("sha256"), f"{place}.sha256")
    if not _SHA256.fullmatch(sha256):
        raise ValueError(
            f"{MANIFEST_NAME}: {place}.sha256 must be 64 lower-case hexadecimal digits, "
            f"got {sha256!r}"
        )
    return FileDigest(sha256, _integer(document.get("bytes"), f"{place}.bytes", minimum=0))


def _canonical_json(document: Mapping[str, object]) -> bytes:
    # NaN is not JSON, and a probe with one could prove nothing.
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return text.encode()


def _parse_json(content: bytes, name: str) -> object:
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{name}: not JSON: {error}") from error


def _object(value: object, place: str) -> dict[str, Any]:
    if isinstance(value, dict):
        return cast("dict[str, Any]", value)
    raise ValueError(f"{place}: must be an object, got {type(value).__name__}")


def _array(value: object, place: str) -> list[Any]:
    if isinstance(value, list):
        return cast("list[Any]", value)
    raise ValueError(f"{place}: must be an array, got {type(value).__name__}")


def _text(value: object, place: str) -> str:
    if isinstance(value, str):
        return value
    raise ValueError(f"{place}: must be text, got {type(value).__name__}")


def _integer(value: object, place: str, *, minimum: int) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and value >= minimum:
        return value
    raise ValueError(f"{place}: must be an integer of at least {minimum}, got {value!r}")


def _number(value: object, place: str) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        return float(value)
    raise ValueError(f"{place}: must be a finite number, got {value!r}")
