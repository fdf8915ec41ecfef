import io
import re
import sys
import threading
import time
from contextlib import contextmanager

import pytest

from facegan.cli import console, signals
from facegan.cli.console import ConsoleReporter

METRICS = {
    "epoch": 1.5, "images_per_second": 50.0, "kimg": 0.1, "loss/D": 1.0, "loss/G": 2.0, "score/real": 0.5,
    "score/fake": 0.25,
}  # fmt: skip
NEWS = "epoch 1.50  50 images/s  loss_D 1.000  loss_G 2.000  D(x) 0.50  D(G(z)) 0.25 (balance 0.50)"


@pytest.fixture
def clock(monkeypatch):
    """A clock that the test sets: clock[0] is the time."""
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


@pytest.fixture
def terminal(monkeypatch):
    """Have stderr taken for a terminal of 60 columns."""
    for name, value in (("FORCE_COLOR", "1"), ("TTY_COMPATIBLE", "1"), ("COLUMNS", "60")):
        monkeypatch.setenv(name, value)


def visible(text):
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)


# Images


def test_quick_tasks_are_not_shown(clock, capsys):
    with ConsoleReporter() as reporter:
        reporter.progress("checking", 0, 0)
        clock[0] += 1.9
        reporter.progress("checking", 10, 10)
    assert capsys.readouterr() == ("", "")


def test_long_task_has_a_line_every_ten_seconds_with_rate_and_time_left(clock, capsys):
    with ConsoleReporter() as reporter:
        for done in range(0, 21):
            reporter.progress("checking", done * 50, 1000)
            clock[0] += 1
    assert capsys.readouterr().err.splitlines() == [
        "checking  100/1000  50 images/s  ETA 00:18",
        "checking  600/1000  50 images/s  ETA 00:08",
        "checking 1000/1000  50 images/s  ETA 00:00",
    ]


def test_next_task_counts_its_own_time(clock, capsys):
    with ConsoleReporter() as reporter:
        for task in ("packing", "sampling", "sampling"):  # the second time for another model
            reporter.progress(task, 0, 9)
            clock[0] += 1.5
            reporter.progress(task, 9, 9)
        for done in range(4):
            reporter.progress("comparing", done, 9)
            clock[0] += 0.75
    assert capsys.readouterr().err == "comparing 3/9  1.33 images/s  ETA 00:05\n"


def test_terminal_shows_a_bar_of_what_takes_longer(clock, terminal, capsys):
    with ConsoleReporter() as reporter:
        reporter.progress("checking", 30, 60)
        assert capsys.readouterr().err == ""
        clock[0] += 2
        reporter.progress("checking", 40, 60)
    said = capsys.readouterr()
    assert said.out == "" and "checking" in said.err and "40/60" in said.err and "images/s" in said.err


def test_line_is_shown_above_a_bar(clock, terminal, capsys):
    with ConsoleReporter() as reporter:
        reporter.progress("checking", 0, 60)
        clock[0] += 2
        reporter.progress("checking", 40, 60)
        reporter.info("one image is damaged [really]")
    assert "one image is damaged [really]\n" in visible(capsys.readouterr().err).replace("\r", "")


def test_waiting_for_another_process_that_has_not_begun_has_no_time_left(clock, capsys):
    with ConsoleReporter() as reporter:
        reporter.progress("packing", 0, 9)
        clock[0] += 5
        reporter.progress("packing", 0, 9)
    assert capsys.readouterr().err == "packing 0/9  ETA --:--\n"


def test_signal_that_was_swallowed_ends_the_task_at_the_next_image(monkeypatch):
    monkeypatch.setattr("facegan.cli.console.came", [15])
    with pytest.raises(signals.Ended) as ended, ConsoleReporter() as reporter:
        reporter.progress("packing", 1, 9)
    assert ended.value.number == 15


def test_task_that_counts_nothing_is_shown_until_it_ends(monkeypatch, capsys):
    monkeypatch.setattr(console, "QUICK_SECONDS", 0.0)
    monkeypatch.setattr(console, "WATCH_SECONDS", 0.001)
    monkeypatch.setattr(console, "PLAIN_SECONDS", 0.001)
    said, before = "", threading.active_count()
    with ConsoleReporter() as reporter:
        reporter.progress("measuring swd", 0, 0)
        while said.count("so far") < 2:  # by itself, without another call
            said += capsys.readouterr().err
        reporter.progress("measuring swd", 3, 6)
        while "3/6" not in said:
            said += capsys.readouterr().err
    assert said.splitlines()[0] == "measuring swd 0/?  0:00 so far" and "measuring swd 3/6" in said
    assert threading.active_count() == before


# Bytes


def test_bytes_are_shown_after_two_seconds_and_then_every_ten_with_rate_and_time_left(clock, capsys):
    with ConsoleReporter() as reporter:
        for done in range(0, 100):
            reporter.progress("faces.zip", done * 1_000_000, 100_000_000, unit="bytes")
            clock[0] += 0.5
        reporter.progress("faces.zip", 100_000_000, 100_000_000, unit="bytes")
    lines = capsys.readouterr().err.splitlines()
    assert lines[:2] == [
        "faces.zip 4.0/100.0 MB  2.0 MB/s  ETA 00:48",
        "faces.zip 24.0/100.0 MB  2.0 MB/s  ETA 00:38",
    ]
    assert lines[-1] == "faces.zip 100.0/100.0 MB  2.0 MB/s  ETA 00:00"  # the end at once
    assert len(lines) == 6


