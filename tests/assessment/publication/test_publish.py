"""A published folder: every statement in it is checked against the run it was made of, by other programs."""

from __future__ import annotations

import csv
import hashlib
import importlib.util
import json
import shutil
import subprocess
import zipfile
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import geopandas
import jsonschema
import numpy as np
import pandas
import pyarrow.parquet
import pyproj
import pystac
import pytest
import rasterio
import referencing
import shapely
from filelock import FileLock
from pystac.validation.local_validator import get_local_schema_cache

from assessment.document.facts import Words, read_document
from assessment.publication.item import licence_id, licence_links
from assessment.publication.publish import PublishRequest, publish_maps
from gee_pipeline.errors import CorruptFileError, InputError, MismatchError
from gee_pipeline.files import read_json, write_json
from gee_pipeline.season import SUMMER
from inference.verification.checksums import SUMS, write_checksums
from inference.verification.published import verify_published
from tests.support.assessed_run import assess, made_map, write_again
from tests.support.made_runs import CROPS, MadeRun, made_grid, made_run, random_layers
from tests.support.tiny_place import files, run_cropmap

pytestmark = pytest.mark.slow

WORDS = Words(agency="Office of <Fields> & Farms", licence="CC BY 4.0", contact="maps@example.org")
NAME = "crop-map-of-poinsett-county-2021"
SCHEMAS = "https://schemas.stacspec.org/v1.1.0"


@pytest.fixture
def run(tmp_path: Path) -> MadeRun:
    return made_map(tmp_path / "run")


def publish(folder: Path, *runs: MadeRun, words: Words = WORDS, **more: Any) -> Path:
    publish_maps(PublishRequest(tuple(one.folder for one in runs), folder, words, **more))
    return folder


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def write_districts(run: MadeRun, path: Path) -> Path:
    """A west and an east of 48 columns each."""
    west, south, east, north = run.grid.geobox.boundingbox.bbox
    middle = west + 480
    boxes = [shapely.box(west, south, middle, north), shapely.box(middle, south, east, north)]
    frame = geopandas.GeoDataFrame({"name": ["West", "East"]}, geometry=boxes, crs="EPSG:32615")
    frame.to_file(path, driver="GPKG")
    return path


def validator(kind: str) -> jsonschema.Draft7Validator:
    schemas = get_local_schema_cache()
    resources = [(uri, referencing.Resource.from_contents(schema)) for uri, schema in schemas.items()]
    registry = referencing.Registry().with_resources(resources)
    return jsonschema.Draft7Validator(
        schemas[f"{SCHEMAS}/{kind}-spec/json-schema/{kind}.json"], registry=registry
    )


def test_the_collection_and_its_items_are_valid_stac(run: MadeRun, tmp_path: Path) -> None:
    folder = publish(tmp_path / "out", run)
    for kind, path in (("collection", "collection.json"), ("item", f"{NAME}/item.json")):
        values = read_json(folder / path)
        assert [error.message for error in validator(kind).iter_errors(values)] == []
        assert list(validator(kind).iter_errors({**values, "stac_version": 1})) != []  # the schema does look
    assert read_json(folder / "collection.json")["license"] == "CC-BY-4.0"


def test_a_client_walks_from_the_collection_to_every_file(run: MadeRun, tmp_path: Path) -> None:
    assess(run)
    folder = publish(tmp_path / "out", run)
    collection = pystac.Collection.from_file(str(folder / "collection.json"))
    (item,) = collection.get_items()
    assert item.get_collection().id == collection.id
    for asset in collection.assets.values():
        assert (folder / asset.href).is_file()
    listed = set()
    for asset in item.assets.values():
        path = Path(asset.get_absolute_href())
        listed.add(path)
        assert asset.extra_fields["file:size"] == path.stat().st_size
        assert asset.extra_fields["file:checksum"] == "1220" + hashlib.sha256(path.read_bytes()).hexdigest()
    assert {folder / NAME / "assessment" / "accuracy.csv", folder / NAME / "metadata.xml"} <= listed


