import pytest
import torch
from torch import nn

from dcgans import Apart, Discriminator, LinearHeaded, Tutorial
from facegan.importing.layouts import UnknownLayoutError, recognise
from facegan.networks.dcgan import DCGAN


def sizes(layout):
    return layout.head, layout.resolution, layout.channels, layout.z_dim, layout.ngf


@pytest.mark.parametrize(
    ("resolution", "z_dim", "ngf", "channels"), [(16, 100, 4, 3), (32, 64, 5, 1), (128, 512, 2, 3)]
)
def test_sizes_are_read_off_the_shapes(resolution, z_dim, ngf, channels):
    for network, head in ((Tutorial, "conv"), (LinearHeaded, "linear")):
        state = network(z_dim, ngf, channels, resolution).state_dict()
        assert sizes(recognise(state)) == (head, resolution, channels, z_dim, ngf)


@pytest.mark.parametrize("resolution", [16, 32, 64, 128, 256])
def test_own_generator_is_recognised_at_every_resolution(resolution):
    for head in ("conv", "linear"):
        state = DCGAN(z_dim=7, ngf=1, head=head).generator(resolution, 3).state_dict()
        assert sizes(recognise(state)) == (head, resolution, 3, 7, 1)


@pytest.mark.parametrize(("widths", "widest"), [([32, 16, 8, 4, 2, 1], 32), ([16, 16, 8, 4, 2, 1], 16), ([4, 4, 2], 2)])
def test_widths_that_are_capped_are_recognised(widths, widest):
    blocks = [block(wide, narrow) for wide, narrow in zip([6, *widths], widths, strict=False)]
    layout = recognise(
        nn.Sequential(*(layer for each in blocks for layer in each), *block(widths[-1], 3)[:1]).state_dict()
    )
    assert (layout.ngf, layout.widest, layout.resolution) == (widths[-1], widest, 4 * 2 ** len(widths))


def test_names_and_the_place_of_the_norms_do_not_matter():
    layout = recognise(Apart(z_dim=9, d=4).state_dict())
    assert sizes(layout) == ("conv", 32, 3, 9, 4)
    assert [module.name for module in layout.layers] == ["tconv1", "tconv2", "tconv3", "tconv4"]
    assert [module.name for module in layout.norms] == ["bn1", "bn2", "bn3"]
    assert layout.normed == layout.layers[:-1]
    assert layout.bias


def test_linear_layer_is_followed_by_no_norm():
    layout = recognise(LinearHeaded(9, 4).state_dict())
    assert [module.name for module in layout.layers][:2] == ["fc", "deconv1.0"]
    assert [module.name for module in layout.normed] == ["deconv1.0", "deconv2.0", "deconv3.0"]
    assert not layout.bias


def test_discriminators_are_distinguished_from_generators():
    assert recognise(Discriminator().state_dict()) is None
    for head in ("conv", "linear"):
        assert recognise(DCGAN(head=head, ndf=4).discriminator(64, 3).state_dict()) is None


def changed(base, **replaced):
    """A state dict with some tensors replaced, or without them where None."""
    state = {**base.state_dict(), **{name.replace("__", "."): tensor for name, tensor in replaced.items()}}
    return {name: tensor for name, tensor in state.items() if tensor is not None}


def block(wide, narrow, size=4, norm=nn.BatchNorm2d):
    return nn.ConvTranspose2d(wide, narrow, size, bias=False), norm(narrow), nn.ReLU()


