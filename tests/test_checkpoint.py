import hashlib
import json
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import save_file

from facegan import __version__, images
from facegan.checkpoint import Checkpoint, load_generator, read_config, save_snapshot
from facegan.config import resolve
from facegan.errors import PluginError, SnapshotError
from facegan.generator import FaceGenerator
from facegan.storage.safetensors_file import open_tensors, read_tensors, seal, write_tensors

FIXTURES = Path(__file__).parent / "fixtures"
SETTINGS = ("resolution=16", "architecture.z_dim=12", "architecture.ngf=8", "architecture.ndf=8")


@pytest.fixture
def config():
    return resolve(settings=SETTINGS).complete()


@pytest.fixture
def networks(config):
    torch.manual_seed(0)
    architecture = config.part("architecture")
    made = {name: architecture.generator(16, 3) for name in ("G", "G_ema")} | {"D": architecture.discriminator(16, 3)}
    with torch.no_grad():
        for name in ("G", "G_ema"):
            made[name](torch.randn(16, 12))  # so that the batch-norm statistics are not those of a new network
    return made


@pytest.fixture
def snapshot(tmp_path, config, networks):
    path = tmp_path / "step-00000100.safetensors"
    save_snapshot(path, config, 100, networks)
    return path


def drawn_by(network, seeds=range(3)):
    return FaceGenerator(network, z_dim=12, prior="normal").sample(seeds)


def test_what_was_saved_samples_the_same(snapshot, networks):
    assert torch.equal(load_generator(snapshot).sample(range(3)), drawn_by(networks["G_ema"]))
    assert torch.equal(load_generator(snapshot, raw=True).sample(range(3)), drawn_by(networks["G"]))


def test_checkpoint_is_hashed_once_for_all_its_networks(snapshot, monkeypatch):
    hashed = []
    update = hashlib.sha256

    def counted(content=b"", **options):
        hashed.append(len(content))
        return update(content, **options)

    monkeypatch.setattr("facegan.storage.safetensors_file.hashlib.sha256", counted)
    checkpoint = Checkpoint.open(snapshot)
    assert len(hashed) == 2  # of the file, and of the file without its own digest, in one pass
    generator, discriminator = checkpoint.generator(), checkpoint.discriminator()
    assert len(hashed) == 2
    assert generator.origin.digest == checkpoint.digest == update(snapshot.read_bytes()).hexdigest()
    assert not any(parameter.requires_grad for parameter in discriminator.parameters())


def test_raw_and_averaged_weights_differ(snapshot):
    averaged, raw = load_generator(snapshot), load_generator(snapshot, raw=True)
    assert (averaged.info["weights"], raw.info["weights"]) == ("G_ema", "G")
    assert not torch.equal(averaged.sample([0]), raw.sample([0]))


def test_every_tensor_survives_the_round_trip(snapshot, networks):
    for name, network in networks.items():
        read = read_tensors(snapshot, f"{name}.")
        assert read.keys() == network.state_dict().keys()
        assert all(torch.equal(value, read[key]) for key, value in network.state_dict().items())


def test_the_file_alone_is_enough_wherever_it_lies(snapshot, networks, tmp_path, monkeypatch):
    elsewhere = tmp_path / "elsewhere" / "faces.safetensors"
    elsewhere.parent.mkdir()
    shutil.move(snapshot, elsewhere)
    monkeypatch.chdir(elsewhere.parent)
    assert torch.equal(load_generator("faces.safetensors").sample(range(3)), drawn_by(networks["G_ema"]))


def test_a_snapshot_says_what_it_is(snapshot, config):
    generator = load_generator(snapshot)
    assert (generator.z_dim, generator.prior) == (12, "normal")
    assert generator.info["step"] == 100
    assert generator.info["config"] == config
    assert generator.info["digest"] == hashlib.sha256(snapshot.read_bytes()).hexdigest()
    metadata = open_tensors(snapshot, "snapshot").metadata
    assert (metadata["format"], metadata["facegan"], metadata["step"]) == ("facegan-snapshot", __version__, "100")
    assert metadata["kimg"] == "12.8"  # 100 steps of 128
    assert read_config(snapshot, metadata) == config
    assert json.loads(metadata["config"])["architecture"]["ngf"] == 8


