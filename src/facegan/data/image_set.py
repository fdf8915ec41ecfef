"""Which images a snapshot was trained on, and which it has not seen."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..config import DataConfig, RunConfig, read_file, validate
from ..errors import DataError
from ..plugins import names
from .packed.load import load
from .packed.packed_images import PackedImages

DRAWN = "drawn"


@dataclass(frozen=True, eq=False)
class HeldOut:
    """Pictures that a model has not been trained on.

    Attributes:
        pictures: uint8 (m, C, H, W), m >= 1.
        num_known: How many more were to be held out, but are training images, pixel for pixel, too.
    """

    pictures: NDArray[np.uint8]
    num_known: int


def run_folder(snapshot: Path) -> Path | None:
    """The run that a snapshot lies in; None for one that was moved elsewhere."""
    folder = snapshot.absolute().parent
    return folder.parent if folder.name == "snapshots" and (folder.parent / "config.json").is_file() else None


def trained_on(snapshot: Path, config: RunConfig, source: str | None = None) -> DataConfig:
    """The settings of the images that a snapshot was trained on.

    A snapshot knows its source by the last part of its name alone; the run that it lies in knows where it is.

    Args:
        snapshot: Its file.
        config: What it carries.
        source: Where the images are, if they have moved.

    Raises:
        DataError: Nothing tells where they are.
        ConfigError: The run's config.json cannot be read.
    """
    told, run = config.data, run_folder(snapshot)
    if source is not None:
        options = told.options if Path(source).name == Path(told.source).name else {}
        return told.model_copy(update={"source": source, "options": options})
    if run is not None:
        whole = validate(read_file(run / "config.json")).data.source
        if Path(whole).name == told.source:
            return told.model_copy(update={"source": whole})
    if told.source not in names("dataset") and not Path(told.source).exists():
        raise DataError(
            f"{snapshot}: was trained on images called '{told.source}', which are not here; say where they are "
            "with --data SOURCE"
        )
    return told


def held_out(data: DataConfig, num: int, source: str | None = None) -> DataConfig | None:
    """Which images a run with these settings has not been trained on; None: it was trained on all there are.

    Args:
        data: What it was trained on.
        num: How many are wanted at most; only so many more faces are drawn.
        source: Images that were named as unseen; cropped as the run's own. All of them are taken.
    """
    if source is None and data.split == "train":
        return data.model_copy(update={"split": "heldout", "limit": 0})
    if source == DRAWN or (source is None and data.source == DRAWN):  # another seed draws other people, without end
        kept = data if data.source == DRAWN else data.model_copy(update={"source": DRAWN, "where": "", "options": {}})
        options = {**kept.options, "seed": kept.options.get("seed", 0) + 1}
        if "num_images" in options:
            options["num_images"] = max(options["num_images"], num)
        return kept.model_copy(update={"split": "all", "limit": num, "options": options})
    if source is None:
        return None
    return data.model_copy(update={"source": source, "split": "all", "where": "", "limit": 0, "options": {}})


def load_held_out(
    data: DataConfig,
    training: PackedImages,
    num: int,
    source: str | None = None,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> HeldOut | None:
    """At most `num` images that a model with these training images has not seen; None: it has seen all there are.

    Args:
        data: What it was trained on.
        training: The same, packed.
        num: How many at most.
        source: As in `held_out`.
        progress: Called with (done, total) while images are packed.

    Raises:
        DataError: They cannot be loaded, or each is a training image, too.
    """
    chosen = held_out(data, num, source)
    if chosen is None:
        return None
    size = {"resolution": training.index.resolution, "channels": training.index.channels}
    candidates = pick(load(chosen, **size, progress=progress).images, num)
    kept = unseen(candidates, training.images, mirror=data.mirror)
    if not len(kept):
        raise DataError(f"{chosen.source}: every held-out image is a training image, too; give others")
    return HeldOut(kept, len(candidates) - len(kept))


def pick(pictures: NDArray[np.uint8], num: int) -> NDArray[np.uint8]:
    """At most `num` of the images, drawn at random from seed 0, in their order."""
    rows = np.random.default_rng(0).permutation(len(pictures))[:num]
    return np.array(pictures[np.sort(rows)])


def unseen(heldout: NDArray[np.uint8], training: NDArray[np.uint8], *, mirror: bool) -> NDArray[np.uint8]:
    """The held-out images that are not, pixel for pixel, training images as well; reads all of both.

    Args:
        heldout: uint8 (m, C, H, W).
        training: uint8 (N, C, H, W).
        mirror: Whether a training image's mirror image was trained on, too.
    """
    views = [heldout, heldout[..., ::-1]] if mirror else [heldout]
    looked_for = {picture.tobytes() for view in views for picture in view}
    seen = {content for picture in training if (content := picture.tobytes()) in looked_for}
    kept = [not any(view[row].tobytes() in seen for view in views) for row in range(len(heldout))]
    return heldout[kept]
