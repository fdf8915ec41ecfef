"""The faces that photos and their projections are compared with: those a model was trained on, and unseen ones."""

import json
from contextlib import suppress
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from ..checkpoint import Checkpoint
from ..config import DataConfig
from ..data.image_set import ImageSet, from_source, held_out_settings, training_settings
from ..errors import DataError
from ..generator import FaceGenerator
from ..images import to_float
from ..reporter import SILENT, Reporter
from ..storage.atomic import as_json
from ..storage.cache import PROJECTIONS, hashed_key
from .ood_score import MIN_COMPARED, NUM_COMPARED, OODScore, evenly_spaced
from .search import Projection, SearchSettings, project_images

NUM_PROJECTED = 16  # faces whose projections are compared with; more would delay the first projection of a snapshot
_TASK = "projecting known faces, once per snapshot (--no-judge skips this):"


class ComparisonFaces(NamedTuple):
    """Faces that photos are compared with."""

    known: NDArray[np.uint8]  # (N, C, H, W), which the model knows
    unseen: NDArray[np.uint8]  # (M, C, H, W), which it has not seen
    projected: ImageSet  # whose projection errors are compared with

    @classmethod
    def of(cls, trained_on: ImageSet | None, held_out: ImageSet | None) -> "ComparisonFaces":
        """Take the training images and held-out ones; where one set is missing, half of the other replaces it."""
        found = held_out or trained_on
        assert found is not None, "one of them must be there"
        if trained_on and held_out:
            return cls(trained_on.images, held_out.images, found)
        return cls(found.images[::2], found.images[1::2], found)


def load_comparison_faces(
    checkpoint: Checkpoint, source: str | None = None, *, reporter: Reporter = SILENT
) -> tuple[ComparisonFaces | None, str]:
    """Load the faces that photos are compared with, and describe them; or return None and the reason.

    They are those of `source`; None: those that the run held out, or for drawn faces other ones. A source that cannot
    be loaded raises DataError.
    """
    config = checkpoint.config

    def load(data: DataConfig | None) -> ImageSet | None:
        size = {"resolution": config.resolution, "channels": config.channels}
        return from_source(data, **size, min_images=1, reporter=reporter) if data else None

    own = trained_on = held_out = None
    with suppress(DataError):
        own = training_settings(checkpoint)
    if own is None and source is None:
        return None, "nothing, as the run's images are not here; give --data SOURCE"
    try:
        held_out = load(held_out_settings(own or config.data, NUM_COMPARED, source))
        trained_on = load(own)
    except DataError as error:
        if source is None:
            return None, f"nothing ({error}); give --data SOURCE"
        if held_out is None:
            raise
    if source is not None:
        more = ", and as many more in place of the run's own, which are not here" if trained_on is None else ""
        kind = f"of --data {source}{more}"
    elif held_out is None:
        kind = "that the run was trained on, for it held none out; others come less near"
    else:
        kind = "that the run has not seen"
    faces = ComparisonFaces.of(trained_on, held_out)
    few = "" if len(faces.unseen) >= MIN_COMPARED else f"; it takes {MIN_COMPARED} to judge whether it is a face"
    num_unseen, num_projected = min(NUM_COMPARED, len(faces.unseen)), min(NUM_PROJECTED, len(faces.projected))
    return faces, f"{num_unseen:,} faces {kind} (errors: {num_projected} of them){few}"


def compare_projections(
    projections: list[Projection], images: Tensor, faces: ComparisonFaces, errors: "FaceErrors", D: nn.Module | None
) -> list[Projection]:
    """Return projections of images (N, C, H, W) in [-1, 1], completed by how errors and images compare with faces.

    `unlike_percentile` stays None without the run's discriminator D, and with fewer than MIN_COMPARED unseen faces.
    """
    unlike: list[float] | list[None] = [None] * len(images)
    if D is not None and len(faces.unseen) >= MIN_COMPARED:
        unlike = OODScore(D, faces.known, faces.unseen).percentiles(images)
    median = float(np.median(errors.rms))
    return [
        replace(each, median_rms=median, percentile=errors.percentile(each.distance), unlike_percentile=share)
        for each, share in zip(projections, unlike, strict=True)
    ]


class FaceErrors(BaseModel):
    """The errors with which faces were projected, one per face, ascending."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    distances: list[float] = Field(min_length=1)
    rms: list[float] = Field(min_length=1)

    def percentile(self, distance: float) -> float:
        """Return the share of the faces, in percent, with a smaller distance."""
        return 100 * float(np.searchsorted(self.distances, distance)) / len(self.distances)


def face_errors(
    generator: FaceGenerator,
    D: nn.Module | None,
    faces: ImageSet,
    settings: SearchSettings,
    *,
    reporter: Reporter = SILENT,
) -> FaceErrors:
    """Project up to NUM_PROJECTED evenly spaced faces, or load the result for the same snapshot, faces and settings."""
    origin = generator.origin
    facts = [1, origin.digest, origin.weights, D is not None, faces.digest, NUM_PROJECTED, settings.model_dump()]
    key = f"{hashed_key(json.dumps(facts))}.json"
    cached = PROJECTIONS.read(key, lambda path: FaceErrors.model_validate_json(path.read_bytes()))
    if cached is not None:
        return cached
    images = to_float(torch.from_numpy(evenly_spaced(faces.images, NUM_PROJECTED)))
    found = project_images(generator, D, images, settings, task=_TASK, reporter=reporter)
    result = FaceErrors(distances=sorted(each.distance for each in found), rms=sorted(each.rms for each in found))
    PROJECTIONS.write(key, as_json(result.model_dump()))
    return result
