"""Near duplicates: groups of images whose perceptual hashes differ in a few bits."""

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.fft import dct
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

HASH_BITS = 64
MOST_BITS = 15  # a search is useful up to here: images of one kind, such as faces, are about 24 to 32 bits apart
_PAIRS_AT_ONCE = 2**20


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

    Args:
        hashes: uint64 (N,).
        distance: Bits that may differ, 0 to MOST_BITS.

    Returns:
        The groups of two or more, as ascending positions in `hashes`, ordered by their first.

    Raises:
        ValueError: The distance is not from 0 to MOST_BITS.
    """
    if not 0 <= distance <= MOST_BITS:
        raise ValueError(f"the distance is {distance}; it must be 0 to {MOST_BITS}")
    distinct, places = np.unique(hashes, return_inverse=True)
    labels = np.arange(len(distinct))
    edges = np.linspace(0, HASH_BITS, distance + 2).astype(int)
    for low, high in pairwise(edges.tolist()):
        labels = _join_band(distinct, labels, low, high, distance)
    labels = labels[places]
    order = np.argsort(labels, kind="stable")
    starts = np.flatnonzero(np.diff(labels[order])) + 1
    return sorted(group.tolist() for group in np.split(order, starts) if len(group) > 1)


def _join_band(
    hashes: NDArray[np.uint64], labels: NDArray[np.int64], low: int, high: int, distance: int
) -> NDArray[np.int64]:
    """Return the labels after joining all pairs within `distance` whose bits low...high-1 are equal."""
    band = (hashes >> np.uint64(low)) & np.uint64(2 ** (high - low) - 1)
    order = np.argsort(band, kind="stable")
    hashes, band = hashes[order], band[order]
    ends = np.searchsorted(band, band, side="right")  # where the run of equal bands ends
    here, pairs, num_pairs = np.arange(len(hashes)), [], 0
    # The first of each run is compared with the second, the second with the third ..., then with the next but one,
    # and so on: all pairs of all runs in vectorized steps, in memory proportional to N.
    for apart in range(1, len(hashes)):
        here = here[here + apart < ends[here]]
        if not len(here):
            break
        near = here[np.bitwise_count(hashes[here] ^ hashes[here + apart]) <= distance]
        if len(near):
            pairs.append((order[near], order[near + apart]))
            num_pairs += len(near)
        if num_pairs > _PAIRS_AT_ONCE:
            labels, pairs, num_pairs = _join(labels, pairs), [], 0
    return _join(labels, pairs)


def _join(labels: NDArray[np.int64], pairs: list[tuple[NDArray[np.int64], NDArray[np.int64]]]) -> NDArray[np.int64]:
    """Return the labels after giving both of each pair, and all that share theirs, the same one."""
    if not pairs:
        return labels
    one, other = (labels[np.concatenate(side)] for side in zip(*pairs, strict=True))
    graph = coo_array((np.ones(len(one)), (one, other)), shape=(len(labels), len(labels)))
    joined: NDArray[np.int64] = connected_components(graph, directed=False)[1]
    return joined[labels]