@pytest.mark.parametrize("raw", [False, True])
def test_a_snapshot_without_average_and_d_loads(tmp_path, config, networks, raw):
    path = tmp_path / "imported.safetensors"
    save_snapshot(path, config, 1, {"G": networks["G"]})
    generator = load_generator(path, raw=raw)
    assert generator.info["weights"] == "G"
    assert torch.equal(generator.sample(range(3)), drawn_by(networks["G"]))


def test_loading_neither_pickles_nor_moves_the_global_random_state(snapshot, monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("a pickle was read")

    for name in ("load", "loads", "Unpickler"):
        monkeypatch.setattr(pickle, name, refuse)
    monkeypatch.setattr(torch, "load", refuse)
    before = torch.get_rng_state()
    load_generator(snapshot)
    assert torch.equal(before, torch.get_rng_state())


def test_loaded_weights_are_on_the_device_and_in_eval_mode(snapshot):
    generator = load_generator(snapshot, device="cpu")
    assert {parameter.device.type for parameter in generator.network.parameters()} == {"cpu"}
    assert not generator.network.training


def refusal(path, **options):
    with pytest.raises(SnapshotError) as refused:
        load_generator(path, **options)
    assert "\n" not in str(refused.value)
    return str(refused.value)


def test_a_missing_file_is_refused(tmp_path):
    assert refusal(tmp_path / "no.safetensors") == f"{tmp_path}/no.safetensors: no such snapshot file"
    assert refusal(tmp_path) == f"{tmp_path}: no such snapshot file"


@pytest.mark.parametrize("share", [0.0, 0.01, 0.999])
def test_a_truncated_file_is_refused(snapshot, share):
    content = snapshot.read_bytes()
    snapshot.write_bytes(content[: int(len(content) * share)])
    assert refusal(snapshot).startswith(f"{snapshot}: not a valid safetensors file (")


@pytest.mark.parametrize("content", [b"", b"x" * 9, bytes(500)])
def test_other_bytes_are_refused(tmp_path, content):
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    assert refusal(path).startswith(f"{path}: not a valid safetensors file (")


def test_another_programs_safetensors_is_refused(tmp_path):
    path = tmp_path / "theirs.safetensors"
    save_file({"weight": torch.zeros(2)}, path)
    hint = f"{path}: no snapshot of facegan; 'facegan import {path} -o G.safetensors' may make one of it"
    assert refusal(path) == hint
    save_file({"weight": torch.zeros(2)}, path, {"format": "pt"})
    assert refusal(path) == hint


def test_a_state_is_not_a_snapshot(tmp_path, config):
    path = tmp_path / "state.safetensors"
    write_tensors(path, "state", {"noise": torch.zeros(1)}, {"config": config.to_json(), "step": "1"})
    assert refusal(path) == f"{path}: not a snapshot of facegan (it says it is 'facegan-state')"


def rewritten(path, **changes):
    """The same snapshot with other metadata; None drops a key."""
    with safe_open(path, framework="pt") as file:
        metadata, tensors = file.metadata(), {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    kept = {key: value for key, value in {**metadata, **changes}.items() if value is not None}
    save_file(tensors, path, kept)
    seal(path)
    return path


def test_a_newer_file_is_refused_with_what_to_do(snapshot):
    rewritten(snapshot, schema="3", facegan="9.9")
    assert refusal(snapshot) == (
        f"{snapshot}: written by facegan 9.9, which is newer than this one ({__version__}); upgrade"
    )


@pytest.mark.parametrize("changes", [{"schema": None}, {"step": "many"}])
def test_broken_metadata_is_refused(snapshot, changes):
    assert str(snapshot) in refusal(rewritten(snapshot, **changes))


@pytest.mark.parametrize("text", [None, "{", "[]"])
def test_an_unreadable_configuration_is_refused(snapshot, text):
    assert refusal(rewritten(snapshot, config=text)).startswith(f"{snapshot}: carries ")


def test_a_configuration_that_cannot_be_is_refused(snapshot, config):
    tree = json.loads(config.to_json()) | {"resolution": 65}
    assert refusal(rewritten(snapshot, config=json.dumps(tree))) == (
        f"{snapshot}: carries a configuration that this version refuses "
        "(config: resolution is 65; it must be a power of two: 16, 32, 64, 128, 256 or 512)"
    )


def test_weights_that_do_not_fit_are_refused(snapshot, config):
    tree = json.loads(config.to_json())
    tree["architecture"]["ngf"] = 9
    assert refusal(rewritten(snapshot, config=json.dumps(tree))).startswith(
        f"{snapshot}: its weights do not fit its configuration (Error(s) in loading state_dict for Generator: "
    )


def test_an_architecture_that_is_not_installed_is_named(snapshot, config):
    tree = json.loads(config.to_json()) | {"architecture": {"name": "dcgann"}}
    with pytest.raises(PluginError) as refused:
        load_generator(rewritten(snapshot, config=json.dumps(tree)))
    assert str(refused.value) == (f"{snapshot}: its architecture is 'dcgann'; install the package that brings it")


@pytest.mark.parametrize("setting", [{"ngf": 10**9}, {"ngf": 10**30}])
def test_a_small_file_cannot_have_a_huge_network_built(snapshot, config, setting):
    tree = json.loads(config.to_json())
    tree["architecture"] |= setting
    said = refusal(rewritten(snapshot, config=json.dumps(tree)))
    assert said.startswith(f"{snapshot}: its network cannot be built here (")


@pytest.mark.parametrize("setting", [{"ngf": 1000}, {"ngf": 10**6}, {"z_dim": 10**10}])
def test_a_network_far_larger_than_its_file_is_refused_before_memory_is_asked_for(snapshot, config, setting):
    tree = json.loads(config.to_json())
    tree["architecture"] |= setting  # from 500 MB on, in a file of 100 KB
    reason = "its configuration asks for far more weights than the file holds"
    said = refusal(rewritten(snapshot, config=json.dumps(tree)))
    assert said == f"{snapshot}: its network cannot be built here ({reason})"


def test_weights_of_more_dimensions_than_torch_computes_with_are_refused(snapshot):
    content = snapshot.read_bytes()
    size = int.from_bytes(content[:8], "little")
    shape = b'"shape":[8,3,4,4]'
    header = content[8 : 8 + size].replace(shape, shape[:-1] + b",1" * 90 + b"]")
    assert len(header) > size
    snapshot.write_bytes(len(header).to_bytes(8, "little") + header + content[8 + size :])
    seal(snapshot)
    assert refusal(snapshot).startswith(f"{snapshot}: its weights do not fit its configuration (")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused(tmp_path, config, networks, value):
    with torch.no_grad():
        next(networks["G"].parameters())[0, 0] = value
    path = tmp_path / "broken.safetensors"
    save_snapshot(path, config, 1, {"G": networks["G"]})
    assert refusal(path) == f"{path}: holds weights that are not finite; take a snapshot from before it"


@pytest.mark.parametrize("schema", ["schema-1", "schema-2"])
def test_a_snapshot_of_each_schema_draws_the_images_it_drew_then(schema):
    generator = load_generator(FIXTURES / schema / "snapshot.safetensors")
    assert generator.info["step"] == 3
    drawn = images.grid(images.to_uint8(generator.sample(range(8)))).astype(int)
    with Image.open(FIXTURES / schema / "seeds-0-7.png") as image:
        assert abs(drawn - np.asarray(image).astype(int)).max() <= 1


@pytest.mark.parametrize("name", ["snapshot.pth", "snapshot.ckpt", "snapshot"])
def test_a_snapshot_is_known_by_its_content_whatever_its_name(snapshot, tmp_path, name):
    renamed = snapshot.rename(tmp_path / name)
    assert load_generator(renamed).origin.path == renamed
    renamed.write_bytes(renamed.read_bytes()[:-9])
    assert refusal(renamed).startswith(f"{renamed}: not a valid safetensors file (it holds ")


@pytest.mark.parametrize("name", ["netG.pth", "netG.safetensors", "netG"])
@pytest.mark.parametrize("is_zip", [True, False])
def test_weights_of_other_programs_are_answered_with_the_import(tmp_path, name, is_zip):
    path = tmp_path / name
    torch.save({"weight": torch.zeros(2)}, path, _use_new_zipfile_serialization=is_zip)
    assert refusal(path) == (
        f"{path}: no snapshot of facegan; 'facegan import {path} -o G.safetensors' may make one of it"
    )


def test_complex_weights_are_refused(tmp_path, config, networks):
    path = tmp_path / "complex.safetensors"
    tensors = {f"G.{key}": value for key, value in networks["G"].state_dict().items()}
    tensors["G.to_image.0.weight"] = tensors["G.to_image.0.weight"].to(torch.complex64)
    write_tensors(path, "snapshot", tensors, {"config": config.to_json(), "step": "1"})
    assert refusal(path) == f"{path}: its weights do not fit its configuration (complex numbers)"
