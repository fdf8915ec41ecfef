"""A frozen network that turns images into vectors, with all that a number taken from them must say of it."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor, nn

See = Callable[[Tensor], tuple[Tensor, Tensor | None]]


@dataclass(frozen=True, eq=False)
class Extractor:
    """A network in eval mode on its device.

    Attributes:
        key: "inception", "random" or "discriminator": the space that metrics name.
        title: In words, for tables.
        digest: SHA-256 of its weights, in hex.
        resize: What it does to images before its first layer, in words; "none".
        comparable: What its numbers may be compared with, in words.
        num_features: Length of a vector.
        see: Images uint8 (n, C, H, W) on the device to vectors float32 (n, num_features) there, and to the logits
            (n, classes) of a classifier, or None.
        device: Where it runs.
        version: Raised when the same weights and images would give other vectors.
        batch_size: Images at a time on the CPU; on a GPU it is more, and less where the memory does not suffice.
        lasting: Whether it will be asked again another day, so that what it says of real images is worth the disk.
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
    batch_size: int = 64
    lasting: bool = True


def digest_of_weights(network: nn.Module) -> str:
    """SHA-256 of all that a network's state holds, names included, in hex."""
    running = hashlib.sha256()
    for name, value in network.state_dict().items():
        running.update(name.encode() + value.detach().cpu().contiguous().numpy().tobytes())
    return running.hexdigest()
