"""Questions of `cropmap ee selfcheck` about decision trees: how they are read and how their votes count.

Trees are written as those of a forest are, so that the answers hold for its assets too.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import ee
import numpy as np

from gee_pipeline.earthengine.forest.classifier_assets import LINE_END, ensemble
from gee_pipeline.earthengine.forest.deploy_options import DEEPEST
from gee_pipeline.earthengine.forest.forest_graph import Voters, classified
from gee_pipeline.earthengine.forest.tree_text import tree_text
from gee_pipeline.earthengine.selfcheck.experiment import Experiment, bands, everywhere, masked, shown

TENTH: Final = 0.1
"""Just below the 32-bit number of the same name, which is 0.100000001490116."""


def _stump(low: float, high: float, limit: float = 2.5, name: str = "a") -> str:
    """A tree that says one number where a band is at most the limit, else another."""
    return tree_text(
        left=np.array([1, -1, -1], np.int32),
        right=np.array([2, -1, -1], np.int32),
        feature=np.array([0, -1, -1], np.int32),
        threshold=np.array([limit, 0, 0]),
        value=np.array([0, low, high]),
        names=[name],
    )


def _steps(count: int) -> str:
    """A tree of splits one below the other, which says 1 up to 1.5, 2 up to 2.5 and so on.

    The numbers of its nodes end at 2^(count + 1) - 1.
    """
    splits = range(count)
    nowhere = [-1] * (count + 1)
    return tree_text(
        left=np.array([count + 1 + i for i in splits] + nowhere, np.int32),
        right=np.array([i + 1 for i in splits] + nowhere, np.int32),
        feature=np.array([0] * count + nowhere, np.int32),
        threshold=np.array([i + 1.5 for i in splits] + [0.0] * (count + 1)),
        value=np.array([0] * count + [count + 1, *(i + 1 for i in splits)]),
        names=["a"],
    )


def _votes(*answers: int) -> list[str]:
    """One tree a vote, which it gives to the image of the questions, whose band a is 1."""
    return [_stump(answer, 9) for answer in answers]


def _answer(trees: Sequence[str], mode: str = "CLASSIFICATION", image: ee.Image | None = None) -> ee.Image:
    chosen = bands(1) if image is None else image
    return chosen.classify(ensemble(list(trees), mode)).rename(["said"])


def _raw(*answers: int) -> ee.Image:
    """An array of the trees' answers at each pixel."""
    return _answer(_votes(*answers), "RAW")


def _counted(*answers: int) -> ee.Image:
    """A map of three classes by the votes of some trees, as cropmap has them counted."""
    return classified(bands(1), Voters("votes", (ensemble(_votes(*answers), "RAW"),), 3))


def _shared(*shares: Sequence[int]) -> ee.Image:
    """A map of as many classes by the shares of some trees, in ten-thousandths, one list a class."""
    classes = tuple(ensemble(_votes(*one), "REGRESSION") for one in shares)
    return classified(bands(1), Voters("probability", classes, len(classes)))


def _through_a_table(text: str) -> ee.String:
    """A text as it comes back from a table, whose texts hold no line ends."""
    return ee.String(text.replace("\n", LINE_END)).replace(LINE_END, "\n", "g")


