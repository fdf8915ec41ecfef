"""Frames as animated files."""

from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from ..files import write_atomic
from .files import check_ending


def save_animation(path: Path, frames: Sequence[Image.Image], seconds: float, hold: float = 1.5) -> None:
    """Write frames as an endless .gif or .webp, each shown equally long and the last one `hold` seconds more.

    Every frame of a GIF shares one palette, made from the last frame, so that colours do not flicker.

    Raises:
        ConfigError: The ending is neither.
    """
    check_ending(path, (".gif", ".webp"))
    path.parent.mkdir(parents=True, exist_ok=True)
    each = max(20, round(1000 * seconds / len(frames)))
    durations = [each] * (len(frames) - 1) + [each + round(hold * 1000)]
    if path.suffix.lower() == ".gif":
        palette = frames[-1].convert("RGB").quantize(256, method=Image.Quantize.MEDIANCUT)
        frames = [frame.convert("RGB").quantize(palette=palette, dither=Image.Dither.NONE) for frame in frames]
        first, *rest = frames
        write_atomic(
            path,
            lambda temporary: first.save(
                temporary, save_all=True, append_images=rest, duration=durations, loop=0, optimize=False
            ),
        )
    else:
        first, *rest = [frame.convert("RGB") for frame in frames]
        write_atomic(
            path,
            lambda temporary: first.save(
                temporary, save_all=True, append_images=rest, duration=durations, loop=0, quality=90, method=4
            ),
        )
