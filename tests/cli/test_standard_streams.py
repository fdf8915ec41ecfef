"""Standard streams that are closed, or whose encoding lacks a character of a name."""

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

pytestmark = pytest.mark.skipif(os.name != "posix", reason="closes streams as a POSIX shell does")


def shell(line, **environment):
    """Run a line of a shell, in which $facegan is the command."""
    known = {**os.environ, "OMP_NUM_THREADS": "1", "facegan": f"{shlex.quote(sys.executable)} -m facegan"}
    return subprocess.run(["sh", "-c", line], env=known | environment, capture_output=True, timeout=300)


LIGHT = ("runs show --json", "cache list", "--help")


@pytest.mark.parametrize("closed", ["2>&-", ">&-", "<&-"])
def test_closed_stream_is_as_dev_null_to_a_command(closed, run):
    done = shell("; ".join(f"$facegan {line} {closed}; echo $? >> codes" for line in LIGHT))
    assert "Traceback" not in done.stderr.decode()
    assert Path("codes").read_text().split() == ["0"] * len(LIGHT)


@pytest.mark.integration
def test_run_is_trained_and_sampled_without_any_stream(tiny):
    train = shlex.join(["train", *tiny, "--steps", "1", "--run", "new"])
    done = shell(f"$facegan {train} <&- >&- 2>&- && $facegan sample new -n 4 -o grid.png <&- >&- 2>&-")
    assert done.returncode == 0 and done.stdout == done.stderr == b""
    assert Path("new/model-card.md").exists()
    with Image.open("grid.png") as grid:
        grid.load()


def test_failure_keeps_its_exit_code_when_nobody_can_read_of_it():
    assert shell("$facegan sample gone 2>&- >&-").returncode == 2


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_path_is_escaped_where_the_encoding_of_stdout_lacks_it(encoding):
    Path("顔é").mkdir()
    done = shell("$facegan runs list --root 顔é", PYTHONIOENCODING=encoding)
    assert done.returncode == 0, done.stderr
    name = b"\\u9854\xe9" if encoding == "latin-1" else b"\\u9854\\xe9"
    assert done.stdout.splitlines()[0] == name + b": 0 runs, 0 bytes"
