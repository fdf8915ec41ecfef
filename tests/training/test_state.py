import json
from copy import deepcopy
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from facegan.config import validate
from facegan.errors import SnapshotError
from facegan.storage.safetensors_file import seal, write_tensors
from facegan.training.state import build_state, precision
from facegan.training.step import training_step

CPU = torch.device("cpu")


def image_batches(num):
    source = torch.Generator().manual_seed(5)
    return [torch.rand(8, 3, 16, 16, generator=source) * 2 - 1 for _ in range(num)]


def trained(config, num_steps=2):
    state = build_state(config, CPU)
    for real in image_batches(num_steps):
        training_step(state, real)
        state.step += 1
    return state


def save(state, path):
    write_tensors(path, "state", state.tensors(), state.metadata("digest"))


def everything(state):
    """All numbers of a state, by name."""
    found = {
        "step": torch.tensor(state.step),
        "noise": state.noise.get_state(),
        "sums": state.sums,
        "count": state.count,
    }
    for name in ("G", "G_ema", "D"):
        found |= {f"{name}.{key}": value for key, value in getattr(state, name).state_dict().items()}
    for name in ("opt_G", "opt_D"):
        found |= {f"{name}.{key}": value for key, value in getattr(state, name).tensors().items()}
    found |= {f"scaler.{key}": torch.tensor(float(value)) for key, value in state.scaler.state_dict().items()}
    return found


def differing(one, other):
    one, other = everything(one), everything(other)
    only_one_has = one.keys() ^ other.keys()
    return sorted(only_one_has | {key for key in one.keys() & other.keys() if not torch.equal(one[key], other[key])})


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_a_loaded_state_is_the_saved_one_and_goes_on_the_same(tiny, tmp_path, precision):
    config = tiny(f"train.precision={precision}")
    state, path = trained(config), tmp_path / "state.safetensors"
    save(state, path)
    loaded = build_state(config, CPU)
    assert differing(state, loaded) != []
    loaded.load(path, "digest")
    assert differing(state, loaded) == []
    for each in (state, loaded):
        for real in image_batches(3):
            training_step(each, real)
    assert differing(state, loaded) == []


def test_a_state_before_the_first_step_survives_too(tiny, tmp_path):
    config = tiny()
    state, loaded = build_state(config, CPU), build_state(tiny("seed=4"), CPU)
    save(state, tmp_path / "state.safetensors")
    loaded.load(tmp_path / "state.safetensors", "digest")
    assert differing(state, loaded) == []


def test_the_scale_of_fp16_losses_is_part_of_the_state(tiny, tmp_path):
    config = tiny("train.precision=fp16")
    state = trained(config)
    state.scaler.update(2.0**9)
    save(state, tmp_path / "state.safetensors")
    loaded = build_state(config, CPU)
    assert loaded.scaler.get_scale() == 2.0**16
    loaded.load(tmp_path / "state.safetensors", "digest")
    assert loaded.scaler.get_scale() == 2.0**9
    assert loaded.scaler.state_dict() == state.scaler.state_dict()


def test_only_fp16_scales_its_losses(tiny):
    scales = {name: build_state(tiny(f"train.precision={name}"), CPU).scaler for name in ("fp32", "bf16", "fp16")}
    assert {name: scaler.get_scale() for name, scaler in scales.items()} == {"fp32": 1, "bf16": 1, "fp16": 2**16}
    state = trained(tiny("train.precision=bf16"), num_steps=3)
    assert state.scaler.get_scale() == 1


def test_moments_lie_in_memory_as_their_parameters_do(tiny, tmp_path):
    config = tiny()
    save(trained(config), tmp_path / "state.safetensors")
    loaded = build_state(config, CPU)
    loaded.load(tmp_path / "state.safetensors", "digest")
    for index, parameter in enumerate(loaded.opt_D.parameters):
        assert loaded.opt_D.tensors()[f"{index}.exp_avg"].stride() == parameter.stride()


