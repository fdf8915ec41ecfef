import json
import re
from argparse import Namespace
from datetime import datetime
from pathlib import PurePath

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn

from dcgans import Apart, Discriminator, LinearHeaded, Tutorial, trained
from facegan.checkpoint import load_generator
from facegan.errors import ConfigError, SnapshotError
from facegan.importing.convert import Assumptions, import_generator
from facegan.importing.layouts import recognise


@pytest.fixture
def imported(tmp_path):
    """imported(content, write=torch.save, key="G") -> the generator that facegan loads from the imported snapshot."""

    def make(content, write=torch.save, **options):
        write(content, tmp_path / "weights")
        import_generator(tmp_path / "weights", tmp_path / "G.safetensors", **options)
        return load_generator(tmp_path / "G.safetensors")

    return make


@pytest.fixture
def refusal(tmp_path):
    """refusal(content, key=None) -> what the import says of a file, without the file's name."""

    def make(content, **options):
        torch.save(content, tmp_path / "weights")
        with pytest.raises(SnapshotError) as caught:
            import_generator(tmp_path / "weights", tmp_path / "G.safetensors", **options)
        assert not (tmp_path / "G.safetensors").exists()
        assert "\n" not in str(caught.value)
        return str(caught.value).removeprefix(f"{tmp_path / 'weights'}: ")

    return make


def draws_the_same(generator, original):
    """Whether both draw the same images, 1e-5 apart at most, of latents of both kinds; ours saturate nowhere."""
    z = torch.randn(9, original.z_dim, generator=torch.Generator().manual_seed(3))
    z = torch.cat([z, z.clamp(-1, 1)])
    with torch.no_grad():
        wanted = original.eval()(z)
    assert wanted.std() > 0.1
    assert wanted.abs().mean() < 0.9
    torch.testing.assert_close(generator.images(z), wanted, rtol=0, atol=1e-5)
    return True


ORIGINALS = {
    "the tutorial's": lambda: Tutorial(ngf=8),
    "the tutorial's, grey, 32": lambda: Tutorial(z_dim=128, ngf=8, channels=1, resolution=32),
    "the tutorial's, 128": lambda: Tutorial(z_dim=50, ngf=1, resolution=128),
    "the tutorial's, 256, 32 times as wide at the head": lambda: Tutorial(z_dim=20, ngf=2, resolution=256),
    "with biases in all layers": lambda: Tutorial(ngf=4, resolution=32, hidden_bias=True, last_bias=True),
    "linear-headed": lambda: LinearHeaded(conv_dim=4),
    "linear-headed, grey, 32": lambda: LinearHeaded(z_dim=64, conv_dim=8, channels=1, resolution=32),
    "norms apart, default biases": lambda: Apart(d=8),
}


@pytest.mark.parametrize("original", ORIGINALS.values(), ids=ORIGINALS)
def test_an_imported_generator_draws_the_same_images(original, imported):
    original = trained(original())
    assert draws_the_same(imported(original.state_dict()), original)


def replaced(original, kind, make):
    """The network with other modules in the places of one kind."""
    for number, module in enumerate(original.main):
        if isinstance(module, kind):
            original.main[number] = make(module)
    return original


def with_eps(norm):
    norm.eps = 0.1
    return norm


@pytest.mark.parametrize(
    ("kind", "make", "given"),
    [
        (nn.ReLU, lambda _: nn.LeakyReLU(0.2), {"activation": "leaky_relu"}),
        (nn.ReLU, lambda _: nn.LeakyReLU(0.05), {"activation": "leaky_relu:0.05"}),
        (nn.BatchNorm2d, with_eps, {"eps": 0.1}),
    ],
)
def test_activations_and_eps_that_are_given_draw_the_same_images(kind, make, given, imported):
    original = replaced(trained(Tutorial(z_dim=10, ngf=4, hidden_bias=True, last_bias=True)), kind, make)
    assert draws_the_same(imported(original.state_dict(), given=Assumptions(**given)), original)
    with pytest.raises(AssertionError):
        draws_the_same(imported(original.state_dict()), original)


