"""Sampling as an iterator, so that any number of images costs the memory of a few."""

from collections.abc import Iterator, Sequence

from torch import Tensor

from .errors import SnapshotError
from .generators import MICRO_BATCH, FaceGenerator


def sample(generator: FaceGenerator, seeds: Sequence[int]) -> Iterator[tuple[Sequence[int], Tensor]]:
    """The images of seeds in batches: (seeds, float32 images (n, C, H, W) in [-1, 1]), in the order given.

    Args:
        generator: From `load_generator`.
        seeds: Non-negative; one seed, one image.

    Raises:
        SnapshotError: A picture holds values that are not finite.
    """
    for start in range(0, len(seeds), MICRO_BATCH):
        batch = seeds[start : start + MICRO_BATCH]
        images = generator.sample(batch)
        if not images.isfinite().all():
            path = generator.info.get("path", "the generator")
            raise SnapshotError(f"{path}: pictures are not finite, its weights are too large; take another snapshot")
        yield batch, images
