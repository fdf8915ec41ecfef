"""Pictures as files, in the format of their ending, that say of themselves where they come from."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from ..data.pictures import too_large
from ..data.pixels.decode import decode, quiet_pillow
from ..errors import ConfigError, DataError, SnapshotError
from ..files import write_atomic

ENDINGS = (".png", ".jpg", ".jpeg", ".webp")


def read_grid(path: Path) -> Image.Image:
    """A grid of a run, of mode RGB.

    Raises:
        SnapshotError: The file is no picture, or damaged.
        OSError: It cannot be read.
    """
    try:
        if refusal := too_large(path.stat().st_size):
            raise refusal
        with quiet_pillow():
            return decode(path.read_bytes(), 3)
    except DataError as error:
        raise SnapshotError(f"{path}: {error}; remove it to go without") from None


def check_ending(path: Path, endings: Sequence[str] = ENDINGS) -> None:
    """Refuse a path whose ending names no format.

    Raises:
        ConfigError: The ending is not one of `endings`.
    """
    if path.suffix.lower() not in endings:
        given = f"'{path.suffix}'" if path.suffix else "no ending"
        raise ConfigError(f"-o {path}: cannot write {given}; end it in {', '.join(endings)}")


def save(path: Path, picture: np.ndarray, text: Mapping[str, str] | None = None) -> None:
    """Write a picture whole, in the format of its ending; a PNG carries `text` in its text chunks.

    Args:
        path: Ends in one of ENDINGS; missing folders are made.
        picture: uint8 (H, W, 3) or (H, W).
        text: What the file says of itself.

    Raises:
        ConfigError: The ending names no format.
        OSError: The file cannot be written.
    """
    check_ending(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    notes = PngInfo()
    for key, value in (text or {}).items():
        notes.add_text(key, value)
    options = {"pnginfo": notes} if path.suffix.lower() == ".png" else {"quality": 95}
    write_atomic(path, lambda temporary: Image.fromarray(picture).save(temporary, **options))
