"""Rasters and polygons on this machine beside the same on an emulated Earth Engine, and a plain look."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pytest
import shapely

from gee_pipeline.aoi import read_aoi
from gee_pipeline.errors import CorruptFileError, InputError, MismatchError
from gee_pipeline.recipe import Recipe
from tests.support.ee_emulator.archive import Archive
from tests.support.ee_emulator.server import Emulator
from tests.support.ee_emulator.values import Collection, Feature, Geometry
from tests.support.sample_place import Land, quick_series
from tests.training.sampling.test_field_samples import settings_of
from training.sampling.field_samples import take_samples
from training.sampling.plan import SampleRequest
from training.sampling.reference import parcel_labels
from training.sampling.reference.known_maps import known_maps
from training.sampling.reference.reference_maps import ParcelsFile
from training.sampling.squares.rule import SamplingRule

SHORT = Recipe.of(bands=("B4", "B11"), bin_days=73, min_clear_bins=1)
RULE = SamplingRule(grid=0.01, per_cell=4, buffer=20)
CODES = {1: "MIS", 5: "SOJ", 24: "BTH", 36: "LUZ", 111: "PPH", 176: "J5M"}
CLASS = {"MIS": 0, "SOJ": 1, "BTH": 3, "LUZ": 6}
TABLE = "projects/crop-maps/assets/parcels"


@pytest.fixture(scope="module")
def land() -> Land:
    return Land()


@pytest.fixture(scope="module")
def server(land: Land) -> Iterator[Emulator]:
    with Emulator(land.archive) as emulator:
        yield emulator
        assert emulator.errors == []


@pytest.fixture
def draw(server: Emulator, land: Land, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Draws samples from a map; the series are made up by the servers."""
    quick_series(monkeypatch)

    def take(reference: str, out: str = "samples.npz", **changes: Any) -> dict[str, np.ndarray]:
        values = {"rule": RULE, "recipe": SHORT, "settings": settings_of(server, tmp_path), **changes}
        request = SampleRequest(land.area(tmp_path), 2021, reference, tmp_path / out, **values)
        take_samples(request)
        with np.load(request.out) as file:
            return {key: file[key] for key in file.files}

    return take


