"""Sampling as an iterator, so that any number of images costs the memory of a few."""

from collections.abc import Iterator, Sequence

from torch import Tensor

from .generators import MICRO_BATCH, FaceGenerator


def sample(generator: FaceGenerator, seeds: Sequence[int]) -> Iterator[tuple[Sequence[int], Tensor]]:
    """The images of seeds in batches: (seeds, float32 images (n, C, H, W) in [-1, 1]), in the order given.

    Args:
        generator: From `load_generator`.
        seeds: Non-negative; one seed, one image.
    """
    for start in range(0, len(seeds), MICRO_BATCH):
        batch = seeds[start : start + MICRO_BATCH]
        yield batch, generator.sample(batch)
