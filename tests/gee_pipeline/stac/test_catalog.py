"""Catalogs are opened once a process, also by many threads."""

import sys
import threading

import numpy as np
import pytest

from gee_pipeline.errors import InputError
from gee_pipeline.recipe import Recipe
from gee_pipeline.stac.catalog import absolute, open_catalog
from tests.support.fake_catalog import FakeCatalog, Layer
from tests.support.stac_server import serving


def test_threads_that_start_together_share_one_catalog(tmp_path):
    # Reading it in several threads at once failed now and then in a worker's first seconds: pystac registers
    # its extensions while the first item is read, and another thread met them half registered.
    catalog = FakeCatalog(tmp_path)
    layers = {"B04": Layer(np.ones((40, 40), np.uint16)), "cs": Layer(np.ones((40, 40), np.float32))}
    for number in range(20):
        catalog.add(f"S{number}", "2021-05-02", layers)
    path, start, opened = str(catalog.save()), threading.Barrier(6), []

    def open_it():
        start.wait()
        opened.append(open_catalog(path, None, Recipe.of(bands=("B4",))))

    threads = [threading.Thread(target=open_it) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(opened) == 6
    assert len({id(found) for found in opened}) == 1


@pytest.mark.parametrize("kind", ["application/vnd.apache.parquet", "application/geo+json"])
def test_a_static_collection_with_a_list_of_its_items_is_no_api(tmp_path, kind):
    """Its root has no search, or the list is no page of an API."""
    with serving() as server:
        folder = FakeCatalog(tmp_path)
        folder.add("S1", "2021-05-02", {"B04": Layer(np.ones((40, 40), np.uint16))})
        item = folder.items[0]
        for key, asset in item["assets"].items():
            asset["href"] = f"{server.url}/S1/{key}.tif"
        links = [("root", "/root"), ("items", "/items"), ("item", "/item")]
        collection = {
            "type": "Collection",
            "id": "s2",
            "stac_version": "1.0.0",
            "description": "",
            "links": [{"rel": rel, "href": href, "type": kind} for rel, href in links],
        }
        server.answers |= {"/": collection, "/root": collection, "/item": item}
        found = open_catalog(f"{server.url}/", None, Recipe.of(bands=("B4",))).describe()
    assert (found["scenes"], found["href"]) == (1, f"{server.url}/")


@pytest.mark.skipif(sys.platform == "win32", reason="links need a privilege there")
def test_a_link_that_leads_to_itself_is_refused_as_a_file_that_cannot_be_read(tmp_path):
    (tmp_path / "catalog.json").symlink_to("catalog.json")
    path = absolute(str(tmp_path / "catalog.json"))
    with pytest.raises(InputError, match=r"catalog\.json cannot be read: Too many levels of symbolic links"):
        open_catalog(path, None, Recipe.of(bands=("B4",)))
