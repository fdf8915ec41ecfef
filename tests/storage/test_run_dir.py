import json
import os
import signal
import subprocess
import sys

import pytest

from facegan.errors import SnapshotError
from facegan.storage.atomic import write_atomic
from facegan.storage.run_dir import RunDir, find_run, next_free
from runfolders import store


@pytest.fixture
def run(tmp_path):
    folder = RunDir(tmp_path / "runs" / "faces-1")
    folder.create("{}\n", {"torch": "2"})
    return folder


def test_temporary_files_do_not_count_as_results(run):
    def look(temporary):
        temporary.write_bytes(b"half")
        assert run.steps("states") == []
        assert run.latest("states") is None

    write_atomic(run.state(5), look)
    assert run.steps("states") == [5]


def test_a_run_folder_has_the_documented_layout(run):
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


@pytest.mark.parametrize(
    ("newest", "every", "spare", "replaced", "kept"),
    [
        (2, 0, (), (), [6, 10]),
        (9, 0, (), (), [1, 2, 3, 6, 10]),
        (1, 3, (), (), [3, 6, 10]),
        (1, 0, {2, 7}, (), [2, 10]),
        (1, 3, {1}, (), [1, 3, 6, 10]),
        (2, 0, (), range(4, 10), [3, 10]),
        (9, 6, {2}, range(2, 10), [1, 2, 6, 10]),
    ],
)
def test_the_newest_files_multiples_of_a_step_and_spared_steps_are_kept(run, newest, every, spare, replaced, kept):
    for step in (1, 2, 3, 6, 10):
        store(run.snapshot(step), "snapshot", step)
        store(run.state(step), "state", step)
    run.keep("snapshots", newest, every, spare=spare, replaced=replaced)
    assert run.steps("snapshots") == kept
    assert run.steps("states") == [1, 2, 3, 6, 10]


def test_a_damaged_file_that_was_put_aside_is_not_a_state(run):
    for step in (1, 2):
        run.state(step).write_bytes(b"x")
    assert run.put_aside(run.state(2)) == run.path / "states" / "step-00000002.safetensors.damaged"
    assert run.steps("states") == [1]
    run.keep("states", 1)
    assert run.steps("states") == [1]


RECORDS = [{"step": step, "loss/D": step / 3} for step in range(1, 8)]


def test_metrics_are_read_as_written(run):
    assert list(run.read_metrics()) == []
    for record in RECORDS:
        run.append_metrics(record)
    assert list(run.read_metrics()) == RECORDS


TORN = (
    b'{"step": 8, "los',
    b"12\n",
    b'{"loss/D": 1}\n',
    b"[" * 10**5,
    b'{"step":"8"}\n',
)


@pytest.mark.parametrize("torn", TORN)
def test_a_torn_end_of_the_metrics_is_skipped_and_cut_off(run, torn):
    for record in RECORDS:
        run.append_metrics(record)
    with run.metrics.open("ab") as file:
        file.write(torn)
    assert list(run.read_metrics()) == RECORDS
    run.cut_metrics(7, inside_tick=False)
    run.append_metrics({"step": 9})
    assert list(run.read_metrics()) == [*RECORDS, {"step": 9}]


@pytest.mark.parametrize(("inside_tick", "last"), [(False, 5), (True, 4)])
def test_metrics_are_cut_back_to_a_step(run, inside_tick, last):
    run.cut_metrics(3, inside_tick=False)  # nothing there: nothing to do
    assert not run.metrics.exists()
    for record in RECORDS:
        run.append_metrics(record)
    run.cut_metrics(5, inside_tick=inside_tick)
    assert list(run.read_metrics()) == RECORDS[:last]


@pytest.mark.skipif(sys.platform == "win32", reason="needs a limit of file sizes")
def test_a_line_that_does_not_fit_on_the_disk_is_not_written_at_all(run):
    import resource

    for record in RECORDS:
        run.append_metrics(record)
    before = run.metrics.read_bytes()
    limits, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 10, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            run.append_metrics({"step": 8, "loss/D": 1.0})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert run.metrics.read_bytes() == before


