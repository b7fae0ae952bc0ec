"""What a map says of its model in its first line."""

from pathlib import Path

import pytest

from inference.workflow.trained_model import introduce


class Told:
    """Receives notices."""

    def __init__(self):
        self.notices = []

    def notice(self, text):
        self.notices.append(text)


@pytest.mark.parametrize(
    ("provenance", "said"),
    [
        ({}, "trained on samples that its file does not name."),
        ({"data": "Fields here."}, "trained on Fields here."),
        (
            {"data": "Fields here.", "tuned": {"data": "Fields there."}},
            "trained on Fields here. Tuned on Fields there.",
        ),
    ],
)
def test_a_tuned_model_is_said_to_be_so(make_checkpoint, provenance, said):
    told = Told()
    introduce("Model", make_checkpoint(classes=2, provenance=provenance), Path("a.safetensors"), told)
    assert told.notices == [f"Model a.safetensors knows crop 1, crop 2; {said}"]
