import json
import os
import re
import signal
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors import safe_open

import facegan as package


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_run_folder_holds_what_is_promised_and_nothing_else(trained):
    folder, _ = trained
    files = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert files == {
        ".lock",
        "config.json",
        "environment.json",
        "log.txt",
        "metrics.jsonl",
        "losses.png",
        "faces.png",
        "model-card.md",
        "samples/real.png",
        *(f"samples/step-{step:08d}.png" for step in (0, 2, 4)),
        *(f"snapshots/step-{step:08d}.safetensors" for step in (1, 2, 3, 4)),
        *(f"states/step-{step:08d}.safetensors" for step in (3, 4)),  # the last two are kept
    }


def test_stdout_carries_the_run_folder_alone_and_stderr_the_talk(trained):
    folder, said = trained
    assert said.out == f"{folder}\n"
    assert re.search(r"step 4/4  ETA 00:00  epoch 1\.33  [\d,]+ images/s  loss_D \d\.\d+  loss_G \d\.\d+", said.err)
    assert "(balance 0.50)" in said.err
    assert said.err.rstrip().endswith(f"next: facegan sample {folder} -n 64 -o grid.png")


def test_log_holds_what_the_console_said(trained):
    folder, said = trained
    assert (folder / "log.txt").read_text() == said.err


def test_metrics_have_a_line_a_tick_with_every_promised_key(trained):
    folder, _ = trained
    records = lines(folder / "metrics.jsonl")
    assert [record["step"] for record in records] == [1, 2, 3, 4]
    for record in records:
        assert set(record) == {
            "step", "epoch", "kimg", "seconds", "images_per_second",
            "loss/D", "loss/D_real", "loss/D_fake", "loss/G", "score/real", "score/fake",
            "spread/real", "spread/fake", "health",
        }  # fmt: skip
        assert record["loss/D"] == pytest.approx(record["loss/D_real"] + record["loss/D_fake"], rel=1e-6)
        assert record["kimg"] == record["step"] * 16 / 1000
        assert record["epoch"] == pytest.approx(record["step"] * 16 / 48)
        assert 0 < record["score/real"] < 1
        assert 0 < record["score/fake"] < 1


def test_config_json_is_complete_and_itself_a_valid_config(trained, facegan):
    folder, _ = trained
    config = json.loads((folder / "config.json").read_text())
    assert config["architecture"] == {
        "name": "dcgan", "z_dim": 12, "prior": "normal", "ngf": 8, "ndf": 8, "head": "conv", "bias": False,
        "up": "transposed", "widest": 16, "slope_G": 0.0, "norm_G": "batch", "norm_D": "batch",
    }  # fmt: skip
    assert config["loss"] == {"name": "nonsaturating", "label_smoothing": 0.0}
    assert config["train"]["steps"] == 4
    assert config["train"]["epochs"] is None
    assert config["output"]["sample_every"] == 2
    again = facegan("train", "--config", folder / "config.json", "--dry-run", "--json").json["config"]
    assert again == config


def test_environment_json_says_what_it_was_started_with(trained):
    folder, _ = trained
    environment = json.loads((folder / "environment.json").read_text())
    assert environment["command"] == sys.argv
    assert environment["facegan"] == package.__version__
    assert environment["device"] == "cpu"
    assert {"python", "torch", "cuda", "platform", "started"} <= set(environment)


def test_snapshots_hold_both_networks_and_their_configuration(trained):
    folder, _ = trained
    with safe_open(folder / "snapshots" / "step-00000004.safetensors", framework="np") as file:
        assert {key.partition(".")[0] for key in file.keys()} == {"G", "G_ema", "D"}  # noqa: SIM118
        assert file.metadata()["step"] == "4"
        assert json.loads(file.metadata()["config"])["resolution"] == 16


