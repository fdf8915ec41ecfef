import io
import re
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from facegan.api.reports import next_commands
from facegan.cli.options import finite
from facegan.cli.tables import print_rows, print_run, print_runs
from facegan.storage.best_snapshot import BestSnapshot
from facegan.storage.run_log import Span
from facegan.storage.run_status import RunStatus, StoredFile
from facegan.storage.run_summary import RunSummary


def standing(name="faces", **more):
    known = {
        "name": name, "path": Path("runs") / name, "standing": "stopped", "reason": None, "step": 50, "num_steps": 200,
        "share": 0.25, "num_images": 64, "epoch": 1.5, "kimg": 12.34, "data": "lfw", "architecture": "dcgan",
        "resolution": 64, "active": datetime.now(UTC) - timedelta(hours=3, minutes=5), "size_bytes": 119_200_000,
        "health": "D has won", "state": 40, "snapshot": 30,
    }  # fmt: skip
    return RunStatus(**known | more)


def summarize_run(*, num_files=0, newest=30, **more):
    """With so many states, and a snapshot, which `newest` is the step of."""
    file = StoredFile(kind="states", step=1, path=Path("runs/faces/states/a"), size_bytes=1, problem=None)
    snapshot = file.model_copy(update={"kind": "snapshots", "step": newest})
    return RunSummary(
        standing=standing(**more), settings={"optimizer.lr_G": 2e-4, "optimizer.lr_D": 1e-4},
        changed=[], environment={}, num_ticks=0, seconds=None, images_per_second=None, metrics=None, health=[],
        files=[snapshot] + [file] * num_files, leftovers=[], look=[],
    )  # fmt: skip


@pytest.fixture
def terminal(monkeypatch):
    """terminal(80) -> the text on a terminal of that width once it is read."""

    def make(columns):
        screen = io.StringIO()
        screen.isatty = lambda: True
        monkeypatch.setattr(sys, "stdout", screen)
        monkeypatch.setenv("COLUMNS", str(columns))
        monkeypatch.setenv("TERM", "xterm")
        return lambda: re.sub(r"\x1b\[[0-9;]*m", "", screen.getvalue())

    return make


@pytest.mark.parametrize("columns", [60, 80, 100, 140])
def test_list_fits_the_terminal(terminal, columns):
    screen = terminal(columns)
    names = ["short", "a-name-that-is-longer-than-most-and-goes-on"]
    print_runs([standing(name, reason="it is damaged and so on " * 5) for name in names])
    lines = screen().splitlines()
    assert max(map(len, lines)) <= columns
    text = screen()
    for part in ("stopped", "50/200", "25 %", "12.3", "lfw", "dcgan 64x64", "3 h ago", "119.2 MB", "D has won"):
        assert text.count(part) == 2, text
    assert "…" not in text and "".join(text.split()).count("damagedandsoon") == 10
    assert ("kimg" in lines[1]) == (columns >= 100), text  # a column of its own, or under the steps


def test_narrow_list_names_no_images_of_an_empty_run(terminal):
    screen = terminal(60)
    print_runs([standing(standing="empty", step=None, share=None, kimg=None)])
    assert "empty" in screen() and "kimg" not in screen()


@pytest.mark.parametrize("columns", [60, None])
def test_nothing_of_a_run_is_cut_off(terminal, capsys, columns):
    screen = terminal(columns) if columns else lambda: capsys.readouterr().out
    found = summarize_run(num_files=3, reason="because " * 20)
    print_run(found, verified=True)
    text = screen()
    assert "…" not in text and text.count("because") == 20
    assert "  facegan resume runs/faces  " in text and text.count("states/a") == 4


def test_list_without_a_terminal_has_a_line_a_run(capsys):
    name = "a-name-that-is-longer-than-most-and-goes-on" * 5
    print_runs([standing(name)])
    line = capsys.readouterr().out.splitlines()[-1]
    assert line.startswith(f"{name}  stopped  50/200  25 %  12.3") and "D has won" in line


def test_rows_are_aligned_and_their_last_column_is_folded(terminal):
    screen = terminal(40)
    print_rows([("a", "words " * 10), ("longer", "x" * 40), ("a command that is " + "long " * 9, "why it is given")])
    assert screen().splitlines()[:4] == [
        "  a" + 64 * " " + "words words words words",
        "  " + 65 * " " + "words words words words",
        "  " + 65 * " " + "words words",
        "  longer" + 59 * " " + "x" * 24,
    ]


