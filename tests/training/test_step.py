from copy import deepcopy

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

import textbook
from facegan.training import step as steps
from facegan.training.state import METRICS, build_state
from facegan.training.step import draw_latents, scheduled, spread, training_step

CPU = torch.device("cpu")


def batches(num_steps=1, batch_size=8, channels=3, resolution=16, seed=5):
    source = torch.Generator().manual_seed(seed)
    return [
        torch.rand(batch_size, channels, resolution, resolution, generator=source) * 2 - 1 for _ in range(num_steps)
    ]


def begin(config):
    return build_state(config, CPU)


def generate(state, num):
    """New latents and their fakes."""
    z = draw_latents(state, num)
    return z, steps.generate(state, z)


def discriminator_step(state, real, fakes):
    return steps.discriminator_step(state, real, fakes[1], scheduled(state, len(real)))


def generator_step(state, fakes, judged, real=None):
    """The loss of G's step; only a loss of pairs looks at the images."""
    real = torch.zeros(len(fakes[0]), 3, 16, 16) if real is None else real
    return steps.generator_step(state, *fakes, real=real, judged=judged, rates=scheduled(state, len(real)))[0]


def judged_by(D, real):
    logits = D(real).detach()
    return steps.Judged(None, logits, logits, None)


def same(one, other):
    return len(one) == len(other) and all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def numbers(module):
    """Copies of all parameters and buffers."""
    return [value.detach().clone() for value in module.state_dict().values()]


def moments(optimizer):
    return [value.clone() for value in optimizer.tensors().values()]


class Textbook:
    """The loop of the PyTorch tutorial: BCELoss on probabilities, two backward passes, plain Adam."""

    def __init__(self, config, state):
        self.config = config
        self.G, self.D = deepcopy(state.G), deepcopy(state.D)
        wanted = config.optimizer
        betas = (wanted.beta1, wanted.beta2)
        self.opt_G = textbook.Adam(self.G.parameters(), wanted.lr_G, betas)
        self.opt_D = textbook.Adam(self.D.parameters(), wanted.lr_D, betas)
        self.source = torch.Generator().manual_seed(config.seed)

    def z(self, num):
        architecture = self.config.part("architecture")
        if architecture.prior == "uniform":
            return torch.rand(num, architecture.z_dim, generator=self.source) * 2 - 1
        return torch.randn(num, architecture.z_dim, generator=self.source)

    def step(self, real):
        bce, num = nn.BCELoss(), len(real)
        label = 1 - self.config.part("loss").label_smoothing
        self.D.zero_grad()
        D_x = torch.sigmoid(self.D(real))
        loss_real = bce(D_x, torch.full((num,), label))
        loss_real.backward()
        fake = self.G(self.z(num))
        D_G_z = torch.sigmoid(self.D(fake.detach()))
        loss_fake = bce(D_G_z, torch.zeros(num))
        loss_fake.backward()
        self.opt_D.step()
        if self.config.train.fresh_z:
            fake = self.G(self.z(num))
        self.G.zero_grad()
        judged = torch.sigmoid(self.D(fake))
        if self.config.loss.name == "saturating":
            loss_G = torch.log(1 - judged).mean()
        else:
            loss_G = bce(judged, torch.ones(num))
        loss_G.backward()
        self.opt_G.step()
        spreads = (torch.std(images.detach(), dim=0, correction=0).mean() for images in (real, fake))
        terms = (loss_real + loss_fake, loss_real, loss_fake, loss_G, D_x.mean(), D_G_z.mean(), *spreads)
        return torch.stack(terms).detach()


VARIANTS = {
    "default": (),
    "contiguous": ("train.channels_last=false",),
    "linear head, uniform z, smoothed labels, fresh z": (
        "architecture.head=linear",
        "architecture.prior=uniform",
        "loss.label_smoothing=0.1",
        "train.fresh_z=true",
    ),
    "saturating": ("loss.name=saturating",),
    "other rates": ("optimizer.lr_G=1e-3", "optimizer.lr_D=3e-4", "optimizer.beta1=0.9", "optimizer.beta2=0.9"),
    "grey at 32": ("resolution=32", "channels=1"),
}


