"""A checkpoint or a forest in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import shapely
from shapely.geometry.base import BaseGeometry

from gee_pipeline.errors import CorruptFileError
from gee_pipeline.incoming.geometry import GeometryError, geometry_of
from gee_pipeline.recipe import Recipe
from gee_pipeline.season import length_text
from gee_pipeline.sensors import bands_text
from inference.models.crop_class import CropClass
from inference.models.networks.specification import title_of

if TYPE_CHECKING:
    from inference.models.checkpoint import Checkpoint
    from inference.models.forest_model import ForestModel

UNKNOWN: Final = "not stated"

Facts = list[tuple[str, str]]
"""Label and text, in the order to show them."""


def describe(checkpoint: Checkpoint) -> Facts:
    """What a checkpoint is, what it was trained on, how good it was, and what input it takes."""
    return [
        *_network(checkpoint),
        *_origin(checkpoint.provenance),
        *_started(checkpoint.provenance),
        ("Training", f"{_stated(checkpoint.provenance, 'epochs')} epochs, {_made(checkpoint.provenance)}"),
        *_accuracy(checkpoint.metrics),
        *_teacher(checkpoint),
        *_adapted(checkpoint),
        *_tuned(checkpoint.provenance),
        *_input(checkpoint.recipe),
        ("Digest", checkpoint.digest),
    ]


def describe_forest(model: ForestModel) -> Facts:
    """What a forest is, what it was grown on, how good it was under both votes, and what input it takes."""
    return [
        ("Forest", _trees(model)),
        ("Classes", _legend(model.classes)),
        *_origin(model.provenance),
        ("Training", _made(model.provenance)),
        *_accuracy(model.metrics),
        *_votes(model.metrics),
        *_deployed(model.metrics),
        *_input(model.recipe),
        ("Digest", model.digest),
    ]


def describe_training(provenance: Mapping[str, Any], metrics: Mapping[str, Any]) -> Facts:
    """What a model was trained on, and how good it was on what it was not, as its file and its map say.

    Args:
        provenance: Of the model's file, or of the report of a map.
        metrics: Likewise.
    """
    return [*_origin(provenance), *_accuracy(metrics), *_tuned(provenance)]


def _trees(model: ForestModel) -> str:
    depth = max(tree.depth for tree in model.trees)
    return (
        f"{len(model.trees):,} trees, {model.nodes:,} nodes, at most {depth} splits above a leaf, "
        f"{len(model.feature_names)} {model.features} features"
    )


def _votes(metrics: Mapping[str, Any]) -> Facts:
    """The scores of a forest under Earth Engine's vote and scikit-learn's, by how they were evaluated."""
    parts = (("held_out", "Held out"), ("out_of_bag", "Out of bag"))
    return [(label, _evaluation(metrics[key])) for key, label in parts if metrics.get(key)]


def _evaluation(facts: Mapping[str, Any]) -> str:
    return (
        f"hard vote {_overall(facts['hard'])}; soft vote {_overall(facts['soft'])}; they differ in "
        f"{facts['disagreement']:.1%} of {facts['samples']:,}"
    )


def _deployed(metrics: Mapping[str, Any]) -> Facts:
    sizes = metrics.get("deployed", {})
    texts = [f"{sizes[key]['bytes']:,} bytes with {key}" for key in ("votes", "probability") if key in sizes]
    return [("Text size", ", ".join(texts))] if texts else []


def _network(checkpoint: Checkpoint) -> Facts:
    parameters = sum(p.numel() for p in checkpoint.build().parameters())
    shape = f"{checkpoint.config.bands} bands x {len(checkpoint.recipe.window)} bins"
    name = title_of(checkpoint.config)
    return [
        ("Network", f"{name}, {parameters:,} parameters, {shape}"),
        ("Classes", _legend(checkpoint.classes)),
        ("Confidence", _confidence(checkpoint)),
        *_sets(checkpoint),
    ]


def _legend(classes: Sequence[CropClass]) -> str:
    return ", ".join(f"{c.code} {c.name} ({c.color})" for c in classes)


def _confidence(checkpoint: Checkpoint) -> str:
    """The temperature, and what it did to the samples it was fitted to."""
    temperature = f"temperature {checkpoint.temperature:.3g}"
    facts = checkpoint.metrics.get("calibration")
    if facts is None:
        return f"{temperature}, calibration {UNKNOWN}"
    return (
        f"{temperature}, fitted to {facts['fitted_to']}; calibration error {facts['ece_after']:.1%}, "
        f"{facts['ece_before']:.1%} without it; log-likelihood loss {facts['nll_after']:.3f}, "
        f"{facts['nll_before']:.3f} without it"
    )


def _sets(checkpoint: Checkpoint) -> Facts:
    """What its prediction sets promise, and by what."""
    sets = checkpoint.prediction_sets
    if sets is None:
        return []
    limits = ", ".join(
        f"{crop.name} from {1 - limit:.3f}"
        for crop, limit in zip(checkpoint.classes, sets.limits, strict=True)
    )
    basis = f"by {sum(sets.samples):,} samples ({sets.source.rstrip('.')})"
    text = f"{sets.coverage:.0%} of each class, {basis}; in the set are {limits}"
    return [("Prediction sets", text)]


def _origin(provenance: Mapping[str, Any]) -> Facts:
    year, start = _stated(provenance, "year"), _stated(provenance, "season_start")
    caution = provenance.get("caution")
    return [
        ("Trained on", _stated(provenance, "data")),
        *([("Caution", str(caution))] if caution else []),
        ("Year", f"{year}, season from {start}"),
        ("Place", _place(provenance.get("footprint"))),
        ("Samples", _samples(provenance.get("samples"))),
    ]


def _made(provenance: Mapping[str, Any]) -> str:
    return f"seed {_stated(provenance, 'seed')}, cropmap {_stated(provenance, 'cropmap_version')}"


def _stated(provenance: Mapping[str, Any], key: str) -> str:
    found = provenance.get(key)
    return UNKNOWN if found is None else str(found)


def _place(footprint: dict[str, Any] | None) -> str:
    if footprint is None:
        return UNKNOWN
    west, south, east, north = training_places(footprint).bounds
    return f"longitude {west:.2f} to {east:.2f}, latitude {south:.2f} to {north:.2f}"


def training_places(footprint: Any) -> BaseGeometry:
    """Where a model was trained, EPSG:4326.

    Args:
        footprint: GeoJSON geometry, as the model's file holds it.

    Raises:
        CorruptFileError: It is no geometry.
    """
    try:
        return shapely.make_valid(geometry_of(footprint))
    except GeometryError as error:
        raise CorruptFileError(
            f"The footprint in the model's file cannot be used: {error}. Restore the file, or train again."
        ) from error


def _samples(samples: Mapping[str, int] | None) -> str:
    if not samples:
        return UNKNOWN
    total = sum(samples.values())
    return f"{total:,}: " + ", ".join(f"{count:,} {name}" for name, count in samples.items())


def _accuracy(metrics: Mapping[str, Any]) -> Facts:
    if "accuracy" not in metrics:
        return [("Accuracy", UNKNOWN)]
    facts = [("Accuracy", _overall(metrics))]
    for key, label in (("split", "Held out by"), ("chosen_by", "Chosen by")):
        if key in metrics:
            facts.append((label, str(metrics[key])))
    for one in metrics.get("classes", ()):
        figures = f"precision {one['precision']:.1%}, recall {one['recall']:.1%}, F1 {one['f1']:.1%}"
        facts.append((f"  {one['name']}", f"{figures} of {one['samples']:,}"))
    for name, one in metrics.get("places", {}).items():
        facts.append((f"  {name}", f"{_overall(one)} of {one['samples']:,} held out there"))
    return facts


def _started(provenance: Mapping[str, Any]) -> Facts:
    """The published weights that a training started from, and their licence, which goes with them."""
    facts = provenance.get("pretrained")
    if facts is None:
        return []
    text = f"{facts['title']}, {facts['source']}, SHA-256 {facts['sha256']}"
    return [("Started from", text), ("  Licence", f"{facts['licence']}, copyright {facts['copyright']}")]


def _teacher(checkpoint: Checkpoint) -> Facts:
    """Who taught a student, and how the two compare on each set of samples; not what it was before tuning."""
    facts, metrics = checkpoint.provenance.get("distilled"), checkpoint.metrics
    if facts is None:
        return []
    names = ", ".join(
        f"{one['name']} ({one['network']}, digest {one['digest']})" for one in facts["teachers"]
    )
    limits = f"at most {facts['tolerance']:g} points lost, {facts['agreement']:g} % the same classes"
    if "beside_teacher" not in metrics:
        return [("Distilled from", names)]
    kept = "kept" if metrics["within_tolerance"] else "not kept"
    rows = [(f"  {one['name']}", beside_teacher(one)) for one in metrics["beside_teacher"]]
    return [("Distilled from", f"{names}; {limits}: {kept}"), *rows]


def _adapted(checkpoint: Checkpoint) -> Facts:
    """The place without labels that a model was adapted to, and what is known of it there."""
    facts = checkpoint.provenance.get("adapted")
    if facts is None:
        return []
    places = ", ".join(
        f"{one['series']:,} series of {one['name']} (digest {one['digest']})" for one in facts["target"]
    )
    season = facts.get("season_shift")
    return [
        ("Adapted to", f"{places} by {facts['method']}. {facts['caution']}"),
        *_there(checkpoint.metrics, len(facts["rounds"])),
        *([("Season there", f"{season['days']:+g} days later")] if season else []),
    ]


def _there(metrics: Mapping[str, Any], rounds: int) -> Facts:
    """What is known of a model where it was adapted to; nothing any more where it was tuned since."""
    found, judged = metrics.get("target"), metrics.get("judged")
    if found is None:
        return []
    accepted = f"{found['accepted']:.1%} of the asked series accepted in the last of {rounds} rounds; "
    confidence = f"mean confidence {found['confidence']:.1%}, mean entropy {found['entropy']:.3f}"
    return [
        ("There", f"{accepted if rounds else ''}{confidence}"),
        *([("Judged there", _overall(judged))] if judged else []),
    ]


def _tuned(provenance: Mapping[str, Any]) -> Facts:
    """Which labels of another place changed a model, how, and what they promised."""
    facts = provenance.get("tuned")
    if facts is None:
        return []
    gain = facts["accuracy_gain"]
    promise = f"{100 * gain['mean']:+.1f} points ({100 * gain['low']:+.1f} to {100 * gain['high']:+.1f})"
    return [
        ("Tuned from", f"{facts['from']}, digest {facts['digest']}"),
        ("Tuned on", _stated(facts, "data")),
        ("  Year", f"{_stated(facts, 'year')}, season from {_stated(facts, 'season_start')}"),
        ("  Place", _place(facts.get("footprint"))),
        ("  Samples", _samples(facts.get("samples"))),
        ("  Changed", facts["text"]),
        ("  Gain", f"accuracy {promise} on these samples, each by a network that other folds tuned"),
    ]


def beside_teacher(one: Mapping[str, Any]) -> str:
    """How a student compares with its teacher on a set of samples.

    Args:
        one: Figures of `training.distillation.comparison.Comparison`, as a file holds them.
    """
    return (
        f"accuracy {one['accuracy']:.2%} (teacher {one['teacher_accuracy']:.2%}), macro-F1 "
        f"{one['macro_f1']:.2%} ({one['teacher_macro_f1']:.2%}), the same class in {one['agreement']:.2%} of "
        f"{one['samples']:,}"
    )


def _overall(scores: Mapping[str, Any]) -> str:
    return f"overall {scores['accuracy']:.1%}, macro-F1 {scores['macro_f1']:.1%}"


def _input(recipe: Recipe) -> Facts:
    rule = recipe.season
    days = f"days {rule.first_day} to {rule.last_day}"
    return [
        ("Bands", bands_text(recipe.bands)),
        ("Window", f"{days} of the season, {len(recipe.window)} bins of {length_text(recipe.bin_days)}"),
        ("Season", str(rule)),
        *_clear(recipe),
        ("Gaps", f"linear, ends extended; at least {recipe.min_clear_bins} observed bins"),
        ("Recipe", recipe.digest),
    ]


def _clear(recipe: Recipe) -> Facts:
    facts = []
    for group in recipe.sensors:
        if group.clear is not None:
            classes = ", ".join(map(str, group.clear.scl_clear))
            rule = f"{group.clear.score_band} >= {group.clear.threshold:g}, else scene classes {classes}"
            facts.append(("Clear", rule))
        elif flag := group.sensor.flag:
            facts.append(("Clear", f"{flag.band} {', '.join(map(str, flag.clear))}"))
    return facts
