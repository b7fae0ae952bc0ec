import csv
import json

import click
import numpy as np
import pytest
from click.testing import CliRunner
from matplotlib.image import imread

from cli.commands.forest.train import train
from gee_pipeline.errors import CropmapError
from gee_pipeline.recipe import Recipe
from inference.drawing import style
from inference.models.forest_model import load_forest
from training.fit.options import SplitRule
from training.forest.options import ForestOptions

pytestmark = pytest.mark.slow

FAST = ["--trees", "5"]


@pytest.fixture
def samples(tmp_path):
    rng = np.random.default_rng(2)
    labels = np.arange(64) % 4  # corn, soybeans, rice, wheat
    np.savez(
        tmp_path / "samples.npz",
        fea=(rng.integers(200, 3000, (64, 10, 73)) + 500 * labels[:, None, None]).astype(np.int16),
        lbl=labels,
        lon=-91 + rng.uniform(0, 2, 64),
        lat=35 + rng.uniform(0, 2, 64),
    )
    return tmp_path / "samples.npz"


def changed(samples, path, **arrays):
    with np.load(samples) as old:
        np.savez(path, **{**old, **arrays})
    return path


def invoke(*arguments):
    return CliRunner().invoke(train, [str(a) for a in arguments], catch_exceptions=False)


def test_a_forest_is_written_and_its_figures_printed_under_both_votes(samples, tmp_path):
    out = tmp_path / "models" / "forest.safetensors"
    result = invoke(samples, "--out", out, "--classes", "corn,rice,other", *FAST)
    forest = load_forest(out)
    assert [c.name for c in forest.classes] == ["corn", "rice", "other"]
    assert forest.provenance["samples"] == {"corn": 16, "rice": 16, "other": 32}
    held_out = forest.metrics["held_out"]
    for vote in ("hard", "soft"):
        assert f"{vote} vote {100 * held_out[vote]['accuracy']:.1f}%" in result.stdout
    assert "Out of bag: " in result.stdout
    near = forest.metrics["near_training"]
    assert (
        f"blocks of 0.5 degrees, {held_out['samples']} samples, {near:.0%} of them within 500 m of one"
        in (result.stdout)
    )
    assert f"{forest.metrics['deployed']['votes']['bytes']:,} bytes" in result.stdout


def test_classes_of_few_samples_are_named(samples, tmp_path):
    told = invoke(samples, "--out", tmp_path / "m.safetensors", *FAST).stderr.splitlines()[0]
    assert told.startswith("Warning: Fewer than 50 samples: corn (16), soybeans (16), rice (16), wheat (16)")
    quiet = invoke(samples, "--out", tmp_path / "m.safetensors", "--quiet", *FAST)
    assert quiet.stderr == ""


def test_the_size_is_told_before_the_growing_and_exactly_after_it(samples, tmp_path, monkeypatch):
    out = tmp_path / "forest.safetensors"
    before, exact, _ = sizes_of(invoke(samples, "--out", out, *FAST).stderr)
    votes = load_forest(out).metrics["deployed"]["votes"]
    assert before == votes["expected_bytes"] > exact == votes["bytes"]
    monkeypatch.setattr("training.forest.growing._grow", lambda *a: pytest.fail("grows"))
    with pytest.raises(pytest.fail.Exception, match="grows"):
        invoke(samples, "--out", tmp_path / "other", *FAST)
    assert not (tmp_path / "other").exists()


def sizes_of(text):
    _, *lines = text.splitlines()  # after the warning of few samples
    assert lines[0].startswith("growing 5 trees on ")
    before = lines[1].split("at most ")[2].split(" bytes")[0]
    after = [line.split(": ")[1].split(" bytes")[0] for line in lines[2:]]
    assert "% of the estimate; can be deployed as classifier, table, inline" in lines[2]
    return [int(number.replace(",", "")) for number in (before, *after)]


def test_a_forest_that_may_not_fit_is_told_before(samples, tmp_path):
    result = invoke(samples, "--out", tmp_path / "f", "--trees", "5", "--no-scores")
    assert "may not fit" not in result.stderr
    from training.forest import growing

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(growing, "grow", lambda plan: pytest.fail("grows"))
        with CliRunner().isolation() as streams, pytest.raises(pytest.fail.Exception):
            train.main([str(samples), "--out", str(tmp_path / "g"), "--trees", "9000"], standalone_mode=False)
        told = streams[1].getvalue().decode()
    assert "may not fit as classifier, inline" in told


def test_quiet_prints_the_result_only(samples, tmp_path):
    result = invoke(samples, "--out", tmp_path / "forest.safetensors", "--quiet", *FAST)
    assert result.stderr == ""
    assert result.stdout.startswith("Forest: ")


