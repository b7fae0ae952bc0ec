import pytest

from assessment.sample.text_table import decimal, plain


def test_names_are_alike_whatever_their_case_and_however_accents_are_encoded() -> None:
    composed, decomposed = "Bl\u00e9 ", "ble\u0301"
    assert plain(composed) == plain(decomposed)
    assert plain("ble") != plain(composed)


@pytest.mark.parametrize(("text", "value"), [("1.5", 1.5), ("-1,5", -1.5), ("7", 7)])
def test_numbers_have_a_decimal_point_or_comma(text: str, value: float) -> None:
    assert decimal(text) == value


@pytest.mark.parametrize("text", ["", "1,234.5", "1.234,5", "1,234,567", "9 E"])
def test_other_numbers_are_none(text: str) -> None:
    with pytest.raises(ValueError, match="convert"):
        decimal(text)
