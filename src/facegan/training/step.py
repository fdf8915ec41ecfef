"""The mathematics of one iteration: D's step, G's step, the average.

Source: Goodfellow et al., "Generative Adversarial Nets", NeurIPS 2014, algorithm 1; two separate mini-batches, as
Radford et al. 2016 train: a real and a fake one never share batch statistics. Penalties at every k-th step, k times as
strong: Karras et al., "Analyzing and Improving the Image Quality of StyleGAN", CVPR 2020, section 3.3 and appendix B.
"""

import math
from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from .. import ema, latents, losses
from ..augment import augment
from ..losses import DiscriminatorLoss
from ..penalties import FirstPass, input_gradient, one_centred, zero_centred
from ..schedules import Value, cosine, warm_up
from .adam import Adam
from .state import TrainState


class Rates(NamedTuple):
    """The values of a step that schedules may change: numbers, or scalars on the device."""

    lr_G: Value
    lr_D: Value
    penalty: Value  # the factor of every penalty
    augment: Value  # the probability of each augmentation


class Judged(NamedTuple):
    """Results of D's step, all detached."""

    loss: DiscriminatorLoss
    real_logits: Tensor  # (N,)
    fake_logits: Tensor  # (N,)
    slopes: Tensor  # (2,): the means of |grad D|^2 at real images and at fakes; 0 without the penalty that needs it


