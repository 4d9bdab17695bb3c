"""Progress of long commands: lines in a log, at most one per interval, and none on a terminal."""

import pytest

from hamipose.command_line import progress as module
from hamipose.command_line.progress import CommandProgress


def test_log_gets_a_line_per_interval(capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch):
    clock = iter([0.0, 10.0, 31.0, 40.0, 62.0])
    monkeypatch.setattr(module.time, "monotonic", lambda: next(clock))
    with CommandProgress("predicting", 9) as progress:
        for _ in range(4):
            progress.advance(2)
    assert capsys.readouterr().err.splitlines() == ["predicting: 4 of 9", "predicting: 8 of 9"]


def test_tracked_items_are_counted_after_their_use():
    with CommandProgress("drawing", None) as progress:
        seen = [(item, progress.done) for item in progress.track("abc")]
        assert progress.done == 3
    assert seen == [("a", 0), ("b", 1), ("c", 2)]


def test_terminal_shows_a_bar_without_lines(capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("FORCE_COLOR", "1")  # rich treats the output as a terminal
    with CommandProgress("predicting", 2, every_s=0.0) as progress:
        progress.advance()
        progress.update(2, 2)
    printed = capsys.readouterr().err
    assert "predicting" in printed
    assert "predicting: " not in printed
