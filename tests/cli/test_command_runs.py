import io
import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from facegan.storage.run_dir import RunDir
from runfolders import tear


class Terminal(io.StringIO):
    """A standard input at which someone sits."""

    def isatty(self):
        return True


def copy(run, name):
    return Path(shutil.copytree(run, run.with_name(name)))


def change(run, **settings):
    """Give a run's configuration other values at its top level."""
    config = json.loads((run / "config.json").read_text())
    (run / "config.json").write_text(json.dumps(config | settings))


def files(run):
    return sorted(str(path.relative_to(run)) for path in run.rglob("*") if path.is_file() and path.name != ".lock")


# list


def test_list_shows_every_run_with_its_facts(facegan, run):
    broken = copy(run, "broken")
    (broken / "config.json").write_text("{")
    (run.parent / "notes").mkdir()
    (run.parent / "notes" / "a.txt").touch()
    said = facegan("runs", "list")
    assert said.code == 0 and said.err == ""
    assert said.out.startswith("runs: 2 runs, ")
    line = next(line for line in said.out.splitlines() if line.startswith("faces-1"))
    assert line.split()[:9] == ["faces-1", "finished", "4/4", "100", "%", "0.1", "drawn", "dcgan", "16x16"]
    assert "broken: config.json: not valid JSON (" in said.out
    assert said.out.endswith("skipped, as they are no runs: notes\n")


def test_list_as_json_is_complete(facegan, run):
    found = facegan("runs", "list", "--json").json
    assert (found["root"], found["foreign"]) == ("runs", [])
    (about,) = found["runs"]
    size_bytes = sum(path.stat().st_size for path in run.rglob("*") if path.is_file())
    assert about.pop("active").startswith("20")
    assert about == {
        "name": "faces-1", "path": "runs/faces-1", "standing": "finished", "reason": None, "step": 4, "num_steps": 4,
        "share": 1.0, "num_images": 48, "epoch": 4 / 3, "kimg": 0.064, "data": "drawn", "architecture": "dcgan",
        "resolution": 16, "size_bytes": size_bytes, "health": about["health"], "state": 4, "snapshot": 4,
    }  # fmt: skip


def test_list_looks_into_the_folder_that_it_is_given(facegan, run):
    run.parent.rename("elsewhere")
    assert facegan("runs", "list", "--root", "elsewhere").out.startswith("elsewhere: 1 run, ")
    Path("nothing").mkdir()
    assert facegan("runs", "list", "--root", "nothing").out == "nothing: 0 runs, 0 bytes\n"
    said = facegan("runs", "list")
    assert said.code == 2
    assert said.complaint == (
        "facegan: --root runs: no such folder; train a first run with 'facegan train', or name another"
    )


# show


def test_show_lists_settings_length_metrics_files_and_what_is_next(facegan, run):
    (run / "metrics.jsonl").touch()  # the copied run is as old as the tests have been running
    said = facegan("runs", "show")
    lines = said.out.splitlines()
    assert said.code == 0 and said.err == ""
    assert lines[0] == "runs/faces-1: finished at step 4 of 4 (100 %), last written just now"
    for line in (
        "  architecture.ngf         8     (default 64)",
        "  device                cpu",
        "  steps     4/4, 100 %",
        "  shown     0.1 thousand images, 1.33 epochs of 48",
        "  runs/faces-1/faces.png",
        "  facegan sample runs/faces-1 -n 64 -o grid.png  draw faces of step 4",
        "  facegan resume runs/faces-1 --steps 8          train on, here twice as long",
    ):
        assert line in lines, said.out
    assert "how real D finds training images" in said.out
    assert said.out.count("valid by its header") == 6


def test_show_as_json_is_complete_and_valid(facegan, run):
    with (run / "metrics.jsonl").open("a") as file:
        file.write(json.dumps({"step": 5, "loss/D": float("nan"), "health": "not finite"}) + "\n")
    (run / "config.json").write_text((run / "config.json").read_text().replace('"steps": 4', '"steps": 9'))
    found = facegan("runs", "show", "faces-1", "--json").json
    assert found["standing"]["standing"] == "failed" and found["metrics"]["loss/D"] is None
    assert found["settings"]["architecture.ngf"] == 8 and found["verified"] is False
    assert found["environment"]["device"] == "cpu" and len(found["files"]) == 6
    assert found["health"][-1] == {"health": "not finite", "first": 5, "last": 5, "num_ticks": 1}
    assert found["next"][0]["command"] == (
        "facegan train --config runs/faces-1/config.json --set optimizer.lr_G=0.0001 --set optimizer.lr_D=0.0001"
    )