def test_grids_show_64_images_of_the_runs_size(trained):
    folder, _ = trained
    side = 8 * 16 + 7 * 2
    for name in ("step-00000000", "step-00000004"):
        with Image.open(folder / "samples" / f"{name}.png") as grid:
            assert grid.size == (side, side)
            assert np.asarray(grid).shape == (side, side, 3)
    with Image.open(folder / "samples" / "real.png") as grid:
        assert grid.mode == "RGB"


def test_model_card_cites_its_sources_and_says_that_the_faces_are_synthetic(trained):
    card = (trained[0] / "model-card.md").read_text()
    assert "arXiv:1511.06434" in card
    assert "synthetic faces" in card
    assert "`facegan sample faces-1 -n 64 -o grid.png`" in card


def test_two_runs_of_one_seed_are_equal_and_of_another_are_not(trained, facegan, tiny):
    def losses(folder):
        return [record["loss/D"] for record in lines(Path(folder) / "metrics.jsonl")][:2]

    facegan("train", *tiny, "--steps", 2, "--run", "same")
    facegan("train", *tiny, "--steps", 2, "--run", "other", "--seed", 1)
    assert losses("same") == losses(trained[0])
    assert losses("other") != losses(trained[0])


def test_default_run_folders_are_numbered_by_data_and_preset(facegan, tiny, workplace):
    (workplace / "runs" / "drawn-dcgan-32-1" / "mine").mkdir(parents=True)
    said = facegan("train", *tiny, "--preset", "dcgan-32", "--steps", 1)
    assert said.out == "runs/drawn-dcgan-32-2\n"
    assert [path.name for path in (workplace / "runs" / "drawn-dcgan-32-1").iterdir()] == ["mine"]


def test_metrics_without_an_interval_are_refused(facegan):
    said = facegan("train", "--metrics", "fd_random")
    assert said.code == 2
    assert said.complaint == (
        "facegan: --metrics fd_random: measures nothing without --evaluate-every K, the steps between evaluations"
    )


def test_plan_reports_evaluations_and_knows_the_metrics(facegan, tiny):
    flags = (*tiny, "--steps", 5, "--dry-run")
    found = facegan("train", *flags, "--json", "--evaluate-every", 2, "--metrics", "fd_random").json
    assert found["num_evaluations"] == 3
    assert (found["config"]["evaluation"]["every"], found["config"]["evaluation"]["metrics"]) == (2, "fd_random")
    assert facegan("train", *flags, "--json").json["num_evaluations"] == 0
    said = facegan("train", *flags, "--evaluate-every", 2, "--metrics", "fd_randon")
    assert said.code == 2
    assert said.complaint.startswith(
        "facegan: config: evaluation.metrics: there is no 'fd_randon'; did you mean 'fd_random'"
    )


def test_json_of_train_names_run_step_and_snapshot(facegan, tiny):
    said = facegan("train", *tiny, "--steps", 2, "--run", "here", "--json")
    assert said.json == {
        "run": "here", "step": 2, "finished": True, "snapshot": "here/snapshots/step-00000002.safetensors",
    }  # fmt: skip


def test_folder_of_images_is_trained_on_and_bad_ones_are_skipped_counted_and_named(facegan, tiny, images):
    (images / "broken.jpg").write_bytes(b"no image at all")
    (images / "phone.heic").write_bytes(b"of a kind that is not read")
    drawn_only = [part for part in tiny if "num_images" not in part]
    drawn_only.remove("--set")
    said = facegan("train", "--data", images, *drawn_only, "--steps", 1, "--run", "own")
    assert said.code == 0, said.err
    assert f"{images}: skipped 1 .heic" in said.err
    assert f"{images}: skipped 1 image (broken.jpg: " in said.err
    assert "1 step on 20 images" in said.err


@pytest.fixture
def images(workplace):
    """A folder of twenty images of noise, some in sub-folders, none of them square."""
    folder = workplace / "my images"
    for number in range(20):
        path = folder / f"person {number % 3}" / f"{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(number).integers(0, 256, (24, 20, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(path)
    return folder


