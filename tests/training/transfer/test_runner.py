import csv
import json
import statistics
import tomllib
from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score

from gee_pipeline.errors import CorruptFileError, IncompleteRunError, InputError, MismatchError
from gee_pipeline.recipe import Recipe
from gee_pipeline.season import SUMMER
from inference.models.networks.cropnet import PRESETS
from tests.support.made_weights import write_weights
from tests.support.transfer_place import (
    CORN,
    COTTON,
    OTHER,
    RICE,
    SOYBEANS,
    write_features,
    write_region,
    write_regions,
)
from training.fit.options import TrainingOptions
from training.fit.resample import PAPER
from training.fit.split import split_samples
from training.transfer import one_training, runner
from training.transfer.material import load
from training.transfer.one_training import augmentation_of
from training.transfer.pictures import compose_confusions, shares
from training.transfer.protocol import MoveRanges, Protocol
from training.transfer.runner import jobs_of, run_benchmark

pytestmark = pytest.mark.slow

torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def small_models(monkeypatch):
    """The benchmark trains real presets and 500 trees; tests take small ones."""
    monkeypatch.setitem(PRESETS, "compact", ((8, 8, 8, 8), (2, 1, 2, 1)))
    from training.models import forest

    defaults = forest.Forest.__init__.__kwdefaults__ | {"trees": 20, "seed": 1, "jobs": 1}
    monkeypatch.setattr(forest.Forest.__init__, "__kwdefaults__", defaults)


@pytest.fixture(scope="module")
def regions(tmp_path_factory):
    return write_regions(tmp_path_factory.mktemp("regions"))


def protocol(regions, **given):
    usual = {"source": "USA", "targets": ("FRA", "CHN"), "models": ("cropnet",), "seeds": 2, "epochs": 2}
    tiny = {"batch_size": 32, "learning_rate": 0.01, "preset": "compact", "device": "cpu"}
    return Protocol(data=regions, **{**usual, **tiny, **given})


def rows(path, *, without=()):
    with path.open(encoding="utf-8", newline="") as file:
        return [{k: v for k, v in row.items() if k not in without} for row in csv.DictReader(file)]


def filled_window(series):
    """Bins 24 to 66, gaps by numpy's own interpolation, flat."""
    days = np.arange(43)
    return np.array(
        [
            np.concatenate([np.interp(days, days[band != -9999], band[band != -9999]) for band in sample])
            for sample in series[:, :, 24:67].astype(float)
        ],
        dtype=np.float32,
    )


def test_scores_of_a_forest_are_those_of_scikit_learn(regions, tmp_path):
    asked = protocol(regions, models=("rf",))
    summary = run_benchmark(asked, tmp_path)
    material = load(asked)
    names, source = np.array(material.source.class_names), material.source
    expected = {"FRA": [], "CHN": []}
    for seed in (1, 2):
        chosen = split_samples(source, asked.split_rule(seed, has_places=True)).training
        forest = RandomForestClassifier(20, class_weight="balanced", random_state=seed)
        forest.fit(filled_window(source.series[chosen]), source.labels[chosen])
        for code, found in expected.items():
            target = material.targets[code]
            labels = np.array(target.class_names)[target.labels]
            predicted = names[forest.predict(filled_window(target.series))]
            if code == "CHN":
                predicted = np.where(predicted == "rice", "rice", "other")
            kept = labels != "wheat"  # the USA of the test has none
            found.append((labels[kept], predicted[kept]))
    for cell in summary.cells:
        pairs = expected[cell.target]
        accuracy = [accuracy_score(*pair) for pair in pairs]
        f1 = [f1_score(*pair, labels=np.unique(pair[0]), average="macro", zero_division=0) for pair in pairs]
        assert (cell.accuracy, cell.macro_f1) == pytest.approx((np.mean(accuracy), np.mean(f1)))
        assert cell.accuracy_std == pytest.approx(statistics.stdev(accuracy))
        assert cell.macro_f1_std == pytest.approx(statistics.stdev(f1))
        counts = sum(confusion_matrix(*pair, labels=list(cell.names)) for pair in pairs)
        np.testing.assert_array_equal(cell.counts, counts)


