"""The moving average of a generator's weights, which samples are drawn with.

Source: the half-life and its ramp are those of Karras et al., "Training Generative Adversarial Networks with Limited
Data", NeurIPS 2020 (their training code; the paper states the half-life); averaging G as such is Yazici et al., "The
Unusual Effectiveness of Averaging in GAN Training", ICLR 2019.
"""

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

RAMP = 0.05  # the half-life is at most this share of the images seen so far


def decay(half_life_kimg: float, num_images_seen: int, batch_size: int) -> float:
    """The share of the old average that one step keeps: 0.5 ** (batch / half-life).

    Args:
        half_life_kimg: In thousands of images; 0 means no averaging (the average is the current weights).
        num_images_seen: Real images shown up to and including this step.
        batch_size: Images of this step.
    """
    half_life = min(half_life_kimg * 1000, RAMP * num_images_seen)
    return 0.5 ** (batch_size / half_life) if half_life > 0 else 0.0


@torch.no_grad()
def update(average: nn.Module, current: nn.Module, keep: float) -> None:
    """Average <- keep * average + (1 - keep) * current, for the parameters.

    Batch-norm statistics are left to `calibrate`; any other buffer (the vectors of a spectral norm, say) is the current
    network's, since an average of it need not mean anything.
    """
    torch._foreach_lerp_(list(average.parameters()), list(current.parameters()), 1.0 - keep)
    for module, other in zip(average.modules(), current.modules(), strict=True):
        if not isinstance(module, _BatchNorm):
            for buffer, value in zip(module.buffers(recurse=False), other.buffers(recurse=False), strict=True):
                buffer.copy_(value)


@torch.no_grad()
def calibrate(generator: nn.Module, latents: Iterable[Tensor]) -> None:
    """Set the batch-norm statistics of `generator` to those of its own activations over batches of latents.

    The average of the statistics seen in training belongs to other weights than the averaged ones; estimating them anew
    is what stochastic weight averaging does (Izmailov et al. 2018, section 3.2). The module is left in eval mode.

    Args:
        generator: Maps z (N, z_dim) to images; modules without batch norm are left as they are.
        latents: Batches z (N, z_dim) on the generator's device.
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
