"""The vectors of many images, in constant memory, and their mean and covariance in float64."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.linalg.blas import dgemm
from torch import Tensor

from ..errors import FaceganError
from ..reporter import Progress
from .extractor import Extractor

MAX_FEATURES = 20_000  # vectors of one set that stay in memory; of more images only the moments are kept
MAX_LOGITS = 50_000  # logits of one set that stay in memory: as many as published Inception Scores use

BLOCK = 1024  # images that are read, and whose vectors join the moments, at once; on a GPU the first batch size
MAX_BLOCK_BYTES = 2**26  # of pixels


@dataclass
class Moments:
    """Count, mean and scatter of vectors that come in batches."""

    num: int
    mean: NDArray[np.float64]  # (d,)
    scatter: NDArray[np.float64]  # (d, d): the sum of (x - mean)(x - mean)^T

    @classmethod
    def empty(cls, num_features: int) -> "Moments":
        """Return the moments of no vectors."""
        return cls(0, np.zeros(num_features), np.zeros((num_features, num_features)))

    @classmethod
    def of(cls, vectors: NDArray[np.floating]) -> "Moments":
        """Return the moments of vectors (n, d), n >= 1."""
        moments = cls.empty(vectors.shape[1])
        moments.add(vectors)
        return moments

    def add(self, vectors: NDArray[np.floating]) -> None:
        """Add vectors (n, d), n >= 1, in place.

        Each batch is centred by its own mean, so that large means cost no digits. The distance between the two means
        joins the batch as one more row: scatter + rows^T rows is then one product, accumulated in place.

        Source: Chan, Golub, LeVeque, "Updating formulae and a pairwise algorithm for computing sample variances", 1979,
        equation 2.1.
        """
        centred = vectors.astype(np.float64)
        mean = centred.mean(0)
        centred -= mean
        num = self.num + len(centred)
        shift = mean - self.mean
        rows = np.vstack([centred, shift * np.sqrt(self.num * len(centred) / num)])  # (n + 1, d)
        self.scatter = dgemm(1.0, rows.T, rows.T, 1.0, self.scatter.T, trans_b=True, overwrite_c=True).T
        self.mean += shift * (len(centred) / num)
        self.num = num

    def __add__(self, other: "Moments") -> "Moments":
        """Return the moments of both sets together, by the same formula."""
        num = self.num + other.num
        shift = other.mean - self.mean
        scatter = self.scatter + other.scatter
        scatter += np.outer(shift, shift * (self.num * other.num / max(num, 1)))
        return Moments(num, self.mean + shift * (other.num / max(num, 1)), scatter)

    @property
    def covariance(self) -> NDArray[np.float64]:
        """The unbiased estimate, float64 (d, d): scatter / (num - 1)."""
        return self.scatter / (self.num - 1)


@dataclass(frozen=True, eq=False)
class Embedding:
    """The vectors of n images."""

    features: NDArray[np.float32]  # (min(n, MAX_FEATURES), d): those of the first images
    moments: Moments  # of all n
    logits: NDArray[np.float32] | None = None  # (min(n, MAX_LOGITS), classes); None for a network that is no classifier

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
    num_features, num_logits, done = min(len(rows), MAX_FEATURES), min(len(rows), MAX_LOGITS), 0
    features = np.empty((num_features, extractor.num_features), np.float32)
    logits: NDArray[np.float32] | None = None
    moments = Moments.empty(extractor.num_features)
    on_cuda = torch.device(extractor.device).type == "cuda"
    size = batch_size or (BLOCK if on_cuda else extractor.batch_size)
    for block in _blocks(images, rows, pinned=on_cuda):
        vectors, waiting = [], block
        while len(waiting):
            batch = _embed(extractor, waiting[:size])
            if batch is None:
                size = max(1, min(size, len(waiting)) // 2)
                torch.cuda.empty_cache()
                continue
            found, classes = batch
            vectors.append(found)
            features[done : done + len(found)] = found[: max(0, num_features - done)]
            if classes is not None:
                logits = np.empty((num_logits, classes.shape[1]), np.float32) if logits is None else logits
                logits[done : done + len(found)] = classes[: max(0, num_logits - done)]
            waiting, done = waiting[len(found) :], done + len(found)
            if progress:
                progress(done, len(rows))
        moments.add(np.concatenate(vectors))
    return Embedding(features, moments, logits)


def _embed(extractor: Extractor, batch: Tensor) -> tuple[NDArray[np.float32], NDArray[np.float32] | None] | None:
    """Return the vectors and logits of images uint8 (n, C, H, W); None when the memory does not suffice for them."""
    try:
        with torch.no_grad():
            vectors, logits = extractor.see(batch.to(extractor.device, non_blocking=True))
        found = vectors.float().cpu().numpy()
        classes = None if logits is None else logits.float().cpu().numpy()
    except torch.cuda.OutOfMemoryError:
        if len(batch) > 1:
            return None
        raise FaceganError(
            f"{extractor.device}: its memory does not suffice for one image; take --device cpu"
        ) from None
    if not np.isfinite(found).all():
        raise FaceganError(f"{extractor.title}: gives vectors that are not finite; images cannot be compared by it")
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
