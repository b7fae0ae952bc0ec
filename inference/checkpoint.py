"""A trained model in one file: safetensors weights and, as JSON, everything needed to use them."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from gee_pipeline.errors import CorruptFileError, InputError, MismatchError
from gee_pipeline.files import write_bytes
from gee_pipeline.recipe import Recipe
from inference.cropnet import CropNet, CropNetConfig

FORMAT: Final = 1
"""Version of the metadata; a file of another version is refused."""

MOST_CLASSES: Final = 253
"""Codes 1 to 253; 0, 254 and 255 of a map mean outside, not cropland and not enough observations."""

_ENTRY: Final = "cropmap"
_DIGEST_ENTRY: Final = "cropmap_digest"


@dataclass(frozen=True)
class CropClass:
    """One class of a map."""

    code: int
    """Value of its pixels, 1 to 253."""
    name: str
    """What it is called in legends."""
    color: str
    """Colour as `#rrggbb`."""

    def __post_init__(self) -> None:
        if not 1 <= self.code <= MOST_CLASSES:
            raise InputError(f"A class code lies between 1 and {MOST_CLASSES}, got {self.code}.")
        if not self.name.strip():
            raise InputError(f"Class {self.code} needs a name.")
        if not re.fullmatch(r"#[0-9a-fA-F]{6}", self.color):
            raise InputError(f"The colour of class {self.name} must read #rrggbb, got {self.color!r}.")


@dataclass(frozen=True)
class Normalisation:
    """Mean and standard deviation of each band over the training series."""

    mean: tuple[float, ...]
    """Reflectance, 0 to 1, in the recipe's band order."""
    std: tuple[float, ...]
    """Reflectance, greater than 0."""

    def __post_init__(self) -> None:
        finite = all(map(math.isfinite, (*self.mean, *self.std)))
        if len(self.mean) != len(self.std) or not finite or not all(value > 0 for value in self.std):
            raise InputError(
                "A normalisation takes a mean and a standard deviation above 0 for each band, got "
                f"mean {self.mean} and std {self.std}."
            )


@dataclass(frozen=True)
class Checkpoint:
    """A model, what its classes mean, what its input must be and where it comes from."""

    config: CropNetConfig
    """Shape of the network."""
    classes: tuple[CropClass, ...]
    """Class of each logit, in order; their codes are 1..K."""
    recipe: Recipe
    """How its input is made from scenes."""
    normalisation: Normalisation
    """How its input is scaled."""
    weights: dict[str, Tensor]
    """State of the network, by parameter name."""
    provenance: dict[str, Any] = field(default_factory=dict)
    """JSON values: data, year, season_start, footprint, samples, seed, epochs, cropmap_version."""
    metrics: dict[str, Any] = field(default_factory=dict)
    """JSON values: how good it was on the places held back."""
    temperature: float = 1.0
    """Logits are divided by it before the softmax, so that a confidence is a frequency (Guo et al. 2017)."""

    def __post_init__(self) -> None:
        codes = [c.code for c in self.classes]
        if codes != list(range(1, len(codes) + 1)):
            raise InputError(f"The classes of a checkpoint have the codes 1 to {len(codes)}, got {codes}.")
        if repeated := [n for n, count in Counter(c.name for c in self.classes).items() if count > 1]:
            raise InputError(f"Each class of a checkpoint has its own name, got {repeated} twice.")
        if len(codes) != self.config.classes:
            raise MismatchError(
                f"A checkpoint names each output of its network; it names {len(codes)} classes, the network "
                f"has {self.config.classes} outputs. Save it again with all classes."
            )
        widths = {self.config.bands, len(self.recipe.bands), len(self.normalisation.mean)}
        if len(widths) > 1:
            raise MismatchError(
                f"Network, recipe and normalisation must have the same bands, got {self.config.bands}, "
                f"{len(self.recipe.bands)} and {len(self.normalisation.mean)}."
            )
        if not (math.isfinite(self.temperature) and self.temperature > 0):
            raise InputError(f"A temperature is greater than 0, got {self.temperature}.")

    def build(self) -> CropNet:
        """The network with its weights, in eval mode, on the CPU.

        Raises:
            MismatchError: The weights are not those of the configuration.
        """
        network = CropNet(self.config)
        _require_shapes(self.weights, network.state_dict())
        network.load_state_dict(self.weights)
        return network.eval()

    @property
    def digest(self) -> str:
        """Sixteen hex digits that are equal exactly when weights and metadata are."""
        return _digest(_to_json(self), self.weights)


def default_checkpoint() -> Path:
    """The checkpoint that ships inside the package.

    Raises:
        InputError: This installation lacks it.
    """
    path = Path(__file__).parent / "checkpoints" / "compact.safetensors"
    if not path.is_file():
        raise InputError(
            f"The default checkpoint {path} is missing from this installation. "
            "Install cropmap again, or give another checkpoint with --model."
        )
    return path