def test_json_is_one_document_with_all_scores(samples, tmp_path):
    out = tmp_path / "forest.safetensors"
    facts = json.loads(invoke(samples, "--out", out, "--json", "--split", "random", *FAST).stdout)
    forest = load_forest(out)
    assert (facts["forest"], facts["digest"]) == (str(out), forest.digest)
    assert "optimistic" in facts["split"]
    assert facts["validation_samples"] == 13
    for key in ("held_out", "out_of_bag", "deployed"):
        assert facts[key] == forest.metrics[key]


def test_scores_on_a_model_s_own_labels_are_not_called_the_truth(samples, tmp_path):
    request = {"kind": "pseudo-labels", "year": 2021, "season_start": "2021-01-01"}
    text = json.dumps({"source": "A map.", "request": request, "recipe": Recipe().to_dict()})
    pseudo = changed(samples, tmp_path / "pseudo.npz", metadata=np.array(text))
    out = tmp_path / "forest.safetensors"
    result = invoke(pseudo, "--out", out, "--data-source", "Seen by me.", *FAST)
    assert "not how often they are true" in result.stdout
    assert "pseudo-labels" in load_forest(out).provenance["caution"]
    assert "pseudo-labels" in json.loads(invoke(pseudo, "--out", out, "--json", *FAST).stdout)["caution"]
    assert json.loads(invoke(samples, "--out", out, "--json", *FAST).stdout)["caution"] is None


def test_scores_lie_beside_the_forest(samples, tmp_path):
    out = tmp_path / "a.v1.safetensors"
    invoke(samples, "--out", out, *FAST)
    assert imread(tmp_path / "a.v1.confusion.png").shape[1] > 6 * style.DPI
    with (tmp_path / "a.v1.scores.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    metrics = load_forest(out).metrics
    assert len(rows) == 2 * 2 * (4 + 1)
    for row in rows:
        scores = metrics[row["judged_on"]][row["vote"]]
        if row["class"] == "all":
            assert float(row["accuracy"]) == scores["accuracy"]
            assert float(row["f1"]) == scores["macro_f1"]
        else:
            one = next(one for one in scores["classes"] if one["name"] == row["class"])
            for key in ("samples", "precision", "recall", "f1"):
                assert float(row[key]) == one[key]


def test_no_scores_leaves_the_forest_alone(samples, tmp_path):
    invoke(samples, "--out", tmp_path / "out" / "f.safetensors", "--no-scores", *FAST)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["f.safetensors"]


def test_an_older_forest_is_replaced_as_a_checkpoint_is(samples, tmp_path):
    out = tmp_path / "forest.safetensors"
    invoke(samples, "--out", out, *FAST)
    first = load_forest(out).digest
    invoke(samples, "--out", out, "--seed", "9", *FAST)
    assert load_forest(out).digest != first


def test_options_reach_the_growing(samples, tmp_path):
    out = tmp_path / "forest.safetensors"
    given = ["--seed", "7", "--block-size", "0.2", "--max-leaf-nodes", "9", "--max-depth", "6"]
    given += ["--min-leaf", "2", "--features", "harmonic", "--held-out", "0.3", "--year", "2019", "--all"]
    result = invoke(samples, "--out", out, "--data-source", "Made for a test.", *given, *FAST)
    facts = load_forest(out).provenance
    wanted = ForestOptions("harmonic", 5, 9, 6, 2, 7, True)
    assert facts["options"] == vars(wanted)
    assert (facts["split"]["seed"], facts["split"]["block_size"]) == (7, 0.2)
    assert (facts["year"], facts["data"]) == (2019, "Made for a test.")
    assert facts["training_samples"] == 64
    assert "this one was grown on all 64" in result.stdout


def test_defaults_are_those_of_the_growing(samples, tmp_path):
    out = tmp_path / "forest.safetensors"
    invoke(samples, "--out", out, *FAST)
    facts = load_forest(out).provenance
    assert facts["options"] == vars(ForestOptions(trees=5))
    assert (facts["split"]["rule"], facts["split"]["block_size"]) == ("blocks", SplitRule().block_size)


def test_samples_without_places_are_held_out_at_random_unless_blocks_are_asked_for(samples, tmp_path):
    with np.load(samples) as old:
        np.savez(tmp_path / "bare.npz", fea=old["fea"], lbl=old["lbl"])
    result = invoke(tmp_path / "bare.npz", "--out", tmp_path / "f", *FAST)
    assert "optimistic" in result.stdout
    assert "within" not in result.stdout
    with pytest.raises(CropmapError, match="lon and lat"):
        invoke(tmp_path / "bare.npz", "--out", tmp_path / "f", "--split", "blocks", *FAST)


def test_groups_of_a_column_are_held_out_whole(samples, tmp_path):
    farms = changed(samples, tmp_path / "farms.npz", farm=np.array(list("abcdefgh") * 8))
    out = tmp_path / "f"
    invoke(farms, "--out", out, "--split", "column", "--group-column", "farm", "--held-out", "0.25", *FAST)
    assert len(load_forest(out).provenance["split"]["held_out_groups"]) == 2


def test_options_may_come_from_a_file(samples, tmp_path):
    config = tmp_path / "forest.toml"
    config.write_text('classes = ["rice", "wheat"]\ntrees = 3\nmax-depth = 2\n')
    invoke(samples, "--config", config, "--out", tmp_path / "f")
    forest = load_forest(tmp_path / "f")
    assert [c.name for c in forest.classes] == ["rice", "wheat"]
    assert len(forest.trees) == 3
    assert max(tree.depth for tree in forest.trees) <= 2


def test_several_files_are_joined(samples, tmp_path):
    with np.load(samples) as first:
        more = changed(samples, tmp_path / "more.npz", fea=first["fea"] + 1)
    invoke(samples, more, "--out", tmp_path / "f", *FAST)
    assert sum(load_forest(tmp_path / "f").provenance["samples"].values()) == 128


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--classes", "corn,potatoes"], "two or more different names"),
        (["--classes", "corn,cotton"], "cotton"),
        (["--trees", "0"], "--trees 100"),
        (["--max-depth", "31"], "--max-depth 30"),
        (["--max-leaf-nodes", "1"], "--max-leaf-nodes"),
        (["--min-leaf", "0"], "--min-leaf"),
        (["--block-size", "20"], "--block-size"),
        (["--held-out", "0.9"], "0.5"),
        (["--year", "99"], "four digits"),
        (["--seed", "-1"], "from 0 to 4294967295"),
    ],
)
def test_bad_input_ends_before_anything_is_written(samples, tmp_path, options, message):
    out = tmp_path / "forest.safetensors"
    with pytest.raises(CropmapError, match=message):
        invoke(samples, "--out", out, *FAST, *options)
    assert not out.exists()