def test_show_verify_finds_what_the_header_does_not_show(facegan, run):
    path = run / "snapshots" / "step-00000004.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    by_header, by_digest = (
        {file["path"]: file["problem"] for file in facegan("runs", "show", *flags, "--json").json["files"]}
        for flags in ([], ["--verify"])
    )
    assert set(by_header.values()) == {None}
    assert [name for name, problem in by_digest.items() if problem] == [str(path)]
    assert facegan("runs", "show", "--verify").out.count("valid by its header") == 0


def test_show_reports_folders_that_lost_their_settings_or_are_empty(facegan, run):
    (run / "config.json").unlink()
    (run.parent / "empty").mkdir()
    (run.parent / "notes").mkdir()
    (run.parent / "notes" / "a.txt").touch()
    said = facegan("runs", "show", "faces-1")
    assert said.out.startswith("runs/faces-1: damaged at step 4, last written ")
    assert "\nconfig.json: cannot be read (No such file or directory)\n" in said.out
    sample = "facegan sample runs/faces-1/snapshots/step-00000004.safetensors -n 64 -o grid.png"
    assert f"  {sample}  draw faces of step 4" in said.out
    assert facegan(*sample.split()[1:]).code == 0
    assert facegan("runs", "show", "runs/empty").out.startswith("runs/empty: empty, last written just now\n")
    said = facegan("runs", "show", "runs/notes")
    assert (said.code, said.complaint) == (2, "facegan: runs/notes: not a run folder (it holds no config.json)")


# compare


def test_compare_shows_only_the_settings_that_differ(facegan, run):
    change(copy(run, "other"), seed=7)
    said = facegan("runs", "compare", "faces-1", "other")
    assert said.code == 0 and said.err == ""
    settings = said.out.partition("Settings that differ")[2].partition("Last tick")[0]
    assert [line.split() for line in settings.strip().splitlines()] == [["setting", "A", "B"], ["seed", "0", "7"]]
    assert "\nloss/D " in said.out and "Weights" not in said.out
    found = facegan("runs", "compare", "faces-1", "other", "--json").json
    assert found["settings"] == {"seed": [0, 7]} and found["picture"] is None and found["twins"] == []


def test_compare_says_whether_equal_settings_gave_equal_weights(facegan, run):
    twin = copy(run, "copy")
    said = facegan("runs", "compare", "faces-1", "copy").out
    assert "No setting differs." in said
    same = "Weights: A and B, whose settings should make the same, are the same to the bit at step 4."
    assert same in said.splitlines()
    shutil.copy(twin / "snapshots/step-00000003.safetensors", twin / "snapshots/step-00000004.safetensors")
    assert facegan("runs", "compare", "faces-1", "copy", "--json").json["twins"] == [
        {"runs": [0, 1], "step": 4, "identical": False}
    ]


def test_compare_draws_the_same_seeds_of_runs_of_any_resolution(facegan, run, tiny):
    large = facegan("train", *tiny, "--resolution", 32, "--set", "channels=1", "--steps", 1, "--run", "runs/grey")
    assert large.code == 0, large.err
    said = facegan("runs", "compare", "faces-1", "grey", "-o", "new/both.png", "--seeds", "3,5", "--device", "cpu")
    assert said.code == 0 and said.out.endswith("\nnew/both.png\n")
    facegan("sample", "faces-1", "--seeds", "5", "-o", "five.png")
    facegan("sample", "grey", "--seeds", "3", "-o", "three.png")
    with Image.open("new/both.png") as image, Image.open("five.png") as five, Image.open("three.png") as three:
        sheet = np.asarray(image)
        assert "A  faces-1, step 4, 16x16; B  grey, step 1, 32x32" in image.text["Description"]
        factor, margin, top = 13, 52, 28  # 32 pixels become at least 400; twice the gaps; the caption
        inside = margin + 34 * factor
        assert found_at(sheet, five.convert("RGB"), inside, top, 2 * factor)
        beside = margin + 66 * factor + margin
        assert found_at(sheet, three.convert("RGB"), beside, top, factor)


def found_at(sheet, image, left, top, factor):
    """Return whether an enlarged image is at a place of a sheet."""
    pixels = np.asarray(image).repeat(factor, 0).repeat(factor, 1)
    return np.array_equal(sheet[top : top + len(pixels), left : left + len(pixels)], pixels)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["faces-1"], "compare: takes 2 to 8 runs (given: 1)"),
        (["faces-1"] * 9, "compare: takes 2 to 8 runs (given: 9)"),
        (["faces-1", "faces"], "faces: no such run, neither as a path nor in runs/; did you mean 'faces-1'?"),
        (["faces-1", "faces-1", "-o", "a.gif"], "-o a.gif: cannot write '.gif'; end it in .png, .jpg, .jpeg, .webp"),
        (["faces-1", "faces-1", "--seeds", "1"], "--seeds: draws nothing without -o compare.png"),
        (["faces-1", "faces-1", "--device", "cpu"], "--device: draws nothing without -o compare.png"),
        (
            ["faces-1", "faces-1", "--device", "cpu", "-o", "a.png", "--seeds", "0-999999"],
            "-o a.png: would have 512,000,000 pixels, more than other programs open (89,478,485); give fewer --seeds",
        ),
    ],
)
def test_compare_refuses_what_cannot_be(facegan, run, arguments, message):
    said = facegan("runs", "compare", *arguments)
    assert (said.code, said.complaint) == (2, f"facegan: {message}")
    assert not Path("a.png").exists()