def test_files_hold_every_run_and_every_cell(regions, tmp_path):
    asked = protocol(
        regions, models=("cropnet", "rf-harmonic"), augmentations=("none", "paper"), in_region=True, seeds=1
    )
    summary = run_benchmark(asked, tmp_path)
    results = rows(tmp_path / "results.csv")
    # two augmentations of a network and one forest; two targets and the region itself
    assert len(results) == (2 + 1) * 3
    assert {row["target"] for row in results} == {"USA", "FRA", "CHN"}
    assert {row["augmentation"] for row in results if row["model"] == "rf-harmonic"} == {"none"}
    assert {row["in_region"] for row in results if row["target"] == "USA"} == {"True"}
    assert all("blocks of 0.5 degrees" in row["held_out"] for row in results)
    assert len(summary.cells) == len(rows(tmp_path / "table.csv")) == 9
    assert summary.trained == len(list((tmp_path / "runs").glob("*.json"))) == 6
    assert not list((tmp_path / "runs").glob("*.progress"))
    for code in ("USA", "FRA", "CHN"):
        assert (tmp_path / f"confusion_USA-{code}.png").read_bytes().startswith(b"\x89PNG")


def test_published_numbers_stand_beside_ours(regions, tmp_path):
    run_benchmark(protocol(regions, models=("rf", "mlp"), seeds=1), tmp_path)
    found = {(row["target"], row["model"]): row for row in rows(tmp_path / "table.csv")}
    china = found["CHN", "rf"]  # table 3: USA to CHN, RF_Median_1D
    assert (china["published_accuracy"], china["published_accuracy_std"]) == ("72.95", "2.42")
    assert (china["published_macro_f1"], china["published_in"]) == ("71.77", "table 3, RF_Median_1D")
    assert found["CHN", "mlp"]["published_accuracy"] == ""
    assert china["accuracy_std"] == ""  # one run has none
    text = (tmp_path / "table.md").read_text(encoding="utf-8")
    assert "| rf | none | 1 |" in text
    assert "| 72.95 ± 2.42 |" in text
    assert "wheat left out" in text
    assert "only rice, other are distinguished" in text
    assert "epochs 2 for 50" in text


def test_an_interrupted_benchmark_goes_on_to_the_same_numbers(regions, tmp_path):
    asked = protocol(regions)
    run_benchmark(asked, tmp_path / "through")

    def interrupt(standing):
        if standing.done == 1 and standing.step and standing.step.done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_benchmark(asked, tmp_path / "stopped", listen=interrupt)
    assert len(rows(tmp_path / "stopped" / "results.csv")) == 2  # the first seed, in two regions
    summary = run_benchmark(asked, tmp_path / "stopped")
    assert (summary.kept, summary.trained) == (1, 1)
    both = [rows(tmp_path / name / "results.csv", without=("seconds",)) for name in ("through", "stopped")]
    assert both[0] == both[1]


def test_a_finished_benchmark_trains_nothing_and_more_seeds_only_what_is_missing(
    regions, tmp_path, monkeypatch
):
    run_benchmark(protocol(regions), tmp_path)
    assert run_benchmark(protocol(regions, seeds=3), tmp_path).trained == 1
    monkeypatch.setattr(runner, "train_once", None)
    again = run_benchmark(protocol(regions, targets=("CHN",)), tmp_path)
    assert (again.trained, again.kept, len(again.cells)) == (0, 2, 1)


def test_other_classes_of_a_target_are_tested_without_training(regions, tmp_path, monkeypatch):
    first = run_benchmark(protocol(regions), tmp_path)
    monkeypatch.setattr(runner, "train_once", None)
    second = run_benchmark(protocol(regions, target_classes={"FRA": ("rice", "other")}), tmp_path)
    five, two = (next(c for c in s.cells if c.target == "FRA") for s in (first, second))
    assert (five.names, two.names) == (("corn", "soybeans", "rice", "cotton", "other"), ("rice", "other"))
    assert two.counts[0, 0] == five.counts[2, 2]
    assert two.counts.sum() == five.counts.sum()


