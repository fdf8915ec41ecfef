import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

NETWORK = (
    "--batch-size", 2, "--steps", 1, "--device", "cpu", "--resolution", 16,
    "--set", "architecture.z_dim=12", "--set", "architecture.ngf=8", "--set", "architecture.ndf=8",
)  # fmt: skip


def steps(run):
    return [json.loads(line)["step"] for line in (run / "metrics.jsonl").read_text().splitlines()]


def test_finished_run_says_so_and_exits_0(facegan, run):
    before = {path: path.read_bytes() for path in run.rglob("*.safetensors")}
    said = facegan("resume", "faces-1")
    assert said.code == 0
    assert f"{run}: finished already; --epochs, --kimg or --steps with a larger total extends it" in said.err
    assert said.out == f"{run}\n"
    assert {path: path.read_bytes() for path in run.rglob("*.safetensors")} == before


def test_extended_run_equals_one_that_was_that_long_from_the_start(facegan, run, tiny):
    said = facegan("resume", run, "--steps", 6)
    assert said.code == 0, said.err
    assert f"{run}: from step 4 to 6" in said.err
    assert steps(run) == [1, 2, 3, 4, 5, 6]
    assert json.loads((run / "config.json").read_text())["train"]["steps"] == 6
    straight = facegan("train", *tiny, "--steps", 6, "--run", "straight", "--set", "output.sample_every=2")
    assert straight.code == 0, straight.err
    one, other = (load_file(f"{each}/states/step-00000006.safetensors") for each in (run, "straight"))
    assert one.keys() == other.keys()
    assert all(torch.equal(one[key], other[key]) for key in one)


@pytest.mark.parametrize(("flag", "value"), [("--kimg", 0.08), ("--epochs", 5 / 3)])
def test_lengths_are_new_totals(facegan, run, flag, value):
    said = facegan("resume", run, flag, value, "--json")
    assert said.json["step"] == 5
    assert said.json["finished"] is True


def test_latest_run_is_the_default(facegan, run):
    assert facegan("resume").out == f"{run}\n"


def test_total_below_what_is_done_is_refused_and_the_run_stays_as_before(facegan, run):
    before = (run / "log.txt").read_bytes()
    said = facegan("resume", run, "--steps", 2)
    assert (run / "log.txt").read_bytes() == before
    assert said.code == 2
    assert said.complaint == f"facegan: {run}: already has 4 steps, more than the 2 requested; give more"


def test_mistyped_run_is_answered_with_the_nearest_name(facegan, run):
    said = facegan("resume", "face-1")
    assert said.code == 2
    assert said.complaint == ("facegan: face-1: no such run, neither as a path nor in runs/; did you mean 'faces-1'?")


def test_run_without_a_state_cannot_be_resumed(facegan, run):
    for state in (run / "states").iterdir():
        state.unlink()
    said = facegan("resume", run, "--steps", 9)
    assert said.code == 2
    assert said.complaint == f"facegan: {run}: has no valid state to resume from; start again with 'facegan train'"


def test_damaged_state_is_named_and_the_one_before_it_used(facegan, run):
    state = run / "states" / "step-00000004.safetensors"
    state.write_bytes(state.read_bytes()[:1000])
    said = facegan("resume", run, "--steps", 6)
    assert said.code == 0, said.err
    first, second = said.err.splitlines()[:2]
    assert first.startswith(f"{state}: not a valid safetensors file (")
    assert first.endswith("; put aside as step-00000004.safetensors.damaged")
    assert second == f"{run}: from step 3 to 6"
    assert steps(run) == [1, 2, 3, 4, 5, 6]


def test_intervals_can_change(facegan, run):
    settings = ("--set", "output.sample_every=3", "--set", "output.keep_states=1")
    said = facegan("resume", run, "--steps", 7, *settings)
    assert said.code == 0, said.err
    assert sorted(path.name for path in (run / "samples").glob("step-*"))[-2:] == [
        "step-00000006.png",
        "step-00000007.png",
    ]
    assert [path.name for path in (run / "states").iterdir()] == ["step-00000007.safetensors"]
    assert json.loads((run / "config.json").read_text())["output"]["keep_states"] == 1
    told = [(each["step"], each["key"], each["after"]) for each in changes(run)]
    assert told == [(4, "output.sample_every", 3), (4, "output.keep_states", 1)]
    said = facegan("resume", run, "--steps", 9, "--set", "output.often=1")
    assert (said.code, said.err.splitlines()[-1][:43]) == (2, "facegan: config: no setting 'output.often';")


