"""Pairs, penalties, schedules, several updates of D and micro-batches in the training step."""

from copy import deepcopy

import pytest
import torch
from pydantic import BaseModel

from facegan.config import resolve
from facegan.errors import ConfigError
from facegan.training import step as steps
from facegan.training.state import METRICS, build_networks, build_state
from facegan.training.step import scheduled, training_step

CPU = torch.device("cpu")
PAIRS = ("loss.name=relativistic", "architecture.norm_D=none", "penalty.r1=1", "penalty.r2=0.5")


def images(num=8, seed=5):
    return torch.rand(num, 3, 16, 16, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def train(state, num_steps, num=8):
    for number in range(num_steps):
        training_step(state, images(num, seed=state.step + number))
        state.step += 1
    return state


def parameters(network):
    return [parameter.detach().clone() for parameter in network.parameters()]


def distance(one, other):
    return max((a - b).abs().max().item() for a, b in zip(one, other, strict=True))


class Spy(BaseModel):
    """A loss that records the logits it is given, for G's step to be checked by."""

    pairs: bool
    seen: list = []

    def discriminator(self, real_logits, fake_logits):
        return steps.DiscriminatorLoss(-real_logits.mean(), fake_logits.mean())

    def generator(self, fake_logits, real_logits):
        self.seen.append((fake_logits.detach(), real_logits))
        return (real_logits - fake_logits).mean()


@pytest.mark.parametrize("pairs", [True, False])
def test_a_loss_of_pairs_gets_the_images_scored_by_the_updated_d_and_others_by_the_one_before(tiny, pairs):
    state = build_state(tiny("architecture.norm_D=none"), CPU)
    state.loss, real, before = Spy(pairs=pairs), images(), deepcopy(state.D)
    training_step(state, real)
    ((_, logits),) = state.loss.seen
    with torch.no_grad():
        updated, earlier = state.D(real), before(real)
    torch.testing.assert_close(logits, updated if pairs else earlier)
    assert not torch.allclose(updated, earlier)
    assert not logits.requires_grad


def test_g_step_of_pairs_leaves_d_as_it_was(tiny):
    state = build_state(tiny(*PAIRS), CPU)
    real, z = images(), steps.draw_latents(state, 8)
    rates, fake = scheduled(state, 8), steps.generate(state, z)
    judged = steps.discriminator_step(state, real, fake, rates)
    kept = [*parameters(state.D), *(p.grad.clone() for p in state.D.parameters())]
    slots = [value.clone() for value in state.opt_D.tensors().values()]
    before = parameters(state.G)
    steps.generator_step(state, z, fake, real=real, judged=judged, rates=rates)
    now = [*parameters(state.D), *(p.grad for p in state.D.parameters())]
    assert all(torch.equal(a, b) for a, b in zip(kept, now, strict=True))
    assert all(torch.equal(a, b) for a, b in zip(slots, state.opt_D.tensors().values(), strict=True))
    assert distance(before, parameters(state.G)) > 0


@pytest.mark.parametrize("setting", ["penalty.r1=1", "penalty.r2=1", "penalty.gradient=1"])
def test_every_penalty_changes_d(tiny, setting):
    ends = []
    for settings in ((), (setting,)):
        state = train(build_state(tiny("architecture.norm_D=none", *settings), CPU), 2)
        ends.append(parameters(state.D))
    assert distance(*ends) > 1e-4


def test_the_gradient_of_d_is_that_of_the_loss_and_of_both_penalties(tiny):
    state = build_state(tiny(*PAIRS, "penalty.every=2"), CPU)
    D, real, fake = deepcopy(state.D), images().requires_grad_(), images(seed=9).requires_grad_()
    steps.discriminator_step(state, real, fake, scheduled(state, 8))
    real_logits, fake_logits = D(real), D(fake)
    total = -torch.nn.functional.logsigmoid(real_logits - fake_logits).mean()
    for gamma, logits, each in ((1.0, real_logits, real), (0.5, fake_logits, fake)):
        (slope,) = torch.autograd.grad(logits.sum(), each, create_graph=True)
        total = total + 2 * gamma / 2 * slope.square().sum(dim=(1, 2, 3)).mean()
    expected = torch.autograd.grad(total, list(D.parameters()), allow_unused=True)
    for parameter, gradient in zip(state.D.parameters(), expected, strict=True):
        torch.testing.assert_close(
            parameter.grad, torch.zeros_like(parameter) if gradient is None else gradient, rtol=1e-4, atol=1e-6
        )


FUSED = {
    "both penalties": (),
    "r1 alone": ("penalty.r2=0",),
    "r2 alone, lazy": ("penalty.r1=0", "penalty.every=4"),
    "in micro-batches": ("train.micro_batch=2", "architecture.norm_G=none"),
    "a linear head": ("architecture.head=linear",),
}


@pytest.mark.parametrize("settings", FUSED.values(), ids=FUSED)
def test_fused_penalties_give_the_gradients_of_the_double_backward(tiny, monkeypatch, settings):
    def augmented(images, *_):  # affine, and the same for all
        return 0.7 * images.flip(3) + 0.1 * images.mean(dim=(1, 2, 3), keepdim=True) + 0.2

    monkeypatch.setattr(steps, "augment", augmented)
    compare_fused(lambda fused: tiny(*PAIRS, *settings, f"penalty.fused={fused}"))


def test_fused_penalties_give_the_gradients_of_the_double_backward_of_resnet():
    narrow = [f"architecture.{setting}" for setting in ("width=8", "width_max=16", "group=4", "blocks=1")]
    settings = ["resolution=16", "augment.policy=", "train.precision=fp32", "train.device=cpu", *narrow]
    compare_fused(lambda fused: resolve(preset="best-64", settings=[*settings, f"penalty.fused={fused}"]))


def compare_fused(configured):
    """Compare D's step with fused penalties and without, for configurations of either."""
    judged, gradients = [], []
    for fused in ("false", "true"):
        state = build_state(configured(fused), CPU)
        moved = torch.Generator().manual_seed(2)
        with torch.no_grad():
            for parameter in state.D.parameters():  # resnet's blocks begin as the identity, biases as 0
                parameter += 0.05 * torch.randn(parameter.shape, generator=moved)
        real, fake = images(4, seed=1), images(4, seed=2)
        judged.append(steps.discriminator_step(state, real, fake, scheduled(state, 4)))
        gradients.append(state.opt_D.gradients())
    slow, fast = judged
    torch.testing.assert_close(fast, slow, rtol=1e-4, atol=1e-6)
    for one, other in zip(*gradients, strict=True):
        assert (one - other).norm() <= 1e-4 * one.norm() + 1e-6


def test_fused_penalties_go_through_every_augmentation(tiny):
    state = build_state(tiny(*PAIRS, "penalty.fused=true", "augment.policy=color,translation,cutout"), CPU)
    before = parameters(state.D)
    means = train(state, 3).means()
    assert means["slope/real"] > 0 and means["slope/fake"] > 0
    assert distance(before, parameters(state.D)) > 1e-4


@pytest.mark.parametrize("settings", [("architecture.norm_D=spectral",), ("architecture.norm_D=batch",)])
def test_fused_penalties_are_refused_where_d_is_not_piecewise_linear(tiny, settings):
    with pytest.raises(ConfigError, match=r"^penalty.fused: D of dcgan is not known to be linear"):
        build_networks(tiny(*PAIRS, *settings, "penalty.fused=true"))


def test_fused_penalties_are_refused_together_with_the_penalty_between_images(tiny):
    with pytest.raises(ConfigError, match=r"fused: is for r1 and r2; set it to false, or gradient to 0"):
        tiny(*PAIRS, "penalty.fused=true", "penalty.gradient=1")


def test_a_fused_step_whose_loss_is_not_finite_changes_nothing(tiny):
    state = build_state(tiny(*PAIRS, "penalty.fused=true"), CPU)
    before = parameters(state.D)
    training_step(state, images() * float("nan"))
    assert distance(before, parameters(state.D)) == 0
    assert int(state.first_bad_step) == 1


def test_a_lazy_penalty_is_as_strong_over_its_cycle_as_one_of_every_step(tiny):
    totals = []
    for every in (1, 4):
        state, total = build_state(tiny(*PAIRS, f"penalty.every={every}"), CPU), torch.zeros(())
        for step in range(8):  # of a frozen D
            state.step = step
            if state.is_penalised:
                real, fake = images().requires_grad_(), images(seed=2).requires_grad_()
                pairs = ((each, state.D(each)) for each in (real, fake))
                total = total + steps.penalise(state, scheduled(state, 8), *pairs)[0].detach()
        totals.append(total)
    torch.testing.assert_close(*totals)


def test_metrics_tell_the_slopes_of_the_penalised_steps_alone(tiny):
    state = build_state(tiny(*PAIRS, "penalty.every=4"), CPU)
    assert "slope/real" not in build_state(tiny(), CPU).means() if state.sums[-1] else True
    slopes = []
    for step in range(6):
        state.step = step
        before = deepcopy(state.D)
        training_step(state, real := images(seed=step))
        if step % 4 == 0:
            (slope,) = torch.autograd.grad(before(x := real.requires_grad_()).sum(), x)
            slopes.append(slope.square().sum(dim=(1, 2, 3)).mean().item())
    means = state.means()
    assert means["slope/real"] == pytest.approx(sum(slopes) / 2, rel=1e-4)
    assert means["slope/fake"] > 0
    assert list(means)[: len(METRICS)] == list(METRICS)


def test_a_run_without_penalties_has_no_slopes_and_one_with_a_critic_no_scores(tiny):
    state = train(build_state(tiny("loss.name=wasserstein", "architecture.norm_D=none"), CPU), 1)
    assert {name.split("/")[0] for name in state.means()} == {"loss", "spread"}
    usual = train(build_state(tiny(), CPU), 1)
    assert tuple(usual.means()) == METRICS


def test_schedules_follow_the_images_shown(tiny):
    settings = ("optimizer.lr_G=1e-3", "optimizer.lr_D=2e-3", "optimizer.decay=0.25", "optimizer.warmup_kimg=0.016")
    augment = ("augment.policy=color", "augment.probability=0.4", "augment.ramp_kimg=0.08")
    state = build_state(tiny(*settings, *augment, *PAIRS, "penalty.decay=0.1", "schedule.kimg=0.16"), CPU)
    seen = []
    for _ in range(24):  # of 8 images: twenty are the schedule
        seen.append([float(value) for value in scheduled(state, 8)])
        state.count += 1
    lr_G, lr_D, penalty, probability = (list(column) for column in zip(*seen, strict=True))
    assert lr_G[0] == pytest.approx(0.5e-3)  # half of the warm-up
    assert lr_G[10] == pytest.approx(1e-3 * 0.625) and lr_G[20:] == pytest.approx([0.25e-3] * 4)
    assert lr_D == pytest.approx([2 * value for value in lr_G])
    assert (penalty[0], penalty[10], penalty[20], penalty[23]) == pytest.approx((1, 0.55, 0.1, 0.1))
    assert (probability[0], probability[5], probability[10], probability[23]) == pytest.approx((0, 0.2, 0.4, 0.4))


def test_a_scheduled_learning_rate_reaches_adam(tiny):
    # Adam's first step is lr * sign of the gradient, whatever its size (Kingma and Ba 2015, algorithm 1).
    state = build_state(tiny("optimizer.lr_G=1e-3", "optimizer.warmup_kimg=0.032"), CPU)
    before = parameters(state.G)
    training_step(state, images())
    assert distance(before, parameters(state.G)) == pytest.approx(0.25e-3, rel=1e-2)


def test_several_updates_of_d_take_images_of_their_own(tiny):
    state = build_state(tiny("train.num_D_steps=3", "architecture.norm_D=none"), CPU)
    judged = []
    state.D.register_forward_hook(lambda _, inputs, output: judged.append(inputs[0].detach().clone()))
    real = images(24)
    training_step(state, real)
    assert len(judged) == 7  # three pairs of mini-batches, and the fakes of G's step
    assert torch.equal(torch.cat(judged[0:6:2]), real)
    assert len({tuple(batch.flatten()[:50].tolist()) for batch in judged[1:6:2]}) == 3  # other fakes each time
    assert state.opt_D.tensors()["0.step"] == 3 and state.opt_G.tensors()["0.step"] == 1
    assert state.config.train.images_per_step == 24


@pytest.mark.parametrize("size", [2, 3, 8])
def test_micro_batches_change_nothing_but_rounding(tiny, size):
    settings = ("architecture.norm_G=none", *PAIRS, "optimizer.lr_G=1e-5", "optimizer.lr_D=1e-5")
    usual = train(build_state(tiny(*settings), CPU), 3)
    small = train(build_state(tiny(*settings, f"train.micro_batch={size}"), CPU), 3)
    for name in ("G", "D"):  # Adam's step has the learning rate's size, however small the gradient
        assert distance(parameters(getattr(usual, name)), parameters(getattr(small, name))) < 2e-6
    torch.testing.assert_close(usual.sums, small.sums, rtol=1e-3, atol=1e-4)


def test_micro_batches_see_no_more_images_at_once(tiny):
    state = build_state(tiny("architecture.norm_G=none", *PAIRS, "train.micro_batch=2"), CPU)
    sizes = set()
    for network in (state.G, state.D):
        network.register_forward_hook(lambda _, inputs, output: sizes.add(len(inputs[0])))
    train(state, 1)
    assert sizes == {2}


def test_micro_batches_are_refused_with_batch_norm(tiny):
    with pytest.raises(ConfigError, match=r"^train\.micro_batch: batch norm in G takes its statistics from"):
        build_networks(tiny(*PAIRS, "train.micro_batch=2"))


def test_augmentation_falls_on_a_share_of_the_images(tiny):
    state = build_state(tiny("augment.policy=cutout", "augment.probability=0.25", "augment.ramp_kimg=0"), CPU)
    judged = []
    state.D.register_forward_hook(lambda _, inputs, output: judged.append(inputs[0].detach()))
    for _ in range(10):
        training_step(state, images(40) * 0.5 + 0.4)
    hidden = torch.cat([(real == 0).flatten(1).any(dim=1) for real in judged[::3]]).float()
    assert len(hidden) == 400
    assert 0.18 < hidden.mean() < 0.32


@pytest.mark.parametrize("phase", range(4))
def test_a_run_resumed_at_any_phase_of_a_lazy_penalty_equals_one_that_never_stopped(tiny, tmp_path, phase):
    from facegan.storage.safetensors_file import write_tensors

    settings = (
        *PAIRS, "penalty.every=4", "penalty.decay=0.1", "optimizer.decay=0.25", "schedule.kimg=0.1",
        "augment.policy=color,translation,cutout", "augment.probability=0.5",
    )  # fmt: skip
    first = train(build_state(tiny(*settings), CPU), 4 + phase)
    path = tmp_path / "state.safetensors"
    write_tensors(path, "state", first.tensors(), first.metadata("data"))
    second = build_state(tiny(*settings), CPU)
    second.load(path, "data")
    for state in (first, second):
        state.step = 4 + phase
        for number in range(5):
            training_step(state, images(seed=100 + number))
            state.step += 1
    one, other = first.tensors(), second.tensors()
    assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("norm", ["none", "spectral"])
def test_d_without_batch_norm_judges_each_image_by_itself(tiny, norm):
    state = build_state(tiny(f"architecture.norm_D={norm}"), CPU)
    D, real = state.D.eval(), images()
    with torch.no_grad():
        torch.testing.assert_close(D(real)[2:3], D(real[2:3]), rtol=1e-4, atol=1e-6)
