"""A STAC API on this machine: paged searches, scenes over HTTP, and servers that stumble."""

import json
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlparse

import numpy as np
import pytest
import shapely

from gee_pipeline.errors import InputError, SceneReadError
from gee_pipeline.recipe import Recipe
from gee_pipeline.season import SUMMER
from gee_pipeline.stac import api, catalog
from gee_pipeline.stac.composites.reading import ReadFailure, read_bands, retried
from gee_pipeline.stac.composites.source import StacSource
from tests.support.fake_catalog import LEFT, FakeCatalog, Layer, cell_at, raster_v1

pytestmark = pytest.mark.slow

RECIPE = Recipe.of(bands=("B4", "B11"))
SEASON = SUMMER.season(2021, "north")
BINS = range(24, 26)
HERE = shapely.box(9.15, 46.22, 9.17, 46.24)
DAYS = ("2021-04-20", "2021-05-02", "2021-05-03", "2021-05-08")


class Server:
    """A STAC API over a folder of scenes, which remembers what it was asked."""

    def __init__(self, catalog: FakeCatalog) -> None:
        self.catalog = catalog
        self.searches: list[dict[str, Any]] = []
        self.stumbles: Counter[str] = Counter()  # path -> how many answers will be errors
        self.status = 500
        self.http = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self.http.server_address[1]}"

    def landing(self):
        return {
            "type": "Catalog",
            "stac_version": "1.0.0",
            "id": "api",
            "description": "an API",
            "conformsTo": [
                "https://api.stacspec.org/v1.0.0/core",
                "https://api.stacspec.org/v1.0.0/item-search",
                "https://api.stacspec.org/v1.0.0/collections",
            ],
            "links": [
                {"rel": "self", "href": self.url},
                {"rel": "root", "href": self.url},
                {"rel": "data", "href": f"{self.url}/collections"},
                {
                    "rel": "search",
                    "href": f"{self.url}/search",
                    "type": "application/geo+json",
                    "method": "POST",
                },
            ],
        }

    def collection(self):
        return {
            "type": "Collection",
            "stac_version": "1.0.0",
            "id": "s2",
            "description": "scenes",
            "license": "other",
            "extent": {
                "spatial": {"bbox": [[5, 45, 10, 48]]},
                "temporal": {"interval": [["2017-03-28T00:00:00Z", "2021-12-31T00:00:00Z"]]},
            },
            "links": [
                {"rel": "root", "href": self.url},
                {"rel": "items", "href": f"{self.url}/collections/s2/items"},
            ],
        }

    def search(self, query):
        """One item a page, as an API with a small page would answer."""
        self.searches.append(query)
        box = shapely.box(*query["bbox"])
        first, last = query.get("datetime", "0/9").split("/")
        found = [
            item
            for item in self.catalog.items
            if query["collections"] == ["s2"]
            and shapely.geometry.shape(item["geometry"]).intersects(box)
            and first <= item["properties"]["datetime"] <= last
        ]
        page = query.get("page", 0)
        links = []
        if page + 1 < len(found):
            body = {**query, "page": page + 1}
            links = [{"rel": "next", "href": f"{self.url}/search", "method": "POST", "body": body}]
        features = [self._with_urls(item) for item in found[page : page + 1]]
        return {
            "type": "FeatureCollection",
            "features": features,
            "links": links,
            "numberMatched": len(found),
        }

    def _with_urls(self, item):
        assets = {
            key: {**asset, "href": f"{self.url}/files/{item['id']}/{key}.tif"}
            for key, asset in item["assets"].items()
        }
        return {**item, "collection": "s2", "assets": assets}

    def answer(self, path, body):
        if path == "/search":
            return json.dumps(self.search(json.loads(body))).encode()
        pages = {"": self.landing(), "/": self.landing(), "/collections/s2": self.collection()}
        pages["/collections"] = {"collections": [self.collection()], "links": []}
        if path in pages:
            return json.dumps(pages[path]).encode()
        file = self.catalog.folder / path.removeprefix("/files/")
        return file.read_bytes() if path.startswith("/files/") and file.is_file() else None

    def _handler(server):  # noqa: N805 - the class inside needs `self` for itself
        class Handler(BaseHTTPRequestHandler):
            def do_HEAD(self):
                self.do_GET(body=False)

            def do_POST(self):
                self.do_GET(posted=self.rfile.read(int(self.headers["Content-Length"])))

            def do_GET(self, body=True, posted=b""):
                path = urlparse(self.path).path
                if server.stumbles[path] > 0:
                    server.stumbles[path] -= 1
                    self.send_error(server.status)
                    return
                content = server.answer(path, posted)
                if content is None:
                    self.send_error(404)
                    return
                self.send_response(200)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                if body:
                    self.wfile.write(content)

            def log_message(self, *arguments):
                pass

        return Handler


