import os
import re
import signal
from pathlib import Path

import pytest
import torch
from filelock import FileLock

from facegan.config import RunConfig
from facegan.training.state import precision


@pytest.fixture
def package(tmp_path, monkeypatch):
    """package("torch", SOURCE): a package found before the installed one, by this process and by those it starts."""

    def make(name, source):
        folder = tmp_path / "site" / name
        folder.mkdir(parents=True)
        (folder / "__init__.py").write_text(source)
        monkeypatch.syspath_prepend(str(folder.parent))
        monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(folder.parent), os.environ.get("PYTHONPATH", "")]))

    return make


@pytest.mark.integration
def test_machine_that_runs_these_tests_can_train(facegan, workplace, cache):
    said = facegan("doctor", "--json", "--time-limit", 900)
    assert (said.code, said.err) == (0, "")
    document = said.json
    assert document["able"] is True
    assert re.match("all is well: facegan can|facegan can train and sample here, but: ", document["verdict"])
    checks = {check["name"]: check for check in document["checks"]}
    order = ["facegan", "python", "system", "machine", "packages", "torch", "torchvision", "cpu"]
    assert list(checks)[:8] == order
    assert list(checks)[-3:] == ["current folder", "cache", "plugins"]
    assert checks["cache"]["facts"]["path"] == str(cache)
    assert "fp32" in checks["cpu"]["facts"]["works"]
    taken = precision(RunConfig().complete(), torch.device("cpu"))
    assert checks["cpu"]["facts"]["auto_precision"] == {torch.float32: "fp32", torch.bfloat16: "bf16"}[taken]
    assert {"name", "found", "status", "mend", "facts"} == set(checks["cpu"])
    assert checks["plugins"]["facts"]["command 'doctor'"]["reason"] is None
    assert list(workplace.iterdir()) == []


def test_problems_are_a_table_the_fixes_and_a_verdict_with_exit_code_1(facegan, package, cache, monkeypatch):
    package("torch", "raise OSError('libcudart.so.12: cannot open shared object file')")
    (cache / "file").write_text("")
    monkeypatch.setenv("FACEGAN_CACHE", str(cache / "file" / "cache"))
    said = facegan("doctor")
    (cache / "file").unlink()
    assert (said.code, said.err) == (1, "")
    *table, empty, fix, verdict = said.out.splitlines()
    assert empty == ""
    assert table[0].split() == ["what", "found"]
    assert [line.split()[:2] for line in table[1:5]] == [
        ["ok", "facegan"], ["ok", "python"], ["ok", "system"], ["ok", "machine"]
    ]  # fmt: skip
    assert next(line for line in table if line.startswith("wrong")).split()[:4] == ["wrong", "torch", "does", "not"]
    assert fix == "wrong: cache: set the variable FACEGAN_CACHE to a folder that can be written"
    assert verdict == (
        "facegan cannot train and sample here: torch: does not work, so that neither devices nor plugins were "
        "tried (OSError: libcudart.so.12: cannot open shared object file); "
        "run: python -m pip install --upgrade --force-reinstall torch (and 1 more, above)"
    )


def test_time_limit_ends_what_hangs(facegan, package):
    package("torch", "import time\nwhile True: time.sleep(1)")
    said = facegan("doctor", "--time-limit", 1)
    assert said.code == 1
    assert "did not return within 1 seconds" in said.out.splitlines()[-1]
    assert "torchvision" not in said.out and "built in" not in said.out  # they need torch


def test_signal_ends_it_and_the_process_that_it_started(start, package, workplace):
    package(
        "torch",
        "import pathlib, time, filelock\nlock = filelock.FileLock('held').acquire()\n"
        "pathlib.Path('locked').write_text('yes')\ntime.sleep(600)",
    )
    process = start("doctor")
    process.wait_for(Path("locked"), "yes")
    said = process.stop(signal.SIGTERM)
    assert (said.code, said.out) == (143, "")
    assert "Traceback" not in said.err
    with FileLock("held", timeout=600):  # it lets go of it when it dies, and not before
        pass
    assert {path.name for path in workplace.iterdir()} <= {"held", "locked", "site", "stderr.txt"}
