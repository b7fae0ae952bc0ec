"""A trained model in one file: safetensors weights and, as JSON, everything needed to use them."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from gee_pipeline.errors import CorruptFileError, InputError, MismatchError
from gee_pipeline.files import ODD_VALUES, in_words, parse_json
from gee_pipeline.recipe import Recipe
from inference.models.crop_class import CropClass, require_legend
from inference.models.model_file import (
    CHECKPOINT,
    Arrays,
    content_digest,
    facts_of,
    read_model,
    require_format,
    require_recipe_digest,
    to_json,
    write_model,
)
from inference.models.networks.cropnet import CropNetConfig
from inference.models.networks.normalisation import Normalisation
from inference.models.networks.specification import NetworkConfig, build_network
from inference.models.told.applicability import Applicability
from inference.models.told.class_curves import ClassCurves
from inference.models.told.prediction_sets import PredictionSets

FORMAT: Final = 1
"""Version of the metadata; a file of another version is refused."""


@dataclass(frozen=True)
class Checkpoint:
    """A model, what its classes mean, what its input must be and where it comes from."""

    config: CropNetConfig | NetworkConfig
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
    applicability: Applicability | None = None
    """What its answers are like on what it was trained on; None of files of version 0.1.0."""
    prediction_sets: PredictionSets | None = None
    """How likely a class must be to be in the set of a pixel; None where no samples said it."""
    curves: ClassCurves | None = None
    """What its classes looked like in training; None where the file does not say."""

    def __post_init__(self) -> None:
        require_legend(self.classes, "a checkpoint")
        if len(self.classes) != self.config.classes:
            raise MismatchError(
                f"A checkpoint names each output of its network; it names {len(self.classes)} classes, the "
                f"network has {self.config.classes} outputs. Save it again with all classes."
            )
        widths = {self.config.bands, len(self.recipe.bands), len(self.normalisation.mean)}
        if len(widths) > 1:
            raise MismatchError(
                f"Network, recipe and normalisation must have the same bands, got {self.config.bands}, "
                f"{len(self.recipe.bands)} and {len(self.normalisation.mean)}."
            )
        if isinstance(self.config, NetworkConfig) and self.config.bins != len(self.recipe.window):
            raise MismatchError(
                f"Network and recipe must have the same bins, got {self.config.bins} and "
                f"{len(self.recipe.window)}."
            )
        self._require_own_classes()
        if not (math.isfinite(self.temperature) and self.temperature > 0):
            raise InputError(f"A temperature is greater than 0, got {self.temperature}.")

    def _require_own_classes(self) -> None:
        """Refuse what is told of other classes than the model's."""
        told = {
            "an area of applicability": self.applicability and len(self.applicability.means),
            "prediction sets": self.prediction_sets and len(self.prediction_sets.limits),
            "curves of classes": self.curves and self.curves.classes,
        }
        for what, classes in told.items():
            if classes is not None and classes != len(self.classes):
                raise MismatchError(
                    f"What a checkpoint tells is of its own classes; {what} of {classes} came with a model "
                    f"of {len(self.classes)}. Train it again."
                )
        if self.curves is not None and self.curves.bins != len(self.recipe.window):
            raise MismatchError(
                f"Curves of classes are of the model's window of {len(self.recipe.window)} bins, got "
                f"{self.curves.bins}. Train it again."
            )

    @property
    def band_statistics(self) -> Normalisation | None:
        """What each band was like in training; None where the input was not scaled band by band."""
        options = self.provenance.get("options")
        scaling = options.get("normalisation", "band") if isinstance(options, dict) else "band"
        return self.normalisation if scaling == "band" else None

    def build(self) -> nn.Module:
        """The network with its weights, in eval mode, on the CPU.

        Raises:
            MismatchError: The weights are not those of the configuration.
            InputError: A package that the network comes from is missing.
        """
        self.require_weights()
        with _Undrawn():
            network = build_network(self.config, self.recipe, self.normalisation)
        network.load_state_dict(self.weights)
        return network.eval()

    def require_weights(self) -> None:
        """Refuse weights that are not those of the configuration.

        Raises:
            MismatchError: Naming the first that does not fit.
            InputError: A package that the network comes from is missing.
        """
        with torch.device("meta"), _Undrawn():  # takes no memory: a forged file may name any size
            named = build_network(self.config, self.recipe, self.normalisation)
        _require_shapes(self.weights, named.state_dict())

    @property
    def digest(self) -> str:
        """Sixteen hex digits that are equal exactly when weights are, and all that decides a class.

        What is added about the same network later, its area of applicability, prediction sets and curves,
        leaves it the same model.
        """
        bare = replace(self, applicability=None, prediction_sets=None, curves=None)
        return content_digest(_to_json(bare), _arrays(self.weights))


