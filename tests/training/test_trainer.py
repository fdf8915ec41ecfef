import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file, save_file

import facegan
from facegan.checkpoint import load_generator
from facegan.config import resolve
from facegan.errors import ConfigError, DataError, SnapshotError, TrainingError
from facegan.reporter import Callbacks
from facegan.storage.run_dir import RunDir
from facegan.storage.safetensors_file import seal
from facegan.training.trainer import read_config, resume, train


def contents(run):
    return {path: path.read_bytes() for path in run.path.rglob("*") if path.is_file()}


def test_a_finished_run_leaves_everything_and_no_pickle(finished_run):
    run = finished_run
    found = {str(path.relative_to(run.path)) for path in run.path.rglob("*") if path.is_file()}
    assert found == {
        ".lock", "config.json", "environment.json", "images.txt", "metrics.jsonl",
        "losses.png", "faces.png", "model-card.md",
        "samples/real.png",
        *(f"samples/step-{step:08d}.png" for step in range(4)),
        *(f"snapshots/step-{step:08d}.safetensors" for step in (1, 2, 3)),
        *(f"states/step-{step:08d}.safetensors" for step in (2, 3)),
    }  # fmt: skip
    for path in run.path.rglob("*.safetensors"):
        assert not path.read_bytes().startswith((b"\x80\x02", b"\x80\x04", b"\x80\x05", b"PK"))
    card = (run.path / "model-card.md").read_text()
    for words in ("16x16", "1511.06434", "DCGAN Tutorial", "20 images", "3 steps of 8", "0.0 thousand", "synthetic"):
        assert words in card


def test_the_run_folder_records_what_it_was_started_with(make_tiny, session_data, finished_run):
    config = make_tiny("output.tick_every=1", "schedule.kimg=0.024", data=session_data)  # the run's length
    written = read_config(finished_run)
    assert written.model_copy(update={"output": config.output}) == config
    assert written.output == config.output.scaled(3)
    assert resolve(file=finished_run.config).complete() == written
    environment = json.loads(finished_run.environment.read_text())
    assert (environment["facegan"], environment["torch"]) == (facegan.__version__, torch.__version__)
    assert (environment["device"], environment["gpu"]) == ("cpu", None)


def test_grids_are_images_of_the_seeds_by_the_average_in_eval_mode(finished_run):
    from facegan import images

    generator = load_generator(finished_run.latest("snapshots"))
    expected = images.grid(images.to_uint8(generator.sample(range(64))))
    with Image.open(finished_run.sample(3)) as image:
        assert np.array_equal(np.asarray(image), expected)
        assert image.text["facegan"] == "synthetic faces, seeds 0-63, step 3"


def test_old_weights_that_came_back_are_removed_when_a_finished_run_is_resumed(tiny, run):
    train(tiny("output.keep_snapshots=1", "output.keep_states=1"), run)
    for path in (run.snapshot, run.state):
        path(1).write_bytes(path(3).read_bytes())
    assert resume(run) is None
    assert (run.steps("snapshots"), run.steps("states")) == ([3], [3])


def test_an_existing_run_is_refused_before_anything_is_done(tiny, finished):
    before = contents(finished)
    with pytest.raises(SnapshotError, match="exists already; choose another --run"):
        train(tiny("train.steps=1"), finished)
    assert contents(finished) == before


def test_force_keeps_the_old_run_under_another_name(tiny, finished, undrawn):
    said = []
    train(tiny("train.steps=1"), finished, force=True, reporter=Callbacks(line=said.append))
    aside = finished.path.with_name("faces-1.replaced-1")
    assert said[0] == f"{finished.path}: the previous contents are now in {aside}"
    assert RunDir(aside).steps("states") == [2, 3]
    assert finished.steps("states") == [1]


def test_fewer_images_than_a_batch_are_refused_before_anything_is_written(tiny, store, run):
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


def test_images_of_another_size_are_refused(tiny, store, run):
    with pytest.raises(DataError, match="packed with resolution = 32, not 16"):
        train(tiny(data=store(resolution=32)), run)
    assert not run.path.parent.exists()


def test_resuming_a_finished_run_does_nothing(finished):
    before = contents(finished)
    assert resume(finished) is None
    assert contents(finished) == before


def test_a_run_cannot_be_made_shorter(finished):
    with pytest.raises(ConfigError) as refusal:
        resume(finished, {"train": {"steps": 2}})
    assert str(refusal.value) == f"{finished.path}: already has 3 steps, more than the 2 requested; give more"


def test_a_run_ended_before_its_first_state_begins_again(
    make_tiny, session_data, run, finished_run, assert_same_tensors, undrawn
):
    config = make_tiny("output.tick_every=1", "output.sample_every=1", data=session_data)
    run.create(config.to_json(), {})
    run.append_metrics({"step": 1})
    assert resume(run) is True
    assert_same_tensors(run.state(3), finished_run.state(3))


