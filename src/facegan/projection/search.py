"""The search for the latent whose image is nearest to a given one."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d

from ..config.error_messages import Options
from ..features import activations
from ..generator import MICRO_BATCH, FaceGenerator
from ..latents import draw
from ..reporter import SILENT, Reporter
from ..sampling import finite_images
from .lbfgs import minimise_rows
from .ood_score import OUTLIER_PERCENTILE

_COARSEST = 8  # pixels: side of the smallest image of the pyramid
_CANDIDATE_SIDE = 16  # pixels: side at which candidates are compared
_MAX_DEVIATIONS = 3.0  # standard deviations of the length of the prior's latents: how far z may be from its mean


class SearchSettings(Options):
    """How a latent is searched."""

    restarts: int = Field(4, ge=1, le=256)  # starts that are improved at once; the best one counts
    steps: int = Field(100, ge=1, le=100_000)  # evaluations of each
    candidates: int = Field(2048, ge=256, le=100_000)  # random latents; the starts are those with the nearest images
    features: float = Field(0.1, ge=0)  # weight of D's features next to the pixels; no effect without D
    seed: int = Field(0, ge=0, lt=2**32)  # of the random latents


@dataclass(frozen=True, eq=False)
class Projection:
    """The latent found for an image, and how the image compares with faces; None where that was not measured."""

    z: Tensor  # float32 (z_dim,) on the CPU
    image: Tensor  # G's image of z (C, H, W) in [-1, 1], to the bit as `FaceGenerator.images` makes it
    rms: float  # root of the mean squared difference of pixels in [-1, 1]
    distance: float  # the minimised objective: the pixels' term plus the weighted term of D's features
    median_rms: float | None = None  # of faces
    percentile: float | None = None  # percent of those faces with a smaller `distance`
    unlike_percentile: float | None = None  # percent of unseen faces whose features in D are nearer to known faces

    @property
    def known(self) -> bool | None:
        """Whether D sees a face of the kind that it was trained on."""
        return None if self.unlike_percentile is None else self.unlike_percentile <= OUTLIER_PERCENTILE

    def summary(self) -> str:
        """Return the measures in words."""
        if self.median_rms is None:
            return f"error {self.rms:.3f}, not judged"
        compared = f"error {self.rms:.3f} (median {self.median_rms:.3f}; {self.percentile:.0f} % of faces come nearer)"
        if self.known is None:
            return f"{compared}; whether it is a face is not judged"
        known = "a face this model knows" if self.known else "not a face this model knows"
        return f"{compared}; {known}: to D, {self.unlike_percentile:.1f} % of faces look more like its own"


def project_images(
    generator: FaceGenerator,
    D: nn.Module | None,
    images: Tensor,
    settings: SearchSettings,
    *,
    task: str = "projecting",
    reporter: Reporter = SILENT,
) -> list[Projection]:
    """Find the nearest latents of images, each independently of the others.

    The objective is the mean squared difference at several scales plus that of D's features, over latents that the
    prior could have drawn. A normal latent of n numbers has a length near sqrt(n), with a deviation of 1/sqrt(2); the
    search stays within three deviations of it. A uniform latent is searched as the normal one it corresponds to,
    z = 2 Phi(w) - 1: it cannot leave the cube, and needs no clipping.

    Source: Lipton and Tripathi, "Precise Recovery of Latent Vectors from Generative Adversarial Networks", 2017, who
    clip stochastically instead; Bojanowski et al., "Optimizing the Latent Space of Generative Networks", ICML 2018,
    section 2 (pyramid loss, latents brought back to a ball); Abdal, Qin, Wonka, "Image2StyleGAN", ICCV 2019, section 5
    (pixels plus features, best starts); Karras et al., "Analyzing and Improving the Image Quality of StyleGAN", CVPR
    2020, section 5, whose latents are 512 numbers of another space.

    Args:
        generator: The generator whose latents are searched.
        D: In eval mode on the generator's device; None: pixels alone.
        images: float32 (N, C, H, W) in [-1, 1].
        settings: How to search.
        task: What the reporter calls it; it counts an image for each start and step.
        reporter: Receives the progress.

    Raises:
        SnapshotError: The generator's images are not finite.
    """
    parameter, total = next(generator.network.parameters()), len(images) * settings.steps * settings.restarts
    candidates, faces = _candidates(generator, settings)
    projections = []
    for number, image in enumerate(images):
        near = torch.cdist(_downscaled(image[None]), faces)[0].topk(settings.restarts, largest=False).indices
        target = image[None].to(parameter.device, parameter.dtype)
        objective = _objective(generator, D if settings.features else None, target, settings.features)

        def progress(step: int, before: int = number * settings.steps) -> None:
            reporter.progress(task, (before + step) * settings.restarts, total)

        w, values = minimise_rows(objective, candidates[near].to(target), settings.steps, progress)
        z = on_prior(w[values.argmin()][None], generator.prior).float().cpu()
        (nearest,) = finite_images(generator, z)
        rms = (nearest - image.cpu()).square().mean().sqrt().item()
        projections.append(Projection(z[0], nearest, rms, values.min().item()))
    return projections


def on_prior(w: Tensor, prior: str) -> Tensor:
    """Map any numbers w (N, z_dim) to latents (N, z_dim) that the prior could have drawn, differentiably."""
    mean, length = math.sqrt(w.shape[1]), w.norm(dim=1, keepdim=True).clamp_min(1e-12)
    reach = _MAX_DEVIATIONS / math.sqrt(2)
    w = w * (length.clamp(max(mean - reach, 0.0), mean + reach) / length)
    return torch.erf(w / math.sqrt(2)) if prior == "uniform" else w  # erf(w / sqrt 2) = 2 Phi(w) - 1


def _candidates(generator: FaceGenerator, settings: SearchSettings) -> tuple[Tensor, Tensor]:
    """Return random rows w (candidates, z_dim) and their images, downscaled and flat."""
    w = draw(settings.candidates, generator.z_dim, "normal", torch.Generator().manual_seed(settings.seed))
    latents = on_prior(w, generator.prior).split(MICRO_BATCH)  # type: ignore[no-untyped-call]
    return w, torch.cat([_downscaled(finite_images(generator, part)) for part in latents])  # a micro-batch in memory


def _objective(
    generator: FaceGenerator, D: nn.Module | None, target: Tensor, weight: float
) -> Callable[[Tensor], Tensor]:
    """Return the distance of G's images of rows w (N, z_dim) from a target (1, C, H, W), as values (N,)."""
    scales = _pyramid(target)
    with torch.no_grad():
        features = activations(D, target) if D is not None else []

    def distance(w: Tensor) -> Tensor:
        images = generator.network(on_prior(w, generator.prior))
        pairs = zip(_pyramid(images), scales, strict=True)
        total = torch.stack([(ours - theirs).square().flatten(1).mean(1) for ours, theirs in pairs]).mean(0)
        if D is not None:
            pairs = zip(activations(D, images), features, strict=True)
            terms = [(ours - theirs).square().flatten(1).sum(1) for ours, theirs in pairs]
            total = total + weight * torch.stack(terms).mean(0)
        return total

    return distance


def _pyramid(images: Tensor) -> list[Tensor]:
    """Return the images at full size, half, a quarter, ... down to 8 pixels."""
    scales = [images]
    while scales[-1].shape[-1] > _COARSEST:
        scales.append(avg_pool2d(scales[-1], 2))
    return scales


def _downscaled(images: Tensor) -> Tensor:
    return avg_pool2d(images.float().cpu(), max(1, images.shape[-1] // _CANDIDATE_SIDE)).flatten(1)
