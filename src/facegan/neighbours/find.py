"""The neighbours of a model's samples: sampling, loading, comparing in every space, and the results as JSON."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from ..checkpoint import Checkpoint
from ..data.image_set import ImageSet, held_out, number_people, training_set
from ..errors import ConfigError
from ..features.discriminator import discriminator_with_features
from ..generator import FaceGenerator
from ..images import to_uint8
from ..reporter import SILENT, Reporter
from ..sampling import sample
from ..seeds import Points
from .feature_spaces import Space, features, pixels
from .memorisation import Memorisation, measure_memorisation
from .search import NearestImages, find_nearest
from .sheet import check_sheet_size, draw_sheet


class NeighbourSettings(BaseModel):
    """Settings of the search and of the measure."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    k: int = Field(3, ge=1, le=32)  # neighbours of each sample
    num: int = Field(2000, ge=0, le=50_000)  # samples measured, and held-out images at most; 0: no measure
    source: str | None = None  # where the training images are, if they have moved
    held_out: str | None = None  # a source of unseen images; None: those the run held out, or other drawn faces

    def model_post_init(self, _: Any) -> None:
        """Refuse held-out images without a measure; raises ConfigError."""
        if not self.num and self.held_out is not None:
            raise ConfigError(f"--held-out {self.held_out}: is for the measure, which -n 0 skips; give one of them")


@dataclass(frozen=True, eq=False)
class SpaceComparison:
    """The neighbours of samples in one space."""

    space: Space
    neighbours: NearestImages  # of the samples that are shown
    memorisation: Memorisation | None  # None without held-out images


@dataclass(frozen=True, eq=False)
class FoundNeighbours:
    """The nearest training images of samples, in every space."""

    generator: FaceGenerator
    points: Points  # the latents of the samples that are shown
    shown: NDArray[np.uint8]  # those samples, (n, C, H, W)
    training: ImageSet  # the images that were searched
    num_samples: int  # that were measured
    num_heldout: int  # images that these were compared with; 0: nothing was measured
    no_measure: str  # why nothing was measured, although asked for; else empty
    comparisons: list[SpaceComparison]  # one per space

    def sheet(self) -> NDArray[np.uint8]:
        """Return the samples next to their nearest training images: uint8 (H, W, 3)."""
        labels = [f"seed {label}" if label.isdigit() else label for label in self.points.labels()]
        pairs = [(each.space, each.neighbours) for each in self.comparisons]
        return draw_sheet(self.shown, labels, self.training.images, pairs)

    def document(self) -> dict[str, Any]:
        """Return all numbers for JSON."""
        origin, packed = self.generator.origin, self.training.packed
        assert packed is not None, "training images come from a source"
        counts = {"num_samples": self.num_samples, "num_heldout": self.num_heldout} if self.num_heldout else {}
        training = {
            "source": packed.index.source, "num_images": len(self.training), "digest": self.training.digest
        }  # fmt: skip
        return {
            **counts,
            "no_measure": self.no_measure,
            **{key: getattr(origin, key) for key in ("digest", "step", "weights")},
            "training": training,
            "units": {each.space.key: each.space.unit for each in self.comparisons},
            "memorisation": {
                each.space.key: each.memorisation.model_dump() for each in self.comparisons if each.memorisation
            },
            "neighbours": [
                {"point": name, **{each.space.key: list(self._nearest(each, row)) for each in self.comparisons}}
                for row, name in enumerate(self.points.names())
            ],
        }

    def _nearest(self, comparison: SpaceComparison, row: int) -> Iterator[dict[str, Any]]:
        found = comparison.neighbours
        columns = zip(found.indices[row], found.distances[row], found.mirrored[row], strict=True)
        for index, distance, mirrored in columns:
            name = self.training.names[index]
            yield {"name": name, "index": int(index), "distance": float(distance), "mirrored": bool(mirrored)}