TAKE = """
import sys
from pathlib import Path
from facegan.storage.run_dir import RunDir
with RunDir(Path(sys.argv[1])).lock():
    print("taken", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def other_process(run):
    """A process that holds the lock of the run."""
    process = subprocess.Popen([sys.executable, "-c", TAKE, run.path], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"taken\n"
    yield process
    process.kill()
    process.wait()
    process.stdin.close()
    process.stdout.close()


def test_a_run_locked_by_another_process_is_refused_until_that_process_dies(run, other_process):
    assert run.is_running()
    for attempt in (run.lock().__enter__, run.refuse_running, run.move_aside):
        with pytest.raises(SnapshotError) as refusal:
            attempt()
        assert str(refusal.value) == (
            f"{run.path}: another facegan process is writing this run; wait until it ends, or end it"
        )
    other_process.send_signal(signal.SIGKILL)
    other_process.wait()
    assert not run.is_running()
    with run.lock():
        pass


def test_the_holder_of_a_lock_may_take_it_again(run):
    assert not run.is_running()
    with run.lock():
        with run.lock():
            assert run.is_running()
        assert run.is_running()
    assert not run.is_running()
    assert run.config.exists()


def test_a_lock_removes_the_folder_when_nothing_was_written(tmp_path):
    (tmp_path / "there").mkdir()
    with RunDir(tmp_path / "there" / "runs" / "faces-1").lock():
        assert (tmp_path / "there" / "runs" / "faces-1").is_dir()
    assert list((tmp_path / "there").iterdir()) == []


def test_killed_writers_temporary_files_are_swept(run):
    run.state(3).write_bytes(b"complete")
    left = [
        run.path / "states" / ".step-00000004.safetensors.ab12f9e0.safetensors",
        run.path / ".config.json.ab12f9e0.json",
    ]
    for path in left:
        path.write_bytes(b"half")
    run.sweep()
    assert not any(path.exists() for path in left)
    assert run.state(3).exists() and run.config.exists()


def test_an_existing_run_is_refused_with_three_ways_out(run):
    with pytest.raises(SnapshotError) as refusal:
        run.refuse_existing()
    assert str(refusal.value) == (
        f"{run.path}: exists already; choose another --run, continue it with 'facegan resume', "
        "or start again with --force (it is kept under another name)"
    )
    with pytest.raises(SnapshotError, match="exists already"):
        run.create("{}", {})
    assert refusal.value.exit_code == 2


def test_a_file_at_the_path_of_a_run_is_refused_and_an_empty_folder_is_used(tmp_path):
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
    for place, name in enumerate(("celeba-dcgan-1", "celeba-dcgan-2", "drawn-dcgan-1")):
        RunDir(root / name).create("{}", {})
        os.utime(root / name / "config.json", (10**9 + place,) * 2)
    return root


def test_a_run_is_found_as_a_path_and_then_by_its_name(runs):
    assert find_run(runs / "drawn-dcgan-1", runs).path == runs / "drawn-dcgan-1"
    assert find_run("celeba-dcgan-2", runs).path == runs / "celeba-dcgan-2"


def test_the_default_run_is_the_one_last_written(runs):
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


def test_a_folder_without_a_run_is_refused(runs, tmp_path):
    (tmp_path / "photos").mkdir()
    with pytest.raises(SnapshotError) as refusal:
        find_run(tmp_path / "photos", runs)
    assert str(refusal.value) == f"{tmp_path}/photos: not a run folder (it holds no config.json)"


def test_without_runs_the_message_says_how_to_start_one(tmp_path):
    with pytest.raises(SnapshotError) as refusal:
        find_run(None, tmp_path / "runs")
    assert str(refusal.value) == (
        f"{tmp_path}/runs/: there is no run here; start one with 'facegan train', or name a run's folder"
    )


def test_new_runs_take_the_first_free_number_and_lock_it(runs):
    with next_free(runs, "celeba-dcgan") as first, next_free(runs, "celeba-dcgan") as other:
        assert first.path == runs / "celeba-dcgan-3"
        assert other.path == runs / "celeba-dcgan-4"
        first.create("{}", {})
    assert not (runs / "celeba-dcgan-4").exists()
    with next_free(runs, "lfw-dcgan") as run:
        assert run.path == runs / "lfw-dcgan-1"


def test_a_folder_abandoned_by_a_killed_process_counts_as_free(runs):
    with RunDir(runs / "lfw-dcgan-1").lock():
        (runs / "lfw-dcgan-1" / "states").mkdir()
        (runs / "lfw-dcgan-1" / ".config.json.ab12f9e0.json").write_bytes(b"{")
    assert (runs / "lfw-dcgan-1").exists()
    with next_free(runs, "lfw-dcgan") as run:
        assert run.path == runs / "lfw-dcgan-1"
        run.create("{}", {})
