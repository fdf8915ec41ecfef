"""Write frames as an MP4 that browsers play, and read it: H.264, through PyAV, which is imported on first use."""

import itertools
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..errors import DataError

if TYPE_CHECKING:
    import av
    from av.container import InputContainer

_OPTIONS = {
    "crf": "18",  # visually lossless
    "preset": "medium",
    # Weighted prediction makes x264's choices depend on what lay in the memory before; without it, the same frames
    # give the same bytes.
    "x264-params": "weightp=0",
}
_BT709 = 1  # in FFmpeg's lists of primaries, transfer functions and matrices alike
_LIMITED = 1  # 16...235, as players expect


def write_video(path: Path, frames: Iterator[np.ndarray], fps: float, hold: float, about: Mapping[str, str]) -> None:
    """Write frames, uint8 (H, W, 3) or (H, W), and repeat the last one for `hold` seconds; raises OSError.

    Colours are BT.709 in limited range, and marked so. The format wants even sizes: an odd last row or column of pixels
    is repeated once, nothing is scaled. An index at the file's beginning lets browsers play it while it loads.
    Metadata is one JSON object in the comment.
    """
    import av

    rate = Fraction(fps).limit_denominator(1000)
    last = first = next(frames)
    try:
        with av.open(str(path), "w", format="mp4", options={"movflags": "+faststart"}) as video:
            if about:
                video.metadata["comment"] = json.dumps(dict(about))
            stream = video.add_stream("libx264", rate=rate, options=dict(_OPTIONS))
            stream.pix_fmt = "yuv420p"
            stream.height, stream.width = (side + side % 2 for side in first.shape[:2])
            context = stream.codec_context
            context.color_primaries = context.color_trc = context.colorspace = _BT709
            context.color_range = _LIMITED
            for last in itertools.chain([first], frames):
                video.mux(stream.encode(_frame(last)))
            for _ in range(round(hold * rate)):
                video.mux(stream.encode(_frame(last)))
            video.mux(stream.encode())
    except av.FFmpegError as error:  # PyAV's own subclasses of OSError cannot take another file name
        raise OSError(error.errno, error.strerror, str(path)) from None


def _frame(pixels: np.ndarray) -> "av.VideoFrame":
    import av

    height, width = pixels.shape[:2]
    colours = pixels if pixels.ndim == 3 else np.repeat(pixels[:, :, None], 3, axis=2)
    even = np.pad(colours, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    return av.VideoFrame.from_ndarray(even, format="rgb24").reformat(
        format="yuv420p", dst_colorspace="ITU709", dst_color_range="MPEG", interpolation="BICUBIC"
    )


@contextmanager
def open_video(path: Path) -> "Iterator[InputContainer]":
    """Open an MP4 for reading; raises DataError, also for damage that shows while it is read."""
    import av

    try:
        with av.open(str(path), format="mov") as video:
            yield video
    except (av.FFmpegError, ValueError, IndexError) as error:
        raise DataError(f"{path}: not a readable video ({error})") from None
