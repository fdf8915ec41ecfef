"""Faces moved along directions of latent space."""

from collections.abc import Iterator
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from ..errors import ConfigError, SnapshotError
from ..generator import FaceGenerator
from ..images import rows, rows_size
from ..latents import shifted
from ..reporter import SILENT, Reporter
from ..seeds import Latent, Points
from .recipe import Recipe, draw_images, format_number

MAX_COLUMNS = 1000
MAX_AMOUNT = 100.0  # standard deviations, far outside any prior


class Along(BaseModel):
    """One direction and how far to move along it.

    Attributes:
        name: As `--direction` names it.
        vector: The direction itself, of length 1.
        low: The shift at the left end, in standard deviations of the prior.
        high: The shift at the right end; equal to `low` for a shift of all columns.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    vector: Latent
    low: float = Field(ge=-MAX_AMOUNT, le=MAX_AMOUNT)
    high: float = Field(ge=-MAX_AMOUNT, le=MAX_AMOUNT)

    @property
    def text(self) -> str:
        """The direction as `--direction` takes it: smile:-3..3."""
        return f"{self.name}:" + "..".join(map(format_number, dict.fromkeys((self.low, self.high))))

    @property
    def title(self) -> str:
        """The direction as the image names it: smile -3 to +3."""
        return f"{self.name} " + " to ".join(map(format_signed, dict.fromkeys((self.low, self.high))))


class Edit(Recipe):
    """`facegan edit -o edit.png`: one row per face, which moves along directions from left to right.

    Attributes:
        points: The faces.
        along: The directions, whose shifts add up.
        kept: Names of the attributes that the directions are already orthogonal to.
        columns: Images of each face.
    """

    command: ClassVar[str] = "edit"
    make: Literal["edit"] = "edit"
    points: Points
    along: tuple[Along, ...] = Field(min_length=1)
    kept: tuple[str, ...] = ()
    columns: int = 7

    def model_post_init(self, _: object) -> None:
        """Refuse one column and too many; raises ConfigError."""
        if not 2 <= self.columns <= MAX_COLUMNS:
            raise ConfigError(f"--cols {self.columns}: give 2 to {MAX_COLUMNS:,}")

    def amounts(self) -> list[list[float]]:
        """Return the shift of each column along each direction, in standard deviations, in equal steps."""
        last = self.columns - 1
        # As a mean of both ends, so that the middle of a range like -3..3 is 0 exactly.
        return [
            [(each.low * (last - column) + each.high * column) / last for each in self.along]
            for column in range(self.columns)
        ]

    def latents(self, generator: FaceGenerator) -> Tensor:
        """Return the latents of all images, row by row: float32 (points, columns, z_dim) on the CPU.

        Each is z + sigma * sum of amount * direction, sigma the prior's standard deviation; with the uniform prior,
        no number leaves its range -1 to 1.

        Raises:
            SnapshotError: A latent or a direction is another model's.
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

    def faces(self, generator: FaceGenerator, reporter: Reporter = SILENT) -> Iterator[tuple[Tensor, np.ndarray]]:
        """Yield each image, row by row: its latent (z_dim,) and uint8 (C, H, W); raises SnapshotError."""
        z = self.latents(generator).flatten(0, 1)
        images = (image for batch in draw_images(generator, z, reporter) for image in batch)
        yield from zip(z, images, strict=True)

    def size(self, resolution: int) -> tuple[int, int]:
        """Return the height and width of the rows in pixels."""
        return rows_size(len(self.points), self.columns, resolution)

    def _frames(self, generator: FaceGenerator, reporter: Reporter) -> Iterator[np.ndarray]:
        moving = [place for place, each in enumerate(self.along) if each.low != each.high]
        alone, kept = len(moving) == 1, ", ".join(self.kept)
        headings = [
            "\n".join(
                ("" if alone else f"{self.along[place].name} ") + format_signed(amounts[place]) for place in moving
            )
            for amounts in self.amounts()
        ]
        images = np.stack([image for _, image in self.faces(generator, reporter)])
        yield rows(
            images.reshape(len(self.points), self.columns, *images.shape[1:]),
            title=", ".join(each.title for each in self.along) + (f", keeping {kept}" if kept else ""),
            headings=headings,
            labels=self.points.labels(),
            marked=[column for column, amounts in enumerate(self.amounts()) if not any(amounts)],
        )

    def _options(self) -> list[tuple[str, Any]]:
        return [
            ("--seeds", self.points.text),
            *(("--direction", each.text) for each in self.along),
            ("--keep", ",".join(self.kept) or None),
            ("--cols", self.columns if self.columns != 7 else None),
        ]


def format_signed(amount: float) -> str:
    """Format an amount with its sign: +3, -1.5, 0."""
    amount = round(amount, 2) or 0.0
    return f"{amount:+g}" if amount else "0"
