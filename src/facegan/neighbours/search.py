"""Exact nearest neighbours among all training images, in constant memory, by matrix products."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import reduce

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..images import to_float
from ..reporter import SILENT, Reporter
from .feature_spaces import Space

_MAX_CHUNK = 512  # images; D's activations of more would take much memory
_CHUNK_BYTES = 2**25  # of images as floats, and of differences, at a time
_QUERY_BYTES = 2**29  # of queries' vectors at a time; more are searched in several passes
# A float32 product of vectors of length d errs by about sqrt(d) 6e-8 of their norms: 3e-5 at d = 256 x 256 x 3.
_SLACK = 1e-4


@dataclass(frozen=True, eq=False)
class NearestImages:
    """The nearest images of each query, (num_queries, k), nearest first; equal distances in the order of the images."""

    distances: NDArray[np.float64]  # in the space's unit
    indices: NDArray[np.int64]  # of the images
    mirrored: NDArray[np.bool_]  # whether the nearest is the mirror image

    def __getitem__(self, part: slice) -> "NearestImages":
        """Return the neighbours of some of the queries."""
        return NearestImages(self.distances[part], self.indices[part], self.mirrored[part])


def find_nearest(
    queries: NDArray[np.uint8],
    images: NDArray[np.uint8],
    space: Space,
    *,
    k: int = 1,
    mirror: bool = False,
    reporter: Reporter = SILENT,
) -> NearestImages:
    """Find the k nearest of all images to each query.

    Float32 products |a|^2 + |b|^2 - 2ab select the candidates, with room for their rounding, which is largest, relative
    to the distance, where a query is almost a copy. The differences of those few are then summed in float64: the
    result is exact for the space's vectors.

    Args:
        queries: uint8 (Q, C, H, W).
        images: uint8 (N, C, H, W), N >= k; may be memory-mapped, and is read in chunks.
        space: The space of the distances.
        k: Neighbours of each query.
        mirror: Whether an image's mirror image counts as the image: its distance is the smaller of both.
        reporter: Receives the number of images searched, over all passes.

    Raises:
        PluginError: D has no features.
    """
    length = space.rows(_floats(images[:1], space)).shape[1]
    group = max(1, _QUERY_BYTES // (4 * length))
    num_passes = -(-len(queries) // group)
    found = []
    for number in range(num_passes):
        part = queries[number * group : (number + 1) * group]
        search = _Search(torch.cat([space.rows(chunk) for _, chunk in _chunks(part, space)]), k)
        for start, chunk in _chunks(images, space):
            search.add(start, [space.rows(view) for view in ([chunk, chunk.flip(-1)] if mirror else [chunk])])
            done, total = number * len(images) + start + len(chunk), num_passes * len(images)
            reporter.progress(f"comparing {space.name}", done, total)
        found.append((search.squared, search.indices, search.mirrored))
    squared, indices, mirrored = (np.concatenate(each) for each in zip(*found, strict=True))
    return NearestImages(space.distances(squared), indices, mirrored)


class _Search:
    """The nearest images so far of queries (Q, d)."""

    def __init__(self, queries: Tensor, k: int) -> None:
        num = len(queries)
        self._queries, self._norms = queries, queries.square().sum(1)
        self.squared = np.full((num, k), np.inf)
        self.indices = np.full((num, k), -1, np.int64)
        self.mirrored = np.zeros((num, k), np.bool_)

    def add(self, start: int, views: list[Tensor]) -> None:
        """Add the images from number `start` on: their vectors (n, d), and optionally those of their mirror images."""
        k = self.squared.shape[1]
        norms = [view.square().sum(1) for view in views]
        # For each view, (Q, n): squared distances, rounded.
        near = [
            torch.addmm(norm, self._queries, view.T, alpha=-2).add_(self._norms[:, None])
            for view, norm in zip(views, norms, strict=True)
        ]
        closest = reduce(torch.minimum, near)
        limit = torch.from_numpy(self.squared[:, -1]).to(closest)
        if closest.shape[1] >= k:  # the last of this chunk's own k nearest; nothing farther is among the k nearest
            limit = limit.minimum(closest.kthvalue(k, dim=1).values)
        error = _SLACK * (self._norms + torch.cat(norms).max())
        limit = (limit + 2 * error)[:, None]  # twice: the limit errs as well
        for flipped, (view, squared) in enumerate(zip(views, near, strict=True)):
            rows, columns = (squared <= limit).nonzero(as_tuple=True)
            self._merge(rows.cpu().numpy(), columns.cpu().numpy() + start, self._exact(view, rows, columns), flipped)

    def _exact(self, view: Tensor, rows: Tensor, columns: Tensor) -> NDArray[np.float64]:
        """Return squared distances of pairs, from differences in float64, on the CPU: not every device has float64."""
        size = max(1, _CHUNK_BYTES // (8 * view.shape[1]))
        parts = [
            (self._queries[row].cpu().double() - view[column].cpu().double()).square().sum(1)
            for row, column in zip(rows.split(size), columns.split(size), strict=True)  # type: ignore[no-untyped-call]
        ]
        return torch.cat(parts).numpy()

    def _merge(
        self, rows: NDArray[np.int64], indices: NDArray[np.int64], squared: NDArray[np.float64], flipped: int
    ) -> None:
        """Keep the k nearest of each row, one entry per image."""
        num, k = self.squared.shape
        all_rows = np.concatenate([np.repeat(np.arange(num), k), rows])
        all_indices = np.concatenate([self.indices.ravel(), indices])
        all_squared = np.concatenate([self.squared.ravel(), squared])
        all_mirrored = np.concatenate([self.mirrored.ravel(), np.full(len(rows), bool(flipped))])
        # An image that is there as itself and mirrored keeps its nearer entry; the other goes to the end of its row.
        order = np.lexsort((all_mirrored, all_squared, all_indices, all_rows))
        again = (np.diff(all_rows[order]) == 0) & (np.diff(all_indices[order]) == 0)
        all_squared[order[1:][again]] = np.inf
        all_indices[order[1:][again]] = -1
        order = np.lexsort((all_indices, all_squared, all_rows))
        first = np.searchsorted(all_rows[order], np.arange(num))
        kept = order[first[:, None] + np.arange(k)]
        self.squared, self.indices, self.mirrored = all_squared[kept], all_indices[kept], all_mirrored[kept]


def _chunks(images: NDArray[np.uint8], space: Space) -> Iterator[tuple[int, Tensor]]:
    """Yield (number of the first image, images in [-1, 1] on the space's device) chunk by chunk."""
    size = min(_MAX_CHUNK, max(1, _CHUNK_BYTES // (4 * images[0].size)))
    for start in range(0, len(images), size):
        yield start, _floats(images[start : start + size], space)


def _floats(images: NDArray[np.uint8], space: Space) -> Tensor:
    return to_float(torch.from_numpy(np.array(images)).to(space.device))  # a copy: mapped images are read-only
