"""Parcels on a map: fractions, majorities and means, against geometry computed pixel by pixel."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pytest
import rasterio.features
import shapely
from affine import Affine
from pyogrio.errors import DataLayerError

from assessment.fields.fields import FieldsRequest, make_fields
from gee_pipeline.errors import DiskFullError, InputError
from tests.support.assessed_map import (
    CRS,
    NAMES,
    NORTH,
    SIDE,
    WEST,
    AssessedPlace,
    write_map,
    write_raster,
)

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning:pyogrio")

CODES = (1, 2, 3)


def tilted(count: int, seed: int = 1) -> list[shapely.Polygon]:
    """Triangles of many sizes on the map, some across its edge."""
    rng = np.random.default_rng(seed)
    middle = rng.uniform((WEST, NORTH - 900), (WEST + 1200, NORTH), (count, 2))
    corners = middle[:, None] + rng.normal(0, 60, (count, 3, 2))
    return [shapely.Polygon(ring) for ring in corners]


def write_parcels(path: Path, polygons: list[Any], crs: Any = CRS, **columns: Any) -> Path:
    frame = geopandas.GeoDataFrame(columns or {"n": range(len(polygons))}, geometry=polygons, crs=crs)
    frame.to_parquet(path) if path.suffix == ".parquet" else frame.to_file(path)
    return path


def fields_of(place: AssessedPlace, parcels: Path, **options: Any) -> geopandas.GeoDataFrame:
    found = make_fields(FieldsRequest(place.folder, parcels, **options))
    return geopandas.read_parquet(found.folder / "fields.parquet")


def by_geometry(place: AssessedPlace, polygon: shapely.Polygon) -> dict[str, Any]:
    """The same by intersecting every pixel's square with the polygon."""
    rows, cols = np.indices(place.codes.shape)
    west, north = WEST + SIDE * cols, NORTH - SIDE * rows
    squares = shapely.box(west, north - SIDE, west + SIDE, north)
    fraction = shapely.area(shapely.intersection(squares, polygon)) / SIDE**2
    pixels = {code: fraction[place.codes == code].sum() for code in CODES}
    valid = sum(pixels.values())
    if valid == 0:
        return {"valid": 0.0}
    sure = place.confidence != 255
    known = place.probabilities[0] != 255
    return {
        "pixels": valid,
        "valid": valid / (polygon.area / SIDE**2),
        "shares": [pixels[code] / valid for code in CODES],
        "class": min(CODES, key=lambda code: (-round(pixels[code], 4), code)),
        "confidence": (fraction * place.confidence)[sure].sum() / fraction[sure].sum(),
        "likely": [(fraction * band)[known].sum() / fraction[known].sum() for band in place.probabilities],
        "not_cropland": fraction[place.codes == 254].sum() / (polygon.area / SIDE**2),
    }


@pytest.mark.usefixtures("small_windows")
def test_parcels_are_what_their_pixels_squares_give(place: AssessedPlace, tmp_path: Path) -> None:
    polygons = tilted(16)
    found = fields_of(place, write_parcels(tmp_path / "p.gpkg", polygons))
    assert len(found) == 16
    for polygon, (_, row) in zip(polygons, found.iterrows(), strict=True):
        expected = by_geometry(place, polygon)
        if not expected["valid"]:
            assert row["valid_share"] == 0
            assert not isinstance(row["class"], str)
            continue
        assert row["pixels"] == pytest.approx(expected["pixels"], abs=1e-4)
        assert row["valid_share"] == pytest.approx(expected["valid"], abs=1e-5)
        shares = [row["share_wheat"], row["share_maize"], row["share_other"]]
        assert shares == pytest.approx(expected["shares"], abs=1e-5)
        assert (row["class"], row["code"]) == (NAMES[expected["class"]], expected["class"])
        assert row["class_share"] == pytest.approx(max(expected["shares"]), abs=1e-5)
        assert row["confidence"] == pytest.approx(expected["confidence"], abs=1e-4)
        likely = [row["probability_wheat"], row["probability_maize"], row["probability_other"]]
        assert likely == pytest.approx(expected["likely"], abs=1e-4)
        assert row["probable_code"] == 1 + int(np.argmax(expected["likely"]))
        assert row["unmapped_not_cropland"] == pytest.approx(expected["not_cropland"], abs=1e-5)