@pytest.mark.parametrize(
    ("given", "named"), [({"epochs": 3}, "epochs: 2 then, 3 now"), ({"source": "FRA"}, "source")]
)
def test_a_folder_of_another_protocol_is_refused(regions, tmp_path, given, named):
    run_benchmark(protocol(regions, seeds=1, targets=("CHN",)), tmp_path)
    with pytest.raises(MismatchError, match=named):
        run_benchmark(protocol(regions, seeds=1, targets=("CHN",), **given), tmp_path)
    asked = protocol(regions, seeds=1, targets=("CHN",), **given)
    assert run_benchmark(asked, tmp_path, restart=True).trained == 1


def test_a_changed_target_is_tested_again(tmp_path):
    folder = write_regions(tmp_path / "data")
    asked = protocol(folder, targets=("FRA",), seeds=1)
    run_benchmark(asked, tmp_path / "out")
    write_region(folder, "FRA", {CORN: 9, SOYBEANS: 9, RICE: 9, OTHER: 9}, seed=7)
    summary = run_benchmark(asked, tmp_path / "out")
    assert (summary.trained, int(summary.cells[0].counts.sum())) == (1, 36)


def test_a_damaged_record_is_named(regions, tmp_path):
    asked = protocol(regions, seeds=1)
    run_benchmark(asked, tmp_path)
    path = tmp_path / "runs" / "cropnet_none_seed1.json"
    values = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(values | {"facts": {}}), encoding="utf-8")
    with pytest.raises(CorruptFileError, match="cropnet_none_seed1"):
        run_benchmark(asked, tmp_path)
    path.write_text(json.dumps(values | {"held_out_accuracy": 1.0}), encoding="utf-8")  # a result, not a fact
    with pytest.raises(CorruptFileError, match=r"cropnet_none_seed1.*digest"):
        run_benchmark(asked, tmp_path)


def test_a_run_that_fails_does_not_end_the_others(regions, tmp_path, monkeypatch):
    real = one_training.train_once

    def fails_once(job, *rest, **named):
        if job.seed == 1:
            raise RuntimeError("CUDA out of memory")
        return real(job, *rest, **named)

    monkeypatch.setattr(runner, "train_once", fails_once)
    heard = []
    summary = run_benchmark(protocol(regions), tmp_path, listen=heard.append)
    assert summary.failures == {"cropnet_none_seed1": "CUDA out of memory"}
    assert (summary.trained, summary.cells[0].runs) == (1, 1)
    assert [standing.error for standing in heard if standing.error] == ["CUDA out of memory"]
    with pytest.raises(IncompleteRunError, match="cropnet_none_seed1: CUDA out of memory"):
        summary.require_complete()
    monkeypatch.setattr(runner, "train_once", real)
    assert run_benchmark(protocol(regions), tmp_path).trained == 1


def test_all_models_on_the_series_run(regions, tmp_path):
    models = ("cropnet-1d", "cropnet-1d-harmonic", "mlp", "rf-harmonic")
    summary = run_benchmark(protocol(regions, models=models, seeds=1, epochs=1), tmp_path)
    assert [cell.model for cell in summary.cells] == [*models, *models]
    assert summary.failures == {}


def test_other_windows_bins_and_augmentations_run(regions, tmp_path):
    asked = protocol(
        regions,
        augmentations=("none", "field", "code", "paper-shift"),
        seeds=1,
        epochs=1,
        bin_days=15,
        season=SUMMER.with_window(91, 300),
        moves=MoveRanges(shift_days=(-5, 5), warp_knots=4),
    )
    summary = run_benchmark(asked, tmp_path)
    assert summary.failures == {}
    assert "other ranges of augmentation" in (tmp_path / "table.md").read_text(encoding="utf-8")