def test_images_of_a_sigmoid_are_the_same_in_our_range(imported):
    original = replaced(trained(Tutorial(z_dim=10, ngf=4, last_bias=True)), nn.Tanh, lambda _: nn.Sigmoid())
    generator = imported(original.state_dict(), given=Assumptions(output_activation="sigmoid"))
    z = torch.randn(9, 10, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        torch.testing.assert_close((generator.images(z) + 1) / 2, original(z), rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    "given",
    [
        {"activation": "gelu"}, {"activation": "relu:0.1"}, {"activation": "leaky_relu:x"},
        {"activation": "leaky_relu:1"}, {"output_activation": "none"}, {"eps": 0.0}, {"eps": float("nan")},
    ],
)  # fmt: skip
def test_properties_that_are_not_known_are_refused(given, tmp_path):
    torch.save(Tutorial(10, 4).state_dict(), tmp_path / "weights")
    ((name, value),) = given.items()
    text = re.escape(
        f"--{name.replace('_', '-')} {value:g}" if name == "eps" else f"--{name.replace('_', '-')} {value}"
    )
    with pytest.raises(ConfigError, match=f"^{text}: must be "):
        import_generator(tmp_path / "weights", tmp_path / "G.safetensors", given=Assumptions(**given))


def old(content, path):
    torch.save(content, path, _use_new_zipfile_serialization=False)


@pytest.mark.parametrize("write", [old, save_file], ids=["older format", "safetensors"])
def test_other_formats_draw_the_same(write, imported):
    original = trained(Tutorial(z_dim=10, ngf=4, hidden_bias=True))  # more than ten modules: main.10 before main.3
    assert draws_the_same(imported(original.state_dict(), write), original)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions_are_taken_as_they_are(dtype, imported):
    original = trained(Apart()).to(dtype)
    state = {name: tensor.clone() for name, tensor in original.state_dict().items()}
    assert draws_the_same(imported(state), original.float())


def test_bias_is_folded_without_loss(imported):
    """mean - bias in float32 would lose what the two large numbers differ by."""
    original = trained(Tutorial(z_dim=10, ngf=4, hidden_bias=True)).double()
    original.main[0].bias.data.fill_(1e6)
    original.main[1].running_mean.fill_(1e6 + 0.125 + 2**-20)
    weights = imported(original.state_dict()).network.state_dict()
    assert torch.equal(weights["head.2.running_mean"], torch.full((32,), 0.125 + 2**-20))


def test_file_of_old_torch_without_batch_counters_is_taken(imported):
    original = trained(Tutorial(z_dim=10, ngf=4))
    state = {name: value for name, value in original.state_dict().items() if not name.endswith("num_batches_tracked")}
    assert len(state) < len(original.state_dict())
    assert draws_the_same(imported(state), original)


def test_parameters_instead_of_tensors_are_taken(imported):
    original = trained(Tutorial(z_dim=10, ngf=4))
    state = original.state_dict() | dict(original.named_parameters())
    assert draws_the_same(imported(state), original)


@pytest.mark.parametrize("prefix", ["module.", "module._orig_mod."])
def test_prefixes_do_not_matter(prefix, imported):
    original = trained(LinearHeaded(10, 4, resolution=16))
    state = {prefix + name: tensor for name, tensor in original.state_dict().items()}
    assert draws_the_same(imported(state), original)


def nested(G, D):
    adam = {"state": {0: {"step": torch.tensor(1.0), "exp_avg": torch.ones(10, 16, 4, 4)}}, "param_groups": [{"lr": 1}]}
    flat = {f"G.{name}": each for name, each in G.items()} | {f"D.{name}": each for name, each in D.items()}
    return {
        "state_dict": {"epoch": 3, "state_dict": G},
        "netG": {"netG": G, "netD": D, "optG": adam, "loss": [0.5, 0.7], "fixed_noise": torch.ones(4, 10, 1, 1)},
        "models.1": {"models": [D, G]},
        "state_dict.G": {"state_dict": flat, "pytorch-lightning_version": "2.0"},
        "model.module.G": {"model": {f"module.{name}": each for name, each in flat.items()}},
    }


def beside(G):
    """Files of a generator next to small things that are none: by what --key may call it, and what is left out."""
    flat = {f"generator.main.{name}": each for name, each in G.items()}
    return {
        "loose tensor": ({"state_dict": {**flat, "validation_z": torch.ones(8, 10)}}, ["state_dict.validation_z"]),
        "loose scalars": ({**flat, "initted": torch.tensor(True), "step": torch.tensor(5)}, ["initted", "step"]),
        "numpy number": ({"epoch": 5, "generator": G, "loss": np.float64(0.3)}, []),
        "numpy array": ({"epoch": 5, "generator": G, "losses": np.ones(3)}, []),
        "set": ({"epoch": 5, "generator": G, "names": {"a", "b"}}, []),
        "settings": ({"generator": G, "args": Namespace(lr=0.1), "at": datetime(2020, 1, 1), "to": PurePath("x")}, []),
    }


@pytest.mark.parametrize("kind", beside({}))
@pytest.mark.parametrize("write", [torch.save, old])
def test_small_things_next_to_a_generator_do_not_matter(kind, write, imported, tmp_path):
    original = trained(Tutorial(z_dim=10, ngf=4, resolution=16))
    content, left_out = beside(original.main.state_dict())[kind]
    assert draws_the_same(imported(content, write), original)
    assert draws_the_same(imported(content, write, key="generator"), original)
    found = import_generator(tmp_path / "weights", tmp_path / "again.safetensors")
    assert list(found.left_out) == left_out


def test_two_generators_next_to_loose_scalars_are_both_named(imported, refusal):
    one, other = trained(Tutorial(10, 4, resolution=16), 1), trained(Tutorial(10, 4, resolution=16), 2)
    content = {f"online_model.{name}": each for name, each in one.state_dict().items()}
    content |= {f"ema_model.{name}": each for name, each in other.state_dict().items()}
    content |= {"initted": torch.tensor(True), "step": torch.tensor(5)}
    assert refusal(content) == "contains several generators: 'online_model', 'ema_model'; take one with --key NAME"
    assert draws_the_same(imported(content, key="ema_model"), other)


def test_a_generator_next_to_an_unknown_network_is_offered_and_taken_by_its_key(imported, refusal):
    original = trained(Tutorial(10, 4, resolution=16))
    unknown = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)).state_dict()
    content = {f"net.generator.{name}": each for name, each in original.state_dict().items()}
    content |= {f"net.critic.{name}": each for name, each in unknown.items()}
    assert refusal({"state_dict": content}) == (
        "'state_dict.net.generator' would be a generator of a known layout, next to layers of none; take it alone with "
        "--key NAME, if the others are no part of it"
    )
    for key in ("generator", "net.generator", "state_dict.net.generator"):
        assert draws_the_same(imported({"state_dict": content}, key=key), original)


