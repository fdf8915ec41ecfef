import copy

import pytest
import torch
from torch import nn
from torch.nn import functional

from facegan.config import resolve
from facegan.convolution import Resample
from facegan.directions.sefa import first_layer_matrix, sefa
from facegan.errors import ConfigError
from facegan.features import activations, discriminator_extractor
from facegan.generator import FaceGenerator
from facegan.networks.guidelines import guidelines, trace
from facegan.networks.resnet import Block, ResNet, widths

TINY = {"z_dim": 6, "width": 4, "width_max": 8, "group": 4}
SIZES = {  # widths at sides 4 to 64; parameters of G and of D
    "tiny": (
        {"width": 32, "width_max": 128, "blocks": 1, "group": 16},
        ([128, 128, 128, 64, 32], 274_912, 266_848),
    ),
    "small": (
        {"width": 64, "width_max": 256, "blocks": 1, "group": 16},
        ([256, 256, 256, 128, 64], 873_408, 857_280),
    ),
    "base": (
        {"width": 128, "width_max": 384, "blocks": 2, "group": 32},
        ([384, 384, 384, 256, 128], 4_513_152, 4_488_960),
    ),
    "large": (
        {"width": 256, "width_max": 512, "blocks": 2, "group": 32},
        ([512, 512, 512, 512, 256], 9_067_264, 9_035_008),
    ),
    "paper": (
        {"width": 384, "width_max": 768, "blocks": 2, "group": 16, "first": 4},
        ([768, 768, 768, 768, 384], 22_429_824, 22_381_440),
    ),
}


def count(network):
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.fixture
def pair():
    """A tiny G and D at 16 pixels whose blocks have learned something."""
    torch.manual_seed(0)
    architecture = ResNet(**TINY)
    networks = architecture.generator(16, 3), architecture.discriminator(16, 3)
    for network in networks:
        for block in network.modules():
            if isinstance(block, Block):
                nn.init.normal_(block.residual[-1].weight, 0, 0.1)
                nn.init.normal_(block.residual[0].bias, 0, 0.1)
    return networks


@pytest.mark.parametrize(("settings", "counts"), SIZES.values(), ids=SIZES)
def test_sizes_have_the_published_widths_and_parameter_counts(settings, counts):
    architecture = ResNet(**settings)
    with torch.device("meta"):
        found = count(architecture.generator(64, 3)), count(architecture.discriminator(64, 3))
    assert (widths(architecture.width, architecture.width_max, 64), *found) == counts


def test_counts_of_the_smallest_size_are_those_of_its_layers_by_hand():
    settings, (at, num_G, num_D) = SIZES["tiny"]
    blocks = sum(4 * width**2 + 18 * settings["group"] * width + 4 * width for width in at[1:])
    changes = 128 * 64 + 64 * 32
    assert num_G == blocks + changes + 64 * 128 + 128 * 16 + 32 * 3
    assert num_D == blocks + changes + 128 * 16 + 128 + 3 * 32


@pytest.mark.parametrize(("width", "group"), [(32, 16), (64, 16), (24, 8)])
def test_block_has_4CC_18gC_4C_parameters(width, group):
    assert count(Block(width, 2, group)) == 4 * width**2 + 18 * group * width + 4 * width


def test_group_0_connects_all_channels_of_a_block():
    assert count(Block(32, 2, 0)) == count(Block(32, 2, 64))


def test_first_blocks_and_expansion_say_where_how_many_and_how_wide():
    def inner(**changes):
        G = ResNet(**TINY | changes).generator(32, 3)
        return [block.residual[2].out_channels for block in G.modules() if isinstance(block, Block)]

    assert inner() == [16, 16, 8]  # at 8, 16 and 32
    assert inner(first=4) == [16, 16, 16, 8]
    assert inner(first=16) == [16, 8]
    assert inner(blocks=2) == [16, 16, 16, 16, 8, 8]
    assert inner(expansion=3) == [24, 24, 12]


def test_width_D_widens_the_discriminator_alone():
    plain, wide = ResNet(**TINY), ResNet(**TINY, width_D=8)
    assert count(wide.generator(16, 3)) == count(plain.generator(16, 3))
    assert count(wide.discriminator(16, 3)) == count(
        ResNet(**TINY | {"width": 8, "width_max": 16}).discriminator(16, 3)
    )


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("resolution", [16, 32, 64, 128, 256, 512])
def test_every_size_gives_images_and_one_logit_each(resolution, channels):
    architecture = ResNet(z_dim=5, width=2, width_max=4, group=2)
    with torch.no_grad():
        images = architecture.generator(resolution, channels)(torch.randn(2, 5))
        assert images.shape == (2, channels, resolution, resolution)
        assert architecture.discriminator(resolution, channels)(images).shape == (2,)


def test_group_that_does_not_divide_is_refused_in_one_line():
    with pytest.raises(ConfigError) as caught:
        resolve(settings=["architecture.name=resnet", "architecture.group=48"]).complete()
    assert str(caught.value) == (
        "config: architecture: group=48 does not divide 128 channels, expansion times the width 64; take a divisor, "
        "or group=0"
    )


