import pytest
import torch
from pydantic import ValidationError
from torch import nn

from facegan.networks.dcgan import DCGAN, BalancedConvTranspose2d


def count(network):
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize(
    ("head", "width", "num_G", "num_D"),
    [
        ("conv", 64, 3_576_704, 2_765_568),
        ("linear", 64, 3_583_872, 2_765_569),
        ("linear", 32, 1_103_808, 694_657),
    ],
)
def test_published_parameter_counts(head, width, num_G, num_D):
    architecture = DCGAN(head=head, ngf=width, ndf=width)
    with torch.device("meta"):
        assert count(architecture.generator(64, 3)) == num_G
        assert count(architecture.discriminator(64, 3)) == num_D


def textbook_generator(z_dim, c, channels):
    """The tutorial's G at 64x64, c feature maps."""

    def up(wide, narrow):
        return [nn.ConvTranspose2d(wide, narrow, 4, 2, 1, bias=False), nn.BatchNorm2d(narrow), nn.ReLU()]

    first = [nn.ConvTranspose2d(z_dim, 8 * c, 4, 1, 0, bias=False), nn.BatchNorm2d(8 * c), nn.ReLU()]
    last = [nn.ConvTranspose2d(c, channels, 4, 2, 1, bias=False), nn.Tanh()]
    return nn.Sequential(
        nn.Unflatten(1, (z_dim, 1, 1)), *first, *up(8 * c, 4 * c), *up(4 * c, 2 * c), *up(2 * c, c), *last
    )


def textbook_discriminator(c, channels):
    """The tutorial's D at 64x64, less its sigmoid."""

    def down(narrow, wide):
        return [nn.Conv2d(narrow, wide, 4, 2, 1, bias=False), nn.BatchNorm2d(wide), nn.LeakyReLU(0.2)]

    first = [nn.Conv2d(channels, c, 4, 2, 1, bias=False), nn.LeakyReLU(0.2)]
    last = [nn.Conv2d(8 * c, 1, 4, 1, 0, bias=False), nn.Flatten(0)]
    return nn.Sequential(*first, *down(c, 2 * c), *down(2 * c, 4 * c), *down(4 * c, 8 * c), *last)


def linear_generator(z_dim, c, channels):
    layers = list(textbook_generator(z_dim, c, channels))[4:]
    return nn.Sequential(nn.Linear(z_dim, 8 * c * 4 * 4), nn.Unflatten(1, (8 * c, 4, 4)), *layers)


def linear_discriminator(c, channels):
    layers = list(textbook_discriminator(c, channels))[:-2]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(8 * c * 4 * 4, 1), nn.Flatten(0))


def shorter(network, start, length):
    """A network without one of its halvings or doublings: what 32x32 needs."""
    layers = list(network)
    return nn.Sequential(*layers[:start], *layers[start + length :])


def acts_as(ours, reference, inputs):
    """Whether two networks are the same function, given the same numbers in the order in which layers act."""
    theirs = reference.state_dict()
    values = list(ours.state_dict().values())
    assert [value.shape for value in values] == [value.shape for value in theirs.values()]
    reference.load_state_dict(dict(zip(theirs, values, strict=True)))
    for training in (True, False):  # in training mode running statistics move too
        torch.testing.assert_close(ours.train(training)(inputs), reference.train(training)(inputs))
    return True


@pytest.mark.parametrize("channels", [1, 3])
def test_conv_headed_pair_is_the_tutorials(channels):
    torch.manual_seed(0)
    architecture = DCGAN(z_dim=10, ngf=4, ndf=6)
    assert acts_as(architecture.generator(64, channels), textbook_generator(10, 4, channels), torch.randn(3, 10))
    images = torch.randn(3, channels, 64, 64)
    assert acts_as(architecture.discriminator(64, channels), textbook_discriminator(6, channels), images)


