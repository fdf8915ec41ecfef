import pytest

from facegan.errors import SnapshotError
from facegan.storage.prune import plan_prune, prune_run
from facegan.storage.safetensors_file import header_problem
from runfolders import tear, write_evaluations

ONE = {"snapshots": 1, "states": 1}


def names(paths, run):
    return sorted(str(path.relative_to(run.path)) for path in paths)


def plan(run, keep=ONE, check=header_problem):
    return plan_prune(run, keep, check)


def test_all_but_the_newest_are_removed(make):
    run = make("one", saved=[5, 10, 20], ticks=range(1, 21), log="done")
    run.sample(5).touch()
    found = plan(run, {"snapshots": 2, "states": 1})
    assert names((file.path for file in found.files), run) == [
        "snapshots/step-00000005.safetensors",
        "states/step-00000005.safetensors",
        "states/step-00000010.safetensors",
    ]
    assert found.size_bytes == sum(file.path.stat().st_size for file in found.files) > 0
    before = {path for path in run.path.rglob("*") if path.is_file()}
    prune_run(run, found, {"snapshots": 2, "states": 1}, header_problem)
    after = {path for path in run.path.rglob("*") if path.is_file()} - {run.path / ".lock"}
    assert before - after == {file.path for file in found.files}
    assert plan(run, {"snapshots": 2, "states": 1}).files == []


def test_the_best_snapshot_stays(make):
    run = make("one", saved=[5, 10, 15, 20])
    write_evaluations(run, (5, 3.0), (10, 1.0), (15, 2.0))
    found = plan(run)
    assert names((file.path for file in found.files if "snapshots" in str(file.path)), run) == [
        "snapshots/step-00000005.safetensors", "snapshots/step-00000015.safetensors",
    ]  # fmt: skip
    assert found.kept_for_good == 1


def test_files_that_are_kept_for_good_stay(make):
    run = make("one", "output.keep_snapshots_every=10", "output.keep_states_every=20", saved=[5, 10, 15, 20, 25, 30])
    found = plan(run)
    assert names((file.path for file in found.files), run) == [
        *(f"snapshots/step-000000{step}.safetensors" for step in ("05", "15", "25")),
        *(f"states/step-000000{step}.safetensors" for step in ("05", "10", "15", "25")),
    ]
    assert found.kept_for_good == 3


def test_damaged_newest_file_is_neither_counted_nor_removed(make):
    run = make("one", saved=[5, 10, 20])
    tear(run.state(20))
    tear(run.snapshot(20))
    found = plan(run)
    assert names((file.path for file in found.files), run) == [
        "snapshots/step-00000005.safetensors", "states/step-00000005.safetensors",
    ]  # fmt: skip
    assert names(found.damaged, run) == ["snapshots/step-00000020.safetensors", "states/step-00000020.safetensors"]


def test_nothing_is_removed_where_too_few_files_are_valid(make):
    run = make("one", saved=[5, 10, 20])
    assert plan(run, check=lambda path: "flipped").files == []
    only = {run.state(5), run.snapshot(5)}
    assert plan(run, check=lambda path: None if path in only else "flipped").files == []


def test_leftovers_of_writers_and_resumes_are_removed(make):
    run = make("one", saved=[20])
    temporary = run.path / "states" / ".step-00000021.safetensors.ab12cd09.safetensors"
    damaged = run.path / "states" / "step-00000019.safetensors.damaged"
    temporary.touch()
    damaged.touch()
    found = plan(run)
    assert [file.path for file in found.files] == [temporary, damaged]
    prune_run(run, found, ONE, header_problem)
    assert not temporary.exists() and not damaged.exists() and run.state(20).exists()


def test_only_what_name_and_content_identify_as_ours_is_removed(make, tmp_path):
    run = make("one", saved=[5, 10, 15, 20])
    run.snapshot(5).write_bytes(b"my own file")
    run.state(5).rename(tmp_path / "state")
    run.state(5).symlink_to(tmp_path / "state")
    mine = [run.path / name for name in (".env.template", ".venv.packages", "states/.tmpabc123", "notes.damaged")]
    for path in mine:
        path.write_bytes(b"mine")
    found = plan(run)
    assert [file.path for file in found.files] == [run.snapshot(15), run.snapshot(10), run.state(15), run.state(10)]
    prune_run(run, found, ONE, header_problem)
    with run.lock():
        run.sweep()
    run.keep("snapshots", 1)
    run.keep("states", 1)
    assert run.steps("snapshots") == run.steps("states") == [5, 20]
    assert all(path.exists() for path in mine)


def test_nothing_is_removed_from_a_linked_folder(make, tmp_path):
    run = make("one", saved=[5, 10])
    (run.path / "states").rename(tmp_path / "states")
    (run.path / "states").symlink_to(tmp_path / "states")
    (tmp_path / "states" / ".step-00000011.safetensors.ab12cd09.safetensors").touch()
    (tmp_path / "states" / "step-00000004.safetensors.damaged").touch()
    assert [file.path for file in plan(run).files] == [run.snapshot(5)]
    run.keep("states", 1)
    with run.lock():
        run.sweep()
    assert len(list((tmp_path / "states").iterdir())) == 4


def test_a_running_run_is_skipped(make):
    run = make("one", saved=[5, 10])
    found = plan(run)
    with run.lock():
        assert plan(run).passed_over == "another process is writing this run"
        assert plan(run).files == []
    assert found.files


def test_a_run_that_changed_since_the_plan_is_left_unchanged(make):
    run = make("one", saved=[5, 10])
    found = plan(run)
    tear(run.state(10))  # now the older one is the newest whole one
    with pytest.raises(SnapshotError) as error:
        prune_run(run, found, ONE, header_problem)
    assert str(error.value) == f"{run.path}: has changed in the meantime, and nothing was removed there; look again"
    assert run.state(5).exists() and run.snapshot(5).exists()


def test_a_run_with_an_unreadable_config_is_skipped_since_it_may_keep_files_for_good(make):
    run = make("one", saved=[5, 10])
    run.config.write_text("{")
    found = plan(run)
    assert found.files == [] and found.passed_over.startswith("config.json: not valid JSON")


def test_files_are_not_read_where_none_can_be_removed(make):
    run = make("one", saved=[20])
    read = []
    plan(run, check=lambda path: read.append(path))
    assert read == []
