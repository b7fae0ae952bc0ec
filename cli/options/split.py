"""What a training holds out to validate its model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import click

from cli.options.shared import apply
from cli.options.unread import refuse_unread
from training.fit.options import FOLD_BLOCK, RULES, Rule, SplitRule
from training.transfer.protocol import Protocol

UNSAID: Final = "blocks where the samples have places, else random"
"""What holds samples out where nothing is said."""


def split_options(
    defaults: type[SplitRule] | type[Protocol],
    *,
    rule: Rule | None,
    unsaid: str = UNSAID,
    folds: int | None = None,
) -> Callable[[Any], Any]:
    """The options of a split, by the names of the fields of `SplitRule`; a benchmark has no group column.

    Args:
        defaults: Where the defaults stand.
        rule: Default of --split; None leaves it to the samples.
        unsaid: What None leaves it to, for the help.
        folds: Default number of folds, where each part is held out once; None holds out one share.
    """
    unsaid = "" if rule else f"  [default: {unsaid}]"
    split = click.option(
        "--split",
        "rule" if defaults is SplitRule else "split",
        type=click.Choice(RULES),
        default=rule,
        show_default=rule is not None,
        help="What is held out to validate the model. blocks: whole squares of land. column: whole groups, "
        "such as farms or regions; CropGlobe's countries. random: single samples, whose neighbours train, "
        "so that the scores are optimistic." + unsaid,
    )
    size = click.option(
        "--block-size",
        type=float,
        metavar="DEGREES",
        default=defaults.block_size if folds is None else FOLD_BLOCK,
        show_default=True,
        help="Side of a block. Smaller blocks leave more to choose from; two fields at an edge are "
        "neighbours.",
    )
    group = click.option(
        "--group-column", help="Key or column of the groups of --split column.  [default: group]"
    )
    share = click.option(
        "--held-out",
        "share",
        type=float,
        metavar="SHARE",
        default=defaults.share,
        show_default=True,
        help="Share of the samples to hold out, above 0 and up to 0.5; the paper holds out 0.2.",
    )
    if folds is not None:
        return apply(split, size, group, _folds_option(folds))
    return apply(split, size, group, share) if defaults is SplitRule else apply(split, size, share)


def _folds_option(folds: int) -> Callable[[Any], Any]:
    return click.option(
        "--folds",
        type=int,
        default=folds,
        show_default=True,
        help="Parts of the labels, by place; each is judged by networks that the others tuned.",
    )


def refuse_unread_of_split(rule: Rule | None) -> None:
    """Refuse options of another rule than that of a split; None is chosen by the samples."""
    refuse_unread(rule not in (None, "blocks"), "are of --split blocks", "block_size")
    refuse_unread(rule != "column", "are of --split column", "group_column")
