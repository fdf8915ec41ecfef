import json
import os
import time

import pytest

from facegan.errors import SnapshotError
from facegan.run import RunDir, find_run, next_free, write_atomic


@pytest.fixture
def run(tmp_path):
    folder = RunDir(tmp_path / "runs" / "faces-1")
    folder.create("{}\n", {"torch": "2"})
    return folder


def test_a_file_appears_whole_with_ordinary_permissions(tmp_path):
    path = tmp_path / "file.txt"
    write_atomic(path, b"one")
    write_atomic(path, b"two")
    assert path.read_bytes() == b"two"
    plain = tmp_path / "plain"
    plain.write_bytes(b"")
    assert path.stat().st_mode == plain.stat().st_mode
    assert sorted(each.name for each in tmp_path.iterdir()) == ["file.txt", "plain"]


@pytest.mark.parametrize("error", [OSError("disk full"), KeyboardInterrupt()])
def test_a_failure_leaves_the_old_file_and_no_other(tmp_path, error):
    path = tmp_path / "file.txt"
    path.write_bytes(b"old")

    def fail(temporary):
        assert temporary.parent == tmp_path  # a rename within one file system
        temporary.write_bytes(b"half")
        assert path.read_bytes() == b"old"
        raise error

    with pytest.raises(type(error)):
        write_atomic(path, fail)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_content_is_on_the_disk_before_it_has_its_name(tmp_path, monkeypatch):
    order = []
    monkeypatch.setattr(os, "fsync", lambda handle: order.append("fsync"))
    replace = type(tmp_path).replace
    monkeypatch.setattr(type(tmp_path), "replace", lambda self, to: (order.append("replace"), replace(self, to))[1])
    write_atomic(tmp_path / "file.txt", b"x")
    assert order == ["fsync", "replace", "fsync"]


def test_temporary_files_are_never_taken_for_results(run):
    def look(temporary):
        temporary.write_bytes(b"half")
        assert run.steps("states") == []
        assert run.latest("states") is None

    write_atomic(run.state(5), look)
    assert run.steps("states") == [5]


def test_a_run_folder_is_laid_out_as_promised(run):
    assert sorted(path.name for path in run.path.iterdir()) == [
        "config.json", "environment.json", "samples", "snapshots", "states",
    ]  # fmt: skip
    assert json.loads(run.environment.read_text()) == {"torch": "2"}
    names = [run.sample(1), run.snapshot(20), run.state(123_456_789), run.metrics, run.log]
    assert [str(path.relative_to(run.path)) for path in names] == [
        "samples/step-00000001.png",
        "snapshots/step-00000020.safetensors",
        "states/step-123456789.safetensors",
        "metrics.jsonl",
        "log.txt",
    ]


def test_latest_is_the_highest_number_not_the_newest_or_last_in_order_of_names(run):
    for step in (99_999_999, 100_000_000, 5):
        run.state(step).write_bytes(b"")
    (run.path / "states" / "notes.txt").write_bytes(b"")
    (run.path / "states" / "step-999999999999.safetensors.bak").write_bytes(b"")
    assert run.latest("states") == run.state(100_000_000)
    assert run.steps("states") == [5, 99_999_999, 100_000_000]
    assert run.latest("snapshots") is None


def test_the_newest_files_of_a_kind_are_kept(run):
    for step in (1, 2, 3, 10):
        run.snapshot(step).write_bytes(b"")
        run.state(step).write_bytes(b"")
    run.keep_newest("snapshots", 2)
    assert run.steps("snapshots") == [3, 10]
    run.keep_newest("snapshots", 5)
    assert run.steps("snapshots") == [3, 10]
    assert run.steps("states") == [1, 2, 3, 10]


def test_metrics_are_read_as_written_and_a_half_written_line_is_passed_over(run):
    assert list(run.read_metrics()) == []
    records = [{"step": step, "loss/D": step / 3} for step in range(1, 4)]
    for record in records:
        run.append_metrics(record)
    assert list(run.read_metrics()) == records
    with run.metrics.open("a") as file:
        file.write('{"step": 4, "los')
    assert list(run.read_metrics()) == records


