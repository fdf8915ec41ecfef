"""How near a model comes to faces that it has not seen: what a projection's distance is held against."""

import hashlib
import json
from contextlib import suppress
from pathlib import Path

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import nn

from ..data.packed.stored import PackedImages
from ..downloads import cache_root
from ..files import as_json, write_atomic
from ..generators import FaceGenerator
from ..images import to_float
from .searching import Progress, Settings, project

NUM_REFERENCES = 16  # faces; more make the first projection of a snapshot wait


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
    path = _kept_at(generator, D is not None, faces, settings)
    with suppress(OSError, ValidationError):
        return Reference.model_validate_json(path.read_bytes())
    pictures = to_float(torch.from_numpy(faces.images[numbers]))
    found = project(generator, D, pictures, settings, progress)
    result = Reference(distances=sorted(each.distance for each in found), rms=sorted(each.rms for each in found))
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, as_json(result.model_dump()))
    return result


def _kept_at(generator: FaceGenerator, has_D: bool, faces: PackedImages, settings: Settings) -> Path:
    info = generator.info
    facts = [1, info["digest"], info["weights"], has_D, faces.digest, NUM_REFERENCES, settings.model_dump()]
    key = hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:32]
    return cache_root() / "projections" / f"{key}.json"