def save_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint atomically.

    Raises:
        MismatchError: The weights are not those of the configuration.
        InputError: A weight is not a number, or provenance or metrics are not JSON values.
    """
    _require_finite(checkpoint.weights, "This checkpoint", InputError)
    network = checkpoint.build()
    write_model(path, CHECKPOINT, _to_json(checkpoint), _arrays(network.state_dict()))


def load_checkpoint(path: Path) -> Checkpoint:
    """The checkpoint of a file, verified; no code of the file is run.

    Raises:
        InputError: The file does not exist, or is a forest.
        CorruptFileError: It is truncated, damaged or no checkpoint of cropmap.
        MismatchError: It was written by another version, or its parts do not belong together.
    """
    text, arrays = read_model(path, CHECKPOINT)
    weights = {name: torch.from_numpy(array) for name, array in arrays.items()}
    checkpoint = _from_json(text, weights, path)
    _require_finite(weights, f"The checkpoint {path}", CorruptFileError)
    checkpoint.require_weights()
    return checkpoint


class _Undrawn(TorchFunctionMode):
    """Networks are made without drawing their first weights: those of a file follow.

    Drawing them on the meta device makes torch import its compiler, which takes seconds.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        values = kwargs or {}
        return (*args, values.get("tensor"))[0] if func in _DRAWS else func(*args, **values)


_DRAWS: Final = {Tensor.normal_, Tensor.uniform_, nn.init.normal_, nn.init.uniform_, nn.init.kaiming_uniform_}
"""What layers draw their first weights by."""


def _arrays(weights: dict[str, Tensor]) -> Arrays:
    return {name: tensor.detach().cpu().contiguous().numpy() for name, tensor in weights.items()}


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
    if checkpoint.applicability is not None:
        values["applicability"] = checkpoint.applicability.to_dict()
    if checkpoint.prediction_sets is not None:
        values["prediction_sets"] = checkpoint.prediction_sets.to_dict()
    if checkpoint.curves is not None:
        values["curves"] = checkpoint.curves.to_dict()
    return to_json(values, CHECKPOINT.noun)


def _from_json(text: str, weights: dict[str, Tensor], path: Path) -> Checkpoint:
    try:
        values = parse_json(text, path)
        require_format(values.get("format"), FORMAT, path, CHECKPOINT.noun)
        recipe = Recipe.from_dict(values["recipe"])
        require_recipe_digest(recipe, values["recipe_digest"], path, CHECKPOINT.noun)
        return Checkpoint(
            config=_config(values["config"]),
            classes=tuple(CropClass(**c) for c in values["classes"]),
            recipe=recipe,
            normalisation=Normalisation(**{k: _frozen(v) for k, v in values["normalisation"].items()}),
            weights=weights,
            provenance=facts_of(values, "provenance"),
            metrics=facts_of(values, "metrics"),
            temperature=values["temperature"],
            applicability=Applicability.from_dict(known) if (known := values.get("applicability")) else None,
            prediction_sets=PredictionSets.from_dict(sets)
            if (sets := values.get("prediction_sets"))
            else None,
            curves=ClassCurves.from_dict(curves) if (curves := values.get("curves")) else None,
        )
    except (*ODD_VALUES, CorruptFileError, InputError) as error:
        raise CorruptFileError(
            f"The metadata of {path} is damaged: {in_words(error)}. Copy or train the checkpoint again."
        ) from error


def _config(values: dict[str, Any]) -> CropNetConfig | NetworkConfig:
    kind = NetworkConfig if "model" in values else CropNetConfig
    return kind(**{key: _frozen(value) for key, value in values.items()})


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _require_shapes(found: dict[str, Tensor], wanted: dict[str, Tensor]) -> None:
    """Refuse weights of another shape or number type; torch would cast the latter without a word."""
    mine, theirs = ({name: _form(tensor) for name, tensor in state.items()} for state in (wanted, found))
    names = [name for name in sorted(mine | theirs) if mine.get(name) != theirs.get(name)]
    if names:
        name = names[0]
        raise MismatchError(
            f"The weights must fit the configuration; {len(names)} do not, first {name}: wanted "
            f"{mine.get(name, 'none')}, got {theirs.get(name, 'none')}. Copy or train the checkpoint again."
        )


def _form(tensor: Tensor) -> str:
    return f"{tuple(tensor.shape)} of {str(tensor.dtype).removeprefix('torch.')}"


def _require_finite(weights: dict[str, Tensor], owner: str, kind: type[Exception]) -> None:
    broken = [name for name, t in weights.items() if t.is_floating_point() and not torch.isfinite(t).all()]
    if broken:
        raise kind(
            f"{owner} has weights that are not numbers (NaN or infinite), first {broken[0]}. "
            "The training diverged or the file is damaged: train or copy it again."
        )