def test_compare_of_a_run_without_a_snapshot_says_so(facegan, run):
    bare = copy(run, "bare")
    shutil.rmtree(bare / "snapshots")
    said = facegan("runs", "compare", "faces-1", "bare", "-o", "a.png", "--device", "cpu")
    assert said.code == 2 and said.complaint.startswith("facegan: runs/bare: holds no snapshot yet; ")


# clean


def test_clean_removes_all_but_the_newest_and_nothing_else(facegan, run):
    before = files(run)
    sizes = {name: (run / name).stat().st_size for name in before}
    said = facegan("runs", "clean", "--yes")
    gone = [
        *(f"snapshots/step-0000000{step}.safetensors" for step in (1, 2, 3)), "states/step-00000003.safetensors",
    ]  # fmt: skip
    assert said.code == 0 and said.err == ""
    assert sorted(set(before) - set(files(run))) == gone
    assert all(f"  {name}  " in said.out for name in gone)
    total = f"{sum(sizes[name] for name in gone) / 1000:,.1f} kB"
    assert said.out.endswith(f"4 files to remove, {total}\nremoved, {total} freed\n")
    assert facegan("sample", run, "-n", 1, "-o", "a.png").code == 0
    assert facegan("resume", run, "--steps", 5).code == 0
    assert facegan("runs", "clean", "--yes", "--keep-states", 2, "--keep-snapshots", 2).out == "nothing to remove\n"


def test_clean_keeps_as_many_as_requested(facegan, run):
    found = facegan("runs", "clean", "--keep-snapshots", 3, "--keep-states", 2, "--dry-run", "--json").json
    assert [file["path"] for file in found["runs"][0]["files"]] == [f"{run}/snapshots/step-00000001.safetensors"]
    assert found["removed"] is False and found["size_bytes"] > 0
    assert facegan("runs", "clean", "--yes", "--json", "faces-1").json["removed"] is True


@pytest.mark.parametrize(("answer", "remaining"), [("y\n", 2), ("n\n", 6), ("\n", 6)])
def test_clean_asks_a_person_at_a_terminal(facegan, run, monkeypatch, answer, remaining):
    monkeypatch.setattr(sys, "stdin", Terminal(answer))
    said = facegan("runs", "clean")
    assert said.code == 0 and "Remove them? [y/N]" in said.out
    assert len([name for name in files(run) if name.endswith(".safetensors")]) == remaining


@pytest.mark.parametrize("flags", [[], ["--json"]])
def test_clean_removes_nothing_where_nobody_can_be_asked(facegan, run, monkeypatch, flags):
    if flags:
        monkeypatch.setattr(sys, "stdin", Terminal("y\n"))
    before = files(run)
    said = facegan("runs", "clean", *flags)
    assert (said.code, files(run)) == (2, before)
    assert said.complaint == "facegan: clean: there is no one to ask here; give --yes to remove, or --dry-run to look"


def test_clean_does_not_count_a_damaged_newest_file(facegan, run):
    for kind in ("snapshots", "states"):
        tear(run / kind / "step-00000004.safetensors")
    said = facegan("runs", "clean", "--yes")
    assert "states/step-00000004.safetensors: damaged, and left to 'facegan resume'" in said.out
    assert [name for name in files(run) if name.endswith(".safetensors")] == [
        f"{kind}/step-0000000{step}.safetensors" for kind in ("snapshots", "states") for step in (3, 4)
    ]


def test_clean_skips_a_run_that_is_written_and_cleans_the_others(facegan, run):
    busy = copy(run, "busy")
    before = files(busy)
    with RunDir(busy).lock():
        said = facegan("runs", "clean", "--yes")
    assert "runs/busy\n  skipped: another process is writing this run\n" in said.out
    assert files(busy) == before and len(files(run)) == len(before) - 4


def test_clean_of_some_runs_leaves_the_others(facegan, run):
    other = copy(run, "other")
    run.rename("elsewhere")
    facegan("runs", "clean", "elsewhere", "--yes")
    assert len(files(Path("elsewhere"))) == len(files(other)) - 4
