"""Smileys: round yellow faces, drawn by the program. A dataset that is learned within a minute."""

import hashlib
import math
import random
from collections.abc import Iterator, Sequence
from typing import Any

from PIL import Image, ImageDraw
from pydantic import BaseModel, ConfigDict, Field

LARGER = 4  # drawing at this multiple of the size and then reducing makes smooth edges


class Smileys(BaseModel):
    """Smileys of different moods and colours on pale backgrounds; smiley i depends on the seed and i alone."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    num_images: int = Field(2000, ge=1, le=100_000, description="number of smileys")
    seed: int = Field(0, description="seed of the drawing")

    def open(self) -> "SmileyImages":
        """Return the source of images; nothing is drawn yet."""
        return SmileyImages(self.num_images, self.seed)


class SmileyImages:
    """An opened source of images, as `facegan.data.source.ImageSource` describes it.

    Attributes:
        names: One name per image: sorted, unique, the same every time.
        crop: The meaning of crop="auto" here: "none", because images are square and have the right size.
    """

    crop = "none"

    def __init__(self, num_images: int, seed: int) -> None:
        self.names = [f"smiley-{index:06d}" for index in range(num_images)]
        self._seed = seed

    def attributes(self, names: Sequence[str]) -> dict[str, list[Any]]:
        """Return one column: the happiness of each smiley, from -1 to 1."""
        return {"happiness": [round(self._rng(name).uniform(-1, 1), 3) for name in names]}

    def fingerprint(self, names: Sequence[str]) -> str:
        """Hash everything the pixels depend on; raise the version when the drawing changes."""
        return hashlib.sha256(f"smileys, version 1, seed {self._seed}: {' '.join(names)}".encode()).hexdigest()

    def read(self, names: Sequence[str], resolution: int) -> Iterator[tuple[str, Image.Image]]:
        """Draw each named image at resolution x resolution."""
        for name in names:
            yield name, self._draw(name, resolution)

    def _rng(self, name: str) -> random.Random:
        return random.Random(f"{self._seed} {name}")

    def _draw(self, name: str, resolution: int) -> Image.Image:
        rng, side = self._rng(name), resolution * LARGER
        happiness = round(rng.uniform(-1, 1), 3)
        background = tuple(rng.randint(190, 245) for _ in range(3))
        skin = (rng.randint(225, 255), rng.randint(170, 220), rng.randint(20, 90))
        x, y = (0.5 + rng.uniform(-0.05, 0.05) for _ in range(2))
        radius = rng.uniform(0.36, 0.42)

        def place(*offsets: float) -> list[float]:
            """Convert offsets from the centre of the face, in radii, to pixels."""
            return [side * ((y if index % 2 else x) + radius * offset) for index, offset in enumerate(offsets)]

        image = Image.new("RGB", (side, side), background)
        pen = ImageDraw.Draw(image)
        pen.ellipse(place(-1, -1, 1, 1), fill=skin)
        for eye in (-0.35, 0.35):
            pen.ellipse(place(eye - 0.11, -0.4, eye + 0.11, -0.12), fill=(50, 35, 20))
        mouth = [0.5 * step / 12 for step in range(-12, 13)]
        curve = [(at, 0.4 + 0.25 * happiness * math.cos(at * math.pi)) for at in mouth]
        points = [tuple(place(*point)) for point in curve]
        pen.line(points, fill=(50, 35, 20), width=max(1, round(side * radius * 0.1)), joint="curve")
        return image.resize((resolution, resolution), Image.Resampling.BOX)
