import json
import re
import shutil

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file


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


def test_intervals_can_change_and_nothing_else(facegan, run):
    settings = ("--set", "output.sample_every=3", "--set", "output.keep_states=1")
    said = facegan("resume", run, "--steps", 7, *settings)
    assert said.code == 0, said.err
    assert sorted(path.name for path in (run / "samples").glob("step-*"))[-2:] == [
        "step-00000006.png",
        "step-00000007.png",
    ]
    assert [path.name for path in (run / "states").iterdir()] == ["step-00000007.safetensors"]
    assert json.loads((run / "config.json").read_text())["output"]["keep_states"] == 1
    said = facegan("resume", run, "--steps", 9, "--set", "optimizer.lr_G=1")
    assert said.code == 2
    assert said.complaint == (
        "facegan: --set optimizer.lr_G=1: cannot change in a run; only settings of output and evaluation can. Start a "
        "new run for it"
    )
    said = facegan("resume", run, "--steps", 9, "--set", "output.often=1")
    assert (said.code, said.err.splitlines()[-1][:43]) == (2, "facegan: config: no setting 'output.often';")


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


def test_run_whose_images_changed_is_refused(facegan, run):
    config = json.loads((run / "config.json").read_text())
    config["data"]["options"]["seed"] = 1
    (run / "config.json").write_text(json.dumps(config))
    said = facegan("resume", run, "--steps", 9)
    assert said.code == 2
    assert "the images are not those that this run was trained on" in said.err.splitlines()[-1]


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
