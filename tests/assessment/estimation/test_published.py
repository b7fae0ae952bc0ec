"""Numbers that papers and other programs printed, to their last digit."""

import csv
from itertools import product

import numpy as np
import pytest

from assessment.estimation.accuracy import Accuracy, LabelledSample, assess
from assessment.estimation.assisted import Covariate, assisted_total
from assessment.estimation.designs import Clusters, Stratified, Unequal
from assessment.estimation.estimate import ratio, total
from assessment.estimation.intervals import Z
from gee_pipeline.errors import InputError
from tests.support.published import Case, find_case


def indices(names, order):
    return np.array([list(order).index(name) for name in names])


def of_counts(case: Case, hectares_of_pixel: float, *, finite: bool) -> LabelledSample:
    """A sample whose strata are the map classes, from a table of counts: rows map, columns reference."""
    strata = case.rows("strata.csv")
    classes = [row["class"] for row in strata]
    with (case.folder / "counts.csv").open(newline="") as file:
        counts = np.array([[int(n) for n in row[1:]] for row in list(csv.reader(file))[1:]])
    cells = [(i, j) for i, j in product(range(len(classes)), repeat=2) for _ in range(counts[i, j])]
    shown, there = np.array(cells).T
    pixels = np.array([float(row["pixels"]) for row in strata])
    design = Stratified(shown, pixels, finite=finite)
    ones = np.ones(len(shown))
    return LabelledSample(
        design, classes, shown, there, pixels.sum() * hectares_of_pixel, ones, map_strata=True
    )


def published(case: Case, found: Accuracy) -> dict[str, float]:
    """Every number of an assessment by the keys of the examples."""
    values = {"oa": found.overall.value, "se_oa": found.overall.se, "ci_oa": Z * found.overall.se}
    for one in found.classes:
        for key, figure in (("ua", one.users), ("pa", one.producers), ("ha", one.area)):
            values[f"{key}.{one.name}"] = figure.value
            values[f"se_{key}.{one.name}"] = figure.se
            values[f"ci_{key}.{one.name}"] = Z * figure.se
        values[f"area.{one.name}"] = one.area.value / found.hectares
        values[f"se_area.{one.name}"] = one.area.se / found.hectares
    names = [one.name for one in found.classes]
    for (i, row), (j, column) in product(enumerate(names), repeat=2):
        values[f"p.{row}.{column}"] = found.shares[i, j]
    return values


def test_strata_that_are_map_classes_are_those_of_olofsson_2014() -> None:
    case = find_case("01-olofsson-2014")
    found = published(case, assess(of_counts(case, 0.09, finite=False)))
    pixels = {k.replace("ha.", "pixels."): value / 0.09 for k, value in found.items() if "ha." in k}
    assert {key: (found | pixels)[key] for key in case.values} == {k: case.printed(k) for k in case.values}
    slips = case.json("expected.json")["disagreements"]
    assert {key: round(found[key], 2) for key in slips} == {k: float(v["formula"]) for k, v in slips.items()}


def test_strata_that_are_map_classes_are_those_of_acatama() -> None:
    case = find_case("05-acatama-stratified")
    accuracy = assess(of_counts(case, 0.09, finite=False))
    found = published(case, accuracy)
    for one in accuracy.classes:
        found |= {f"low.{one.name}": one.area.low, f"high.{one.name}": one.area.high}
        found[f"cv.{one.name}"] = 100 * one.area.se / one.area.value
    # The program cuts shares to 5 decimals before it makes hectares of them.
    loose = {k for k in case.values if k.partition(".")[0] in ("ha", "se_ha", "low", "high")}
    assert {k: found[k] for k in case.values if k not in loose} == {
        k: case.printed(k) for k in case.values if k not in loose
    }
    assert {k: found[k] for k in loose} == {k: pytest.approx(float(case.values[k]), rel=1e-5) for k in loose}
    slips = case.json("expected.json")["disagreements"]
    assert {key: round(found[key], 5) for key in slips} == {k: float(v["formula"]) for k, v in slips.items()}


