import os
import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest

from facegan.storage.run_dir import RunDir
from facegan.storage.run_status import leftovers, list_runs, run_status, stored_files
from runfolders import tear, tick, write_metrics


def test_finished_run_has_its_last_step_saved(make):
    run = run_status(make("one", saved=[10, 20], ticks=range(1, 21)))
    assert (run.standing, run.reason) == ("finished", None)
    assert (run.step, run.num_steps, run.share, run.epoch, run.num_images) == (20, 20, 1.0, 5.0, 64)
    assert (run.kimg, run.data, run.architecture, run.resolution) == (0.32, "drawn", "dcgan", 16)
    assert (run.state, run.snapshot, run.health) == (20, 20, None)
    assert run.size_bytes > 1000


def test_a_length_in_epochs_uses_the_number_of_images_from_the_metrics(make):
    run = run_status(make("one", "train.epochs=10", saved=[10], ticks=range(1, 11)))
    assert (run.standing, run.step, run.num_steps, run.share) == ("stopped", 10, 40, 0.25)
    untold = run_status(make("two", "train.epochs=10", saved=[10]))
    assert (untold.step, untold.num_steps, untold.share) == (10, None, None)


@pytest.mark.parametrize("epoch", [5e-324, -1.0, 1e308, 0.0])
def test_an_impossible_length_is_unknown(make, epoch):
    run = make("one", "train.epochs=10", saved=[10])
    write_metrics(run, tick(10) | {"epoch": epoch})
    found = run_status(run)
    assert (found.standing, found.num_images, found.num_steps) == ("stopped", None, None)


def test_a_run_locked_by_another_process_is_running(make):
    run = make("one", saved=[10], ticks=range(1, 14))
    with run.lock():
        found = run_status(run)
    assert (found.standing, found.step, found.reason) == ("running", 13, None)
    assert run_status(run).standing == "stopped"


def test_a_clean_stop_is_distinguished_from_a_kill(make):
    said = "saved at step 10; continue with: facegan resume runs/one"
    assert run_status(make("one", saved=[10], ticks=range(1, 11), log=said)).reason is None
    killed = run_status(make("two", saved=[10], ticks=range(1, 14), log="step 13/20  ETA 0:01"))
    assert (killed.standing, killed.step) == ("stopped", 13)
    assert killed.reason == "killed after step 13; it can go on from step 10"


def test_damaged_newest_file_does_not_count(make):
    run = make("one", saved=[5, 10, 20], ticks=range(1, 21))
    tear(run.state(20))
    tear(run.snapshot(20))
    found = run_status(run)
    assert (found.standing, found.state, found.snapshot, found.step) == ("stopped", 10, 10, 20)
    assert found.reason == (
        "snapshots/step-00000020.safetensors and states/step-00000020.safetensors are damaged; "
        "it can go on from step 10"
    )


@pytest.mark.parametrize("config", ['{"seed": ', "[]", '{"seed": -1}', '{"sed": 1}', None])
def test_a_run_with_an_unreadable_config_is_damaged_and_still_has_its_other_fields(make, config):
    run = make("one", saved=[10], ticks=range(1, 11))
    if config is None:
        run.config.unlink()
    else:
        run.config.write_text(config)
    found = run_status(run)
    assert (found.standing, found.step, found.state, found.kimg) == ("damaged", 10, 10, 0.16)
    assert "config" in found.reason and str(run.path) not in found.reason


@pytest.mark.parametrize(
    ("lost", "standing", "reason"),
    [
        (["states"], "stopped", "it holds no state"),
        (["states", "snapshots"], "empty", "it holds no snapshot and no state"),
        (["states", "snapshots", "metrics.jsonl"], "empty", "it ended before its first tick"),
    ],
)
def test_run_without_a_state_says_so(make, lost, standing, reason):
    run = make("one", saved=[10], ticks=range(1, 12))
    for name in lost:
        path = run.path / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    found = run_status(run)
    assert (found.standing, found.reason, found.state) == (standing, reason, None)


def test_a_run_without_a_valid_file_is_damaged(make):
    run = make("one", saved=[5, 10], ticks=range(1, 11))
    for path in run.path.glob("s*/*"):
        tear(path)
    assert run_status(run).standing == "damaged"