@pytest.mark.parametrize(
    "setting",
    ["architecture.ngf=16", "train.batch_size=8", "seed=1", "loss.name=saturating", "data.limit=20", "train.steps=9"],
)
def test_settings_that_make_another_run_are_refused(facegan, run, setting):
    said = facegan("resume", run, "--steps", 9, "--set", setting)
    assert said.code == 2
    assert said.complaint == (
        f"facegan: --set {setting}: cannot change in a run; learning rates, ema, augment, penalty, threads, precision, "
        "output and evaluation can, --data names images that moved, and --steps a new length. Start a new run for "
        "anything else"
    )


def test_mistyped_setting_is_answered_with_the_nearest_name(facegan, run):
    said = facegan("resume", run, "--steps", 9, "--set", "optimizer.lrG=1")
    assert said.code == 2
    assert said.complaint == "facegan: config: no setting 'optimizer.lrG'; did you mean 'lr_G'?"


def test_a_learning_rate_that_is_set_counts_from_the_state_and_is_shown(facegan, run):
    settings = ("--set", "optimizer.lr_G=0.01", "--set", "augment.policy=color")
    said = facegan("resume", run, "--steps", 6, *settings)
    assert said.code == 0, said.err
    assert changes(run) == [
        {"step": 4, "key": "optimizer.lr_G", "before": 0.0002, "after": 0.01},
        {"step": 4, "key": "augment.policy", "before": "", "after": "color"},
        {"step": 4, "key": "augment.probability", "before": None, "after": 0.3},  # that of a new run
    ]
    shown = facegan("runs", "show", run).out
    assert "Settings changed by resuming\n  after step 4  optimizer.lr_G from 0.0002 to 0.01\n" in shown
    assert "| changed after step 4 | optimizer.lr_G from 0.0002 to 0.01 |" in (run / "model-card.md").read_text()
    assert facegan("resume", run, "--steps", 7).code == 0 and len(changes(run)) == 3


def test_a_learning_rate_that_is_set_is_the_one_of_the_next_steps(facegan, run):
    before = load_file(run / "states" / "step-00000004.safetensors")
    assert facegan("resume", run, "--steps", 6, "--set", "optimizer.lr_G=1e-30").code == 0
    after = load_file(run / "states" / "step-00000006.safetensors")
    weights = {name: value for name, value in before.items() if name.endswith("weight") and value.ndim == 4}
    still = {name for name, value in weights.items() if torch.equal(after[name], value)}
    assert still == {name for name in weights if name.startswith("G.")}


def edit(run, *pairs):
    text = (run / "config.json").read_text()
    for before, after in pairs:
        assert text.count(before) == 1
        text = text.replace(before, after)
    (run / "config.json").write_text(text)


def test_an_edit_of_what_cannot_change_is_refused_with_the_way_back(facegan, run):
    edit(run, ('"batch_size": 16', '"batch_size": 8'))
    said = facegan("resume", run, "--steps", 6)
    assert said.code == 2
    assert said.complaint == (
        f"facegan: {run}/config.json: train.batch_size was edited from 16 to 8, and cannot change in a run; set it "
        f"back, or start a new run with 'facegan train --config {run}/config.json'"
    )
    edit(run, ('"batch_size": 8', '"batch_size": 16'))
    assert facegan("resume", run, "--steps", 6).code == 0 and not (run / "changes.jsonl").exists()


def test_an_edit_of_what_can_change_counts_like_the_option(facegan, run, workplace):
    shutil.copytree(run, "twin")
    edit(run, ('"lr_G": 0.0002', '"lr_G": 0.01'))
    said = facegan("resume", run, "--steps", 6)
    assert said.code == 0
    assert (
        f"{run}/config.json: optimizer.lr_G from 0.0002 to 0.01, since the state of step 4 was saved; it counts from "
        "there" in said.err
    )
    assert facegan("resume", "twin", "--steps", 6, "--set", "optimizer.lr_G=0.01").code == 0
    one, other = (load_file(f"{each}/states/step-00000006.safetensors") for each in (run, "twin"))
    assert all(torch.equal(one[key], other[key]) for key in one)
    assert changes(run) == changes(workplace / "twin")


def test_a_change_made_after_a_damaged_state_is_recorded_where_it_counts(facegan, run):
    settings = ("--set", "output.keep_states=9", "--set", "optimizer.lr_D=0.01")
    assert facegan("resume", run, "--steps", 5, *settings).code == 0
    assert [each["step"] for each in changes(run)] == [4, 4]
    for step in (4, 5):
        (run / "states" / f"step-0000000{step}.safetensors").write_bytes(b"")
    said = facegan("resume", run)
    assert said.code == 0, said.err
    assert [(each["step"], each["key"]) for each in changes(run)] == [
        (3, "optimizer.lr_D"), (3, "output.keep_states"),
    ]  # fmt: skip
    assert "optimizer.lr_D from 0.0002 to 0.01, since the state of step 3" in said.err


