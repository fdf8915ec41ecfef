"""A frozen network that turns pictures into vectors, with all that a number taken from them must say of it."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

See = Callable[[Tensor], tuple[Tensor, Tensor | None]]


@dataclass(frozen=True, eq=False)
class Extractor:
    """A network in eval mode on its device.

    Attributes:
        key: "inception", "random" or "discriminator": the space that metrics name.
        title: In words, for tables.
        digest: SHA-256 of its weights, in hex.
        resize: What it does to pictures before its first layer, in words; "none".
        comparable: What its numbers may be compared with, in words.
        num_features: Length of a vector.
        see: Pictures uint8 (n, C, H, W) on the device to vectors float32 (n, num_features) there, and to the logits
            (n, classes) of a classifier, or None.
        device: Where it runs.
        version: Raised when the same weights and pictures would give other vectors.
    """

    key: str
    title: str
    digest: str
    resize: str
    comparable: str
    num_features: int
    see: See
    device: str = "cpu"
    version: int = 1
