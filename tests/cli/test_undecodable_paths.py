"""Folders and files whose names are not UTF-8, as a GBK or Latin-1 system wrote them, under every command."""

import json
import os
import shlex
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest
from PIL import Image

from facegan.config import validate

NAME = os.fsdecode("热沙".encode("gbk"))


@pytest.fixture(autouse=True)
def workplace(workplace, monkeypatch):
    """A current folder, with everything in it and the cache, below such a name."""
    folder = workplace / NAME
    try:
        folder.mkdir()
    except OSError as error:
        pytest.skip(f"this file system has no such names ({error})")
    monkeypatch.chdir(folder)
    monkeypatch.setenv("FACEGAN_CACHE", str(folder / f"cache-{NAME}"))
    (folder / NAME).mkdir()
    for number in range(40):
        Image.effect_noise((20, 20), 90).convert("RGB").save(folder / NAME / f"{number}.png")
    return folder


def make_source(kind, facegan):
    if kind == "parquet":
        rows = [{"image": {"bytes": path.read_bytes(), "path": path.name}} for path in sorted(Path(NAME).iterdir())]
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), "faces.parquet")
        return str(Path("faces.parquet").rename(f"{NAME}.parquet"))
    if kind == "packed":
        assert facegan("pack", NAME, "-o", f"{NAME}-packed", "--resolution", 16).code == 0
        return f"{NAME}-packed"
    return NAME


@pytest.mark.parametrize("kind", ["folder", "parquet", "packed"])
def test_run_on_such_a_source_can_be_resumed_and_evaluated(facegan, tiny, kind):
    source = make_source(kind, facegan)
    said = facegan("train", *tiny[:10], *tiny[12:], "--data", source, "--steps", 1, "--run", f"runs/{NAME}")
    assert said.code == 0, said.err
    content = Path(f"runs/{NAME}/config.json").read_bytes()
    assert b"\\udc" not in content
    stored = validate(json.loads(content)).data.source
    assert stored.startswith("file:///") and stored.isascii()
    for command in (
        ("resume", f"runs/{NAME}", "--steps", 2),
        ("evaluate", f"runs/{NAME}", "--metrics", "swd", "-n", 16),
        ("evaluate", f"runs/{NAME}", "--metrics", "swd", "-n", 16, "--data", source),
        ("train", "--data", stored, "--resolution", 16, "--batch-size", 8, "--dry-run"),
    ):
        said = facegan(*command)
        assert said.code == 0, (command, said.err)


def test_every_command_takes_and_writes_such_paths(facegan, run, tiny):
    run = run.rename(f"runs/{NAME}")
    snapshot = run / "snapshots" / "step-00000004.safetensors"
    for command in (
        ("sample", snapshot, "-n", 4, "-o", f"{NAME}.png"),
        ("sample", run.absolute().as_uri(), "-n", 4, "-o", f"{NAME}.jpg"),
        ("sample", run, "-n", 2, "--separate", f"{NAME}-out"),
        ("whois", f"{NAME}.png", run),
        ("arithmetic", run, "--plus", "1", "--save", f"{NAME}.safetensors"),
        ("sample", run, "--seeds", f"1,{NAME}.safetensors", "-o", "a.png", "--separate", "b"),
        ("interpolate", run, "-o", f"{NAME}.gif"),
        ("timelapse", run, "-o", f"{NAME}.mp4"),
        ("plot", run, "-o", f"{NAME}-plot.png"),
        ("report", run, "-o", f"{NAME}.html"),
        ("directions", run, "--unlabelled", "-o", f"{NAME}-d.safetensors"),
        ("evaluate", "--real", NAME, "--fake", NAME, "--metrics", "swd", "--json"),
        ("runs", "list"),
        ("runs", "show", run, "--verify"),
        ("runs", "compare", run, run, "-o", f"{NAME}-two.png"),
        ("runs", "clean", run, "--dry-run"),
        ("data", "check", NAME, "--quarantine", f"{NAME}-away"),
        ("data", "preview", NAME, "-o", f"{NAME}-p.png"),
        ("pack", NAME, "--resolution", 16),
        ("cache", "list"),
        ("download", "lfw", "--from", NAME),
        ("download", "--list"),
        ("data", "check", "lfw"),
    ):
        said = facegan(*command)
        assert said.code == 0, (command, said.err)
        (said.out + said.err).encode()  # nothing that a stream could not take


def test_json_documents_name_such_paths_by_uris(facegan, run):
    run = run.rename(f"runs/{NAME}")
    uri = run.absolute().as_uri()
    assert facegan("runs", "show", run, "--json").json["standing"]["path"] == uri
    assert facegan("runs", "list", "--json").json["runs"][0]["path"] == uri
    said = facegan("sample", run, "-n", 4, "-o", f"{NAME}.png", "--json")
    assert "\\udc" not in said.out and Path(f"{NAME}.png").absolute().as_uri() in said.out
    assert facegan("runs", "show", uri).code == 0


def test_commands_that_are_proposed_for_such_a_run_work(facegan, run):
    run = run.rename(f"runs/{NAME}")
    shown = facegan("runs", "show", run, "--json").json["next"]
    proposed = [each["command"] for each in shown if each["command"].startswith(("facegan sample", "facegan resume"))]
    proposed += [facegan("resume", run, "--steps", 5).err.strip().rpartition("next: ")[2]]
    assert [each.split()[1] for each in proposed] == ["sample", "resume", "sample"]
    for command in proposed:
        assert facegan(*shlex.split(command)[1:]).code == 0, command