@pytest.mark.parametrize("finite", [True, False])
def test_strata_that_are_not_map_classes_are_those_of_stehman_2014(finite: bool) -> None:
    case = find_case("03-stehman-2014")
    rows, strata = case.rows("sample.csv"), case.rows("strata.csv")
    names = [row["stratum"] for row in strata]
    stratum, shown, there = (indices((r[k] for r in rows), names) for k in ("stratum", "map", "reference"))
    design = Stratified(stratum, np.array([float(row["pixels"]) for row in strata]), finite=finite)
    sample = LabelledSample(design, names, shown, there, 1.0, np.ones(len(rows)))
    found = published(case, assess(sample))
    mine = {k for k in case.values if finite != k.startswith("nofpc.")}
    assert {k: found[k.removeprefix("nofpc.")] for k in mine} == {k: case.printed(k) for k in mine}
    assert round(found["se_pa.B"], 3) == 0.117


def test_means_totals_and_domains_of_a_stratified_sample_are_those_of_r_survey() -> None:
    case = find_case("10-stratified-mean-total-domain")
    rows = case.rows("apistrat.csv")
    strata = sorted({row["stype"] for row in rows})
    sizes = np.array([next(float(r["fpc"]) for r in rows if r["stype"] == name) for name in strata])
    design = Stratified(indices((row["stype"] for row in rows), strata), sizes)
    score, pupils = (np.array([float(row[key]) for row in rows]) for key in ("api00", "enroll"))
    mean, summed = ratio(design, score, np.ones(len(rows))), total(design, pupils)
    small = case.rows("fpc.csv")
    x = np.array([float(row["x"]) for row in small])
    stratum = np.array([int(row["stratid"]) - 1 for row in small])
    whole, bare = (Stratified(stratum, np.array([15.0, 12.0]), finite=finite) for finite in (True, False))
    ones = np.ones(len(x))
    high, low = ratio(bare, x * (x > 4), x > 4), ratio(bare, x * (x <= 4), x <= 4)
    found = {
        "mean.api00": mean.value,
        "se_mean.api00": mean.se,
        "total.enroll": summed.value,
        "se_total.enroll": summed.se,
        "fpc.mean": ratio(whole, x, ones).value,
        "fpc.se": ratio(whole, x, ones).se,
        "fpc.se_nofpc": ratio(bare, x, ones).se,
        "dom.hi": high.value,
        "dom.se_hi": high.se,
        "dom.lo": low.value,
        "dom.se_lo": low.se,
    }
    assert found == {key: case.printed(key) for key in case.values}


def test_a_stratum_with_one_unit_is_refused_by_name_and_can_be_merged() -> None:
    case = find_case("11-stratum-with-one-unit")
    rows = case.rows("sample.csv")
    strata = sorted({row["dnum"] for row in rows})
    assert len(strata) == int(case.values["n_strata"])
    stratum = indices((row["dnum"] for row in rows), strata)
    sizes = np.bincount(stratum) * float(rows[0]["pw"])
    with pytest.raises(InputError, match=rf"stratum {case.values['lonely']} has n = 1 unit"):
        Stratified(stratum, sizes, strata)
    lonely = strata.index(case.values["lonely"])
    merged = np.where(stratum == lonely, lonely - 1, stratum)
    merged = np.where(merged > lonely, merged - 1, merged)
    design = Stratified(merged, np.bincount(merged) * float(rows[0]["pw"]), finite=False)
    mean = ratio(design, np.array([float(row["api00"]) for row in rows]), np.ones(len(rows)))
    assert mean.value == case.printed("mean")
    assert mean.se > 0


