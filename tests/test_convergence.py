"""Games small enough to be solved: with the penalties G and D converge, without they circle or lose modes."""

import math

import pytest
import torch
from torch import nn

from facegan.losses import NonSaturating, Relativistic
from facegan.penalties import input_gradient, zero_centred
from facegan.training.adam import Adam


def dirac_gan(loss, r1, r2, num_steps=500, lr=0.3):
    """The distance from the equilibrium of the Dirac-GAN: images are 0, G draws theta alone, D(x) = psi x.

    Source: Mescheder, Geiger, Nowozin, "Which Training Methods for GANs do actually Converge?", ICML 2018, section 2.
    """
    theta, psi = (torch.ones((), dtype=torch.float64, requires_grad=True) for _ in range(2))
    real = torch.zeros(1, 1, 1, 1, dtype=torch.float64, requires_grad=True)
    for _ in range(num_steps):
        fake = theta.detach().reshape(1, 1, 1, 1).requires_grad_()
        real_logits, fake_logits = ((psi * images).flatten() for images in (real, fake))
        total = sum(loss.discriminator(real_logits, fake_logits))
        for gamma, logits, images in ((r1, real_logits, real), (r2, fake_logits, fake)):
            total = total + gamma * zero_centred(input_gradient(logits, images))
        (gradient,) = torch.autograd.grad(total, psi)
        with torch.no_grad():
            psi -= lr * gradient
        real_logits = (psi * real).flatten().detach()
        (gradient,) = torch.autograd.grad(loss.generator((psi * theta).reshape(1), real_logits), theta)
        with torch.no_grad():
            theta -= lr * gradient
    return math.hypot(theta.item(), psi.item())


@pytest.mark.parametrize("loss", [NonSaturating(), Relativistic()], ids=["nonsaturating", "relativistic"])
def test_the_dirac_gan_converges_with_a_penalty_and_circles_without(loss):
    assert dirac_gan(loss, 0, 0) > 0.1
    assert dirac_gan(loss, 0.1, 0) < 1e-3
    assert dirac_gan(loss, 0.1, 0.1) < 1e-6


def perceptron(num_inputs, num_outputs, width=128):
    layers = [nn.Linear(num_inputs, width), nn.LeakyReLU(0.2)]
    for _ in range(2):
        layers += [nn.Linear(width, width), nn.LeakyReLU(0.2)]
    return nn.Sequential(*layers, nn.Linear(width, num_outputs))


def gaussians(num, source):
    """Points of 25 Gaussians on a grid from -2 to 2, their standard deviation 0.05."""
    place = torch.randint(0, 5, (num, 2), generator=source) - 2.0
    return place + 0.05 * torch.randn(num, 2, generator=source)


def num_modes_found(seed, gamma, num_steps, every=4):
    """The Gaussians on which at least a quarter of their share of G_ema's samples falls, within 4 deviations."""
    source = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)
    G, D, loss = perceptron(2, 2), perceptron(2, 1), Relativistic()
    average = perceptron(2, 2).requires_grad_(False)
    opt_G, opt_D = (Adam(network.parameters(), lr=1e-3, betas=(0.0, 0.99)) for network in (G, D))
    for step in range(num_steps):
        real = gaussians(256, source)[:, :, None, None].requires_grad_()
        fake = G(torch.randn(256, 2, generator=source))
        images = real, fake.detach()[:, :, None, None].requires_grad_()
        logits = [D(each.flatten(1)).flatten() for each in images]
        total = sum(loss.discriminator(*logits))
        if gamma and step % every == 0:
            slopes = [zero_centred(input_gradient(*each)) for each in zip(logits, images, strict=True)]
            total = total + every * gamma * sum(slopes)
        opt_D.zero_grad()
        total.backward(inputs=opt_D.parameters)
        opt_D.step()
        with torch.no_grad():
            real_logits = D(real.flatten(1)).flatten()
        opt_G.zero_grad()
        loss.generator(D(fake).flatten(), real_logits).backward(inputs=opt_G.parameters)
        opt_G.step()
        for mean, value in zip(average.parameters(), G.parameters(), strict=True):
            mean.lerp_(value.detach(), 1 / min(step + 1, 200))
    with torch.no_grad():
        points = average(torch.randn(10_000, 2, generator=source))
    place = points.round().clamp(-2, 2)
    near = (points - place).norm(dim=1) < 4 * 0.05
    found = place[near].unique(dim=0, return_counts=True)[1]
    return int((found > 100).sum())


@pytest.mark.campaign
@pytest.mark.parametrize("seed", range(3))
def test_25_gaussians_are_all_found_with_pairs_and_penalties(seed):
    without = num_modes_found(seed, 0.0, 4000)
    print(f"seed {seed}: without penalties {without} of 25 modes")
    assert num_modes_found(seed, 0.02, 4000) == 25