T = Tutorial(z_dim=6, ngf=2, resolution=16)
L = LinearHeaded(6, 2, resolution=16)
UNKNOWN = {
    "nothing but numbers": (
        {"a": torch.ones(3)},
        "'' is none of convolution, batch norm and linear layer of floating-point numbers",
    ),
    "no convolutions": (nn.Linear(3, 4).state_dict(), "it has no convolutions"),
    "attention": (
        changed(T, attn__gamma=torch.ones(1)),
        "'attn' is none of convolution, batch norm and linear layer of floating-point numbers",
    ),
    "spectral norm": (
        changed(T, main__0__weight=None, main__0__weight_orig=torch.ones(6, 4, 4, 4)),
        "'main.0' is none of convolution, batch norm and linear layer of floating-point numbers",
    ),
    "other kernel": (
        nn.Sequential(*block(6, 4), *block(4, 2, 5), *block(2, 3)).state_dict(),
        "'3' is a 5x5 convolution",
    ),
    "no norm": (
        nn.Sequential(*block(6, 4), *block(4, 2, norm=nn.InstanceNorm2d), *block(2, 3)[:1]).state_dict(),
        "it has 0 linear layers, 3 convolutions, 1 batch norm",
    ),
    "norm after the linear layer": (
        nn.Sequential(nn.Linear(6, 64), nn.BatchNorm1d(64), *block(4, 2), *block(2, 3)[:1]).state_dict(),
        "it has 1 linear layer, 2 convolutions, 2 batch norms",
    ),
    "two linear layers": (
        nn.Sequential(nn.Linear(6, 6), nn.Linear(6, 64), *block(4, 2), *block(2, 3)[:1]).state_dict(),
        "it has 2 linear layers, 2 convolutions, 1 batch norm",
    ),
    "other start": (
        changed(L, fc__weight=torch.ones(4 * 49, 6), fc__bias=torch.ones(4 * 49)),
        "'fc' does not give 4x4 feature maps of 4 channels",
    ),
    "layers that do not meet": (
        changed(T, main__3__weight=torch.ones(5, 2, 4, 4)),
        "'main.0' gives 4 feature maps, 'main.3' takes 5",
    ),
    "norm of another width": (
        changed(T, **{f"main__4__{name}": torch.ones(7) for name in ("weight", "bias", "running_mean", "running_var")}),
        "'main.3' gives 2 feature maps, 'main.4' takes 7",
    ),
    "widths that do not halve": (
        nn.Sequential(*block(6, 5), *block(5, 4), *block(4, 3)[:1]).state_dict(),
        "its layers are 5, 4 feature maps wide",
    ),
    "four channels": (
        changed(T, main__6__weight=torch.ones(2, 4, 4, 4)),
        "its images would be 16x16 with 4 channels",
    ),
    "too small": (
        nn.Sequential(*block(6, 4), *block(4, 3)[:1]).state_dict(),
        "its images would be 8x8 with 3 channels",
    ),
    "too large": (Tutorial(6, 1, 3, 1024).state_dict(), "its images would be 1024x1024 with 3 channels"),
    "bias of another width": (
        changed(T, main__6__bias=torch.ones(1)),
        "'main.6' is none of convolution, batch norm and linear layer of floating-point numbers",
    ),
    "whole numbers": (
        changed(T, main__0__weight=torch.ones(6, 4, 4, 4, dtype=torch.int32)),
        "'main.0' is none of convolution, batch norm and linear layer of floating-point numbers",
    ),
    "one number in all places": (
        changed(T, main__0__weight=torch.ones(1).expand(6, 4, 4, 4)),
        "'main.0' is none of convolution, batch norm and linear layer of floating-point numbers",
    ),
    "no latents": (
        changed(T, main__0__weight=torch.ones(0, 4, 4, 4)),
        "'main.0' is none of convolution, batch norm and linear layer of floating-point numbers",
    ),
    "control characters": (
        {"\x1b[31m.gamma": torch.ones(1)},
        r"'\x1b[31m' is none of convolution, batch norm and linear layer of floating-point numbers",
    ),
}


@pytest.mark.parametrize("state, message", UNKNOWN.values(), ids=UNKNOWN)
def test_unknown_layouts_are_refused_with_the_difference(state, message):
    with pytest.raises(UnknownLayoutError) as caught:
        recognise(state)
    assert str(caught.value) == message
