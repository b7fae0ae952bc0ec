import pytest

from cli.output.reporting import MinuteLines
from cli.output.training_progress import describe, training_progress, wording
from training.fit.loop import Epoch, FitProgress

FIRST, SECOND = Epoch(1, 0.5, 0.8, 0.7), Epoch(2, 0.25, 0.9, 0.85)


def test_a_line_tells_loss_scores_and_time_left():
    # A quarter of the batches took 60 s: three more to go.
    assert describe(FitProgress(10, 40, FIRST), 60.0) == (
        "epoch 1: loss 0.500, held-out accuracy 0.800, macro-F1 0.700, 3 min 00 s left"
    )


def test_before_the_first_epoch_is_over_the_time_left_is_told():
    assert describe(FitProgress(1, 40, None), 2.0) == "epoch 1, 1 min 18 s left"


def test_only_the_batches_of_this_start_tell_the_time_left():
    # Ten batches in 60 s after 20 that an earlier start did: ten more to go.
    assert describe(FitProgress(30, 40, FIRST, start=20), 60.0).endswith("1 min 00 s left")


def lines_of(*steps, times=()):
    """What a log says of the steps of a training that began at 0 s."""
    lines = []
    with MinuteLines(wording(iter([0.0, *times]).__next__), lines.append) as log:
        for step in steps:
            log.report(step)
    return lines


def test_a_log_says_where_a_training_was_resumed():
    steps = (FitProgress(2, 4, FIRST, 2), FitProgress(3, 4, FIRST, 2), FitProgress(4, 4, SECOND, 2))
    lines = lines_of(*steps, times=(0.0, 30.0))
    assert lines[0].startswith("epoch 1: ")
    assert lines[0].endswith("resumed at batch 2 of 4")
    assert lines[1].startswith("epoch 2: ")
    assert len(lines) == 2


def test_a_log_has_a_line_at_once_and_one_an_epoch():
    steps = [
        FitProgress(1, 4, None),
        FitProgress(2, 4, FIRST),
        FitProgress(3, 4, FIRST),
        FitProgress(4, 4, FIRST),
        FitProgress(4, 4, SECOND),
    ]
    lines = lines_of(*steps, times=(10.0, 20.0, 40.0))
    assert [line.split(":")[0].split(",")[0] for line in lines] == ["epoch 1", "epoch 1", "epoch 2"]
    assert lines[0] == "epoch 1, 30 s left"
    assert lines[1].endswith("20 s left")
    assert lines[2].endswith("0 s left")


def test_a_terminal_has_a_bar(monkeypatch, capsys):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    with training_progress(quiet=False) as report:
        report(FitProgress(1, 2, None))
        report(FitProgress(2, 2, FIRST))
    assert "macro-F1 0.700" in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize("terminal", [True, False])
def test_quiet_is_silent(monkeypatch, capsys, terminal):
    monkeypatch.setattr("sys.stderr.isatty", lambda: terminal)
    with training_progress(quiet=True) as report:
        report(FitProgress(2, 2, FIRST))
    assert capsys.readouterr() == ("", "")