# The plan


def test_dry_run_prints_exact_integers_and_writes_nothing(facegan, workplace, cache):
    before = sorted(cache.rglob("*"))
    said = facegan("train", "--preset", "dcgan", "--dry-run")
    rows = dict(line.split(None, 1) for line in said.out.splitlines() if re.match(r"\w+ +[\d,.]+ *$", line))
    numbers = {key: value.strip() for key, value in rows.items()}
    assert numbers["num_parameters_G"] == "3,576,704"
    assert numbers["num_parameters_D"] == "2,765,568"
    assert numbers["num_images"] == "20,000"
    assert numbers["num_steps"] == "3,907"  # 25 epochs of 20,000 in batches of 128, rounded up
    assert numbers["data_bytes"] == f"{20_000 * 3 * 64 * 64:,}"
    assert said.err == ""
    assert said.code == 0
    assert list(workplace.iterdir()) == []
    assert sorted(cache.rglob("*")) == before


@pytest.mark.parametrize(
    ("settings", "G", "D"),
    [
        (["--preset", "dcgan"], 3_576_704, 2_765_568),
        (["--preset", "dcgan-linear"], 3_583_872, 2_765_569),
        (
            ["--preset", "dcgan-linear", "--set", "architecture.ngf=32", "--set", "architecture.ndf=32"],
            1_103_808,
            694_657,
        ),
    ],
)
def test_plans_count_the_published_parameters(facegan, settings, G, D):
    plan = facegan("train", "--dry-run", "--json", *settings).json
    assert (plan["num_parameters_G"], plan["num_parameters_D"]) == (G, D)
    assert len(plan["guidelines"]) == 5
    assert all(line["kept"] for line in plan["guidelines"]) == ("dcgan" in settings)


def test_plans_bytes_are_those_of_the_files(trained, facegan, tiny):
    plan = facegan("train", *tiny, "--steps", 4, "--dry-run", "--json").json
    for kind, folder in (("snapshot_bytes", "snapshots"), ("state_bytes", "states")):
        size = (trained[0] / folder / "step-00000004.safetensors").stat().st_size
        assert 0 < size - plan[kind] < 20_000  # the header


def test_plan_says_which_guideline_is_kept_and_which_is_broken(facegan):
    said = facegan("train", "--dry-run", "--preset", "dcgan-linear")
    assert re.search(r"kept +no fully connected hidden layers +hidden linear layers: none", said.out)
    assert re.search(r"not kept +batch norm in both .* missing after: G's Linear number 1", said.out)


def test_every_flag_reaches_its_setting(facegan):
    plan = facegan(
        "train", "--dry-run", "--json", "--data", "drawn", "--resolution", 32, "--batch-size", 20, "--kimg", 1,
        "--seed", 7,
        "--device", "cpu", "--precision", "bf16", "--set", "loss.label_smoothing=0.2", "--set", "loss.name=saturating",
    ).json  # fmt: skip
    config = plan["config"]
    assert plan["num_steps"] == 50
    assert (config["resolution"], config["seed"]) == (32, 7)
    assert config["train"]["batch_size"] == 20
    assert (config["train"]["kimg"], config["train"]["epochs"], config["train"]["steps"]) == (1, None, None)
    assert (config["train"]["device"], config["train"]["precision"]) == ("cpu", "bf16")
    assert config["loss"] == {"name": "saturating", "label_smoothing": 0.2}