def test_the_items_are_a_geoparquet_that_says_the_same(run: MadeRun, tmp_path: Path) -> None:
    other = made_map(tmp_path / "later", season=SUMMER.season(2022, "north"), title="Crop map 2022")
    folder = publish(tmp_path / "out", other, run)
    table = geopandas.read_parquet(folder / "items.parquet")
    items = {path.parent.name: read_json(path) for path in folder.glob("*/item.json")}
    assert list(table["id"]) == [NAME, "crop-map-2022"]  # by time
    for row in table.itertuples():
        assert row.geometry.equals_exact(shapely.geometry.shape(items[row.id]["geometry"]), 1e-9)
        assert row.start_datetime.date() == date(2021 if row.id == NAME else 2022, 5, 1)
    assert b"geo" in pyarrow.parquet.read_schema(folder / "items.parquet").metadata


def test_a_year_is_added_to_a_folder_in_which_others_stay(run: MadeRun, tmp_path: Path) -> None:
    folder = publish(tmp_path / "out", run)
    before = files(folder / NAME)
    other = made_map(tmp_path / "later", season=SUMMER.season(2022, "north"), title="Crop map 2022")
    publish(folder, other, words=Words(note="Two years."))
    assert files(folder / NAME) == before
    collection = read_json(folder / "collection.json")
    assert (collection["id"], collection["title"]) == ("crop-maps", "Crop maps 2021 to 2022")
    assert collection["providers"][0]["name"] == WORDS.agency  # as said before
    assert collection["description"] == "Two years."
    assert collection["summaries"]["cropmap:year"] == [2021, 2022]
    tables = [rows_of(folder / name / "areas.csv") for name in (NAME, "crop-map-2022")]
    assert rows_of(folder / "areas.csv") == [*tables[0], *tables[1]]


def test_a_title_names_the_collection_once(run: MadeRun, tmp_path: Path) -> None:
    folder = publish(tmp_path / "out", run, words=Words(title="Our fields"))
    publish(folder, run, words=Words(title="Our fields and meadows"))
    collection = read_json(folder / "collection.json")
    assert (collection["id"], collection["title"]) == ("our-fields", "Our fields and meadows")
    assert read_json(folder / NAME / "item.json")["collection"] == "our-fields"


def test_all_at_once_or_one_after_the_other_is_the_same_to_the_byte(run: MadeRun, tmp_path: Path) -> None:
    other = made_map(tmp_path / "later", season=SUMMER.season(2022, "north"), title="Crop map 2022")
    at_once = publish(tmp_path / "at_once", run, other)
    in_turn = publish(publish(tmp_path / "in_turn", other), run)
    assert files(at_once) == files(in_turn)


def test_areas_by_district_are_the_pixels_in_it(run: MadeRun, tmp_path: Path) -> None:
    districts = write_districts(run, tmp_path / "districts.gpkg")
    folder = publish(tmp_path / "out", run, districts=districts, district_column="name")
    rows = rows_of(folder / "areas.csv")
    assert {row["district"] for row in rows} == {"", "West", "East"}
    for district, columns in (("", slice(None)), ("West", slice(48)), ("East", slice(48, None))):
        codes = run.layers[0][:, columns]
        for crop in CROPS:
            (row,) = (row for row in rows if (row["district"], row["class"]) == (district, crop.name))
            assert int(row["pixels"]) == (codes == crop.code).sum()
            assert float(row["mapped_ha"]) == pytest.approx(0.01 * (codes == crop.code).sum(), rel=1e-3)
            share = (codes == crop.code).sum() / (codes != 0).sum()
            assert float(row["mapped_share"]) == pytest.approx(share, abs=2e-4)
            assert row["estimated_ha"] == ""


def test_estimates_are_those_of_the_assessment(run: MadeRun, tmp_path: Path) -> None:
    districts = write_districts(run, tmp_path / "districts.gpkg")
    options = ("--districts", districts, "--district-column", "name", "--strata", "class+district")
    report = assess(run, *options)
    folder = publish(tmp_path / "out", run, districts=districts, district_column="name")
    rows = {(row["district"], row["class"]): row for row in rows_of(folder / "areas.csv")}
    of_map = [row for row in rows_of(report / "area.csv") if row["estimator"] == "plain"]
    of_districts = [row for row in rows_of(report / "districts.csv") if row["measure"] == "area"]
    assert {(row["district"], row["class"]) for row in of_districts} >= {
        (district, crop.name) for district in ("West", "East") for crop in CROPS
    }
    for estimate in (*of_map, *of_districts):
        row = rows[estimate.get("district", ""), estimate["class"]]
        for column, key in (("estimated_ha", "value"), ("se", "se"), ("low", "low"), ("high", "high")):
            assert float(row[column]) == pytest.approx(float(estimate[key]), abs=0.0051)