def test_the_published_square_on_nine_pixels(tmp_path: Path) -> None:
    """exactextract's own test: corner pixels to a quarter, edge pixels to a half."""
    values = np.arange(1, 10, dtype=np.uint8).reshape(3, 3)
    at = {"transform": Affine(1, 0, 0, 0, -1, 3)}
    tags = {f"CLASS_{code}": f"c{code}" for code in range(1, 10)}
    write_raster(tmp_path / "map" / "crop_map.tif", values[None], 0, tags, **at)
    write_raster(tmp_path / "map" / "confidence.tif", values[None], 255, **at)
    square = write_parcels(tmp_path / "p.gpkg", [shapely.box(0.5, 0.5, 2.5, 2.5)])
    found = make_fields(FieldsRequest(tmp_path / "map" / "crop_map.tif", square, out=tmp_path / "f"))
    row = geopandas.read_parquet(found.folder / "fields.parquet").iloc[0]
    assert (row["class"], row["pixels"], row["confidence"], row["valid_share"]) == ("c5", 4, 5, 1)
    assert [row[f"share_c{code}"] for code in (1, 2, 5, 9)] == [0.25 / 4, 0.5 / 4, 1 / 4, 0.25 / 4]


def test_of_equal_classes_the_lower_code_is_taken(place: AssessedPlace, tmp_path: Path) -> None:
    place.codes[:1, :4] = (3, 2, 2, 3)
    write_map(place)
    box = shapely.box(WEST, NORTH - 10, WEST + 40, NORTH)
    found = fields_of(place, write_parcels(tmp_path / "p.gpkg", [box]))
    assert (found["class"][0], found["class_share"][0]) == ("maize", 0.5)


def test_a_parcel_without_a_class_has_none(place: AssessedPlace, tmp_path: Path) -> None:
    place.codes[:2, :2], place.codes[:2, 2:4] = 255, 254
    write_map(place)
    boxes = [
        shapely.box(WEST, NORTH - 20, WEST + 20, NORTH),  # not enough observations
        shapely.box(WEST + 20, NORTH - 20, WEST + 40, NORTH),  # not cropland
        shapely.box(WEST + 1110, NORTH - 20, WEST + 1130, NORTH),  # outside the area
        shapely.box(WEST - 900, NORTH - 20, WEST - 800, NORTH),  # outside the raster
        shapely.box(WEST + 200, NORTH - 300, WEST + 400, NORTH - 100),
    ]
    request = FieldsRequest(place.folder, write_parcels(tmp_path / "p.gpkg", boxes))
    made = make_fields(request)
    found = geopandas.read_parquet(made.folder / "fields.parquet")
    assert found["class"].isna().tolist() == [True, True, True, True, False]
    assert found["valid_share"].tolist()[:4] == [0, 0, 0, 0]
    assert found["share_wheat"].isna().tolist() == [True, True, True, True, False]
    assert (found["unmapped_not_enough_observations"][0], found["unmapped_not_cropland"][1]) == (1, 1)
    assert (made.parcels, made.without_class, made.outside) == (5, 4, 2)
    assert made.notices == ["2 of 5 parcels lie outside the area of the map."]
    made = make_fields(replace(request, inner_buffer=11.0))
    assert (made.outside, made.nothing_left) == (0, 4)
    assert "Of 4 of 5 parcels nothing is left" in made.notices[0]
    with pytest.raises(InputError, match="0 are outside of it, of 5 nothing is left"):
        make_fields(replace(request, inner_buffer=101.0))


def test_an_inner_buffer_leaves_the_border_out(place: AssessedPlace, tmp_path: Path) -> None:
    place.codes[10:20, 10:20] = 2
    place.codes[12:18, 12:18] = 1
    write_map(place)
    boxes = [
        shapely.box(WEST + 100, NORTH - 200, WEST + 200, NORTH - 100),
        shapely.box(WEST, NORTH - 30, WEST + 30, NORTH),  # nothing is left of it
    ]
    parcels = write_parcels(tmp_path / "p.gpkg", boxes)
    assert fields_of(place, parcels)["class"][0] == "maize"
    inner = fields_of(place, parcels, inner_buffer=20)
    assert (inner["class"][0], inner["pixels"][0]) == ("wheat", pytest.approx(36))
    assert (inner["class"].isna()[1], inner["pixels"][1]) == (True, 0)
    assert inner.geometry[0].equals(boxes[0])  # the parcel itself stays


