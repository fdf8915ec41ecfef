"""The short version of the harness, and that it would see a loss."""

import json
import os
import random
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from comparing import differences
from damage import files, leave_partial, lose_power, tear, tear_metrics
from safetensors.numpy import load_file, save_file

from campaign import short_and_long

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="the harness forks its processes")


@pytest.mark.parametrize("kills", short_and_long(2, "CAMPAIGN_KILLS", 300, short_marks=pytest.mark.integration))
def test_killed_runs_are_resumed_and_end_as_if_nothing_had_happened(kills, tmp_path):
    size = ["--kills", str(kills), "--plans", "1" if kills < 12 else "12", "--seed", "5"]
    command = [sys.executable, Path(__file__).with_name("killing.py"), *size, "--folder", tmp_path]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    injected, survived = map(int, re.search(r"^in all +(\d+) +(\d+)$", done.stdout, re.MULTILINE).groups())
    assert injected == survived >= kills
    assert "runs unreadable: 0\nresults differing: 0\n" in done.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def run(tmp_path):
    """A folder with a little of everything that a finished run holds."""
    folder = tmp_path / "run"
    for kind in ("states", "snapshots"):
        (folder / kind).mkdir(parents=True)
        for step in (2, 4):
            save_file({"G.weight": np.full(300, step, np.float32)}, folder / kind / f"step-{step:08d}.safetensors")
    (folder / "samples").mkdir()
    for name in ("samples/step-00000004.png", "config.json", "model-card.md", "faces.png", "losses.png"):
        (folder / name).write_bytes(name.encode())
    lines = [json.dumps({"step": step, "loss/D": 1.0, "seconds": 0.5}) + "\n" for step in range(1, 5)]
    (folder / "metrics.jsonl").write_text("".join(lines))
    return folder


@pytest.fixture
def other(run, tmp_path):
    """The same once more, free to be changed."""
    return Path(shutil.copytree(run, tmp_path / "other"))


def newest(run, kind="states"):
    return run / kind / "step-00000004.safetensors"


def change_a_tensor(run):
    tensors = load_file(newest(run))
    tensors["G.weight"][7] = np.nextafter(np.float32(4), np.float32(5))
    save_file(tensors, newest(run))


def change_the_header(run):
    save_file(load_file(newest(run)), newest(run), {"threads": "2"})


def change_a_line(run):
    path = run / "metrics.jsonl"
    path.write_text(path.read_text().replace('"loss/D": 1.0', '"loss/D": 1.0000000000000002', 1))


LOSSES = {
    "states/step-00000004.safetensors: 1 tensors differ (G.weight, ...)": change_a_tensor,
    "states/step-00000004.safetensors: its header differs": change_the_header,
    "states: the newest is of step 2, not 4": lambda run: newest(run).unlink(),
    "snapshots/step-00000004.safetensors: cannot be read": lambda run: newest(run, "snapshots").write_bytes(b""),
    "samples/step-00000004.png: differs": lambda run: (run / "samples/step-00000004.png").write_bytes(b"no"),
    "faces.png: missing": lambda run: (run / "faces.png").unlink(),
    "states/.tmpabcdef: left over": lambda run: (run / "states/.tmpabcdef").touch(),
    "metrics.jsonl: differs (steps [1, 2, 3, 4], not [1, 2, 3, 4])": change_a_line,
    "metrics.jsonl: differs (steps [1, 2, 3, 4, None], not": lambda run: _append(run, b"\0\0"),
}


def _append(run, content):
    with (run / "metrics.jsonl").open("ab") as file:
        file.write(content)


@pytest.mark.parametrize("said", LOSSES)
def test_every_difference_is_seen(run, other, said):
    assert differences(run, other) == []
    LOSSES[said](other)
    assert any(line.startswith(said) for line in differences(run, other)), differences(run, other)


def test_the_clock_and_what_is_a_runs_own_make_no_difference(run, other):
    path = other / "metrics.jsonl"
    path.write_text(path.read_text().replace('"seconds": 0.5', '"seconds": 7'))
    for name in (".lock", "log.txt", "states/step-00000002.safetensors.damaged"):
        (other / name).touch()
    assert differences(run, other) == []


def test_after_a_stop_other_steps_may_be_saved_but_the_newest_counts(run, other):
    path = other / "states" / "step-00000002.safetensors"
    path.rename(path.with_name("step-00000003.safetensors"))
    assert len(differences(run, other)) == 2
    assert differences(run, other, loose=True) == []
    change_a_tensor(other)
    assert len(differences(run, other, loose=True)) == 1


@pytest.mark.parametrize("seed", range(8))
def test_a_torn_file_is_another_file(run, seed):
    before = newest(run).read_bytes()
    assert tear(newest(run), random.Random(seed)) in ("cut", "zeroed", "flipped", "emptied")
    assert newest(run).read_bytes() != before


@pytest.mark.parametrize("seed", range(8))
def test_torn_metrics_keep_what_the_newest_state_counts_on(run, seed):
    newest(run).unlink()
    before = (run / "metrics.jsonl").read_bytes().splitlines(keepends=True)
    assert tear_metrics(run, random.Random(seed)) == "torn"
    after = (run / "metrics.jsonl").read_bytes()
    assert after.startswith(b"".join(before[:3])) and after != b"".join(before)


def test_a_partial_file_has_the_name_of_a_temporary_one(run):
    assert leave_partial(run, random.Random(0)) == "left"
    names = {path.name for path in (run / "states").iterdir()} - {path.name for path in files(run, "states").values()}
    assert len(names) == 1
    assert re.fullmatch(r"\.step-\d{8}\.safetensors\.[a-z0-9_]{8}\.safetensors", names.pop())


@pytest.mark.parametrize("seed", range(4))
def test_a_power_loss_takes_only_what_was_never_synced(run, tmp_path, seed):
    paths = [path for path in run.rglob("*") if path.is_file()]
    metrics, sure = run / "metrics.jsonl", 40
    sizes = {path: sure if path == metrics else path.stat().st_size for path in paths}
    journal = tmp_path / "journal"
    journal.write_text("".join(f"synced {path.stat().st_ino} {size}\n" for path, size in sizes.items()))
    before = {path: path.read_bytes() for path in paths}
    assert lose_power(run, journal, random.Random(seed)) == "lost"
    assert [path for path in paths if path.read_bytes() != before[path]] == [metrics]
    assert metrics.read_bytes()[:sure] == before[metrics][:sure]
