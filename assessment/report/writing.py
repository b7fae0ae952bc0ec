"""A report as files: tables, JSON, and a paragraph that says how the figures were made."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from assessment.estimation.accuracy import Accuracy
from assessment.estimation.intervals import Figure
from assessment.report.results import Results
from assessment.report.sampled import Sampled
from assessment.sample.record import to_csv
from gee_pipeline.files import write_bytes, write_json

NO_CLASS: Final = "no class on the map"
"""Row of the error matrix for what the map does not show."""

FIGURE: Final = ("value", "se", "low", "high", "half_width", "units", "interval", "flags")
"""What is written of each figure."""

AREAS: Final = (
    "class", "estimator", "unit", "mapped", *FIGURE,
    "mover_low", "mover_high", "cv", "gain", "expected_gain", "narrowest",
)  # fmt: skip
ACCURACIES: Final = ("measure", "class", *FIGURE)


def write_report(
    folder: Path, values: dict[str, Any], sampled: Sampled, found: Results, methods: str
) -> None:
    """All files of a report; report.json comes last.

    Args:
        folder: Where they come to.
        values: The report as JSON values.
        sampled: The sample.
        found: Its figures.
        methods: How they were made, for an annex.

    Raises:
        DiskFullError: The disk has no room.
    """
    write_bytes(folder / "accuracy.csv", to_csv(ACCURACIES, accuracy_rows(found.best)))
    write_bytes(folder / "area.csv", to_csv(AREAS, area_rows(sampled, found)))
    for name, table in (("counts", found.best.counts), ("shares", found.best.shares)):
        rows = _matrix_rows(sampled.classes, table.tolist())
        write_bytes(folder / f"matrix_{name}.csv", to_csv(("map", *sampled.classes), rows))
    if found.districts:
        rows = district_rows(sampled, found)
        write_bytes(folder / "districts.csv", to_csv(("district", "measure", "class", "unit", *FIGURE), rows))
    write_bytes(folder / "methods.txt", methods.encode())
    write_json(folder / "report.json", values)


def figure_values(figure: Figure | None) -> dict[str, Any] | None:
    """A figure as JSON values; None where there is none."""
    if figure is None:
        return None
    return {
        "value": figure.value,
        "se": figure.se,
        "low": figure.low,
        "high": figure.high,
        "half_width": figure.half_width,
        "units": figure.units,
        "interval": figure.interval,
        "cut": figure.cut,
        "mover": figure.mover and list(figure.mover),
        "flags": list(figure.flags),
    }


def _columns(figure: Figure | None) -> dict[str, Any]:
    values = figure_values(figure)
    if values is None:
        return {"value": "none"}
    return {**values, "flags": " ".join(flag.replace(" ", "-") for flag in values["flags"])}


def accuracy_rows(accuracy: Accuracy) -> Iterator[dict[str, Any]]:
    """Overall accuracy, then user's and producer's accuracy and F1 of each class."""
    yield {"measure": "overall", "class": "", **_columns(accuracy.overall)}
    for one in accuracy.classes:
        for measure, figure in (("users", one.users), ("producers", one.producers), ("f1", one.f1)):
            yield {"measure": measure, "class": one.name, **_columns(figure)}


def area_rows(sampled: Sampled, found: Results) -> Iterator[dict[str, Any]]:
    """The area of each class by each estimator."""
    for k, name in enumerate(sampled.classes):
        mapped = found.mapped[k]
        narrowest = found.narrowest(k)
        known = {"class": name, "unit": sampled.unit, "mapped": "" if mapped is None else mapped}
        for estimator, figure in _estimates(found, k):
            more: dict[str, Any] = {"narrowest": "yes" if estimator == narrowest else ""}
            if figure and figure.value:
                more["cv"] = figure.se / figure.value
            if figure and figure.mover:
                more |= {"mover_low": figure.mover[0], "mover_high": figure.mover[1]}
            assisted = found.assisted[k]
            if estimator == "model-assisted" and assisted:
                more |= {"gain": assisted.gain, "expected_gain": assisted.expected_gain}
            yield {**known, "estimator": estimator, **_columns(figure), **more}


def _estimates(found: Results, k: int) -> Iterator[tuple[str, Figure | None]]:
    yield "plain", found.plain.classes[k].area
    if found.post_stratified:
        yield "post-stratified", found.post_stratified.classes[k].area
    if assisted := found.assisted[k]:
        yield "model-assisted", assisted.area


def district_rows(sampled: Sampled, found: Results) -> Iterator[dict[str, Any]]:
    """Overall accuracy and areas of each district."""
    for one in found.districts:
        known = {"district": one.name}
        yield {**known, "measure": "overall", "unit": "share", **_columns(one.accuracy.overall)}
        for of in one.accuracy.classes:
            yield {**known, "measure": "area", "class": of.name, "unit": sampled.unit, **_columns(of.area)}


def _matrix_rows(classes: Sequence[str], table: list[list[float]]) -> Iterator[dict[str, Any]]:
    for name, row in zip((*classes, NO_CLASS), table, strict=True):
        if name != NO_CLASS or any(row):
            yield {"map": name, **dict(zip(classes, row, strict=True))}


def accuracy_values(accuracy: Accuracy) -> dict[str, Any]:
    """Accuracy and areas as JSON values."""
    return {
        "area": accuracy.hectares,
        "units": accuracy.units,
        "overall": figure_values(accuracy.overall),
        "classes": [
            {
                "name": one.name,
                "area": figure_values(one.area),
                "users": figure_values(one.users),
                "producers": figure_values(one.producers),
                "f1": figure_values(one.f1),
                "mapped_units": one.mapped_units,
                "reference_units": one.reference_units,
            }
            for one in accuracy.classes
        ],
        "matrix_shares": accuracy.shares.tolist(),
        "matrix_counts": accuracy.counts.tolist(),
    }


def result_values(sampled: Sampled, found: Results) -> dict[str, Any]:
    """Every figure as JSON values."""
    assisted = {
        name: {
            "area": figure_values(one.area),
            "lambdas": list(one.lambdas),
            "gain": one.gain,
            "expected_gain": one.expected_gain,
        }
        for name, one in zip(sampled.classes, found.assisted, strict=True)
        if one
    }
    missing = found.missing
    return {
        "unit": sampled.unit,
        "classes": list(sampled.classes),
        "mapped": dict(zip(sampled.classes, found.mapped, strict=True)),
        "plain": accuracy_values(found.plain),
        "post_stratified": found.post_stratified and accuracy_values(found.post_stratified),
        "model_assisted": assisted,
        "narrowest": {name: found.narrowest(k) for k, name in enumerate(sampled.classes)},
        "districts": {one.name: accuracy_values(one.accuracy) for one in found.districts},
        "missing": missing
        and {"points": missing.points, "overall_if_wrong": missing.wrong, "overall_if_right": missing.right},
    }