def test_rate_counts_the_bytes_of_this_attempt_alone(clock, capsys):
    with ConsoleReporter() as reporter:
        reporter.progress("faces.zip", 90_000_000, 100_000_000, unit="bytes")
        clock[0] += 10
        reporter.progress("faces.zip", 91_000_000, 100_000_000, unit="bytes")
    assert capsys.readouterr().err == "faces.zip 91.0/100.0 MB  100.0 kB/s  ETA 01:30\n"


def test_unknown_length_has_no_time_left(clock, capsys):
    with ConsoleReporter() as reporter:
        for done in (0, 1, 20):
            reporter.progress("faces.zip", done * 1_000_000, None, unit="bytes")
            clock[0] += 10
    assert capsys.readouterr().err.splitlines()[-1] == "faces.zip 20.0/? MB  1.9 MB/s  0:20 so far"


def test_terminal_shows_a_bar_of_bytes(terminal, capsys):
    with ConsoleReporter() as reporter:
        reporter.info("toys: fetching")
        reporter.progress("a.zip", 500_000, 1_000_000, unit="bytes")
        reporter.progress("b.zip", 100_000, 1_000_000, unit="bytes")
    text = visible(capsys.readouterr().err)
    assert "toys: fetching" in text
    assert re.search(r"b\.zip ━+╺━+ 0\.1/1\.0 MB", text)


# Steps, and the log of a run


@pytest.fixture
def run(tmp_path):
    """The folder of a run that exists."""
    (tmp_path / "config.json").write_text("{}")
    return tmp_path


@contextmanager
def reporting(run, *, is_new=False):
    with ConsoleReporter() as reporter:
        reporter.begin_run(run, is_new=is_new)
        yield reporter


def test_steps_are_shown_at_once_and_then_every_ten_seconds_with_the_last(clock, capsys, run):
    with reporting(run) as reporter:
        for step in range(1, 7):
            reporter.progress("training", step * 10, 60, unit="steps", metrics={**METRICS, "kimg": step / 10})
            clock[0] += 4
    lines = capsys.readouterr().err.splitlines()
    assert lines == [
        f"step 10/60  ETA --:--  {NEWS}",
        f"step 40/60  ETA 00:08  {NEWS}",
        f"step 60/60  ETA 00:00  {NEWS}",
    ]
    assert (run / "log.txt").read_text().splitlines() == lines


def test_terminal_shows_a_bar_of_steps_with_the_news_below_and_the_log_has_lines(clock, terminal, capsys, run):
    with reporting(run) as reporter:
        reporter.progress("training", 10, 60, unit="steps", metrics=METRICS)
        clock[0] += 4
        reporter.progress("training", 20, 60, unit="steps", metrics=METRICS)
    text = visible(capsys.readouterr().err)
    assert re.search(r"step ━+.* 20/60 ", text) and NEWS in text.replace("\n", "")
    assert (run / "log.txt").read_text() == f"step 10/60  ETA --:--  {NEWS}\n"


def test_packing_before_training_is_shown_after_two_seconds_and_logged(clock, capsys, run):
    with reporting(run) as reporter:
        for done in range(61):
            reporter.progress("packing", done, 60)
            clock[0] += 0.5
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "packing  4/60  2.00 images/s  ETA 00:28"
    assert lines[-1] == "packing 60/60  2.00 images/s  ETA 00:00" and len(lines) == 4
    assert (run / "log.txt").read_text().splitlines() == lines


def test_lines_wait_for_the_folder_of_a_new_run(tmp_path):
    (tmp_path / "config.json").write_text("the run that --force moves aside")
    with reporting(tmp_path, is_new=True) as reporter:
        reporter.info("first")
        assert not (tmp_path / "log.txt").exists()
        (tmp_path / "config.json").unlink()
        (tmp_path / "config.json").write_text("the new one")
        reporter.info("second")
    assert (tmp_path / "log.txt").read_text() == "first\nsecond\n"


def test_lines_wait_for_a_disk_that_takes_none(run):
    with reporting(run) as reporter:
        (run / "log.txt").mkdir()  # opening it fails, as on a full disk
        reporter.info("first")
        (run / "log.txt").rmdir()
        reporter.info("second")
    assert (run / "log.txt").read_text() == "first\nsecond\n"


def test_terminal_that_vanishes_ends_nothing(monkeypatch, run):
    class Gone(io.StringIO):
        def write(self, _):
            raise OSError("gone")

    monkeypatch.setattr(sys, "stderr", Gone())
    with reporting(run) as reporter:
        reporter.info("still here")
    assert (run / "log.txt").read_text() == "still here\n"


def test_repeated_line_is_shown_once_where_that_is_asked_for(capsys):
    with ConsoleReporter(repeat=False) as reporter:
        for line in ("a", "b", "a"):
            reporter.info(line)
    assert capsys.readouterr().err == "a\nb\n"
    assert reporter.lines == ["a", "b"]
