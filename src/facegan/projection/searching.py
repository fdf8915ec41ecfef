"""The latent whose face is nearest to an image."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d

from ..features import activations
from ..generator import MICRO_BATCH, FaceGenerator
from ..latents import draw
from ..sampling import finite_images
from .descent import minimise

_COARSEST = 8  # pixels: side of the smallest image of the pyramid
_STARTS_SEEN_AT = 16  # pixels: side at which starts are compared
_DEVIATIONS = 3.0  # of the prior's own lengths: how far from their mean a latent may lie

Progress = Callable[[int, int], None]  # (faces tried, of how many)


class Settings(BaseModel):
    """How a latent is searched.

    Attributes:
        restarts: Starts that are improved at once; the best one counts.
        steps: Evaluations of each.
        candidates: Random faces that the starts are chosen from, those nearest to the image.
        features: Weight of D's features beside the pixels; of no effect without D.
        seed: What the random faces are drawn from.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    restarts: int = Field(4, ge=1, le=256)
    steps: int = Field(100, ge=1, le=100_000)
    candidates: int = Field(2048, ge=256, le=100_000)
    features: float = Field(0.1, ge=0)
    seed: int = Field(0, ge=0, lt=2**32)


@dataclass(frozen=True, eq=False)
class Projection:
    """An image's nearest latent.

    Attributes:
        z: float32 (z_dim,) on the CPU.
        image: Its face (C, H, W) in [-1, 1], to the bit as `FaceGenerator.images` draws it.
        rms: Root of the mean squared difference of pixels in [-1, 1].
        distance: What was minimised: the pixels' term, and D's features' with its weight.
    """

    z: Tensor
    image: Tensor
    rms: float
    distance: float


def project(
    generator: FaceGenerator,
    D: nn.Module | None,
    pictures: Tensor,
    settings: Settings,
    progress: Progress | None = None,
) -> list[Projection]:
    """The nearest latents of images, each searched by itself: its result does not depend on the others.

    Minimised is the mean squared difference at several scales plus that of D's features, over latents that the prior
    could have drawn. A normal latent of n numbers has a length near sqrt(n), with a deviation of 1/sqrt(2), and stays
    within three deviations of it. A uniform one is searched as the normal one it corresponds to, z = 2 Phi(w) - 1: it
    cannot leave the box, and needs no clipping.

    Source: Lipton and Tripathi, "Precise Recovery of Latent Vectors from Generative Adversarial Networks", 2017, who
    clip stochastically instead; Bojanowski et al., "Optimizing the Latent Space of Generative Networks", ICML 2018,
    section 2 (pyramid loss, latents brought back to a ball); Abdal, Qin, Wonka, "Image2StyleGAN", ICCV 2019, section 5
    (pixels plus features, best starts); Karras et al., "Analyzing and Improving the Image Quality of StyleGAN", CVPR
    2020, section 5, whose latents are 512 numbers of another space.

    Args:
        generator: Whose faces.
        D: In eval mode on the generator's device; None: pixels alone.
        pictures: float32 (N, C, H, W) in [-1, 1].
        settings: How.
        progress: Called with (faces tried, of how many): each start draws one a step.

    Raises:
        SnapshotError: The generator's images are not finite.
        PluginError: D has no features.
    """
    parameter = next(generator.network.parameters())
    rng = torch.Generator().manual_seed(settings.seed)
    candidates = draw(settings.candidates, generator.z_dim, "normal", rng)
    latents = on_prior(candidates, generator.prior).split(MICRO_BATCH)  # type: ignore[no-untyped-call]
    faces = torch.cat([_small(finite_images(generator, part)) for part in latents])  # one batch in full at a time
    found = []
    for number, picture in enumerate(pictures):
        near = torch.cdist(_small(picture[None]), faces)[0].topk(settings.restarts, largest=False).indices
        target = picture[None].to(parameter.device, parameter.dtype)
        objective = _Objective(generator, D if settings.features else None, target, settings.features)

        def told(step: int, before: int = number * settings.steps) -> None:
            if progress:
                progress((before + step) * settings.restarts, len(pictures) * settings.steps * settings.restarts)

        w, values = minimise(objective, candidates[near].to(target), settings.steps, told)
        z = on_prior(w[values.argmin()][None], generator.prior).float().cpu()
        (image,) = finite_images(generator, z)
        rms = (image - picture.cpu()).square().mean().sqrt().item()
        found.append(Projection(z=z[0], image=image, rms=rms, distance=values.min().item()))
    return found


def on_prior(w: Tensor, prior: str) -> Tensor:
    """Latents (N, z_dim) that the prior could have drawn, from any numbers w (N, z_dim), differentiably."""
    mean, length = math.sqrt(w.shape[1]), w.norm(dim=1, keepdim=True).clamp_min(1e-12)
    reach = _DEVIATIONS / math.sqrt(2)
    w = w * (length.clamp(max(mean - reach, 0.0), mean + reach) / length)
    return torch.erf(w / math.sqrt(2)) if prior == "uniform" else w  # erf(w / sqrt 2) = 2 Phi(w) - 1


class _Objective:
    """How far the faces of rows w lie from one image."""

    def __init__(self, generator: FaceGenerator, D: nn.Module | None, target: Tensor, weight: float) -> None:
        self._generator, self._D, self._weight = generator, D, weight
        self._scales = _pyramid(target)
        with torch.no_grad():
            self._features = activations(D, target) if D is not None else []

    def __call__(self, w: Tensor) -> Tensor:
        """Rows (N, z_dim) to distances (N,)."""
        images = self._generator.network(on_prior(w, self._generator.prior))
        terms = [
            (ours - theirs).square().flatten(1).mean(1)
            for ours, theirs in zip(_pyramid(images), self._scales, strict=True)
        ]
        total = torch.stack(terms).mean(0)
        if self._D is not None:
            layers = zip(activations(self._D, images), self._features, strict=True)
            terms = [(ours - theirs).square().flatten(1).sum(1) for ours, theirs in layers]
            total = total + self._weight * torch.stack(terms).mean(0)
        return total


def _pyramid(images: Tensor) -> list[Tensor]:
    """The images at full size, half, a quarter, ... down to 8 pixels."""
    scales = [images]
    while scales[-1].shape[-1] > _COARSEST:
        scales.append(avg_pool2d(scales[-1], 2))
    return scales


def _small(images: Tensor) -> Tensor:
    return avg_pool2d(images.float().cpu(), max(1, images.shape[-1] // _STARTS_SEEN_AT)).flatten(1)
