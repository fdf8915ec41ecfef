"""Write frames as an MP4 that browsers play: H.264, through PyAV, which is imported on first use."""

import itertools
import json
from collections.abc import Iterable, Iterator, Mapping
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..errors import DataError

if TYPE_CHECKING:
    import av

QUALITY = "18"  # x264's crf: visually lossless
# Weighted prediction makes x264's choices depend on what lay in the memory before: the same frames gave another film
# each time. Without it they give the same bytes, so that a film can be made again.
REPEATABLE = "weightp=0"
_BT709 = 1  # in FFmpeg's lists of primaries, transfer functions and matrices alike
_LIMITED = 1  # 16...235, as players expect


def write_movie(path: Path, frames: Iterable[np.ndarray], *, fps: float, hold: float, about: Mapping[str, str]) -> None:
    """Write frames to a temporary file.

    Colours are BT.709 in limited range, and marked so. The format wants even sizes: an odd last row or column of pixels
    is repeated once, nothing is scaled. An index at the file's beginning lets browsers play it while it loads.

    Args:
        path: Ends in .mp4.
        frames: uint8 (H, W, 3) or (H, W), all of one shape, at least one.
        fps: Frames a second.
        hold: Seconds for which the last frame is repeated, rounded to frames.
        about: Metadata, written as one JSON object in the comment.

    Raises:
        OSError: It cannot be written.
    """
    import av

    try:
        _write(path, iter(frames), Fraction(fps).limit_denominator(1000), hold, about)
    except av.FFmpegError as error:  # PyAV's own subclasses of OSError cannot take another file name
        raise OSError(error.errno, error.strerror, str(path)) from None


def _write(path: Path, frames: Iterator[np.ndarray], rate: Fraction, hold: float, about: Mapping[str, str]) -> None:
    import av

    first = next(frames)
    with av.open(str(path), "w", format="mp4", options={"movflags": "+faststart"}) as film:
        if about:
            film.metadata["comment"] = json.dumps(dict(about))
        options = {"crf": QUALITY, "preset": "medium", "x264-params": REPEATABLE}
        stream = film.add_stream("libx264", rate=rate, options=options)
        stream.pix_fmt = "yuv420p"
        stream.height, stream.width = (side + side % 2 for side in first.shape[:2])
        context = stream.codec_context
        context.color_primaries = context.color_trc = context.colorspace = _BT709
        context.color_range = _LIMITED
        last = first
        for last in itertools.chain([first], frames):
            film.mux(stream.encode(_frame(last)))
        for _ in range(round(hold * rate)):
            film.mux(stream.encode(_frame(last)))
        film.mux(stream.encode())


def _frame(pixels: np.ndarray) -> "av.VideoFrame":
    import av

    height, width = pixels.shape[:2]
    colours = pixels if pixels.ndim == 3 else np.repeat(pixels[:, :, None], 3, axis=2)
    even = np.pad(colours, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    return av.VideoFrame.from_ndarray(even, format="rgb24").reformat(
        format="yuv420p", dst_colorspace="ITU709", dst_color_range="MPEG", interpolation="BICUBIC"
    )


def read_comment(path: Path) -> str:
    """Return the comment of an MP4; "" if it has none.

    Raises:
        DataError: The file is not a readable video.
    """
    import av

    try:
        with av.open(str(path), format="mov") as film:
            return film.metadata.get("comment", "")
    except (av.FFmpegError, ValueError) as error:
        raise DataError(f"{path}: is no film that can be read ({error})") from None
