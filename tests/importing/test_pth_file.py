import pickle
import random
import sys
import zipfile
from datetime import date
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from facegan.errors import SnapshotError
from facegan.importing.pth_file import read_parts
from facegan.reporter import Callbacks

LAYERS = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2), nn.BatchNorm1d(2))
UNSAFE = "; such a file can run any code, and is not opened; where it was made, save the weights alone: "
ADVICE = f"{UNSAFE}G.state_dict() instead of G, or safetensors"


def old(content, path):
    torch.save(content, path, _use_new_zipfile_serialization=False)


def rezipped(path, method=zipfile.ZIP_STORED, **members):
    """The same archive, packed again, some members replaced."""
    with zipfile.ZipFile(path) as archive:
        contents = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in contents.items():
            archive.writestr(name, members.get(name.rpartition("/")[2].replace(".", "_"), content))


def refusal(path):
    """What the reader says of a file, which is one line that begins with the file's name."""
    with pytest.raises(SnapshotError) as caught:
        read_parts(path)
    said = str(caught.value)
    assert said.startswith(f"{path}: ")
    assert "\n" not in said
    return said.removeprefix(f"{path}: ")


@pytest.mark.parametrize("name", ["file", "G.pth", "G.safetensors"])
@pytest.mark.parametrize("write", [torch.save, old, save_file], ids=["zip", "older format", "safetensors"])
def test_every_format_gives_the_tensors_in_the_order_of_the_layers_whatever_its_ending(write, name, tmp_path):
    state = nn.Sequential(*(nn.Linear(2, 2) for _ in range(12))).state_dict()
    write(state, tmp_path / name)
    parts = read_parts(tmp_path / name)
    assert list(parts) == [""]
    assert [key.partition(".")[0] for key in parts[""]][::2] == [str(number) for number in range(12)]
    for key, tensor in state.items():
        assert torch.equal(parts[""][key], tensor)


def test_dictionaries_are_found_at_any_depth_and_other_values_are_skipped(tmp_path):
    state = LAYERS.state_dict()
    adam = {
        "state": {0: {"step": torch.tensor(3.0), "exp_avg": torch.ones(4, 3)}},
        "param_groups": [{"betas": (0.5, 1)}],
    }
    checkpoint = {"epoch": 3, "state_dict": {"netG": state}, "again": state, "history": [0.5, "x", [state["0.bias"]]]}
    torch.save({**checkpoint, "optG": adam, "best": None, "on": torch.device("cpu")}, tmp_path / "file")
    parts = read_parts(tmp_path / "file")
    assert set(parts) >= {"again", "history.2", "optG.state.0"}
    assert "state_dict.netG" not in parts  # the same dictionary as `again`
    assert set(parts["again"]) == set(state)
    assert torch.equal(parts["history.2"]["0"], state["0.bias"])


def test_dictionary_that_contains_itself_ends(tmp_path):
    circle = {"w": torch.ones(2)}
    circle["again"] = circle
    torch.save(circle, tmp_path / "file")
    assert list(read_parts(tmp_path / "file")) == [""]


def test_numbers_of_every_floating_kind_are_read(tmp_path):
    kinds = torch.float16, torch.bfloat16, torch.float32, torch.float64
    torch.save({str(kind): torch.ones(3).to(kind) for kind in kinds}, tmp_path / "file")
    assert [tensor.dtype for tensor in read_parts(tmp_path / "file")[""].values()] == list(kinds)


@pytest.mark.parametrize("write", [torch.save, old])
def test_a_pickled_module_is_refused_with_the_way_to_save_its_weights(write, tmp_path):
    write(LAYERS, tmp_path / "file")
    said = refusal(tmp_path / "file")
    assert said == f"contains more than weights (torch.nn.modules.container Sequential){ADVICE}"


def test_harmless_objects_next_to_the_weights_are_named_and_left_out(tmp_path):
    torch.save({"G": LAYERS.state_dict(), "loss": np.float64(0.5), "names": {"a"}}, tmp_path / "file")
    lines = []
    assert list(read_parts(tmp_path / "file", Callbacks(line=lines.append))) == ["G"]
    (line,) = lines
    assert "left out and not run: numpy" in line and "__builtin__ set" in line


def test_what_harmless_objects_are_built_by_is_never_called(tmp_path, monkeypatch):
    torch.save({"G": LAYERS.state_dict(), "loss": np.float64(0.5), "at": date(2020, 1, 1)}, tmp_path / "file")
    monkeypatch.setitem(sys.modules, "datetime", None)
    monkeypatch.setattr(np, "dtype", None)
    assert list(read_parts(tmp_path / "file")) == ["G"]


