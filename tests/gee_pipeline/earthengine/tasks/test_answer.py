from typing import Any

import pytest

from gee_pipeline.earthengine.tasks.answer import Remedy, TaskAnswer, remedy_of


@pytest.mark.parametrize(
    ("message", "code", "remedy"),
    [
        ("Internal error.", 13, Remedy.AGAIN),
        ("An internal error has occurred (request: 3f)", 3, Remedy.AGAIN),
        ("Too many concurrent aggregations.", 8, Remedy.AGAIN),
        ("Computation timed out.", 3, Remedy.SMALLER),
        ("The operation took too long.", 4, Remedy.SMALLER),  # deadline exceeded
        ("Something unheard of.", 14, Remedy.AGAIN),  # unavailable
        ("User memory limit exceeded.", 3, Remedy.SMALLER),
        ("Execution failed; out of memory", 8, Remedy.SMALLER),
        ("Export too large: specified 9 pixels (max: 1).", 3, Remedy.SMALLER),
        ("Computed value is too large.", 3, Remedy.SMALLER),
        ("Computed value too large", 3, Remedy.SMALLER),
        ("Image.select: Pattern 'B99' did not match any bands.", 3, Remedy.NONE),
        ("Cannot write to bucket crops (permission denied).", 7, Remedy.NONE),
        ("Insufficient Drive storage quota.", 8, Remedy.NONE),
    ],
)
def test_what_helps_a_failed_task(message: str, code: int, remedy: Remedy) -> None:
    assert remedy_of(message, code) is remedy


def operation(state: str, **more: Any) -> dict[str, Any]:
    about = {"state": state, "description": "cropmap-1", "batchEecuUsageSeconds": 12.5}
    return {"name": "projects/p/operations/A", "metadata": about, **more}


@pytest.mark.parametrize(
    ("said", "state"),
    [
        (operation("PENDING"), "active"),
        (operation("RUNNING"), "active"),
        (operation("CANCELLING"), "active"),
        (operation("SUCCEEDED", done=True, response={}), "done"),
        (operation("CANCELLED", done=True, error={"code": 1, "message": "Cancelled."}), "cancelled"),
        (operation("FAILED", done=True, error={"code": 13, "message": "Internal error."}), "failed"),
        (operation("A_NEW_STATE"), "active"),
        (operation("A_NEW_STATE", done=True), "done"),
        (operation("A_NEW_STATE", done=True, error={"code": 3, "message": "No."}), "failed"),
    ],
)
def test_states_of_operations(said: dict[str, Any], state: str) -> None:
    answered = TaskAnswer.of(said)
    assert answered.state == state
    assert (answered.name, answered.description) == ("projects/p/operations/A", "cropmap-1")
    assert answered.eecu_seconds == 12.5
    assert bool(answered.message) == (state == "failed")


def test_a_failure_without_reason_says_so() -> None:
    assert TaskAnswer.of(operation("FAILED", done=True)).message == "Earth Engine gave no reason"