def test_weights_are_a_function_of_the_seed_alone(tiny):
    torch.manual_seed(1)
    one = build_state(tiny(), CPU)
    torch.manual_seed(2)
    before = torch.get_rng_state()
    other = build_state(tiny(), CPU)
    assert torch.equal(before, torch.get_rng_state())
    assert differing(one, other) == []
    assert {"G.to_image.0.weight", "D.head.0.weight", "noise"} <= set(differing(one, build_state(tiny("seed=1"), CPU)))


def test_the_average_begins_as_g_and_takes_no_gradients(tiny):
    state = build_state(tiny(), CPU)
    assert all(torch.equal(a, b) for a, b in zip(state.G.parameters(), state.G_ema.parameters(), strict=True))
    assert not any(parameter.requires_grad for parameter in state.G_ema.parameters())
    assert not state.G_ema.training
    assert state.G.training


def test_another_number_of_threads_is_a_reason_for_other_bits(tiny, tmp_path):
    save(build_state(tiny("train.threads=1"), CPU), tmp_path / "state.safetensors")
    assert build_state(tiny("train.threads=1"), CPU).load(tmp_path / "state.safetensors", "digest") == []
    reasons = build_state(tiny("train.threads=2"), CPU).load(tmp_path / "state.safetensors", "digest")
    back = "--set train.threads=1 continues to the bit"
    assert reasons == [f"continues with 2 threads instead of 1: sums round differently; {back}"]


def test_another_version_of_torch_is_a_reason_for_other_bits(tiny, tmp_path, monkeypatch):
    state = build_state(tiny(), CPU)
    save(state, tmp_path / "state.safetensors")
    monkeypatch.setattr(torch, "__version__", "9.9.1")
    (reason,) = build_state(tiny(), CPU).load(tmp_path / "state.safetensors", "digest")
    assert reason.startswith("continues with torch 9.9.1 instead of ") and reason.endswith("may round differently")


def test_older_states_that_know_neither_threads_nor_torch_are_resumed_without_a_word(tiny, tmp_path):
    state, path = build_state(tiny("train.threads=1"), CPU), tmp_path / "state.safetensors"
    metadata = {key: value for key, value in state.metadata("digest").items() if key not in ("threads", "torch")}
    write_tensors(path, "state", state.tensors(), metadata)
    assert build_state(tiny("train.threads=2"), CPU).load(path, "digest") == []


def refused(path, state, digest="digest"):
    with pytest.raises(SnapshotError) as refusal:
        state.load(path, digest)
    return str(refusal.value)


def test_a_missing_foreign_or_damaged_state_is_refused(tiny, tmp_path):
    config, path = tiny(), tmp_path / "state.safetensors"
    state = build_state(config, CPU)
    assert refused(path, state) == f"{path}: no such state file"
    path.write_bytes(b"\x80\x04}q\x00.")
    assert refused(path, state).startswith(f"{path}: not a valid safetensors file (")
    save(state, path)
    content = path.read_bytes()
    path.write_bytes(content[:-100])
    assert refused(path, state).startswith(f"{path}: not a valid safetensors file (")


def test_a_state_of_other_images_is_refused(tiny, tmp_path):
    config, path = tiny(), tmp_path / "state.safetensors"
    state = build_state(config, CPU)
    save(state, path)
    before = deepcopy(everything(state))
    assert refused(path, state, "other") == (
        f"{path}: the images are not those that this run was trained on; put them back as they were, or start a new run"
    )
    assert all(torch.equal(value, before[key]) for key, value in everything(state).items())


def test_a_state_of_another_network_is_refused(tiny, tmp_path):
    path = tmp_path / "state.safetensors"
    save(trained(tiny()), path)
    assert refused(path, build_state(tiny("architecture.ngf=4"), CPU)).startswith(
        f"{path}: its weights do not fit its configuration ("
    )


@pytest.mark.parametrize("gone", ["opt_G.", "opt_D.0.exp_avg"])
def test_a_state_without_its_moments_is_refused(tiny, tmp_path, gone):
    config, path = tiny(), tmp_path / "state.safetensors"
    save(trained(config), path)
    with safe_open(path, framework="pt") as file:
        kept = {key: file.get_tensor(key) for key in file.keys() if not key.startswith(gone)}  # noqa: SIM118
        metadata = file.metadata()
    save_file(kept, path, metadata)
    seal(path)
    assert refused(path, build_state(config, CPU)) == (
        f"{path}: does not fit the run (an optimizer's moments are missing); was its config.json changed?"
    )


