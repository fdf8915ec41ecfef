"""Directions as a safetensors file, with the measures of each."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, TypeAdapter
from torch import Tensor

from ..checkpoint import Checkpoint
from ..errors import ConfigError, SnapshotError
from ..generator import FaceGenerator
from ..messages import nearest, one_line
from ..storage.safetensors_file import open_tensors, read_tensors, write_tensors
from .linear import orthogonalise

FILE = "directions.safetensors"


class DirectionInfo(BaseModel):
    """The name of a direction and its measures."""

    model_config = ConfigDict(frozen=True)

    name: str  # as `--direction` takes it
    kind: Literal["labelled", "sefa"]  # fitted to a classifier's answers, or of G's first layer
    auc: float | None = None  # of the rule z . direction for the classifier's answers, on samples not fitted to
    accuracy: float | None = None  # of that rule, with the threshold that says yes as often as the classifier
    share: float  # of samples that have the attribute, by the classifier; for SeFa, of |A|^2 that it explains
    kept: tuple[str, ...] = ()  # attributes whose directions it was made orthogonal to


_INFOS: TypeAdapter[list[DirectionInfo]] = TypeAdapter(list[DirectionInfo])


@dataclass(frozen=True, eq=False)
class Directions:
    """Directions in one generator's latent space."""

    infos: list[DirectionInfo]  # one per direction
    vectors: Tensor  # float32 (directions, z_dim), each of length 1
    attributes: list[str]  # the columns of `moved`
    moved: Tensor  # (directions, attributes): an attribute's mean probability at one end less that at the other
    snapshot: str  # digest of the snapshot that they were found for
    step: int  # of that snapshot

    @property
    def names(self) -> list[str]:
        """Names of the directions, in their order."""
        return [each.name for each in self.infos]

    def vector(self, name: str, kept: Sequence[str] = ()) -> Tensor:
        """Return a direction by its name, (z_dim,), of length 1, without its part along those named in `kept`.

        Raises:
            ConfigError: A name is unknown, or nothing is left of the direction.
        """
        places = {known: place for place, known in enumerate(self.names)}
        for wanted in (name, *kept):
            if wanted not in places:
                raise ConfigError(f"there is no direction '{wanted}'; {nearest(wanted, self.names)}")
        vector = orthogonalise(self.vectors[places[name]], [self.vectors[places[each]] for each in kept])
        if not vector.any():
            raise ConfigError(f"nothing is left of '{name}' without {', '.join(kept)}; keep fewer")
        return vector


def default_path(checkpoint: Checkpoint) -> Path | None:
    """Return the default path of the directions of a run's snapshot; None for a snapshot outside any run."""
    return checkpoint.run_folder / FILE if checkpoint.run_folder else None


def save_directions(path: Path, directions: Directions) -> None:
    """Write directions; raises OSError, and then keeps an older file."""
    metadata = {
        "step": str(directions.step),
        "snapshot": directions.snapshot,
        "directions": _INFOS.dump_json(directions.infos).decode(),
        "attributes": json.dumps(directions.attributes),
    }
    write_tensors(path, "directions", {"vectors": directions.vectors, "moved": directions.moved}, metadata)


def load_directions(path: Path, generator: FaceGenerator) -> Directions:
    """Load the directions of a file, which must be this generator's.

    Raises:
        SnapshotError: The file is missing, damaged or holds none, or they were found for another snapshot.
    """
    metadata = open_tensors(path, "directions").metadata
    try:
        infos = _INFOS.validate_json(metadata["directions"])
        attributes = [str(name) for name in json.loads(metadata["attributes"])]
        tensors, snapshot = read_tensors(path), metadata["snapshot"]
        vectors, moved = tensors["vectors"], tensors["moved"]
        if vectors.ndim != 2 or len(vectors) != len(infos) or not vectors.isfinite().all():
            raise ValueError("its vectors are not those that it names")
        if moved.shape != (len(infos), len(attributes)):
            raise ValueError("its table is not of the attributes that it names")
    except (KeyError, ValueError, TypeError) as error:
        raise SnapshotError(f"{path}: holds no directions that can be read ({one_line(error)})") from None
    model = generator.origin.path
    if vectors.shape[1] != generator.z_dim:
        raise SnapshotError(
            f"{path}: directions in {vectors.shape[1]} dimensions, but {model} takes {generator.z_dim}; they belong to "
            f"another model; run 'facegan directions {model} -o FILE' for this one"
        )
    if snapshot != generator.origin.digest:
        raise SnapshotError(
            f"{path}: directions of another snapshot (of step {metadata['step']}) than {model}; name that one, or run "
            f"'facegan directions {model}' for this one"
        )
    return Directions(infos, vectors.float(), attributes, moved.float(), snapshot, int(metadata["step"]))