def test_a_class_with_one_sample_is_refused(samples, tmp_path):
    with np.load(samples) as old:
        labels = old["lbl"].copy()
    labels[(labels == 3).nonzero()[0][1:]] = 0
    single = changed(samples, tmp_path / "single.npz", lbl=labels)
    with pytest.raises(CropmapError, match="wheat has one"):
        invoke(single, "--out", tmp_path / "f", *FAST)


def test_series_of_gaps_only_are_left_out_or_refused(samples, tmp_path):
    observed = np.ones((64, 73), bool)
    observed[:8] = False
    some = changed(samples, tmp_path / "some.npz", observed=observed)
    invoke(some, "--out", tmp_path / "f", *FAST)
    facts = load_forest(tmp_path / "f").provenance
    assert (sum(facts["samples"].values()), facts["sparse_dropped"]) == (56, 8)
    none = changed(samples, tmp_path / "none.npz", observed=np.zeros((64, 73), bool))
    with pytest.raises(CropmapError, match="observed bins"):
        invoke(none, "--out", tmp_path / "g", *FAST)


def test_reflectance_that_is_no_number_is_refused(samples, tmp_path):
    with np.load(samples) as old:
        fea = old["fea"].astype(np.float32)
    fea[3, 2, 40] = np.nan
    broken = changed(samples, tmp_path / "broken.npz", fea=fea)
    with pytest.raises(CropmapError, match="row 3 has nan"):
        invoke(broken, "--out", tmp_path / "f", *FAST)


def test_a_place_that_cannot_be_written_is_told_before_the_growing(samples, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(CropmapError, match="No file can be written to"):
        invoke(samples, "--out", tmp_path / "file" / "f", *FAST)


def test_a_forest_never_replaces_its_samples(samples, tmp_path):
    before = samples.read_bytes()
    (tmp_path / "other").symlink_to(samples)
    for out in (samples, tmp_path / "." / "samples.npz", tmp_path / "other"):
        with pytest.raises(CropmapError, match="would write over it"):
            invoke(samples, "--out", out, *FAST)
    assert samples.read_bytes() == before


def test_no_samples_is_a_usage_error(tmp_path):
    result = invoke("--out", tmp_path / "forest.safetensors")
    assert result.exit_code == 2
    assert "SAMPLES" in result.stderr


def test_every_option_has_help():
    options = [param for param in train.params if isinstance(param, click.Option)]
    assert len(options) > 15
    assert [option.name for option in options if not option.help] == []