@pytest.fixture
def server(tmp_path):
    catalog = FakeCatalog(tmp_path / "scenes")
    rng = np.random.default_rng(0)
    raw = raster_v1(scale=0.0001, offset=-0.1, nodata=0, data_type="uint16")
    for i, day in enumerate(DAYS):
        layers = {
            "B04": Layer(rng.integers(1_000, 9_000, (40, 40)).astype(np.uint16), fields=raw),
            "B11": Layer(rng.integers(1_000, 9_000, (20, 20)).astype(np.uint16), resolution=20, fields=raw),
            "cs": Layer(rng.random((40, 40)).astype(np.float32)),
        }
        catalog.add(f"S{i}", f"{day}T10:30:00Z", layers)
    served = Server(catalog)
    thread = threading.Thread(target=served.http.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield served
    served.http.shutdown()
    served.http.server_close()


def read(source, cell=None):
    return source.read_cell(cell or cell_at(), SEASON, BINS)


def test_scenes_over_http_give_the_composite_of_the_files_on_disk(server):
    remote = StacSource(server.url, RECIPE, collection="s2")
    survey = remote.survey(HERE, SEASON, BINS)
    assert survey.scenes == 3
    composite = read(remote)
    expected = read(StacSource(str(server.catalog.save()), RECIPE))
    np.testing.assert_array_equal(composite.values, expected.values)
    assert composite.counts == expected.counts
    assert composite.counts.scenes == 3


def test_cells_of_a_block_share_one_search(server):
    source = StacSource(server.url, RECIPE, collection="s2")
    read(source)
    asked = len(server.searches)
    read(source, cell_at(LEFT + 240))
    read(source, cell_at(LEFT + 480))
    assert len(server.searches) == asked
    assert server.searches[0]["bbox"] == [9.0, 46.0, 9.25, 46.25]
    assert server.searches[0]["collections"] == ["s2"]


def test_the_only_collection_and_the_page_of_a_collection_are_enough(server):
    assert StacSource(server.url, RECIPE).describe()["collection"] == "s2"
    described = StacSource(f"{server.url}/collections/s2", RECIPE).describe()
    assert described == {"kind": "stac", "href": server.url, "collection": "s2"}


def test_scenes_of_an_api_are_known_by_what_decides_their_pixels(server, monkeypatch):
    def fingerprints():
        catalog._open.cache_clear()  # as another process
        return StacSource(server.url, RECIPE, collection="s2").fingerprints(HERE, SEASON, BINS)

    first = fingerprints()
    assert len(first) == 3
    assert all(len(digest) == 16 for digest in first.values())
    server.catalog.items = json.loads(json.dumps(server.catalog.items))
    item = next(item for item in server.catalog.items if item["id"] == "S1")
    item["assets"]["B04"]["raster:bands"][0]["offset"] = -0.2
    changed = {name for name, digest in fingerprints().items() if digest != first[name]}
    assert [name.partition(" ")[0] for name in changed] == ["S1"]
    monkeypatch.setattr(api, "SURVEYED", 2)
    assert fingerprints() == {}  # some alone would say nothing of the others


def test_several_collections_are_named(server, monkeypatch):
    original = Server.answer
    collections = [
        {
            "type": "Collection",
            "stac_version": "1.0.0",
            "id": name,
            "description": "d",
            "license": "other",
            "extent": {"spatial": {"bbox": [[0, 0, 1, 1]]}, "temporal": {"interval": [[None, None]]}},
            "links": [],
        }
        for name in ("sentinel-1", "sentinel-2")
    ]

    def answer(self, path, body):
        many = {"collections": collections, "links": []}
        return json.dumps(many).encode() if path == "/collections" else original(self, path, body)

    monkeypatch.setattr(Server, "answer", answer)
    with pytest.raises(InputError, match=r"sentinel-1, sentinel-2.*--collection"):
        StacSource(server.url, RECIPE).describe()


def test_an_area_or_season_without_scenes_is_told_what_there_is(server):
    source = StacSource(server.url, RECIPE, collection="s2")
    with pytest.raises(InputError, match=r"covers longitude 5\.0000 to 10\.0000.*the area lies in"):
        source.survey(shapely.box(20, 46, 20.1, 46.1), SEASON, BINS)
    with pytest.raises(InputError, match=r"from 2019-05-01 to 2019-05-10;.*from 2017-03-28 to 2021-12-31"):
        source.survey(HERE, SUMMER.season(2019, "north"), BINS)


def test_an_area_whose_coordinates_are_swapped_is_told_so(server):
    west, south, east, north = HERE.bounds
    source = StacSource(server.url, RECIPE, collection="s2")
    with pytest.raises(InputError, match="scenes would touch it: write the longitude first"):
        source.survey(shapely.box(south, west, north, east), SEASON, BINS)


def test_an_unknown_collection_is_told_from_an_empty_area(server):
    source = StacSource(server.url, RECIPE, collection="s3")
    with pytest.raises(InputError, match=r"s3.*--collection"):
        source.survey(shapely.box(20, 46, 20.1, 46.1), SEASON, BINS)


def test_a_server_that_is_not_there_is_an_input_error(monkeypatch):
    monkeypatch.setattr("urllib3.util.Retry.sleep", lambda self, response=None: None)
    with pytest.raises(InputError, match=r"cannot be read.*--source"):
        StacSource("http://127.0.0.1:9/stac", RECIPE).survey(HERE, SEASON, BINS)


def test_a_catalog_that_a_server_refuses_is_told_by_its_status(server):
    with pytest.raises(InputError, match=r"cannot be read: the server answered with HTTP status 404\."):
        StacSource(f"{server.url}/files/nowhere.json", RECIPE).survey(HERE, SEASON, BINS)


def test_a_static_catalog_is_read_from_a_server_as_from_files(server):
    path = server.catalog.save()
    here, there = (read(StacSource(href, RECIPE)) for href in (str(path), f"{server.url}/files/{path.name}"))
    np.testing.assert_array_equal(here.values, there.values)
    assert here.counts == there.counts


def test_a_search_that_fails_makes_the_cell_fail(server):
    source = StacSource(server.url, RECIPE, collection="s2")
    source.describe()
    server.status, server.stumbles["/search"] = 400, 99
    with pytest.raises(SceneReadError, match=r"did not answer a search.*Run the same command again"):
        read(source)
    server.stumbles.clear()
    assert read(source).counts.scenes == 3


@pytest.mark.parametrize("status", [500, 503])
def test_an_asset_is_read_again_after_the_server_stumbled(server, monkeypatch, status):
    monkeypatch.setattr("gee_pipeline.stac.composites.reading._FIRST_WAIT", {False: 0.01, True: 0.01})
    monkeypatch.setenv("GDAL_HTTP_MAX_RETRY", "0")  # leave the retrying to us
    server.status, server.stumbles["/files/S1/B04.tif"] = status, 2
    expected = read(StacSource(str(server.catalog.save()), RECIPE))
    composite = read(StacSource(server.url, RECIPE, collection="s2"))
    assert server.stumbles["/files/S1/B04.tif"] == 0
    np.testing.assert_array_equal(composite.values, expected.values)


def test_an_asset_that_stays_broken_is_named_and_one_that_is_gone_is_not_asked_for_again(server, monkeypatch):
    monkeypatch.setattr("gee_pipeline.stac.composites.reading._FIRST_WAIT", {False: 0.01, True: 0.01})
    monkeypatch.setenv("GDAL_HTTP_MAX_RETRY", "0")
    server.stumbles["/files/S1/B04.tif"] = 99
    with pytest.raises(SceneReadError, match=r"B04 of scene S1 \(http://.*after 3 attempt"):
        read(StacSource(server.url, RECIPE, collection="s2", retries=2))
    gone = f"{server.url}/files/S1/gone.tif"
    with pytest.raises(ReadFailure) as caught:
        retried(lambda: read_bands(gone, [1], cell_at().geobox), gone, retries=5)
    assert caught.value.attempts == 1