def same(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> None:
    for key in ("fea", "lbl", "lon", "lat", "value"):
        np.testing.assert_array_equal(one[key], other[key])
    assert len(one["lbl"]) > 12


def upload(server: Emulator, parcels: geopandas.GeoDataFrame, numbers: bool = False) -> None:
    lonlat = parcels.to_crs("EPSG:4326")
    features = tuple(
        Feature(Geometry(shape, geodesic=True), {"crop": float(code) if numbers else code})
        for shape, code in zip(lonlat.geometry, lonlat["code"], strict=True)
    )
    server.assets.put(TABLE, Collection(features))


def test_a_raster_here_gives_the_samples_of_the_same_image_there(
    draw: Any, land: Land, tmp_path: Path
) -> None:
    there = draw("cdl", "there.npz")
    here = draw("cdl", "here.npz", reference_at=str(land.raster(tmp_path / "cdl.tif")))
    same(here, there)


def test_a_lattice_of_several_blocks_gives_the_same(
    draw: Any, land: Land, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = str(land.raster(tmp_path / "cdl.tif"))
    whole = draw("cdl", "whole.npz", reference_at=path)
    monkeypatch.setattr("training.sampling.reference.square_labels.BLOCK", 50)
    same(draw("cdl", "parts.npz", reference_at=path), whole)


@pytest.mark.parametrize("suffix", [".gpkg", ".shp", ".geojson", ".parquet", ".fgb"])
def test_polygons_here_give_the_samples_of_the_same_table_there(
    suffix: str, draw: Any, land: Land, server: Emulator, tmp_path: Path
) -> None:
    parcels = land.parcels(CODES)
    upload(server, parcels)
    path = tmp_path / f"rpg{suffix}"
    stored = parcels.to_crs("EPSG:4326") if suffix == ".geojson" else parcels
    stored.to_parquet(path) if suffix == ".parquet" else stored.to_file(path)
    here = draw("rpg", "here.npz", reference_at=str(path), code_column="code")
    there = draw("rpg", "there.npz", reference_at=f"table:{TABLE}", code_column="crop")
    same(here, there)
    assert set(here["value"]) == set(CLASS)
    assert here["lbl"].tolist() == [CLASS[value] for value in here["value"].tolist()]
    rows = zip(here["lon"], here["lat"], here["value"], strict=True)
    assert all(CODES[int(land.map[land.pixel(lon, lat, 30)])] == value for lon, lat, value in rows)


def test_numbers_of_a_table_are_whole_numbers(
    draw: Any, land: Land, server: Emulator, tmp_path: Path
) -> None:
    """Earth Engine stores most of them with a point."""
    parcels = land.parcels({1: "259", 5: "665", 24: "233", 36: "256", 111: "265", 176: "335"})
    upload(server, parcels, numbers=True)
    found = draw("brp", reference_at=f"table:{TABLE}", code_column="crop")
    assert set(found["value"]) == {"259", "665", "233", "256"}


def test_land_that_two_classes_claim_has_none(
    draw: Any, land: Land, server: Emulator, tmp_path: Path
) -> None:
    parcels = land.parcels(CODES)
    claimed = parcels.iloc[[0]].assign(code="MIS", geometry=[shapely.box(*parcels.total_bounds)])
    twice = geopandas.GeoDataFrame(geopandas.pd.concat([parcels, claimed]), crs=parcels.crs)
    upload(server, twice)
    twice.to_file(tmp_path / "twice.gpkg")
    here = draw("rpg", "here.npz", reference_at=str(tmp_path / "twice.gpkg"), code_column="code")
    same(here, draw("rpg", "there.npz", reference_at=f"table:{TABLE}", code_column="crop"))
    assert set(here["lbl"]) == {0}  # corn that corn claims again stays corn


def test_a_file_that_changed_before_the_first_square_is_read_again(
    land: Land, tmp_path: Path, draw: Any
) -> None:
    """What was copied of the former one is not taken for it."""
    path = tmp_path / "p.parquet"
    land.parcels(CODES).to_parquet(path)
    aoi = read_aoi(land.area(tmp_path))
    parts = tmp_path / "samples.npz.parts"
    place = ParcelsFile(path, "code")
    parcel_labels.ParcelLabels(place, known_maps()["rpg"].table, aoi, parts).require()
    land.parcels(dict.fromkeys(CODES, "MIS")).to_parquet(path)
    assert set(draw("rpg", reference_at=str(path), code_column="code")["value"]) == {"MIS"}


def test_numbers_in_a_column_with_empty_cells_are_whole(draw: Any, land: Land, tmp_path: Path) -> None:
    numbers = {1: 259.0, 5: 665.0, 24: 233.0, 36: 256.0, 111: 265.0, 176: np.nan}
    parcels = land.parcels(CODES)
    parcels["code"] = [numbers[{v: k for k, v in CODES.items()}[code]] for code in parcels["code"]]
    parcels.to_file(tmp_path / "brp.gpkg")
    found = draw("brp", reference_at=str(tmp_path / "brp.gpkg"), code_column="code")
    assert set(found["value"]) == {"259", "665", "233", "256"}
    assert found["lbl"].tolist() == [{"259": 0, "665": 1, "233": 3, "256": 6}[v] for v in found["value"]]


def test_values_in_no_class_are_counted_by_their_codes(draw: Any, land: Land, tmp_path: Path) -> None:
    land.parcels(CODES).to_file(tmp_path / "rpg.gpkg")
    found = draw("rpg", reference_at=str(tmp_path / "rpg.gpkg"), code_column="code")
    assert '"left_out": {"' in str(found["metadata"])
    assert '"PPH": ' in str(found["metadata"])


def test_parcels_without_an_index_are_copied_once_and_only_those_around(
    land: Land, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parcels = land.parcels(CODES)
    parcels.to_parquet(tmp_path / "p.parquet")
    monkeypatch.setattr("gee_pipeline.vectors.parcels.BATCH", 7)
    aoi = read_aoi(land.area(tmp_path))
    place = ParcelsFile(tmp_path / "p.parquet", "code")
    labels = parcel_labels.ParcelLabels(place, known_maps()["rpg"].table, aoi, tmp_path / "parts")
    labels.require()
    [copy] = (tmp_path / "parts").glob("*.gpkg")
    copied = geopandas.read_file(copy)
    assert copied.crs == parcels.crs
    west, south, east, north = aoi.lonlat.bounds
    inner = parcels.to_crs("EPSG:4326").cx[west - 0.009 : east + 0.009, south - 0.009 : north + 0.009]
    assert len(inner) <= len(copied) < len(parcels)  # a hundredth of a degree around, in the CRS of the file
    assert set(inner["code"]) == set(copied["code"])
    assert not copied.geometry.duplicated().any()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda land, path: land.raster(path / "r.tif", nodata=1), r"1 is no data.*is corn.*-unsetnodata"),
        (lambda land, path: land.raster(path / "r.tif", land.map / 2 + 0.25), "whole numbers"),
        (lambda land, path: Land(lon=-92.25).raster(path / "r.tif"), "does not overlap the area"),
    ],
)
def test_a_raster_that_cannot_be_used_is_refused(
    make: Any, message: str, draw: Any, land: Land, tmp_path: Path
) -> None:
    path = make(land, tmp_path)
    with pytest.raises(InputError, match=message):
        draw("cdl", reference_at=str(path))
    assert not (tmp_path / "samples.npz").exists()


