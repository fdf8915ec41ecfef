"""The sliced Wasserstein distance of images."""

from dataclasses import replace
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from ...distances.sliced import Slicing, sliced_wasserstein
from ..metric import Measurement, Metric
from ..pair import Pair, Sample

GROUPS = 10  # parts of the fakes, for the interval


class SlicedWasserstein(Metric):
    """Sliced Wasserstein distance times 1,000: of small patches of images, fine and coarse; the mean over the levels.

    The details hold the distance at every level ("64", "32", "16"), and how many images of each side were compared:
    both sides count equally many, so of the larger one a random part.

    Source: Karras et al., "Progressive growing of GANs", ICLR 2018, section 5.
    """

    title: ClassVar[str] = "Sliced Wasserstein distance x 1,000"
    better: ClassVar[Literal["lower", "higher", "nearer"]] = "lower"

    num_images: int = Field(default=16_384, ge=2, description="pictures of each side, at most")
    num_patches: int = Field(default=128, ge=1, description="patches of an image, at every level")
    patch_size: int = Field(default=7, ge=1, le=16, description="pixels of a patch, in both directions")
    num_directions: int = Field(default=512, ge=1, description="random directions that patches are projected on")

    def lacks(self, pair: Pair) -> str | None:
        """Pictures, or pixels."""
        height, width = pair.fake.pictures.shape[2:]
        if min(height, width) < (least := Slicing().smallest):
            return f"needs images of at least {least} x {least} pixels (they have {width} x {height})"
        return super().lacks(pair)

    def measure(self, pair: Pair) -> Measurement:
        """Of equally many images of both sides."""
        num = min(self.num_images, len(pair.real), len(pair.fake))
        found = sliced_wasserstein(
            _some(pair.real, num, pair.seed).take,
            _some(pair.fake, num, pair.seed).take,
            num,
            Slicing(self.num_patches, self.patch_size, self.num_directions),
            seed=pair.seed,
            device=pair.device,
            num_groups=GROUPS if pair.intervals else 0,
            progress=pair.progress,
        )
        levels = {str(h) if h == w else f"{w}x{h}": value for (h, w), value in found.levels}
        return Measurement(found.value, found.interval, {"levels": levels, "num_images": num})


def _some(sample: Sample, num: int, seed: int) -> Sample:
    """A random part of a sample, in its order; the whole of it, if it has no more."""
    if num == len(sample):
        return sample
    return replace(sample, rows=sample.rows[np.sort(np.random.default_rng(seed).permutation(len(sample))[:num])])
