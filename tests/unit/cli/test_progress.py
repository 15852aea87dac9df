"""The progress of a batch, in a terminal and in a log."""

import io
from types import SimpleNamespace

import pytest
from rich.console import Console

import cli.progress
from cli.progress import PictureProgress


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The time, which stands still until a test sets `now`."""
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(cli.progress, "time", SimpleNamespace(monotonic=lambda: clock.now))
    return clock


def test_progress_in_a_log_is_a_line_from_time_to_time(
    clock: SimpleNamespace, capsys: pytest.CaptureFixture[str]
) -> None:
    with PictureProgress(8000, "scans") as progress:
        for clock.now, done, sent in [
            (4, 10, 5000),  # too soon after the start
            (5, 50, 5000),
            (8, 80, 8000),
            (10, 100, 8000),
            (15, 100, 8000),  # nothing moved
            (40, 100, 8000),
            (41, 4000, 8000),
            (45, 7960, 8000),
        ]:
            progress.show(done, sent)

    assert capsys.readouterr().err.splitlines() == [
        "scans: 5000 uploaded, 50 of 8000 done, 10.0/s, 13 min 15 s left",
        "scans: 100 of 8000 done, 10.0/s, 13 min 10 s left",
        "scans: 100 of 8000 done, –/s",
        "scans: 7960 of 8000 done, 262.0/s, 0 s left",
    ]


def test_a_long_time_is_shown_in_hours(clock: SimpleNamespace, capsys: pytest.CaptureFixture[str]) -> None:
    progress = PictureProgress(200_000, "scans")
    clock.now = 10
    progress.show(200, 200_000)

    assert capsys.readouterr().err == "scans: 200 of 200000 done, 20.0/s, 2 h 46 min left\n"


def test_a_log_shows_why_there_is_no_progress(clock: SimpleNamespace, capsys: pytest.CaptureFixture[str]) -> None:
    progress = PictureProgress(10, "scans")
    clock.now = 2
    progress.note("no live worker.")  # too soon after the start to be a line, so it goes with the next one
    clock.now = 31
    progress.show(0, 10)
    progress.note("no live worker.")
    clock.now = 37
    progress.note("no live worker.")

    assert capsys.readouterr().err.splitlines() == [
        "scans: 0 of 10 done, waiting for the first (no live worker.)",
        "scans: no live worker.",
    ]


def test_a_terminal_shows_a_bar_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = io.StringIO()
    monkeypatch.setattr(cli.progress, "messages", lambda: Console(file=screen, force_terminal=True, width=120))

    with PictureProgress(10, "scans") as progress:
        progress.show(0, 10)
        progress.note("no live worker [pytorch].")
    with_reason = screen.getvalue()
    with PictureProgress(10, "scans") as progress:
        progress.note("no live worker.")
        progress.show(3, 7)
        progress.show(4, 8)

    assert "no live worker [pytorch]." in with_reason
    last = screen.getvalue().removeprefix(with_reason)
    assert "4/10" in last
    assert "8 uploaded" in last
    assert "no live worker" not in last