def test_a_run_killed_while_its_first_state_was_written_begins_again(
    finished, finished_run, assert_same_tensors, undrawn
):
    for path in (finished.snapshot(2), finished.snapshot(3), finished.state(2), finished.state(3)):
        path.unlink()
    # As if its first state had been due later: other intervals do not hide that there was none yet.
    config = json.loads(finished.config.read_text())
    config["output"]["state_every"] = 90000
    finished.config.write_text(json.dumps(config))
    assert resume(finished, {"output": {"state_every": 1}}) is True
    assert finished.steps("states") == [2, 3]
    assert_same_tensors(finished.state(3), finished_run.state(3))
    assert_same_tensors(finished.snapshot(3), finished_run.snapshot(3))


def test_a_file_that_cannot_be_removed_does_not_hold_up_the_saving(tiny, run, undrawn, monkeypatch):
    remove = Path.unlink

    def held(path, missing_ok=False):
        if path.name == "step-00000001.safetensors":
            raise PermissionError(13, "another program has it open")
        remove(path, missing_ok)

    monkeypatch.setattr(Path, "unlink", held)
    output = ("output.state_every=1", "output.keep_states=1", "output.snapshot_every=1", "output.keep_snapshots=1")
    assert train(tiny(*output), run) is True
    assert run.steps("states") == run.steps("snapshots") == [1, 3]


@pytest.mark.parametrize("lie", [{"score/real": "x"}, {"epoch": 1e-320}, {"kimg": None}])
def test_metrics_that_lie_do_not_stop_a_resume(stopped, undrawn, lie):
    (first,) = stopped.read_metrics()
    stopped.metrics.write_text(json.dumps(first | lie) + "\n")
    assert resume(stopped) is True
    assert stopped.steps("states")[-1] == 3


def damage(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)


@pytest.fixture(scope="module")
def broken_run(train_quickly, make_tiny, session_data, after, tmp_path_factory):
    """A run of three steps that was stopped after the second; read-only."""
    run = RunDir(tmp_path_factory.mktemp("runs") / "broken")
    train_quickly(make_tiny("output.tick_every=1", data=session_data), run, stop=after(2))
    return run


@pytest.mark.parametrize("harm", [damage, lambda path: path.write_bytes(b"half")])
def test_a_damaged_newest_state_is_reported_and_the_one_before_it_used(
    broken_run, finished_run, run, assert_same_tensors, undrawn, harm
):
    said = []
    shutil.copytree(broken_run.path, run.path)
    harm(run.state(2))
    harm(run.snapshot(2))
    assert resume(run, reporter=Callbacks(line=said.append)) is True
    for kind, said_of_it in zip(("snapshots", "states"), said, strict=False):
        file = run.path / kind / "step-00000002.safetensors"
        assert said_of_it.startswith(f"{file}: ")
        assert said_of_it.endswith("; put aside as step-00000002.safetensors.damaged")
        assert file.with_name("step-00000002.safetensors.damaged").exists()
    assert said[2] == f"{run.path}: from step 1 to 3"
    assert_same_tensors(run.state(3), finished_run.state(3))
    assert run.steps("states") == finished_run.steps("states")
    assert run.steps("snapshots") == finished_run.steps("snapshots")


def test_a_run_without_a_valid_state_is_refused_and_its_metrics_stay(stopped):
    damage(stopped.state(1))
    metrics = stopped.metrics.read_bytes()
    for _ in range(2):
        with pytest.raises(SnapshotError) as refusal:
            resume(stopped)
        assert str(refusal.value) == (
            f"{stopped.path}: has no valid state to resume from; start again with 'facegan train'"
        )
    assert stopped.metrics.read_bytes() == metrics


def test_a_state_of_a_newer_version_is_not_taken_for_damage(stopped):
    state = stopped.state(1)
    with safe_open(state, framework="pt") as file:
        metadata = file.metadata()
    save_file(load_file(state), state, metadata | {"schema": "99", "facegan": "9.9"})
    seal(state)
    with pytest.raises(SnapshotError, match=r"written by facegan 9\.9, which is newer than this one .*; upgrade$"):
        resume(stopped)
    assert stopped.steps("states") == [1]


def test_what_a_finished_run_lacks_is_made_when_it_is_resumed(finished):
    (finished.path / "model-card.md").unlink()
    with finished.metrics.open("ab") as file:
        file.write(b'{"step": 3, "lo')
    said = []
    assert resume(finished, reporter=Callbacks(line=said.append)) is None
    assert said == [f"{finished.path}: finished; look at faces.png and losses.png there"]
    assert "3 steps of 8" in (finished.path / "model-card.md").read_text()
    assert [record["step"] for record in finished.read_metrics()] == [1, 2, 3]
    assert finished.metrics.read_bytes().endswith(b"}\n")


