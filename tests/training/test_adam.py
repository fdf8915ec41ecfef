from copy import deepcopy

import pytest
import torch
from torch import nn

import textbook
from facegan.training.adam import Adam


def networks(num):
    torch.manual_seed(0)
    first = nn.Sequential(nn.Conv2d(3, 8, 4), nn.BatchNorm2d(8)).to(memory_format=torch.channels_last)
    return [first, *(deepcopy(first) for _ in range(num - 1))]


def give_gradients(*all_networks, seed):
    for network in all_networks:
        source = torch.Generator().manual_seed(seed)
        for parameter in network.parameters():
            gradient = torch.randn(parameter.shape, generator=source)
            parameter.grad = torch.empty_like(parameter).copy_(
                gradient
            )  # in the parameter's order, as autograd lays it


@pytest.mark.parametrize(("lr", "betas"), [(2e-4, (0.5, 0.999)), (1e-2, (0.9, 0.99)), (1e-3, (0.0, 0.9))])
def test_updates_and_moments_are_those_of_the_papers_algorithm(lr, betas):
    ours, theirs = networks(2)
    mine, reference = Adam(ours.parameters(), lr=lr, betas=betas), textbook.Adam(theirs.parameters(), lr, betas)
    for step in range(5):
        give_gradients(ours, theirs, seed=step)
        mine.step()
        reference.step()
    for one, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-3 * lr + 1e-7)
    kept = mine.tensors()
    assert len(kept) == 3 * len(mine.parameters)
    for index, (m, v) in enumerate(zip(reference.m, reference.v, strict=True)):
        torch.testing.assert_close(kept[f"{index}.exp_avg"].double(), m, rtol=1e-5, atol=1e-7)
        torch.testing.assert_close(kept[f"{index}.exp_avg_sq"].double(), v, rtol=1e-5, atol=1e-7)
        assert kept[f"{index}.step"] == reference.t


def test_updates_are_those_of_torch_optim_to_the_bit():
    ours, theirs = networks(2)
    mine = Adam(ours.parameters(), lr=2e-4, betas=(0.5, 0.999))
    reference = torch.optim.Adam(theirs.parameters(), 2e-4, (0.5, 0.999), fused=True)
    for step in range(3):
        give_gradients(ours, theirs, seed=step)
        mine.step()
        reference.step()
    assert all(torch.equal(*pair) for pair in zip(ours.parameters(), theirs.parameters(), strict=True))


def test_a_gradient_that_is_not_finite_changes_nothing():
    (network,) = networks(1)
    optimizer, scaler = (
        Adam(network.parameters(), lr=0.1, betas=(0.5, 0.9)),
        torch.amp.GradScaler("cpu", init_scale=4.0),
    )
    scaler.scale(torch.zeros(()))  # makes its scale
    for poison, moves in ((0.0, True), (torch.inf, False), (torch.nan, False)):
        give_gradients(network, seed=3)
        optimizer.parameters[1].grad += poison
        weights = [each.detach().clone() for each in optimizer.parameters]
        slots = [value.clone() for value in optimizer.tensors().values()]
        scaler.step(optimizer)
        scaler.update()
        same = [torch.equal(a, b) for a, b in zip(weights, optimizer.parameters, strict=True)]
        assert not any(same) if moves else all(same)
        after = optimizer.tensors().values()
        assert all(torch.equal(a, b) for a, b in zip(slots, after, strict=True)) is not moves


def test_a_scaled_gradient_makes_the_same_update():
    ours, theirs = networks(2)
    plain, scaled = (Adam(network.parameters(), lr=1e-3, betas=(0.5, 0.999)) for network in (ours, theirs))
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**10)
    scaler.scale(torch.zeros(()))
    give_gradients(ours, theirs, seed=1)
    for parameter in theirs.parameters():
        parameter.grad *= 2.0**10
    plain.step()
    scaler.step(scaled)
    for one, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert torch.equal(one, other)


def test_without_the_fused_kernel_the_updates_are_the_same_to_rounding(monkeypatch):
    ours, theirs = networks(2)
    fused, foreach = (Adam(network.parameters(), lr=1e-3, betas=(0.5, 0.999)) for network in (ours, theirs))
    monkeypatch.setattr(foreach, "_fused", False)  # as on a device without it
    for step in range(3):
        give_gradients(ours, theirs, seed=step)
        fused.step()
        foreach.step()
    for one, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-7)
