from pathlib import Path

import pytest
import torch
from PIL import Image

import facegan as engine
from dcgans import Discriminator, LinearHeaded, Tutorial, trained


@pytest.fixture
def tutorial():
    """The weights of the tutorial's generator in netG.pth, and the network."""
    network = trained(Tutorial(z_dim=10, ngf=4, resolution=32))
    torch.save(network.state_dict(), "netG.pth")
    return network


def test_imported_snapshot_is_one_to_sample_from(facegan, tutorial):
    said = facegan("import", "netG.pth", "-o", "G.safetensors")
    assert said.code == 0, said.err
    assert said.out == "G.safetensors\n"
    assert said.err == (
        "netG.pth holds a DCGAN generator that begins with a convolution of z ('main.0' to 'main.9'): 32x32, 3 "
        "channels, z_dim 10, ngf 4, 5,368 parameters\n"
        "assumed: normal latents, relu after batch norm, tanh at the end, batch norm's eps 1e-05, which weights do "
        "not show; --prior, --activation, --output-activation, --eps can change that\n"
    )
    assert facegan("sample", "G.safetensors", "-n", 2, "--separate", "faces").code == 0
    generator = engine.load_generator("G.safetensors")
    with torch.no_grad():
        wanted = tutorial(generator.latents([1]))[0]  # (3, 32, 32) in [-1, 1]
    with Image.open("faces/seed-00000001.png") as image:
        drawn = torch.tensor(list(image.tobytes())).view(32, 32, 3).permute(2, 0, 1)
    assert (drawn - (wanted + 1) * 127.5).abs().max() <= 0.501


def test_part_and_layout_are_reported(facegan):
    content = {"epoch": 4, "netG": LinearHeaded(10, 4, 1, 32).state_dict(), "netD": Discriminator().state_dict()}
    torch.save(content, "run.pth")
    said = facegan("import", "run.pth", "-o", "G.safetensors")
    assert said.code == 0
    assert said.err == (
        "run.pth, in 'netG', holds a DCGAN generator that begins with a linear layer ('fc' to 'deconv3.0'): 32x32, 1 "
        "channel, z_dim 10, ngf 4, 5,464 parameters\n"
        "assumed: uniform latents, relu after batch norm, tanh at the end, batch norm's eps 1e-05, which weights do "
        "not show; --prior, --activation, --output-activation, --eps can change that\n"
        "assumed: no activation between the linear layer and the first convolution\n"
    )


def test_given_properties_are_no_assumptions(facegan, tutorial):
    given = ("--activation", "leaky_relu", "--output-activation", "tanh", "--eps", 1e-3)
    said = facegan("import", "netG.pth", "-o", "G.safetensors", "--prior", "uniform", *given)
    assert said.code == 0
    assert "assumed" not in said.err
    assert engine.load_generator("G.safetensors").prior == "uniform"


def test_key_takes_one_of_several(facegan, tutorial):
    torch.save({"G": tutorial.state_dict(), "G_ema": tutorial.state_dict()}, "run.pth")
    said = facegan("import", "run.pth", "-o", "G.safetensors")
    assert said.code == 2
    assert said.complaint == "facegan: run.pth: contains several generators: 'G', 'G_ema'; take one with --key NAME"
    said = facegan("import", "run.pth", "-o", "G.safetensors", "--key", "G_ema")
    assert said.code == 0
    assert said.err.startswith("run.pth, in 'G_ema', holds ")


def test_json_names_what_was_recognised_and_assumed(facegan, tutorial):
    said = facegan("import", "netG.pth", "-o", "G.safetensors", "--json")
    assert said.code == 0
    assert said.json == {
        "snapshot": "G.safetensors",
        "key": "",
        "layers": ["main.0", "main.3", "main.6", "main.9"],
        "resolution": 32,
        "channels": 3,
        "num_parameters": sum(parameter.numel() for parameter in tutorial.parameters()),
        "architecture": {
            "z_dim": 10,
            "prior": "normal",
            "ngf": 4,
            "ndf": 64,
            "head": "conv",
            "bias": False,
            "up": "transposed",
            "widest": 16,
            "slope_G": 0.0,
            "norm_G": "batch",
            "norm_D": "batch",
        },
        "left_out": [],
        "assumed": {"prior": "normal", "activation": "relu", "output_activation": "tanh", "eps": 1e-5},
    }
    said = facegan("import", "netG.pth", "-o", "again.safetensors", "--json", "--prior", "normal")
    assert said.json["assumed"] == {"activation": "relu", "output_activation": "tanh", "eps": 1e-5}


def test_existing_file_is_replaced_only_by_force(facegan, tutorial):
    Path("G.safetensors").write_text("precious")
    said = facegan("import", "netG.pth", "-o", "G.safetensors")
    assert said.code == 2
    assert said.complaint == (
        "facegan: -o G.safetensors: exists already; choose another name, or replace it with --force"
    )
    assert Path("G.safetensors").read_text() == "precious"
    assert facegan("import", "gone.pth", "-o", "G.safetensors", "--force").code == 2
    assert Path("G.safetensors").read_text() == "precious"
    assert facegan("import", "netG.pth", "-o", "G.safetensors", "--force").code == 0
    assert engine.load_generator("G.safetensors").z_dim == 10


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["gone.pth", "-o", "G.safetensors"], "gone.pth: no such file"),
        (["folder.safetensors", "-o", "G.safetensors"], "folder.safetensors: Is a directory"),
        (["netG.pth", "-o", "G.pth"], "-o G.pth: a snapshot ends in .safetensors"),
        (
            ["netG.pth", "-o", "folder.safetensors"],
            "-o folder.safetensors: exists already; choose another name, or replace it with --force",
        ),
        (
            ["netG.pth", "-o", "G.safetensors", "--prior", "gauss"],
            "config: architecture.prior is 'gauss'; it must be 'normal' or 'uniform'",
        ),
        (
            ["netG.pth", "-o", "G.safetensors", "--key", "G"],
            "netG.pth: --key G: there is no such part; there is: 'main'",
        ),
        (["netG.pth"], "facegan import: missing option '-o' / '--out'; see 'facegan import --help'"),
        (
            ["D.pth", "-o", "G.safetensors"],
            "D.pth: contains a discriminator, which draws nothing; give the file of the generator",
        ),
        (
            ["whole.pth", "-o", "G.safetensors"],
            "whole.pth: contains more than weights (dcgans Tutorial); such a file can run any code, and is not "
            "opened; where it was made, save the weights alone: G.state_dict() instead of G, or safetensors",
        ),
        (["text.pth", "-o", "G.safetensors"], "text.pth: neither a file that torch.save wrote nor safetensors"),
    ],
)
def test_wrong_requests_are_refused_in_one_line_and_write_nothing(facegan, tutorial, workplace, arguments, message):
    Path("folder.safetensors").mkdir()
    torch.save(Discriminator().state_dict(), "D.pth")
    torch.save(tutorial, "whole.pth")
    Path("text.pth").write_text("weights")
    before = sorted(workplace.iterdir())
    said = facegan("import", *arguments)
    assert said.code == 2
    assert said.complaint == (message if message.startswith("facegan") else f"facegan: {message}")
    assert sorted(workplace.iterdir()) == before
