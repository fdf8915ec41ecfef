import re
import time

import pytest

from facegan.cli import console


@pytest.fixture
def clock(monkeypatch):
    """A clock that the test sets: clock[0] is the time."""
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


# Bytes that arrive


def test_bytes_are_told_after_two_seconds_and_then_every_ten_with_rate_and_time_left(clock, capsys):
    with console.ByteProgress() as progress:
        for done in range(0, 100):
            progress.show("faces.zip", done * 1_000_000, 100_000_000)
            clock[0] += 0.5
    lines = capsys.readouterr().err.splitlines()
    assert lines[:2] == [
        "faces.zip: 4.0 MB of 100.0 MB, 2.0 MB/s, ETA 0:48",
        "faces.zip: 24.0 MB of 100.0 MB, 2.0 MB/s, ETA 0:38",
    ]
    assert len(lines) == 5


def test_end_is_told_at_once(clock, capsys):
    with console.ByteProgress() as progress:
        progress.show("faces.zip", 0, 3_000_000)
        clock[0] += 2
        progress.show("faces.zip", 3_000_000, 3_000_000)
    assert capsys.readouterr().err == "faces.zip: 3.0 MB of 3.0 MB, 1.5 MB/s\n"


def test_rate_is_that_of_this_sitting(clock, capsys):
    with console.ByteProgress() as progress:
        progress.show("faces.zip", 90_000_000, 100_000_000)
        clock[0] += 10
        progress.show("faces.zip", 91_000_000, 100_000_000)
    assert capsys.readouterr().err == "faces.zip: 91.0 MB of 100.0 MB, 100.0 kB/s, ETA 1:30\n"


def test_unknown_length_has_no_time_left(clock, capsys):
    with console.ByteProgress() as progress:
        progress.show("faces.zip", 0, None)
        clock[0] += 10
        progress.show("faces.zip", 20_000_000, None)
    assert capsys.readouterr().err == "faces.zip: 20.0 MB, 2.0 MB/s\n"


def test_terminal_shows_a_bar_of_bytes(monkeypatch, capsys):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "100")
    with console.ByteProgress() as progress:
        progress.say("toys: fetching")
        progress.show("a.zip", 500_000, 1_000_000)
        progress.show("b.zip", 100_000, 1_000_000)
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", capsys.readouterr().err)
    assert "toys: fetching" in text
    assert re.search(r"b\.zip ━+╺━+ 0\.1/1\.0 MB", text)


def test_packing_is_told_after_two_seconds_with_rate_and_time_left(tmp_path, clock, capsys):
    with console.TrainingConsole(tmp_path / "log.txt", new=True) as shown:
        for done in range(61):
            shown.packing(done, 60)
            clock[0] += 0.5
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "packing 4/60 images  2 pictures/s  ETA 0:28"
    assert lines[-1] == "packing 60/60 images  2 pictures/s  ETA 0:00" and len(lines) == 4