@pytest.mark.parametrize(("saved", "loaded", "scale"), [("fp32", "fp16", 2.0**16), ("fp16", "fp32", 1.0)])
def test_each_precision_keeps_its_own_scaling(tiny, tmp_path, saved, loaded, scale):
    config, path = tiny(f"train.precision={saved}"), tmp_path / "state.safetensors"
    save(trained(config), path)
    state = build_state(tiny(f"train.precision={loaded}"), CPU)
    before = state.scaler.state_dict()
    state.load(path, "digest")
    assert state.scaler.state_dict() == before
    assert state.scaler.get_scale() == scale


def test_nothing_of_the_clock_is_among_the_tensors(tiny, tmp_path):
    config, path = tiny(), tmp_path / "state.safetensors"
    save(trained(config), path)
    with safe_open(path, framework="pt") as file:
        owners = {key.split(".")[0] for key in file.keys()}  # noqa: SIM118
        assert file.metadata()["step"] == "2"
    assert owners == {"G", "G_ema", "D", "opt_G", "opt_D", "scaler", "noise", "sums"}


@pytest.mark.parametrize(
    ("wanted", "dtype"),
    [("auto", torch.float32), ("fp32", torch.float32), ("bf16", torch.bfloat16), ("fp16", torch.float16)],
)
def test_precision_on_a_cpu(tiny, wanted, dtype):
    assert precision(tiny(f"train.precision={wanted}"), CPU) == dtype


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        ("opt_G.0.step", torch.zeros(8), "the moment 0.step has the"),
        ("scaler.growth_interval", torch.tensor(float("inf")), "cannot convert float infinity to integer"),
    ],
)
def test_a_count_that_is_no_number_is_refused(tiny, tmp_path, key, value, reason):
    config, path = tiny(), tmp_path / "state.safetensors"
    save(trained(config), path)
    with safe_open(path, framework="pt") as file:
        everything = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        metadata = file.metadata()
    save_file(everything | {key: value}, path, metadata)
    seal(path)
    assert refused(path, build_state(config, CPU)).startswith(f"{path}: does not fit the run ({reason}")


def test_noise_of_another_kind_of_device_restarts_from_the_seed_and_the_step(tiny, tmp_path):
    config, path = tiny(), tmp_path / "state.safetensors"
    save(trained(config), path)
    assert build_state(config, CPU).load(path, "digest") == []
    with safe_open(path, framework="pt") as file:
        everything = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        metadata = file.metadata()
    save_file(
        everything | {"noise": torch.zeros(16, dtype=torch.uint8)}, path, metadata
    )  # as CUDA's generators have it
    seal(path)
    first, second = build_state(config, CPU), build_state(config, CPU)
    moved = ["was trained on another kind of device; its noise restarts on cpu"]
    assert first.load(path, "digest") == moved and second.load(path, "digest") == moved
    assert torch.equal(first.noise.get_state(), second.noise.get_state())
    assert not torch.equal(first.noise.get_state(), build_state(config, CPU).noise.get_state())
    assert torch.equal(first.opt_G.tensors()["0.exp_avg"], everything["opt_G.0.exp_avg"])


@pytest.mark.parametrize("schema", ["schema-1", "schema-2"])
def test_a_state_of_each_schema_is_taken_up(schema):
    path = Path(__file__).parent.parent / "fixtures" / schema / "state.safetensors"
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
        sums = file.get_tensor("sums")
    config = validate(json.loads(metadata["config"])).complete()
    state = build_state(config, CPU)
    state.load(path, metadata["data"])
    assert state.step == 3
    assert torch.equal(state.sums[: len(sums) - 1], sums[:-1])
    assert state.sums[-1] == sums[-1] == 1  # a step since the last tick
    training_step(state, torch.zeros(8, 3, 16, 16))
    assert state.count == 4
    assert int(state.first_bad_step) == -1