def test_declared_classes_are_compared(place: AssessedPlace, tmp_path: Path) -> None:
    place.codes[:30, :110] = 1
    write_map(place)
    boxes = [shapely.box(WEST + 50 * i, NORTH - 50, WEST + 50 * i + 40, NORTH) for i in range(6)]
    boxes[5] = shapely.box(WEST + 1110, NORTH - 20, WEST + 1130, NORTH)
    declared = ["Wheat", " 1 ", "maize", "vineyard", None, "wheat"]
    parcels = write_parcels(tmp_path / "p.gpkg", boxes, crop=declared, key=list("abcdef"))
    made = make_fields(FieldsRequest(place.folder, parcels, id_column="key", declared_column="crop"))
    found = geopandas.read_parquet(made.folder / "fields.parquet")
    assert found["id"].tolist() == list("abcdef")
    assert found["agrees"].tolist() == [True, True, False, None, None, None]
    assert made.agreement is not None
    assert (made.agreement.compared, made.agreement.same) == (3, 2)
    assert made.agreement.table.tolist() == [[2, 0, 0, 1], [1, 0, 0, 0], [0, 0, 0, 0]]
    assert made.unknown_labels == Counter(vineyard=1)


@pytest.mark.parametrize("name", ["p.parquet", "p.geojson", "p.shp"])
def test_other_formats_and_crs_give_the_same(
    place: AssessedPlace, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    polygons = tilted(30)
    plain = fields_of(place, write_parcels(tmp_path / "plain.gpkg", polygons))
    moved = geopandas.GeoSeries(polygons, crs=CRS).to_crs("EPSG:4326").tolist()
    monkeypatch.setattr("gee_pipeline.vectors.parcels.BATCH", 7)
    found = fields_of(place, write_parcels(tmp_path / name, moved, "EPSG:4326"))
    assert found.crs.to_epsg() == 4326
    assert found["id"].tolist() == list(range(1, 31))
    assert found["class"].tolist() == plain["class"].tolist()
    assert found["pixels"].tolist() == pytest.approx(plain["pixels"].tolist(), abs=1e-3)


def test_the_geopackage_says_the_same(place: AssessedPlace, tmp_path: Path) -> None:
    table = fields_of(place, write_parcels(tmp_path / "p.gpkg", tilted(20)))
    package = geopandas.read_file(place.folder / "fields" / "fields.gpkg")
    assert package["class"].fillna("").tolist() == table["class"].fillna("").tolist()
    assert package["pixels"].tolist() == table["pixels"].tolist()
    assert package.geometry.geom_equals(table.geometry).all()
    assert package.crs == table.crs


@pytest.mark.usefixtures("small_windows")
def test_a_map_without_parcels_is_cut_into_its_own_parts(place: AssessedPlace) -> None:
    place.codes[20:70, 10:100] = 2  # a part across windows, with holes
    place.codes[40:50, 30:60] = 1
    write_map(place)
    made = make_fields(FieldsRequest(place.folder))
    found = geopandas.read_parquet(made.folder / "fields.parquet")
    transform = Affine(SIDE, 0, WEST, 0, -SIDE, NORTH)
    mask = np.isin(place.codes, CODES)
    whole = rasterio.features.shapes(place.codes, mask, connectivity=4, transform=transform)
    expected = Counter((int(code), shapely.geometry.shape(one).normalize().wkb) for one, code in whole)
    codes = found["code"].tolist()
    merged = shapely.normalize(shapely.simplify(found.geometry.to_numpy(), 0))
    assert Counter((code, one.wkb) for code, one in zip(codes, merged, strict=True)) == expected
    assert (found["class_share"] == 1).all()
    assert found["pixels"].sum() == pytest.approx(mask.sum(), abs=1e-3)


def test_rows_are_streamed(place: AssessedPlace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Never more than a batch of polygons is in memory, and each window of the map is read once a batch."""
    monkeypatch.setattr("gee_pipeline.vectors.parcels.BATCH", 10)
    sizes, windows = [], []
    from assessment.fields.sums import ParcelSummer

    add_up, add_window = ParcelSummer.add_up, ParcelSummer._add_window

    def counted(self: Any, polygons: Any) -> Any:
        sizes.append(len(polygons))
        return add_up(self, polygons)

    def window(self: Any, *arguments: Any) -> None:
        windows.append(arguments[1])
        add_window(self, *arguments)

    monkeypatch.setattr(ParcelSummer, "add_up", counted)
    monkeypatch.setattr(ParcelSummer, "_add_window", window)
    fields_of(place, write_parcels(tmp_path / "p.gpkg", tilted(25)))
    assert (sizes, len(windows)) == ([10, 10, 5], 3)


BOX = shapely.box(WEST, NORTH - 50, WEST + 50, NORTH)
BOW = shapely.Polygon([(WEST, NORTH), (WEST + 50, NORTH - 50), (WEST + 50, NORTH), (WEST, NORTH - 50)])


@pytest.mark.parametrize(
    ("polygons", "columns", "options", "words"),
    [
        ([BOX], {}, {"id_column": "key"}, "have no column 'key'; they have n"),
        ([BOX, BOX], {"key": ["a", "a"]}, {"id_column": "key"}, "such as a in the rows 1, 2"),
        ([BOX, BOX], {"key": ["a", None]}, {"id_column": "key"}, "row 2 of"),
        ([BOX, BOW], {}, {}, "row 2 (id 2) is invalid (Self-intersection"),
        ([BOX, None], {}, {}, "row 2 (id 2) has no polygon"),
        ([BOX, shapely.Point(WEST, NORTH)], {}, {}, "a Point in place of a polygon"),
        ([shapely.box(0, 0, 9, 9)], {}, {}, "No parcel of"),
        (
            [BOX],
            {"crop": ["rye"]},
            {"declared_column": "crop"},
            "it has 'rye', the map has wheat, maize, other",
        ),
        ([BOX], {}, {"layer": "q"}, "have no layer 'q'; they have p"),
    ],
)
def test_bad_parcels_are_named_and_leave_nothing(
    place: AssessedPlace, tmp_path: Path, polygons: Any, columns: Any, options: Any, words: str
) -> None:
    before = sorted(place.folder.rglob("*"))
    parcels = write_parcels(tmp_path / "p.gpkg", polygons, **columns)
    with pytest.raises(InputError) as raised:
        make_fields(FieldsRequest(place.folder, parcels, **options))
    assert words in str(raised.value)
    assert sorted(place.folder.rglob("*")) == before


def test_parcels_without_a_crs_are_refused(place: AssessedPlace, tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="crs"):
        parcels = write_parcels(tmp_path / "p.gpkg", [BOX], None)
    with pytest.raises(InputError, match="have no CRS"):
        make_fields(FieldsRequest(place.folder, parcels))


def test_invalid_polygons_are_repaired_on_request(place: AssessedPlace, tmp_path: Path) -> None:
    parcels = write_parcels(tmp_path / "p.gpkg", [BOX, BOW, None])
    found = fields_of(place, parcels, repair=True)
    assert found["pixels"][1] / found["valid_share"][1] == pytest.approx(12.5, abs=1e-4)  # two triangles
    assert found["class"].isna().tolist() == [False, False, True]


def test_earlier_results_stay_when_new_parcels_are_bad(place: AssessedPlace, tmp_path: Path) -> None:
    good = FieldsRequest(place.folder, write_parcels(tmp_path / "p.gpkg", [BOX]))
    folder = make_fields(good).folder
    before = {path: path.read_bytes() for path in folder.iterdir()}
    far = write_parcels(tmp_path / "far.gpkg", [shapely.box(0, 0, 9, 9)])
    with pytest.raises(InputError):
        make_fields(replace(good, parcels=far))
    assert {path: path.read_bytes() for path in folder.iterdir()} == before


@pytest.mark.parametrize("place_of_fault", ["pyogrio.raw.write_arrow", "pyarrow.parquet.ParquetWriter.close"])
def test_a_full_disk_is_named_and_leaves_nothing(
    place: AssessedPlace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place_of_fault: str
) -> None:
    """GDAL says so in errors of layers, Arrow when a file is closed."""

    def full(*_: Any, **__: Any) -> None:
        raise DataLayerError("database or disk is full") if "raw" in place_of_fault else OSError("full")

    monkeypatch.setattr(place_of_fault, full)
    request = FieldsRequest(place.folder, write_parcels(tmp_path / "p.gpkg", [BOX]))
    with pytest.raises(DiskFullError, match=r"cannot be written to .*full\. Free some space"):
        make_fields(request)
    assert not request.folder.exists()
    assert not request.folder.with_name("fields.part").exists()