def test_a_file_that_is_no_raster_is_called_so(draw: Any, tmp_path: Path) -> None:
    (tmp_path / "r.tif").write_text("no raster")
    with pytest.raises(CorruptFileError, match="cannot be read as a raster"):
        draw("cdl", reference_at=str(tmp_path / "r.tif"))


def test_texts_are_for_polygons(draw: Any, land: Land, tmp_path: Path) -> None:
    path = str(land.raster(tmp_path / "r.tif"))
    with pytest.raises(InputError, match="whole numbers of up to"):
        draw(path, classes_table=Path("rpg"))
    with pytest.raises(InputError, match="whole numbers of up to"):
        draw("asset:USDA/NASS/CDL/2021", classes_table=Path("rpg"))


def test_all_the_rest_is_other_here_and_there(draw: Any, land: Land, tmp_path: Path) -> None:
    table = tmp_path / "table.toml"
    table.write_text('left_out = [176]\n[classes]\ncorn = [1]\nother = "*"')
    there = draw("asset:USDA/NASS/CDL/2021", "there.npz", classes_table=table)
    here = draw(str(land.raster(tmp_path / "r.tif")), "here.npz", classes_table=table)
    same(here, there)
    assert set(here["value"]) == {1, 5, 24, 36, 111}
    assert {(int(v), int(lbl)) for v, lbl in zip(here["value"], here["lbl"], strict=True)} == {
        (1, 0), (5, 6), (24, 6), (36, 6), (111, 6),
    }  # fmt: skip


def test_cropland_completes_a_map_here_as_there(draw: Any, land: Land, tmp_path: Path) -> None:
    """Where the map has no class, WorldCover decides; here it is a raster."""
    cover = Land(values=(40, 10), asset="ESA/WorldCover/v200/2021", band="Map", seed=9)
    table = tmp_path / "table.toml"
    table.write_text('cropland_outside = "worldcover"\n[classes]\nsoybeans = [5]')
    worldcover = cover.raster(tmp_path / "worldcover.tif")
    mask = f"{worldcover}:40"
    reference = str(land.raster(tmp_path / "r.tif"))
    here = draw(reference, "here.npz", classes_table=table, cropland_mask=mask)
    images = [*land.archive, *(image for image in cover.archive if image.id.startswith("ESA"))]
    (tmp_path / "both").mkdir()
    with Emulator(Archive(images)) as both:
        settings = settings_of(both, tmp_path / "both")
        there = draw("asset:USDA/NASS/CDL/2021", "there.npz", classes_table=table, settings=settings)
    same(here, there)
    assert set(here["lbl"]) == {1, 6}
    with pytest.raises(InputError, match=r"--cropland-mask worldcover.tif:40"):
        draw(reference, "none.npz", classes_table=table)
    with pytest.raises(InputError, match="does not ask for"):
        draw(reference, "both.npz", classes_table=Path("cdl"), cropland_mask=mask)


