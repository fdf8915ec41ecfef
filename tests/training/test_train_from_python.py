import json

import pytest
import torch

import facegan
from facegan.errors import ConfigError, SnapshotError

TINY = {
    "data.options.num_images": 32, "architecture.z_dim": 12, "architecture.ngf": 4, "architecture.ndf": 4,
    "train.device": "cpu",
}  # fmt: skip


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """Where the drawn images of all these tests are packed."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def workplace(shared, tmp_path, monkeypatch):
    monkeypatch.setenv("FACEGAN_CACHE", str(shared))
    monkeypatch.setattr("facegan.training.trainer.finish", lambda *args, **kwargs: None)  # it takes a second
    monkeypatch.chdir(tmp_path)
    return tmp_path


def train(**arguments):
    given = {"data": "drawn", "resolution": 16, "batch_size": 8, "steps": 1, "settings": TINY, **arguments}
    return facegan.train(given.pop("data"), **given)


def config_of(run):
    return json.loads((run.path / "config.json").read_text())


def test_a_run_knows_its_folder_its_metrics_and_its_generator(workplace, capfd):
    run = train(run="runs/mine", steps=2)
    assert (str(run.path), run.finished) == ("runs/mine", True)
    assert run.snapshot.name == "step-00000002.safetensors"
    assert [line["step"] for line in run.metrics()] == [1, 2]
    assert torch.equal(run.generator().sample([7]), facegan.load_generator(run.snapshot).sample([7]))
    assert not torch.equal(run.generator(raw=True).sample([7]), run.generator().sample([7]))
    assert capfd.readouterr() == ("", "")


def test_arguments_override_file_and_preset_and_settings_override_arguments(workplace):
    (workplace / "mine.toml").write_text("seed = 3\n[train]\nbatch_size = 4\n[optimizer]\nlr_G = 0.5\n")
    run = train(preset="demo", config="mine.toml", seed=4, settings={**TINY, "seed": 5, "optimizer": {"beta1": 0.25}})
    config = config_of(run)
    assert config["seed"] == 5
    assert config["optimizer"]["lr_G"] == 0.5
    assert config["optimizer"]["beta1"] == 0.25
    assert config["train"]["batch_size"] == 8
    assert config["architecture"]["ngf"] == 4
    assert str(run.path) == "runs/drawn-demo-1"
    assert str(train(preset="demo", settings=TINY).path) == "runs/drawn-demo-2"


def test_every_argument_is_a_setting():
    settings = {**TINY, "evaluation.num_images": 12, "optimizer": "{lr_D = 0.125}"}
    run = train(
        seed=9, steps=None, kimg=0.008, evaluate_every=9, metrics="fd_random",
        settings=[f"{key}={value}" for key, value in settings.items()],
    )  # fmt: skip
    config = config_of(run)
    assert (config["seed"], config["resolution"], config["train"]["kimg"]) == (9, 16, 0.008)
    assert (config["evaluation"]["every"], config["evaluation"]["metrics"]) == (9, "fd_random")
    assert (config["optimizer"]["lr_D"], config["architecture"]["z_dim"]) == (0.125, 12)


def test_device_is_refused_as_a_setting_would_be():
    with pytest.raises(ConfigError, match=r"^config: train\.device is 'gpu'; it must be auto, cpu, cuda"):
        train(device="gpu", settings={})


def test_existing_run_is_refused_or_kept_aside(workplace):
    train(run=workplace / "mine")
    with pytest.raises(SnapshotError, match="exists already"):
        train(run=workplace / "mine")
    train(run=workplace / "mine", force=True)
    assert (workplace / "mine.replaced-1").is_dir()


def test_mistakes_are_refused_before_anything_is_written(workplace):
    with pytest.raises(ConfigError, match=r"^config: no setting 'train\.batchsize'; did you mean 'batch_size'\?$"):
        train(settings={"train.batchsize": 1})
    with pytest.raises(ConfigError, match=r"minutes \(given: train.kimg and train.steps\)$"):
        train(kimg=1)
    assert not (workplace / "runs").exists()


def test_stop_ends_a_run_that_says_so_and_report_hears_of_its_way():
    heard = []
    run = train(steps=9, report=heard.append, stop=lambda: True)
    assert not run.finished
    assert run.best is None
    assert run.snapshot.name == "step-00000001.safetensors"
    *notices, begun, tick = heard[:4]
    assert notices[0] == "preset faces, the default; that of earlier versions is --preset dcgan"
    assert notices[1].startswith("only 32 images: ")
    assert begun == f"{run.path}: 9 steps on 32 images, cpu"
    assert tick.step == 1


def test_packing_is_reported_where_images_are_packed_for_the_first_time():
    calls = []
    train(settings={**TINY, "data.options.num_images": 24}, packing=lambda *numbers: calls.append(numbers))
    assert calls[-1] == (24, 24)


def test_best_snapshot_of_a_run_is_at_hand():
    run = train(steps=2, evaluate_every=1, settings={**TINY, "evaluation.num_images": 12, "evaluation.max_share": 1})
    found = [json.loads(line)["value"] for line in (run.path / "evaluations.jsonl").read_text().splitlines()]
    assert run.best == run.path / "snapshots" / f"step-0000000{1 + found.index(min(found))}.safetensors"


def test_metrics_without_an_interval_are_refused():
    with pytest.raises(ConfigError) as refusal:
        train(metrics="fd_random")
    assert str(refusal.value) == (
        "--metrics fd_random: measures nothing without --evaluate-every K, the steps between evaluations"
    )