def test_layers_replace_each_other_in_the_promised_order(facegan, workplace):
    (workplace / "mine.toml").write_text("resolution = 64\n[train]\nbatch_size = 16\nkimg = 3\n")
    layered = ["train", "--dry-run", "--json", "--preset", "dcgan-32"]
    preset = facegan(*layered).json["config"]
    file = facegan(*layered, "--config", "mine.toml").json["config"]
    flag = facegan(*layered, "--config", "mine.toml", "--batch-size", 8, "--steps", 5).json["config"]
    last = facegan(
        *layered, "--config", "mine.toml", "--batch-size", 8, "--set", "train.batch_size=4", "--set", "train.steps=6"
    ).json["config"]
    assert [each["resolution"] for each in (preset, file)] == [32, 64]
    assert [each["train"]["batch_size"] for each in (preset, file, flag, last)] == [128, 16, 8, 4]
    lengths = [
        (each["train"]["epochs"], each["train"]["kimg"], each["train"]["steps"]) for each in (preset, file, flag, last)
    ]
    assert lengths == [(25, None, None), (None, 3, None), (None, None, 5), (None, None, 6)]


# An existing folder


def test_existing_run_folder_is_refused_and_left_alone(facegan, tiny, run):
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    said = facegan("train", *tiny, "--steps", 1, "--run", run)
    assert said.code == 2
    assert said.complaint == (
        f"facegan: {run}: exists already; choose another --run, continue it with 'facegan resume', "
        "or start again with --force (it is kept under another name)"
    )
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before


def test_force_keeps_the_old_run_under_another_name(facegan, tiny, run):
    old = (run / "metrics.jsonl").read_text()
    said = facegan("train", *tiny, "--steps", 1, "--run", run, "--force")
    assert said.code == 0, said.err
    assert f"{run}: the previous contents are now in {run}.replaced-1" in said.err
    assert (run.parent / "faces-1.replaced-1" / "metrics.jsonl").read_text() == old
    assert len(lines(run / "metrics.jsonl")) == 1


def test_forced_run_leaves_the_old_runs_log_alone_and_has_its_own(facegan, tiny, run):
    old = (run / "log.txt").read_text()
    said = facegan("train", *tiny, "--steps", 1, "--run", run, "--force", "--seed", 8, "--set", "data.options.seed=8")
    assert said.code == 0, said.err
    assert (run.parent / "faces-1.replaced-1" / "log.txt").read_text() == old
    assert (run / "log.txt").read_text() == said.err


def test_force_moves_nothing_but_a_run(facegan, tiny, workplace):
    photos = workplace / "photos"
    photos.mkdir()
    (photos / "a.png").write_bytes(b"a image")
    said = facegan("train", *tiny, "--steps", 1, "--run", "photos", "--force")
    assert said.code == 2
    last = said.err.splitlines()[-1]
    assert last == "facegan: photos: is not a run, and --force replaces nothing else; choose another --run"
    assert [path.name for path in workplace.iterdir() if path.name.startswith("photos")] == ["photos"]
    assert (photos / "a.png").read_bytes() == b"a image"


# Stopping


@pytest.mark.integration
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_ctrl_c_and_sigterm_save_and_the_run_goes_on_from_there(number, code, facegan, start, tiny):
    run = Path("runs/long")
    process = start("train", *tiny, "--steps", 100_000, "--set", "output.tick_every=5", "--run", run)
    process.wait_for(run / "metrics.jsonl", r"\n")
    said = process.stop(number)
    assert said.code == code
    assert "stopping: this step is finished and saved; once more ends at once" in said.err
    saved = re.search(r"saved at step (\d+); continue with: facegan resume runs/long$", said.err.strip())
    assert saved, said.err
    assert "Traceback" not in said.err
    assert said.out == f"{run}\n"

    end = int(saved[1]) + 7
    said = facegan("resume", run, "--steps", end)
    assert said.code == 0 and f"runs/long: from step {saved[1]} to {end}\n" in said.err
    steps = [record["step"] for record in lines(run / "metrics.jsonl")]
    assert steps == sorted(set(steps))
    assert steps[-1] == end


