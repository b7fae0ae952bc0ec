"""Parcels as GeoParquet and GeoPackage, written batch by batch."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyproj
from numpy.typing import NDArray

from assessment.fields.facts import NO_CLASS, ParcelFacts
from gee_pipeline.errors import DiskFullError
from gee_pipeline.grid import name_crs
from gee_pipeline.vectors.parcels import ParcelBatch
from inference.product.legend import LegendEntry

PARQUET: Final = "fields.parquet"
GEOPACKAGE: Final = "fields.gpkg"

_GEOMETRY: Final = "geometry"
_LAYER: Final = "fields"


@dataclass(frozen=True)
class Columns:
    """The columns of a table of parcels."""

    classes: tuple[tuple[int, str], ...]
    """Code and name of each class."""
    unmapped: tuple[tuple[int, str], ...]
    """Code and name of what is no class."""

    def table(self, batch: ParcelBatch, facts: ParcelFacts, declared: NDArray[np.intp] | None) -> Any:
        """An Arrow table, one row a parcel.

        Args:
            batch: The parcels.
            facts: What is said of them.
            declared: Index of the declared class of each; None where nothing was declared.
        """
        import pyarrow as pa  # type: ignore[import-untyped]

        columns = {"id": batch.ids, **self._of_majority(facts)}
        columns |= {"pixels": facts.pixels, "valid_share": facts.valid}
        columns |= self._each("unmapped", self.unmapped, facts.unmapped)
        if facts.confidence is not None:
            columns["confidence"] = facts.confidence
        if facts.observations is not None:
            columns["clear_observations"] = facts.observations
        columns |= self._each("share", self.classes, facts.shares)
        columns |= self._of_probabilities(facts)
        if declared is not None and batch.declared is not None:
            columns |= _of_declared(batch, facts, declared)
        columns[_GEOMETRY] = batch.wkb
        return pa.table({name: _with_nulls(values) for name, values in columns.items()})

    def _of_majority(self, facts: ParcelFacts) -> dict[str, Any]:
        share = np.take_along_axis(facts.shares, np.maximum(facts.majority, 0)[:, None], 1)[:, 0]
        return {**self._named("class", "code", facts.majority), "class_share": share}

    def _of_probabilities(self, facts: ParcelFacts) -> dict[str, Any]:
        if facts.probable is None or facts.probabilities is None:
            return {}
        named = self._named("probable_class", "probable_code", facts.probable)
        return named | self._each("probability", self.classes, facts.probabilities)

    def _named(self, name: str, code: str, found: NDArray[np.intp]) -> dict[str, Any]:
        """Names and codes of classes, null where there is none."""
        import pyarrow as pa

        names = [None if k == NO_CLASS else self.classes[k][1] for k in found.tolist()]
        codes = [None if k == NO_CLASS else self.classes[k][0] for k in found.tolist()]
        return {name: pa.array(names, pa.string()), code: pa.array(codes, pa.int32())}

    def _each(
        self, prefix: str, entries: Sequence[tuple[int, str]], values: NDArray[np.float64]
    ) -> dict[str, Any]:
        """A column for each class, `share_maize`; classes whose names are alike get their code too."""
        slugs = [LegendEntry(code, name, "#000000").slug.replace("-", "_") for code, name in entries]
        names = [
            f"{prefix}_{slug}" if slugs.count(slug) == 1 else f"{prefix}_{slug}_{code}"
            for slug, (code, _) in zip(slugs, entries, strict=True)
        ]
        return {name: values[:, index] for index, name in enumerate(names)}


def _of_declared(batch: ParcelBatch, facts: ParcelFacts, declared: NDArray[np.intp]) -> dict[str, Any]:
    """The declared label, and whether the class is the same; null where one of them is missing."""
    import pyarrow as pa

    pairs = zip(declared.tolist(), facts.majority.tolist(), strict=True)
    same = [None if NO_CLASS in pair else pair[0] == pair[1] for pair in pairs]
    return {"declared": pa.array(batch.declared, pa.string()), "agrees": pa.array(same, pa.bool_())}


def _with_nulls(values: Any) -> Any:
    """An Arrow array: what is not a number is null."""
    import pyarrow as pa

    return pa.array(values, mask=np.isnan(values)) if isinstance(values, np.ndarray) else values


class FieldTables:
    """Both files, to which tables are added."""

    def __init__(self, folder: Path, crs: pyproj.CRS) -> None:
        """Open nothing yet.

        Args:
            folder: Folder that gets the files.
            crs: CRS of the geometries.
        """
        self._folder, self._crs = folder, crs
        self._stack = ExitStack()
        self._parquet: Any = None

    def __enter__(self) -> FieldTables:
        return self

    def __exit__(self, *raised: object) -> None:
        with _room_in(self._folder):  # the end of a file is written when it is closed
            self._stack.close()

    def add(self, table: Any) -> None:
        """Write the rows of a table behind those that are there.

        Raises:
            DiskFullError: The disk has no room.
        """
        import pyarrow.parquet as pq  # type: ignore[import-untyped]

        with _room_in(self._folder):
            if self._parquet is None:
                schema = table.schema.with_metadata({"geo": json.dumps(_geo(self._crs))})
                writer = pq.ParquetWriter(self._folder / PARQUET, schema, compression="zstd")
                self._parquet = self._stack.enter_context(writer)
            self._parquet.write_table(table.cast(self._parquet.schema))
            self._add_to_geopackage(table)

    def _add_to_geopackage(self, table: Any) -> None:
        from pyogrio.raw import write_arrow

        path = self._folder / GEOPACKAGE
        write_arrow(
            table,
            path,
            layer=_LAYER,
            driver="GPKG",
            geometry_name=_GEOMETRY,
            geometry_type="Unknown",
            crs=_gdal_crs(self._crs),
            append=path.exists(),
        )


@contextmanager
def _room_in(folder: Path) -> Iterator[None]:
    """Say what to do where a file in a folder cannot be written."""
    from pyogrio.errors import DataLayerError, DataSourceError

    try:
        yield
    except (OSError, DataLayerError, DataSourceError) as error:
        raise DiskFullError(
            f"The fields cannot be written to {folder.parent}: {str(error).rstrip('.')}. Free some space and "
            "run the same command again."
        ) from error


def _gdal_crs(crs: pyproj.CRS) -> str:
    name = name_crs(crs)
    return name if name.startswith("EPSG:") else crs.to_wkt()


def _geo(crs: pyproj.CRS) -> dict[str, Any]:
    """What GeoParquet 1.0.0 asks for."""
    column = {"encoding": "WKB", "geometry_types": [], "crs": crs.to_json_dict()}
    return {"version": "1.0.0", "primary_column": _GEOMETRY, "columns": {_GEOMETRY: column}}
