import csv
import json
import tomllib
from dataclasses import replace
from importlib.util import find_spec

import numpy as np
import pytest
import torch

from gee_pipeline.errors import CorruptFileError, IncompleteRunError, InputError, MismatchError
from gee_pipeline.files import file_digest
from inference.models.networks.image_networks import timm_library
from tests.support.patch_place import SIDE, corner, write_dataset, write_datasets, write_list, write_raster
from training.foundation import patch_runner
from training.foundation.patch_protocol import PatchProtocol, patch_jobs, read_patch_record
from training.foundation.patch_runner import run_patches
from training.foundation.patch_scores import score_patches
from training.foundation.patch_tables import compose_accuracies, rows_of
from training.foundation.patch_training import PatchOptions

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_spec("timm") is None, reason="needs the extra cropmap[training]"),
]

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def crops(tmp_path_factory):
    return write_datasets(tmp_path_factory.mktemp("crops"))


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A ResNet-18 of 13 channels with random weights and a head, as a published file would be."""
    torch.manual_seed(9)
    network = timm_library().create_model("resnet18", in_chans=13, num_classes=3)
    path = tmp_path_factory.mktemp("weights") / "made.pth"
    torch.save(network.state_dict(), path)
    return path


def protocol(crops, **given):
    options = PatchOptions(**{"epochs": 1, "batch_size": 5, **given.pop("options", {})})
    usual = {"encoder": "resnet18", "images": (0, 10), "views": 1, "device": "cpu"}
    return PatchProtocol(crops, options=options, **{**usual, **given})


@pytest.fixture(scope="module")
def finished(crops, tmp_path_factory):
    out = tmp_path_factory.mktemp("finished")
    said = []
    summary = run_patches(protocol(crops), out, say=said.append)
    return out, summary, said


def read_rows(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_every_target_has_a_row_for_each_setting(finished):
    out, summary, said = finished
    assert [(row.target, row.setting, row.images) for row in summary.rows] == [
        (name, *setting) for name in ("CDL", "SACT") for setting in (("ood", 0), ("ood", 10), ("id", 10))
    ]
    assert (summary.trained, summary.kept, summary.failures) == (6, 0, {})
    assert sum(" of 6: " in line for line in said) == 6
    assert {path.name for path in out.iterdir()} >= {
        *("accuracy.png", "features", "results.csv", "run.toml", "runs", "table.csv", "table.md")
    }


def test_what_trains_is_what_the_protocol_says(finished):
    """Ten images of the other data set, of both, or of the target; a fifth chooses the epoch."""
    counts = {
        row["setting"] + row["images"]: (int(row["training_images"]), int(row["held_out_images"]))
        for row in read_rows(finished[0] / "results.csv")
    }
    assert counts == {"ood0": (8, 2), "ood10": (16, 4), "id10": (8, 2)}


def test_the_scores_are_those_of_the_records(finished):
    out, summary, _ = finished
    record = json.loads((out / "runs" / "SACT_random_frozen_id10_seed1.json").read_text(encoding="utf-8"))
    counts = np.array(record["confusion"])
    row = next(row for row in summary.rows if (row.target, row.setting) == ("SACT", "id"))
    assert row.scores == score_patches(counts[None])
    assert row.scores.accuracy.value == np.trace(counts.sum(0)[:, :5]) / counts.sum()
    assert counts.sum() == 4 * SIDE * (SIDE - 16)  # the last fields of each test image are not labelled
    table = read_rows(out / "table.csv")
    assert float(table[5]["accuracy"]) == pytest.approx(100 * row.scores.accuracy.value, abs=0.005)


def test_the_picture_has_a_panel_for_each_data_set_and_the_published_numbers(finished):
    first, *others = finished[1].rows
    figure = compose_accuracies([first, *others[:-1], replace(others[-1], published=68.83)])
    left, right = figure.axes
    assert [axes.get_title(loc="left") for axes in (left, right)] == ["CDL", "SACT"]
    assert [label.get_text() for label in right.get_xticklabels()] == ["0", "10"]
    (points,) = [line for line in right.lines if line.get_label() == "published (first version)"]
    assert (list(points.get_xdata()), list(points.get_ydata())) == ([1], [68.83])
    (legend,) = figure.legends
    assert {text.get_text() for text in legend.get_texts()} == {
        *("random, frozen, others + local", "random, frozen, local alone", "published (first version)")
    }


def test_the_same_command_trains_nothing_again(finished, crops):
    out, summary, _ = finished
    written = {path: path.stat().st_mtime_ns for path in (out / "runs").glob("*.json")}
    again = run_patches(protocol(crops), out)
    assert (again.trained, again.kept, again.rows) == (0, 6, summary.rows)
    assert {path: path.stat().st_mtime_ns for path in written} == written


def test_a_benchmark_that_was_cut_off_goes_on_and_gives_the_same(finished, crops, tmp_path):
    class CutOff(Exception):
        pass

    def stop(sentence):
        if sentence.startswith("2 of 6"):
            raise CutOff

    with pytest.raises(CutOff):
        run_patches(protocol(crops), tmp_path, say=stop)
    assert len(list((tmp_path / "runs").glob("*.json"))) == 2
    summary = run_patches(protocol(crops), tmp_path)
    assert (summary.trained, summary.kept) == (4, 2)
    assert summary.rows == finished[1].rows


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"options": {"epochs": 2}}, "epochs: 1 then, 2 now"),
        ({"decoder": "fpn"}, "decoder: unet then, fpn now"),
        ({"views": 2}, "views: 1 then, 2 now"),
    ],
)
def test_another_protocol_in_the_same_folder_is_refused(finished, crops, change, words):
    with pytest.raises(MismatchError, match=words):
        run_patches(protocol(crops, **change), finished[0])


def test_a_changed_image_is_noticed(tmp_path):
    crops = write_datasets(tmp_path / "crops")
    asked = protocol(crops, settings=("id",), targets=("SACT",), images=(10,))
    run_patches(asked, tmp_path / "out")
    image = crops / "SACT" / "images" / "2023_113.tif"  # a test image
    write_raster(image, np.full((13, SIDE, SIDE), 77, np.uint16), *corner(113))
    with pytest.raises(MismatchError, match="test images"):
        run_patches(asked, tmp_path / "out")
    assert run_patches(asked, tmp_path / "out", restart=True).trained == 1


def test_a_damaged_record_is_named(tmp_path, crops):
    asked = protocol(crops, settings=("id",), targets=("SACT",), images=(10,))
    run_patches(asked, tmp_path)
    (path,) = (tmp_path / "runs").glob("*.json")
    path.write_text(path.read_text(encoding="utf-8").replace('"best_epoch": 1', '"best_epoch": 2'))
    with pytest.raises(CorruptFileError, match=path.name):
        run_patches(asked, tmp_path)


def test_a_training_that_fails_is_named_and_the_others_go_on(tmp_path, crops, monkeypatch):
    real = patch_runner.fit_patches

    def fails(network, inputs, training, *rest, **named):
        if len(training) == 16:
            raise InputError("The training diverged.")
        return real(network, inputs, training, *rest, **named)

    monkeypatch.setattr(patch_runner, "fit_patches", fails)
    summary = run_patches(protocol(crops, targets=("SACT",)), tmp_path)
    assert summary.failures == {"SACT_random_frozen_ood10_seed1": "The training diverged."}
    assert len(summary.rows) == 2
    with pytest.raises(IncompleteRunError, match=r"1 of 3 trainings failed.*ood10"):
        summary.require_complete()


def test_weights_from_a_file_are_checked_named_with_their_licence_and_scored(tmp_path, crops, weights):
    digest = file_digest(weights)
    given = {"weights": {"random": None, "ssl4eo": weights}, "sha256": {"ssl4eo": digest}}
    asked = protocol(crops, targets=("SACT",), settings=("id",), images=(10,), **given)
    said = []
    summary = run_patches(asked, tmp_path, say=said.append)
    assert [row.weights for row in summary.rows] == ["random", "ssl4eo"]
    assert summary.rows[1].published is None  # a resnet18 is not the network of the paper
    text = (tmp_path / "table.md").read_text(encoding="utf-8")
    for place in (text, " ".join(said)):
        assert "This is not the published file of SSL4EO-S12" in place  # whose licence is not its own
        assert digest in place
    with pytest.raises(MismatchError, match="df8b932e"):
        run_patches(protocol(crops, weights={"ssl4eo": weights}), tmp_path / "other")
    assert not (tmp_path / "other" / "runs").exists()


def test_published_numbers_stand_beside_the_network_of_the_paper(tmp_path, finished, crops):
    """The row alone: a ResNet-50 of random weights is not trained for it."""
    out, _, _ = finished
    job = next(job for job in patch_jobs(protocol(crops), ("SACT",)) if job.setting == "id")
    facts = json.loads((out / "runs" / f"{job.name}.json").read_text(encoding="utf-8"))["facts"]
    record = read_patch_record(out / "runs", job, facts)
    as_there = replace(
        record,
        job=replace(job, weights="ssl4eo", images=100),
        facts={**facts, "SHA-256 of the weights": "df8b932e" + 56 * "0"},
        test=record.test * 25,
        confusion=record.confusion * 25,
    )
    paper = PatchProtocol(crops, weights={"ssl4eo": crops})
    (row,) = rows_of([as_there], paper)
    assert (row.published, row.later) == (73.47, 73.48)
    for other in (replace(paper, decoder="fpn"), replace(paper, encoder="resnet18")):
        assert rows_of([as_there], other)[0].published is None
    tuned = replace(as_there, job=replace(as_there.job, training="tuned"))
    own = replace(as_there, facts=facts)
    few = replace(as_there, test=record.test, confusion=record.confusion)
    for another in (tuned, own, few):
        assert rows_of([another], paper)[0].published is None


def test_without_views_nothing_is_kept(tmp_path, crops):
    asked = protocol(crops, views=0, targets=("SACT",), settings=("id",), images=(10,))
    summary = run_patches(asked, tmp_path)
    assert (summary.trained, (tmp_path / "features").exists()) == (1, False)
    assert "flipped anew in each epoch" in (tmp_path / "table.md").read_text(encoding="utf-8")


def test_a_tuned_encoder_needs_no_cache(tmp_path, crops):
    asked = protocol(crops, trainings=("tuned",), targets=("SACT",), settings=("id",), images=(10,))
    summary = run_patches(asked, tmp_path)
    assert summary.rows[0].method == "random, tuned"
    assert not (tmp_path / "features").exists()


def test_a_map_of_the_season_is_scored_beside_all_methods_on_the_same_patches(tmp_path, crops):
    codes = np.full((SIDE, 3 * SIDE), 1, np.uint8)
    place = tmp_path / "map.tif"
    write_raster(
        place, codes, *corner(110), tags={"CLASS_1": "wheat"}, nodata=0
    )  # three of four test patches
    asked = protocol(crops, targets=("SACT",), settings=("id",), images=(10,))
    summary = run_patches(asked, tmp_path / "out", maps={"SACT": place})
    assert summary.left_out == {"SACT": ("2023_113.tif",)}
    of_map, of_network = summary.on_maps
    assert (of_map.weights, of_map.test_images, of_network.test_images) == ("map", 3, 3)
    assert of_map.scores.pixels == of_network.scores.pixels
    wheat, other = of_map.scores.pixels[3:]
    assert of_map.scores.accuracy.value == pytest.approx(wheat / (wheat + other))
    assert summary.rows[0].test_images == 4
    text = (tmp_path / "out" / "table.md").read_text(encoding="utf-8")
    assert "covers 3 of 4 test images" in text
    assert "2023_113.tif" in text
    assert [row["test_patches"] for row in read_rows(tmp_path / "out" / "table.csv")] == ["all", "map", "map"]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"images": (100,)}, "CDL has no list of 100 training images; it has lists of 10"),
        ({"targets": ("NCCM",)}, "got --targets NCCM"),
        ({"datasets": ("CDL",)}, "CDL is the only one"),
        ({"other_images": 900}, "no list of 900"),
    ],
)
def test_what_cannot_be_done_is_said_before_anything_is_read(tmp_path, crops, given, words):
    with pytest.raises(InputError, match=words):
        run_patches(protocol(crops, **given), tmp_path)
    assert not (tmp_path / "runs").exists()


def test_test_images_that_nobody_labelled_are_refused(tmp_path):
    place = write_dataset(tmp_path, "SACT")
    for number in range(10, 14):
        write_raster(
            place / "labels" / f"2023_0{number}.tif", np.zeros((SIDE, SIDE), np.uint8), *corner(number)
        )
    with pytest.raises(InputError, match="No pixel of the test images of SACT is labelled"):
        run_patches(protocol(tmp_path, settings=("id",), images=(10,)), tmp_path / "out")


def test_a_map_of_what_is_not_tested_is_refused(tmp_path, crops):
    with pytest.raises(InputError, match="got CDL"):
        run_patches(protocol(crops, targets=("SACT",)), tmp_path, maps={"CDL": tmp_path / "map.tif"})


def test_patches_of_two_sizes_are_refused(tmp_path):
    write_dataset(tmp_path, "CDL")
    write_dataset(tmp_path, "SACT", first=100, side=32)
    with pytest.raises(InputError, match="squares of one size"):
        run_patches(protocol(tmp_path), tmp_path / "out")


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"weights": {"prithvi": None}}, "--weights is out of random, imagenet, ssl4eo, satlas; got prithvi"),
        ({"trainings": ()}, "--training is out of frozen, tuned; got nothing"),
        ({"settings": ("ood", "all")}, "got all"),
        ({"images": (0,), "settings": ("id",)}, "Without local images"),
        ({"sha256": {"ssl4eo": "ab"}}, "none for ssl4eo"),
        ({"seeds": 0}, "--seeds 0"),
        ({"scale": 0.0}, "--scale 0"),
        ({"datasets": ("CDL",), "targets": ("SACT",)}, "SACT is not"),
    ],
)
def test_a_protocol_names_what_it_does_not_know(crops, given, words):
    with pytest.raises(InputError, match=words):
        protocol(crops, **given)


def test_seeds_come_one_after_the_other(crops):
    jobs = list(patch_jobs(protocol(crops, seeds=2, trainings=("frozen", "tuned")), ("CDL", "SACT")))
    assert len(jobs) == len({job.name for job in jobs}) == 24
    assert [job.seed for job in jobs] == [1] * 12 + [2] * 12


def test_the_facts_of_a_run_can_be_read_as_toml(finished):
    values = tomllib.loads((finished[0] / "run.toml").read_text(encoding="utf-8"))
    assert (values["images"], values["weights"], values["batch-size"]) == ([0, 10], ["random"], 5)


def test_a_shorter_list_is_another_training(tmp_path):
    crops = write_datasets(tmp_path / "crops")
    asked = protocol(crops, settings=("id",), targets=("SACT",), images=(10,))
    run_patches(asked, tmp_path / "out")
    write_list(crops / "SACT" / "train_10.csv", [f"2023_{at}.tif" for at in range(100, 109)])
    with pytest.raises(MismatchError, match="training images: 10 with digest"):
        run_patches(asked, tmp_path / "out")
