"""Directions as a file: safetensors, with what is known of each."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError
from torch import Tensor

from ..errors import ConfigError, SnapshotError
from ..generator import FaceGenerator
from ..messages import nearest, one_line
from ..storage.safetensors_file import open_tensors, read_tensors, write_tensors
from .linear import keeping


class About(BaseModel):
    """What is known of one direction.

    Attributes:
        name: As `--direction` takes it.
        kind: "labelled" (fitted to a classifier's answers) or "sefa" (of G's first layer).
        auc: Of the linear rule z . direction for the classifier's answers, on samples that it was not fitted to.
        accuracy: Of that rule, cut where it gives as many yes as the classifier.
        share: Of the samples that have the attribute, by the classifier; of |A|^2 that is explained, for SeFa.
        kept: The attributes whose directions it was made orthogonal to.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    kind: Literal["labelled", "sefa"]
    auc: float | None = None
    accuracy: float | None = None
    share: float
    kept: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Directions:
    """Directions of one generator's latent space.

    Attributes:
        about: Of each.
        vectors: Of length 1, float32 (directions, z_dim).
        attributes: What `moved` tells of.
        moved: By how much each attribute's mean probability differs between both ends of each direction,
            (directions, attributes).
        snapshot: Digest of the snapshot that they were found for.
        step: Of that snapshot.
    """

    about: list[About]
    vectors: Tensor
    attributes: list[str]
    moved: Tensor
    snapshot: str
    step: int

    @property
    def names(self) -> list[str]:
        """Of the directions, in their order."""
        return [each.name for each in self.about]

    def vector(self, name: str, kept: Sequence[str] = ()) -> Tensor:
        """A direction by its name, (z_dim,), of length 1, without its part along those named in `kept`.

        Raises:
            ConfigError: There is none of a name, or nothing is left of it.
        """
        places = {known: place for place, known in enumerate(self.names)}
        for wanted in (name, *kept):
            if wanted not in places:
                raise ConfigError(f"there is no direction '{wanted}'; {nearest(wanted, self.names)}")
        vector = keeping(self.vectors[places[name]], [self.vectors[places[each]] for each in kept])
        if not vector.any():
            raise ConfigError(f"nothing is left of '{name}' without {', '.join(kept)}; keep fewer")
        return vector


_ABOUT: TypeAdapter[list[About]] = TypeAdapter(list[About])


def save(path: Path, directions: Directions) -> None:
    """Write directions.

    Raises:
        OSError: The file cannot be written; what stood there before still stands.
    """
    metadata = {
        "step": str(directions.step),
        "snapshot": directions.snapshot,
        "directions": _ABOUT.dump_json(directions.about).decode(),
        "attributes": json.dumps(directions.attributes),
    }
    write_tensors(path, "directions", {"vectors": directions.vectors, "moved": directions.moved}, metadata)


def load(path: Path, generator: FaceGenerator) -> Directions:
    """The directions of a file, which must be this generator's.

    Raises:
        SnapshotError: The file is missing, damaged or holds none, or they were found for another snapshot.
    """
    metadata = open_tensors(path, "directions").metadata
    try:
        about = _ABOUT.validate_json(metadata["directions"])
        attributes = [str(name) for name in json.loads(metadata["attributes"])]
        tensors = read_tensors(path)
        vectors, moved, snapshot = tensors["vectors"], tensors["moved"], metadata["snapshot"]
        if vectors.ndim != 2 or len(vectors) != len(about) or not vectors.isfinite().all():
            raise ValueError("its vectors are not those that it names")
        if moved.shape != (len(about), len(attributes)):
            raise ValueError("its table is not of the attributes that it names")
    except (KeyError, ValueError, TypeError, ValidationError) as error:
        raise SnapshotError(f"{path}: holds no directions that can be read ({one_line(error)})") from None
    where = generator.origin.path
    if vectors.shape[1] != generator.z_dim:
        raise SnapshotError(
            f"{path}: directions in {vectors.shape[1]} dimensions, but {where} takes {generator.z_dim}; they belong to "
            f"another model; run 'facegan directions {where} -o FILE' for this one"
        )
    if snapshot != generator.origin.digest:
        raise SnapshotError(
            f"{path}: directions of another snapshot (of step {metadata['step']}) than {where}; name that one, or run "
            f"'facegan directions {where}' for this one"
        )
    return Directions(about, vectors.float(), attributes, moved.float(), snapshot, int(metadata["step"]))