def test_a_run_with_numbers_that_are_not_finite_has_failed(make):
    by_loss = make("one", saved=[10])
    write_metrics(by_loss, tick(10), tick(11) | {"loss/D": float("nan")})
    by_health = make("two", saved=[10])
    write_metrics(by_health, tick(11, health="not finite"))
    message = "step 12: the loss is not finite; nothing since the last state was saved"
    by_log = make("three", saved=[10], ticks=range(1, 12), log=f"failed: {message}")
    found = [run_status(run) for run in (by_loss, by_health, by_log)]
    assert [run.standing for run in found] == ["failed"] * 3
    lost = "its numbers were not finite any more"
    assert [run.reason for run in found] == [lost, lost, message]


def test_torn_metrics_are_reported_and_the_line_before_counts(make):
    run = make("one", saved=[20], ticks=range(1, 21))
    tear(run.metrics, 0.99)
    found = run_status(run)
    assert (found.standing, found.reason, found.epoch) == ("finished", "metrics.jsonl ends in a torn line", 19 / 4)


def test_health_is_that_of_the_last_tick(make):
    run = make("one", saved=[20])
    write_metrics(run, tick(19, health="collapse"), tick(20, health="good"))
    assert run_status(run).health == "good"


def test_runs_are_listed_last_active_first_and_foreign_folders_are_named(make, root):
    make("old", saved=[20], age=100)
    new = make("new", saved=[20])
    make("new.replaced-1", saved=[20], age=50)
    (root / "empty").mkdir()
    (root / "empty" / ".lock").touch()
    os.utime(root / "empty", (10**9 - 200,) * 2)
    (root / "foreign").mkdir()
    (root / "foreign" / "notes.txt").touch()
    (root / "file.txt").touch()
    found, foreign = list_runs(root)
    assert [run.name for run in found] == ["new", "new.replaced-1", "old", "empty"]
    assert foreign == ["foreign"]
    assert found[0].path == new.path
    assert found[0].active == datetime.fromtimestamp(10**9, UTC)
    assert (found[-1].standing, found[-1].reason) == ("empty", "nothing was written into it")
    assert list_runs(root / "nowhere") == ([], [])


def test_an_unreadable_run_does_not_hide_the_others(make, root, monkeypatch):
    make("good", saved=[20], ticks=[20])
    bad = make("bad", saved=[20], age=9)

    def fail(folder):
        if folder == bad.path:
            raise OSError(5, "Input/output error", str(folder / "states"))
        return 1

    monkeypatch.setattr("facegan.storage.run_status.size_of", fail)
    found, _ = list_runs(root)
    assert {run.name: run.standing for run in found} == {"good": "finished", "bad": "damaged"}
    reason = next(run.reason for run in found if run.name == "bad")
    assert reason == f"{bad.path}/states: cannot be read (Input/output error)"


def test_run_with_an_undecodable_name_is_listed_under_an_escaped_one(make, root):
    make("good", saved=[20], ticks=[20])
    try:
        make("bad", saved=[20]).path.rename(root / os.fsdecode(b"b\xffd"))
    except OSError as error:
        pytest.skip(f"this file system has no such names ({error})")
    found, foreign = list_runs(root)
    assert sorted(run.name for run in found) == ["b\\udcffd", "good"] and foreign == []


def test_a_run_has_its_folders_name_inside_the_folder_as_well(make, monkeypatch):
    monkeypatch.chdir(make("one", saved=[20]).path)
    assert run_status(RunDir(Path())).name == "one"


def test_files_are_listed_newest_first_with_their_sizes(make):
    run = make("one", saved=[5, 10])
    found = list(stored_files(run, "states"))
    assert [(file.step, file.problem) for file in found] == [(10, None), (5, None)]
    assert found[0].size_bytes == run.state(10).stat().st_size
    assert found[0].path == run.state(10)


def test_leftovers_are_temporary_and_damaged_files_and_no_others(make):
    run = make("one", saved=[5])
    temporary = run.path / "states" / ".step-00000006.safetensors.ab12cd09.safetensors"
    config = run.path / ".config.json.ab12cd09.json"
    damaged = run.path / "snapshots" / "step-00000004.safetensors.damaged"
    for path in (temporary, config, damaged):
        path.write_bytes(b"12345")
    (run.path / ".lock").touch()
    (run.path / "notes.damaged").touch()
    assert [(file.path, file.size_bytes, file.why) for file in leftovers(run)] == [
        (config, 5, "left by a writer that was killed"),
        (damaged, 5, "damaged, and put aside"),
        (temporary, 5, "left by a writer that was killed"),
    ]
