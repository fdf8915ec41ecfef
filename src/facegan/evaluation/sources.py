"""Two sources of images, brought to one size and kind: nothing changes a pixel unless that is asked for."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..config import DataConfig
from ..data.headers import Survey, survey
from ..data.image_set import ImageSet, from_source, with_settings
from ..data.open import open_source
from ..data.packed.packed_images import is_packed
from ..data.split import select
from ..errors import DataError
from ..messages import local_path, portable_path
from ..reporter import SILENT, Reporter

MIN_RESOLUTION = 16  # pixels: networks see nothing in smaller images
DRAWN_RESOLUTION = 64  # of images that are drawn at any size, when nothing else sets it

_ADVICE = "--resolution N crops the real images to squares and brings both to one size (--set data.crop=center:128)"


def load_sources(
    real: str,
    fake: str,
    settings: Mapping[str, Any],
    *,
    resolution: int | None = None,
    channels: int | None = None,
    reporter: Reporter = SILENT,
) -> tuple[ImageSet, ImageSet]:
    """Load real and evaluated images; reads the headers of all files first.

    Real images are cropped and resized to `resolution`; evaluated ones are only resized, if they have another size.
    Without a resolution or a crop among the settings of `data`, both must have one size. `channels` None: as they are.

    Raises:
        DataError: A source is missing or holds fewer than 2 usable images, a size is not square or too small, or sizes
            or channels differ.
        ConfigError: A setting is invalid.
    """
    real, fake = portable_path(real), portable_path(fake)
    data = with_settings(DataConfig(source=real), settings)
    evaluated = _uncropped(DataConfig(source=fake, filter=data.filter))
    reals, fakes = _survey(data, reporter), _survey(evaluated, reporter)
    _check_square(fakes, fake)
    if resolution is None and data.crop == "auto":
        data, resolution = _uncropped(data), _size(reals, real)
        if resolution and (size := _size(fakes, fake) or resolution) != resolution:
            raise DataError(
                f"{fake}: has images of {size}x{size} pixels, {real} of {resolution}x{resolution}; {_ADVICE}"
            )
    resolution = resolution or _size(fakes, fake) or DRAWN_RESOLUTION
    if resolution < MIN_RESOLUTION:
        raise DataError(
            f"{fake}: images of {resolution}x{resolution} pixels are too small to be evaluated; "
            f"{MIN_RESOLUTION}x{MIN_RESOLUTION} are the smallest"
        )
    if channels is None and reals.is_grey != fakes.is_grey:
        kinds = {True: "grey", False: "in colour"}
        raise DataError(
            f"{fake}: is {kinds[fakes.is_grey]}, {real} {kinds[reals.is_grey]}; compare images of one kind, or both "
            "in grey with --set channels=1"
        )
    channels = channels or (1 if reals.is_grey else 3)
    real_images, fake_images = (
        from_source(each, resolution=resolution, channels=channels, reporter=reporter) for each in (data, evaluated)
    )
    warnings = tuple(f"{fake}: {line}" for line in _warnings(fakes, resolution, real_images, fake_images))
    for line in warnings:
        reporter.warning(line)
    return real_images, replace(fake_images, label=fake, warnings=warnings)


def _uncropped(data: DataConfig) -> DataConfig:
    """The same without a crop; packed images have been cropped already."""
    return data if is_packed(Path(local_path(data.source))) else data.model_copy(update={"crop": "none"})


def _survey(data: DataConfig, reporter: Reporter) -> Survey:
    images = open_source(data)
    found = survey(images, select(images, data), reporter=reporter)
    if not found.num:
        raise DataError(f"{data.source}: none of its images can be read; 'facegan data check' says why")
    return found


def _check_square(found: Survey, source: str) -> None:
    if oblong := sum(count for (width, height), count in found.sizes.items() if width != height):
        raise DataError(
            f"{source}: {oblong:,} of {found.num:,} evaluated images are not square ({_listed(found)}); they are not "
            "cropped, so cut them to squares first"
        )


def _size(found: Survey, source: str) -> int | None:
    """The size of a source's squares; None of one that draws at any size."""
    if not found.sizes:
        return None
    if len(found.sizes) > 1:
        raise DataError(f"{source}: its images differ in size ({_listed(found)}); {_ADVICE}")
    ((width, height),) = found.sizes
    if width != height:
        raise DataError(f"{source}: its images are not square ({width}x{height}); {_ADVICE}")
    return width


def _listed(found: Survey) -> str:
    sizes = [f"{width}x{height}" for width, height in found.sizes]
    return ", ".join(sizes[:3]) + (f" and {len(sizes) - 3:,} more" if len(sizes) > 3 else "")


def _warnings(found: Survey, resolution: int, reals: ImageSet, fakes: ImageSet) -> list[str]:
    """Return warnings about the evaluated images: lossy files, and a change of size."""
    lines = []
    if found.num_lossy:
        lines.append(
            f"{found.num_lossy:,} of {found.num:,} evaluated images are JPEG or lossy WebP files, whose compression is "
            "scored, too; save them as PNG"
        )
    if resized := sum(count for (side, _), count in found.sizes.items() if side != resolution):
        lines.append(f"{resized:,} of {found.num:,} evaluated images were resized to {resolution} pixels")
    assert reals.packed and fakes.packed and reals.settings, "loaded from sources"
    known = set(reals.packed.digests)
    if copies := sum(digest in known for digest in fakes.packed.digests):
        lines.append(f"{copies:,} of its images are in {reals.settings.source}, too (equal files)")
    return lines