def test_ranges_that_no_augmentation_can_have_are_refused(tmp_path):
    asked = protocol(tmp_path / "absent", augmentations=("paper",), moves=MoveRanges(warp_knots=1))
    with pytest.raises(InputError, match="2 to 20 knots"):
        run_benchmark(asked, tmp_path / "out")


@pytest.mark.parametrize(
    ("name", "shift", "scale", "warp"),
    [("paper-shift", 0.5, 0, 0), ("paper-shift-scale", 0.5, 0.5, 0), ("paper", 0.5, 0.5, 0.5)],
)
def test_the_steps_of_the_ablation_switch_transforms_on_one_by_one(name, shift, scale, warp):
    moves = augmentation_of(name, MoveRanges(), TrainingOptions(), Recipe()).moves
    assert (moves.shift_share, moves.scale_share, moves.warp_share) == (shift, scale, warp)
    assert (moves.shift_days, moves.scale_days) == (PAPER.shift_days, PAPER.scale_days)


def test_seeds_come_first_so_that_a_stopped_benchmark_compares_all_methods(regions):
    jobs = jobs_of(protocol(regions, models=("cropnet", "rf"), augmentations=("none", "paper")))
    assert [(job.model, job.augmentation, job.seed) for job in jobs] == [
        (model, augmentation, seed)
        for seed in (1, 2)
        for model, augmentation in (("cropnet", "none"), ("cropnet", "paper"), ("rf", "none"))
    ]


def test_the_picture_shows_the_share_of_each_class(regions, tmp_path):
    summary = run_benchmark(protocol(regions, models=("rf",), seeds=1), tmp_path)
    cells = [cell for cell in summary.cells if cell.target == "FRA"]
    names, percents = shares(cells[0])
    assert names == ("corn", "soybeans", "rice", "other")  # no cotton in the France of the test
    np.testing.assert_allclose(percents.sum(axis=1), 100)
    texts = [text.get_text() for text in compose_confusions(cells).axes[0].texts]
    assert texts == [f"{value:.1f}" for value in percents.ravel()]


def test_a_network_is_tested_with_the_weights_of_its_best_epoch(regions, tmp_path, monkeypatch):
    fits = []
    real = one_training.fit

    def kept(*given, **named):
        fits.append(real(*given, **named))
        return fits[-1]

    monkeypatch.setattr(one_training, "fit", kept)
    run_benchmark(protocol(regions, epochs=6), tmp_path)
    for fitted, row in zip(fits, rows(tmp_path / "results.csv")[::2], strict=True):
        assert float(row["held_out_macro_f1"]) == pytest.approx(fitted.scores.macro_f1, abs=1e-6)
        assert int(row["best_epoch"]) == fitted.best_epoch
    assert max(fitted.scores.macro_f1 for fitted in fits) > 0.4  # untrained weights find 0.1 to 0.2


@pytest.fixture
def with_features(tmp_path):
    folder = write_regions(tmp_path / "cropglobe")
    write_features(folder, "USA", dict.fromkeys((CORN, SOYBEANS, RICE, COTTON, OTHER), 30))
    write_features(folder, "CHN", {RICE: 20, OTHER: 15}, seed=3)
    return folder


def test_a_forest_on_packaged_features_scores_as_scikit_learn_says(with_features, tmp_path):
    asked = protocol(with_features, models=("rf", "rf-alphaearth"), targets=("CHN",), seeds=1)
    run_benchmark(asked, tmp_path / "out")
    own, there = (np.load(with_features / f"alphaearth_embedding_{code}.npz") for code in ("USA", "CHN"))
    order = [CORN, SOYBEANS, RICE, COTTON, OTHER]
    labels = np.array([order.index(label) for label in own["lbl"]])

    class Features:
        class_names = ("corn", "soybeans", "rice", "cotton", "other")
        lon = lat = groups = None

    Features.labels = labels
    rule = asked.split_rule(1, has_places=False)
    chosen = split_samples(Features, rule).training
    forest = RandomForestClassifier(20, class_weight="balanced", random_state=1)
    forest.fit(own["fea"][chosen], labels[chosen])
    predicted = np.array(order)[forest.predict(there["fea"])]
    accuracy = np.mean(np.where(predicted == RICE, RICE, OTHER) == there["lbl"])
    found = {row["model"]: row for row in rows(tmp_path / "out" / "results.csv")}
    assert float(found["rf-alphaearth"]["accuracy"]) == pytest.approx(accuracy)
    records = {
        path.name.split("_")[0]: json.loads(path.read_text()) for path in tmp_path.glob("out/runs/*.json")
    }
    assert "optimistic" in records["rf-alphaearth"]["split"]  # its files tell no places
    assert "blocks" in records["rf"]["split"]


