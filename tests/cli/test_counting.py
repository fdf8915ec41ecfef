import threading
import time

import pytest

from facegan.cli import signals
from facegan.cli.counting import counting


@pytest.fixture
def clock(monkeypatch):
    """A clock that the test sets: clock[0] is the time."""
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


def test_quick_work_is_not_talked_about(clock, capsys):
    with counting("checking") as progress:
        clock[0] += 1.9
        progress(10, 10)
    assert capsys.readouterr() == ("", "")


def test_long_work_has_a_line_now_and_then_with_rate_and_time_left(clock, capsys):
    with counting("checking") as progress:
        for done in range(1, 21):
            clock[0] += 1
            progress(done * 50, 2000)
    assert capsys.readouterr().err.splitlines() == [
        "checking 100/2000 images  50 pictures/s  ETA 0:38",
        "checking 600/2000 images  50 pictures/s  ETA 0:28",
    ]


def test_terminal_shows_a_bar_of_what_takes_longer(clock, monkeypatch, capsys):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    monkeypatch.setenv("COLUMNS", "120")
    with counting("checking") as progress:
        progress(30, 60)
        assert capsys.readouterr().err == ""
        clock[0] += 2
        progress(40, 60)
    said = capsys.readouterr()
    assert said.out == "" and "checking" in said.err and "40/60" in said.err and "pictures/s" in said.err


def test_waiting_for_another_who_has_not_begun_has_no_time_left(clock, capsys):
    with counting("packing") as show:
        clock[0] += 5
        show(0, 9)
    assert capsys.readouterr().err == "packing 0/9 images  0 pictures/s  ETA ?\n"


def test_slow_work_has_a_rate_of_two_digits(clock, capsys):
    with counting("projecting") as show:
        clock[0] += 8
        show(2, 9)
    assert capsys.readouterr().err == "projecting 2/9 images  0.25 pictures/s  ETA 0:28\n"


def test_a_signal_that_was_swallowed_ends_the_work_at_the_next_picture(monkeypatch):
    monkeypatch.setattr("facegan.cli.counting.came", [15])
    with pytest.raises(signals.Ended) as ended, counting("packing") as show:
        show(1, 9)
    assert ended.value.number == 15


def test_work_that_counts_nothing_is_told_of_until_it_ends(monkeypatch, capsys):
    monkeypatch.setattr("facegan.cli.counting.QUICK_SECONDS", 0.0)
    monkeypatch.setattr("facegan.cli.counting.DRAWN_SECONDS", 0.001)
    monkeypatch.setattr("facegan.cli.counting.PLAIN_SECONDS", 0.001)
    said, before = "", threading.active_count()
    with counting("measuring swd") as show:
        show(0, 0)
        while said.count("so far") < 2:  # by itself, without another call
            said += capsys.readouterr().err
        show(3, 6)
        while "3/6" not in said:
            said += capsys.readouterr().err
    assert said.splitlines()[0] == "measuring swd  0:00 so far" and "measuring swd 3/6 images" in said
    assert threading.active_count() == before


def test_quick_work_that_counts_nothing_is_not_talked_about(clock, capsys):
    with counting("measuring swd") as show:
        show(0, 0)
    assert capsys.readouterr() == ("", "")
