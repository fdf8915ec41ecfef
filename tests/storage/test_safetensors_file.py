import hashlib
import random
import subprocess
import sys

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.numpy import save_file as save_arrays
from safetensors.torch import load_file, save_file

from facegan.errors import DamagedError, SnapshotError
from facegan.storage.safetensors_file import (
    header_problem,
    open_tensors,
    read_tensors,
    seal,
    weights_digest,
    write_tensors,
)
from runfolders import store, tear

TENSORS = {"a": torch.arange(24.0).reshape(2, 3, 4), "b": torch.tensor([1, 2], dtype=torch.int64), "c": torch.zeros(0)}


@pytest.fixture
def path(tmp_path):
    file = tmp_path / "step-00000007.safetensors"
    write_tensors(file, "state", TENSORS, {"step": "7", "config": '{"digest":"none"}'})
    return file


def test_tensors_and_metadata_are_read_as_written(path):
    opened = open_tensors(path, "state")
    assert (opened.path, opened.keys) == (path, set(TENSORS))
    assert opened.digest == hashlib.sha256(path.read_bytes()).hexdigest()
    about = [opened.metadata[key] for key in ("format", "schema", "step")]
    assert about == ["facegan-state", "2", "7"]
    read = read_tensors(path)
    assert all(torch.equal(read[key], TENSORS[key]) and read[key].dtype == TENSORS[key].dtype for key in TENSORS)
    assert load_file(path).keys() == read.keys()  # for every other program too


def test_the_digest_is_that_of_the_file_with_zeros_in_its_place(path):
    with safe_open(path, framework="pt") as file:
        carried = file.metadata()["digest"]
    content = path.read_bytes()
    assert content.count(carried.encode()) == 1
    assert hashlib.sha256(content.replace(carried.encode(), b"0" * 64)).hexdigest() == carried


def test_equal_tensors_and_metadata_make_equal_bytes(path):
    words = {key: f'{key} \u00e9 \n "' for key in "gbafedc"}
    metadata = {"step": "7", "config": '{"digest":"none"}', **words}
    contents = set()
    for order in (1, -1) * 8:  # the library orders metadata at random
        write_tensors(path, "state", TENSORS, dict([*metadata.items()][::order]))
        contents.add(path.read_bytes())
    assert len(contents) == 1
    with safe_open(path, framework="pt") as file:
        assert {key: file.metadata()[key] for key in metadata} == metadata


def test_every_single_flipped_bit_is_found(path):
    content = path.read_bytes()
    places = random.Random(0).sample(range(len(content) * 8), 100)
    for place in places:
        damaged = bytearray(content)
        damaged[place // 8] ^= 1 << place % 8
        path.write_bytes(damaged)
        with pytest.raises(DamagedError) as refusal:
            open_tensors(path, "state")
        assert str(refusal.value).startswith(f"{path}: ")
        assert "\n" not in str(refusal.value)


def test_changed_tensors_changed_metadata_and_a_missing_digest_count_as_damage(path):
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
    undigested = {key: metadata[key] for key in metadata if key != "digest"}
    differs = f"{path}: damaged (its bytes are not those that were written: the digest differs)"
    for tensors, about, reason in [
        (TENSORS | {"b": torch.tensor([1, 3])}, metadata, differs),
        (TENSORS, metadata | {"step": "8"}, differs),
        (TENSORS, undigested, f"{path}: damaged (it carries no digest)"),
    ]:
        save_file(tensors, path, about)
        with pytest.raises(DamagedError) as refusal:
            open_tensors(path, "state")
        assert str(refusal.value) == reason


def test_a_changed_file_can_be_sealed_again(path):
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
    save_file(TENSORS, path, metadata | {"step": "8"})
    seal(path)
    assert open_tensors(path, "state").metadata["step"] == "8"


@pytest.mark.parametrize("step", ["-1", "1000000000001", "9" * 5000])
def test_impossible_steps_are_refused(tmp_path, step):
    write_tensors(tmp_path / "s.safetensors", "state", TENSORS, {"step": step})
    with pytest.raises(SnapshotError, match="carries"):
        open_tensors(tmp_path / "s.safetensors", "state")


def test_a_failed_save_leaves_the_old_file_and_nothing_else(path, monkeypatch):
    before = path.read_bytes()

    def fail(tensors, temporary, metadata):
        temporary.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("safetensors.torch.save_file", fail)
    with pytest.raises(OSError, match="No space left"):
        write_tensors(path, "state", TENSORS, {"step": "8"})
    assert path.read_bytes() == before
    assert [each.name for each in path.parent.iterdir()] == [path.name]


def test_opening_a_file_loads_neither_torch_nor_numpy(path):
    code = (
        "import sys; from pathlib import Path; from facegan.storage.safetensors_file import open_tensors\n"
        "open_tensors(Path(sys.argv[1]), 'state')\n"
        "assert not {'torch', 'numpy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code, str(path)], check=True)


def test_the_header_alone_shows_that_a_file_is_torn_or_of_another_kind_without_its_weights(make):
    run = make("one", saved=[5])
    content = bytearray(run.state(5).read_bytes())
    content[-1] ^= 1
    run.state(5).write_bytes(content)
    assert header_problem(run.state(5)) is None
    run.state(5).replace(run.snapshot(5))
    assert header_problem(run.snapshot(5)) == "not a snapshot of facegan"
    assert header_problem(run.snapshot(5), "latents") == "not latents of facegan"
    for part in (0.99, 0.3, 0):
        tear(run.snapshot(5), part)
        assert header_problem(run.snapshot(5)).startswith("not a valid safetensors file (")


def test_weights_digest_depends_on_weights_alone(tmp_path):
    for name, step, seed in (("a", 1, 0), ("b", 2, 0), ("c", 1, 1)):
        store(tmp_path / name, "snapshot", step, seed)
    a, b, c = (weights_digest(tmp_path / name) for name in "abc")
    assert a == b != c
    save_arrays({"G.other": np.zeros((4, 3), np.float32)}, tmp_path / "d")
    save_arrays({"G.weight": np.zeros((4, 3), np.float32)}, tmp_path / "e")
    save_arrays({"G.weight": np.zeros((3, 4), np.float32)}, tmp_path / "f")
    assert len({weights_digest(tmp_path / name) for name in "def"}) == 3
