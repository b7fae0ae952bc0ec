import json
from pathlib import Path

import numpy as np
import pytest

from gee_pipeline.errors import InputError
from tests.support.explain_place import BAND, BIN, explanation, passing_checkpoint, spike_samples
from training.explain.options import ExplainOptions
from training.explain.pictures import write_explanation
from training.explain.report import explain
from training.explain.subjects import Region

pytestmark = pytest.mark.slow

pytest.importorskip("captum", reason="captum is not installed: pip install 'cropmap[training]'")


@pytest.fixture(autouse=True, scope="module")
def coarse_pictures():
    """As large on paper, with fewer dots to draw."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("inference.drawing.style.DPI", 40)
        yield


def test_numbers_are_json_and_name_what_they_are_of():
    facts = json.loads(json.dumps(explanation("source", "target").to_dict(), allow_nan=False))
    assert facts["bands"] == ["B2", "B3", "B4", "B8", "B5", "B6", "B7", "B8A", "B11", "B12"]
    assert facts["bins"] == list(range(24, 67))
    assert [(one["domain"], one["class"]) for one in facts["activation"]["maps"]] == [
        ("source", "corn"),
        ("source", "rice"),
        ("target", "corn"),
    ]
    corn, rice, _ = facts["activation"]["maps"]
    assert (corn["samples"], corn["right"], corn["shown"], rice["values"]) == (12, 12, 12, None)
    assert np.unravel_index(np.argmax(corn["values"]), (10, 43)) == (BAND, BIN)
    assert facts["regions"]["target"]["samples"] == {"corn": 9}


def test_groups_are_source_augmented_source_and_target():
    planes = explanation("source", "target").planes
    assert [(plane.name, len(plane.points)) for plane in planes] == [
        ("source", 22),
        ("source, augmented", 22),
        ("target", 9),
    ]


def test_without_augmentation_the_source_stands_once():
    assert [plane.name for plane in explanation(augmentation="none").planes] == ["source"]


@pytest.mark.parametrize("augmentation", ["field", "paper", "code"])
def test_augmented_series_are_others_of_the_same_classes(augmentation):
    source, changed = explanation(augmentation=augmentation).planes
    np.testing.assert_array_equal(source.labels, changed.labels)
    assert source.spread != changed.spread


def test_both_regions_are_attributed_against_the_source():
    # The same corn in both: the same change of the logit, though the target has no rice to be compared with.
    one = {(m.domain, m.label): m for m in explanation("source", "target").maps}
    values = [one[domain, 0].attribution[BAND, BIN] for domain in ("source", "target")]
    assert values[0] == pytest.approx(values[1], rel=0.02)
    assert values[0] > 0.005


def test_ndvi_is_of_all_samples_not_of_the_picked_ones():
    made = explanation(per_class=2)
    assert [m.samples for m in made.maps] == [2, 2]
    series = made.regions[0].samples.series[:12].astype(float)  # corn
    ratio = (series[:, 3] - series[:, 2]) / (series[:, 3] + series[:, 2])
    np.testing.assert_allclose(made.curves["source"]["corn"].median, np.median(ratio, axis=0), atol=1e-6)


def test_stages_are_told():
    told = []
    regions = [Region("source", spike_samples(), None)]
    options = ExplainOptions(perplexity=4, device="cpu", augmentation="none")
    explain(Path("m"), passing_checkpoint(), regions, (0, 1), options, say=told.append)
    assert told == ["Maps over bands and days of 11 source samples", "t-SNE of 11 series"]


def test_a_model_that_is_never_right_is_told():
    wrong = Region("source", spike_samples(corn=20, rice=0, hidden=20), None)
    with pytest.raises(InputError, match=r"none of 20 source samples.*--legend"):
        explain(Path("m"), passing_checkpoint(), [wrong], (0,), ExplainOptions(device="cpu"))


def test_too_few_samples_for_the_perplexity_are_told():
    with pytest.raises(InputError, match="--perplexity"):
        explanation(perplexity=44)


@pytest.mark.parametrize(("kind", "head"), [("png", b"\x89PNG"), ("pdf", b"%PDF"), ("svg", b"<?xml")])
def test_pictures_are_what_was_asked_for(tmp_path, kind, head):
    paths = write_explanation(tmp_path / "out", explanation(format=kind, augmentation="none"))
    names = [
        "explain.json",
        *(f"{name}.{kind}" for name in ("activation", "attribution", "embedding", "ndvi")),
    ]
    assert [path.name for path in paths] == names
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(names)
    assert all(path.read_bytes().startswith(head) for path in paths[1:])
