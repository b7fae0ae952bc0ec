"""Catalogs are opened once a process, also by many threads."""

import threading

import numpy as np

from gee_pipeline.recipe import Recipe
from gee_pipeline.stac.catalog import open_catalog
from tests.support.fake_catalog import FakeCatalog, Layer


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