@pytest.mark.parametrize("settings", VARIANTS.values(), ids=VARIANTS.keys())
def test_training_step_equals_the_textbook_loop(tiny, settings):
    config = tiny(*settings)
    state = begin(config)
    reference, expected = Textbook(config, state), torch.zeros(len(METRICS))
    first = deepcopy(state.G)
    for real in batches(5, channels=config.channels, resolution=config.resolution):
        training_step(state, real)
        expected += reference.step(real)
    # Adam divides a gradient by its own size, so rounding of a gradient near 0 is a visible part of one step.
    tolerance = {"rtol": 0, "atol": 0.02 * max(config.optimizer.lr_G, config.optimizer.lr_D)}
    for ours, theirs in ((state.G, reference.G), (state.D, reference.D)):
        for a, b in zip(ours.state_dict().values(), theirs.state_dict().values(), strict=True):
            torch.testing.assert_close(a.float(), b.float(), **tolerance)
    moved = max((a - b).abs().max().item() for a, b in zip(state.G.parameters(), first.parameters(), strict=True))
    assert moved > 50 * tolerance["atol"]  # the tolerance is small compared with the change
    torch.testing.assert_close(state.sums[: len(METRICS)], expected, rtol=1e-5, atol=1e-5)
    assert state.sums[-1] == 5
    assert state.count == 5


def test_d_gradient_is_the_sum_of_two_separate_backward_passes(tiny):
    state = begin(tiny("loss.label_smoothing=0.1"))
    (real,), fakes = batches(), generate(begin(tiny()), 8)
    fake = fakes[1]
    apart, together = deepcopy(state.D), deepcopy(state.D)
    bce = nn.BCEWithLogitsLoss()
    bce(apart(real), torch.full((8,), 0.9)).backward()
    bce(apart(fake.detach()), torch.zeros(8)).backward()
    (2 * bce(together(torch.cat([real, fake.detach()])), torch.tensor([0.9] * 8 + [0.0] * 8))).backward()
    discriminator_step(state, real, fakes)
    gradients = [parameter.grad for parameter in state.D.parameters()]
    for gradient, parameter in zip(gradients, apart.parameters(), strict=True):
        torch.testing.assert_close(gradient, parameter.grad, rtol=1e-4, atol=1e-7)
    mixed = [(g - p.grad).norm() / g.norm() for g, p in zip(gradients, together.parameters(), strict=True)]
    assert max(mixed) > 0.05  # one batch of both would share batch statistics: another gradient


def test_each_adam_moves_its_own_network_at_its_own_rate(tiny):
    # Adam's first step is -lr * g / (|g| + eps), whatever the betas (Kingma and Ba 2015, algorithm 1).
    state = begin(tiny("optimizer.lr_G=1e-3", "optimizer.lr_D=5e-5"))
    before = {name: [p.detach().clone() for p in getattr(state, name).parameters()] for name in ("G", "D")}
    (real,) = batches()
    fake = generate(state, 8)
    judged = discriminator_step(state, real, fake)
    assert same(before["G"], list(state.G.parameters()))
    generator_step(state, fake, judged)
    for name, lr in (("G", 1e-3), ("D", 5e-5)):
        for old, parameter in zip(before[name], getattr(state, name).parameters(), strict=True):
            step = -lr * parameter.grad / (parameter.grad.abs() + 1e-8)
            torch.testing.assert_close(parameter.detach() - old, step, rtol=1e-3, atol=1e-7)


def test_each_optimizer_holds_all_parameters_of_its_network(tiny):
    state = begin(tiny())
    for optimizer, network in ((state.opt_G, state.G), (state.opt_D, state.D)):
        assert [id(parameter) for parameter in optimizer.parameters] == [id(p) for p in network.parameters()]


def test_g_step_leaves_d_parameters_gradients_and_optimizer_untouched(tiny):
    state = begin(tiny())
    fake = generate(state, 8)
    judged = discriminator_step(state, batches()[0], fake)
    weights = [p.detach().clone() for p in state.D.parameters()]
    gradients = [p.grad.clone() for p in state.D.parameters()]
    slots = moments(state.opt_D)
    old_G = [p.detach().clone() for p in state.G.parameters()]
    generator_step(state, fake, judged)
    assert same(weights, list(state.D.parameters()))
    assert same(gradients, [p.grad for p in state.D.parameters()])
    assert same(slots, moments(state.opt_D))
    assert all(p.requires_grad for p in state.D.parameters())
    assert not any(torch.equal(a, b) for a, b in zip(old_G, state.G.parameters(), strict=True))


def test_d_step_gives_g_no_gradient(tiny):
    state = begin(tiny())
    fake = generate(state, 8)
    discriminator_step(state, batches()[0], fake)
    assert all(p.grad is None for p in state.G.parameters())