class Trap:
    """What an attacker writes: its unpickling makes a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.mark.parametrize("write", [torch.save, old])
def test_code_in_a_file_is_never_run(write, tmp_path):
    write({"G": LAYERS.state_dict(), "x": Trap(tmp_path / "sprung")}, tmp_path / "file")
    refusal(tmp_path / "file")
    assert not (tmp_path / "sprung").exists()
    torch.load(tmp_path / "file", weights_only=False)
    assert (tmp_path / "sprung").exists()  # the trap works


def test_file_that_asks_for_memory_alone_is_refused_before_it_gets_it(tmp_path):
    torch.save(LAYERS.state_dict(), tmp_path / "file")
    rezipped(tmp_path / "file", data_pkl=b"\x80\x02c__builtin__\nbytearray\nJ\xff\xff\xff\x7f\x85R.")  # of 2 GB
    assert refusal(tmp_path / "file") == f"contains more than weights (__builtin__ bytearray){ADVICE}"


OTHER_ZIP = (
    "a zip archive, but no weights that torch.save wrote; compressed archives and TorchScript programs are not read"
)


@pytest.mark.filterwarnings("ignore:`torch.jit")
def test_other_zip_archives_are_refused(tmp_path):
    path = tmp_path / "file"
    torch.save({"zeros": torch.zeros(10_000)}, path)
    rezipped(path, zipfile.ZIP_DEFLATED)
    assert refusal(path) == OTHER_ZIP
    torch.jit.script(nn.Linear(2, 2)).save(path)
    assert refusal(path) == OTHER_ZIP
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("faces/1.png", b"")
    assert refusal(path) == OTHER_ZIP


def test_newer_pickle_protocol_is_refused_since_a_scan_does_not_see_its_names(tmp_path):
    torch.save({"G": LAYERS.state_dict(), "x": Trap(tmp_path / "sprung")}, tmp_path / "file", pickle_protocol=4)
    assert refusal(tmp_path / "file") == f"contains more than weights (what torch itself does not save){ADVICE}"


def test_a_file_of_far_more_than_weights_is_refused_before_it_is_scanned(tmp_path):
    torch.save(LAYERS.state_dict(), tmp_path / "file")
    rezipped(tmp_path / "file", data_pkl=b"N" * (16 * 2**20 + 1))
    assert refusal(tmp_path / "file") == "contains too much besides weights; save the weights alone, as a state dict"


def test_a_history_of_losses_next_to_the_weights_does_not_matter(tmp_path):
    torch.save({"G": LAYERS.state_dict(), "losses": [step / 7 for step in range(2000)]}, tmp_path / "file")
    assert list(read_parts(tmp_path / "file")) == ["G"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "neither a file that torch.save wrote nor safetensors"),
        (b"version https://git-lfs.github.com/spec/v1\n", "neither a file that torch.save wrote nor safetensors"),
        (b"<!DOCTYPE html><html></html>", "neither a file that torch.save wrote nor safetensors"),
        (pickle.dumps({"a": 1}), "neither a file that torch.save wrote nor safetensors"),
        (b"PK\x03\x04" + bytes(100), "damaged or incomplete (File is not a zip file)"),
        ((10**15).to_bytes(8, "little") + b"{", "damaged or incomplete (Error while deserializing header: "),
    ],
    ids=["empty", "git lfs pointer", "web page", "bare pickle", "torn zip", "lying header"],
)
def test_other_files_are_refused_with_the_reason(content, message, tmp_path):
    (tmp_path / "file").write_bytes(content)
    assert refusal(tmp_path / "file").startswith(message)


def test_missing_file_is_named(tmp_path):
    assert refusal(tmp_path / "file") == "no such file"


def test_changed_weight_in_a_zip_is_noticed(tmp_path):
    torch.save({"w": torch.full((100,), 0.1)}, tmp_path / "file")
    raw = (tmp_path / "file").read_bytes()
    (tmp_path / "file").write_bytes(raw.replace(np.float32(0.1).tobytes(), np.float32(0.2).tobytes(), 1))
    assert refusal(tmp_path / "file") == "damaged; file/data/0 does not have its checksum"


@pytest.mark.parametrize("write", [torch.save, old, save_file], ids=["zip", "older format", "safetensors"])
def test_cut_and_mutated_files_are_read_or_refused_in_one_line(write, tmp_path):
    path = tmp_path / "file"
    write(LAYERS.state_dict(), path)
    intact, rng, num_refused = path.read_bytes(), random.Random(0), 0
    for number in range(60):
        changed = bytearray(intact)
        if number % 2:
            del changed[rng.randrange(len(changed)) :]
        else:
            for _ in range(rng.randint(1, 6)):
                changed[rng.randrange(len(changed))] = rng.randrange(256)
        path.write_bytes(changed)
        try:
            read_parts(path)
        except SnapshotError as error:
            num_refused += 1
            assert str(error).startswith(f"{path}: "), error
            assert len(str(error).splitlines()) == 1
    assert num_refused > 29  # every cut one


def test_lying_size_of_a_tensor_takes_no_memory(tmp_path):
    """Instructions that claim a storage of 2^40 numbers."""
    torch.save({"w": torch.zeros(4)}, tmp_path / "file")
    with zipfile.ZipFile(tmp_path / "file") as archive:
        pickled = archive.read(next(name for name in archive.namelist() if name.endswith("data.pkl")))
    claim = pickled.replace(b"K\x04", b"\x8a\x06\x00\x00\x00\x00\x00\x01")
    assert claim != pickled
    rezipped(tmp_path / "file", data_pkl=claim)
    assert refusal(tmp_path / "file").startswith("damaged or incomplete (")
