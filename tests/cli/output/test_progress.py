from dataclasses import dataclass

from cli.output.progress import describe


@dataclass
class State:
    done: int
    failed: int = 0
    planned: int = 100
    pixels: int = 1
    pixels_per_second: float = 12_345.6
    seconds_left: float | None = 61
    under_way: int = 0


def test_progress_says_cells_speed_and_time_left() -> None:
    assert describe(State(3)) == "3 of 100 cells, 12,346 pixels/s, 1 min 01 s left"  # type: ignore[arg-type]
    assert "2 failed" in describe(State(3, failed=2))  # type: ignore[arg-type]
    assert "left" not in describe(State(3, seconds_left=None))  # type: ignore[arg-type]
    waiting = State(0, pixels=0, seconds_left=None, under_way=4)
    assert describe(waiting) == "0 of 100 cells, 4 under way"  # type: ignore[arg-type]
