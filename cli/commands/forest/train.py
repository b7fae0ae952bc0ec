"""`cropmap forest train`: from labelled series to a forest that fits on Earth Engine."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cli.options.paths import IN_FILE, OUT_FILE, require_new_files
from cli.options.sample_files import read_files, training_options, warn
from cli.options.sections import sectioned
from cli.options.shared import apply, config_option, talk_options
from cli.options.split import refuse_unread_of_split, split_options
from gee_pipeline.earthengine.forest.deploy_options import DEEPEST
from training.fit.options import Rule, SplitRule
from training.forest.options import FEATURES, ForestOptions

if TYPE_CHECKING:
    from inference.deployment.deployment import DeployedSizes
    from inference.models.forest_model import ForestModel
    from training.forest.growing import GrowingPlan
    from training.samples.samples import Samples

_split_options = split_options(SplitRule, rule=None)

_tree_options = apply(
    click.option(
        "--features",
        type=click.Choice(FEATURES),
        default=ForestOptions.features,
        show_default=True,
        help="Features of the trees. median: the filled medians of the window, 430 numbers with the default "
        "recipe. harmonic: 35 coefficients of waves fitted to them, for samples from elsewhere.",
    ),
    click.option(
        "--trees",
        type=int,
        default=ForestOptions.trees,
        show_default=True,
        help="Number of trees; size on Earth Engine and time grow with it.",
    ),
    click.option(
        "--max-leaf-nodes",
        type=int,
        metavar="LEAVES",
        default=ForestOptions.max_leaf_nodes,
        show_default=True,
        help="Most leaves of a tree, which bounds the size on Earth Engine; 0 for no limit.",
    ),
    click.option(
        "--max-depth",
        type=int,
        metavar="SPLITS",
        default=ForestOptions.max_depth,
        show_default=True,
        help=f"Most splits above a leaf, up to {DEEPEST}, which is as deep as Earth Engine can number nodes.",
    ),
    click.option(
        "--min-leaf",
        type=int,
        metavar="SAMPLES",
        default=ForestOptions.min_leaf,
        show_default=True,
        help="Fewest training samples in a leaf. With 1 nearly all leaves are pure, so that votes of trees "
        "and shares of leaves give one map; more makes a smaller forest whose votes differ.",
    ),
    click.option(
        "--seed",
        type=int,
        default=ForestOptions.seed,
        show_default=True,
        help="Chooses what is held out and every random draw. Same seed, same versions: same forest.",
    ),
    click.option(
        "--all",
        "all_samples",
        is_flag=True,
        help="Grow the delivered forest on all samples. The scores are then of another one, grown before "
        "without the held-out samples, and say so.",
    ),
)

_run_options = apply(
    click.option(
        "--out",
        type=OUT_FILE,
        required=True,
        help="The forest to write, a .safetensors file.",
    ),
    click.option(
        "--scores/--no-scores",
        default=True,
        show_default=True,
        help="Write all scores next to --out, as FOREST.scores.csv and FOREST.confusion.png.",
    ),
    config_option,
    talk_options,
)


@click.command(
    cls=sectioned(
        {
            "Samples": training_options,
            "Held-out samples": _split_options,
            "Trees": _tree_options,
            "Files and messages": _run_options,
        }
    ),
    short_help="Grow a forest that fits on Earth Engine.",
)
@click.argument("files", metavar="SAMPLES...", nargs=-1, required=True, type=IN_FILE)
@training_options
@_split_options
@_tree_options
@_run_options
def train(files: tuple[Path, ...], out: Path, quiet: bool, as_json: bool, **given: Any) -> None:
    """Grow a Random Forest on labelled pixel series.

    SAMPLES are what 'cropmap train' reads, such as the file of 'cropmap forest pseudo-label'. Every class has
    the same weight in all.

    Whole blocks of land are held out to test the forest, and each tree is tested on the samples that it has
    not drawn (out of bag). Earth Engine counts the votes of the trees (hard vote), scikit-learn takes the
    mean of their leaves' shares (soft vote): all scores are given under both. The size that the forest can
    have on the way to Earth Engine is reported before it is grown.

    \b
    Examples:
      cropmap forest train samples.npz --out forest.safetensors
      cropmap forest train samples.npz --out forest.safetensors --block-size 0.1 --trees 200
      cropmap forest train fields.csv --out forest.safetensors --legend legend.toml --features harmonic
    """
    from gee_pipeline.files import require_writable
    from inference.models.forest_model import save_forest
    from training.forest.growing import grow, plan_growing
    from training.sample_report.few_samples import warn_of_few
    from training.samples.season_warning import warn_of_season

    require_new_files(out)
    require_writable(out)
    refuse_unread_of_split(given["rule"])
    options = ForestOptions(**{field.name: given[field.name] for field in fields(ForestOptions)})
    samples = read_files(files, given)
    if not quiet:
        warn(samples, warn_of_few, warn_of_season)
    plan = plan_growing(samples, options, _split_rule(given, samples), year=given["year"])
    _tell(_expectation(plan), quiet)
    forest = grow(plan)
    save_forest(out, forest)
    if given["scores"]:
        _write_scores(out, forest)
    _tell(_found_sizes(forest), quiet)
    _show(out, forest, as_json)


def _split_rule(given: dict[str, Any], samples: Samples) -> SplitRule:
    """The rule of the options; blocks of land where none is named and places are known."""
    default: Rule = "random" if samples.lon is None else "blocks"
    return SplitRule(given["rule"] or default, given["block_size"], given["share"], given["seed"])


def _tell(lines: Iterator[str], quiet: bool) -> None:
    for line in () if quiet else lines:
        click.echo(line, err=True)


def _expectation(plan: GrowingPlan) -> Iterator[str]:
    """What is known before the growing."""
    options = plan.options
    yield (
        f"growing {options.trees:,} trees on {len(plan.training):,} samples of {plan.features.shape[1]} "
        f"{options.features} features"
    )
    votes, probability = plan.expected("votes"), plan.expected("probability")
    yield (
        f"at most {votes.nodes // votes.trees:,} nodes per tree, {plan.most_splits} splits deep; on the way "
        f"to Earth Engine at most {_size(votes)} with votes, {_size(probability)} with probabilities"
    )


def _found_sizes(forest: ForestModel) -> Iterator[str]:
    """What became of it."""
    deployed = forest.metrics["deployed"]
    for confidence in ("votes", "probability"):
        sizes = deployed[confidence]
        ways = [way for way, fits in sizes["fits"].items() if fits]
        share = sizes["bytes"] / sizes["expected_bytes"]
        yield (
            f"with {confidence}: {sizes['bytes']:,} bytes, {share:.0%} of the estimate; can be deployed as "
            f"{', '.join(ways) or 'nothing: grow a smaller forest'}"
        )


def _size(sizes: DeployedSizes) -> str:
    """Bytes, and which ways are certain."""
    from gee_pipeline.earthengine.forest.deploy_options import WAYS

    doubtful = [way for way in WAYS if not sizes.fits(way)]
    note = f" (may not fit as {', '.join(doubtful)})" if doubtful else ""
    return f"{sizes.bytes:,} bytes{note}"


def _write_scores(out: Path, forest: ForestModel) -> None:
    from cli.commands.models.train import sibling
    from training.forest.score_files import draw_scores, write_scores

    write_scores(sibling(out, "scores.csv"), forest.metrics)
    title = f"{out.name}: {len(forest.trees):,} trees"
    draw_scores(sibling(out, "confusion.png"), forest.metrics, title, _caution(forest))


def _show(path: Path, forest: ForestModel, as_json: bool) -> None:
    """Print where a new forest is and how good."""
    if as_json:
        facts = {"forest": str(path), "digest": forest.digest, "samples": forest.provenance["samples"]}
        facts |= {"caution": _caution(forest) or None}
        click.echo(json.dumps(facts | forest.metrics))
        return
    metrics = forest.metrics
    deployed = metrics["deployed"]
    click.echo(
        f"Forest: {path}, {deployed['trees']:,} trees of {deployed['nodes']:,} nodes, "
        f"{deployed['votes']['bytes']:,} bytes on the way to Earth Engine"
    )
    for key, label in (("held_out", "Held out"), ("out_of_bag", "Out of bag")):
        if metrics[key]:
            click.echo(f"{label + ':':<12}{_scores(metrics[key])}")
    click.echo(f"Held out by {metrics['split']}{_near(metrics)}; tested is {metrics['judged']}.")
    if caution := _caution(forest):
        click.echo(caution)


def _near(metrics: dict[str, Any]) -> str:
    """How many held-out samples may be pixels of fields that trained."""
    from training.forest.nearness import NEAR

    share = metrics["near_training"]
    return "" if share is None else f", {share:.0%} of them within {NEAR} m of one that trains"


def _caution(forest: ForestModel) -> str:
    """What its scores do not show, where its labels were not observed."""
    return str(forest.provenance.get("caution", ""))


def _scores(evaluation: dict[str, Any]) -> str:
    """Both votes in one line."""
    votes = [
        f"{vote} vote {evaluation[vote]['accuracy']:.1%}, macro-F1 {evaluation[vote]['macro_f1']:.1%}"
        for vote in ("hard", "soft")
    ]
    return (
        f"overall accuracy by {'; '.join(votes)}; the votes differ on {evaluation['disagreement']:.1%} of "
        f"{evaluation['samples']:,}"
    )
