"""A published folder looked at on another machine: files, maps against what is said of them, seams."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import rasterio
from rasterio.errors import RasterioIOError

from gee_pipeline.errors import CorruptFileError, InputError
from gee_pipeline.files import ODD_VALUES, SHA_256, file_digest, in_words, read_json
from gee_pipeline.layers import BASE, CROP_MAP, ON_REQUEST
from gee_pipeline.map_codes import OUTSIDE
from inference.run.prediction import bounded_gdal
from inference.verification.checksums import SUMS, Compared, compare_checksums
from inference.verification.findings import Finding, Verified
from inference.verification.seams import seam_findings

_WAY_OUT: Final = "Copy the folder again from where it was published, or publish the maps again."

NAMED: Final = 5
"""Files that a finding names."""


def is_published(folder: Path) -> bool:
    """Whether a folder is a publication, whole or not, and no run."""
    return (folder / SUMS).is_file() or (folder / "collection.json").is_file()


def verify_published(folder: Path) -> Verified:
    """What holds of a published folder, and what does not.

    The model and the composites are not published, so no cell can be predicted again here: that is for
    `verify_run`.

    Args:
        folder: A folder that `cropmap publish` wrote.

    Raises:
        InputError: There is no list of checksums: the folder is not whole.
        CorruptFileError: The list is damaged.
    """
    if not (folder / SUMS).is_file():
        raise InputError(
            f"{folder} has no {SUMS}: it is not whole. Run 'cropmap publish' again, or copy all its files."
        )
    compared = compare_checksums(folder)
    places = sorted(path.parent for path in folder.glob("*/item.json"))
    findings = [_files(compared), _collection(folder, places)]
    with bounded_gdal():
        for place in places:
            findings += _of_map(place, compared.listed)
    return Verified(folder, tuple(findings), {SUMS: file_digest(folder / SUMS)}, _WAY_OUT)


def _files(found: Compared) -> Finding:
    faults = [
        f"{what}: {_some(names)}"
        for what, names in (("damaged", found.damaged), ("missing", found.missing))
        if names
    ]
    if faults:
        return Finding("files", False, "; ".join(faults))
    more = f"; {len(found.unlisted):,} more are not listed" if found.unlisted else ""
    return Finding("files", True, f"{len(found.whole):,} have the digest that is listed{more}")


def _collection(folder: Path, places: Sequence[Path]) -> Finding:
    """The collection has the maps that are there, and no other."""
    try:
        links = [
            link["href"] for link in read_json(folder / "collection.json")["links"] if link["rel"] == "item"
        ]
    except (InputError, CorruptFileError, *ODD_VALUES) as error:
        return Finding("collection", False, f"cannot be read: {in_words(error)}")
    there = {f"./{place.name}/item.json" for place in places}
    if different := sorted(there.symmetric_difference(links)):
        return Finding("collection", False, f"in the collection or in the folder alone: {_some(different)}")
    return Finding("collection", True, f"names the maps that are there, {len(places):,}")


def _some(names: Sequence[str]) -> str:
    """Names for a message."""
    return f"{', '.join(names[:NAMED])}{' ...' if len(names) > NAMED else ''}"


def _of_map(place: Path, listed: Mapping[str, str]) -> Iterator[Finding]:
    """What holds of one map; a file that cannot be read is a finding too."""
    try:
        report, item = read_json(place / "report.json"), read_json(place / "item.json")
        with rasterio.open(place / f"{CROP_MAP.name}.tif") as crop_map:
            yield _assets(place, item, listed)
            yield _says_the_same(place, report, item)
            yield _counts(place, crop_map, report)
            for finding in seam_findings(crop_map, report["map"]["cell_size"]):
                yield Finding(f"{place.name} {finding.name}", finding.holds, finding.text)
    except (RasterioIOError, InputError, CorruptFileError, *ODD_VALUES) as error:
        yield Finding(place.name, False, f"cannot be read: {in_words(error)}")


def _assets(place: Path, item: dict[str, Any], listed: Mapping[str, str]) -> Finding:
    """The item of a map knows its files by the digests of the list: neither was changed alone."""
    name, digests = f"{place.name} item", {}
    for asset in item["assets"].values():
        digests[asset["href"].removeprefix("./")] = asset["file:checksum"][len(SHA_256) :]
    if other := sorted(
        file for file, digest in digests.items() if listed.get(f"{place.name}/{file}") != digest
    ):
        return Finding(name, False, f"{SUMS} lacks, or has with another digest: {_some(other)}")
    return Finding(name, True, f"{len(digests):,} files, with the digests of {SUMS}")


def _says_the_same(place: Path, report: dict[str, Any], item: dict[str, Any]) -> Finding:
    """Report, item and rasters are of one run of one model."""
    name, properties = f"{place.name} record", item["properties"]
    pairs = {
        "model": (report["model"]["digest"], properties["cropmap:model_digest"]),
        "recipe": (report["recipe"]["digest"], properties["cropmap:recipe_digest"]),
    }
    runs = set()
    for layer in (*BASE, *ON_REQUEST):
        path = place / f"{layer.name}.tif"
        if path.is_file():
            with rasterio.open(path) as file:
                runs.add(file.tags().get("RUN_DIGEST", ""))
    pairs["run of the rasters"] = (min(runs), max(runs))
    if different := [what for what, (one, other) in pairs.items() if one != other]:
        return Finding(name, False, f"report, item and rasters differ in: {', '.join(different)}")
    return Finding(name, True, "report, item and rasters are of one run")


def _counts(place: Path, crop_map: Any, report: dict[str, Any]) -> Finding:
    """The raster holds as many pixels of each code as the report says."""
    name, counts = f"{place.name} pixels", np.zeros(256, np.int64)
    for _, window in crop_map.block_windows(1):
        counts += np.bincount(crop_map.read(1, window=window).ravel(), minlength=256)
    counts[OUTSIDE] = 0
    said = {one["code"]: one["pixels"] for one in report["classes"] if one["pixels"]}
    found = {int(code): int(counts[code]) for code in np.flatnonzero(counts)}
    if said != found:
        return Finding(name, False, f"the map has {found} pixels by code, its report {said}")
    return Finding(name, True, f"{sum(found.values()):,}, by class as the report says")