def test_an_ambiguous_key_is_answered_with_the_paths(refusal):
    state = Tutorial(10, 4, resolution=16).main.state_dict()
    content = {f"{name}.main.{key}": each for name in ("a", "b") for key, each in state.items()}
    assert refusal(content, key="main") == "--key main: there are several: 'a.main', 'b.main'; give more of the path"
    assert refusal(content, key="c") == "--key c: there is no such part; there is: 'a', 'b'"


@pytest.mark.parametrize("key", nested({}, {}))
def test_generator_is_found_among_other_things(key, imported, tmp_path):
    original = trained(Tutorial(z_dim=10, ngf=4, resolution=16))
    content = nested(original.state_dict(), trained(Discriminator()).state_dict())[key]
    assert draws_the_same(imported(content), original)
    assert import_generator(tmp_path / "weights", tmp_path / "again.safetensors").key == key
    assert draws_the_same(imported(content, key=key), original)


def test_key_chooses_among_several_generators(imported, refusal):
    one, other = trained(Tutorial(10, 4, resolution=16), 1), trained(Tutorial(10, 4, resolution=16), 2)
    content = {"G": one.state_dict(), "G_ema": other.state_dict()}
    assert refusal(content) == "contains several generators: 'G', 'G_ema'; take one with --key NAME"
    assert draws_the_same(imported(content, key="G"), one)
    assert draws_the_same(imported(content, key="G_ema"), other)


def test_a_part_of_an_unknown_network_is_never_taken_for_a_complete_one(refusal):
    """The convolutions after a linear layer could be a generator of their own, had they no linear layer before them."""
    state = {f"main.{name}": each for name, each in Tutorial(64, 2, resolution=16).main.state_dict().items()}
    state["fc.weight"] = torch.ones(50, 10)
    assert recognise({name: each for name, each in state.items() if name != "fc.weight"})
    assert refusal(state).startswith("'main' would be a generator of a known layout, next to layers of none; take it ")


@pytest.mark.parametrize(
    ("content", "options", "message"),
    [
        ({"epoch": 3}, {}, "contains no dictionary of weights"),
        (torch.ones(3), {}, "contains no dictionary of weights"),
        (
            Discriminator().state_dict(),
            {},
            "contains a discriminator, which draws nothing; give the file of the generator",
        ),
        (
            {"epoch": 3, "netD": Discriminator().state_dict()},
            {},
            "contains a discriminator ('netD'), which draws nothing; give the file of the generator",
        ),
        (
            {"netG": Tutorial(10, 4).state_dict(), "netD": Discriminator().state_dict()},
            {"key": "netD"},
            "contains a discriminator ('netD'), which draws nothing; give the file of the generator",
        ),
        (
            {"netG": Tutorial(10, 4).state_dict(), "netD": Discriminator().state_dict()},
            {"key": "nteG"},
            "--key nteG: there is no such part; there is: 'netG', 'netD'",
        ),
        (
            Tutorial(10, 4).state_dict(),
            {"key": "netG"},
            "--key netG: there is no such part; there is: 'main'",
        ),
    ],
)
def test_other_contents_are_refused_by_name(content, options, message, refusal):
    assert refusal(content, **options) == message