@pytest.mark.integration
def test_two_trainings_started_at_once_take_two_folders(start, tiny):
    flags = (*tiny, "--steps", 100_000, "--set", "output.tick_every=5", "--preset", "dcgan-32", "--resolution", 16)
    first, second = start("train", *flags), start("train", *flags)
    for number in (1, 2):
        for process in (first, second):
            process.wait_for(Path(f"runs/drawn-dcgan-32-{number}/metrics.jsonl"), r"\n")
    codes = [process.stop(signal.SIGTERM).code for process in (first, second)]
    assert codes == [143, 143]


@pytest.mark.integration
def test_a_run_that_is_being_trained_is_refused_to_others(facegan, start, tiny):
    run = Path("runs/long")
    process = start("train", *tiny, "--steps", 100_000, "--set", "output.tick_every=5", "--run", run)
    process.wait_for(run / "metrics.jsonl", r"\n")
    for command in (("resume", run), ("train", *tiny, "--run", run, "--force")):
        said = facegan(*command)
        assert said.code == 2
        assert said.err.splitlines()[-1] == (
            f"facegan: {run}: another facegan process is writing this run; wait until it ends, or end it"
        )
    process.process.kill()
    process.process.wait()
    assert facegan("resume", run, "--max-time", "1s").code == 0


def test_force_without_a_folder_takes_the_next_free_name(facegan, tiny):
    for number in (1, 2):
        said = facegan("train", *tiny, "--steps", 1, "--force")
        assert (said.code, said.out) == (0, f"runs/drawn-dcgan-{number}\n"), said.err


def test_deterministic_is_a_setting_of_the_run(facegan, tiny, monkeypatch):
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    said = facegan("train", *tiny, "--steps", 1, "--run", "one", "--deterministic")
    assert said.code == 0, said.err
    assert json.loads(Path("one/config.json").read_text())["train"]["deterministic"] is True
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"


# The default preset, and a length in minutes

NOTICE = "preset faces, the default; that of earlier versions is --preset dcgan"
QUICK = (
    "--resolution", "16", "--batch-size", "8", "--device", "cpu", "--precision", "fp32",
    "--set", "data.options.num_images=48", "--set", "architecture.ngf=4", "--set", "architecture.ndf=4",
)  # fmt: skip


def test_without_a_preset_faces_is_trained_and_the_earlier_default_is_named_once(facegan):
    said = facegan("train", *QUICK, "--steps", 2)
    assert (said.code, said.out) == (0, "runs/drawn-faces-1\n"), said.err
    assert said.err.count(NOTICE) == 1
    assert (Path(said.out.strip()) / "log.txt").read_text() == said.err
    config = json.loads(Path("runs/drawn-faces-1/config.json").read_text())
    assert (config["loss"], config["penalty"]["r1"]) == ({"name": "relativistic"}, 1.0)
    assert config["schedule"]["kimg"] == 0.016  # two steps of 8 images
    assert config["augment"]["probability"] == 0.3  # that of few images
    assert "--preset dcgan" not in facegan("resume", "runs/drawn-faces-1", "--steps", 3).err
    assert json.loads(Path("runs/drawn-faces-1/config.json").read_text())["schedule"]["kimg"] == 0.016


@pytest.mark.parametrize("choice", ["--preset", "--config"])
def test_a_preset_or_a_file_is_no_default(facegan, workplace, choice):
    (workplace / "mine.toml").write_text("seed = 3\n")
    said = facegan("train", choice, {"--preset": "faces", "--config": "mine.toml"}[choice], *QUICK, "--steps", 1)
    assert said.code == 0, said.err
    assert "the default" not in said.err
    assert said.out == {"--preset": "runs/drawn-faces-1\n", "--config": "runs/drawn-mine-1\n"}[choice]


def test_minutes_become_kimg_when_the_run_starts(facegan):
    said = facegan("train", *QUICK, "--minutes", 0.02, "--run", "timed")
    assert said.code == 0, said.err
    config = json.loads(Path("timed/config.json").read_text())
    assert config["train"]["minutes"] is None
    assert config["train"]["kimg"] >= 0.008  # at least one step
    last = lines(Path("timed/metrics.jsonl"))[-1]
    assert config["schedule"]["kimg"] == last["kimg"] >= config["train"]["kimg"]


