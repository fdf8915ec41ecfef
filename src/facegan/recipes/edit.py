"""Faces moved along directions of latent space."""

from collections.abc import Iterator
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from ..generator import FaceGenerator
from ..images.layouts import rows, rows_size
from ..latents import shifted
from ..reporter import SILENT, Reporter
from ..seeds import Latent, Points
from .recipe import Recipe, draw_images, format_number

MAX_AMOUNT = 100.0  # standard deviations, far outside any prior


class Along(BaseModel):
    """One direction and how far to move along it, in standard deviations of the prior."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    vector: Latent  # of length 1
    low: float = Field(ge=-MAX_AMOUNT, le=MAX_AMOUNT)  # the shift at the left end
    high: float = Field(ge=-MAX_AMOUNT, le=MAX_AMOUNT)  # at the right end; equal to `low`: of all columns

    @property
    def text(self) -> str:
        """The direction as `--direction` takes it: smile:-3..3."""
        return f"{self.name}:" + "..".join(map(format_number, dict.fromkeys((self.low, self.high))))

    @property
    def title(self) -> str:
        """The direction as the image names it: smile -3 to +3."""
        return f"{self.name} " + " to ".join(map(_format_signed, dict.fromkeys((self.low, self.high))))


class Edit(Recipe):
    """`facegan edit -o edit.png`: one row per face, which moves along directions from left to right."""

    command: ClassVar[str] = "edit"
    make: Literal["edit"] = "edit"
    points: Points
    along: tuple[Along, ...] = Field(min_length=1)  # their shifts add up
    kept: tuple[str, ...] = ()  # attributes that the directions are already orthogonal to
    columns: int = Field(7, ge=2, le=1000, title="--cols")

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
        vectors = [each.vector.z_of(generator, each.name) for each in self.along]
        shifts = [
            sum((amount * vector for amount, vector in zip(amounts, vectors, strict=True)), torch.zeros(z.shape[1]))
            for amounts in self.amounts()
        ]
        return torch.stack([shifted(z, shift, generator.prior) for shift in shifts], 1)

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
        names = [f"{each.name} " if len(moving) > 1 else "" for each in self.along]
        title = ", ".join(each.title for each in self.along)
        images = np.stack([image for _, image in self.faces(generator, reporter)])
        yield rows(
            images.reshape(len(self.points), self.columns, *images.shape[1:]),
            title=f"{title}, keeping {', '.join(self.kept)}" if self.kept else title,
            headings=[
                "\n".join(names[place] + _format_signed(amounts[place]) for place in moving)
                for amounts in self.amounts()
            ],
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


def _format_signed(amount: float) -> str:
    """Format an amount with its sign: +3, -1.5, 0."""
    amount = round(amount, 2) or 0.0
    return f"{amount:+g}" if amount else "0"
