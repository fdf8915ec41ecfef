"""The vectors of many images, in constant memory."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..errors import FaceganError
from ..reporter import Progress
from .extractor import Extractor
from .moments import Moments

MAX_FEATURES = 20_000  # vectors of one set that stay in memory; of more images only the moments are kept
MAX_LOGITS = 50_000  # logits of one set that stay in memory: as many as published Inception Scores use

BLOCK = 1024  # images that are read, and whose vectors join the moments, at once; on a GPU the first batch size
MAX_BLOCK_BYTES = 2**26  # of pixels


@dataclass(frozen=True, eq=False)
class Embedding:
    """The vectors of n images.

    Attributes:
        features: float32 (min(n, MAX_FEATURES), d): those of the first images.
        moments: Moments of all n.
        logits: float32 (min(n, MAX_LOGITS), classes), or None for a network that is no classifier.
    """

    features: NDArray[np.float32]
    moments: Moments
    logits: NDArray[np.float32] | None = None

    def __add__(self, other: "Embedding") -> "Embedding":
        """Return the embedding of these images and then the other ones."""
        logits = None
        if self.logits is not None and other.logits is not None:
            logits = _first(self.logits, other.logits, MAX_LOGITS)
        return Embedding(_first(self.features, other.features, MAX_FEATURES), self.moments + other.moments, logits)


def embed(
    extractor: Extractor,
    images: NDArray[np.uint8],
    rows: NDArray[np.int64],
    *,
    batch_size: int = 0,
    progress: Progress | None = None,
) -> Embedding:
    """Embed the given rows of images, in their order.

    The batch size changes no more than the rounding of the network's sums.

    Args:
        extractor: The network.
        images: uint8 (N, C, H, W), may be memory-mapped.
        rows: (n,) which of them, at least one.
        batch_size: Images at a time; 0: the extractor's own on the CPU, many on a GPU. Halved when memory runs out.
        progress: Called with (images embedded, of how many).

    Raises:
        FaceganError: A vector is not finite, or the memory does not suffice for one image.
    """
    num_features, num_logits = min(len(rows), MAX_FEATURES), min(len(rows), MAX_LOGITS)
    features = np.empty((num_features, extractor.num_features), np.float32)
    logits: NDArray[np.float32] | None = None
    moments = Moments.empty(extractor.num_features)
    batches, done = _Batches(extractor, batch_size), 0
    for block in _blocks(images, rows, pinned=batches.on_cuda):
        vectors = []
        for found, classes in batches(block):
            vectors.append(found)
            features[done : done + len(found)] = found[: max(0, num_features - done)]
            if classes is not None:
                logits = np.empty((num_logits, classes.shape[1]), np.float32) if logits is None else logits
                logits[done : done + len(found)] = classes[: max(0, num_logits - done)]
            done += len(found)
            if progress:
                progress(done, len(rows))
        moments.add(np.concatenate(vectors))
    return Embedding(features, moments, logits)


class _Batches:
    """An extractor that takes as many images at a time as the memory allows."""

    def __init__(self, extractor: Extractor, batch_size: int) -> None:
        self._extractor = extractor
        self.on_cuda = torch.device(extractor.device).type == "cuda"
        self._size = batch_size or (BLOCK if self.on_cuda else extractor.batch_size)

    def __call__(self, block: Tensor) -> Iterator[tuple[NDArray[np.float32], NDArray[np.float32] | None]]:
        """Yield the vectors and logits of images uint8 (n, C, H, W), batch by batch."""
        waiting = block
        while len(waiting):
            found = self._embed(waiting[: self._size])
            if found is None:
                self._size = max(1, min(self._size, len(waiting)) // 2)
                torch.cuda.empty_cache()
                continue
            waiting = waiting[len(found[0]) :]
            yield found

    def _embed(self, batch: Tensor) -> tuple[NDArray[np.float32], NDArray[np.float32] | None] | None:
        """Embed one batch; None when the memory did not suffice for it."""
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


def _blocks(images: NDArray[np.uint8], rows: NDArray[np.int64], *, pinned: bool) -> Iterator[Tensor]:
    """Yield the images in blocks; the next one is read while one is embedded."""
    size = max(1, min(BLOCK, MAX_BLOCK_BYTES // images[:1].nbytes))
    spans = [slice(start, start + size) for start in range(0, len(rows), size)]

    def read(span: slice) -> Tensor:
        order = np.argsort(rows[span])  # read from the disk in the order of the file
        block = np.empty((len(order), *images.shape[1:]), np.uint8)
        block[order] = images[rows[span][order]]
        found = torch.from_numpy(block)
        return found.pin_memory() if pinned else found

    with ThreadPoolExecutor(1) as reader:
        waiting = reader.submit(read, spans[0])
        for following in [*spans[1:], None]:
            block = waiting.result()
            if following:
                waiting = reader.submit(read, following)
            yield block


def _first(one: NDArray[np.float32], other: NDArray[np.float32], num: int) -> NDArray[np.float32]:
    """The first `num` of both in a row; nothing is copied where the first set alone suffices."""
    return one[:num] if len(one) >= num else np.concatenate([one, other[: num - len(one)]])