def test_linear_headed_pair_has_no_norm_or_activation_after_its_head():
    torch.manual_seed(0)
    architecture = DCGAN(z_dim=10, ngf=4, ndf=6, head="linear")
    assert acts_as(architecture.generator(64, 3), linear_generator(10, 4, 3), torch.randn(3, 10))
    assert acts_as(architecture.discriminator(64, 3), linear_discriminator(6, 3), torch.randn(3, 3, 64, 64))


@pytest.mark.parametrize("head", ["conv", "linear"])
def test_bias_belongs_to_the_last_layer_of_the_generator_alone(head):
    torch.manual_seed(0)
    plain, biased = (DCGAN(z_dim=10, ngf=4, ndf=6, head=head, bias=bias) for bias in (False, True))
    textbook = textbook_generator if head == "conv" else linear_generator
    *layers, _, tanh = textbook(10, 4, 3)
    reference = nn.Sequential(*layers, nn.ConvTranspose2d(4, 3, 4, 2, 1, bias=True), tanh)
    G = biased.generator(64, 3)
    assert not G.to_image[0].bias.any()
    nn.init.normal_(G.to_image[0].bias)
    assert acts_as(G, reference, torch.randn(3, 10))
    assert count(G) == count(plain.generator(64, 3)) + 3
    assert count(biased.discriminator(64, 3)) == count(plain.discriminator(64, 3))


def test_at_32_both_networks_have_one_stage_less():
    torch.manual_seed(0)
    architecture = DCGAN(z_dim=10, ngf=4, ndf=4)

    G = nn.Sequential(
        nn.Unflatten(1, (10, 1, 1)),
        *[nn.ConvTranspose2d(10, 16, 4, 1, 0, bias=False), nn.BatchNorm2d(16), nn.ReLU()],
        *[nn.ConvTranspose2d(16, 8, 4, 2, 1, bias=False), nn.BatchNorm2d(8), nn.ReLU()],
        *[nn.ConvTranspose2d(8, 4, 4, 2, 1, bias=False), nn.BatchNorm2d(4), nn.ReLU()],
        *[nn.ConvTranspose2d(4, 3, 4, 2, 1, bias=False), nn.Tanh()],
    )
    D = nn.Sequential(
        *[nn.Conv2d(3, 4, 4, 2, 1, bias=False), nn.LeakyReLU(0.2)],
        *[nn.Conv2d(4, 8, 4, 2, 1, bias=False), nn.BatchNorm2d(8), nn.LeakyReLU(0.2)],
        *[nn.Conv2d(8, 16, 4, 2, 1, bias=False), nn.BatchNorm2d(16), nn.LeakyReLU(0.2)],
        *[nn.Conv2d(16, 1, 4, 1, 0, bias=False), nn.Flatten(0)],
    )
    assert acts_as(architecture.generator(32, 3), G, torch.randn(3, 10))
    assert acts_as(architecture.discriminator(32, 3), D, torch.randn(3, 3, 32, 32))


@pytest.mark.parametrize("head", ["conv", "linear"])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("resolution", [16, 32, 64, 128, 256, 512])
def test_every_size_gives_images_in_range_and_one_logit_each(resolution, channels, head):
    architecture = DCGAN(z_dim=7, ngf=2, ndf=2, head=head)
    G, D = architecture.generator(resolution, channels), architecture.discriminator(resolution, channels)
    images = G(torch.randn(5, 7))
    assert images.shape == (5, channels, resolution, resolution)
    assert images.abs().max() <= 1
    assert D(images).shape == (5,)
    assert D(images[:1].repeat(2, 1, 1, 1)).shape == (2,)