def test_parcels_are_published_on_demand_alone(run: MadeRun, tmp_path: Path) -> None:
    assert run_cropmap("fields", run.folder, "--vectorize", "--quiet").exit_code == 0
    assert not (publish(tmp_path / "without", run) / NAME / "fields").exists()
    folder = publish(tmp_path / "with", run, fields=True)
    item = read_json(folder / NAME / "item.json")
    assert len(geopandas.read_parquet(folder / NAME / item["assets"]["fields"]["href"])) > 0
    with zipfile.ZipFile(folder / "maps.qgz") as archive:
        first = next(ET.fromstring(archive.read("maps.qgs")).iter("maplayer"))
    assert first.findtext("datasource") == f"./{NAME}/fields/fields.gpkg|layername=fields"
    categories = [found.get("value") for found in first.iter("category")]
    assert categories == [crop.name for crop in CROPS]


def test_a_smoothed_map_is_published_with_its_own_areas_and_assessment(run: MadeRun, tmp_path: Path) -> None:
    assess(run)
    assert run_cropmap("smooth", run.folder, "--method", "majority", "--quiet").exit_code == 0
    smoothed = run.folder / "smoothed" / "crop_map_smoothed.tif"
    answers = run.folder / "assessment" / "answers.csv"
    done = run_cropmap("assess", "report", run.folder, answers, "--map", smoothed, "--quiet")
    assert done.exit_code == 0, done.stderr
    folder = publish(tmp_path / "out", run, smoothed=True)
    with rasterio.open(smoothed) as file:
        codes = file.read(1)
    report = run.folder / "assessment" / "report_crop_map_smoothed" / "report.json"
    overall = read_json(report)["plain"]["overall"]
    assert f"{100 * overall['value']:.2f}" in elements(folder / NAME / "metadata.xml", f"{GMD}value")
    for row in rows_of(folder / "areas.csv"):
        for crop in CROPS:
            if row["class"] == crop.name:
                assert int(row["pixels"]) == (codes == crop.code).sum()
    assert read_json(folder / NAME / "item.json")["properties"]["cropmap:areas_of"] == smoothed.name
    assert verify_published(folder).holds


def test_an_assessment_of_the_other_map_is_refused(run: MadeRun, tmp_path: Path) -> None:
    report = assess(run)
    assert run_cropmap("smooth", run.folder, "--method", "majority", "--quiet").exit_code == 0
    with pytest.raises(MismatchError, match="of another map"):
        read_document(run.folder, Words(), report, smoothed=True)


