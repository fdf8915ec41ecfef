"""A set of images, and how a checkpoint's are found: those it was trained on, and those it has not seen."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..checkpoint import Checkpoint
from ..config import DataConfig, RunConfig, read_file, validate
from ..errors import DataError
from ..plugins import names
from ..reporter import SILENT, Reporter
from .packed.load import load
from .packed.packed_images import PackedImages
from .source import shown

DRAWN = "drawn"
MIN_IMAGES = 2  # in a set that anything is compared with
CHUNK_BYTES = 2**24  # hashed at a time


@dataclass(frozen=True, eq=False)
class ImageSet:
    """Images of one size, with what is known about them.

    Attributes:
        images: uint8 (N, C, H, W); may be memory-mapped.
        label: What to call them in messages and protocols, such as "celeba" or "runs/a, step 1,000".
        crop: How each was cropped.
        filter: The resampling filter that resized them.
        packed: The packed set they come from, which holds names and attributes; None for any other array.
        settings: The settings of `data` that chose them; None for any other array.
        is_training_set: Whether they are exactly the images that a checkpoint was trained on.
        mirror: Whether their mirror images were trained on as well.
        warnings: What to keep in mind about them, one sentence each.
    """

    images: NDArray[np.uint8]
    label: str
    crop: str = "none"
    filter: str = "none"
    packed: PackedImages | None = field(default=None, repr=False)
    settings: DataConfig | None = field(default=None, repr=False)
    is_training_set: bool = False
    mirror: bool = False
    warnings: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.images)

    @property
    def channels(self) -> int:
        """3 for colour, 1 for grey."""
        return int(self.images.shape[1])

    @property
    def resolution(self) -> int:
        """Height in pixels; equals the width for every set that was cropped."""
        return int(self.images.shape[2])

    @property
    def names(self) -> Sequence[str]:
        """The name of each image in its source; empty where none is known."""
        return self.packed.names if self.packed else ()

    @property
    def attributes(self) -> Mapping[str, Sequence[Any]]:
        """A column for each attribute, aligned with the images; empty where none is known."""
        return self.packed.attributes if self.packed else {}

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the pixels as they lie in the array, in hex."""
        return self.packed.digest if self.packed else digest_pixels(self.images)