def test_metrics_are_cut_back_to_a_step_without_the_half_written_line(run):
    run.cut_metrics(3, 1)  # nothing there: nothing to do
    assert not run.metrics.exists()
    for step in range(1, 8):
        run.append_metrics({"step": step})
    with run.metrics.open("a") as file:
        file.write('{"step": 8')
    run.cut_metrics(5, 1)
    assert [record["step"] for record in run.read_metrics()] == [1, 2, 3, 4, 5]
    run.append_metrics({"step": 6})
    assert [record["step"] for record in run.read_metrics()] == [1, 2, 3, 4, 5, 6]


def test_the_line_of_an_end_between_two_ticks_is_cut_too(run):
    for step in (2, 4, 5):  # a tick every two steps, and the end at 5
        run.append_metrics({"step": step})
    run.cut_metrics(5, 2)
    assert [record["step"] for record in run.read_metrics()] == [2, 4]


def test_an_existing_run_is_refused_with_three_ways_out(run):
    with pytest.raises(SnapshotError) as refusal:
        run.refuse_existing()
    assert str(refusal.value) == (
        f"{run.path}: exists already; choose another --run, continue it with 'facegan resume', "
        "or start anew with --force (it is kept under another name)"
    )
    with pytest.raises(SnapshotError, match="exists already"):
        run.create("{}", {})
    assert refusal.value.exit_code == 2


def test_a_file_in_the_place_of_a_run_is_refused_and_an_empty_folder_taken(tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(SnapshotError, match="exists already"):
        RunDir(tmp_path / "file").create("{}", {})
    assert (tmp_path / "file").read_text() == "mine"
    (tmp_path / "empty").mkdir()
    RunDir(tmp_path / "empty").create("{}", {})
    assert (tmp_path / "empty" / "config.json").exists()


def test_moving_aside_keeps_everything_under_a_free_name(run):
    parent = run.path.parent
    assert run.move_aside() == parent / "faces-1.replaced-1"
    assert (parent / "faces-1.replaced-1" / "config.json").is_file()
    assert run.move_aside() is None
    run.create("{}", {})
    assert run.move_aside() == parent / "faces-1.replaced-2"


@pytest.fixture
def runs(tmp_path):
    root = tmp_path / "runs"
    for name in ("celeba-dcgan-1", "celeba-dcgan-2", "drawn-dcgan-1"):
        RunDir(root / name).create("{}", {})
        time.sleep(0.02)
    return root


def test_a_run_is_found_as_a_path_and_then_by_its_name(runs):
    assert find_run(runs / "drawn-dcgan-1", runs).path == runs / "drawn-dcgan-1"
    assert find_run("celeba-dcgan-2", runs).path == runs / "celeba-dcgan-2"


def test_without_a_name_the_run_last_written_to_is_meant(runs):
    assert find_run(None, runs).path == runs / "drawn-dcgan-1"
    RunDir(runs / "celeba-dcgan-1").append_metrics({"step": 1})
    assert find_run(None, runs).path == runs / "celeba-dcgan-1"


def test_a_mistyped_run_gets_the_nearest_names(runs):
    with pytest.raises(SnapshotError) as refusal:
        find_run("drawn-dcgn-1", runs)
    assert str(refusal.value) == (
        f"drawn-dcgn-1: no such run, neither as a path nor in {runs}/; "
        "did you mean 'drawn-dcgan-1' or 'celeba-dcgan-1'?"
    )
    with pytest.raises(SnapshotError) as refusal:
        find_run("zzz", runs)
    assert str(refusal.value).endswith("; there is: celeba-dcgan-1, celeba-dcgan-2, drawn-dcgan-1")


def test_a_folder_that_is_no_run_is_refused(runs, tmp_path):
    (tmp_path / "pictures").mkdir()
    with pytest.raises(SnapshotError) as refusal:
        find_run(tmp_path / "pictures", runs)
    assert str(refusal.value) == f"{tmp_path}/pictures: not a run folder (it holds no config.json)"


def test_no_runs_at_all_says_how_to_start_one(tmp_path):
    with pytest.raises(SnapshotError) as refusal:
        find_run(None, tmp_path / "runs")
    assert str(refusal.value) == (
        f"{tmp_path}/runs/: there is no run here; start one with 'facegan train', or name a run's folder"
    )


def test_new_runs_take_the_first_free_number(runs):
    assert next_free(runs, "celeba-dcgan").path == runs / "celeba-dcgan-3"
    assert next_free(runs, "lfw-dcgan").path == runs / "lfw-dcgan-1"