def test_one_stage_clusters_are_those_of_r_survey() -> None:
    case = find_case("12-one-stage-clusters")
    rows = case.rows("sample.csv")
    names = sorted({row["dnum"] for row in rows})
    # The package's weights are 33.847 and not 757 / 15: means and ratios do not depend on it, totals do.
    rescaled = 33.847 * len(names) / 757
    first = Stratified(np.zeros(len(names), int), np.array([757.0]))
    design = Clusters(indices((row["dnum"] for row in rows), names), first)
    score, pupils, tested = (np.array([float(r[k]) for r in rows]) for k in ("api00", "enroll", "api.stu"))
    kind = np.array([row["stype"] for row in rows])
    ones = np.ones(len(rows))
    found = {}
    for key, one in {
        "mean.api00": ratio(design, score, ones),
        "total.enroll": total(design, pupils).times(rescaled),
        **{f"total.{k}": total(design, kind == k).times(rescaled) for k in "EHM"},
        **{f"share.{k}": ratio(design, kind == k, ones) for k in "EHM"},
        "ratio": ratio(design, tested, pupils),
        "ratio.H": ratio(design, tested * (kind == "H"), pupils * (kind == "H")),
    }.items():
        found |= {key: one.value, key.replace("mean.", "se.") if "mean" in key else f"se_{key}": one.se}
    loose = {"total.enroll", "se_total.enroll"}  # the weight has six digits
    assert {k: found[k] for k in case.values if k not in loose} == {
        k: case.printed(k) for k in case.values if k not in loose
    }
    assert {k: found[k] for k in loose} == {k: pytest.approx(float(case.values[k]), rel=1e-6) for k in loose}
    assert design.degrees == 14


def ppi_tables(case: Case, name: str):
    """y, f and weights of the labelled units, f of the others."""
    if name == "b":
        rows = case.rows("forest.csv")
        y, f, seen = (np.array([float(row[key]) for row in rows]) for key in ("y", "f", "labelled"))
        return y[seen == 1], f[seen == 1], np.ones(int(seen.sum())), f[seen == 0]
    rows, others = case.rows("labelled.csv"), case.rows("unlabelled.csv")
    y, f, w = (np.array([float(row[key]) for row in rows]) for key in ("y", "f", "w"))
    return y, f, w if name == "w" else np.ones(len(y)), np.array([float(row["f"]) for row in others])


@pytest.mark.parametrize("name", ["a", "w", "b"])
@pytest.mark.parametrize("weight", ["0", "1", "tuned"])
def test_a_model_assisted_mean_is_that_of_prediction_powered_inference(name: str, weight: str) -> None:
    case = find_case("16-ppi-mean")
    y, f, w, others = ppi_tables(case, name)
    n, m = len(y), len(others)
    # Weights whose sum is 1: the total of y is its mean.
    design = Unequal((1 / w) / (1 / w).max())
    scale = 1 / design.weights.sum()
    covariate = Covariate(
        f, np.zeros(n, int), np.array([others.mean() / scale]), np.array([others.var() / m / scale**2])
    )
    found = assisted_total(design, y, covariate, None if weight == "tuned" else float(weight))
    estimate = found.estimate.times(scale)
    key = f"{name}.{weight}"
    exact = 1.959963985
    if weight == "tuned":  # its lambda takes the variance of f from all units, ours from those with a label
        low, high = float(case.values[f"{key}.low"]), float(case.values[f"{key}.high"])
        assert estimate.value == pytest.approx(float(case.values[key]), abs=0.05 * (high - low))
        assert 2 * exact * estimate.se == pytest.approx(high - low, rel=0.02)
        assert found.estimate.se <= found.plain_se
        return
    assert estimate.value == case.printed(key)
    # The program divides variances by n and not by n - 1.
    of_map = float(weight) ** 2 * others.var() / m
    se = np.sqrt((estimate.se**2 - of_map) * (n - 1) / n + of_map)
    assert estimate.value - exact * se == case.printed(f"{key}.low")
    assert estimate.value + exact * se == case.printed(f"{key}.high")
