"""The whole way from a run to a file of samples and its report."""

from __future__ import annotations

import json
import math
import re
import shutil
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from cli.commands.forest.pseudo_label import describe
from gee_pipeline.bands import NODATA
from gee_pipeline.errors import CorruptFileError, IncompleteRunError, InputError, MismatchError
from inference.models.checkpoint import save_checkpoint
from inference.models.model_file import FOREST
from inference.run.plan import load_plan
from tests.support.pseudo_place import (
    NAMES,
    RECIPE,
    SIZE,
    copied,
    made_checkpoint,
    made_run,
    overwrite,
    planned,
    row_col,
    series_at,
    whole,
    write_raster,
)
from training.pseudo_labels import network_run, pseudo_labels
from training.pseudo_labels.pseudo_labels import (
    PseudoListener,
    PseudoRequest,
    draw_pseudo_labels,
    legend_path,
    report_path,
)
from training.pseudo_labels.report import PseudoReport, StageReport, lack_notice, stage_texts
from training.pseudo_labels.rules import PseudoRules
from training.pseudo_labels.statistics import Stage
from training.samples.class_legend import read_legend
from training.samples.samples import read_samples

pytestmark = pytest.mark.slow

RULES = PseudoRules(
    confidence=40, best_share=15, neighbours=5, passes=6, agree=4, per_class=20, spacing=30, seed=1
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_run(tmp_path_factory.mktemp("labels") / "run")


@pytest.fixture(scope="module")
def truth(folder: Path) -> NDArray[np.uint8]:
    """The map itself with a fifth of its corn called soybeans, and the upper rows unknown."""
    codes = whole(folder)[0].copy()
    codes[codes > 3] = 0
    corn = np.random.default_rng(3).random(codes.shape) < 0.2
    codes[(codes == 1) & corn] = 2
    codes[:20] = 0
    return codes


@pytest.fixture(scope="module")
def drawn(
    folder: Path, truth: NDArray[np.uint8], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, PseudoReport, list[str]]:
    place = tmp_path_factory.mktemp("drawn")
    told: list[str] = []
    reference = write_raster(place / "truth.tif", truth, folder)
    request = PseudoRequest(folder, place / "samples.npz", RULES, reference=reference, device="cpu")
    return place / "samples.npz", draw_pseudo_labels(request, PseudoListener(told.append)), told


def request(folder: Path, out: Path, **changes: Any) -> PseudoRequest:
    return PseudoRequest(folder, out, changes.pop("rules", RULES), device="cpu", **changes)


def test_the_file_holds_the_pixels_of_the_map(folder: Path, drawn: tuple[Path, PseudoReport, Any]) -> None:
    path, report, _ = drawn
    layers = whole(folder)
    with np.load(path, allow_pickle=False) as file:
        arrays = dict(file)
    row, col = row_col(arrays["lon"], arrays["lat"])
    assert (arrays["value"] == layers[0][row, col]).all()
    assert arrays["lbl"].tolist() == [NAMES[code - 1] for code in layers[0][row, col]]
    assert (arrays["confidence"] == layers[1][row, col]).all()
    assert (arrays["clear"] == layers[2][row, col]).all()
    assert (arrays["stability"] * 6 >= 4 - 1e-6).all()
    assert arrays["stability"].dtype == np.float32
    window = load_plan(folder).bins
    for place in range(len(row)):
        own = series_at(int(row[place]), int(col[place]), window)
        assert (arrays["fea"][place][:, window.start : window.stop] == own).all()
        around = layers[0][row[place] - 1 : row[place] + 2, col[place] - 1 : col[place] + 2]
        assert arrays["neighbours"][place] == (around == layers[0][row[place], col[place]]).sum() - 1 >= 5
    assert (arrays["fea"][:, :, : window.start] == NODATA).all()
    assert (arrays["observed"] == (arrays["fea"][:, 0] != NODATA)).all()
    assert report.samples == len(row)
    assert min(math.dist(a, b) for a, b in combinations(zip(row, col, strict=True), 2)) >= 3


def test_a_training_reads_the_file_with_recipe_and_season(drawn: tuple[Path, PseudoReport, Any]) -> None:
    path, report, _ = drawn
    samples = read_samples([path])
    assert samples.recipe == RECIPE
    assert samples.season is not None
    assert (samples.season.year, str(samples.season.start)) == (2021, "2021-01-01")
    assert samples.counts == {name: n for name, n in report.classes.items() if n}
    assert "no observed truth" in samples.source
    assert samples.pseudo
    assert "made for tests" not in samples.source
    assert (samples.duplicates_dropped, samples.sparse_dropped, samples.left_out) == (0, 0, 0)


def test_the_report_counts_what_the_map_and_the_file_show(
    folder: Path, truth: NDArray[np.uint8], drawn: tuple[Path, PseudoReport, list[str]]
) -> None:
    path, report, told = drawn
    codes = whole(folder)[0]
    mapped = [int((codes == code).sum()) for code in (1, 2, 3)]
    first, last = report.stages[0], report.stages[-1]
    assert list(first.left.values()) == mapped
    assert report.shares_before == {name: n / sum(mapped) for name, n in zip(NAMES, mapped, strict=True)}
    assert (first.rule, last.rule) == ("mapped", "samples")
    assert first.noise is not None
    assert last.noise is not None
    known = (codes >= 1) & (codes <= 3) & (truth > 0)
    assert (first.noise.compared, first.noise.wrong) == (known.sum(), (known & (truth != codes)).sum())
    with np.load(path) as file:
        row, col, code = *row_col(file["lon"], file["lat"]), file["value"]
    compared = truth[row, col] > 0
    wrong = compared & (truth[row, col] != code)
    assert (last.noise.compared, last.noise.wrong) == (compared.sum(), wrong.sum())
    assert last.noise_by_class is not None
    assert last.noise_by_class["corn"].wrong == (wrong & (code == 1)).sum()
    for former, stage in zip(report.stages, report.stages[1:], strict=False):
        assert {n: former.left[n] - stage.left[n] for n in NAMES} == stage.removed
        assert min(stage.removed.values()) >= 0
    assert report.classes == {name: int((code == k).sum()) for k, name in enumerate(NAMES, 1)}
    assert report.lacking == {n: 20 - count for n, count in report.classes.items() if count < 20}
    assert told == list(report.notices)
    cells = {(int(r) // SIZE, int(c) // SIZE) for r, c in zip(row, col, strict=True)}
    assert (report.spread.cells, report.spread.cells_with_samples) == (5, len(cells))
    nearest = [
        min(10 * math.dist(a, b) for b in zip(row, col, strict=True) if a != b)
        for a in zip(row, col, strict=True)
    ]
    assert report.spread.nearest_metres == pytest.approx(min(nearest))
    assert report.spread.median_nearest_metres == pytest.approx(float(np.median(nearest)))


def test_the_report_stands_beside_the_file_and_reads_back(drawn: tuple[Path, PseudoReport, Any]) -> None:
    path, report, _ = drawn
    assert report_path(path).name == "samples.report.json"
    values = json.loads(report_path(path).read_text())
    assert values == json.loads(json.dumps(report.to_dict()))
    assert PseudoReport.from_dict(values).to_dict() == report.to_dict()
    assert {p.name for p in path.parent.iterdir()} == {"samples.npz", "samples.report.json", "truth.tif"}


def test_the_same_request_finds_its_file_and_another_is_refused(
    folder: Path, drawn: tuple[Path, PseudoReport, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "samples.npz"
    shutil.copy(drawn[0], out)
    with monkeypatch.context() as nothing:
        nothing.setattr(pseudo_labels, "scan", None)  # nothing is computed
        again = draw_pseudo_labels(request(folder, out))
        assert again.classes == drawn[1].classes
        assert again.out == str(out)
        assert report_path(out).exists()
        with pytest.raises(MismatchError, match="seed: 1 against 2"):
            draw_pseudo_labels(request(folder, out, rules=replace(RULES, seed=2)))
    before = np.load(out)["fea"]
    measured = write_raster(tmp_path / "other.tif", np.ones((64, 96), np.uint8), folder)
    again = draw_pseudo_labels(request(folder, out, reference=measured))
    assert (np.load(out)["fea"] == before).all()
    noise = again.stages[-1].noise
    assert noise is not None
    assert noise.wrong == again.samples - again.classes["corn"]


def test_a_file_that_would_be_read_as_a_table_is_not_written(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"s\.csv.*ends in \.npz"):
        draw_pseudo_labels(request(folder, tmp_path / "s.csv"))
    assert list(tmp_path.iterdir()) == []


def test_a_file_of_something_else_is_not_overwritten(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "mine.npz"
    np.savez(out, fea=np.zeros(3))
    with pytest.raises(InputError, match="not a file of 'cropmap forest pseudo-label'"):
        draw_pseudo_labels(request(folder, out))
    np.savez(out, metadata=np.array(json.dumps({"request": {"year": 2021, "asset": "cdl"}})))
    with pytest.raises(MismatchError, match="another request"):
        draw_pseudo_labels(request(folder, out))
    out.write_bytes(b"no npz")
    with pytest.raises(CorruptFileError, match=r"mine\.npz"):
        draw_pseudo_labels(request(folder, out))


def test_a_second_start_elsewhere_draws_the_same(
    folder: Path, drawn: tuple[Path, PseudoReport, Any], tmp_path: Path
) -> None:
    draw_pseudo_labels(request(folder, tmp_path / "again.npz"))
    with np.load(drawn[0]) as one, np.load(tmp_path / "again.npz") as other:
        for key in set(one.files) - {"metadata"}:
            assert (one[key] == other[key]).all(), key


def test_other_checkpoints_must_agree(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.safetensors"
    save_checkpoint(other, made_checkpoint(2))
    rules = replace(RULES, passes=0, per_class=300, spacing=10)
    report = draw_pseudo_labels(request(folder, tmp_path / "s.npz", also=(other,), rules=rules))
    stage = next(stage for stage in report.stages if stage.rule == "also")
    assert sum(stage.removed.values()) > 0
    assert "passes" not in {stage.rule for stage in report.stages}
    assert report.also == (made_checkpoint(2).digest,)
    assert "stability" not in np.load(tmp_path / "s.npz").files


def test_cells_without_a_composite_give_no_samples_and_are_told(folder: Path, tmp_path: Path) -> None:
    run, told = copied(folder, tmp_path / "run"), []
    (run / "composites" / "r0001_c0000.tif").unlink()
    out = tmp_path / "s.npz"
    draw_pseudo_labels(request(run, out), PseudoListener(told.append))
    row, col = row_col(*(np.load(out)[key] for key in ("lon", "lat")))
    assert not ((row >= SIZE) & (col < SIZE)).any()
    lost = whole(run)[0][SIZE:, :SIZE]
    assert told[0].startswith(f"{((lost >= 1) & (lost <= 3)).sum():,} mapped pixels lie in cells without")


def test_runs_that_cannot_be_labelled_are_refused(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "s.npz"
    with pytest.raises(InputError, match="holds no run"):
        draw_pseudo_labels(request(tmp_path / "nowhere", out))
    planned(tmp_path / "composites", None)
    with pytest.raises(InputError, match="composites only"):
        draw_pseudo_labels(request(tmp_path / "composites", out))
    planned(tmp_path / "begun", made_checkpoint())
    with pytest.raises(IncompleteRunError, match="5 lack a whole prediction"):
        draw_pseudo_labels(request(tmp_path / "begun", out))
    run = copied(folder, tmp_path / "run")
    save_checkpoint(run / "model.safetensors", made_checkpoint(3))
    with pytest.raises(MismatchError, match=made_checkpoint(3).digest):
        draw_pseudo_labels(request(run, out))
    shutil.rmtree(run / "composites")
    with pytest.raises(InputError, match="no longer has composites"):
        draw_pseudo_labels(request(run, out))
    assert not out.exists()


def test_the_map_of_a_forest_is_refused(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(network_run, "model_kind", lambda path: FOREST)
    with pytest.raises(InputError, match="map of a forest"):
        draw_pseudo_labels(request(folder, tmp_path / "s.npz"))


def test_one_class_is_no_forest_and_the_rule_that_emptied_the_others_is_named(
    folder: Path, tmp_path: Path
) -> None:
    rules = replace(RULES, confidence=70, best_share=None, passes=0)
    run = copied(folder, tmp_path / "run")
    layers = whole(run)
    layers[1][layers[0] == 2] = 60
    layers[1][layers[0] == 3] = 60
    overwrite(run, layers)
    with pytest.raises(InputError) as caught:
        draw_pseudo_labels(request(run, tmp_path / "s.npz", rules=rules))
    text = str(caught.value)
    assert "samples of 1." in text
    assert "soybeans: 0 samples of" in text
    assert "'confidence >= 70 %', which left 0 of" in text
    assert "--best-share" in text
    assert not (tmp_path / "s.npz").exists()


@pytest.mark.parametrize(
    ("left", "words"),
    [
        (
            (9, 9, 9, 2, 2, 2),
            "corn: 2 samples of 9 mapped pixels; .*30 m square', which left 2 of 9. Lower --spac",
        ),
        ((9, 9, 3, 2, 2, 1), "'confidence >= 40 %.*', which left 3 of 9. Lower --confidence"),
        ((2, 2, 2, 2, 2, 2), "corn: 2 samples, which are all pixels that the map has"),
        ((0, 0, 0, 0, 0, 0), "corn: none, for the map has no pixel"),
    ],
)
def test_a_class_that_lacks_samples_is_told_which_rule_took_them(left: tuple[int, ...], words: str) -> None:
    rules = (Stage.MAPPED, Stage.COMPOSITE, Stage.CONFIDENCE, Stage.SQUARE, Stage.DRAWN, Stage.SPACING)
    texts, former = stage_texts(RULES, 3, 0), (left[0], *left)
    stages = tuple(
        StageReport(rule, texts[rule], {"corn": now}, {"corn": before - now})
        for rule, now, before in zip(rules, left, former, strict=False)
    )
    assert re.search(words, lack_notice("corn", stages))


def test_a_map_of_other_composites_is_refused(folder: Path, tmp_path: Path) -> None:
    run = copied(folder, tmp_path / "run")
    layers = whole(run)
    crops = (layers[0] >= 1) & (layers[0] <= 3)
    layers[0][crops] = layers[0][crops] % 3 + 1
    overwrite(run, layers)
    with pytest.raises(MismatchError, match="another class than the map"):
        draw_pseudo_labels(request(run, tmp_path / "s.npz"))


def test_classes_of_one_s_own_bring_their_legend(tmp_path: Path) -> None:
    names = ("teff", "enset", "other")
    folder = made_run(tmp_path / "run", made_checkpoint(names=names))
    out = tmp_path / "s.npz"
    report = draw_pseudo_labels(request(folder, out))
    assert tuple(report.classes) == names
    assert report.legend == str(legend_path(out))
    assert f"--legend {legend_path(out)}" in "\n".join(describe(report))
    legend_path(out).unlink()
    report_path(out).unlink()
    told: list[str] = []
    assert draw_pseudo_labels(request(folder, out), PseudoListener(told.append)) == report
    assert told == list(report.notices) != []
    assert json.loads(report_path(out).read_text()) == json.loads(json.dumps(report.to_dict()))
    with pytest.raises(InputError, match="row 0 has enset"):
        read_samples([out])
    samples = read_samples([out], legend=read_legend(legend_path(out)))
    assert report.classes["other"] == 0  # the rules leave none: a training could not take it
    assert samples.class_names == ("teff", "enset")
    assert samples.counts == {name: report.classes[name] for name in ("teff", "enset")}
    assert samples.colors == ("#288040", "#508040")


def test_what_labels_of_a_reference_mean_needs_a_reference(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--reference"):
        request(folder, tmp_path / "s.npz", classes_table=Path("cdl"))
