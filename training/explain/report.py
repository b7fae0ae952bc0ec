"""An explanation as a whole: maps, plane and curves of a model and its samples, as numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from gee_pipeline.errors import InputError
from inference.models.checkpoint import Checkpoint
from inference.models.predictor import resolve_device
from inference.models.series import has_ndvi
from training.explain.activation import STEPS, ClassMap, class_maps, reference_series, require_captum
from training.explain.embedding import AUGMENTED, COMPONENTS, Group, Plane, embed
from training.explain.options import ExplainOptions
from training.explain.subjects import Region
from training.fit.augment import Augmentation
from training.fit.batches import BatchMaker
from training.fit.options import TrainingOptions
from training.sample_report.ndvi import Curve, ndvi_curves
from training.samples.samples import Samples

ACTIVATION_UNIT = "times the mean of the map: 1 is evenly spread over bands and bins"
ATTRIBUTION_UNIT = "contribution to the logit of the class, against the mean series of the source's classes"


@dataclass(frozen=True)
class Explanation:
    """What the pictures show."""

    model: str
    """Name of the model's file."""
    checkpoint: Checkpoint
    """The model."""
    options: ExplainOptions
    """How it was made."""
    regions: tuple[Region, ...]
    """The source, and the target where there is one."""
    classes: tuple[int, ...]
    """Indices of the classes, in the order of the model."""
    maps: tuple[ClassMap, ...]
    """Of each class and region that has samples."""
    planes: tuple[Plane, ...]
    """Groups of t-SNE: source, source augmented, target."""
    curves: dict[str, dict[str, Curve]]
    """Domain -> class -> NDVI over all samples; empty where the recipe lacks B4 or B8."""

    @property
    def names(self) -> tuple[str, ...]:
        """Class names by index."""
        return tuple(crop.name for crop in self.checkpoint.classes)

    def map_of(self, domain: str, label: int) -> ClassMap | None:
        """The map of a class in a region, or None where it has no samples there."""
        return next((one for one in self.maps if (one.domain, one.label) == (domain, label)), None)

    def to_dict(self) -> dict[str, Any]:
        """All numbers behind the pictures, as JSON values."""
        recipe = self.checkpoint.recipe
        return {
            "model": {"file": self.model, "digest": self.checkpoint.digest, "classes": list(self.names)},
            "options": asdict(self.options),
            "regions": {region.domain: _region_facts(region) for region in self.regions},
            "bands": list(recipe.bands),
            "bins": list(recipe.window),
            "bin_days": recipe.bin_days,
            "activation": {
                "method": "Grad-CAM of the last block (Selvaraju et al. 2017), linear between its places",
                "unit": ACTIVATION_UNIT,
                "maps": [_activation_facts(one, self.names) for one in self.maps],
            },
            "attribution": {
                "method": f"integrated gradients (Sundararajan et al. 2017), {STEPS} points",
                "unit": ATTRIBUTION_UNIT,
                "maps": [_attribution_facts(one, self.names) for one in self.maps],
            },
            "embedding": {
                "method": f"t-SNE of the filled and normalised window, {COMPONENTS} principal components",
                "perplexity": self.options.perplexity,
                "seed": self.options.seed,
                "groups": [_plane_facts(plane, self.names) for plane in self.planes],
            },
            "ndvi": {
                domain: {name: _curve_facts(curve) for name, curve in curves.items()}
                for domain, curves in self.curves.items()
            },
        }


