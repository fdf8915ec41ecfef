"""Write frames as an animation (.gif, .webp, .mp4 or a folder of numbered PNGs), and read them back.

An .mp4 is H.264, which browsers play, through PyAV, which is imported on first use.
"""

import itertools
import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import ExifTags, Image, ImageSequence
from PIL.PngImagePlugin import PngImageFile

from ..errors import ConfigError, DataError, SnapshotError
from ..storage.atomic import write_atomic, write_folder
from .decode import sniff_file_type
from .files import as_exif, check_ending, open_image, write_png

if TYPE_CHECKING:
    import av
    from av.container import InputContainer

ANIMATION_ENDINGS = (".gif", ".webp", ".mp4", "/")
# Frames a second. Browsers slow GIFs of delays below 2/100 s, and WebPs below 11 ms, down to 10 frames a second.
_MIN_FPS, _MAX_FPS = 0.01, {".gif": 50, ".webp": 90, ".mp4": 120, "/": 1000}
_MAX_SIDE = {".gif": 65_535, ".webp": 16_383, ".mp4": 8_192, "/": 65_535}  # pixels, by the format or its players
_PALETTE_PIXELS = 2**16  # from which a GIF's palette is made
_SPREAD = 8.0  # of the dither, in 1/255: softens the steps between colours, and its pattern is hardly seen
_ENDING_OF = {
    "a PNG image": ".png",
    "a JPEG image": ".jpg",
    "a WebP image": ".webp",
    "a GIF image": ".gif",
    "an MP4 video": ".mp4",
}
_H264 = {
    "crf": "18",  # visually lossless
    "preset": "medium",
    # Weighted prediction makes x264's choices depend on what lay in the memory before; without it, the same frames
    # give the same bytes.
    "x264-params": "weightp=0",
}
_BT709 = 1  # in FFmpeg's lists of primaries, transfer functions and matrices alike
_LIMITED = 1  # 16...235, as players expect


def check_animation_path(path: str | Path) -> None:
    """Raise ConfigError for a path that can be no animation, SnapshotError for a folder that is not empty."""
    folder = Path(path)
    if _format(path) != "/":
        check_ending(folder, ANIMATION_ENDINGS)
    elif folder.name in ("", ".."):  # ./ and the like, the current folder of somebody
        raise ConfigError(f"-o {path}: not a folder that can be made; give a new one's name and '/'")
    elif folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise SnapshotError(f"-o {path}: exists already; name a new folder")


def save_animation(
    path: str | Path,
    frames: Iterable[np.ndarray],
    *,
    fps: float,
    hold: float = 0.0,
    about: Mapping[str, str] | None = None,
) -> None:
    """Write frames as an animation, atomically; missing parent folders are created.

    An .mp4 or a folder is written while the frames come, in constant memory; a .gif or .webp needs all of them first.
    A .webp and a folder keep every pixel as it is, an .mp4 and a .gif nearly.
    A .gif has one palette for all frames, and a dither that does not move. It counts time in 1/100 s: each frame ends
    at the nearest hundredth to its exact end, so single delays differ by 1/100 s and the total length is as asked.

    Args:
        path: Ends in .gif, .webp (both endless), .mp4, or "/" (a text, as a Path drops it): a folder of
            frame-00000000.png ..., new or empty.
        frames: uint8 (H, W, 3) or (H, W), all of one shape.
        fps: Frames a second.
        hold: Seconds that the last frame is shown longer; in an .mp4 as a number of frames; of no effect in a folder.
        about: Metadata that `read_about` returns: a GIF's comment, a WebP's Exif image
            description and an MP4's comment (one JSON object each), the text chunks of each PNG.

    Raises:
        ConfigError: The ending names no format, or it cannot be as fast or as large as asked.
        SnapshotError: The folder holds something already.
        ValueError: There are no frames, or not all of one shape.
        OSError: It cannot be written.
    """
    check_animation_path(path)
    ending, place, about = _format(path), Path(path), dict(about or {})
    if not _MIN_FPS <= fps <= _MAX_FPS[ending]:
        raise ConfigError(
            f"-o {path}: cannot show {fps:g} images a second; it must be {_MIN_FPS} to {_MAX_FPS[ending]}"
        )
    frames = _checked(frames, path, ending)
    place.parent.mkdir(parents=True, exist_ok=True)
    if ending == "/":
        write_folder(place, lambda folder: _write_stills(folder, frames, about))
    else:
        write = {".gif": _write_gif, ".webp": _write_webp, ".mp4": _write_mp4}[ending]
        write_atomic(place, lambda temporary: write(temporary, frames, fps, hold, about))


