"""What is said of work as it goes on."""

import threading

import pytest

from cli.output.reporting import MinuteLines, Wording, duration, reporting

COUNTED: Wording[tuple[str, int]] = Wording(
    lambda state: f"{state[0]} {state[1]}", lambda state: (state[1], 10), lambda state: state[0]
)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (59.6, "1 min 00 s"), (61, "1 min 01 s"), (3_600, "1 h 00 min"), (200_000, "2 d 07 h")],
)
def test_a_duration_reads_in_two_units(seconds: float, text: str) -> None:
    assert duration(seconds) == text


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_log_says_the_first_state_each_part_and_the_last() -> None:
    lines: list[str] = []
    with MinuteLines(COUNTED, lines.append) as log:
        for state in (("cells", 0), ("cells", 1), ("samples", 0), ("samples", 1), ("samples", 2)):
            log.report(state)
    assert lines == ["cells 0", "samples 0", "samples 2"]


def test_a_last_state_that_was_said_is_not_repeated() -> None:
    lines: list[str] = []
    with MinuteLines(COUNTED, lines.append) as log:
        log.report(("cells", 0))
    with MinuteLines(COUNTED, lines.append):
        pass  # nothing was done
    assert lines == ["cells 0"]


def test_a_minute_without_a_new_state_is_said_too() -> None:
    lines: list[str] = []
    clock = Clock()
    log = MinuteLines(COUNTED, lines.append, clock=clock)
    log.again()  # before there is a state
    log.report(("cells", 0))
    clock.now = 50.0
    log.report(("cells", 1))
    for now in (60.0, 120.0, 180.0):
        clock.now = now
        log.again()
    assert lines == [
        "cells 0",
        "cells 1",
        "cells 1, for 1 min 10 s none more",
        "cells 1, for 2 min 10 s none more",
    ]


def test_lines_come_by_themselves_while_the_work_says_nothing() -> None:
    lines: list[str] = []
    enough = threading.Event()

    def write(text: str) -> None:
        lines.append(text)
        if len(lines) == 4:
            enough.set()

    with MinuteLines(COUNTED, write, interval=0.01) as log:
        log.report(("cells", 0))
        assert enough.wait(30)
    assert {line.split(",")[0] for line in lines} == {"cells 0"}


def test_quiet_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with reporting(COUNTED, quiet=True) as reporter:
        reporter.write("a notice")
        reporter.report(("cells", 0))
    assert capsys.readouterr().err == ""


def test_a_terminal_has_a_bar_and_a_log_has_lines(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for terminal in (False, True):
        monkeypatch.setattr("sys.stderr.isatty", lambda terminal=terminal: terminal)
        with reporting(COUNTED, quiet=False) as reporter:
            reporter.write("a notice")
            reporter.report(("cells", 3))
        told = capsys.readouterr().err
        assert "a notice" in told
        assert "cells 3" in told
        assert ("━" in told) is terminal
