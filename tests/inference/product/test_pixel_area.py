import numpy as np
import pyproj
import pytest
from affine import Affine
from odc.geo.geobox import GeoBox

from gee_pipeline.grid import Grid
from inference.product.pixel_area import cell_pixel_area, cell_pixel_areas

CRS = [
    ("EPSG:32633", 300_000, 5_300_000),  # UTM, 200 km west of its central meridian
    ("EPSG:32733", 500_000, 6_200_000),  # UTM south, on its central meridian
    ("EPSG:3035", 4_600_000, 2_700_000),  # equal-area: exactly 100 m² everywhere
    ("EPSG:3857", 1_400_000, 6_100_000),  # Web Mercator: less than half of 100 m² in mid latitudes
    ("EPSG:32760", 818_170, 8_119_280),  # its middle lies on the antimeridian
]


def geodesic_area(geobox: GeoBox) -> float:
    """The oracle: the cell's outline with a vertex a pixel, as a geodesic polygon."""
    outline = np.asarray(geobox.extent.geom.segmentize(10).exterior.coords)
    to_lonlat = pyproj.Transformer.from_crs(str(geobox.crs), "EPSG:4326", always_xy=True)
    lon, lat = to_lonlat.transform(outline[:, 0], outline[:, 1])
    area, _ = pyproj.Geod(ellps="WGS84").polygon_area_perimeter(lon, lat)
    return abs(area)


@pytest.mark.parametrize(("crs", "left", "top"), CRS)
def test_a_pixel_covers_its_geodesic_area(crs: str, left: float, top: float) -> None:
    cell = GeoBox((256, 256), Affine(10, 0, left, 0, -10, top), crs)
    assert cell_pixel_area(cell) == pytest.approx(geodesic_area(cell) / 256**2, rel=2e-6)


@pytest.mark.parametrize(("crs", "left", "top"), CRS)
def test_many_cells_at_once_equal_one_at_a_time(crs: str, left: float, top: float) -> None:
    grid = Grid(GeoBox((1024, 768), Affine(10, 0, left, 0, -10, top), crs), 256)
    cells = np.array([[0, 0], [3, 2], [1, 1]], np.int32)
    expected = [cell_pixel_area(cell.geobox) for cell in grid.cells(cells)]
    assert cell_pixel_areas(grid, cells) == pytest.approx(expected)


def test_an_equal_area_crs_has_pixels_of_100_square_metres() -> None:
    cell = GeoBox((256, 256), Affine(10, 0, 3_000_000, 0, -10, 1_600_000), "EPSG:3035")
    assert cell_pixel_area(cell) == pytest.approx(100, rel=1e-7)