def _format(path: str | Path) -> str:
    return "/" if str(path).endswith("/") else Path(path).suffix.lower()


def _checked(frames: Iterable[np.ndarray], path: str | Path, ending: str) -> Iterator[np.ndarray]:
    """Yield the frames; raises for none, for one of another shape, or for one that is too large."""
    shape, most = None, _MAX_SIDE[ending]
    for frame in frames:
        shape = shape or frame.shape
        if frame.shape != shape:
            raise ValueError(f"an animation's frames have one shape (given {shape} and {frame.shape})")
        if max(shape[:2]) > most:
            raise ConfigError(f"-o {path}: {shape[1]:,} x {shape[0]:,} pixels; {ending} takes {most:,} a side")
        yield frame
    if shape is None:
        raise ValueError("an animation needs at least one frame")


def _write_stills(folder: Path, frames: Iterator[np.ndarray], about: Mapping[str, str]) -> None:
    for number, frame in enumerate(frames):
        write_png(folder / f"frame-{number:08d}.png", frame, about)


def _write_webp(path: Path, frames: Iterator[np.ndarray], fps: float, hold: float, about: Mapping[str, str]) -> None:
    first, *rest = [Image.fromarray(frame).convert("RGB") for frame in frames]
    options: dict[str, Any] = {"exif": as_exif(about)} if about else {}
    options["duration"] = _durations(1 + len(rest), fps, hold, 1000)
    first.save(path, save_all=True, append_images=rest, loop=0, lossless=True, quality=0, method=0, **options)


def _write_gif(path: Path, frames: Iterator[np.ndarray], fps: float, hold: float, about: Mapping[str, str]) -> None:
    pixels = list(frames)
    is_grey = pixels[0].ndim == 2
    first, *rest = [Image.fromarray(frame).convert("P") for frame in pixels] if is_grey else _quantized(pixels)
    options: dict[str, Any] = {"comment": json.dumps(about)} if about else {}
    options["palette"] = bytes(first.getpalette() or ())  # given, it is written once and not with each frame
    options["duration"] = [10 * hundredths for hundredths in _durations(len(pixels), fps, hold, 100)]
    first.save(path, save_all=True, append_images=rest, loop=0, optimize=False, **options)


def _write_mp4(path: Path, frames: Iterator[np.ndarray], fps: float, hold: float, about: Mapping[str, str]) -> None:
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
            stream = video.add_stream("libx264", rate=rate, options=dict(_H264))
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


def _durations(num: int, fps: float, hold: float, unit: int) -> list[int]:
    """Return how long each of `num` frames is shown, in 1/unit s: differences of their exact ends, rounded."""
    ends = [round(unit * number / fps) for number in range(num)] + [round(unit * (num / fps + hold))]
    return [end - start for start, end in itertools.pairwise(ends)]