def test_minutes_exclude_the_other_lengths(facegan):
    said = facegan("train", "--minutes", 1, "--kimg", 1)
    assert said.code == 2
    assert said.complaint == (
        "facegan: config: train: give exactly one of epochs, kimg, steps, minutes (given: train.kimg and train.minutes)"
    )


@pytest.mark.pace
def test_plan_estimates_the_minutes(facegan):
    plan = facegan("train", *QUICK, "--steps", 10, "--dry-run")
    assert re.search(r"^minutes, about +[\d.,]+ *$", plan.out, re.MULTILINE)
    found = facegan("train", *QUICK, "--minutes", 0.5, "--dry-run", "--json").json
    assert found["minutes"] > 0
    assert found["config"]["train"]["minutes"] is None
    assert found["num_steps"] == -(-round(found["config"]["train"]["kimg"] * 1000) // 8)


# What is allowed but seldom meant, and what is refused

FEW = "only 48 images: D will know them by heart; the preset few augments what D sees early"


@pytest.mark.parametrize(
    ("options", "warning"),
    [
        (("--preset", "dcgan"), FEW),
        ((), FEW),
        (
            ("--set", "loss.name=wasserstein", "--set", "penalty={r1 = 0, r2 = 0}"),
            "loss wasserstein: D's slope is unbounded without a penalty; set penalty.gradient=10",
        ),
        (
            ("--preset", "dcgan", "--set", "penalty.r1=1"),
            "penalty: D uses batch norm, so a slope is not that of one image; set architecture.norm_D=none or spectral",
        ),
    ],
)
def test_what_is_seldom_meant_is_a_warning(facegan, options, warning):
    said = facegan("train", *options, *QUICK, "--steps", 1)
    assert said.code == 0, said.err
    assert said.err.splitlines().count(warning) == 1


@pytest.mark.parametrize(
    "options",
    [("--preset", "few"), ("--set", "loss.name=wasserstein", "--set", "penalty={r1 = 0, r2 = 0, gradient = 10}")],
)
def test_what_is_meant_is_no_warning(facegan, options):
    said = facegan("train", *options, *QUICK, "--set", "augment.ramp_kimg=0", "--steps", 1)
    assert said.code == 0, said.err
    for part in ("only 48 images", "unbounded", "batch norm"):
        assert part not in said.err


@pytest.mark.parametrize("command", [(), ("--dry-run",)])
def test_fp16_with_a_penalty_is_refused(facegan, workplace, command):
    said = facegan("train", *QUICK, "--precision", "fp16", *command)
    assert said.code == 2
    assert said.complaint == (
        "facegan: train.precision=fp16: the gradients of a penalty underflow in fp16; use bf16 or fp32"
    )
    assert list(workplace.iterdir()) == []


def test_a_plugin_with_the_name_of_a_new_loss_wins_with_a_warning(facegan, install):
    source = "from facegan.losses import NonSaturating\nclass Mine(NonSaturating):\n    width: float = 1.0\n"
    install("faceplug", source, {"facegan.loss": {"hinge": "faceplug:Mine"}})
    said = facegan("train", "--preset", "dcgan", *QUICK, "--set", "loss.name=hinge", "--steps", 1, "--run", "run")
    assert said.code == 0, said.err
    assert said.err.count("loss 'hinge': that of faceplug 1.0, in place of facegan's own\n") == 1
    config = json.loads(Path("run/config.json").read_text())
    assert config["loss"] == {"name": "hinge", "label_smoothing": 0.0, "width": 1.0}
    environment = json.loads(Path("run/environment.json").read_text())
    assert environment["plugins"]["loss"] == "faceplug 1.0"
