"""All composites of a run as one virtual raster, which GDAL, QGIS and terra open like a single file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from xml.sax.saxutils import escape, quoteattr

from numpy.typing import NDArray

from gee_pipeline.bands import NODATA, TRUE_COLOR
from gee_pipeline.files import write_bytes
from gee_pipeline.grid import Cell, Grid
from gee_pipeline.recipe import Recipe
from gee_pipeline.season import Season
from gee_pipeline.store import BLOCK, StoredBins, band_days, composite_path, stored_bins, true_colors
from inference.product.qgis_style import true_color_style

VRT: Final = "composites.vrt"
"""Name of the virtual raster beside the composites."""

MOST_SOURCES: Final = 150_000
"""Bands of cells that a virtual raster should list at most: some 50 MB of text, read at each opening."""


@dataclass(frozen=True)
class CompositesVrt:
    """The virtual raster of a run's composites: their bands with names, days, scale, nodata and colours."""

    folder: Path
    """Folder of the run."""
    grid: Grid
    """Its grid."""
    cells: NDArray[Any]
    """Rows and columns `(n, 2)` of its cells."""
    recipe: Recipe
    """How the composites were made."""
    season: Season
    """Which days the bins mean."""
    bins: range
    """Bins of the run; files may hold more."""

    @property
    def path(self) -> Path:
        """Where the virtual raster stands."""
        return self.folder / "composites" / VRT

    @property
    def sources(self) -> int:
        """How many bands of cells it lists."""
        return len(self.cells) * len(self.bins) * len(self.recipe.bands)

    def write(self) -> None:
        """Write it anew; cells whose composite was deleted are left out, and of none no file is made.

        Red, green and blue are of the bin that most files show, also in the style beside it. The pixels stay
        in the files of the cells. Format: https://gdal.org/en/stable/drivers/raster/vrt.html

        Raises:
            CorruptFileError: A composite is damaged.
            DiskFullError: The disk has no room.
        """
        self.remove()  # a former one would show files that are not there
        paths = ((cell, composite_path(self.folder, cell)) for cell in self.grid.cells(self.cells))
        stored = [(cell, stored_bins(path)) for cell, path in paths if path.is_file()]
        if not stored:
            return
        shown = self._shown([bins for _, bins in stored])
        write_bytes(self.path, "".join(self._lines(stored, shown)).encode())
        if true_colors(self.recipe):
            first = self.bins.index(shown) * len(self.recipe.bands) + 1
            red, green, blue = (first + self.recipe.bands.index(band) for band in TRUE_COLOR)
            write_bytes(self.path.with_suffix(".qml"), true_color_style((red, green, blue)))

    def remove(self) -> None:
        """Delete a former one and its style."""
        for path in (self.path, self.path.with_suffix(".qml")):
            path.unlink(missing_ok=True)

    def _lines(self, stored: list[tuple[Cell, StoredBins]], shown: int) -> Iterator[str]:
        box = self.grid.map_box
        height, width = box.shape
        yield f'<VRTDataset rasterXSize="{width}" rasterYSize="{height}">\n'
        yield f"<SRS>{escape(str(box.crs))}</SRS>\n"
        yield f"<GeoTransform>{', '.join(map(repr, box.transform.to_gdal()))}</GeoTransform>\n"
        days = band_days(self.recipe, self.season, self.bins)
        for place, index in enumerate(self.bins):
            colors = true_colors(self.recipe) if index == shown else {}
            for band, (name, scale) in enumerate(zip(self.recipe.bands, self.recipe.scales, strict=True)):
                number = place * len(self.recipe.bands) + band
                yield f'<VRTRasterBand dataType="Int16" band="{number + 1}">\n'
                yield from _items("Metadata", days[number])
                yield f"<Description>{escape(f'{name}_{index}')}</Description>\n"
                yield f"<NoDataValue>{NODATA}</NoDataValue><Scale>{1 / scale!r}</Scale>\n"
                if name in colors:
                    yield f"<ColorInterp>{colors[name].name.capitalize()}</ColorInterp>\n"
                for cell, bins in stored:
                    yield self._source(cell, (index - bins.bins.start) * len(self.recipe.bands) + band + 1)
                yield "</VRTRasterBand>\n"
        yield "</VRTDataset>\n"

    def _shown(self, stored: list[StoredBins]) -> int:
        """The bin that most files show; files of version 0.1.0 show none."""
        shown = (bins.shown for bins in stored if bins.shown is not None)
        found = Counter(index for index in shown if index in self.bins).most_common(1)
        return found[0][0] if found else self.bins[len(self.bins) // 2]

    def _source(self, cell: Cell, band: int) -> str:
        """A band of a cell, up to the end of the map."""
        side = self.grid.cell_size
        left, top = cell.col * side, cell.row * side
        height, width = self.grid.map_box.shape
        size = f'xSize="{min(side, width - left)}" ySize="{min(side, height - top)}"'
        return (
            f'<SimpleSource><SourceFilename relativeToVRT="1">{cell.name}.tif</SourceFilename>'
            f"<SourceBand>{band}</SourceBand>"
            f'<SourceProperties RasterXSize="{side}" RasterYSize="{side}" DataType="Int16" '
            f'BlockXSize="{BLOCK}" BlockYSize="{BLOCK}"/>'
            f'<SrcRect xOff="0" yOff="0" {size}/>'
            f'<DstRect xOff="{left}" yOff="{top}" {size}/></SimpleSource>\n'
        )


def _items(tag: str, items: dict[str, str]) -> Iterator[str]:
    yield f"<{tag}>\n"
    for key, value in items.items():
        yield f"<MDI key={quoteattr(key)}>{escape(value)}</MDI>\n"
    yield f"</{tag}>\n"