def changes(run):
    return [json.loads(line) for line in (run / "changes.jsonl").read_text().splitlines()]


@pytest.fixture
def moved(facegan, workplace):
    """A finished run, whose folder of images now has another place."""
    (workplace / "faces").mkdir()
    for number in range(8):
        Image.effect_noise((16, 16), 40 + number).convert("RGB").save(workplace / "faces" / f"{number}.png")
    flags = ("--preset", "dcgan", "--resolution", 16, "--batch-size", 4, "--device", "cpu", "--steps", 2)
    network = ("architecture.z_dim=12", "architecture.ngf=8", "architecture.ndf=8")
    settings = [part for line in network for part in ("--set", line)]
    assert facegan("train", "--data", "faces", "--run", "short", *flags, *settings).code == 0
    (workplace / "faces").rename(workplace / "elsewhere")
    return workplace / "short"


def test_images_that_moved_are_taken_from_their_new_place(facegan, moved, workplace):
    said = facegan("resume", "short", "--steps", 3)
    assert said.code == 2
    assert said.complaint.endswith("; if the images have moved, continue with 'facegan resume short --data SOURCE'")
    assert facegan("evaluate", "short", "--metrics", "swd").complaint.endswith(
        "; name the training images with --data SOURCE"
    )
    assert facegan("resume", "short", "--steps", 3, "--data", "elsewhere").code == 0
    assert json.loads((moved / "config.json").read_text())["data"]["source"] == str(workplace / "elsewhere")
    assert not (moved / "changes.jsonl").exists()
    assert facegan("resume", "short", "--steps", 4).code == 0


def test_a_finished_run_takes_the_new_place_of_its_images_too(facegan, moved, workplace):
    before = {path: path.read_bytes() for path in moved.rglob("*.safetensors")}
    assert facegan("resume", "short", "--data", "elsewhere").code == 0
    assert json.loads((moved / "config.json").read_text())["data"]["source"] == str(workplace / "elsewhere")
    assert {path: path.read_bytes() for path in moved.rglob("*.safetensors")} == before


@pytest.mark.parametrize("length", [(), ("--steps", 3)])
def test_other_images_in_the_new_place_are_refused(facegan, moved, workplace, length):
    Image.effect_noise((16, 16), 99).convert("RGB").save(workplace / "elsewhere" / "0.png")
    before = (moved / "config.json").read_bytes()
    said = facegan("resume", "short", "--data", "elsewhere", *length)
    assert said.code == 2 and "the images are not those that this run was trained on" in said.err.splitlines()[-1]
    assert (moved / "config.json").read_bytes() == before


def test_evaluations_can_begin_on_resume(facegan, run):
    flags = ("--metrics", "fd_random", "--set", "evaluation.num_images=12", "--set", "evaluation.max_share=1")
    said = facegan("resume", run, "--steps", 6, *flags)
    assert said.code == 2
    assert said.complaint == (
        "facegan: --metrics fd_random: measures nothing without --evaluate-every K, the steps between evaluations"
    )
    said = facegan("resume", run, "--steps", 6, "--evaluate-every", 2, *flags)
    assert said.code == 0, said.err
    told = [json.loads(line) for line in (run / "evaluations.jsonl").read_text().splitlines()]
    assert [(line["step"], line["num_images"]) for line in told] == [(4, 12), (6, 12)]
    assert json.loads((run / "config.json").read_text())["evaluation"] == {
        "every": 2, "metrics": "fd_random", "num_images": 12, "keep_best": "", "max_share": 1.0,
    }  # fmt: skip
    assert re.search(
        r"^best by fd_random \([\d.]+ at step [46]\): .*/snapshots/step-0000000[46].safetensors$", said.err, re.M
    )
    assert "| best snapshot | step-0000000" in (run / "model-card.md").read_text()
    assert (
        "Best snapshot of the evaluations during training\n  snapshots/step-0000000" in facegan("runs", "show", run).out
    )


def test_an_edited_choice_of_images_is_refused(facegan, run):
    config = json.loads((run / "config.json").read_text())
    config["data"]["options"]["seed"] = 1
    (run / "config.json").write_text(json.dumps(config))
    said = facegan("resume", run, "--steps", 9)
    assert said.code == 2
    assert "data.options.seed was edited from null to 1, and cannot change in a run" in said.complaint


def test_no_run_at_all_says_how_to_start_one(facegan):
    said = facegan("resume")
    assert said.code == 2
    assert said.complaint == (
        "facegan: runs/: there is no run here; start one with 'facegan train', or name a run's folder"
    )