def test_blocks_begin_as_the_identity_and_weights_with_the_variance_of_their_place():
    torch.manual_seed(0)
    G = ResNet(width=64, width_max=128, blocks=2).generator(32, 3)
    blocks = [module for module in G.modules() if isinstance(module, Block)]
    x = torch.randn(2, 128, 4, 4)
    assert torch.equal(blocks[0](x), x)
    gain = (2 / 1.04) ** 0.5 * len(blocks) ** -0.25
    for place, fan_in in ((0, 128), (2, 9 * 16)):
        weight = blocks[0].residual[place].weight
        assert weight.std().item() == pytest.approx(gain / fan_in**0.5, rel=0.05)
        assert not blocks[0].residual[place].bias.any()
    assert G.head[0].weight.std().item() == pytest.approx(64**-0.5, rel=0.05)
    assert G.head[0].basis.std().item() == pytest.approx(1, rel=0.1)


def test_at_the_beginning_images_are_the_resampled_basis():
    torch.manual_seed(0)
    G = ResNet(z_dim=6, width=8, width_max=8, group=4).generator(16, 3)
    z = torch.randn(2, 6)
    maps = (z @ G.head[0].weight.T)[:, :, None, None] * G.head[0].basis
    kernel = torch.outer(*[torch.tensor([1.0, 3, 3, 1])] * 2).expand(8, 1, 4, 4) / 16
    for _ in range(2):
        maps = functional.conv_transpose2d(maps, kernel, stride=2, padding=1, groups=8)
    torch.testing.assert_close(G(z), torch.einsum("nchw,kc->nkhw", maps, G.to_image.weight[:, :, 0, 0]))


def test_images_have_about_unit_variance_at_the_beginning_and_logits_do_not_vanish():
    torch.manual_seed(0)
    architecture = ResNet()
    with torch.no_grad():
        images = architecture.generator(64, 3)(torch.randn(16, 64))
        logits = architecture.discriminator(64, 3)(images)
    assert 0.2 < float(images.std()) < 1.5
    assert 0.01 < float(logits.std()) < 2


def test_resampling_keeps_constants_inside_and_the_way_down_is_the_way_ups_adjoint():
    up, down = Resample(3, up=True), Resample(3, up=False)
    ones = torch.ones(1, 3, 8, 8)
    torch.testing.assert_close(up(ones)[..., 1:-1, 1:-1], torch.ones(1, 3, 14, 14))
    torch.testing.assert_close(down(ones)[..., 1:-1, 1:-1], torch.ones(1, 3, 2, 2))
    x, y = torch.randn(2, 3, 4, 6), torch.randn(2, 3, 8, 12)
    torch.testing.assert_close((up(x) * y).sum(), 4 * (x * down(y)).sum())
    assert not dict(up.named_parameters()) and not up.state_dict()


def test_small_maps_images_and_logits_are_float32_under_autocast(pair):
    G, D = pair
    with torch.autocast("cpu", torch.bfloat16):
        head = G.head(torch.randn(2, 6))
        images = G(torch.randn(2, 6))
        middle = D.stages(D.from_image(images))
        logits = D(images)
    assert (images.dtype, middle.dtype, logits.dtype) == (torch.float32, torch.bfloat16, torch.float32)
    assert head.shape == (2, 8, 4, 4)


def test_generator_of_images_outside_their_range_is_clamped_when_it_is_used(pair):
    G, _ = pair
    nn.init.normal_(G.to_image.weight, 0, 5)
    generator = FaceGenerator(G, z_dim=6, prior="normal")
    z = generator.latents(range(3))
    with torch.no_grad():
        raw = G(torch.cat([z, torch.zeros(61, 6)]))[:3]
    assert raw.abs().max() > 1
    assert torch.equal(generator.images(z), raw.clamp(-1, 1))


def test_directions_factor_the_first_layer_with_its_basis(pair):
    G, _ = pair
    generator = FaceGenerator(G, z_dim=6, prior="normal")
    A = (G.head[0].weight[:, None] * G.head[0].basis.flatten(1)[:, :, None]).flatten(0, 1).detach()  # (8 * 16, 6)
    torch.testing.assert_close(first_layer_matrix(generator), A, rtol=1e-4, atol=1e-5)
    directions, shares = sefa(generator, 6)
    assert directions.shape == (6, 6)
    assert float(shares.sum()) == pytest.approx(1, abs=1e-4)


def test_features_of_d_are_its_last_activation_at_each_size(pair):
    _, D = pair
    D = copy.deepcopy(D).eval()
    images = torch.randn(3, 3, 16, 16)
    found = activations(D, images)
    assert [tuple(each.shape[1:]) for each in found] == [(8, 16, 16), (16, 8, 8)]
    extractor = discriminator_extractor(D, channels=3, resolution=16)
    assert extractor.num_features == 24
    more = ResNet(**TINY, blocks=3).discriminator(16, 3)
    assert discriminator_extractor(more, channels=3, resolution=16).num_features == 24


def test_guidelines_say_that_it_has_neither_norm_nor_strided_convolutions_nor_tanh(pair):
    lines = guidelines(trace(*pair, torch.randn(2, 6)))
    assert [line.kept for line in lines] == [False, False, True, False, False]
    assert lines[0].evidence == "pooling or resizing layers: Resample; strided convolutions: D 0, G 0"
    assert lines[1].evidence == (
        "0 batch norms; missing after: G's Basis number 1, G's Conv2d number 2, G's Conv2d number 3, G's Conv2d number "
        "4, G's Conv2d number 5, G's Conv2d number 6, 10 more"
    )