def test_changed_features_of_the_source_are_trained_again(with_features, tmp_path):
    asked = protocol(with_features, models=("rf", "rf-alphaearth"), targets=("CHN",), seeds=1)
    run_benchmark(asked, tmp_path / "out")
    write_features(with_features, "USA", dict.fromkeys((CORN, SOYBEANS, RICE, COTTON, OTHER), 31))
    again = run_benchmark(asked, tmp_path / "out")
    assert (again.trained, again.kept) == (1, 1)


def test_a_model_whose_features_are_missing_names_their_file(regions, tmp_path):
    with pytest.raises(InputError, match=r"presto_embedding_S2_USA\.npz"):
        run_benchmark(protocol(regions, models=("rf-presto",)), tmp_path)


def test_features_with_a_class_that_the_series_lack_are_refused(with_features, tmp_path):
    write_features(with_features, "CHN", {RICE: 20, SOYBEANS: 15}, seed=3)
    with pytest.raises(MismatchError, match=r"alphaearth_embedding_CHN.*soybeans"):
        run_benchmark(protocol(with_features, models=("rf-alphaearth",), targets=("CHN",)), tmp_path / "out")


def test_a_legend_tells_what_the_labels_mean(tmp_path):
    folder = write_regions(tmp_path / "mine")
    legend = tmp_path / "legend.toml"
    legend.write_text(
        'unlisted = "leave out"\n'
        + "".join(
            f'[[classes]]\nname = "{name}"\ncolor = "#00000{code}"\nlabels = {labels}\n'
            for code, (name, labels) in enumerate({"paddy": [RICE], "dry": [CORN, SOYBEANS]}.items())
        ),
        encoding="utf-8",
    )
    asked = protocol(folder, models=("rf",), targets=("FRA",), legend=legend, seeds=1)
    summary = run_benchmark(asked, tmp_path / "out")
    assert summary.cells[0].names == ("paddy", "dry")


def test_networks_and_forests_on_published_encoders_take_part(regions, tmp_path, monkeypatch):
    files = tuple(write_weights(tmp_path / name, name, monkeypatch) for name in ("presto", "galileo-nano"))
    models = ("presto", "presto-frozen", "rf-on-presto", "rf-on-galileo-nano")
    ours = protocol(regions, models=models, pretrained=files, seeds=1, epochs=1)
    summary = run_benchmark(ours, tmp_path / "out")
    assert not summary.failures
    assert {cell.model for cell in summary.cells} == {*models}
    forest = next(cell for cell in summary.cells if (cell.model, cell.target) == ("rf-on-presto", "FRA"))
    assert forest.accuracy > 0.3  # four classes that differ in when they are green
    again = tomllib.loads((tmp_path / "out" / "run.toml").read_text(encoding="utf-8"))
    assert again["pretrained"] == [str(path) for path in files]
    other = write_weights(tmp_path / "b", "presto", monkeypatch, encoder__norm__bias=torch.ones(128))
    with pytest.raises(MismatchError, match="pretrained"):
        run_benchmark(replace(ours, pretrained=(other, files[1])), tmp_path / "out")


def test_a_model_without_its_encoder_trains_nothing(regions, tmp_path):
    with pytest.raises(InputError, match="rf-on-presto leaves its encoder"):
        run_benchmark(protocol(regions, models=("rf", "rf-on-presto")), tmp_path / "out")
    assert not (tmp_path / "out").exists()
