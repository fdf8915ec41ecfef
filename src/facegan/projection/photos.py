"""A photo brought to what a model draws."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..config import DataConfig, RunConfig
from ..data.image.crop import parse_crop
from ..data.image.resize import to_square
from ..data.open import open_source
from ..errors import DataError, FaceganError
from ..images import to_float
from ..images.decode import quiet_pillow, too_large


def read_photo(path: Path, config: RunConfig, crop: str) -> Tensor:
    """A photo as the model would have been shown it: float32 (C, H, W) in [-1, 1].

    Args:
        path: Of any format that training reads.
        config: Its resolution, channels and filter count.
        crop: auto (the largest centre square), none, center:N or box:X,Y,W,H.

    Raises:
        DataError: It is missing, no image, damaged, too large, or too small for the crop.
        ConfigError: There is no such crop.
    """
    region = parse_crop(crop)
    try:
        if refusal := too_large(path.stat().st_size):
            raise refusal
        with quiet_pillow():
            picture = to_square(
                path.read_bytes(),
                crop=region,
                resolution=config.resolution,
                channels=config.channels,
                filter=config.data.filter,
            )
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from None
    except DataError as error:
        hint = "; give another --crop, for instance auto" if " crop " in str(error) else ""
        raise DataError(f"{path}: {error}{hint}") from None
    pixels = torch.from_numpy(np.array(picture)).reshape(config.resolution, config.resolution, config.channels)
    return to_float(pixels.permute(2, 0, 1))


def crop_of(data: DataConfig) -> str:
    """The crop that the data's images get; where only the data could tell and are not here, the centre square."""
    if data.crop != "auto":
        return data.crop
    try:
        return open_source(data).crop
    except FaceganError:
        return "auto"
