import numpy as np
import pytest
from safetensors.numpy import save_file

from facegan.storage.atomic import size_of
from facegan.storage.run_status import leftovers, stored_files
from facegan.storage.safetensors_file import header_problem, weights_digest
from runfolders import store, tear


def test_files_are_listed_newest_first_with_their_sizes(make):
    run = make("one", saved=[5, 10])
    found = list(stored_files(run, "states"))
    assert [(file.step, file.problem) for file in found] == [(10, None), (5, None)]
    assert found[0].size_bytes == run.state(10).stat().st_size
    assert found[0].path == run.state(10)


@pytest.mark.parametrize("part", [0, 0.3, 0.99])
def test_torn_file_is_told_by_its_header_alone(make, part):
    run = make("one", saved=[5])
    tear(run.snapshot(5), part)
    assert header_problem(run.snapshot(5)).startswith("not a valid safetensors file (")


def test_file_of_another_kind_is_not_taken_for_ours(make):
    run = make("one", saved=[5])
    run.state(5).replace(run.snapshot(5))
    assert header_problem(run.snapshot(5)) == "not a snapshot of facegan"
    save_file({"a": np.zeros(1)}, run.state(5))
    assert header_problem(run.state(5)) == "not a state of facegan"


def test_header_check_reads_no_weights(make):
    run = make("one", saved=[5])
    content = bytearray(run.state(5).read_bytes())
    content[-1] ^= 1
    run.state(5).write_bytes(content)
    assert header_problem(run.state(5)) is None


def test_weights_digest_depends_on_weights_alone(tmp_path):
    for name, step, seed in (("a", 1, 0), ("b", 2, 0), ("c", 1, 1)):
        store(tmp_path / name, "snapshot", step, seed)
    a, b, c = (weights_digest(tmp_path / name) for name in "abc")
    assert a == b != c
    save_file({"G.other": np.zeros((4, 3), np.float32)}, tmp_path / "d")
    save_file({"G.weight": np.zeros((4, 3), np.float32)}, tmp_path / "e")
    save_file({"G.weight": np.zeros((3, 4), np.float32)}, tmp_path / "f")
    assert len({weights_digest(tmp_path / name) for name in "def"}) == 3


def test_leftovers_are_temporary_and_damaged_files_and_no_others(make):
    run = make("one", saved=[5])
    temporary = run.path / "states" / ".step-00000006.safetensors.ab12cd_9.safetensors"
    config = run.path / ".config.json.ab12cd_9.json"
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


def test_size_is_that_of_all_files_and_of_no_links(tmp_path):
    (tmp_path / "run" / "deep").mkdir(parents=True)
    (tmp_path / "run" / "a").write_bytes(b"1" * 10)
    (tmp_path / "run" / "deep" / "b").write_bytes(b"1" * 100)
    (tmp_path / "large").write_bytes(b"1" * 1000)
    (tmp_path / "run" / "link").symlink_to(tmp_path / "large")
    (tmp_path / "run" / "round").symlink_to(tmp_path / "run")
    assert size_of(tmp_path / "run") == 110