def training_step(state: TrainState, real: Tensor) -> None:
    """Advance the state by the updates of D, one of G and one of the average.

    `real` are images (N, C, H, W) in [-1, 1] on the state's device, an equal share for each update of D; only D sees
    them. With several processes they are this one's share: gradients and metrics are averaged over all.

    Calls with equal `state.is_penalised` run the same operations on the same tensors, and none waits for the device;
    values that differ from step to step are read from tensors, so a CUDA graph can replay them. The caller counts
    `state.step`.
    """
    train, num_shown = state.config.train, len(real) * state.world.size
    rates = scheduled(state, num_shown)
    state.opt_G.lr, state.opt_D.lr = rates.lr_G, rates.lr_D
    reuse = not (train.fresh_z or train.micro_batch)  # whether G's step takes D's fakes, with their graph
    batches = torch.split(real, len(real) // train.num_D_steps)
    for number, batch in enumerate(batches, start=1):
        z = draw_latents(state, len(batch))
        with torch.set_grad_enabled(reuse and number == len(batches)):
            fake = _joined([generate(state, part) for (part,) in _parts(state, z)])
        judged = discriminator_step(state, batch, fake, rates)
        if number < len(batches):
            state.scaler.update()
    if train.fresh_z:
        z = draw_latents(state, len(batch))
    loss_G, fake = generator_step(state, z, fake if reuse else None, real=batch, judged=judged, rates=rates)
    state.scaler.update()
    state.count += 1
    ema.update(state.G_ema, state.G, ema.weight(state.config.ema.half_life_kimg, state.count * num_shown, num_shown))
    accumulate_metrics(state, judged, loss_G, spread(batch), spread(fake))


def scheduled(state: TrainState, num_per_step: int) -> Rates:
    """Return the values of this step, at which `num_per_step` images are shown; without a length none changes."""
    optimizer, augmentation = state.config.optimizer, state.config.augment
    shown, length = state.count * num_per_step, state.config.schedule.kimg or math.inf

    def learning_rate(start: float) -> Value:
        value = cosine(start, start * optimizer.decay, shown, length)
        return warm_up(value, shown + num_per_step, optimizer.warmup_kimg)

    probability: Value = 1.0  # of runs that are older than the setting
    if augmentation.probability is not None:
        ramp = length if augmentation.ramp_kimg is None else augmentation.ramp_kimg
        start = 0.0 if ramp else augmentation.probability
        probability = cosine(start, augmentation.probability, shown, ramp)
    return Rates(
        learning_rate(optimizer.lr_G),
        learning_rate(optimizer.lr_D),
        penalty=cosine(1.0, state.config.penalty.decay, shown, length),
        augment=probability,
    )


def draw_latents(state: TrainState, num: int) -> Tensor:
    """Draw latents z (num, z_dim)."""
    return latents.draw(num, state.architecture.z_dim, state.architecture.prior, state.noise)


def generate(state: TrainState, z: Tensor) -> Tensor:
    """Generate fakes (N, C, H, W) from latents z (N, z_dim), with the graph back to G's weights."""
    with _autocast(state):
        fake: Tensor = state.G(z)
    return fake


def discriminator_step(state: TrainState, real: Tensor, fake: Tensor, rates: Rates) -> Judged:
    """Take one Adam step of D on the sum of all gradients: of the real mini-batch, the fake one and the penalties."""
    state.opt_D.zero_grad()
    add_gradients = add_fused_gradients if state.is_penalised and state.config.penalty.fused else add_loss_gradients
    parts = []
    for real_part, fake_part in _parts(state, real.detach(), fake.detach()):
        share = len(real_part) / len(real)
        parts.append((share, add_gradients(state, real_part, fake_part, rates, share=share)))
    optimizer_step(state, state.opt_D)
    shares, judged = zip(*parts, strict=True)
    means = (_mean(shares, [each.loss[term] for each in judged]) for term in (0, 1))
    real_logits, fake_logits = (_joined([each[place] for each in judged]) for place in (1, 2))
    return Judged(DiscriminatorLoss(*means), real_logits, fake_logits, _mean(shares, [each.slopes for each in judged]))


def add_loss_gradients(state: TrainState, real: Tensor, fake: Tensor, rates: Rates, *, share: float) -> Judged:
    """Add the gradients of D's loss and penalties to those of its parameters, for a share of a mini-batch."""
    if state.is_penalised:
        # The fakes may be bf16, whose gradients would be too.
        real, fake = (images.detach().float().requires_grad_() for images in (real, fake))
    real_logits = discriminator_logits(state, real, rates)
    fake_logits = discriminator_logits(state, fake, rates)
    loss = state.loss.discriminator(real_logits, fake_logits)
    total, slopes = loss.real + loss.fake, real_logits.new_zeros(2)
    if state.is_penalised:
        penalty, slopes = penalise(state, rates, (real, real_logits), (fake, fake_logits))
        total = total + penalty
    backward(state, state.opt_D, total * share)
    return Judged(_detached(loss), real_logits.detach(), fake_logits.detach(), slopes)


def add_fused_gradients(state: TrainState, real: Tensor, fake: Tensor, rates: Rates, *, share: float) -> Judged:
    """Do the same as `add_loss_gradients`, for a piecewise linear D and the penalties R1 and R2, by first derivatives.

    Augmentation is affine: slopes go back through its derivative, changes of the images forward.
    """
    settings, num = state.config.penalty, len(real)
    images = torch.cat([real.float(), fake.float()]).requires_grad_()
    augmented = augment(images, state.config.augment.policy, state.noise, rates.augment)
    with _autocast(state):
        first = FirstPass(state.D, augmented)
    slopes_of_augmented = first.slopes.float().requires_grad_()
    (slopes,) = torch.autograd.grad(augmented, images, slopes_of_augmented, create_graph=True)
    of_real, of_fake = torch.split(slopes.detach(), num)
    factor = settings.every * rates.penalty / num
    changes = torch.cat([settings.r1 * factor * of_real, settings.r2 * factor * of_fake])
    (changes_of_augmented,) = torch.autograd.grad(slopes, slopes_of_augmented, changes)
    logits = first.logits.float().requires_grad_()
    real_logits, fake_logits = torch.split(logits, num)
    loss = state.loss.discriminator(real_logits, fake_logits)
    (factors,) = torch.autograd.grad(loss.real + loss.fake, logits)
    squares = torch.stack([each.square().sum(dim=(1, 2, 3)).mean() for each in (of_real, of_fake)])
    scale = state.scaler.scale(share * _gate(loss.real + loss.fake + squares.sum()))
    with _autocast(state):
        gradients = first.gradients(state.opt_D.parameters, scale * factors, scale * changes_of_augmented)
    for parameter, gradient in zip(state.opt_D.parameters, gradients, strict=True):
        if gradient is not None:
            parameter.grad = gradient if parameter.grad is None else parameter.grad + gradient
    wanted = torch.stack([squares[0] * bool(settings.r1), squares[1] * bool(settings.r2)])
    return Judged(_detached(loss), real_logits.detach(), fake_logits.detach(), wanted)


def penalise(
    state: TrainState, rates: Rates, real: tuple[Tensor, Tensor], fake: tuple[Tensor, Tensor]
) -> tuple[Tensor, Tensor]:
    """Return the penalty of this step, a scalar, and the means of |grad D|^2 at real images and at fakes, (2,).

    `real` and `fake` are images (N, C, H, W), which require gradients, and their logits (N,).
    """
    settings = state.config.penalty
    penalty = torch.zeros((), device=state.device)
    slopes = [penalty, penalty]
    for place, (gamma, (images, logits)) in enumerate([(settings.r1, real), (settings.r2, fake)]):
        if gamma:
            value = zero_centred(input_gradient(logits, images))
            penalty = penalty + gamma * value
            slopes[place] = 2 * value.detach()
    if settings.gradient:
        logits_of = partial(discriminator_logits, state, rates=rates)
        penalty = penalty + settings.gradient * one_centred(logits_of, real[0], fake[0], state.noise)
    return penalty * (settings.every * rates.penalty), torch.stack(slopes)


def generator_step(
    state: TrainState, z: Tensor, fake: Tensor | None, *, real: Tensor, judged: Judged, rates: Rates
) -> tuple[Tensor, Tensor]:
    """Take one Adam step of G on the updated D's logits of its fakes; return the loss and the fakes, detached.

    `fake` are those of latents z (N, z_dim), with their graph; None: they are generated here. Only G's parameters
    receive gradients: D's parameters, gradients and optimizer are as before. D's batch-norm statistics do move, since D
    runs in training mode here too (as in the PyTorch tutorial); nothing in training reads them. A loss of pairs also
    receives the logits of the real images by the updated D, as numbers: no gradient passes through a real image.
    """
    state.opt_G.zero_grad()
    parts = []
    for z_part, real_part, real_logits in _parts(state, z, real, judged.real_logits):
        fakes = generate(state, z_part) if fake is None else fake
        if getattr(state.loss, "pairs", False):
            with torch.no_grad():
                real_logits = discriminator_logits(state, real_part, rates)
        loss: Tensor = state.loss.generator(discriminator_logits(state, fakes, rates), real_logits)
        share = len(z_part) / len(z)
        backward(state, state.opt_G, loss * share)
        parts.append((share, loss.detach(), fakes.detach()))
    optimizer_step(state, state.opt_G)
    shares, losses_of, fakes_of = zip(*parts, strict=True)
    return _mean(shares, losses_of), _joined(fakes_of)


def discriminator_logits(state: TrainState, images: Tensor, rates: Rates) -> Tensor:
    """Return D's logits (N,) of augmented images (N, C, H, W), always float32."""
    with _autocast(state):
        logits: Tensor = state.D(augment(images, state.config.augment.policy, state.noise, rates.augment))
    return logits.float()


def backward(state: TrainState, optimizer: Adam, loss: Tensor) -> None:
    """Add the gradients of a loss to those of the optimizer's own parameters; NaN, if the loss is not finite."""
    # As an argument of `backward`, torch would import sympy for the gate.
    (state.scaler.scale(loss) * _gate(loss)).backward(inputs=optimizer.parameters)  # type: ignore[no-untyped-call]


def optimizer_step(state: TrainState, optimizer: Adam) -> None:
    """Update the optimizer's parameters along their gradients; skipped, on the device, if one is not finite."""
    state.world.average(optimizer.gradients())
    state.scaler.step(optimizer)  # type: ignore[arg-type]


def _gate(loss: Tensor) -> Tensor:
    """Return 1, or NaN for a loss that is not finite: the scaler skips an update whose gradients are NaN."""
    return loss.detach() * 0 + 1


def _detached(loss: DiscriminatorLoss) -> DiscriminatorLoss:
    return DiscriminatorLoss(*(term.detach() for term in loss))


def _parts(state: TrainState, *tensors: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """Yield mini-batches that are as long as each other in parts of `train.micro_batch`; 0: whole."""
    size = state.config.train.micro_batch or len(tensors[0])
    return zip(*(torch.split(tensor, size) for tensor in tensors), strict=True)


def _joined(parts: tuple[Tensor, ...] | list[Tensor]) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(list(parts))


def _mean(shares: tuple[float, ...], values: tuple[Tensor, ...] | list[Tensor]) -> Tensor:
    """Return the mean of the parts' values, each by its share of the mini-batch."""
    if len(values) == 1:
        return values[0]
    return torch.stack([share * value for share, value in zip(shares, values, strict=True)]).sum(dim=0)


def _autocast(state: TrainState) -> torch.autocast:
    """Cast weights at each use: a cache of them would outlive the graph that it was filled in."""
    enabled = state.dtype != torch.float32
    return torch.autocast(state.device.type, state.dtype, enabled=enabled, cache_enabled=False)


@torch.no_grad()
def spread(images: Tensor) -> Tensor:
    """Measure how much images (N, C, H, W) differ from one another: a scalar in [0, 1], 0 when all are equal.

    The standard deviation of each value of each pixel over the mini-batch (divided by N, not N - 1), averaged over all
    of them: in units of [-1, 1], float32 whatever the images are. Faces have 0.3 to 0.5.

    Source: Karras et al., "Progressive Growing of GANs", ICLR 2018, section 3, who take it of D's features and show it
    to D against collapse; here it is taken of the pixels, and only watched.
    """
    images = images.float()
    return (images - images.mean(dim=0)).square().mean(dim=0).sqrt().mean()  # half the time of Tensor.std over N


@torch.no_grad()
def accumulate_metrics(state: TrainState, judged: Judged, loss_G: Tensor, *spreads: Tensor) -> None:
    """Add this step's metrics to the running sums, on the device, and record the first step that is not finite."""
    scores = losses.scores(state.loss, judged.real_logits, judged.fake_logits)
    means = [score.mean() for score in scores] if scores else [torch.zeros_like(loss_G)] * 2
    loss, one = judged.loss, torch.ones_like(loss_G)
    counts = [one * state.is_penalised, one]
    row = torch.stack([loss.real + loss.fake, *loss, loss_G, *means, *spreads, *judged.slopes, *counts])
    state.world.average([row])
    state.sums += row
    bad = ~row.isfinite().all() & (state.first_bad_step < 0)
    state.first_bad_step.copy_(torch.where(bad, state.count, state.first_bad_step))
