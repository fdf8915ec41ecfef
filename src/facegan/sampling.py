"""Sampling as an iterator, so that any number of images costs the memory of a few."""

from collections.abc import Iterator, Sequence

from torch import Tensor

from .errors import SnapshotError
from .generator import MICRO_BATCH, FaceGenerator
from .seeds import Points

MOST_OF_Z = 1e4  # far beyond what priors draw: larger numbers may be too much for sound weights


def sample(
    generator: FaceGenerator, seeds: Sequence[int] | Points, *, truncation: float = 1.0
) -> Iterator[tuple[list[int | str], Tensor]]:
    """The images of seeds in batches: (names, float32 images (n, C, H, W) in [-1, 1]), in the order given.

    Args:
        generator: From `load_generator`.
        seeds: Non-negative, one seed, one image; or points, whose latents from files go by their names.
        truncation: psi in 0..1; every latent z becomes psi * z, towards 0, the mean of either prior: less variety,
            and fewer faces from the prior's thin outskirts. 1 leaves z as it is.

    Raises:
        SnapshotError: An image holds values that are not finite, or a latent is of another model.
    """
    if not len(seeds):
        return
    points = seeds if isinstance(seeds, Points) else Points.of(seeds)
    for names in points.batches(MICRO_BATCH):
        yield names, finite_images(generator, points.z(generator, names) * truncation)


def finite_images(generator: FaceGenerator, z: Tensor) -> Tensor:
    """The images (N, C, H, W) of latents z (N, z_dim).

    Raises:
        SnapshotError: An image holds values that are not finite.
    """
    images = generator.images(z)
    if not images.isfinite().all():
        path, largest = generator.name, float(z.abs().max())
        if not largest <= MOST_OF_Z:
            raise SnapshotError(f"{path}: images are not finite, for latents as large as {largest:.2g}; take others")
        raise SnapshotError(f"{path}: images are not finite, its weights are too large; take another snapshot")
    return images
