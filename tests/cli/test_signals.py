import contextlib
import json
import os
import re
import signal
import sys
import time
from pathlib import Path

import pytest

from facegan.cli.options import seconds_of
from facegan.cli.signals import Ended, StopRequest, take
from facegan.errors import ConfigError

RUN = Path("runs/long")
unix = pytest.mark.skipif(sys.platform == "win32", reason="signals of Unix")


@pytest.fixture
def training(start, tiny):
    """A run in a process of its own that would take hours, at its first steps."""

    def make(*arguments, **options):
        process = start(
            "train", *tiny, "--steps", 100_000, "--set", "output.tick_every=5", "--run", RUN, *arguments, **options
        )
        process.wait_for(RUN / "metrics.jsonl", r"\n")
        return process

    return make


def last_state():
    return max(int(path.stem[5:]) for path in (RUN / "states").glob("step-*.safetensors"))


@pytest.mark.integration
@unix
def test_a_closed_terminal_saves_and_says_so_in_the_log(training):
    said = training(preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL)).stop(signal.SIGHUP)
    assert said.code == 129
    assert f"saved at step {last_state()}; continue with: facegan resume {RUN}" in (RUN / "log.txt").read_text()


@pytest.mark.integration
@unix
def test_under_nohup_a_closed_terminal_is_nothing(training):
    process = training(preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
    before = (RUN / "metrics.jsonl").stat().st_size
    process.process.send_signal(signal.SIGHUP)
    process.wait_for(RUN / "metrics.jsonl", rf"(?s).{{{before + 1},}}\n")
    assert process.process.poll() is None
    assert process.stop(signal.SIGTERM).code == 143


@pytest.mark.integration
@unix
def test_a_terminal_that_vanishes_does_not_end_a_run_that_ignores_the_hangup(training):
    ours, theirs = os.openpty()
    process = training(
        stdout=theirs, stderr=theirs, start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN),
    )  # fmt: skip
    os.close(theirs)
    os.close(ours)  # from now on, writing to the terminal fails
    before = (RUN / "metrics.jsonl").stat().st_size
    end = time.monotonic() + 600
    while (RUN / "metrics.jsonl").stat().st_size < before + 500:
        assert process.process.poll() is None, (RUN / "log.txt").read_text()
        assert time.monotonic() < end
        time.sleep(0.05)
    process.process.send_signal(signal.SIGTERM)
    assert process.process.wait(60) == 143
    assert f"saved at step {last_state()}" in (RUN / "log.txt").read_text()


@pytest.mark.integration
@unix
def test_a_second_ctrl_c_ends_at_once(training):
    process = training()
    process.process.send_signal(signal.SIGINT)
    process.wait_for(process.log, "stopping: this step is finished")
    process.process.send_signal(signal.SIGINT)
    assert process.process.wait(60) == 130


@unix
def test_ctrl_c_while_a_dataclass_is_made_exits_with_130(start, install, monkeypatch, tmp_path):
    press = "import os, signal, time\ndef press():\n    exec('os.kill(os.getpid(), signal.SIGINT); time.sleep(60)')\n"
    install("hastyplug", press, {"facegan.command": {"hasty": "hastyplug:press"}})
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path / "site-hastyplug"), *sys.path]))
    assert start("hasty").process.wait(60) == 130


def test_a_time_limit_stops_in_good_order(facegan, tiny):
    said = facegan(
        "train", *tiny, "--steps", 100_000, "--set", "output.tick_every=5", "--run", RUN, "--max-time", "1s", "--json"
    )
    assert said.code == 0, said.err
    assert said.json["finished"] is False
    assert said.json["step"] == last_state() > 0
    assert f"saved at step {last_state()}; continue with: facegan resume {RUN}" in said.err
    before = last_state()
    said = facegan("resume", RUN, "--max-time", "1s")
    assert said.code == 0, said.err
    assert last_state() > before
    assert json.loads((RUN / "config.json").read_text())["train"]["steps"] == 100_000


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("2h", 7200), ("90m", 5400), ("1h30m", 5400), ("45s", 45), ("45", 45), ("1d", 86400), (" 2H ", 7200)],
)
def test_times_are_read(text, seconds):
    assert seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["", "0", "0h", "-1h", "2 hours", "h", "1.5h", "30m2h"])
def test_other_times_are_refused(text):
    with pytest.raises(ConfigError) as refusal:
        seconds_of(text)
    assert str(refusal.value) == (
        f"--max-time {text}: is not a time above 0 in days, hours, minutes, seconds; "
        "give for instance 1d, 2h, 1h30m, 45s"
    )


def test_a_signal_before_the_loop_has_asked_ends_at_once():
    for number, error in ((signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, Ended)):
        with pytest.raises(error), StopRequest().listening():
            signal.raise_signal(number)


def test_a_signal_that_an_import_swallowed_ends_before_the_training(monkeypatch):
    monkeypatch.setattr("facegan.cli.signals.came", [])
    with contextlib.suppress(KeyboardInterrupt):  # as some extension modules do while they are imported
        take(signal.SIGINT, None)
    with pytest.raises(KeyboardInterrupt), StopRequest().listening():
        raise AssertionError("it went on")


def test_the_first_signal_asks_and_the_second_ends(capfd):
    with pytest.raises(Ended), StopRequest().listening() as stop:
        assert not stop()
        signal.raise_signal(signal.SIGTERM)
        assert stop()
        assert stop.exit_code == 143
        signal.raise_signal(signal.SIGTERM)
    assert re.search("stopping: .*; once more ends at once", capfd.readouterr().err)


def test_handlers_are_given_back():
    before = [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)]
    with StopRequest().listening():
        assert signal.getsignal(signal.SIGTERM) != before[1]
    assert [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)] == before
