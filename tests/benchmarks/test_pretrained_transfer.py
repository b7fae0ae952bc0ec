import argparse

import numpy as np
import pytest

from benchmarks.pretrained_transfer import capped, speeds, table
from benchmarks.real_transfer import ALL
from training.transfer.protocol import FILE


def test_a_part_of_the_source_and_all_of_the_target_are_kept(tmp_path):
    whole = tmp_path / "whole"
    whole.mkdir()
    for code in ("ARK", "CAL"):
        np.savez(whole / FILE.format(code), fea=np.arange(40), lon=np.arange(40) / 10)
    (tmp_path / "data").mkdir()
    folder = capped(whole, ALL["cal-ark"], argparse.Namespace(out=tmp_path, cap=15))
    source, target = (np.load(folder / FILE.format(code)) for code in ("CAL", "ARK"))
    assert len(source["fea"]) == 15
    np.testing.assert_array_equal(source["fea"] / 10, source["lon"])
    assert len(target["fea"]) == 40


def test_methods_are_lines_with_their_seeds(tmp_path):
    path = tmp_path / "results.csv"
    path.write_text(
        "model,augmentation,adaptation,accuracy,macro_f1,held_out_macro_f1\n"
        "presto,none,none,0.90,0.8,0.7\npresto,none,none,0.92,0.8,0.7\n",
        encoding="utf-8",
    )
    assert list(table(path))[2:] == ["| presto | none | 2 | 91.00 ± 1.41 | 80.00 ± 0.00 | 70.00 ± 0.00 |"]


@pytest.mark.slow
def test_speeds_say_what_is_trained_and_what_is_kept():
    _, _, line = speeds(("presto",), (), "compact")
    assert line.startswith("| presto | 399,813 | 399,813 | ")