def save_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint atomically.

    Raises:
        MismatchError: The weights are not those of the configuration.
        InputError: A weight is not a number, or provenance or metrics are no JSON values.
    """
    _require_finite(checkpoint.weights, "This checkpoint", InputError)
    network = checkpoint.build()
    tensors = {name: tensor.contiguous() for name, tensor in network.state_dict().items()}
    text = _to_json(checkpoint)
    write_bytes(path, safetensors.torch.save(tensors, {_ENTRY: text, _DIGEST_ENTRY: _digest(text, tensors)}))


def load_checkpoint(path: Path) -> Checkpoint:
    """The checkpoint of a file, verified; no code of the file is run.

    Raises:
        InputError: The file does not exist.
        CorruptFileError: It is truncated, damaged or no checkpoint of cropmap.
        MismatchError: It was written by another version, or its parts do not belong together.
    """
    if not path.is_file():
        raise InputError(f"The checkpoint {path} does not exist. Give a .safetensors file with --model.")
    text, weights = _read(path)
    checkpoint = _from_json(text, weights, path)
    _require_finite(weights, f"The checkpoint {path}", CorruptFileError)
    checkpoint.build()
    return checkpoint


def _read(path: Path) -> tuple[str, dict[str, Tensor]]:
    try:
        with safetensors.safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            weights = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
    except safetensors.SafetensorError as error:
        raise CorruptFileError(
            f"{path} cannot be read as safetensors: {error}. It is truncated or of another kind; "
            "copy or train it again."
        ) from error
    if _ENTRY not in metadata:
        raise CorruptFileError(
            f"{path} holds weights but not the {_ENTRY!r} entry that says what they mean. "
            "Give a file written by cropmap train."
        )
    # safetensors has no checksum: a copy with a flipped bit would open, and map nonsense.
    if metadata.get(_DIGEST_ENTRY) != _digest(metadata[_ENTRY], weights):
        raise CorruptFileError(
            f"{path} is damaged: its content does not have the digest that was written with it. "
            "Copy or train the checkpoint again."
        )
    return metadata[_ENTRY], weights


def _digest(text: str, weights: dict[str, Tensor]) -> str:
    digest = hashlib.sha256(text.encode())
    for name in sorted(weights):
        digest.update(name.encode())
        digest.update(weights[name].detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]


def _to_json(checkpoint: Checkpoint) -> str:
    values = {
        "format": FORMAT,
        "config": checkpoint.config.to_dict(),
        "classes": [asdict(c) for c in checkpoint.classes],
        "recipe": checkpoint.recipe.to_dict(),
        "recipe_digest": checkpoint.recipe.digest,
        "normalisation": asdict(checkpoint.normalisation),
        "provenance": checkpoint.provenance,
        "metrics": checkpoint.metrics,
        "temperature": checkpoint.temperature,
    }
    try:
        return json.dumps(values, sort_keys=True, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise InputError(f"Provenance and metrics of a checkpoint must be JSON values: {error}.") from error


def _from_json(text: str, weights: dict[str, Tensor], path: Path) -> Checkpoint:
    try:
        values = json.loads(text)
        _require_format(values.get("format"), path)
        recipe = Recipe.from_dict(values["recipe"])
        _require_digest(recipe, values["recipe_digest"], path)
        return Checkpoint(
            config=CropNetConfig(**{k: _frozen(v) for k, v in values["config"].items()}),
            classes=tuple(CropClass(**c) for c in values["classes"]),
            recipe=recipe,
            normalisation=Normalisation(**{k: _frozen(v) for k, v in values["normalisation"].items()}),
            weights=weights,
            provenance=values["provenance"],
            metrics=values["metrics"],
            temperature=values["temperature"],
        )
    except (AttributeError, KeyError, TypeError, ValueError, InputError) as error:
        raise CorruptFileError(
            f"The metadata of {path} is damaged ({error!r}). Copy or train the checkpoint again."
        ) from error


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _require_format(found: Any, path: Path) -> None:
    if found != FORMAT:
        raise MismatchError(
            f"This cropmap reads checkpoints of format {FORMAT}, {path} has format {found!r}. "
            "Use the version of cropmap that wrote it, or train it again."
        )


def _require_digest(recipe: Recipe, found: Any, path: Path) -> None:
    if found != recipe.digest:
        raise MismatchError(
            f"The recipe digest of {path} is {found!r}, but its recipe has {recipe.digest!r}: "
            "one of them was changed after training. Copy or train the checkpoint again."
        )


def _require_shapes(found: dict[str, Tensor], wanted: dict[str, Tensor]) -> None:
    mine, theirs = ({name: tuple(t.shape) for name, t in state.items()} for state in (wanted, found))
    names = [name for name in sorted(mine | theirs) if mine.get(name) != theirs.get(name)]
    if names:
        name = names[0]
        raise MismatchError(
            f"The weights must fit the configuration; {len(names)} do not, first {name}: wanted "
            f"{mine.get(name, 'none')}, got {theirs.get(name, 'none')}. Copy or train the checkpoint again."
        )


def _require_finite(weights: dict[str, Tensor], owner: str, kind: type[Exception]) -> None:
    broken = [name for name, t in weights.items() if t.is_floating_point() and not torch.isfinite(t).all()]
    if broken:
        raise kind(
            f"{owner} has weights that are no numbers (NaN or infinite), first {broken[0]}. "
            "The training diverged or the file is damaged: train or copy it again."
        )
