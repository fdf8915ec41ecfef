"""The mathematics of one iteration: D's step, G's step, the average.

Source: Goodfellow et al., "Generative Adversarial Nets", NeurIPS 2014, algorithm 1 with one step of D; two separate
mini-batches, as Radford et al. 2016 train: a real and a fake one never share batch statistics.
"""

import torch
from torch import Tensor

from .. import ema, latents
from ..augment import augment
from ..losses import DiscriminatorLoss
from .adam import Adam
from .state import TrainState


def training_step(state: TrainState, real: Tensor) -> None:
    """Advance the state by one update of D, one of G and one of the average.

    `real` are images (N, C, H, W) in [-1, 1] on the state's device; only D sees them. With several processes they are
    this one's share: gradients and metrics are averaged over all.

    Every call runs the same operations on the same tensors, and none waits for the device; values that differ from
    step to step are read from tensors, so a CUDA graph can replay them. The caller counts `state.step`.
    """
    config = state.config
    with torch.set_grad_enabled(not config.train.fresh_z):  # with fresh latents, these fakes need no gradient
        fake = generate(state, len(real))
    loss_D, real_logits, fake_logits = discriminator_step(state, real, fake)
    if config.train.fresh_z:
        fake = generate(state, len(real))
    loss_G = generator_step(state, fake, real_logits)
    state.scaler.update()
    state.count += 1
    num_shown = len(real) * state.world.size
    ema.update(state.G_ema, state.G, ema.weight(config.ema.half_life_kimg, state.count * num_shown, num_shown))
    scores = real_logits.sigmoid().mean(), fake_logits.sigmoid().mean()  # D(x) and D(G(z))
    accumulate_metrics(state, loss_D, loss_G, *scores, spread(real), spread(fake))


def generate(state: TrainState, num: int) -> Tensor:
    """Generate fakes (num, C, H, W) from new latents, with the graph back to G's weights."""
    z = latents.draw(num, state.architecture.z_dim, state.architecture.prior, state.noise)  # (N, z_dim)
    with _autocast(state):
        fake: Tensor = state.G(z)
    return fake


def discriminator_step(state: TrainState, real: Tensor, fake: Tensor) -> tuple[DiscriminatorLoss, Tensor, Tensor]:
    """Take one Adam step of D on the sum of both gradients: of the real mini-batch and of the fake one.

    Returns the two terms of the loss, and the logits (N,) of the real images and of the fakes, all detached.
    """
    real_logits = discriminator_logits(state, real)
    fake_logits = discriminator_logits(state, fake.detach())
    loss = state.loss.discriminator(real_logits, fake_logits)
    optimizer_step(state, state.opt_D, loss.real + loss.fake)
    return type(loss)(loss.real.detach(), loss.fake.detach()), real_logits.detach(), fake_logits.detach()


def generator_step(state: TrainState, fake: Tensor, real_logits: Tensor) -> Tensor:
    """Take one Adam step of G on the updated D's logits of the fakes; return the loss, detached.

    Only G's parameters receive gradients: D's parameters, gradients and optimizer are as before. D's batch-norm
    statistics do move, since D runs in training mode here too (as in the PyTorch tutorial); nothing in training reads
    them. `real_logits` are numbers from before D's update: G never sees a real image, nor a gradient through one.
    """
    loss: Tensor = state.loss.generator(discriminator_logits(state, fake), real_logits)
    optimizer_step(state, state.opt_G, loss)
    return loss.detach()


def discriminator_logits(state: TrainState, images: Tensor) -> Tensor:
    """Return D's logits (N,) of augmented images (N, C, H, W), always float32."""
    with _autocast(state):
        logits: Tensor = state.D(augment(images, state.config.augment.policy, state.noise))
    return logits.float()


def optimizer_step(state: TrainState, optimizer: Adam, loss: Tensor) -> None:
    """Update the optimizer's own parameters once; skipped, on the device, when the loss is not finite."""
    optimizer.zero_grad()
    # A loss that is not finite makes every gradient NaN, and the scaler skips an update with such gradients.
    gate = loss.detach() * 0 + 1  # 1 or NaN; as an argument of `backward`, torch would import sympy for it
    (state.scaler.scale(loss) * gate).backward(inputs=optimizer.parameters)  # type: ignore[no-untyped-call]
    state.world.average(optimizer.gradients())
    state.scaler.step(optimizer)  # type: ignore[arg-type]


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
def accumulate_metrics(state: TrainState, loss_D: DiscriminatorLoss, loss_G: Tensor, *others: Tensor) -> None:
    """Add this step's metrics to the running sums, on the device, and record the first step that is not finite."""
    total = loss_D.real + loss_D.fake
    row = torch.stack([total, loss_D.real, loss_D.fake, loss_G, *others, torch.ones_like(total)])
    state.world.average([row])
    state.sums += row
    bad = ~row.isfinite().all() & (state.first_bad_step < 0)
    state.first_bad_step.copy_(torch.where(bad, state.count, state.first_bad_step))
