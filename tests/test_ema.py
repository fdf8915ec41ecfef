import math
from copy import deepcopy

import pytest
import torch
from torch import nn

from facegan import ema
from facegan.networks.dcgan import DCGAN


def weight(half_life_kimg, seen, batch_size):
    return ema.weight(half_life_kimg, torch.tensor(seen), batch_size).item()


def test_a_half_life_halves_the_weight_of_the_past():
    # Far into a run the ramp is over: after as many images as the half-life, half is left.
    kept = 1.0
    for _ in range(100):
        kept *= 1 - weight(10.0, 10_000_000, 100)
    assert kept == pytest.approx(0.5)
    assert weight(10.0, 10_000_000, 10_000) == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("seen", "half_life"), [(128, 6.4), (1280, 64), (100_000, 5_000), (199_999, 9_999.95), (10**7, 10_000)]
)
def test_half_life_is_at_most_five_percent_of_the_images_seen(seen, half_life):
    assert weight(10.0, seen, 128) == pytest.approx(1 - 2 ** (-128 / half_life), rel=1e-6)


def test_a_very_long_half_life_still_moves_by_its_exact_share():
    # 1 - 0.5 ** (batch / half-life) in float32 would have two digits left here.
    assert weight(1e6, 10**12, 2) == pytest.approx(math.log(2) * 2 / 1e9, rel=1e-6)


def test_no_half_life_takes_the_current_weights():
    assert weight(0.0, 10**6, 128) == 1.0


def test_update_is_the_weighted_mean():
    average, current = nn.Linear(3, 2), nn.Linear(3, 2)
    expected = [
        0.75 * a.detach() + 0.25 * c.detach() for a, c in zip(average.parameters(), current.parameters(), strict=True)
    ]
    kept = deepcopy(current)
    ema.update(average, current, torch.tensor(0.25))
    for ours, theirs in zip(average.parameters(), expected, strict=True):
        torch.testing.assert_close(ours.detach(), theirs)
    assert all(torch.equal(a, b) for a, b in zip(kept.parameters(), current.parameters(), strict=True))


def test_the_distance_to_constant_weights_shrinks_geometrically():
    average, current = nn.Linear(3, 2), nn.Linear(3, 2)
    start = average.weight.detach().clone()
    for _ in range(7):
        ema.update(average, current, torch.tensor(0.1))
    torch.testing.assert_close(average.weight - current.weight, 0.9**7 * (start - current.weight), rtol=1e-4, atol=1e-6)


def test_taking_all_copies_and_taking_nothing_stays():
    average, current = nn.Linear(3, 2), nn.Linear(3, 2)
    start = average.weight.detach().clone()
    ema.update(average, current, torch.tensor(0.0))
    assert torch.equal(average.weight, start)
    ema.update(average, current, torch.tensor(1.0))
    assert torch.equal(average.weight, current.weight)


def test_update_leaves_batch_norm_statistics_to_calibrate():
    average, current = nn.BatchNorm1d(3), nn.BatchNorm1d(3)
    current.running_mean.fill_(5)
    ema.update(average, current, torch.tensor(0.5))
    assert not average.running_mean.any()


def test_update_without_averaging_makes_a_spectrally_normed_network_equal():
    torch.manual_seed(1)
    average, current = (nn.Sequential(nn.utils.parametrizations.spectral_norm(nn.Linear(6, 4))) for _ in range(2))
    for _ in range(5):
        current(torch.ones(2, 6))  # its power iteration moves the buffers
    ema.update(average, current, torch.tensor(1.0))
    x = torch.randn(3, 6)
    assert torch.equal(average.eval()(x), current.eval()(x))


def generator():
    torch.manual_seed(3)
    G = DCGAN(z_dim=6, ngf=4).generator(16, 3)
    with torch.no_grad():
        for parameter in G.parameters():
            parameter.mul_(3).add_(0.1 * torch.randn_like(parameter))
    return G


def test_calibration_gives_the_statistics_of_the_modules_own_activations():
    G, batches = generator(), list(torch.randn(5, 16, 6))
    reference = deepcopy(G).train()
    norms = [module for module in reference.modules() if isinstance(module, nn.BatchNorm2d)]
    inputs = {norm: [] for norm in norms}
    for norm in norms:
        norm.register_forward_hook(lambda module, given, _: inputs[module].append(given[0].detach().double()))
    for z in batches:
        reference(z)
    ema.calibrate(G, batches)
    ours = [module for module in G.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm, theirs in zip(ours, norms, strict=True):
        means = torch.stack([given.mean((0, 2, 3)) for given in inputs[theirs]])
        variances = torch.stack([given.var((0, 2, 3), correction=1) for given in inputs[theirs]])
        torch.testing.assert_close(norm.running_mean.double(), means.mean(0), rtol=1e-4, atol=1e-6)
        torch.testing.assert_close(norm.running_var.double(), variances.mean(0), rtol=1e-4, atol=1e-6)


def test_calibration_forgets_what_was_there():
    G, z = generator(), torch.randn(2, 16, 6)
    ema.calibrate(G, list(z))
    first = deepcopy(G.state_dict())
    for module in G.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.fill_(1e3)
            module.running_var.fill_(1e-3)
    ema.calibrate(G, list(z))
    assert all(torch.equal(value, first[key]) for key, value in G.state_dict().items())


def test_calibration_leaves_eval_mode_weights_and_momenta():
    G = generator().train()
    weights = [parameter.detach().clone() for parameter in G.parameters()]
    ema.calibrate(G, [torch.randn(8, 6)])
    assert not any(module.training for module in G.modules())
    assert {module.momentum for module in G.modules() if isinstance(module, nn.BatchNorm2d)} == {0.1}
    assert all(torch.equal(a, b) for a, b in zip(weights, G.parameters(), strict=True))


def test_calibration_of_a_network_without_batch_norm_draws_nothing():
    def batches():
        raise AssertionError("nothing was to be drawn")
        yield

    network = nn.Sequential(nn.Linear(2, 2))
    ema.calibrate(network, batches())
    assert not network.training
