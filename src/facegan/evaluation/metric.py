"""The contract of a metric: a frozen model whose fields are its protocol, and the pair of samples that it compares."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from ..data.image_set import ImageSet
from ..features import Embedding
from ..reporter import Progress

PIXELS = "pixels"  # the space of metrics that need no network

T = TypeVar("T")


@dataclass(frozen=True)
class Measurement:
    """A value with its 95 % confidence interval.

    Attributes:
        value: The number.
        interval: In 95 of 100 cases it contains the mean value of sets of as many generated images, the real ones held
            fixed; dropped where `Pair.intervals` asks for none.
        details: Further numbers that belong to it, for JSON: parts of the value, the real images' own value.
    """

    value: float
    interval: tuple[float, float] | None = None
    details: dict[str, Any] = field(default_factory=dict)


class Sample:
    """Images of one side, in an order that a seed fixed.

    Attributes:
        image_set: The images, and what is known about them.
        rows: int64 (n,): which of them, in which order.
        embedding: The vectors of these rows in the metric's space; None for metrics of pixels.
    """

    def __init__(
        self,
        images: ImageSet | NDArray[np.uint8],
        rows: NDArray[np.int64] | None = None,
        embedding: Embedding | None = None,
    ) -> None:
        """Take a set of images, or an array uint8 (N, C, H, W); `rows` None takes all in their order."""
        self.image_set = images if isinstance(images, ImageSet) else ImageSet(images, "images")
        self.rows = np.arange(len(images)) if rows is None else rows
        self.embedding = embedding

    @classmethod
    def shuffled(cls, images: ImageSet, seed: int, num: int | None = None) -> "Sample":
        """Return `num` of the images in an order drawn from a seed; None or 0: all."""
        return cls(images, np.random.default_rng(seed).permutation(len(images))[: num or None])

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, first: int, end: int) -> NDArray[np.uint8]:
        """Return the images of a part of the rows, in their order: uint8 (end - first, C, H, W)."""
        return np.asarray(self.images[self.rows[first:end]])

    @property
    def images(self) -> NDArray[np.uint8]:
        """All images of the set, uint8 (N, C, H, W), which `rows` indexes; may be memory-mapped."""
        return self.image_set.images

    pictures = images  # its older name, for plugins

    @property
    def seen(self) -> Embedding:
        """The embedding, which every metric with a space other than pixels is given."""
        assert self.embedding is not None, "a metric of pixels has no embedding"
        return self.embedding


@dataclass(frozen=True, eq=False)
class Pair:
    """The two sides that a metric compares."""

    real: Sample
    fake: Sample  # of a generator, of a folder, or, for the floor, real images as well
    held_out: ImageSet | None = None  # images that the model was not trained on; None: there are none
    intervals: bool = True  # whether intervals are wanted, which may take several times as long as the values
    device: str = "cpu"  # where large products may be computed
    seed: int = 0  # of random choices, such as subsets and directions
    progress: Progress = lambda *_: None  # called by a metric that takes long with (images done, of how many)
    _memory: dict[Any, Any] = field(default_factory=dict)

    @property
    def known(self) -> "Known":
        """Attributes of the real images, and held-out ones."""
        return Known(self)

    def once(self, key: Any, compute: Callable[[], T]) -> T:
        """Return the result of `compute`, which runs only for the first metric that asks: several share distances."""
        if key not in self._memory:
            self._memory[key] = compute()
        found: T = self._memory[key]
        return found

    def forget(self) -> None:
        """Free the results of `once`; distances of 10,000 to 10,000 vectors take 400 MB."""
        self._memory.clear()


@dataclass(frozen=True, eq=False)
class Known:
    """Attributes of a pair's real images, and held-out ones, for plugins."""

    pair: Pair = field(repr=False)

    @property
    def attributes(self) -> Mapping[str, Sequence[Any]]:
        """A column for each attribute, aligned with `Sample.images` of the reals; empty where none is known."""
        return self.pair.real.image_set.attributes

    @property
    def digest(self) -> str:
        """SHA-256 of the real images' pixels."""
        return self.pair.real.image_set.digest

    @property
    def heldout(self) -> NDArray[np.uint8] | None:
        """Images that the model was not trained on, uint8 (m, C, H, W); None: there are none."""
        return self.pair.held_out.images if self.pair.held_out else None


class Metric(BaseModel):
    """A metric; its fields are settings of its protocol and are written next to every value."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    title: ClassVar[str]  # its name in tables and plots
    better: ClassVar[Literal["lower", "higher", "nearer"]]  # nearer: to the value of real images
    space: ClassVar[str] = PIXELS  # the features it compares: of "pixels", "inception", "random" or "discriminator"
    at_least: ClassVar[int] = 2  # images of either side that it needs
    smallest: ClassVar[int] = 1  # pixels that the shorter side of images needs
    has_floor: ClassVar[bool] = True  # whether real images in the place of the fakes are a yardstick for it
    has_ratio: ClassVar[bool] = True  # whether values may be divided by that: not where it is 0 except by chance
    comparable: ClassVar[str] = ""  # with which numbers; "": as its network says, else any tool with the same protocol
    unit: ClassVar[str] = ""  # of the value, for axes; "" for a pure number

    @property
    def num_held_out(self) -> int:
        """How many held-out images it uses at most."""
        return 0

    def lacks(self, pair: Pair) -> str | None:
        """Return the reason why these images cannot be measured, or None if they can.

        Training asks before any image is embedded: then it concerns the number of images alone.
        """
        sides = (("real", pair.real), ("generated", pair.fake))
        for side, sample in sides:
            if sample.embedding is not None and not np.isfinite(sample.embedding.moments.mean).all():
                return f"the {self.space} network's vectors of {side} images are not finite"
        height, width = pair.fake.images.shape[2:]
        if min(height, width) < self.smallest:
            return f"needs images of at least {self.smallest} x {self.smallest} pixels (they have {width} x {height})"
        for side, sample in sides:
            if len(sample) < self.at_least:
                return f"needs at least {self.at_least:,} {side} images (there are {len(sample):,})"
        return None

    def measure(self, pair: Pair) -> Measurement:
        """Compare the fakes of a pair with its reals."""
        raise NotImplementedError
