"""What photos and their projections are held against: faces that a model has not seen."""

import json
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from ..data.packed.packed_images import PackedImages
from ..generator import FaceGenerator
from ..images import to_float
from ..storage.atomic import as_json
from ..storage.cache import PROJECTIONS, hashed_key
from .familiarity import LEAST_COMPARED, UNKNOWN_ABOVE, Familiarity
from .searching import Progress, Projection, Settings, project

NUM_REFERENCES = 16  # faces; more make the first projection of a snapshot wait


@dataclass(frozen=True, eq=False)
class Faces:
    """What photos are held against; one of both sets may be missing, and half of the other then stands for it.

    Attributes:
        known: What the model was trained on.
        unseen: Others of their kind.
    """

    known: PackedImages | None
    unseen: PackedImages | None

    @property
    def projected(self) -> PackedImages:
        """The set that is projected for its errors."""
        found = self.known if self.unseen is None else self.unseen
        assert found is not None
        return found

    @property
    def fitted(self) -> NDArray[np.uint8]:
        """The images that stand for what the model knows: uint8 (N, C, H, W)."""
        return self.projected.images[::2] if self.known is None or self.unseen is None else self.known.images

    @property
    def compared(self) -> NDArray[np.uint8]:
        """The images that stand for those it has not seen: uint8 (M, C, H, W)."""
        return self.projected.images[1::2] if self.known is None or self.unseen is None else self.unseen.images

    @property
    def enough(self) -> bool:
        """Whether they can say what is a face."""
        return len(self.compared) >= LEAST_COMPARED


@dataclass(frozen=True)
class Verdict:
    """What comparison says of a photo; None where it says nothing.

    Attributes:
        median_rms: The median error of unseen faces.
        percentile: The share of those, in percent, that come nearer than the photo.
        unlike_percentile: The share of those, in percent, that to D look more like the known faces.
    """

    median_rms: float | None = None
    percentile: float | None = None
    unlike_percentile: float | None = None

    @property
    def known(self) -> bool | None:
        """Whether it is a face that the model knows."""
        return None if self.unlike_percentile is None else self.unlike_percentile <= UNKNOWN_ABOVE


def judge(
    generator: FaceGenerator, D: nn.Module | None, faces: Faces, pictures: Tensor, found: list[Projection],
    settings: Settings, progress: Progress | None = None,
) -> list[Verdict]:  # fmt: skip
    """Hold the errors of projections, and the images themselves, against other faces.

    Args:
        generator: Whose projections they are.
        D: Its discriminator; without it, and with too few faces, it is not said whether an image is a face.
        faces: What the images are held against.
        pictures: float32 (N, C, H, W) in [-1, 1].
        found: Their projections.
        settings: How they were searched.
        progress: As that of `project`, for the faces.

    Raises:
        SnapshotError: As `project`.
        OSError: As `reference`.
    """
    errors = reference(generator, D, faces.projected, settings, progress)
    unlike: list[float] | list[None] = [None] * len(found)
    if D is not None and faces.enough:
        unlike = Familiarity(D, faces.fitted, faces.compared).percentiles(pictures)
    median = float(np.median(errors.rms))
    return [Verdict(median, errors.percentile(each.distance), share) for each, share in zip(found, unlike, strict=True)]


class Reference(BaseModel):
    """The distances at which known faces were projected.

    Attributes:
        distances: One a face, ascending.
        rms: One a face, ascending.
    """

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    distances: list[float] = Field(min_length=1)
    rms: list[float] = Field(min_length=1)

    def percentile(self, distance: float) -> float:
        """The share of the faces, in percent, that came nearer than this."""
        return 100 * float(np.searchsorted(self.distances, distance)) / len(self.distances)


def reference(
    generator: FaceGenerator,
    D: nn.Module | None,
    faces: PackedImages,
    settings: Settings,
    progress: Progress | None = None,
) -> Reference:
    """Project up to NUM_REFERENCES faces, evenly spread over the set, or read what that gave the last time.

    It is kept in the cache, by snapshot, faces and settings.

    Raises:
        SnapshotError: As `project`.
        OSError: The cache cannot be written.
    """
    numbers = np.linspace(0, len(faces) - 1, min(NUM_REFERENCES, len(faces))).round().astype(int)
    key = _key(generator, D is not None, faces, settings)
    cached = PROJECTIONS.read(key, lambda path: Reference.model_validate_json(path.read_bytes()))
    if cached is not None:
        return cached
    pictures = to_float(torch.from_numpy(faces.images[numbers]))
    found = project(generator, D, pictures, settings, progress)
    result = Reference(distances=sorted(each.distance for each in found), rms=sorted(each.rms for each in found))
    PROJECTIONS.write(key, as_json(result.model_dump()))
    return result


def _key(generator: FaceGenerator, has_D: bool, faces: PackedImages, settings: Settings) -> str:
    origin = generator.origin
    facts = [1, origin.digest, origin.weights, has_D, faces.digest, NUM_REFERENCES, settings.model_dump()]
    return f"{hashed_key(json.dumps(facts))}.json"
