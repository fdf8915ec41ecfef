"""A set of images, and how a checkpoint's are found: those it was trained on, and those it has not seen."""

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
from ..messages import counted, local_path, portable_path
from ..plugins import names
from ..reporter import SILENT, Reporter
from ..storage.run_dir import RunDir
from .packed.load import compare_names, load
from .packed.packed_images import PackedImages, digest_pixels
from .source import shown
from .split import owners

DRAWN = "drawn"
MIN_IMAGES = 2  # in a set that anything is compared with


@dataclass(frozen=True, eq=False)
class ImageSet:
    """Images of one size, with their names, attributes and origin."""

    images: NDArray[np.uint8]  # (N, C, H, W); may be memory-mapped
    label: str  # for messages and protocols: "celeba" or "runs/a, step 1,000"
    crop: str = "none"  # how each was cropped
    filter: str = "none"  # that resized them
    packed: PackedImages | None = field(default=None, repr=False)  # where they come from; None for any other array
    settings: DataConfig | None = field(default=None, repr=False)  # that chose them; None for any other array
    is_training_set: bool = False  # whether they are exactly the images that a checkpoint was trained on
    mirror: bool = False  # whether their mirror images were trained on as well
    warnings: tuple[str, ...] = ()  # what to keep in mind about them, one sentence each
    rows: NDArray[np.int64] | None = field(default=None, repr=False)  # of the packed ones, which these are; None: all

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
        return self._of_rows(self.packed.names) if self.packed else ()

    @property
    def attributes(self) -> Mapping[str, Sequence[Any]]:
        """A column for each attribute, aligned with the images; empty where none is known."""
        columns = self.packed.attributes if self.packed else {}
        return columns if self.rows is None else {key: self._of_rows(column) for key, column in columns.items()}

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the pixels in the order of the array, in hex."""
        return self.packed.digest if self.packed and self.rows is None else digest_pixels(self.images)

    def people(self, within: Sequence[str] = ()) -> Sequence[Any]:
        """Return the person of each image: the attribute `identity`, else as `owners`; empty where none is known."""
        return self.attributes.get("identity") or owners(self.names, within)

    def take(self, rows: NDArray[np.int64]) -> "ImageSet":
        """Return some of the images, as a copy, with all that is known about them."""
        kept = rows if self.rows is None else self.rows[rows]
        return replace(self, images=np.array(self.images[rows]), rows=kept, is_training_set=False)

    def _of_rows(self, column: Sequence[Any]) -> Sequence[Any]:
        return column if self.rows is None else [column[row] for row in self.rows]


def training_set(
    checkpoint: Checkpoint,
    source: str | None = None,
    *,
    has_moved: bool = False,
    settings: Mapping[str, Any] | None = None,
    reporter: Reporter = SILENT,
) -> ImageSet:
    """Load the images that a checkpoint was trained on, or others that are to be compared with its samples.

    Those of `source` are cropped as the run's own. A source with the name of the run's own is taken for it, in another
    place, as is any source that `has_moved`; None: where the run found them. `settings` of `data` change afterwards,
    such as {"split": "heldout"}.

    Raises:
        DataError: They cannot be found or loaded, or fewer than MIN_IMAGES are usable.
        ConfigError: A setting is invalid.
    """
    config, source = checkpoint.config, source and portable_path(source)
    own = source is None or has_moved or Path(source).name == Path(config.data.source).name
    base = training_settings(checkpoint, source) if own else _all_of(config.data, str(source))
    data = with_settings(base, settings or {})
    try:
        found = from_source(data, resolution=config.resolution, channels=config.channels, reporter=reporter)
    except DataError as error:
        if source is not None:
            raise
        raise DataError(f"{error}; name the training images with --data SOURCE") from None
    is_training_set = own and data == base
    run = checkpoint.run_folder if is_training_set else None
    if run and found.packed and (difference := compare_names(RunDir(run).images, found.packed)):
        reporter.warning(f"{data.source}: not the images that {run.name} was trained on: {difference}")
    return replace(found, is_training_set=is_training_set, mirror=config.data.mirror)


def held_out(
    training: ImageSet, num: int, source: str | None = None, *, reporter: Reporter = SILENT
) -> ImageSet | None:
    """Load at most `num` images, drawn at random but always the same, that the model of a training set has not seen.

    They come from `source`, cropped as the training set; by default, they are what `data.split` held out or, for drawn
    faces, other ones. People are drawn, with all their images. None when the model was trained on all there are. The
    reporter hears how many were left out because they are training images.

    Raises:
        DataError: They cannot be loaded, or every one of them is a training image.
    """
    assert training.settings is not None, "loaded from a source"
    chosen = held_out_settings(training.settings, num, source and portable_path(source))
    if chosen is None:
        return None
    found = from_source(
        chosen, resolution=training.resolution, channels=training.channels, min_images=1, reporter=reporter
    )
    candidates = found.take(random_rows(number_people(training, found)[1], num))
    is_unseen = unseen(candidates.images, training.images, mirror=training.settings.mirror)
    if not is_unseen.any():
        raise DataError(f"{chosen.source}: every held-out image is also a training image; give others")
    if num_known := np.count_nonzero(~is_unseen):
        reporter.info(f"{counted(int(num_known), 'held-out image')} left out: also in the training set")
    return candidates.take(np.flatnonzero(is_unseen))


def from_source(
    data: DataConfig,
    *,
    resolution: int,
    channels: int,
    min_images: int = MIN_IMAGES,
    reporter: Reporter = SILENT,
) -> ImageSet:
    """Load the images that settings of `data` choose, decoded and cropped; from the cache when they are packed already.

    Skipped images are a warning to the reporter.

    Raises:
        DataError: The source is missing, empty or unsafe, or holds fewer than `min_images` usable images.
    """
    packed = load(data, resolution=resolution, channels=channels, reporter=reporter)
    if packed.num_skipped:
        name, reason = packed.skipped[0] if packed.skipped else ("", "")
        reporter.warning(
            f"{data.source}: {counted(packed.num_skipped, 'image')} cannot be used: left out; the first is "
            f"{shown(name)}: {reason}"
        )
    if len(packed) < min_images:
        raise DataError(f"{data.source}: holds {counted(len(packed), 'usable image')}, need at least {min_images}")
    selection = "" if packed.index.selection == "all" else f" ({packed.index.selection})"
    return from_packed(packed, label=f"{data.source}{selection}", settings=data)


def from_packed(packed: PackedImages, *, label: str | None = None, settings: DataConfig | None = None) -> ImageSet:
    """Return packed images as a set, labelled by their source unless `label` is given."""
    index = packed.index
    return ImageSet(packed.images, label or index.source, index.crop, index.filter, packed, settings)


def training_settings(checkpoint: Checkpoint, source: str | None = None) -> DataConfig:
    """Return the settings of the images that a checkpoint was trained on.

    A snapshot carries only the last part of its source's name; the run that it lies in knows the complete path.
    `source` is where the images are now, if they have moved.

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
    if carried.source not in names("dataset") and not Path(local_path(carried.source)).exists():
        raise DataError(
            f"{checkpoint.path}: was trained on images called '{carried.source}', which are not here; say where they "
            "are with --data SOURCE"
        )
    return carried