@pytest.mark.parametrize("options", [{}, {"key": "netG"}])
def test_an_unknown_layout_is_refused_with_the_found_and_the_known_ones(options, refusal):
    state = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2, bias=False)).state_dict()
    assert refusal({"netG": state, "netD": Discriminator().state_dict()}, **options) == (
        "no generator of a known layout in 'netG': it has no convolutions; found '0.weight 4x3', '0.bias 4', "
        "'2.weight 2x4'; known is a DCGAN of 4x4 transposed convolutions, each but the last with batch norm, that "
        "begins with one of them (main.0, main.1, main.3, ...) or with a linear layer (fc, deconv1.0, deconv1.1, ...), "
        "16x16 to 512x512 pixels, widths that halve from layer to layer, but for equally wide first ones"
    )


def test_only_the_first_tensors_of_an_unknown_layout_are_listed(refusal):
    state = {f"layer{number}.gamma": torch.ones(2, 3) for number in range(30)} | {"n.weight": torch.tensor(1.0)}
    said = refusal(state)
    assert ", 'layer5.gamma 2x3' ...; known is " in said
    assert "layer6" not in said


@pytest.mark.parametrize(
    ("tensor", "value"), [("main.3.weight", float("nan")), ("main.3.weight", 1e300), ("main.1.running_var", -1)]
)
def test_numbers_that_are_not_finite_and_negative_variances_are_refused(tensor, value, refusal):
    state = trained(Tutorial(10, 4, resolution=16)).double().state_dict()
    state[tensor].view(-1)[0] = value
    message = "its weights are broken (a number that is not finite, or a variance below 0)"
    assert refusal(state) == message


def test_a_layer_of_another_shape_is_refused(refusal):
    state = trained(LinearHeaded(10, 4, resolution=16)).state_dict() | {"fc.bias": torch.ones(10)}
    assert refusal(state).startswith("no generator of a known layout: its layers do not fit together (")


@pytest.mark.parametrize(
    ("network", "head", "usual"), [(Tutorial, "conv", "normal"), (LinearHeaded, "linear", "uniform")]
)
def test_the_configuration_has_the_found_sizes_and_the_origin(network, head, usual, imported, tmp_path):
    generator = imported(network(z_dim=64, channels=1, resolution=32).state_dict())
    config = generator.info["config"]
    assert (config.resolution, config.channels, config.data.source) == (32, 1, "imported")
    wanted = {"z_dim": 64, "prior": usual, "ngf": 64, "ndf": 64, "head": head, "bias": False}
    wanted |= {"up": "transposed", "widest": 16, "slope_G": 0.0, "norm_G": "batch", "norm_D": "batch"}
    assert config.architecture.fields == wanted
    assert (generator.info["step"], generator.info["weights"]) == (0, "G")
    assert str(tmp_path) not in json.dumps(config.model_dump())
    with safe_open(tmp_path / "G.safetensors", framework="pt") as file:
        assert {name.partition(".")[0] for name in file.keys()} == {"G"}  # noqa: SIM118


def test_prior_that_was_given_is_kept(imported):
    for prior in ("normal", "uniform"):
        generator = imported(Tutorial(8, 2, resolution=16).state_dict(), given=Assumptions(prior=prior))
        assert generator.prior == prior
        assert (generator.latents(range(50)).abs().max() > 1) == (prior == "normal")


def test_snapshot_of_facegan_is_refused(imported, tmp_path):
    imported(Tutorial(8, 2, resolution=16).state_dict())
    with pytest.raises(
        SnapshotError, match=r"G\.safetensors: is a snapshot of facegan already; there is nothing to imp"
    ):
        import_generator(tmp_path / "G.safetensors", tmp_path / "again.safetensors")


def test_missing_folders_are_made(tmp_path):
    torch.save(Tutorial(8, 2, resolution=16).state_dict(), tmp_path / "weights")
    import_generator(tmp_path / "weights", tmp_path / "a" / "b" / "G.safetensors")
    assert load_generator(tmp_path / "a" / "b" / "G.safetensors").z_dim == 8