def test_samples_of_another_file_do_not_continue(draw: Any, land: Land, tmp_path: Path) -> None:
    path = land.raster(tmp_path / "r.tif")
    draw("cdl", reference_at=str(path))
    land.raster(path, land.map[::-1].copy())
    with pytest.raises(MismatchError, match=r"samples of another request.*modified"):
        draw("cdl", reference_at=str(path))


def test_large_polygons_bend_as_the_projection_does(land: Land, tmp_path: Path) -> None:
    """A border along a parallel, of polygons 25 degrees wide: each point by its own latitude."""
    from training.sampling.squares.grid import cells_touching, lattice_points

    halves = geopandas.GeoDataFrame(
        {"code": ["MIS", "SOJ"]},
        geometry=[shapely.box(-110, 30, -85, land.lat), shapely.box(-110, land.lat, -85, 40)],
        crs="EPSG:4326",
    )
    halves.to_file(tmp_path / "halves.gpkg")
    aoi = read_aoi(land.area(tmp_path))
    place = ParcelsFile(tmp_path / "halves.gpkg", "code")
    labels = parcel_labels.ParcelLabels(place, known_maps()["rpg"].table, aoi, tmp_path)
    seen = set()
    for cell in cells_touching(aoi.lonlat, RULE):
        points = lattice_points(cell, aoi.lonlat, RULE)
        found = labels.read(cell, RULE.spacing, 0).values[points.allowed]
        away = np.abs(points.lat[points.allowed] - land.lat) > 1e-4  # ten metres
        expected = np.where(points.lat[points.allowed] < land.lat, "MIS", "SOJ")
        np.testing.assert_array_equal(found[away], expected[away])
        seen |= set(found)
    assert seen == {"MIS", "SOJ"}


def test_lines_and_cells_without_a_number_are_no_land(draw: Any, land: Land, tmp_path: Path) -> None:
    parcels = land.parcels(CODES)
    lines = parcels.assign(geometry=parcels.geometry.boundary, code="SOJ")
    both = geopandas.GeoDataFrame(geopandas.pd.concat([parcels, lines]), crs=parcels.crs)
    both.to_file(tmp_path / "lines.gpkg")
    parcels.to_file(tmp_path / "plain.gpkg")
    options = {"code_column": "code"}
    plain = draw("rpg", "plain.npz", reference_at=str(tmp_path / "plain.gpkg"), **options)
    same(draw("rpg", "lines.npz", reference_at=str(tmp_path / "lines.gpkg"), **options), plain)


def test_a_number_that_is_none_is_no_code(draw: Any, land: Land, tmp_path: Path) -> None:
    """GeoParquet keeps it, where a GeoPackage has an empty cell."""
    numbers = {"MIS": 259.0, "SOJ": 665.0, "BTH": 233.0, "LUZ": 256.0, "PPH": 265.0, "J5M": np.nan}
    parcels = land.parcels(CODES)
    parcels["code"] = [numbers[code] for code in parcels["code"]]
    parcels.to_parquet(tmp_path / "brp.parquet")
    found = draw("brp", reference_at=str(tmp_path / "brp.parquet"), code_column="code")
    assert set(found["value"]) == {"259", "665", "233", "256"}


def test_the_codes_of_a_shapefile_belong_to_it(draw: Any, land: Land, tmp_path: Path) -> None:
    land.parcels(CODES).to_file(tmp_path / "p.shp")
    options = {"reference_at": str(tmp_path / "p.shp"), "code_column": "code"}
    draw("rpg", **options)
    (tmp_path / "other").mkdir()
    land.parcels(dict.fromkeys(CODES, "MIS")).to_file(tmp_path / "other" / "p.shp")
    (tmp_path / "p.dbf").write_bytes((tmp_path / "other" / "p.dbf").read_bytes())
    with pytest.raises(MismatchError, match="samples of another request"):
        draw("rpg", **options)


def test_a_raster_of_several_bands_is_refused(draw: Any, land: Land, tmp_path: Path) -> None:
    path = land.raster(tmp_path / "one.tif")
    import rasterio

    with (
        rasterio.open(path) as one,
        rasterio.open(tmp_path / "two.tif", "w", **{**one.profile, "count": 2}) as two,
    ):
        two.write(np.stack([one.read(1)] * 2))
    with pytest.raises(InputError, match="has 2 bands"):
        draw("cdl", reference_at=str(tmp_path / "two.tif"))
