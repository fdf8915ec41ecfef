"""The exponential moving average of a generator's weights, which samples are drawn with.

Source: the half-life and its ramp are those of Karras et al., "Training Generative Adversarial Networks with Limited
Data", NeurIPS 2020 (their training code; the paper states the half-life); averaging G as such is Yazici et al., "The
Unusual Effectiveness of Averaging in GAN Training", ICLR 2019.
"""

import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

RAMP = 0.05  # the half-life is at most this share of the images seen so far


def weight(half_life_kimg: float, num_images_seen: Tensor, batch_size: int) -> Tensor:
    """Return the weight of the current parameters in one update of the average: 1 - 0.5 ** (batch / half-life).

    Args:
        half_life_kimg: In thousands of images; 0: the average is the current weights.
        num_images_seen: Real images shown up to and including this step, a scalar on the device.
        batch_size: Images of this step.

    Returns:
        A scalar in (0, 1], float32: expm1 keeps its seven digits also near 0.
    """
    half_life = (RAMP * num_images_seen).clamp(max=half_life_kimg * 1000)
    return -torch.expm1(-math.log(2) * batch_size / half_life)


@torch.no_grad()
def update(average: nn.Module, current: nn.Module, weight: Tensor) -> None:
    """Update average <- average + weight * (current - average), for the parameters.

    `calibrate` sets the batch-norm statistics; any other buffer (for instance the vectors of a spectral norm) is a copy
    of the current network's, since its average may be meaningless.
    """
    for mean, value in zip(average.parameters(), current.parameters(), strict=True):
        mean.lerp_(value, weight)
    for module, other in zip(average.modules(), current.modules(), strict=True):
        if not isinstance(module, _BatchNorm):
            for buffer, current_buffer in zip(module.buffers(recurse=False), other.buffers(recurse=False), strict=True):
                buffer.copy_(current_buffer)


@torch.no_grad()
def calibrate(generator: nn.Module, latents: Iterable[Tensor]) -> None:
    """Set the batch-norm statistics of `generator` to those of its own activations over batches z (N, z_dim).

    The statistics of training belong to other weights than the averaged ones, so they are estimated again, as in
    stochastic weight averaging (Izmailov et al. 2018, section 3.2). The module ends in eval mode.
    """
    norms = [module for module in generator.modules() if isinstance(module, _BatchNorm)]
    momenta = [norm.momentum for norm in norms]
    generator.train()
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a plain mean over the batches
    if norms:
        for z in latents:
            generator(z)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    generator.eval()