@pytest.mark.parametrize(
    ("more", "commands"),
    [
        ({"standing": "running"}, ["tail -f runs/faces/log.txt", "facegan sample runs/faces -n 64 -o grid.png"]),
        (
            {"standing": "finished", "num_files": 3},
            [
                "facegan sample runs/faces -n 64 -o grid.png",
                "facegan resume runs/faces --steps 400",
                "facegan runs clean runs/faces --dry-run",
            ],
        ),
        ({"standing": "finished", "state": None}, ["facegan sample runs/faces -n 64 -o grid.png"]),
        ({}, ["facegan resume runs/faces", "facegan sample runs/faces -n 64 -o grid.png"]),
        ({"standing": "empty", "state": None, "snapshot": None}, ["facegan resume runs/faces"]),
        (
            {"standing": "damaged", "state": None, "snapshot": None},
            ["facegan train --config runs/faces/config.json --run runs/faces --force"],
        ),
        ({"standing": "failed", "reason": "disk full", "snapshot": None}, ["facegan resume runs/faces"]),
        (
            {"standing": "failed", "reason": "step 3: the loss is not finite", "snapshot": None},
            ["facegan train --config runs/faces/config.json --set optimizer.lr_G=0.0001 --set optimizer.lr_D=5e-05"],
        ),
        ({"name": "my faces", "snapshot": None}, ["facegan resume 'runs/my faces'"]),
    ],
)
def test_next_commands_suit_the_status_of_the_run(more, commands):
    assert [command for command, _ in next_commands(summarize_run(**more))] == commands


def test_snapshot_that_the_runs_name_would_not_lead_to_is_named_itself():
    file = "facegan sample runs/faces/snapshots/step-00000030.safetensors -n 64 -o grid.png"
    lost = summarize_run(standing="damaged").model_copy(update={"settings": {}})
    assert [command for command, _ in next_commands(lost)] == [file]
    torn = summarize_run(newest=31)  # and 30 is the newest valid one
    assert [command for command, _ in next_commands(torn)] == ["facegan resume runs/faces", file]


def test_best_snapshot_is_shown_and_offered_unless_it_is_the_newest(capsys):
    path = Path("runs/faces/snapshots/step-00000020.safetensors")
    found = summarize_run().model_copy(
        update={"best": BestSnapshot(step=20, path=path, metric="swd", title="Sliced", value=1.25, num_images=1000)}
    )
    print_run(found, verified=False)
    section = capsys.readouterr().out.partition("Best snapshot of the evaluations during training\n")[2]
    assert section.splitlines()[0] == "  snapshots/step-00000020.safetensors  swd 1.25  on 1,000 faces"
    command = f"facegan sample {path} -n 64 -o best.png"
    assert (command, "draw faces of step 20, the best") in next_commands(found)
    newest = found.model_copy(update={"best": found.best.model_copy(update={"step": 30})})
    assert command not in [each for each, _ in next_commands(newest)]


def test_health_is_shown_where_there_is_any(capsys):
    print_run(summarize_run(), verified=False)
    assert "Health" not in capsys.readouterr().out
    spans = [Span(health="collapse", first=1000, last=2000, num_ticks=3)]
    print_run(summarize_run().model_copy(update={"health": spans}), verified=False)
    assert "Health\n  collapse  steps 1,000 to 2,000  3 ticks\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "just now"),
        (-9, "just now"),
        (61, "1 min ago"),
        (7300, "2 h ago"),
        (90000, "1 day ago"),
        (2e5, "2 days ago"),
    ],
)
def test_times_are_shown_roughly(capsys, seconds, words):
    print_run(summarize_run(active=datetime.now(UTC) - timedelta(seconds=seconds)), verified=False)
    assert capsys.readouterr().out.startswith(f"runs/faces: stopped at step 50 of 200 (25 %), last written {words}\n")


def test_documents_hold_only_numbers_that_json_knows():
    document = {"a": [1, float("nan"), {"b": float("inf")}], "c": "text", "d": None, "e": True}
    assert finite(document) == {"a": [1, None, {"b": None}], "c": "text", "d": None, "e": True}