def test_g_step_does_not_even_compute_d_weight_gradients(tiny):
    class Backward(TorchDispatchMode):
        masks = ()

        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            if func is torch.ops.aten.convolution_backward.default:
                self.masks += ((args[2].data_ptr(), bool(args[-1][1])),)
            return func(*args, **(kwargs or {}))

    state = begin(tiny())
    fake = generate(state, 8)
    judged = discriminator_step(state, batches()[0], fake)
    of_D = {p.data_ptr() for p in state.D.parameters()}
    with Backward() as seen:
        generator_step(state, fake, judged)
    assert [wanted for weight, wanted in seen.masks if weight in of_D] == [False] * 3
    assert [wanted for weight, wanted in seen.masks if weight not in of_D] == [True] * 3


def test_g_sees_latents_only_and_its_step_judges_only_fakes(tiny):
    state = begin(tiny())
    seen_G, made, judged = [], [], []
    state.G.register_forward_hook(lambda _, inputs, output: seen_G.append(inputs[0]))
    state.G.register_forward_hook(lambda _, inputs, output: made.append(output))
    state.D.register_forward_hook(lambda _, inputs, output: judged.append(inputs[0]))
    (real,) = batches()
    training_step(state, real)
    assert [tuple(z.shape) for z in seen_G] == [(8, 12)]
    assert [torch.equal(images, real) for images in judged] == [True, False, False]
    assert torch.equal(judged[1], made[0])
    assert torch.equal(judged[2], made[0])
    assert [images.requires_grad for images in judged] == [False, False, True]


def test_g_update_depends_on_real_images_only_through_d(tiny):
    state = begin(tiny())
    other, before = deepcopy(state), [p.detach().clone() for p in state.G.parameters()]
    for each, seed in ((state, 1), (other, 2)):
        fake = generate(each, 8)
        generator_step(each, fake, judged_by(each.D, batches(seed=seed)[0]))
    assert same(list(state.G.parameters()), list(other.G.parameters()))
    assert not same(list(state.G.parameters()), before)


@pytest.mark.parametrize(("fresh", "num_forwards", "equal"), [("false", 1, True), ("true", 2, False)])
def test_g_step_reuses_the_fakes_unless_fresh_z(tiny, fresh, num_forwards, equal):
    state = begin(tiny(f"train.fresh_z={fresh}"))
    latents, judged = [], []
    state.G.register_forward_hook(lambda _, inputs, output: latents.append(inputs[0]))
    state.D.register_forward_hook(lambda _, inputs, output: judged.append(inputs[0].detach()))
    training_step(state, batches()[0])
    assert len(latents) == num_forwards
    assert torch.equal(judged[1], judged[2]) is equal
    assert torch.equal(latents[0], latents[-1]) is equal


@pytest.mark.parametrize("num_steps", [4])
def test_training_draws_new_latents_each_step(tiny, num_steps):
    state = begin(tiny())
    latents = []
    state.G.register_forward_hook(lambda _, inputs, output: latents.append(inputs[0]))
    for real in batches(num_steps):
        training_step(state, real)
    assert len(torch.cat(latents).unique(dim=0)) == 8 * num_steps


@pytest.mark.parametrize("prior", ["normal", "uniform"])
def test_training_latents_come_from_the_prior(tiny, prior):
    state = begin(tiny(f"architecture.prior={prior}"))
    latents = []
    state.G.register_forward_hook(lambda _, inputs, output: latents.append(inputs[0]))
    for real in batches(20):
        training_step(state, real)
    z = torch.cat(latents)
    assert z.abs().max() > 1.5 if prior == "normal" else z.abs().max() <= 1
    assert z.std().item() == pytest.approx(1 if prior == "normal" else 3**-0.5, rel=0.05)


def test_ema_follows_the_closed_form_over_steps(tiny):
    # Half-life: the lesser of 10 kimg and 5 % of the images seen.
    state = begin(tiny())
    average = [p.detach().double() for p in state.G_ema.parameters()]
    for step, real in enumerate(batches(4), start=1):
        training_step(state, real)
        keep = 0.5 ** (8 / min(10_000, 0.05 * 8 * step))
        average = [
            keep * a + (1 - keep) * p.detach().double() for a, p in zip(average, state.G.parameters(), strict=True)
        ]
    for ours, expected in zip(state.G_ema.parameters(), average, strict=True):
        torch.testing.assert_close(ours.double(), expected, rtol=0, atol=2e-7)  # float32 at 1


def test_no_averaging_makes_ema_the_current_weights(tiny):
    state = begin(tiny("ema.half_life_kimg=0"))
    for real in batches(2):
        training_step(state, real)
    assert same(list(state.G_ema.parameters()), list(state.G.parameters()))