def test_a_smoothed_map_must_be_there(run: MadeRun, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cropmap smooth"):
        publish(tmp_path / "out", run, smoothed=True)


def test_the_assessment_can_be_left_out(run: MadeRun, tmp_path: Path) -> None:
    assess(run)
    folder = publish(tmp_path / "out", run, assessed=False)
    assert not (folder / NAME / "assessment").exists()
    assert {row["estimated_ha"] for row in rows_of(folder / "areas.csv")} == {""}


def elements(path: Path, name: str) -> list[str]:
    """The texts below every element of a name."""
    return ["".join(found.itertext()).strip() for found in ET.parse(path).iter(name)]


GMD = "{http://www.isotc211.org/2005/gmd}"


def test_the_metadata_say_what_the_report_says(run: MadeRun, tmp_path: Path) -> None:
    report = read_json(assess(run) / "report.json")
    path = publish(tmp_path / "out", run) / NAME / "metadata.xml"
    assert elements(path, f"{GMD}fileIdentifier") == [NAME]
    assert set(elements(path, f"{GMD}organisationName")) == {WORDS.agency}
    box = [float(elements(path, f"{GMD}{side}Bound{kind}")[0]) for side, kind in (
        ("west", "Longitude"), ("south", "Latitude"), ("east", "Longitude"), ("north", "Latitude"),
    )]  # fmt: skip
    assert box == read_json(run.folder / "map" / "item.json")["bbox"]
    days = elements(path, "{http://www.opengis.net/gml/3.2}TimePeriod")
    assert days[0].split() == ["2021-05-01", "2021-12-01"]
    values = elements(path, f"{GMD}value")
    overall = report["plain"]["overall"]
    assert f"{100 * overall['value']:.2f}" in values
    low, high = (f"{100 * overall[key]:.2f}" for key in ("low", "high"))
    assert f"95 % interval: {low} to {high}" in elements(path, f"{GMD}errorStatistic")


@pytest.mark.parametrize(
    ("words", "assessed"),
    [
        (Words(), False),
        (WORDS, True),
        (Words(contact="https://example.org", licence="own terms"), False),
        (Words(contact="by telephone"), False),
    ],
)
def test_the_metadata_are_valid_iso_19139(run: MadeRun, tmp_path: Path, words: Words, assessed: bool) -> None:
    """Against the schemas of 2006 that pycsw ships, of which GML has another namespace than of 2007."""
    from lxml import etree

    if assessed:
        assess(run)
    text = (publish(tmp_path / "out", run, words=words) / NAME / "metadata.xml").read_text(encoding="utf-8")
    spec = importlib.util.find_spec("pycsw")
    assert spec is not None
    assert spec.origin is not None
    schemas = Path(spec.origin).parent / "plugins/profiles/apiso/schemas/ogc/iso/19139/20060504"
    schema = etree.XMLSchema(etree.parse(str(schemas / "gmd" / "gmd.xsd")))
    document = etree.fromstring(text.replace("opengis.net/gml/3.2", "opengis.net/gml").encode())
    assert schema.validate(document), schema.error_log
    document[0].tag = f"{GMD}noSuchThing"
    assert not schema.validate(document)  # the schema does look


def test_the_project_names_every_layer_by_where_it_lies(run: MadeRun, tmp_path: Path) -> None:
    assert run_cropmap("smooth", run.folder, "--method", "majority", "--quiet").exit_code == 0
    folder = publish(tmp_path / "out", run)
    with zipfile.ZipFile(folder / "maps.qgz") as archive:
        root = ET.fromstring(archive.read("maps.qgs"))
    sources = [found.text or "" for found in root.iter("datasource")]
    assert [Path(source).name for source in sources] == [
        "crop_map_smoothed.tif", "crop_map.tif", "confidence.tif", "clear_observations.tif",
    ]  # fmt: skip
    assert all(source.startswith("./") and (folder / source).is_file() for source in sources)
    leaves = list(root.iter("layer-tree-layer"))
    assert [leaf.get("checked") for leaf in leaves] == [
        "Qt::Unchecked",
        "Qt::Checked",
        *["Qt::Unchecked"] * 2,
    ]
    assert [leaf.get("id") for leaf in leaves] == [found.findtext("id") for found in root.iter("maplayer")]


QGIS = """
import sys
from qgis.core import QgsApplication, QgsProject
QgsApplication([], False).initQgis()
project = QgsProject.instance()
assert project.read(sys.argv[1])
print(project.crs().authid())
for layer in project.layerTreeRoot().layerOrder():
    print(layer.name(), layer.isValid(), type(layer.renderer()).__name__)
"""


def has_qgis() -> bool:
    python = shutil.which("python3", path="/usr/bin")
    return (
        bool(python)
        and subprocess.run([python, "-c", "import qgis.core"], capture_output=True).returncode == 0
    )


def test_qgis_opens_the_project(run: MadeRun, tmp_path: Path) -> None:
    if not has_qgis():
        pytest.skip("QGIS is not installed for /usr/bin/python3")
    folder = publish(tmp_path / "out", run)
    command = ["/usr/bin/python3", "-c", QGIS, str(folder / "maps.qgz")]
    done = subprocess.run(
        command, capture_output=True, text=True, env={"QT_QPA_PLATFORM": "offscreen"}, timeout=120
    )
    assert done.stdout.splitlines() == [
        "EPSG:32615",
        "Crop map True QgsPalettedRasterRenderer",
        "Confidence True QgsSingleBandPseudoColorRenderer",
        "Clear observations True QgsSingleBandPseudoColorRenderer",
    ], done.stderr


def test_a_published_folder_is_verified_here_and_by_other_programs(run: MadeRun, tmp_path: Path) -> None:
    folder = publish(tmp_path / "out", run)
    moved = shutil.move(folder, tmp_path / "elsewhere")
    result = run_cropmap("verify", moved)
    assert result.exit_code == 0, result.stderr
    assert result.stdout.endswith("Verified: yes\n")
    if shutil.which("sha256sum"):
        subprocess.run(["sha256sum", "--check", "--quiet", SUMS], cwd=moved, check=True)


def _damage(folder: Path) -> None:
    path = folder / NAME / "confidence.tif"
    path.write_bytes(path.read_bytes()[:-1] + b"?")


def _delete(folder: Path) -> None:
    (folder / NAME / "areas.csv").unlink()


def _count_otherwise(folder: Path) -> None:
    path = folder / NAME / "report.json"
    values = read_json(path)
    values["classes"][0]["pixels"] += 1
    write_json(path, values)
    write_checksums(folder)


def _cut_the_list_off(folder: Path) -> None:
    lines = (folder / SUMS).read_text(encoding="utf-8").splitlines(keepends=True)
    (folder / SUMS).write_text("".join(lines[:5]), encoding="utf-8")


def _count_otherwise_in_the_table(folder: Path) -> None:
    path = folder / NAME / "areas.csv"
    path.write_bytes(path.read_bytes().replace(b"corn", b"rye"))
    write_checksums(folder)


def _break_the_item(folder: Path) -> None:
    path = folder / NAME / "item.json"
    path.write_bytes(path.read_bytes()[:-9])


def _lose_a_map(folder: Path) -> None:
    shutil.rmtree(folder / NAME)
    write_checksums(folder)


def _name_another_model(folder: Path) -> None:
    path = folder / NAME / "item.json"
    values = read_json(path)
    values["properties"]["cropmap:model_digest"] = "f" * 16
    write_json(path, values)
    write_checksums(folder)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (_damage, f"damaged: {NAME}/confidence.tif"),
        (_delete, f"missing: {NAME}/areas.csv"),
        (_count_otherwise, "pixels by code, its report"),
        (_name_another_model, "differ in: model"),
        (_cut_the_list_off, f"{NAME} item: {SUMS} lacks, or has with another digest: "),
        (_count_otherwise_in_the_table, "with another digest: areas.csv"),
        (_break_the_item, f"damaged: {NAME}/item.json"),
        (_lose_a_map, f"alone: ./{NAME}/item.json"),
    ],
)
def test_what_does_not_hold_is_named(
    run: MadeRun, tmp_path: Path, change: Callable[[Path], None], named: str
) -> None:
    folder = publish(tmp_path / "out", run)
    change(folder)
    result = run_cropmap("verify", folder)
    assert result.exit_code == 2
    assert named in result.stderr
    assert "publish the maps again" in result.stderr


