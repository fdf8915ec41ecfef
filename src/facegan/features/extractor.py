"""A frozen network that turns images into vectors, with everything that a number computed from them depends on."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor, nn

See = Callable[[Tensor], tuple[Tensor, Tensor | None]]


@dataclass(frozen=True, eq=False)
class Extractor:
    """A network in eval mode on its device."""

    key: str  # "inception", "random" or "discriminator": the space that metrics name
    title: str  # its name in tables
    digest: str  # SHA-256 of its weights, in hex
    resize: str  # how it resizes images before its first layer, in words; "none"
    comparable: str  # what its numbers may be compared with
    num_features: int  # length of a vector
    see: See  # uint8 (n, C, H, W) to vectors float32 (n, num_features) and a classifier's logits (n, classes), or None
    device: str = "cpu"
    version: int = 1  # raised when the same weights and images would give other vectors
    batch_size: int = 64  # on the CPU; on a GPU it is more, and less where the memory does not suffice
    lasting: bool = True  # whether later runs use the same network, so that vectors of real images are worth caching


def digest_of_weights(network: nn.Module) -> str:
    """Return the SHA-256 of all tensors of a network's state and their names, in hex."""
    running = hashlib.sha256()
    for name, value in network.state_dict().items():
        running.update(name.encode() + value.detach().cpu().contiguous().numpy().tobytes())
    return running.hexdigest()
