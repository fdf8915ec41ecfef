"""What an extractor says of many images, in constant memory."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..distances.moments import Moments
from ..errors import FaceganError
from .extractor import Extractor

KEPT = 20_000  # vectors of one set that stay in memory; of more images only the moments are kept
SCORED = 50_000  # logits of one set that stay in memory: as many as published Inception Scores are taken of

_BLOCK = 1024  # images that are read, and whose vectors join the moments, at once; on a GPU a batch, to begin with
_MOST_BYTES = 2**26  # of a block's pixels

Progress = Callable[[int, int], None]  # (images looked at, of how many)


@dataclass(frozen=True, eq=False)
class Embedding:
    """The vectors of n images.

    Attributes:
        features: float32 (min(n, KEPT), d): those of the first images.
        moments: Of all n.
        logits: float32 (min(n, SCORED), classes), or None for a network that is no classifier.
    """

    features: NDArray[np.float32]
    moments: Moments
    logits: NDArray[np.float32] | None = None

    def __add__(self, other: "Embedding") -> "Embedding":
        """Of these images and then those."""
        logits = None
        if self.logits is not None and other.logits is not None:
            logits = _first(self.logits, other.logits, SCORED)
        return Embedding(_first(self.features, other.features, KEPT), self.moments + other.moments, logits)


def embed(
    extractor: Extractor,
    pictures: NDArray[np.uint8],
    rows: NDArray[np.int64],
    *,
    batch_size: int = 0,
    progress: Progress | None = None,
) -> Embedding:
    """Look at the given rows of images once, in their order.

    The batch size changes no more than the rounding of the network's sums.

    Args:
        extractor: The network.
        pictures: uint8 (N, C, H, W), may be memory-mapped.
        rows: (n,) which of them, one at least.
        batch_size: Images at a time; 0: the extractor's own on the CPU, many on a GPU. Halved when memory runs out.
        progress: Called with (images looked at, of how many).

    Raises:
        FaceganError: A vector is not finite, or the memory does not suffice for one image.
    """
    kept, scored = min(len(rows), KEPT), min(len(rows), SCORED)
    features = np.empty((kept, extractor.num_features), np.float32)
    logits: NDArray[np.float32] | None = None
    moments = Moments.empty(extractor.num_features)
    look, done = _Look(extractor, batch_size), 0
    for block in _blocks(pictures, rows, pinned=look.on_cuda):
        vectors = []
        for seen, classes in look(block):
            vectors.append(seen)
            features[done : done + len(seen)] = seen[: max(0, kept - done)]
            if classes is not None:
                logits = np.empty((scored, classes.shape[1]), np.float32) if logits is None else logits
                logits[done : done + len(seen)] = classes[: max(0, scored - done)]
            done += len(seen)
            if progress:
                progress(done, len(rows))
        moments.add(np.concatenate(vectors))
    return Embedding(features, moments, logits)


class _Look:
    """An extractor that takes as many images at a time as the memory allows."""

    def __init__(self, extractor: Extractor, batch_size: int) -> None:
        self._extractor = extractor
        self.on_cuda = torch.device(extractor.device).type == "cuda"
        self._most = batch_size or (_BLOCK if self.on_cuda else extractor.batch_size)

    def __call__(self, block: Tensor) -> Iterator[tuple[NDArray[np.float32], NDArray[np.float32] | None]]:
        """Yield the vectors and logits of images uint8 (n, C, H, W), batch by batch."""
        waiting = block
        while len(waiting):
            seen = self._see(waiting[: self._most])
            if seen is None:
                self._most = max(1, min(self._most, len(waiting)) // 2)
                torch.cuda.empty_cache()
                continue
            waiting = waiting[len(seen[0]) :]
            yield seen

    def _see(self, batch: Tensor) -> tuple[NDArray[np.float32], NDArray[np.float32] | None] | None:
        """Of one batch; None when the memory did not suffice for it."""
        device = self._extractor.device
        try:
            with torch.no_grad():
                vectors, logits = self._extractor.see(batch.to(device, non_blocking=True))
            found = vectors.float().cpu().numpy()
            classes = None if logits is None else logits.float().cpu().numpy()
        except torch.cuda.OutOfMemoryError:
            if len(batch) > 1:
                return None
            raise FaceganError(f"{device}: its memory does not suffice for one image; take --device cpu") from None
        if not np.isfinite(found).all():
            title = self._extractor.title
            raise FaceganError(f"{title}: gives vectors that are not finite; images cannot be compared by it")
        return found, classes


def _blocks(pictures: NDArray[np.uint8], rows: NDArray[np.int64], *, pinned: bool) -> Iterator[Tensor]:
    """The images in blocks; the next is read while one is looked at."""
    most = max(1, min(_BLOCK, _MOST_BYTES // pictures[:1].nbytes))
    spans = [slice(start, start + most) for start in range(0, len(rows), most)]

    def read(span: slice) -> Tensor:
        order = np.argsort(rows[span])  # from the disk in the order in which they lie there
        block = np.empty((len(order), *pictures.shape[1:]), np.uint8)
        block[order] = pictures[rows[span][order]]
        found = torch.from_numpy(block)
        return found.pin_memory() if pinned else found

    with ThreadPoolExecutor(1) as reader:
        waiting = reader.submit(read, spans[0])
        for following in [*spans[1:], None]:
            block = waiting.result()
            if following:
                waiting = reader.submit(read, following)
            yield block


def _first(one: NDArray[np.float32], other: NDArray[np.float32], most: int) -> NDArray[np.float32]:
    """The first of both in a row; nothing is copied where one alone is enough."""
    return one[:most] if len(one) >= most else np.concatenate([one, other[: most - len(one)]])