def held_out_settings(data: DataConfig, num: int, source: str | None = None) -> DataConfig | None:
    """Return settings that choose images which a run with the settings `data` has not seen; None: it has seen all.

    Those of `source` are all unseen. Of drawn faces, only `num` are drawn.
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
    """Return the settings with some of them changed; raises ConfigError for an unknown or invalid one."""
    options = changes.get("options", {})
    merged = {**data.model_dump(), **changes}
    merged["options"] = {**data.options, **options} if isinstance(options, Mapping) else options
    return validate({**RunConfig().model_dump(), "data": merged}).data


def number_people(training: ImageSet, others: ImageSet) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the number of each image's person, from 0 in the order of the images, of training images and of others.

    A person in both sets has two numbers. Where no person is known, each image is its own.
    """
    shared = training.settings and others.settings and training.settings.source == others.settings.source
    within = (others.names, training.names) if shared else ((), ())
    first, second = (_numbered(each, names) for each, names in zip((training, others), within, strict=True))
    return first, second


def _numbered(images: ImageSet, within: Sequence[str]) -> NDArray[np.int64]:
    numbers: dict[Any, int] = {}
    people = images.people(within) or range(len(images))
    return np.array([numbers.setdefault(person, len(numbers)) for person in people], np.int64)


def random_rows(people: NDArray[np.int64], num: int) -> NDArray[np.int64]:
    """Return at most `num` rows in ascending order, of people drawn at random from seed 0; the last may be cut off.

    `people` (N,) numbers the person of each row from 0. A person is drawn with all rows, as a split draws them: if each
    row were drawn by itself, a person of the drawn set would have fewer images than one of the other set.
    """
    order = np.random.default_rng(0).permutation(people.max() + 1)
    return np.sort(np.argsort(np.argsort(order)[people], kind="stable")[:num])


def unseen(candidates: NDArray[np.uint8], training: NDArray[np.uint8], *, mirror: bool) -> NDArray[np.bool_]:
    """Return which candidates, uint8 (m, C, H, W), equal no training image (or, with `mirror`, its mirror image)."""
    views = [candidates, candidates[..., ::-1]] if mirror else [candidates]
    wanted = {image.tobytes() for view in views for image in view}
    seen = {content for image in training if (content := image.tobytes()) in wanted}
    return np.array([not any(view[row].tobytes() in seen for view in views) for row in range(len(candidates))])


def _all_of(data: DataConfig, source: str) -> DataConfig:
    """All images of another source, cropped and resized as those of `data`."""
    every = {"split": "all", "where": "", "limit": 0, "options": {}, "reading": DataConfig().reading}
    return data.model_copy(update={"source": source, **every})