def test_a_file_that_is_not_listed_is_counted(run: MadeRun, tmp_path: Path) -> None:
    folder = publish(tmp_path / "out", run)
    (folder / "README.txt").write_text("of a reader")
    found = verify_published(folder)
    assert found.holds
    assert "1 more are not listed" in found.findings[0].text


@pytest.mark.parametrize(
    "line", ["no digest", "00  short", f"{'0' * 64}  ../outside", f"{'0' * 64}  /etc/passwd"]
)
def test_a_list_that_is_none_is_refused(run: MadeRun, tmp_path: Path, line: str) -> None:
    folder = publish(tmp_path / "out", run)
    (folder / SUMS).write_text(f"{line}\n")
    result = run_cropmap("verify", folder)
    assert result.exit_code == 2
    assert "is damaged" in result.stderr


def test_a_publication_that_was_stopped_is_not_whole_and_is_completed(
    run: MadeRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    undisturbed = publish(tmp_path / "undisturbed", run)
    folder = tmp_path / "out"
    for stop in (
        "write_map_folder",
        "published_maps",
        "write_collection",
        "write_project",
        "write_checksums",
    ):
        with monkeypatch.context() as patch:
            patch.setattr(f"assessment.publication.publish.{stop}", _interrupt)
            with pytest.raises(KeyboardInterrupt):
                publish(folder, run)
        assert not (folder / SUMS).exists()
        if (folder / "collection.json").exists():
            assert "not whole" in run_cropmap("verify", folder).stderr
    publish(folder, run)
    assert files(folder) == files(undisturbed)


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def test_what_was_made_of_another_map_is_refused(run: MadeRun, tmp_path: Path) -> None:
    assert run_cropmap("smooth", run.folder, "--method", "majority", "--quiet").exit_code == 0
    path = run.folder / "smoothed" / "report.json"
    write_json(path, {**read_json(path), "map_sha256": "0" * 64})
    with pytest.raises(MismatchError, match="smoothed was made of another map"):
        publish(tmp_path / "out", run)
    assert not (tmp_path / "out" / NAME).exists()


def test_a_folder_of_other_things_is_left_alone(run: MadeRun, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "thesis.doc").write_text("mine")
    with pytest.raises(InputError, match=r"holds thesis\.doc"):
        publish(folder, run)
    write_json(folder / "collection.json", {"id": "of another program"})
    with pytest.raises(InputError, match="not of a folder that 'cropmap publish' made"):
        publish(folder, run)
    assert sorted(path.name for path in folder.iterdir()) == ["collection.json", "thesis.doc"]


def _set(path: Path, values: dict[str, Any]) -> None:
    write_json(path, {**read_json(path), **values})


@pytest.mark.parametrize(
    ("record", "values"),
    [
        ("item.json", {"properties": {}}),
        ("item.json", {"bbox": [float("inf")] * 4}),
        ("item.json", {"assets": 3}),
        ("report.json", {"classes": None}),
        ("report.json", {"map": {}}),
    ],
)
def test_damaged_records_are_named(run: MadeRun, tmp_path: Path, record: str, values: dict[str, Any]) -> None:
    _set(run.folder / "map" / record, values)
    with pytest.raises(CorruptFileError, match=r"records of the map in .* are damaged: "):
        publish(tmp_path / "out", run)
    assert not (tmp_path / "out" / SUMS).exists()


def test_a_file_of_the_map_that_is_gone_is_named(run: MadeRun, tmp_path: Path) -> None:
    (run.folder / "map" / "quicklook.png").unlink()
    with pytest.raises(CorruptFileError, match=r"item\.json names quicklook\.png, which"):
        publish(tmp_path / "out", run)


def test_a_link_in_a_folder_is_refused(run: MadeRun, tmp_path: Path) -> None:
    folder = publish(tmp_path / "out", run)
    shutil.move(folder / NAME, tmp_path / "large_disk")
    (folder / NAME).symlink_to(tmp_path / "large_disk")
    with pytest.raises(InputError, match=f"{NAME} is a link"):
        publish(folder, run)
    assert (folder / SUMS).is_file()


def test_what_a_killed_command_began_is_not_published_with_another_map(run: MadeRun, tmp_path: Path) -> None:
    undisturbed = publish(tmp_path / "undisturbed", run)
    folder = tmp_path / "out"
    shutil.copytree(undisturbed / NAME, folder / "crop-map-2020.part")  # whole, but not in its place
    (folder / "items.parquet.elsewhere.1.part").write_text("half")
    publish(folder, run)
    assert files(folder) == files(undisturbed)


def test_a_map_of_another_area_does_not_take_the_place_of_one_of_the_same_name(
    run: MadeRun, tmp_path: Path
) -> None:
    folder = publish(tmp_path / "out", run)
    before = files(folder)
    layers = random_layers((64, 96), seed=1)
    other = made_run(tmp_path / "other", made_grid(2, 3, 32, ("EPSG:32616", 304_000, 3_924_480)), layers)
    write_again(other)
    with pytest.raises(
        InputError, match=r"a map of that name of another area .* copy that file under another name"
    ):
        publish(folder, other)
    assert files(folder) == before
    shutil.rmtree(folder / NAME)
    publish(folder, other)
    assert read_json(folder / NAME / "item.json")["properties"]["proj:code"] == "EPSG:32616"


def test_a_crs_without_a_number_is_published(run: MadeRun, tmp_path: Path) -> None:
    crs = "+proj=laea +lat_0=35 +lon_0=-91 +datum=WGS84 +units=m +type=crs"
    one = made_run(tmp_path / "laea", made_grid(2, 3, 32, (crs, 4_000, 3_000)), random_layers((64, 96)))
    write_again(one, title="Equal area")
    folder = publish(tmp_path / "out", one, run)
    assert verify_published(folder).holds
    assert read_json(folder / "collection.json")["summaries"]["proj:code"] == ["EPSG:32615"]
    to_degrees = pyproj.Transformer.from_crs(crs, "EPSG:4326", always_xy=True)
    west, south, east, north = to_degrees.transform_bounds(4_000, 2_360, 4_960, 3_000)
    page = (folder / "equal-area-2021" / "report.html").read_text(encoding="utf-8")
    assert f"{west:.4f} to {east:.4f}" in page
    assert f"{south:.4f} to {north:.4f}" in page


def test_control_characters_of_a_title_leave_the_xml_well_formed(run: MadeRun, tmp_path: Path) -> None:
    write_again(run, title='Fields\x0b & "meadows" <2021>')
    folder = publish(tmp_path / "out", run)
    (name,) = (path.parent for path in folder.glob("*/item.json"))
    assert elements(name / "metadata.xml", f"{GMD}title")[0] == 'Fields & "meadows" <2021>'
    with zipfile.ZipFile(folder / "maps.qgz") as archive:
        tree = ET.fromstring(archive.read("maps.qgs")).iter("layer-tree-group")
    assert 'Fields & "meadows" <2021>' in {group.get("name") for group in tree}


@pytest.mark.parametrize("text", ["Office\x07", "\udcff\udcfe"])
def test_words_that_are_no_text_are_refused(text: str) -> None:
    with pytest.raises(InputError, match="--agency is a text in UTF-8 without control characters"):
        Words(agency=text)


@pytest.mark.parametrize(
    ("contact", "element"),
    [
        ("https://social.example/@office", "URL"),
        ("maps@example.org", "electronicMailAddress"),
        ("Room 5, see https://example.org", "contactInstructions"),
    ],
)
def test_a_contact_is_an_address_or_words(run: MadeRun, tmp_path: Path, contact: str, element: str) -> None:
    folder = publish(tmp_path / "out", run, words=Words(contact=f" {contact} "))
    assert set(elements(folder / NAME / "metadata.xml", f"{GMD}{element}")) == {contact}


def test_the_link_of_a_licence_ends_before_the_marks_of_the_sentence() -> None:
    (link,) = licence_links("Own terms (see <https://example.org/terms-1.0>).")
    assert link.href == "https://example.org/terms-1.0"


def test_metadata_of_an_assessed_map_do_not_call_its_areas_counts(run: MadeRun, tmp_path: Path) -> None:
    def limits(folder: Path) -> list[str]:
        return elements(folder / NAME / "metadata.xml", f"{GMD}useLimitation")

    assert "not area estimates" in limits(publish(tmp_path / "counted", run))[0]
    assess(run)
    assert "not area estimates" not in limits(publish(tmp_path / "assessed", run))[0]


def test_districts_of_elsewhere_are_refused_and_far_ones_among_others_count_nothing(
    run: MadeRun, tmp_path: Path
) -> None:
    far = geopandas.GeoDataFrame({"name": ["Far"]}, geometry=[shapely.box(60, 0, 91, 30)], crs="EPSG:4326")
    far.to_file(tmp_path / "far.gpkg")
    with pytest.raises(InputError, match="No pixel of a map lies in a district"):
        publish(tmp_path / "out", run, districts=tmp_path / "far.gpkg", district_column="name")
    near = geopandas.read_file(write_districts(run, tmp_path / "districts.gpkg")).to_crs("EPSG:4326")
    pandas.concat([far, near]).to_file(tmp_path / "both.gpkg")
    folder = publish(tmp_path / "out", run, districts=tmp_path / "both.gpkg", district_column="name")
    rows = rows_of(folder / "areas.csv")
    assert {row["district"] for row in rows} == {"", "West", "East"}
    (west,) = (row for row in rows if (row["district"], row["class"]) == ("West", "corn"))
    assert int(west["pixels"]) == (run.layers[0][:, :48] == 1).sum()


def test_parcels_that_were_not_made_are_asked_for_in_vain(run: MadeRun, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"has no parcels\. Make them with 'cropmap fields"):
        publish(tmp_path / "out", run, fields=True)
    assert not (tmp_path / "out").exists()


def test_one_process_at_a_time_publishes_to_a_folder(run: MadeRun, tmp_path: Path) -> None:
    with FileLock(tmp_path / ".out.lock"), pytest.raises(InputError, match="Another process publishes"):
        publish(tmp_path / "out", run)


@pytest.mark.parametrize("name", ["../elsewhere", "", None, "a/b", "A B"])
def test_a_damaged_id_names_no_folder(run: MadeRun, tmp_path: Path, name: str | None) -> None:
    path = run.folder / "map" / "item.json"
    write_json(path, {**read_json(path), "id": name})
    with pytest.raises(CorruptFileError, match="its id is"):
        publish(tmp_path / "out", run)


def test_two_runs_of_one_name_are_refused(run: MadeRun, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"several runs are called {NAME}"):
        publish(tmp_path / "out", run, made_map(tmp_path / "other"))


def test_a_map_that_changed_takes_the_place_of_the_older_one(run: MadeRun, tmp_path: Path) -> None:
    folder = publish(tmp_path / "out", run)
    run.layers[0][run.layers[0] == 1] = 2
    fresh = made_map(tmp_path / "fresh", simulated=True)
    publish(folder, fresh)
    item = read_json(folder / NAME / "item.json")
    assert item["properties"]["cropmap:simulated"] is True
    assert "simulated scenes" in read_json(folder / "collection.json")["description"]
    write_again(run)


@pytest.mark.parametrize(
    ("licence", "identifier"),
    [
        ("CC BY 4.0", "CC-BY-4.0"),
        ("cc-by-sa 4.0", "CC-BY-SA-4.0"),
        ("ODbL-1.0", "ODbL-1.0"),
        ("MIT", "MIT"),
        ("Open Government Licence", "other"),
        ("https://example.org/terms-1.0", "other"),
        (None, "other"),
    ],
)
def test_a_licence_is_an_spdx_identifier_or_other(licence: str | None, identifier: str) -> None:
    assert licence_id(licence) == identifier


def test_the_command_says_what_it_wrote(run: MadeRun, tmp_path: Path) -> None:
    result = run_cropmap("publish", run.folder, "--to", tmp_path / "out", "--agency", "Fields")
    assert result.exit_code == 0, result.stderr
    digest = hashlib.sha256((tmp_path / "out" / SUMS).read_bytes()).hexdigest()
    assert result.stdout.splitlines()[-1] == f"SHA-256 of SHA256SUMS: {digest}"
    assert f"Not assessed: {NAME}" in result.stderr
    assert json.loads((tmp_path / "out" / "collection.json").read_text())["providers"][0]["name"] == "Fields"


def test_districts_need_their_column(run: MadeRun, tmp_path: Path) -> None:
    districts = write_districts(run, tmp_path / "districts.gpkg")
    result = run_cropmap("publish", run.folder, "--to", tmp_path / "out", "--districts", districts)
    assert result.exit_code == 2
    assert "--district-column" in result.stderr


def test_an_unfinished_run_is_refused(run: MadeRun, tmp_path: Path) -> None:
    (run.folder / "map" / "report.json").unlink()
    result = run_cropmap("publish", run.folder, "--to", tmp_path / "out")
    assert result.exit_code == 3
    assert not (tmp_path / "out").exists()


def test_rounded_areas_keep_the_pixel(run: MadeRun, tmp_path: Path) -> None:
    folder = publish(tmp_path / "out", run)
    hectares = np.array([float(row["mapped_ha"]) for row in rows_of(folder / "areas.csv")])
    assert np.array_equal(hectares, np.round(hectares, 2))
