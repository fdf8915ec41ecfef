"""A frozen network that turns images into vectors, with everything that a number computed from them depends on."""

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
        title: Its name in tables.
        digest: SHA-256 of its weights, in hex.
        resize: How it resizes images before its first layer, in words; "none".
        comparable: What its numbers may be compared with.
        num_features: Length of a vector.
        see: Images uint8 (n, C, H, W) on the device to vectors float32 (n, num_features) there, and to the logits
            (n, classes) of a classifier, or None.
        device: Where it runs.
        version: Raised when the same weights and images would give other vectors.
        batch_size: Images at a time on the CPU; on a GPU it is more, and less where the memory does not suffice.
        lasting: Whether later runs will use the same network, so that vectors of real images are worth caching.
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
    """Return the SHA-256 of all tensors of a network's state and their names, in hex."""
    running = hashlib.sha256()
    for name, value in network.state_dict().items():
        running.update(name.encode() + value.detach().cpu().contiguous().numpy().tobytes())
    return running.hexdigest()
