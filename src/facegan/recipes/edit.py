"""Faces moved along directions of the latent space."""

from collections.abc import Iterator
from typing import Literal

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from ..directions.linear import shifted
from ..errors import SnapshotError
from ..generator import MICRO_BATCH, FaceGenerator
from ..images import rows, rows_size, to_uint8
from ..sampling import finite_images
from ..seeds import Latent, Points
from .recipe import Progress, Recipe, number

MOST_COLUMNS = 1000

MOST = 100.0  # standard deviations, far outside of any prior


class Along(BaseModel):
    """One direction and how far along it.

    Attributes:
        name: As `--direction` names it.
        vector: The direction itself, of length 1.
        low: How far at the left end, in standard deviations of the prior.
        high: At the right end; the same as `low` for a shift of all columns.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    vector: Latent
    low: float = Field(ge=-MOST, le=MOST)
    high: float = Field(ge=-MOST, le=MOST)

    @property
    def text(self) -> str:
        """smile:-3..3, as `--direction` takes it."""
        return f"{self.name}:{number(self.low)}" + ("" if self.low == self.high else f"..{number(self.high)}")


class Edit(Recipe):
    """`facegan edit -o edit.png`: a row a face, which moves along directions from left to right.

    `kept` only names what the directions have been freed of already.
    """

    make: Literal["edit"] = "edit"
    points: Points
    along: tuple[Along, ...] = Field(min_length=1)
    kept: tuple[str, ...] = ()
    columns: int = Field(7, ge=2, le=MOST_COLUMNS)

    def amounts(self) -> list[list[float]]:
        """How far each column is along each direction, in standard deviations: from low to high in equal steps."""
        last = self.columns - 1
        # As a mean of both ends, so that the middle of a range like -3..3 is 0 exactly.
        return [
            [(each.low * (last - column) + each.high * column) / last for each in self.along]
            for column in range(self.columns)
        ]

    def latents(self, generator: FaceGenerator) -> Tensor:
        """The latents of all faces, row by row: float32 (points, columns, z_dim) on the CPU.

        Each is z + sigma * sum of amount * direction, sigma the prior's standard deviation; with the uniform prior,
        no number leaves its range -1 to 1.

        Raises:
            SnapshotError: A point or a direction is not this generator's.
        """
        z = self.points.z(generator)
        vectors = [each.vector.vector() for each in self.along]
        for each, vector in zip(self.along, vectors, strict=True):
            if len(vector) != generator.z_dim:
                raise SnapshotError(
                    f"{each.name}: a direction in {len(vector)} dimensions, but "
                    f"{generator.name} takes {generator.z_dim}; it belongs to another model"
                )
        columns = []
        for amounts in self.amounts():
            shift = sum((amount * v for amount, v in zip(amounts, vectors, strict=True)), torch.zeros(z.shape[1]))
            columns.append(shifted(z, shift, generator.prior))
        return torch.stack(columns, 1)

    def faces(self, generator: FaceGenerator, progress: Progress | None = None) -> Iterator[tuple[Tensor, np.ndarray]]:
        """Each face, row by row: its latent (z_dim,) and uint8 (C, H, W); raises as `Recipe.frames`."""
        latents, done = self.latents(generator).flatten(0, 1), 0
        for chunk in latents.split(MICRO_BATCH):  # type: ignore[no-untyped-call]
            pictures = to_uint8(finite_images(generator, chunk)).numpy()
            done += len(chunk)
            if progress:
                progress(done, len(latents))
            yield from zip(chunk, pictures, strict=True)

    def size(self, resolution: int) -> tuple[int, int]:
        """As `Recipe.size`."""
        return rows_size(len(self.points), self.columns, resolution)

    def frames(self, generator: FaceGenerator, progress: Progress | None = None) -> Iterator[np.ndarray]:
        """One frame: the rows, with the column marked that is not moved at all; raises as `Recipe.frames`."""
        moving = [place for place, each in enumerate(self.along) if each.low != each.high]
        alone, kept = len(moving) == 1, ", ".join(self.kept)
        headings = [
            "\n".join(("" if alone else f"{self.along[place].name} ") + signed(amounts[place]) for place in moving)
            for amounts in self.amounts()
        ]
        pictures = np.stack([picture for _, picture in self.faces(generator, progress)])
        yield rows(
            pictures.reshape(len(self.points), self.columns, *pictures.shape[1:]),
            title=", ".join(_in_words(each) for each in self.along) + (f", keeping {kept}" if kept else ""),
            headings=headings,
            labels=self.points.labels(),
            marked=[column for column, amounts in enumerate(self.amounts()) if not any(amounts)],
        )

    def flags(self) -> list[str]:
        """As `Recipe.flags`; the directions themselves are in the recipe, their names are found in a file."""
        flags = ["edit", "--seeds", self.points.text]
        for each in self.along:
            flags += ["--direction", each.text]
        flags += ["--keep", ",".join(self.kept)] if self.kept else []
        return flags + (["--cols", str(self.columns)] if self.columns != 7 else [])


def signed(amount: float) -> str:
    """+3, -1.5, 0."""
    amount = round(amount, 2) or 0.0
    return f"{amount:+g}" if amount else "0"


def _in_words(each: Along) -> str:
    if each.low == each.high:
        return f"{each.name} {signed(each.low)}"
    return f"{each.name} {signed(each.low)} to {signed(each.high)}"