def explain(
    model: Path,
    checkpoint: Checkpoint,
    regions: Sequence[Region],
    classes: Sequence[int],
    options: ExplainOptions,
    *,
    say: Callable[[str], None] = lambda text: None,
) -> Explanation:
    """Explain a model on samples of one region or two.

    Args:
        model: Its file, for the titles.
        checkpoint: The model.
        regions: The source, and after it the target where there is one.
        classes: Indices of the classes that are explained.
        options: How many samples, and how.
        say: Told what is done next.

    Raises:
        InputError: captum is not installed, the model predicts no sample right, or there are too few samples
            for t-SNE.
    """
    require_captum()
    picked = {region.domain: region.pick(options.per_class, options.seed) for region in regions}
    say(f"Maps over bands and days of {_count(picked)} samples")
    maps = _maps(checkpoint, picked, options)
    if not any(one.right for one in maps):
        raise InputError(
            f"Maps are of samples that the model predicts right, which are none of {_count(picked)} samples. "
            "Check what their labels mean (--legend) and how reflectance is stored (--scale)."
        )
    groups = _groups(checkpoint, picked, options)
    say(f"t-SNE of {sum(len(group.labels) for group in groups):,} series")
    planes = embed(groups, perplexity=options.perplexity, seed=options.seed)
    return Explanation(
        model=model.name,
        checkpoint=checkpoint,
        options=options,
        regions=tuple(regions),
        classes=tuple(classes),
        maps=tuple(maps),
        planes=tuple(planes),
        curves={region.domain: ndvi_curves(region.samples) for region in regions}
        if has_ndvi(checkpoint.recipe)
        else {},
    )


def _maps(checkpoint: Checkpoint, picked: dict[str, Samples], options: ExplainOptions) -> list[ClassMap]:
    """Of both regions against the reference of the source, so that they can be compared."""
    device = resolve_device(options.device)
    source = picked["source"]
    maker = BatchMaker(checkpoint.recipe, checkpoint.normalisation, device)
    reference = reference_series(maker.inputs(source.series), source.labels)
    return [
        one
        for domain, samples in picked.items()
        for one in class_maps(
            checkpoint,
            samples,
            domain=domain,
            reference=reference,
            attributed=options.attributed,
            device=device,
        )
    ]


def _groups(checkpoint: Checkpoint, picked: dict[str, Samples], options: ExplainOptions) -> list[Group]:
    """The filled and normalised model window of each group, flat, before any network."""
    preset = options.augmentation if checkpoint.recipe.in_order else "none"
    augmentation = Augmentation.of(preset, TrainingOptions(), checkpoint.recipe)
    maker = BatchMaker(checkpoint.recipe, checkpoint.normalisation, resolve_device("cpu"), augmentation)
    groups = [Group(domain, _flat(maker.inputs(one.series)), one.labels) for domain, one in picked.items()]
    if preset == "none":
        return groups
    source = picked["source"]
    changed = maker.training_inputs(source.series, np.random.default_rng(options.seed))
    return [groups[0], Group(AUGMENTED, _flat(changed), source.labels), *groups[1:]]


def _flat(inputs: Tensor) -> NDArray[np.float32]:
    return np.asarray(inputs.flatten(1))


def _count(picked: dict[str, Samples]) -> str:
    return " and ".join(f"{len(samples):,} {domain}" for domain, samples in picked.items())


def _region_facts(region: Region) -> dict[str, Any]:
    samples = region.samples
    return {
        "source": samples.source,
        "samples": {name: count for name, count in samples.counts.items() if count},
        "season_start": samples.season.start.isoformat() if samples.season else None,
    }


def _activation_facts(one: ClassMap, names: Sequence[str]) -> dict[str, Any]:
    return {
        "domain": one.domain,
        "class": names[one.label],
        "samples": one.samples,
        "right": one.right,
        "shown": one.shown,
        "values": None if one.activation is None else np.round(one.activation, 4).tolist(),
    }


def _attribution_facts(one: ClassMap, names: Sequence[str]) -> dict[str, Any]:
    return {
        "domain": one.domain,
        "class": names[one.label],
        "samples": one.attributed,
        "unexplained_share": one.unexplained,
        "values": None if one.attribution is None else np.round(one.attribution, 5).tolist(),
    }


def _plane_facts(plane: Plane, names: Sequence[str]) -> dict[str, Any]:
    return {
        "group": plane.name,
        "samples": len(plane.labels),
        "silhouette_input": plane.silhouette,
        "silhouette_plane": plane.silhouette_plane,
        "spread_within_classes": plane.spread,
        "points": np.round(plane.points, 3).tolist(),
        "classes": [names[label] for label in plane.labels],
    }


def _curve_facts(curve: Curve) -> dict[str, list[float | None]]:
    return {
        name: [None if np.isnan(value) else round(float(value), 4) for value in getattr(curve, name)]
        for name in ("lower", "median", "upper")
    }
