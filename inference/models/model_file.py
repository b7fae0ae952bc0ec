"""A model in one safetensors file: its arrays, and as JSON everything needed to use them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Final

import numpy as np
import safetensors
import safetensors.numpy
from numpy.typing import NDArray

from gee_pipeline.errors import CorruptFileError, InputError, MismatchError
from gee_pipeline.files import ODD_VALUES, size_text, write_bytes
from gee_pipeline.recipe import Recipe

Arrays = dict[str, NDArray[Any]]
"""Arrays by name."""

LARGEST_MODEL: Final = 2**32
"""Most bytes of a model file: 4 GiB, a hundred times the largest network or forest."""

_DIGEST_ENTRY: Final = "cropmap_digest"

_LENGTH_BYTES: Final = 8
"""Of a safetensors file, before its header: the length of that, little-endian."""


@dataclass(frozen=True)
class ModelKind:
    """One kind of model file."""

    entry: str
    """Name of the metadata entry that holds its JSON; a file is of the kind whose entry it has."""
    noun: str
    """What messages call it."""
    content: str
    """What its arrays are, for messages."""
    command: str
    """The command that writes such files."""
    wanted: str
    """A sentence that asks for such a file."""


CHECKPOINT: Final = ModelKind(
    "cropmap", "checkpoint", "weights", "cropmap train", "Give a .safetensors file with --model."
)
FOREST: Final = ModelKind(
    "cropmap_forest",
    "forest",
    "trees",
    "cropmap forest train",
    "Give a .safetensors file written by cropmap forest train.",
)

_KINDS: Final = (CHECKPOINT, FOREST)


def model_kind(path: Path) -> ModelKind | None:
    """The kind of a model file by its metadata; None where it is not a model of cropmap, or no file."""
    try:
        if not path.is_file() or path.stat().st_size > LARGEST_MODEL:
            return None
        with safetensors.safe_open(path, "np") as file:
            return _kind(file.metadata() or {})
    except (safetensors.SafetensorError, OSError):
        return None


def content_digest(text: str, arrays: Mapping[str, NDArray[Any]]) -> str:
    """Sixteen hex digits that are equal exactly when text, names and bytes of the arrays are."""
    digest = hashlib.sha256(text.encode())
    for name in sorted(arrays):
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(arrays[name]).tobytes())
    return digest.hexdigest()[:16]


def write_model(path: Path, kind: ModelKind, text: str, arrays: Arrays) -> None:
    """Write a model file atomically, with the digest of its content.

    Args:
        path: Where it shall stand.
        kind: What it is.
        text: Its metadata as JSON.
        arrays: Its arrays.
    """
    arrays = {name: np.ascontiguousarray(array).reshape(array.shape) for name, array in arrays.items()}
    metadata = {kind.entry: text, _DIGEST_ENTRY: content_digest(text, arrays)}
    write_bytes(path, _in_order(safetensors.numpy.save(arrays, metadata)))


def _in_order(content: bytes) -> bytes:
    """The same file with its metadata in order, which safetensors changes from process to process."""
    begin = _LENGTH_BYTES + int.from_bytes(content[:_LENGTH_BYTES], "little")
    header = json.loads(content[_LENGTH_BYTES:begin])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % _LENGTH_BYTES)  # arrays begin at a multiple of 8 bytes
    return b"".join((len(text).to_bytes(_LENGTH_BYTES, "little"), text, memoryview(content)[begin:]))


def read_model(path: Path, kind: ModelKind) -> tuple[str, Arrays]:
    """Metadata and arrays of a model file, as they were written; no code of the file is run.

    Args:
        path: The file.
        kind: What it must be.

    Raises:
        InputError: The file does not exist, or is a model of another kind.
        CorruptFileError: It is truncated, damaged or no model of cropmap.
    """
    if not path.is_file():
        raise InputError(f"The {kind.noun} {path} does not exist. {kind.wanted}")
    try:
        _require_size(path, kind)
        with safetensors.safe_open(path, "np") as file:
            metadata = file.metadata() or {}
            _require_kind(path, kind, metadata)
            arrays = {name: np.array(file.get_tensor(name)) for name in file.keys()}  # noqa: SIM118
    except (safetensors.SafetensorError, OSError, *ODD_VALUES) as error:
        raise CorruptFileError(
            f"{path} cannot be read as safetensors: {error}. It is truncated or of another kind; "
            "copy or train it again."
        ) from error
    # safetensors has no checksum: a copy with a flipped bit would open, and map nonsense.
    if metadata.get(_DIGEST_ENTRY) != content_digest(metadata[kind.entry], arrays):
        raise CorruptFileError(
            f"{path} is damaged: its content does not have the digest that was written with it. "
            f"Copy or train the {kind.noun} again."
        )
    return metadata[kind.entry], arrays


def to_json(values: Mapping[str, Any], noun: str) -> str:
    """The metadata of a model as JSON, always with the same letters.

    Raises:
        InputError: Something in it is not a JSON value.
    """
    try:
        return json.dumps(values, sort_keys=True, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise InputError(f"Provenance and metrics of a {noun} must be JSON values: {error}.") from error


def facts_of(values: Mapping[str, Any], key: str) -> dict[str, Any]:
    """The provenance or metrics of a model; the days and years in them are such.

    Raises:
        TypeError: They are no object, or hold another kind of value.
        ValueError: A day is none.
    """
    facts = values[key]
    if not isinstance(facts, dict):
        raise TypeError(f"{key} is {type(facts).__name__}, not an object")
    if not isinstance(facts.get("year"), int | None) or not isinstance(facts.get("season_start"), str | None):
        raise TypeError(f"{key} names the year {facts.get('year')!r} from {facts.get('season_start')!r}")
    if facts.get("season_start"):
        date.fromisoformat(facts["season_start"])
    return facts


def require_format(found: Any, wanted: int, path: Path, noun: str) -> None:
    """Refuse a file of another version.

    Raises:
        MismatchError: Naming both versions.
    """
    if found != wanted:
        raise MismatchError(
            f"This cropmap reads {noun}s of format {wanted}, {path} has format {found!r}. "
            "Use the version of cropmap that wrote it, or train it again."
        )


def require_recipe_digest(recipe: Recipe, found: Any, path: Path, noun: str) -> None:
    """Refuse a recipe that is not the one of the stored digest.

    Raises:
        MismatchError: Naming both digests.
    """
    if found != recipe.digest:
        raise MismatchError(
            f"The recipe digest of {path} is {found!r}, but its recipe has {recipe.digest!r}: "
            f"one of them was changed after training. Copy or train the {noun} again."
        )


def _require_size(path: Path, kind: ModelKind) -> None:
    if (size := path.stat().st_size) > LARGEST_MODEL:
        raise CorruptFileError(
            f"{path} has {size_text(size)}; a {kind.noun} of cropmap has at most {size_text(LARGEST_MODEL)}. "
            f"{kind.wanted}"
        )


def _kind(metadata: Mapping[str, str]) -> ModelKind | None:
    return next((kind for kind in _KINDS if kind.entry in metadata), None)


def _require_kind(path: Path, kind: ModelKind, metadata: Mapping[str, str]) -> None:
    found = _kind(metadata)
    if found == kind:
        return
    if found is not None:
        raise InputError(
            f"{path} is a {found.noun} written by {found.command}, not a {kind.noun}. "
            f"Give a file written by {kind.command}."
        )
    raise CorruptFileError(
        f"{path} holds {kind.content} but not the {kind.entry!r} entry that says what they mean. "
        f"Give a file written by {kind.command}."
    )
