"""The sheet of samples: each in a row with its nearest training images."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..errors import ConfigError
from ..images.decode import MAX_PIXELS
from ..images.layouts import contact_sheet
from .feature_spaces import Space
from .search import NearestImages

MIN_WIDTH = 112  # pixels of each image on the sheet
_ROW = 22  # pixels between the images of two rows; a little less between columns
_ORDINALS = {1: "2nd", 2: "3rd"}


def check_sheet_size(num_samples: int, num_columns: int, resolution: int) -> None:
    """Raise ConfigError for a sheet of more pixels than other programs open."""
    side = _cell(resolution) + _ROW
    if num_samples * num_columns * side**2 > MAX_PIXELS:
        most = MAX_PIXELS // (num_columns * side**2)
        raise ConfigError(
            f"{num_samples:,} samples with {num_columns - 1} images each are too many for one sheet; ask for at most "
            f"{most:,}, or for fewer --nearest"
        )


def draw_sheet(
    samples: NDArray[np.uint8],
    labels: Sequence[str],
    images: NDArray[np.uint8],
    found: Sequence[tuple[Space, NearestImages]],
) -> NDArray[np.uint8]:
    """Arrange samples in rows, each with its nearest images in every space and their distances.

    Args:
        samples: uint8 (n, C, H, W).
        labels: The caption of each sample.
        images: uint8 (N, C, H, W), those that were searched.
        found: For each space, the neighbours of these samples.
    """
    headings = [("sample", "")]
    for space, neighbours in found:
        others = range(1, neighbours.indices.shape[1])
        headings += [(f"nearest in {space.name}", space.unit)]
        headings += [(_ORDINALS.get(place, f"{place + 1}th"), "") for place in others]
    rows = [[_enlarged(sample)] for sample in samples]
    captions = [[label] for label in labels]
    for _, neighbours in found:
        for number, column in np.ndindex(neighbours.indices.shape):
            pixels, is_mirrored = images[neighbours.indices[number, column]], neighbours.mirrored[number, column]
            rows[number].append(_enlarged(pixels[:, :, ::-1] if is_mirrored else pixels))
            captions[number].append(f"{neighbours.distances[number, column]:.3f}{' mirrored' if is_mirrored else ''}")
    return contact_sheet(rows, headings, _cell(samples.shape[3]), captions=captions)


def _cell(resolution: int) -> int:
    """Return the side of an image on the sheet: enlarged by an integer factor to at least MIN_WIDTH."""
    return resolution * -(-MIN_WIDTH // resolution)


def _enlarged(pixels: NDArray[np.uint8]) -> Image.Image:
    side = _cell(pixels.shape[2])
    image = Image.fromarray(pixels[0] if len(pixels) == 1 else np.ascontiguousarray(pixels.transpose(1, 2, 0)))
    return image.convert("RGB").resize((side, side), Image.Resampling.NEAREST)
