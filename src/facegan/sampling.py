"""Sampling as an iterator, so that any number of images costs the memory of a few; or into a temporary memory map."""

import math
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from torch import Tensor

from .errors import FaceganError, SnapshotError
from .generator import MICRO_BATCH, FaceGenerator
from .reporter import SILENT, Reporter
from .seeds import Points

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from .data.image_set import ImageSet

MAX_LATENT = 1e4  # far beyond what priors draw: larger numbers may be too much for sound weights


def sample(
    generator: FaceGenerator, seeds: Sequence[int] | Points, *, truncation: float = 1.0
) -> Iterator[tuple[list[int | str], Tensor]]:
    """Yield the images of seeds in batches: (names, float32 images (n, C, H, W) in [-1, 1]), in the order given.

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
    """Return the images (N, C, H, W) of latents z (N, z_dim).

    Raises:
        SnapshotError: An image holds values that are not finite.
    """
    images = generator.images(z)
    if not images.isfinite().all():
        path, largest = generator.name, float(z.abs().max())
        if not largest <= MAX_LATENT:
            raise SnapshotError(f"{path}: images are not finite, for latents as large as {largest:.2g}; take others")
        raise SnapshotError(f"{path}: images are not finite, its weights are too large; take another snapshot")
    return images


@contextmanager
def generated(generator: FaceGenerator, num: int, *, reporter: Reporter = SILENT) -> "Iterator[ImageSet]":
    """Yield the images of the seeds 0 to num - 1, num >= 1, in a file that goes when the context ends.

    They are the pixels that `facegan sample --separate` writes: 8-bit by the fixed affine map, through nothing lossy.
    The file is in the system's folder of temporary files (TMPDIR).

    Raises:
        SnapshotError: An image holds values that are not finite.
        FaceganError: The disk has no room for them.
    """
    from .data.image_set import ImageSet  # sampling alone does without the code that loads images
    from .images import to_uint8

    with tempfile.TemporaryDirectory(prefix="facegan-", ignore_cleanup_errors=True) as folder:
        pixels: NDArray[np.uint8] | None = None
        done = 0
        for _, images in sample(generator, range(num)):
            batch = to_uint8(images).numpy()
            if pixels is None:
                pixels = _memory_map(Path(folder) / "images", (num, *batch.shape[1:]))
            pixels[done : done + len(batch)] = batch
            done += len(batch)
            reporter.progress("sampling", done, num)
        assert pixels is not None, "at least one image"
        yield ImageSet(pixels, generator.name)


def _memory_map(path: Path, shape: tuple[int, ...]) -> "NDArray[np.uint8]":
    """Map a new file with its space allocated: writing into one on a full disk would end the process."""
    import numpy as np

    size_bytes = math.prod(shape)
    try:
        with path.open("wb") as file:
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(file.fileno(), 0, size_bytes)
            else:
                file.truncate(size_bytes)
    except OSError as error:
        raise FaceganError(
            f"{path.parent.parent}: has no room for {shape[0]:,} generated images of together "
            f"{size_bytes / 1e6:,.1f} MB ({error.strerror}); set TMPDIR to a folder that has, or draw fewer"
        ) from None
    mapped = np.memmap(path, np.uint8, "r+", shape=shape)
    with suppress(OSError):  # where the system allows it, the space is then freed however the process ends
        path.unlink()
    return mapped
