import json

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

import facegan
from facegan.config import resolve
from facegan.errors import ConfigError, DataError, SnapshotError
from facegan.run import RunDir
from facegan.snapshots import load_generator
from facegan.training.runs import read_config, resume, train


@pytest.fixture
def run(tmp_path):
    return RunDir(tmp_path / "runs" / "faces-1")


@pytest.fixture
def undrawn(monkeypatch):
    """Without the curves and the card of a finished run, which take a second."""
    monkeypatch.setattr("facegan.training.runs.finish", lambda *args, **kwargs: None)


def test_a_finished_run_leaves_everything_and_no_pickle(tiny, run):
    said = []
    assert train(
        tiny("output.tick_every=1"), run, report=lambda each: said.append(each) if isinstance(each, str) else None
    )
    found = {str(path.relative_to(run.path)) for path in run.path.rglob("*") if path.is_file()}
    assert found == {
        "config.json", "environment.json", "metrics.jsonl", "losses.png", "faces.png", "model-card.md",
        "samples/real.png",
        *(f"samples/step-{step:08d}.png" for step in range(4)),
        *(f"snapshots/step-{step:08d}.safetensors" for step in (1, 2, 3)),
        *(f"states/step-{step:08d}.safetensors" for step in (2, 3)),
    }  # fmt: skip
    for path in run.path.rglob("*.safetensors"):
        assert not path.read_bytes().startswith((b"\x80\x02", b"\x80\x04", b"\x80\x05", b"PK"))
    card = (run.path / "model-card.md").read_text()
    for words in ("16x16", "1511.06434", "DCGAN Tutorial", "20 pictures", "3 steps of 8", "0.0 thousand", "synthetic"):
        assert words in card
    assert said[0] == f"{run.path}: 3 steps on 20 pictures, cpu"
    assert said[-1] == f"{run.path}: finished; look at faces.png and losses.png there"


def test_the_run_folder_says_what_it_was_started_with(tiny, run, undrawn):
    config = tiny("train.steps=1")
    train(config, run)
    written = read_config(run)
    assert written.model_copy(update={"output": config.output}) == config
    assert written.output == config.output.scaled(1)
    assert resolve(file=run.config).complete() == written
    environment = json.loads(run.environment.read_text())
    assert (environment["facegan"], environment["torch"]) == (facegan.__version__, torch.__version__)
    assert (environment["device"], environment["gpu"]) == ("cpu", None)


def test_grids_are_images_of_the_seeds_by_the_average_in_eval_mode(tiny, run, undrawn):
    from facegan import images

    train(tiny("train.steps=2"), run)
    generator = load_generator(run.latest("snapshots"))
    expected = images.grid(images.to_uint8(generator.sample(range(64))))
    with Image.open(run.sample(2)) as picture:
        assert np.array_equal(np.asarray(picture), expected)
        assert picture.text == {"facegan": "synthetic faces, seeds 0-63, step 2"}


def test_an_existing_run_is_refused_before_anything_is_done(tiny, run, undrawn):
    train(tiny("train.steps=1"), run)
    before = {path: path.read_bytes() for path in run.path.rglob("*") if path.is_file()}
    with pytest.raises(SnapshotError, match="exists already; choose another --run"):
        train(tiny("train.steps=1"), run)
    assert {path: path.read_bytes() for path in run.path.rglob("*") if path.is_file()} == before


def test_force_keeps_the_old_run_under_another_name(tiny, run, undrawn):
    train(tiny("train.steps=1"), run)
    said = []
    train(tiny("train.steps=2"), run, force=True, report=said.append)
    aside = run.path.with_name("faces-1.replaced-1")
    assert said[0] == f"{run.path}: what was there is now {aside}"
    assert RunDir(aside).steps("states") == [1]
    assert run.steps("states") == [1, 2]


def test_fewer_pictures_than_a_batch_are_refused_before_anything_is_written(tiny, store, run):
    data = store(num=5)
    with pytest.raises(DataError) as refusal:
        train(tiny(data=data), run)
    assert str(refusal.value) == f"{data}: found 5 images, need at least 8 (train.batch_size)"
    assert not run.path.parent.exists()