def find_neighbours(
    checkpoint: Checkpoint,
    points: Points,
    settings: NeighbourSettings | None = None,
    *,
    device: torch.device | str = "cpu",
    reporter: Reporter = SILENT,
) -> FoundNeighbours:
    """Find the training images nearest to samples, and measure whether samples are copies.

    Args:
        checkpoint: The snapshot.
        points: The latents of the samples to show.
        settings: What to search and measure.
        device: Where G and D run, and products are computed.
        reporter: Receives the progress, and why D or the measure is missing.

    Raises:
        ConfigError: There are too many samples for one sheet, or fewer than k training images.
        DataError: Images cannot be loaded.
        SnapshotError: The snapshot cannot be used, or a latent is another model's.
    """
    settings = settings or NeighbourSettings()
    generator = checkpoint.generator(device=device)
    D = discriminator_with_features(checkpoint, device=device, reporter=reporter)
    spaces = [pixels(device), *([features(D)] if D is not None else [])]
    check_sheet_size(len(points), 1 + len(spaces) * settings.k, checkpoint.config.resolution)
    points.warn_of_foreign(generator, reporter)
    training = _training_set(checkpoint, settings, reporter)
    unseen = held_out(training, settings.num, settings.held_out, reporter=reporter) if settings.num else None
    measured, no_measure = None, ""
    if unseen is not None:
        measured = _samples(generator, Points.of(range(settings.num)), reporter), unseen
    elif settings.num:
        no_measure = (
            f"no measure: data.split = {checkpoint.config.data.split} kept no images away from this run; train "
            "with --set data.split=train, or name images that it has not seen with --held-out SOURCE"
        )
        reporter.info(no_measure)
    shown = _samples(generator, points, reporter)
    comparisons = [
        compare_in_space(space, training, shown, measured=measured, k=settings.k, reporter=reporter) for space in spaces
    ]
    num_samples, num_heldout = (len(measured[0]), len(measured[1])) if measured else (0, 0)
    return FoundNeighbours(generator, points, shown, training, num_samples, num_heldout, no_measure, comparisons)


def _training_set(checkpoint: Checkpoint, settings: NeighbourSettings, reporter: Reporter) -> ImageSet:
    training = training_set(checkpoint, settings.source, has_moved=True, reporter=reporter)
    if settings.k > len(training):
        raise ConfigError(f"--nearest {settings.k}: there are {len(training)} training images; ask for fewer")
    return training


def compare_in_space(
    space: Space,
    training: ImageSet,
    shown: NDArray[np.uint8],
    *,
    measured: tuple[NDArray[np.uint8], ImageSet] | None = None,
    k: int = 3,
    reporter: Reporter = SILENT,
) -> SpaceComparison:
    """Find the nearest training images of samples in one space, and measure memorisation.

    Args:
        space: The space of the distances.
        training: The images to search, k or more; their mirror images count as well where `mirror` says so.
        shown: uint8 (n, C, H, W), samples whose neighbours are wanted; may be empty.
        measured: Samples, uint8 (n, C, H, W), and held-out images, to measure memorisation with.
        k: Neighbours of each sample.
        reporter: Receives the progress.

    Raises:
        PluginError: D has no features.
    """
    queries = shown if measured is None else np.concatenate([shown, measured[0], measured[1].images])
    found = find_nearest(queries, training.images, space, k=k, mirror=training.mirror, reporter=reporter)
    if measured is None:
        return SpaceComparison(space, found, None)
    samples, heldout = measured
    to_heldout = find_nearest(samples, heldout.images, space, mirror=training.mirror)
    end = len(shown) + len(samples)
    people = number_people(training, heldout)
    memorisation = measure_memorisation(found[len(shown) : end], found[end:], to_heldout, people)
    return SpaceComparison(space, found[: len(shown)], memorisation)


def _samples(generator: FaceGenerator, points: Points, reporter: Reporter) -> NDArray[np.uint8]:
    batches: list[NDArray[np.uint8]] = []
    for _, images in sample(generator, points):
        batches.append(to_uint8(images).numpy())
        reporter.progress("sampling", sum(map(len, batches)), len(points))
    return np.concatenate(batches)
