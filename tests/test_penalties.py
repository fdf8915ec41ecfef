"""Penalties against closed forms, in float64."""

import pytest
import torch
from torch import nn
from torch.nn.functional import softplus

from facegan.augment import augment
from facegan.networks.dcgan import DCGAN
from facegan.networks.resnet import Block, ResNet
from facegan.penalties import FirstPass, input_gradient, one_centred, zero_centred

SHAPE = (5, 3, 4, 4)


def images(seed=0, shape=SHAPE):
    source = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=source, dtype=torch.float64, requires_grad=True)


def linear(seed=1, shape=SHAPE):
    """D(x) = <w, x>, its w to be differentiated by."""
    return images(seed, shape[1:])


def logits_of(w, x):
    return (x * w).sum(dim=(1, 2, 3))


def test_the_penalty_of_a_linear_d_is_half_its_squared_weight_whatever_the_image():
    w = linear()
    for seed in (0, 7):
        x = images(seed)
        penalty = zero_centred(input_gradient(logits_of(w, x), x))
        torch.testing.assert_close(penalty, w.square().sum() / 2)
    (gradient,) = torch.autograd.grad(penalty, w)
    torch.testing.assert_close(gradient, w)


def test_the_penalty_of_a_quadratic_d_is_that_of_its_gradient():
    # D(x) = x'Ax / 2 with A symmetric: the gradient is Ax, the penalty |Ax|^2 / 2, its derivative by A (Ax)x', made
    # symmetric, averaged over the images.
    n, size = 5, 48
    A = images(3, (size, size)).detach()
    A = (A + A.T).requires_grad_()
    x = images()
    flat = x.flatten(1)
    penalty = zero_centred(input_gradient((flat @ A * flat).sum(dim=1) / 2, x))
    along = flat.detach() @ A.detach()
    torch.testing.assert_close(penalty, along.square().sum(dim=1).mean() / 2)
    (gradient,) = torch.autograd.grad(penalty, A)
    outer = along.T @ flat.detach() / n
    torch.testing.assert_close(gradient, (outer + outer.T) / 2)


def test_the_penalty_is_taken_at_the_images_before_augmentation():
    # A contrast of c about the image's mean: the gradient is cw + (1 - c) mean(w), so
    # |.|^2 = c^2 sum (w - mean)^2 + n mean^2.
    w, c = linear(), 1.4
    x = images()
    seen = x.mean(dim=(1, 2, 3), keepdim=True) * (1 - c) + c * x
    penalty = zero_centred(input_gradient(logits_of(w, seen), x))
    mean = w.mean()
    torch.testing.assert_close(2 * penalty, c**2 * (w - mean).square().sum() + w.numel() * mean**2)


@pytest.mark.parametrize("policy", ["color", "translation", "cutout", "color,translation,cutout"])
def test_the_penalty_can_be_differentiated_through_every_augmentation(policy):
    w, x = linear(shape=(4, 3, 8, 8)), images(shape=(4, 3, 8, 8))

    def penalty(w):
        seen = augment(x, policy, torch.Generator().manual_seed(5), 0.7)
        return zero_centred(input_gradient(torch.tanh(logits_of(w, seen.double())), x))

    assert torch.autograd.gradcheck(penalty, (w,))


def test_translation_leaves_the_part_of_the_weight_that_is_seen():
    w, x = linear(shape=(6, 3, 16, 16)), images(shape=(6, 3, 16, 16))
    gradient = input_gradient(logits_of(w, augment(x, "translation", torch.Generator().manual_seed(0))), x)
    sizes = gradient.square().sum(dim=(1, 2, 3))
    assert (sizes <= w.square().sum() + 1e-9).all()
    assert (sizes < w.square().sum() - 1e-3).any()