@pytest.mark.parametrize("length", [{}, {"train": {"steps": 4}}], ids=["copied", "extended"])
@pytest.mark.parametrize("edit", [None, lambda text: text + "My notes.\n", lambda text: "Mine.\n"])
def test_a_model_card_is_replaced_unless_somebody_has_edited_it(finished, monkeypatch, edit, length):
    monkeypatch.setattr("facegan.plots.save_figure", lambda figure, path: path.touch())
    card, said = finished.path / "model-card.md", []
    if edit:
        card.write_text(edit(card.read_text()))
    before = card.read_text()
    (finished.path / "faces.png").unlink()  # in a copy it may be older than the state
    os.utime(card, (0, 0))
    resume(finished, length, reporter=Callbacks(line=said.append))
    kept = f"{card}: is not as this version wrote it, and is kept; delete it, and 'facegan resume' writes a new one"
    assert (kept in said) is bool(edit)
    expected = (
        before if edit else before.replace("3 steps of 8, 0.0", f"{finished.steps('states')[-1]} steps of 8, 0.0")
    )
    assert card.read_text().splitlines()[:-1] == expected.splitlines()[:-1]
    assert (finished.path / "faces.png").exists()
    assert resume(finished, reporter=Callbacks(line=said.append)) is None
    assert said.count(kept) == bool(edit)


def test_a_damaged_last_snapshot_of_a_finished_run_is_restored_from_the_state(finished, finished_run, undrawn):
    damage(finished.snapshot(3))
    assert resume(finished) is None
    before, after = load_file(finished_run.snapshot(3)), load_file(finished.snapshot(3))
    assert before.keys() == after.keys() and all(torch.equal(before[key], after[key]) for key in before)
    seeds = load_generator(finished_run.snapshot(3)).sample(range(4))
    assert torch.equal(load_generator(finished.snapshot(3)).sample(range(4)), seeds)


def test_a_disk_that_fills_up_at_the_very_end_leaves_a_trained_run(stopped, monkeypatch):
    def fail(*args, **kwargs):
        raise OSError(28, "No space left on device")

    assert (stopped.steps("states"), stopped.steps("snapshots")) == ([1], [1])
    with monkeypatch.context() as patch, pytest.raises(TrainingError) as refusal:
        patch.setattr("facegan.plots.save_figure", fail)
        resume(stopped)
    assert str(refusal.value) == (
        f"{stopped.path}: trained and saved, but its images and card cannot be written (No space left on device); "
        "free some space, then 'facegan resume' writes them"
    )
    assert not (stopped.path / "model-card.md").exists()
    assert resume(stopped) is None
    assert (stopped.path / "model-card.md").exists()


def test_other_intervals_and_numbers_of_files_change_nothing_that_is_learnt(stopped, finished_run, undrawn):
    output = {"sample_every": 2, "state_every": 5, "tick_every": 2, "keep_states": 1, "snapshot_every": 0}
    resume(stopped, {"output": output})
    assert stopped.steps("samples") == [0, 1, 2, 3]
    assert stopped.steps("states") == [3]
    assert [record["step"] for record in stopped.read_metrics()] == [1, 2, 3]
    assert read_config(stopped).output.state_every == 5
    one, other = (load_file(each.state(3)) for each in (stopped, finished_run))
    assert all(torch.equal(one[key], other[key]) for key in one if key != "sums")
    assert stopped.sample(2).read_bytes() == finished_run.sample(2).read_bytes()
    with pytest.raises(ConfigError, match=r"^config: output.keep_states is 0; it must be at least 1$"):
        resume(stopped, {"output": {"keep_states": 0}})


def test_files_of_round_steps_are_kept(tiny, run, undrawn):
    output = ("output.state_every=1", "output.snapshot_every=1", "output.keep_states=1", "output.keep_snapshots=1")
    train(tiny("train.steps=5", *output, "output.keep_states_every=3", "output.keep_snapshots_every=2"), run)
    assert run.steps("states") == [3, 5]
    assert run.steps("snapshots") == [2, 4, 5]


def test_a_run_that_is_being_written_is_refused_to_a_second_process(tiny, stopped):
    code = (
        "import sys; from pathlib import Path; from facegan.storage.run_dir import RunDir\n"
        "with RunDir(Path(sys.argv[1])).lock(): print(flush=True); sys.stdin.read()"
    )
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", code, stopped.path], **pipes) as other:
        other.stdout.readline()
        for attempt in (lambda: resume(stopped), lambda: train(tiny(), stopped, force=True)):
            with pytest.raises(SnapshotError, match="another facegan process is writing this run"):
                attempt()
        assert stopped.steps("states") == [1]


def test_a_stop_at_the_last_step_is_an_end(tiny, run, undrawn):
    assert train(tiny("train.steps=1"), run, stop=lambda: True) is True


def test_drawn_faces_train_out_of_the_box(run, undrawn):
    config = resolve(
        settings=["resolution=16", "architecture.ngf=4", "architecture.ndf=4", "train.batch_size=8", "train.steps=1",
                  "train.device=cpu", "data.options.num_images=16"]
    )  # fmt: skip
    packed = []
    assert train(
        config, run, reporter=Callbacks(progress={"packing": lambda done, total: packed.append((done, total))})
    )
    assert packed[-1] == (16, 16)


def test_resuming_to_the_length_it_has_changes_nothing(tiny, run, undrawn):
    train(tiny("train.steps=1", "output.tick_every=10"), run)
    before = run.metrics.read_text()
    assert before
    assert resume(run, {"train": {"steps": 1}}) is None
    assert run.metrics.read_text() == before
