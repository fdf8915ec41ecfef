"""Arithmetic on faces: means of points, added and subtracted."""

from collections.abc import Iterator
from itertools import zip_longest
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from .. import latents
from ..errors import ConfigError
from ..generator import FaceGenerator
from ..images.layouts import Term, equation, equation_size
from ..reporter import Reporter
from ..seeds import Points
from .recipe import Recipe, draw_images

MAX_PER_TERM = 10_000  # points; the mean of so many has 1 % of a latent's length: nothing is left of it
SHOWN = 12  # faces of a term


class Arithmetic(Recipe):
    """`facegan arithmetic`: the faces of each term over their mean's face, the sum, and the sum's noisy neighbours."""

    command: ClassVar[str] = "arithmetic"
    make: Literal["arithmetic"] = "arithmetic"
    plus: tuple[Points, ...]  # each term is averaged
    minus: tuple[Points, ...] = ()
    noise: float = Field(0.25, ge=0, le=100, title="--noise")  # half the width of the neighbours' uniform noise
    seed: int = Field(0, ge=0, lt=2**32, title="--seed")  # of the noise
    rescale: bool = False  # to the length of the prior's latents, which the paper does not do

    def model_post_init(self, _: object) -> None:
        """Refuse no terms and terms of too many points; raises ConfigError."""
        if not self.plus:
            raise ConfigError("arithmetic: nothing to add up; give --plus with seeds, for instance --plus 1,5,9")
        for _, term in self.terms():
            if len(term) > MAX_PER_TERM:
                raise ConfigError(
                    f"a term has {len(term):,} points; give at most {MAX_PER_TERM:,}, of more the mean is all but 0"
                )

    def terms(self) -> list[tuple[str, Points]]:
        """Return the terms with their signs: the first one added, the first one subtracted, the second ..."""
        pairs = zip_longest(self.plus, self.minus)
        return [(sign, term) for pair in pairs for sign, term in zip("+-", pair, strict=True) if term is not None]

    def z(self, generator: FaceGenerator) -> Tensor:
        """Return the sum, float32 (z_dim,) on the CPU.

        Raises:
            SnapshotError: A latent is another model's.
            ConfigError: The terms cancel each other, and a sum of 0 cannot be rescaled.
        """
        plus, minus = ([term.z(generator) for term in terms] for terms in (self.plus, self.minus))
        z = latents.combine(plus, minus)
        if not self.rescale:
            return z
        if not z.any():
            raise ConfigError("the terms cancel each other; their sum is 0 and cannot be rescaled")
        rescaled: Tensor = z * (latents.typical_length(generator.z_dim, generator.prior) / z.norm())
        return rescaled

    def size(self, resolution: int) -> tuple[int, int]:
        """Return the height and width of the equation in pixels."""
        return equation_size([len(term) for _, term in self.terms()], resolution)

    def _frames(self, generator: FaceGenerator, reporter: Reporter) -> Iterator[np.ndarray]:
        terms = [(sign, points.labels(), points.z(generator)) for sign, points in self.terms()]
        around = latents.neighbourhood(self.z(generator), self.noise, self.seed)
        rows = [part for _, _, z in terms for part in (z[:SHOWN], latents.combine([z])[None])] + [around]
        faces = np.concatenate(list(draw_images(generator, torch.cat(rows), reporter)))
        parts = iter(np.split(faces, np.cumsum([len(part) for part in rows])[:-1]))
        columns = [Term(sign, next(parts), labels, next(parts)) for sign, labels, _ in terms]
        caption = "their sum, rescaled" if self.rescale else "their sum"
        yield equation(columns, next(parts), (caption, f"with noise of ±{self.noise:g}"))

    def _options(self) -> list[tuple[str, Any]]:
        return [
            *(("--plus" if sign == "+" else "--minus", term.text) for sign, term in self.terms()),
            ("--noise", self.noise if self.noise != 0.25 else None),
            ("--seed", self.seed or None),
            ("--rescale", self.rescale),
        ]
