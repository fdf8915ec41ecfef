"""Real images and fakes, as metrics get them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from ..features import Embedding

T = TypeVar("T")
Progress = Callable[[int, int], None]


def silent(_: int, __: int) -> None:
    """Tells nobody."""


@dataclass(frozen=True, eq=False)
class Sample:
    """Pictures of one side, in an order that a seed fixed.

    Attributes:
        pictures: uint8 (N, C, H, W), may be memory-mapped.
        rows: int64 (n,): which of them.
        embedding: What the metric's extractor says of these rows; None for metrics in pixels.
    """

    pictures: NDArray[np.uint8]
    rows: NDArray[np.int64]
    embedding: Embedding | None = None

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, first: int, end: int) -> NDArray[np.uint8]:
        """The images of a part of the rows, in their order: uint8 (end - first, C, H, W)."""
        return np.asarray(self.pictures[self.rows[first:end]])

    @property
    def seen(self) -> Embedding:
        """The embedding, of which a metric with a space other than pixels can be sure."""
        assert self.embedding is not None, "a metric in pixels has no embedding"
        return self.embedding


@dataclass(frozen=True, eq=False)
class Known:
    """What is known of the real images beyond their pixels.

    Attributes:
        attributes: One column each, aligned with `Sample.pictures` of the reals; empty where nothing is known.
        digest: SHA-256 of the real images' pixels.
        heldout: Images that the model was not trained on, uint8 (m, C, H, W); None: there are none.
        mirror: Whether mirror images were trained on, too.
        trained: Whether the real images are those that the model was trained on.
        names: The real images' names, for the attributes' classifier to keep people together.
    """

    attributes: dict[str, list[Any]] = field(default_factory=dict)
    digest: str = ""
    heldout: NDArray[np.uint8] | None = None
    mirror: bool = False
    trained: bool = False
    names: Sequence[str] = ()


@dataclass(frozen=True, eq=False)
class Pair:
    """What is compared.

    Attributes:
        real: Real images.
        fake: Those that are judged: of a generator, of a folder, or, for the floor, real ones as well.
        known: Of the real images.
        intervals: Whether intervals are wanted.
        device: Where large products may be computed.
        seed: Of whatever is drawn: subsets, directions.
        progress: What a metric that takes long may call with (images done, of how many).
    """

    real: Sample
    fake: Sample
    known: Known = field(default_factory=Known)
    intervals: bool = True
    device: str = "cpu"
    seed: int = 0
    progress: Progress = silent
    _memory: dict[Any, Any] = field(default_factory=dict)

    def once(self, key: Any, compute: Callable[[], T]) -> T:
        """What `compute` returns, computed for the first metric that asks: several share distances."""
        if key not in self._memory:
            self._memory[key] = compute()
        found: T = self._memory[key]
        return found

    def forget(self) -> None:
        """Free what `once` holds; distances of 10,000 to 10,000 vectors take 400 MB."""
        self._memory.clear()
