"""Two sources of anyone's images, brought to one size and kind without changing a pixel unless that is asked for."""

from dataclasses import dataclass, field
from pathlib import Path

from ..config import DataConfig
from ..data.headers import Survey, survey
from ..data.open import open_source
from ..data.packed.packed_images import is_packed
from ..data.split import select
from ..errors import DataError
from .choosing import Settings
from .measure import Tell
from .reals import with_settings

LEAST_SIDE = 16  # in pixels: below, networks see nothing
DRAWN_SIDE = 64  # of images that are drawn at any size, when nothing else tells

_ADVICE = "--resolution N crops the real images to squares and brings both to one size (--set data.crop=center:128)"


@dataclass(frozen=True)
class Two:
    """How two sources are loaded.

    Attributes:
        real: The real images.
        fake: Those that are judged.
        resolution: Of both.
        channels: Of both.
        warnings: What to keep in mind, a sentence each.
    """

    real: DataConfig
    fake: DataConfig
    resolution: int
    channels: int
    warnings: list[str] = field(default_factory=list)


def compare_sources(real: str, fake: str, settings: Settings, resolution: int | None, *, tell: Tell) -> Two:
    """Find out how two sources of images can be compared; reads the headers of all files.

    Args:
        real: A source.
        fake: Another.
        settings: Of the real images, and in how many channels both are compared.
        resolution: To which both are brought; None: both have one size.
        tell: Called with what is begun.

    Raises:
        DataError: A source is missing or holds no image, a size is not square or too small, or sizes or channels
            differ.
        ConfigError: A setting cannot be.
    """
    data = with_settings(DataConfig(source=real), settings.data)
    judged = _whole(DataConfig(source=fake, filter=data.filter))
    reals, fakes = _survey(data, tell), _survey(judged, tell)
    _refuse_oblong(fakes, fake)
    crops = resolution is not None or data.crop != "auto"
    if not crops:
        data = _whole(data)
        sides = [side for side in (_side(reals, real), _side(fakes, fake)) if side]
        if len(set(sides)) > 1:
            raise DataError(
                f"{fake}: has images of {sides[1]}x{sides[1]} pixels, {real} of {sides[0]}x{sides[0]}; {_ADVICE}"
            )
        resolution = sides[0] if sides else DRAWN_SIDE
    if resolution is None:
        resolution = _side(fakes, fake) or DRAWN_SIDE
    if resolution < LEAST_SIDE:
        raise DataError(
            f"{fake}: images of {resolution}x{resolution} pixels are too small to be judged; "
            f"{LEAST_SIDE}x{LEAST_SIDE} are the smallest"
        )
    return Two(
        data, judged, resolution, _channels(reals, fakes, real, fake, settings.channels),
        _warnings(fakes, fake, resolution),
    )  # fmt: skip


def _whole(data: DataConfig) -> DataConfig:
    """The same with nothing cut off; packed images have been cut already, and say how."""
    return data if is_packed(Path(data.source)) else data.model_copy(update={"crop": "none"})


def _survey(data: DataConfig, tell: Tell) -> Survey:
    pictures = open_source(data)
    found = survey(pictures, select(pictures, data), progress=tell("reading sizes"))
    if not found.num:
        raise DataError(f"{data.source}: none of its images can be read; 'facegan data check' says why")
    return found


def _side(found: Survey, source: str) -> int | None:
    """The side of a source's squares; None of one that draws at any size."""
    if not found.sizes:
        return None
    if len(found.sizes) > 1:
        raise DataError(f"{source}: its images differ in size ({_some(found)}); {_ADVICE}")
    ((width, height),) = found.sizes
    if width != height:
        raise DataError(f"{source}: its images are not square ({width}x{height}); {_ADVICE}")
    return width


def _refuse_oblong(fakes: Survey, source: str) -> None:
    oblong = sum(count for (width, height), count in fakes.sizes.items() if width != height)
    if oblong:
        raise DataError(
            f"{source}: {oblong:,} of {fakes.num:,} judged images are not square ({_some(fakes)}); they are taken "
            "whole, so cut them to squares first"
        )


def _some(found: Survey) -> str:
    sizes = [f"{width}x{height}" for width, height in found.sizes]
    return ", ".join(sizes[:3]) + (f" and {len(sizes) - 3:,} more" if len(sizes) > 3 else "")


def _channels(reals: Survey, fakes: Survey, real: str, fake: str, wanted: int | None) -> int:
    if wanted is not None:
        return wanted
    if reals.is_grey != fakes.is_grey:
        kinds = {True: "grey", False: "in colour"}
        raise DataError(
            f"{fake}: is {kinds[fakes.is_grey]}, {real} {kinds[reals.is_grey]}; compare images of one kind, or both "
            "in grey with --set channels=1"
        )
    return 1 if reals.is_grey else 3


def _warnings(fakes: Survey, source: str, resolution: int) -> list[str]:
    lines = []
    if fakes.num_lossy:
        lines.append(
            f"{source}: {fakes.num_lossy:,} of {fakes.num:,} judged images are JPEG or lossy WebP files, whose "
            "compression is scored, too; save them as PNG"
        )
    if resized := sum(count for (side, _), count in fakes.sizes.items() if side != resolution):
        lines.append(f"{source}: {resized:,} of {fakes.num:,} judged images were resized to {resolution} pixels")
    return lines
