import contextlib
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from facegan.cli import main

TINY = (
    "--preset", "dcgan", "--resolution", "16", "--batch-size", "16", "--device", "cpu", "--precision", "fp32",
    "--set", "data.options.num_images=48", "--set", "architecture.z_dim=12",
    "--set", "architecture.ngf=8", "--set", "architecture.ndf=8",
)  # fmt: skip
NUM_STEPS = 4


@dataclass(frozen=True)
class Said:
    """What one command did: its exit code and both streams."""

    code: int
    out: str
    err: str

    @property
    def json(self):
        return json.loads(self.out)

    @property
    def complaint(self):
        """The one line of a failure; fails the test when there is another number of lines, or a result on stdout."""
        assert self.out == ""
        assert len(self.err.splitlines()) == 1, self.err
        assert "Traceback" not in self.err
        return self.err.strip()


def call(*arguments):
    """Run a command in this process, as a shell without a terminal would see it."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), pytest.raises(SystemExit) as exit:
        main([str(argument) for argument in arguments])
    return Said(exit.value.code or 0, out.getvalue(), err.getvalue())


@pytest.fixture(scope="session")
def shared_cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cli-cache")


@pytest.fixture(autouse=True)
def cache(shared_cache, monkeypatch):
    """One cache for all command line tests, so that the same images are packed once."""
    monkeypatch.setenv("FACEGAN_CACHE", str(shared_cache))
    return shared_cache


@pytest.fixture
def own_cache(tmp_path_factory, monkeypatch):
    """A cache of one test's own, for those that look into it."""
    folder = tmp_path_factory.mktemp("cache").resolve()
    monkeypatch.setenv("FACEGAN_CACHE", str(folder))
    return folder


@pytest.fixture(autouse=True)
def workplace(tmp_path, monkeypatch):
    """An empty current folder, and no colours asked for by whoever runs the tests."""
    for name in ("FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def facegan():
    """facegan("train", "--steps", 3) -> what the command said."""
    return call


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """A finished tiny run (shared: not to be changed), and what `facegan train` said of it, packing included."""
    folder = tmp_path_factory.mktemp("trained") / "faces-1"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FACEGAN_CACHE", str(tmp_path_factory.mktemp("cache-of-its-own")))
        said = call("train", *TINY, "--steps", NUM_STEPS, "--run", folder, "--set", "output.sample_every=2")
    assert said.code == 0, said.err
    return folder, said


@pytest.fixture
def run(trained, workplace):
    """A copy of the finished tiny run, at runs/faces-1 in the current folder; free to be changed."""
    folder = workplace / "runs" / "faces-1"
    shutil.copytree(trained[0], folder)
    return Path("runs/faces-1")


@pytest.fixture
def tiny():
    """The flags of a run that trains in a blink."""
    return TINY


class Process:
    """`facegan` in a process of its own, its stderr in a file."""

    def __init__(self, *arguments, **options):
        self.log = Path("stderr.txt")
        with self.log.open("wb") as log:
            streams = {"stdout": subprocess.PIPE, "stderr": log}
            self.process = subprocess.Popen(
                [sys.executable, "-m", "facegan", *map(str, arguments)],
                env={**os.environ, "OMP_NUM_THREADS": "1"}, **{**streams, **options},
            )  # fmt: skip

    def wait_for(self, path, pattern, seconds=600):
        """Wait until a file that the process writes contains a pattern."""
        end = time.monotonic() + seconds
        while not (path.exists() and re.search(pattern, path.read_text())):
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < end, f"{path}: no {pattern} within {seconds} s"
            time.sleep(0.05)

    def stop(self, number=signal.SIGTERM):
        """Send a signal and wait for the end."""
        self.process.send_signal(number)
        out, _ = self.process.communicate(timeout=600)
        return Said(self.process.returncode, out.decode(), self.log.read_text())


@pytest.fixture
def start():
    """start("train", ...) -> a running Process, ended with the test."""
    started = []

    def make(*arguments, **options):
        started.append(Process(*arguments, **options))
        return started[-1]

    yield make
    for each in started:
        each.process.kill()
        each.process.wait()
        if each.process.stdout:
            each.process.stdout.close()
