import numpy as np
import pytest
import rasterio
from affine import Affine

from benchmarks.forest_way import east_of, west_of, with_true_labels

pytestmark = pytest.mark.slow

GRID = Affine(10, 0, 700_000, 0, -10, 3_905_000)


def write_fields(path, codes):
    profile = {"driver": "GTiff", "dtype": "uint8", "count": 1, "crs": "EPSG:32615", "transform": GRID}
    with rasterio.open(path, "w", height=codes.shape[0], width=codes.shape[1], **profile) as file:
        file.write(codes, 1)
    return path


def test_the_halves_of_an_area_share_no_pixel(tmp_path):
    fields = write_fields(tmp_path / "fields.tif", np.ones((20, 40), np.uint8))
    corners = [(0, 0), (400, 0), (400, -200), (0, -200), (0, 0)]
    ring = [[700_000 + x, 3_905_000 + y] for x, y in corners]
    lon, lat = rasterio.warp.transform("EPSG:32615", "EPSG:4326", *zip(*ring, strict=True))
    area = tmp_path / "area.geojson"
    polygon = f'{{"type": "Polygon", "coordinates": [{[list(p) for p in zip(lon, lat, strict=True)]}]}}'
    area.write_text(polygon, encoding="utf-8")
    east = east_of(fields, west_of(area, tmp_path / "west.geojson"), tmp_path / "east.tif")
    with rasterio.open(east) as file:
        kept = file.read(1) > 0
    assert not kept[:, :18].any()
    assert kept[:, 22:].all()


def test_true_labels_stand_at_the_places_of_the_samples(tmp_path):
    codes = np.zeros((2, 3), np.uint8)
    codes[0] = 1, 5, 0
    fields = write_fields(tmp_path / "fields.tif", codes)
    x, y = [700_005, 700_015, 700_025], [3_904_995] * 3
    lon, lat = rasterio.warp.transform("EPSG:32615", "EPSG:4326", x, y)
    series = np.arange(3)
    np.savez(
        tmp_path / "pseudo.npz",
        fea=series,
        observed=series,
        lon=lon,
        lat=lat,
        lbl=["rice"] * 3,
        metadata="{}",
    )
    with_true_labels(tmp_path / "pseudo.npz", fields, tmp_path / "true.npz")
    with np.load(tmp_path / "true.npz") as file:
        assert file["lbl"].tolist() == ["corn", "other"]  # the third has no field
        assert file["fea"].tolist() == [0, 1]
        assert "metadata" not in file
