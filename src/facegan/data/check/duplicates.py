"""Near duplicates: groups of images whose perceptual hashes differ in a few bits."""

from collections.abc import Iterator
from itertools import count, pairwise

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.fft import dct
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

MOST_BITS = 15  # a search is useful up to here: images of one kind, such as faces, are about 24 to 32 bits apart


def perceptual_hash(image: Image.Image) -> int:
    """Return the 64-bit pHash of an image: which of its 8x8 lowest DCT frequencies lie above their median.

    The same as `imagehash.phash`. Source: Zauner, "Implementation and benchmarking of perceptual image hash functions",
    2010, section 3.2.1.
    """
    pixels = np.asarray(image.convert("L").resize((32, 32), Image.Resampling.LANCZOS), np.float64)
    low = dct(dct(pixels, axis=0), axis=1)[:8, :8]
    return int.from_bytes(np.packbits(low > np.median(low)).tobytes(), "big")


def group_similar(hashes: NDArray[np.uint64], distance: int) -> list[list[int]]:
    """Divide hashes into connected groups: in each, every hash is within `distance` bits of another one.

    The search is exact. Of two hashes that differ in d bits, at least one of d + 1 bands of bits is the same in both
    (the pigeonhole principle), so only hashes with a band in common are compared.

    Returns:
        The groups of two or more, as ascending positions in `hashes`, ordered by their first.
    """
    distinct, places = np.unique(hashes, return_inverse=True)
    labels = np.arange(len(distinct))
    for low, high in pairwise(np.linspace(0, 64, distance + 2).astype(int).tolist()):
        band = (distinct >> np.uint64(low)) & np.uint64(2 ** (high - low) - 1)
        for one, other in _equal_pairs(band):
            near = np.bitwise_count(distinct[one] ^ distinct[other]) <= distance
            edges = labels[one[near]], labels[other[near]]
            if np.any(edges[0] != edges[1]):
                graph = coo_array((np.ones(len(edges[0])), edges), shape=(len(labels), len(labels)))
                labels = connected_components(graph, directed=False)[1][labels]
    labels = labels[places]
    order = np.argsort(labels, kind="stable")
    starts = np.flatnonzero(np.diff(labels[order])) + 1
    return sorted(group.tolist() for group in np.split(order, starts) if len(group) > 1)


def _equal_pairs(band: NDArray[np.uint64]) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Yield the places of all pairs of equal values, in arrays that are no longer than the band.

    In the sorted band each value is paired with the next, then with the next but one, and so on.
    """
    order = np.argsort(band, kind="stable")
    ends = np.searchsorted(band[order], band[order], side="right")  # of the run of equal values
    here = np.arange(len(band))
    for apart in count(1):
        here = here[here + apart < ends[here]]
        if not len(here):
            return
        yield order[here], order[here + apart]