def test_folder_that_is_no_run_is_refused(facegan, workplace):
    (workplace / "pictures").mkdir()
    said = facegan("resume", "pictures")
    assert said.code == 2
    assert said.complaint == "facegan: pictures: not a run folder (it holds no config.json)"


def test_finished_run_whose_images_have_gone_says_so_all_the_same(facegan, workplace):
    folder = workplace / "faces"
    folder.mkdir()
    for number in range(8):
        Image.effect_noise((16, 16), 40 + number).convert("RGB").save(folder / f"{number}.png")
    flags = ("--resolution", 16, "--batch-size", 4, "--device", "cpu", "--epochs", 2)
    network = ("architecture.z_dim=12", "architecture.ngf=8", "architecture.ndf=8")
    settings = [part for line in network for part in ("--set", line)]
    assert facegan("train", "--data", folder, "--run", "short", *flags, *settings).code == 0
    shutil.rmtree(folder)
    said = facegan("resume", "short")
    assert said.code == 0 and "short: finished already; " in said.err
    assert "faces: no such folder" in facegan("resume", "short", "--epochs", 3).complaint


def test_what_ended_a_run_is_in_its_log(facegan, run, monkeypatch):
    monkeypatch.setattr("facegan.training.plan.shutil.disk_usage", lambda folder: shutil._ntuple_diskusage(9, 9, 0))
    said = facegan("resume", run, "--steps", 9)
    assert said.code == 1
    last = (run / "log.txt").read_text().splitlines()[-1]
    assert last.startswith(f"failed: {run.resolve()}: 0.0 MB are free") and last[8:] in said.err
    (listed,) = facegan("runs", "list", "--json").json["runs"]
    assert listed["standing"] == "finished"  # as long as it is: nothing was lost


@pytest.fixture
def photos(workplace):
    """A working directory of 12 photographs."""
    for number in range(12):
        pixels = np.random.default_rng(number).integers(0, 256, (20, 20, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(f"{number:02}.png")
    return workplace


HERE = (*NETWORK, "--data", ".", "--set", "train.batch_size=4", "--run", "runs/a")


def test_run_inside_its_own_images_can_be_resumed_and_repeated(facegan, photos):
    assert facegan("train", *HERE).code == 0
    assert facegan("data", "preview", ".", "--resolution", 16).code == 0
    assert facegan("sample", "runs/a", "-o", "grid.png").code == 0
    resumed = facegan("resume", "runs/a", "--steps", 6)
    assert resumed.code == 0, resumed.err
    assert "in run folders" in resumed.err and "a sheet, plot or preview that facegan made" in resumed.err
    again = facegan("train", *HERE[:-1], "runs/b")
    assert again.code == 0 and "on 12 images" in again.err


def test_changed_images_are_named_when_a_run_is_resumed_or_evaluated(facegan, photos):
    assert facegan("train", *HERE).code == 0
    Path("03.png").unlink()
    Image.new("RGB", (20, 20)).save("04.png")
    for name in "abcd":
        Image.new("RGB", (20, 20), "red").save(f"{name}.png")
    what = "4 files came (a.png, b.png, c.png and 1 more), 1 file went (03.png), 1 file changed (04.png)"
    refused = facegan("resume", "runs/a", "--steps", 6)
    assert refused.code == 2
    assert f"the images are not those that this run was trained on: {what}; put them back as" in refused.err
    judged = facegan("evaluate", "runs/a", "--metrics", "fd_random", "-n", 8)
    assert f"not the images that a was trained on: {what}" in judged.err


def test_list_of_images_that_is_missing_is_written_again(facegan, photos):
    assert facegan("train", *HERE).code == 0
    listed = Path("runs/a/images.txt").read_text()
    assert len(listed.splitlines()) == 13 and listed.splitlines()[1].endswith("  00.png")
    Path("runs/a/images.txt").unlink()
    assert facegan("resume", "runs/a", "--steps", 6).code == 0
    assert Path("runs/a/images.txt").read_text() == listed


def test_run_of_an_earlier_version_inside_its_own_images_is_told_the_way_on(facegan, photos):
    assert facegan("train", *HERE, "--set", "data.reading=1").code == 0
    Path("runs/a/images.txt").unlink()
    refused = facegan("resume", "runs/a", "--steps", 6)
    assert refused.code == 2 and "move runs/a out of " in refused.err


def test_images_that_are_all_equal_are_a_warning_and_the_runs_health(facegan, photos):
    for path in photos.glob("*.png"):
        Image.new("RGB", (20, 20), "red").save(path)
    said = facegan("train", *HERE)
    assert "all 12 images are equal" in said.err
    assert json.loads(Path("runs/a/metrics.jsonl").read_text().splitlines()[-1])["health"] == "equal images"
