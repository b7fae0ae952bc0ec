from dataclasses import dataclass

import pytest

from cli.output.progress import describe, duration, log_lines


@dataclass
class State:
    done: int
    failed: int = 0
    planned: int = 100
    pixels: int = 0
    pixels_per_second: float = 12_345.6
    seconds_left: float | None = 61


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (59.6, "1 min 00 s"), (61, "1 min 01 s"), (3_600, "1 h 00 min"), (200_000, "2 d 07 h")],
)
def test_a_duration_reads_in_two_units(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_progress_says_cells_speed_and_time_left() -> None:
    assert describe(State(3)) == "3 of 100 cells, 12,346 pixels/s, 1 min 01 s left"  # type: ignore[arg-type]
    assert "2 failed" in describe(State(3, failed=2))  # type: ignore[arg-type]
    assert "left" not in describe(State(3, seconds_left=None))  # type: ignore[arg-type]


def test_a_log_gets_the_first_state_a_line_a_minute_and_the_last() -> None:
    lines: list[str] = []
    now = 0.0
    report = log_lines(lines.append, lambda: now)
    for done in range(101):
        report(State(done))  # type: ignore[arg-type]
        now += 1
    assert [line.split()[0] for line in lines] == ["0", "60", "100"]