def digest_pixels(images: NDArray[np.uint8]) -> str:
    """Return the SHA-256 of pixels as they lie in the array, in hex; equals a packed set's digest for equal pixels."""
    running = hashlib.sha256()
    step = max(1, CHUNK_BYTES // images[:1].nbytes)
    for start in range(0, len(images), step):
        running.update(np.ascontiguousarray(images[start : start + step]).tobytes())
    return running.hexdigest()


def training_set(
    checkpoint: Checkpoint,
    source: str | None = None,
    *,
    has_moved: bool = False,
    settings: Mapping[str, Any] | None = None,
    reporter: Reporter = SILENT,
) -> ImageSet:
    """Load the images that a checkpoint was trained on, or others that are to be compared with its samples.

    Args:
        checkpoint: The snapshot.
        source: Another source, whose images are cropped as the run's own. One that has the name of the run's own
            source is taken for it, in another place; None: where the run found them.
        has_moved: Whether `source` holds the run's own images, whatever its name.
        settings: Settings of `data` to change, such as {"split": "heldout"}.
        reporter: Receives the progress of "packing".

    Raises:
        DataError: They cannot be found or loaded, or fewer than MIN_IMAGES are usable.
        ConfigError: A setting is invalid.
    """
    config = checkpoint.config
    own = source is None or has_moved or Path(source).name == Path(config.data.source).name
    base = training_settings(checkpoint, source) if own else _all_of(config.data, str(source))
    data = with_settings(base, settings or {})
    found = from_source(data, resolution=config.resolution, channels=config.channels, reporter=reporter)
    return replace(found, is_training_set=own and data == base, mirror=config.data.mirror)


def held_out(
    training: ImageSet, num: int, source: str | None = None, *, reporter: Reporter = SILENT
) -> ImageSet | None:
    """Load at most `num` images that the model of a training set has not seen.

    Args:
        training: The images it was trained on, as `training_set` or `from_source` loaded them.
        num: How many at most; they are drawn at random, the same every time.
        source: A source of images it has not seen, cropped as its own; None: what `data.split` held out, or for drawn
            faces other ones.
        reporter: Receives the progress of "packing", and how many were left out because they are training images.

    Returns:
        The images, or None when the model was trained on all there are.

    Raises:
        DataError: They cannot be loaded, or every one of them is a training image.
    """
    assert training.settings is not None, "loaded from a source"
    chosen = held_out_settings(training.settings, num, source)
    if chosen is None:
        return None
    found = from_source(
        chosen, resolution=training.resolution, channels=training.channels, min_images=1, reporter=reporter
    )
    candidates = random_subset(found.images, num)
    kept = unseen(candidates, training.images, mirror=training.settings.mirror)
    if not len(kept):
        raise DataError(f"{chosen.source}: every held-out image is also a training image; give others")
    if num_known := len(candidates) - len(kept):
        reporter.info(f"{num_known} held-out images are also training images: left out")
    return ImageSet(kept, found.label, found.crop, found.filter, settings=chosen)


def from_source(
    data: DataConfig,
    *,
    resolution: int,
    channels: int,
    min_images: int = MIN_IMAGES,
    reporter: Reporter = SILENT,
) -> ImageSet:
    """Load the images that settings of `data` choose, decoded and cropped; from the cache when they are packed already.

    Args:
        data: Which images, and how each is cropped and resized.
        resolution: Height and width in pixels.
        channels: 3 for colour, 1 for grey.
        min_images: Fewer usable images are refused.
        reporter: Receives the progress of "packing", and a warning about images that are skipped.

    Raises:
        DataError: The source is missing, empty or unsafe, or holds fewer than `min_images` usable images.
    """
    packed = load(data, resolution=resolution, channels=channels, reporter=reporter)
    if packed.num_skipped:
        name, reason = packed.skipped[0] if packed.skipped else ("", "")
        reporter.warning(
            f"{data.source}: {packed.num_skipped:,} images cannot be used and are left out; the first is "
            f"{shown(name)}: {reason}"
        )
    if len(packed) < min_images:
        raise DataError(f"{data.source}: holds {len(packed)} usable images, need at least {min_images}")
    selection = "" if packed.index.selection == "all" else f" ({packed.index.selection})"
    return from_packed(packed, label=f"{data.source}{selection}", settings=data)


def from_packed(packed: PackedImages, *, label: str | None = None, settings: DataConfig | None = None) -> ImageSet:
    """Return packed images as a set, labelled by their source unless `label` is given."""
    index = packed.index
    return ImageSet(packed.images, label or index.source, index.crop, index.filter, packed, settings)


def training_settings(checkpoint: Checkpoint, source: str | None = None) -> DataConfig:
    """Return the settings of the images that a checkpoint was trained on.

    A snapshot carries only the last part of its source's name; the run that it lies in knows the complete path.

    Args:
        checkpoint: The snapshot.
        source: Where the images are now, if they have moved.

    Raises:
        DataError: The snapshot does not lie in a run, and its source is not found.
        ConfigError: The run's config.json cannot be read.
    """
    carried, run = checkpoint.config.data, checkpoint.run_folder
    if source is not None:
        options = carried.options if Path(source).name == Path(carried.source).name else {}
        return carried.model_copy(update={"source": source, "options": options})
    if run is not None:
        complete = validate(read_file(run / "config.json")).data.source
        if Path(complete).name == carried.source:
            return carried.model_copy(update={"source": complete})
    if carried.source not in names("dataset") and not Path(carried.source).exists():
        raise DataError(
            f"{checkpoint.path}: was trained on images called '{carried.source}', which are not here; say where they "
            "are with --data SOURCE"
        )
    return carried


def held_out_settings(data: DataConfig, num: int, source: str | None = None) -> DataConfig | None:
    """Return settings that choose images which a run with the settings `data` has not seen; None: it has seen all.

    Args:
        data: Settings of the images that the run was trained on.
        num: How many images are wanted; only as many faces are drawn.
        source: A source of unseen images, all of which are chosen.
    """
    if source is None and data.split == "train":
        return data.model_copy(update={"split": "heldout", "limit": 0})
    if source == DRAWN or (source is None and data.source == DRAWN):  # another seed draws other people, without end
        kept = data if data.source == DRAWN else data.model_copy(update={"source": DRAWN, "where": "", "options": {}})
        options = {**kept.options, "seed": kept.options.get("seed", 0) + 1}
        if "num_images" in options:
            options["num_images"] = max(options["num_images"], num)
        return kept.model_copy(update={"split": "all", "limit": num, "options": options})
    return None if source is None else _all_of(data, source)


def with_settings(data: DataConfig, changes: Mapping[str, Any]) -> DataConfig:
    """Return the settings with some of them changed.

    Raises:
        ConfigError: A setting does not exist or its value is invalid.
    """
    options = changes.get("options", {})
    merged = {**data.model_dump(), **changes}
    merged["options"] = {**data.options, **options} if isinstance(options, Mapping) else options
    return validate({**RunConfig().model_dump(), "data": merged}).data


def random_subset(images: NDArray[np.uint8], num: int) -> NDArray[np.uint8]:
    """Return at most `num` of the images, drawn at random from seed 0, in their order."""
    rows = np.random.default_rng(0).permutation(len(images))[:num]
    return np.array(images[np.sort(rows)])


def unseen(candidates: NDArray[np.uint8], training: NDArray[np.uint8], *, mirror: bool) -> NDArray[np.uint8]:
    """Return the candidates that do not equal a training image pixel for pixel; reads all of both.

    Args:
        candidates: uint8 (m, C, H, W).
        training: uint8 (N, C, H, W).
        mirror: Whether mirror images of the training images were trained on as well.
    """
    views = [candidates, candidates[..., ::-1]] if mirror else [candidates]
    wanted = {image.tobytes() for view in views for image in view}
    seen = {content for image in training if (content := image.tobytes()) in wanted}
    kept = [not any(view[row].tobytes() in seen for view in views) for row in range(len(candidates))]
    return candidates[kept]


def _all_of(data: DataConfig, source: str) -> DataConfig:
    """All images of another source, cropped and resized as those of `data`."""
    return data.model_copy(update={"source": source, "split": "all", "where": "", "limit": 0, "options": {}})
