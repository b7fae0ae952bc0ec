from __future__ import annotations

from typing import Any

import pytest

from gee_pipeline.errors import InputError
from training.pseudo_labels.rules import PseudoRules


@pytest.mark.parametrize(
    ("given", "option"),
    [
        ({"confidence": 101}, "--confidence 101"),
        ({"confidence": -1}, "--confidence -1"),
        ({"confidence": float("nan")}, "--confidence nan"),
        ({"best_share": 0}, "--best-share 0"),
        ({"best_share": 100.5}, "--best-share 100.5"),
        ({"neighbours": 9}, "--neighbours 9"),
        ({"neighbours": -1}, "--neighbours -1"),
        ({"min_clear": -1}, "--min-clear -1"),
        ({"passes": -1}, "--passes -1"),
        ({"passes": 300}, "--passes 300"),
        ({"passes": 5}, "--agree 9"),  # more than there are passes
        ({"agree": 0}, "--agree 0"),
        ({"per_class": 0}, "--per-class 0"),
        ({"largest_ratio": 0.9}, "--largest-ratio 0.9"),
        ({"largest_ratio": float("inf")}, "--largest-ratio inf"),
        ({"spacing": 0}, "--spacing 0"),
        ({"spacing": 25}, "--spacing 25"),
        ({"seed": -1}, "--seed -1"),
        ({"seed": 2**32}, "--seed 4294967296"),
    ],
)
def test_what_no_rule_can_be_is_refused_by_its_option(given: dict[str, Any], option: str) -> None:
    with pytest.raises(InputError) as caught:
        PseudoRules(**given)
    assert option in str(caught.value)


def test_the_ends_of_the_ranges_are_taken() -> None:
    PseudoRules(confidence=0, best_share=100, neighbours=0, min_clear=0, passes=0, agree=99, spacing=10)
    PseudoRules(confidence=100, passes=255, agree=255, largest_ratio=1, per_class=1, seed=2**32 - 1)


def test_the_rules_are_told_in_words() -> None:
    text = PseudoRules(best_share=5, agree=7).description
    assert "at least 80 % or among the surest 5 % of the class" in text
    assert "7 of 10 dropout passes" in text
    assert "dropout" not in PseudoRules(passes=0).description
