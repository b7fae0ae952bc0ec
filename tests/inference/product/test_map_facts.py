"""How a map's numbers are written for a reader."""

import pytest

from inference.product.map_facts import hectares_text


@pytest.mark.parametrize(
    ("hectares", "text"),
    [
        (0.0099, "0.01"),  # one pixel of 10 m
        (0.05, "0.05"),
        (0.994, "0.99"),
        (1.0, "1.0"),
        (999.94, "999.9"),
        (1234.5, "1,234"),
        (1e6, "1,000,000"),
    ],
)
def test_hectares_have_as_many_decimals_as_they_need(hectares: float, text: str) -> None:
    assert hectares_text(hectares) == text