@pytest.mark.parametrize("norm", ["none", "spectral"])
def test_gradients_of_a_penalty_equal_finite_differences(norm):
    architecture = DCGAN(ndf=2, norm_D=norm)
    torch.manual_seed(0)
    D = architecture.discriminator(16, 3).double().eval()
    with torch.no_grad():
        for parameter in D.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    x = images(2, (3, 3, 16, 16))

    def penalty():
        return zero_centred(input_gradient(D(x), x))

    parameters = list(D.parameters())
    gradients = torch.autograd.grad(penalty(), parameters, allow_unused=True)
    for parameter, gradient in zip(parameters, gradients, strict=True):
        place = tuple(size // 2 for size in parameter.shape)
        step, values = 1e-6, []
        for sign in (1, -1):
            with torch.no_grad():
                parameter[place] += sign * step
            values.append(penalty().item())
            with torch.no_grad():
                parameter[place] -= sign * step
        expected = (values[0] - values[1]) / (2 * step)
        assert (0.0 if gradient is None else gradient[place].item()) == pytest.approx(expected, rel=1e-4, abs=1e-7)


def test_the_one_centred_penalty_of_a_linear_d_is_its_distance_from_slope_1():
    w, source = linear(), torch.Generator().manual_seed(0)
    real, fake = images().detach(), images(4).detach()
    penalty = one_centred(lambda x: logits_of(w, x), real, fake, source)
    torch.testing.assert_close(penalty, (w.norm() - 1).square())
    (gradient,) = torch.autograd.grad(penalty, w)
    torch.testing.assert_close(gradient, 2 * (w.norm() - 1) * w / w.norm())


def test_the_one_centred_penalty_looks_between_the_pairs():
    seen = []

    def logits(x):
        seen.append(x)
        return x.sum(dim=(1, 2, 3))

    real, fake = torch.ones(200, 1, 2, 2), torch.zeros(200, 1, 2, 2)
    one_centred(logits, real, fake, torch.Generator().manual_seed(0))
    (x,) = seen
    assert torch.equal(x, x[:, :1, :1, :1].expand_as(x))  # one share an image
    shares = x[:, 0, 0, 0].detach()
    assert shares.min() > 0 and shares.max() < 1
    assert shares.std().item() == pytest.approx(12**-0.5, rel=0.1)  # uniform


def test_a_flat_d_has_penalties_and_finite_gradients():
    D = nn.Linear(48, 1)
    nn.init.zeros_(D.weight)
    x = torch.randn(SHAPE, requires_grad=True)

    def logits(x):
        return D(x.flatten(1)).squeeze(1)

    penalty = zero_centred(input_gradient(logits(x), x)) + one_centred(logits, x, -x, torch.Generator().manual_seed(0))
    penalty.backward()
    assert penalty.item() == 1
    assert D.weight.grad.isfinite().all()


def residual(dtype):
    torch.manual_seed(0)
    D = ResNet(width=8, width_max=16, group=4, blocks=2).discriminator(16, 3).to(dtype)
    for block in D.modules():
        if isinstance(block, Block):
            nn.init.normal_(block.residual[-1].weight, 0, 0.1)
            nn.init.normal_(block.residual[0].bias, 0, 0.3)
            nn.init.normal_(block.residual[2].bias, 0, 0.3)
    return D


def plain(dtype):
    """DCGAN's D without norm, with torch's own layers."""
    torch.manual_seed(0)
    return nn.Sequential(
        *[nn.Conv2d(3, 8, 4, 2, 1), nn.LeakyReLU(0.2), nn.Conv2d(8, 16, 4, 2, 1), nn.LeakyReLU(0.2)],
        *[nn.Flatten(1), nn.Linear(256, 1), nn.Flatten(0)],
    ).to(dtype)


@pytest.mark.parametrize("network", [residual, plain])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_the_gradients_of_two_passes_are_those_of_the_double_backward(network, dtype):
    D, images = network(dtype), torch.randn(6, 3, 16, 16, dtype=dtype)
    parameters, gamma = list(D.parameters()), 0.7

    def loss(logits):
        return softplus(logits[3:] - logits[:3]).mean()  # pairs

    x = images.clone().requires_grad_()
    logits = D(x)
    (slopes,) = torch.autograd.grad(logits.sum(), x, create_graph=True)
    penalty = gamma / 2 * slopes.square().sum((1, 2, 3)).mean()
    expected = torch.autograd.grad(loss(logits) + penalty, parameters)

    first = FirstPass(D, images)
    leaf = first.logits.clone().requires_grad_()
    (factors,) = torch.autograd.grad(loss(leaf), leaf)
    assert torch.equal(first.logits, logits.detach())
    torch.testing.assert_close(first.slopes, slopes.detach())
    found = first.gradients(parameters, factors, gamma / len(images) * first.slopes)
    for ours, theirs in zip(found, expected, strict=True):
        assert (ours - theirs).norm() <= (1e-10 if dtype == torch.float64 else 1e-5) * theirs.norm()
    assert not any(module._forward_hooks for module in D.modules())
    assert not first.logits.requires_grad and not first.slopes.requires_grad


def test_under_autocast_the_gradients_of_two_passes_are_as_near_the_exact_ones_as_a_rounding():
    D, images = residual(torch.float32), torch.randn(6, 3, 16, 16)
    parameters, factors = list(D.parameters()), torch.rand(6) / 6
    exact = FirstPass(D, images)
    expected = exact.gradients(parameters, factors, exact.slopes / 6)
    with torch.autocast("cpu", torch.bfloat16):
        first = FirstPass(D, images)
        found = first.gradients(parameters, factors, first.slopes / 6)
    assert first.slopes.dtype == torch.float32
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.dtype == torch.float32
        assert (ours - theirs).norm() < 0.1 * theirs.norm()