SETTINGS_THAT_MATTER = [
    "seed=1",
    "train.fresh_z=true",
    "loss.label_smoothing=0.1",
    "loss.name=saturating",
    "optimizer.lr_G=1e-3",
    "optimizer.lr_D=1e-3",
    "optimizer.beta1=0.9",
    "optimizer.beta2=0.9",
    "architecture.prior=uniform",
    "architecture.head=linear",
    "augment.policy=color",
    "augment.policy=translation",
    "augment.policy=cutout",
    "train.precision=bf16",
]


def after_two_steps(config):
    state = begin(config)
    for real in batches(2):
        training_step(state, real)
    return numbers(state.G)


@pytest.fixture(scope="module")
def usual_G(make_tiny, session_data):
    """G after two steps with the usual settings."""
    return after_two_steps(make_tiny(data=session_data))


@pytest.mark.parametrize("setting", SETTINGS_THAT_MATTER)
def test_every_training_setting_changes_g(make_tiny, session_data, usual_G, setting):
    assert not same(after_two_steps(make_tiny(setting, data=session_data)), usual_G)


def test_label_smoothing_leaves_gs_own_loss_alone(tiny):
    state, other = begin(tiny()), begin(tiny("loss.label_smoothing=0.1"))
    (real,) = batches()
    losses = [generator_step(each, generate(each, 8), judged_by(state.D, real)) for each in (state, other)]
    assert losses[0] == losses[1]
    assert same(list(state.G.parameters()), list(other.G.parameters()))


def test_channels_last_changes_results_only_to_rounding(tiny):
    results = []
    for layout in ("true", "false"):
        state = begin(tiny(f"train.channels_last={layout}"))
        flags = [p.is_contiguous(memory_format=torch.channels_last) for p in state.D.parameters() if p.ndim == 4]
        assert all(flags) or layout == "false"
        fake = generate(state, 8)
        discriminator_step(state, batches()[0], fake)
        results.append([p.grad for p in state.D.parameters()])
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-6)


def test_augmentation_falls_on_the_real_and_the_fake_in_both_steps(tiny):
    state = begin(tiny("augment.policy=cutout"))
    judged, made = [], []
    state.D.register_forward_hook(lambda _, inputs, output: judged.append(inputs[0]))
    state.G.register_forward_hook(lambda _, inputs, output: made.append(output))
    (real,) = batches()
    training_step(state, real)
    for seen, original in zip(judged, (real, made[0], made[0]), strict=True):
        hidden = seen == 0
        assert hidden.float().mean() > 0.05
        assert torch.equal(seen[~hidden], original[~hidden])
    assert not torch.equal(judged[1], judged[2])


@pytest.mark.parametrize("dtype", ["bf16", "fp16"])
def test_half_precision_keeps_weights_and_losses_float32_and_finite(tiny, dtype):
    state = begin(tiny(f"train.precision={dtype}"))
    kinds, judged = [], []
    state.G.register_forward_hook(lambda _, inputs, output: kinds.append(output.dtype))

    class Spy:
        def discriminator(self, real_logits, fake_logits):
            judged.extend([real_logits.dtype, fake_logits.dtype])
            return usual.discriminator(real_logits, fake_logits)

        def generator(self, fake_logits, real_logits):
            judged.append(fake_logits.dtype)
            return usual.generator(fake_logits, real_logits)

    usual, state.loss = state.loss, Spy()
    for real in batches(3):
        training_step(state, real)
    assert set(judged) == {torch.float32}
    assert set(kinds) == {{"bf16": torch.bfloat16, "fp16": torch.float16}[dtype]}
    assert state.sums.isfinite().all()
    for value in [*state.G.parameters(), *state.D.parameters(), *state.G_ema.parameters(), *moments(state.opt_G)]:
        assert value.dtype == torch.float32
        assert value.isfinite().all()


def test_half_precision_stays_near_float32(tiny):
    sums = []
    for dtype in ("fp32", "bf16"):
        state = begin(tiny(f"train.precision={dtype}"))
        training_step(state, batches()[0])
        sums.append(state.sums)
    assert not torch.equal(*sums)
    torch.testing.assert_close(*sums, rtol=0.05, atol=0.05)


def test_a_step_leaves_the_global_random_state_alone(tiny):
    before = torch.get_rng_state()
    state = begin(tiny("augment.policy=color,translation,cutout", "train.fresh_z=true"))
    training_step(state, batches()[0])
    assert torch.equal(before, torch.get_rng_state())


