"""Folders of runs and packages that a stranger made: nothing in them reaches the terminal unescaped."""

import json
import os
import re

import pytest

ESCAPE = "\x1b]0;owned\x07\x1b[2J\x9b31m\u202e:100:"


def spoil(run):
    """Put a terminal's control sequences wherever a run has text."""
    config = json.loads((run / "config.json").read_text())
    config["data"]["source"] = f"/nowhere/{ESCAPE}"
    (run / "config.json").write_text(json.dumps(config))
    (run / "environment.json").write_text(json.dumps({"torch": ESCAPE, ESCAPE: ESCAPE, "command": ["x", ESCAPE]}))
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    lines[-1] |= {"health": ESCAPE, ESCAPE: 1.5}
    (run / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (run / "log.txt").write_text(f"failed: {ESCAPE}\n")
    change = {"step": 1, "key": ESCAPE, "before": ESCAPE, "after": [ESCAPE]}
    (run / "changes.jsonl").write_text(f"{json.dumps(change)}\n{ESCAPE}\n")
    (run / "snapshots" / f"step-{ESCAPE.replace('/', '')}.safetensors").write_bytes(b"")
    return run.rename(run.with_name(f"faces{ESCAPE}"))


@pytest.mark.parametrize("as_terminal", [False, True])
@pytest.mark.parametrize(
    "command",
    [
        ("runs", "list"),
        ("runs", "show", "RUN"),
        ("runs", "show", "RUN", "--verify"),
        ("runs", "compare", "RUN", "RUN"),
        ("runs", "clean", "RUN", "--dry-run"),
        ("evaluate", "RUN", "--metrics", "swd", "-n", 8),
        ("sample", "RUN", "-n", 4, "-o", "a.png"),
    ],
)
def test_hostile_run_does_not_control_the_terminal(facegan, run, monkeypatch, command, as_terminal):
    if as_terminal:
        monkeypatch.setenv("FORCE_COLOR", "1")
        monkeypatch.setenv("COLUMNS", "100")
    hostile = spoil(run)
    said = facegan(*(hostile if each == "RUN" else each for each in command))
    text = re.sub(r"\x1b\[[0-9;]*m", "", said.out + said.err)  # rich's own colours
    assert "Traceback" not in text and said.code in (0, 2), text
    assert not set(text) & set("\x1b\x07\x9b\u202e"), ascii(text)
    assert "\U0001f4af" not in text
    if command[1] == "show":
        assert "after step 1" in text


LINES = ("metrics.jsonl", "evaluations.jsonl", "changes.jsonl", "log.txt", "images.txt")


@pytest.mark.parametrize("name", LINES)
@pytest.mark.parametrize(
    "command",
    [
        ("evaluate", "RUN", "--metrics", "swd", "-n", 8),
        ("plot", "RUN", "-o", "a.png"),
        ("timelapse", "RUN", "-o", "a.gif"),
        ("resume", "RUN", "--steps", 5),
    ],
    ids=lambda command: command[0],
)
def test_no_command_writes_through_a_link_or_waits_for_a_pipe(facegan, run, workplace, command, name):
    command = [run if each == "RUN" else each for each in command]
    mine = workplace / "mine.txt"
    mine.write_bytes((run / name).read_bytes() if (run / name).exists() else b"")
    (run / name).unlink(missing_ok=True)
    before = mine.read_bytes()
    (run / name).symlink_to(mine)
    said = facegan(*command)
    assert said.code in (0, 1) and "Traceback" not in said.err
    assert mine.read_bytes() == before
    if (run / name).is_symlink():
        (run / name).unlink()
        os.mkfifo(run / name)
        assert facegan(*command).code in (0, 1)


def test_names_of_plugins_do_not_control_the_terminal(facegan, install):
    name = ESCAPE.replace("\x9b", "").replace("\u202e", "")
    kinds = ("command", "architecture", "loss", "dataset", "metric")
    install("evil", "", {f"facegan.{kind}": {name: "evil:Nothing"} for kind in kinds}, version=f"1.0{name}")
    for command in ((), ("plugins",), ("plugins", "--check"), ("train", "--set", "loss.name=none")):
        said = facegan(*command)
        text = said.out + said.err
        assert "\\x1b]0;owned" in text
        assert not set(text) & set("\x1b\x07\x9b\u202e"), ascii(text)
        assert "\U0001f4af" not in text