@pytest.mark.parametrize("resolution", [16, 32, 64, 128, 256, 512])
def test_d_mirrors_g_layer_by_layer(resolution):
    def widths(network, kind):
        layers = [module for module in network.modules() if isinstance(module, kind)]
        return [(layer.in_channels, layer.out_channels, layer.stride[0], layer.padding[0]) for layer in layers]

    architecture = DCGAN(ngf=4, ndf=4)
    up = widths(architecture.generator(resolution, 3), nn.ConvTranspose2d)
    down = widths(architecture.discriminator(resolution, 3), nn.Conv2d)
    mirrored = [(out, into, stride, padding) for into, out, stride, padding in reversed(up)]
    assert down[:-1] == mirrored[:-1]
    assert (down[-1][1], mirrored[-1][1]) == (1, 100)
    assert [stride for _, _, stride, _ in up] == [1] + [2] * (resolution.bit_length() - 3)


def test_feature_maps_double_up_to_sixteen_times_the_base():
    D = DCGAN(ndf=2).discriminator(256, 3)
    assert [m.out_channels for m in D.modules() if isinstance(m, nn.Conv2d)] == [2, 4, 8, 16, 32, 32, 1]


@pytest.mark.parametrize("head", ["conv", "linear"])
def test_no_pooling_and_no_hidden_dense_layer(head):
    architecture = DCGAN(ngf=4, ndf=4, head=head)
    for network in (architecture.generator(64, 3), architecture.discriminator(64, 3)):
        kinds = [type(module) for module in network.modules()]
        assert not [kind for kind in kinds if "Pool" in kind.__name__ or "Upsample" in kind.__name__]
        assert kinds.count(nn.Linear) == (head == "linear")


@pytest.mark.parametrize("head", ["conv", "linear"])
def test_weights_begin_as_the_paper_says(head):
    torch.manual_seed(0)
    architecture = DCGAN(head=head)
    scales = []
    for network in (architecture.generator(64, 3), architecture.discriminator(64, 3)):
        for module in network.modules():
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
                weight = module.weight.double().flatten()
                # Within five standard errors of N(0, 0.02): of the mean, the deviation and the fourth moment (3 for a
                # normal distribution, 1.8 for a uniform one).
                num = weight.numel()
                assert abs(weight.mean()) < 5 * 0.02 / num**0.5
                assert abs(weight.std() / 0.02 - 1) < 5 / (2 * num) ** 0.5
                assert abs((weight / 0.02).pow(4).mean() - 3) < 5 * (96 / num) ** 0.5
                assert module.bias is None or not module.bias.any()
            elif isinstance(module, nn.BatchNorm2d):
                scales.append(module.weight.double())
                assert not module.bias.any()
    scale = torch.cat(scales)
    assert abs(scale.mean() - 1) < 5 * 0.02 / len(scale) ** 0.5
    assert abs(scale.std() / 0.02 - 1) < 5 / (2 * len(scale)) ** 0.5


def test_images_approach_both_ends_of_the_range():
    G = DCGAN(z_dim=7, ngf=4).generator(16, 3)
    with torch.no_grad():
        G.to_image[0].weight.mul_(1e3)
        images = G(torch.randn(8, 7))
    assert (images.min(), images.max()) == (-1, 1)


def test_logits_are_not_probabilities():
    torch.manual_seed(0)
    D = DCGAN(ndf=4).discriminator(16, 3)
    with torch.no_grad():
        D.head[0].weight.mul_(100)
        logits = D(torch.randn(64, 3, 16, 16))
    assert logits.min() < 0
    assert logits.max() > 1


@pytest.mark.parametrize(
    "fields", [{"ngf": 0}, {"ndf": 0}, {"z_dim": 0}, {"head": "dense"}, {"prior": "gaussian"}, {"nfg": 64}]
)
def test_settings_that_cannot_be_are_refused(fields):
    with pytest.raises(ValidationError):
        DCGAN(**fields)