class Broken:
    """The usual loss and gradients, but a value that is not finite in one term from some step on."""

    def __init__(self, usual, term, value, from_call):
        self.usual, self.term, self.value, self.left = usual, term, value, from_call

    def discriminator(self, real_logits, fake_logits):
        self.left -= 1
        loss = self.usual.discriminator(real_logits, fake_logits)
        bad = self.left < 0 and self.term in ("D", "both")
        return loss._replace(real=loss.real + self.value) if bad else loss

    def generator(self, fake_logits, real_logits):
        loss = self.usual.generator(fake_logits, real_logits)
        return loss + self.value if self.left < 0 and self.term in ("G", "both") else loss


@pytest.mark.parametrize(("term", "value"), [("D", float("nan")), ("G", float("inf")), ("both", -float("inf"))])
def test_an_update_whose_loss_is_not_finite_is_skipped_and_its_step_named(tiny, term, value):
    state = begin(tiny())
    state.loss = Broken(state.loss, term, value, from_call=2)
    reals = batches(4)
    for real in reals[:2]:
        training_step(state, real)
    assert int(state.first_bad_step) == -1
    kept = {name: [p.detach().clone() for p in getattr(state, name).parameters()] for name in ("G", "D", "G_ema")}
    slots = {"G": moments(state.opt_G), "D": moments(state.opt_D)}
    for real in reals[2:]:
        training_step(state, real)
    assert int(state.first_bad_step) == 3
    for name in ("G", "D") if term == "both" else (term,):
        assert same(kept[name], list(getattr(state, name).parameters()))
        assert same(slots[name], moments(getattr(state, f"opt_{name}")))
    assert all(p.isfinite().all() for network in (state.G, state.D, state.G_ema) for p in network.parameters())


def test_d_batch_statistics_of_real_and_fake_stay_apart(tiny):
    state = begin(tiny())
    inputs = []
    norm = next(module for module in state.D.modules() if isinstance(module, nn.BatchNorm2d))
    norm.register_forward_hook(lambda _, given, output: inputs.append(given[0].detach()))
    training_step(state, batches()[0])
    assert [len(given) for given in inputs] == [8, 8, 8]
    running = torch.zeros(norm.num_features)
    for given in inputs:  # momentum 0.1, of each pass by itself
        running = 0.9 * running + 0.1 * given.mean((0, 2, 3))
    torch.testing.assert_close(norm.running_mean, running)


def test_spread_is_the_mean_over_pixels_of_the_standard_deviation_over_the_batch():
    (images,) = batches(batch_size=6, resolution=16)
    expected = np.mean([np.std(column) for column in images.double().numpy().reshape(6, -1).T])
    assert spread(images).item() == pytest.approx(expected, rel=1e-6)
    assert spread(images.to(memory_format=torch.channels_last)).item() == pytest.approx(expected, rel=1e-6)


def test_spread_is_0_for_equal_images_and_1_at_most():
    black_and_white = torch.tensor([-1.0, 1.0]).repeat(4)[:, None, None, None].expand(8, 3, 16, 16)
    assert spread(torch.full((8, 3, 16, 16), 0.7)).item() == pytest.approx(0, abs=1e-6)
    assert spread(black_and_white).item() == 1
    assert spread(black_and_white[:4] * 0.25 + 0.5).item() == 0.25


def test_spread_is_float32_and_carries_no_gradient_whatever_it_is_given():
    (images,) = batches()
    half = spread(images.to(torch.bfloat16).requires_grad_())
    assert half.dtype == torch.float32
    assert not half.requires_grad
    assert half.item() == pytest.approx(spread(images).item(), rel=1e-2)


@pytest.mark.parametrize("dtype", ["fp32", "bf16"])
def test_metrics_hold_the_spread_of_the_images_and_of_the_fakes(tiny, dtype):
    state = begin(tiny(f"train.precision={dtype}"))
    made = []
    state.G.register_forward_hook(lambda _, inputs, output: made.append(output.detach().float()))
    (real,) = batches()
    training_step(state, real * 0.5)
    metrics = dict(zip(METRICS, state.sums.tolist(), strict=False))
    assert metrics["spread/real"] == pytest.approx(torch.std(real * 0.5, 0, correction=0).mean().item(), rel=1e-5)
    assert metrics["spread/fake"] == pytest.approx(torch.std(made[0], 0, correction=0).mean().item(), rel=1e-5)
    assert metrics["spread/fake"] < 0.5 * metrics["spread/real"]  # an untrained G is nearly grey