@pytest.mark.parametrize(
    ("setting", "error"), [("loss.smoothing=1", ConfigError), ("train.device=cuda:77", ConfigError)]
)
def test_mistakes_are_refused_before_anything_is_written(store, run, setting, error):
    config = resolve(settings=["resolution=16", f"data.source='{store()}'", setting])
    with pytest.raises(error):
        train(config, run)
    assert not run.path.parent.exists()


def test_pictures_of_another_size_are_refused(tiny, store, run):
    with pytest.raises(DataError, match="packed with resolution = 32, not 16"):
        train(tiny(data=store(resolution=32)), run)
    assert not run.path.parent.exists()


def test_resuming_a_finished_run_does_nothing(tiny, run, undrawn):
    train(tiny("train.steps=1"), run)
    before = {path: path.read_bytes() for path in run.path.rglob("*") if path.is_file()}
    assert resume(run) is None
    assert {path: path.read_bytes() for path in run.path.rglob("*") if path.is_file()} == before


def test_a_run_cannot_be_made_shorter(tiny, run, undrawn):
    train(tiny("train.steps=3"), run)
    with pytest.raises(ConfigError) as refusal:
        resume(run, duration={"steps": 2})
    assert str(refusal.value) == f"{run.path}: has 3 steps already, more than the 2 asked for; ask for more"


def test_a_run_without_a_state_cannot_be_resumed(tiny, run):
    run.create(tiny().to_json(), {})
    with pytest.raises(SnapshotError) as refusal:
        resume(run)
    assert str(refusal.value) == f"{run.path}: holds no state to resume from; start anew with 'facegan train'"


def test_a_damaged_state_is_refused_and_nothing_changed(tiny, run):
    train(tiny("train.steps=2"), run, stop=lambda: True)
    run.latest("states").write_bytes(b"half")
    metrics = run.metrics.read_bytes()
    with pytest.raises(SnapshotError, match="not a whole safetensors file"):
        resume(run)
    assert run.metrics.read_bytes() == metrics


def test_a_stopped_run_says_so_and_has_no_card_yet(tiny, run):
    assert train(tiny("train.steps=3"), run, stop=lambda: True) is False
    assert run.steps("states") == [1]
    assert run.steps("snapshots") == [1]
    assert not (run.path / "model-card.md").exists()
    assert resume(run) is True
    assert (run.path / "model-card.md").exists()


def test_a_stop_at_the_last_step_is_an_end(tiny, run, undrawn):
    stops = iter([False, True])
    assert train(tiny("train.steps=2"), run, stop=lambda: next(stops)) is True


def test_drawn_faces_train_out_of_the_box(run, undrawn):
    config = resolve(
        settings=["resolution=16", "architecture.ngf=4", "architecture.ndf=4", "train.batch_size=8", "train.steps=1",
                  "train.device=cpu", "data.options.num_images=16"]
    )  # fmt: skip
    packed = []
    assert train(config, run, packing=lambda done, total: packed.append((done, total)))
    assert packed[-1] == (16, 16)


def test_resuming_to_the_length_it_has_changes_nothing(tiny, run, undrawn):
    train(tiny("train.steps=5", "output.tick_every=10"), run)
    before = run.metrics.read_text()
    assert before
    assert resume(run, duration={"steps": 5}) is None
    assert run.metrics.read_text() == before


def test_states_do_not_depend_on_interruptions(tiny, tmp_path, undrawn):
    settings = ("train.steps=8", "output.state_every=2", "output.sample_every=100", "output.snapshot_every=100")
    whole, parts = RunDir(tmp_path / "whole"), RunDir(tmp_path / "parts")
    config = tiny(*settings, "output.keep_states=10")
    train(config, whole)
    asked = iter(range(100))
    train(config, parts, stop=lambda: next(asked) == 2)
    resume(parts)
    for step in (4, 6, 8):
        one, other = (load_file(run.state(step)) for run in (whole, parts))
        assert [key for key in one if not torch.equal(one[key], other[key])] == []