@pytest.mark.parametrize(
    ("fields", "of"), [({"z_dim": 8}, "G"), ({"ngf": 8}, "G"), ({"ndf": 8}, "D"), ({"head": "linear"}, "both")]
)
def test_every_setting_changes_the_network_it_is_of(fields, of):
    def shapes(architecture):
        return [
            [tuple(p.shape) for p in network.parameters()]
            for network in (architecture.generator(16, 3), architecture.discriminator(16, 3))
        ]

    base = {"z_dim": 6, "ngf": 4, "ndf": 4}
    plain, changed = shapes(DCGAN(**base)), shapes(DCGAN(**{**base, **fields}))
    assert (plain[0] != changed[0]) == (of in ("G", "both"))
    assert (plain[1] != changed[1]) == (of in ("D", "both"))


def test_balanced_upsampling_keeps_flat_areas_flat_and_the_mean_of_the_kernel():
    torch.manual_seed(0)
    up = BalancedConvTranspose2d(3, 5, 4, stride=2, padding=1, bias=False)
    usual = nn.ConvTranspose2d(3, 5, 4, stride=2, padding=1, bias=False)
    usual.load_state_dict(up.state_dict())
    flat = torch.randn(2, 3, 1, 1).expand(2, 3, 8, 8)
    with torch.no_grad():
        inside, checkered = (layer(flat)[:, :, 2:-2, 2:-2] for layer in (up, usual))
    assert inside.std(dim=(2, 3)).max() < 1e-6 < 0.01 < checkered.std(dim=(2, 3)).max()
    torch.testing.assert_close(inside.mean(dim=(2, 3)), checkered.mean(dim=(2, 3)))


def test_a_balanced_kernel_is_what_it_was():
    up = BalancedConvTranspose2d(2, 3, 4, stride=2, padding=1)
    usual = nn.ConvTranspose2d(2, 3, 4, stride=2, padding=1)
    with torch.no_grad():
        up.weight.copy_(torch.outer(*[torch.tensor([1.0, 3, 3, 1])] * 2) * torch.randn(2, 3, 1, 1))  # bilinear
    usual.load_state_dict(up.state_dict())
    x = torch.randn(2, 2, 8, 8)
    torch.testing.assert_close(up(x), usual(x))


@pytest.mark.parametrize(("norm", "bias"), [("none", True), ("spectral", True), ("batch", False)])
def test_layers_without_batch_norm_have_biases(norm, bias):
    architecture = DCGAN(ngf=4, ndf=4, norm_G=norm, norm_D=norm)
    for network in (architecture.generator(16, 3), architecture.discriminator(16, 3)):
        layers = [each for each in network.modules() if isinstance(each, nn.Conv2d | nn.ConvTranspose2d)]
        assert [layer.bias is not None for layer in layers] == [bias] * len(layers)
        assert any(isinstance(each, nn.BatchNorm2d) for each in network.modules()) is (norm == "batch")


def test_without_norm_activations_keep_their_size_from_layer_to_layer():
    torch.manual_seed(0)
    architecture = DCGAN(ngf=32, ndf=32, norm_G="none", norm_D="none")
    G, D = architecture.generator(64, 3), architecture.discriminator(64, 3)
    sizes = []
    for network in (G, D):
        for layer in network.modules():
            if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
                layer.register_forward_hook(
                    lambda _, inputs, output: sizes.append(output.square().mean().sqrt().item())
                )
    with torch.no_grad():
        G(torch.randn(64, 100))
        D(torch.randn(64, 3, 64, 64))
    assert len(sizes) == 10
    assert all(0.7 < size < 2.5 for size in sizes), sizes


def test_spectral_norm_makes_the_largest_singular_value_1():
    torch.manual_seed(0)
    D = DCGAN(ndf=8, norm_D="spectral").discriminator(32, 3).train()
    images = torch.randn(4, 3, 32, 32)
    with torch.no_grad():
        for _ in range(200):
            D(images)
    for layer in D.eval().modules():
        if isinstance(layer, nn.Conv2d):
            largest = torch.linalg.svdvals(layer.weight.flatten(1))[0]
            assert largest.item() == pytest.approx(1, rel=1e-2)