def _quantized(frames: list[np.ndarray]) -> list[Image.Image]:
    """Quantize colour frames to one palette for all of them, with a dither that depends on the position alone.

    The palette is black, white, and what suits pixels taken evenly from all frames. Diffusing the error (Floyd and
    Steinberg) would move grain through still parts whenever something above them changes; a threshold matrix
    (Bayer 1973) cannot. Pure black and white, as of gaps and captions, stay clean.
    """
    height, width = frames[0].shape[:2]
    each = -(-_PALETTE_PIXELS // len(frames))
    stride = max(1, height * width // each) | 1  # odd: not the same column of every row
    pixels = np.concatenate([frame.reshape(-1, 3)[number % stride :: stride] for number, frame in enumerate(frames)])
    found = Image.fromarray(pixels[None]).quantize(254, method=Image.Quantize.MEDIANCUT, kmeans=1)
    palette = Image.new("P", (1, 1))
    palette.putpalette([0, 0, 0, 255, 255, 255, *(found.getpalette() or ())[: 3 * 254]])
    threshold = np.zeros((1, 1))
    while len(threshold) < 8:
        threshold = np.block([[4 * threshold, 4 * threshold + 2], [4 * threshold + 3, 4 * threshold + 1]])
    threshold = (threshold + 0.5) / 64 - 0.5
    matrix = np.tile(threshold, (-(-height // 8), -(-width // 8)))[:height, :width, None] * _SPREAD
    quantized = []
    for frame in frames:
        near = Image.fromarray((frame + matrix).round().clip(0, 255).astype(np.uint8))
        places = np.array(near.quantize(palette=palette, dither=Image.Dither.NONE))  # (H, W), in the palette
        for place, level in enumerate((0, 255)):
            places[(frame == level).all(axis=2)] = place
        quantized.append(Image.fromarray(places))
        quantized[-1].putpalette(palette.getpalette() or ())
    return quantized


@contextmanager
def _open_mp4(path: Path) -> "Iterator[InputContainer]":
    """Open an MP4 for reading; raises DataError, also for damage that shows while it is read."""
    import av

    try:
        with av.open(str(path), format="mov") as video:
            yield video
    except (av.FFmpegError, ValueError, IndexError) as error:
        raise DataError(f"{path}: not a readable video ({error})") from None


def ending_of(path: Path) -> str:
    """Return the suffix that matches a file's first bytes; "/" for a folder, "" for anything else."""
    if path.is_dir():
        return "/"
    with path.open("rb") as file:
        return _ENDING_OF.get(sniff_file_type(file.read(12)), "")


def read_about(path: Path) -> dict[str, str]:
    """Return the metadata of an image, an animation, or the first frame in a folder; empty where there is none.

    Raises DataError for a file that is no valid image or animation.
    """
    path = min((frame for frame in path.glob("frame-*.png") if frame.is_file()), default=path)
    if ending_of(path) == ".mp4":
        with _open_mp4(path) as video:
            text: str | bytes = video.metadata.get("comment", "")
    else:
        with open_image(path) as image:
            image.load()
            if isinstance(image, PngImageFile):
                return {str(key): str(value) for key, value in image.text.items()}
            is_gif = image.format == "GIF"
            text = image.info.get("comment", b"") if is_gif else image.getexif().get(ExifTags.Base.ImageDescription, "")
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):  # the comment of another program
        return {}
    return {str(key): str(value) for key, value in document.items()} if isinstance(document, dict) else {}


def read_frames(path: Path) -> Iterator[np.ndarray]:
    """Yield the frames of an image (one), an animation, or a folder of numbered PNGs: uint8 (H, W, 3) each.

    Raises DataError for a file that is no valid image or animation.
    """
    ending = ending_of(path)
    if ending == "/":
        for each in sorted(path.glob("frame-*.png")):
            yield from read_frames(each)
    elif ending == ".mp4":
        with _open_mp4(path) as video:
            for frame in video.decode(video=0):
                yield frame.to_ndarray(format="rgb24")
    else:
        with open_image(path) as file:
            for image in ImageSequence.Iterator(file):
                yield np.asarray(image.convert("RGB"))


def difference(path: Path, other: Path) -> tuple[int, int, int]:
    """Compare two images or animations: (differing pixels, pixels in all, largest difference of a channel in 0..255).

    Where sizes or numbers of frames differ, all pixels of the larger one count as different. Raises as `read_frames`.
    """
    differing = total = largest = 0
    for mine, others in itertools.zip_longest(read_frames(path), read_frames(other)):
        if mine is None or others is None or mine.shape != others.shape:
            size = max(frame.shape[0] * frame.shape[1] for frame in (mine, others) if frame is not None)
            differing, total, largest = differing + size, total + size, 255
            continue
        apart = np.abs(mine.astype(np.int16) - others).max(axis=2)
        differing += int((apart > 0).sum())
        total += apart.size
        largest = max(largest, int(apart.max()))
    return differing, total, largest