TREE_EXPERIMENTS: Final = (
    Experiment(
        "S50",
        "An ensemble of trees answers the class with most votes, one vote per tree",
        lambda: _answer(_votes(1, 5, 5)),
        everywhere(said=5),
        "pixels",
    ),
    Experiment(
        "S50",
        "Of classes with the same number of votes it answers the smallest, whichever tree comes first",
        lambda: ee.Image.cat([_answer(_votes(*votes)) for votes in ((3, 1), (1, 3), (4, 2, 2, 4, 7))]),
        everywhere(said=1, said_1=1, said_2=2),
        "pixels",
    ),
    Experiment(
        "S51",
        "An ensemble in the mode RAW answers an array of each tree's answer, in the order of the trees",
        lambda: _raw(3, 1, 3, 2).arrayFlatten([["first", "second", "third", "fourth"]]),
        everywhere(first=3, second=1, third=3, fourth=2),
        "pixels",
    ),
    Experiment(
        "S51",
        "A classifier says the mode that was set",
        lambda: ensemble(_votes(1), "RAW").mode(),
        "RAW",
    ),
    Experiment(
        "S52",
        "An ensemble in the mode REGRESSION answers the mean of its trees",
        lambda: _answer(_votes(1, 4), "REGRESSION"),
        everywhere(said=2.5),
        "pixels",
    ),
    Experiment(
        "S53",
        "A value at the limit takes the first branch, one just above it the second",
        lambda: ee.Image.cat(
            [_answer([_stump(1, 2, 7)], image=bands(value).toFloat()) for value in (7, 7.000001)]
        ),
        everywhere(said=1, said_1=2),
        "pixels",
    ),
    Experiment(
        "S53",
        "A limit is a 64-bit number: the 32-bit number 0.1 is above 0.1",
        lambda: _answer([_stump(1, 2, TENTH)], image=bands(TENTH).toFloat()),
        everywhere(said=2),
        "pixels",
    ),
    Experiment(
        "S53",
        "Limits between whole numbers part them, below zero too",
        lambda: ee.Image.cat([_answer([_stump(1, 2, -2.5)], image=bands(value)) for value in (-3, -2)]),
        everywhere(said=1, said_1=2),
        "pixels",
    ),
    Experiment(
        "S54",
        f"A tree may have {DEEPEST} splits above a leaf, whose number is then 2^31 - 1",
        lambda: ee.Image.cat([_answer([_steps(DEEPEST)], image=bands(value)) for value in (1, 17, 99)]),
        everywhere(said=1, said_1=17, said_2=DEEPEST + 1),
        "pixels",
    ),
    Experiment(
        "S54",
        "A tree may be a single leaf",
        lambda: _answer(["1) root 9 9 5 *\n"]),
        everywhere(said=5),
        "pixels",
    ),
    Experiment(
        "S54",
        "A tree whose nodes are not in order is refused",
        lambda: _answer(["1) root 9 9 9 (0.5)\n3) a > 1 9 9 2 *\n2) a <= 1 9 9 1 *\n"]),
        "never",
        "refusal",
    ),
    Experiment(
        "S55",
        "An image that lacks a band of the trees is refused",
        lambda: _answer([_stump(1, 2, name="b")]),
        "never",
        "refusal",
    ),
    Experiment(
        "S55",
        "A pixel is masked where a band of the trees is; other bands do not matter",
        lambda: ee.Image.cat(
            [
                shown(_answer([_stump(1, 2, name=name)], image=bands(1).addBands(masked(1).rename(["b"]))))
                for name in ("a", "b")
            ]
        ),
        everywhere(said=1, said_1=-1),
        "pixels",
    ),
    Experiment(
        "S56",
        "A number is compared with each element of an array, and a sum leaves one element",
        lambda: _raw(3, 1, 3, 2).eq(3).arrayReduce(ee.Reducer.sum(), [0]).arrayGet(0).rename(["votes"]),
        everywhere(votes=2),
        "pixels",
    ),
    Experiment(
        "S56",
        "More votes are counted than a byte can say",
        lambda: _counted(*[2] * 290, *[1] * 10),
        everywhere(**{"class": 2, "confidence": 97}),
        "pixels",
    ),
    Experiment(
        "S56",
        "Votes are counted to a class and its percentage; of equal classes the smallest wins",
        lambda: ee.Image.cat([_counted(2, 3, 3), _counted(3, 2, 2, 3), _counted(*[1] * 5, *[2] * 3)]),
        everywhere(
            **{"class": 3, "confidence": 67, "class_1": 2, "confidence_1": 50},
            **{"class_2": 1, "confidence_2": 63},
        ),
        "pixels",
    ),
    Experiment(
        "S56",
        "Shares are averaged to a class and its percentage; of equal classes the smallest wins",
        lambda: ee.Image.cat(
            [_shared((3000, 0, 1), (3000, 9000, 9999), (4000, 1000, 0)), _shared((3, 2), (2, 3))]
        ),
        everywhere(**{"class": 2, "confidence": 73, "class_1": 1, "confidence_1": 0}),
        "pixels",
    ),
    Experiment(
        "S57",
        "A text with another sign for line ends becomes the same tree",
        lambda: _answer([_through_a_table(_stump(1, 2))]),  # type: ignore[list-item]
        everywhere(said=1),
        "pixels",
    ),
)
