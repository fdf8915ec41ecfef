"""Groups of images that look alike: perceptual hashes that differ in a few bits."""

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

HASH_BITS = 64
MOST_BITS = 15  # as far as a search is of use: images of one kind, such as faces, are about 24 to 32 bits apart
_PAIRS_AT_ONCE = 2**20


def groups_alike(hashes: NDArray[np.uint64], distance: int) -> list[list[int]]:
    """Divide hashes into connected groups: in each, every hash is within `distance` bits of another one.

    The search is exact. Of two hashes that differ in d bits, at least one of d + 1 bands of bits is the same in both
    (the pigeonhole principle), so only hashes with a band in common are compared.

    Args:
        hashes: uint64 (N,).
        distance: Bits that may differ, 0 to MOST_BITS.

    Returns:
        The groups of two or more, as ascending places in `hashes`, ordered by their first.

    Raises:
        ValueError: The distance lies outside 0 to MOST_BITS.
    """
    if not 0 <= distance <= MOST_BITS:
        raise ValueError(f"the distance is {distance}; it must be 0 to {MOST_BITS}")
    distinct, places = np.unique(hashes, return_inverse=True)
    labels = np.arange(len(distinct))
    edges = np.linspace(0, HASH_BITS, distance + 2).astype(int)
    for low, high in pairwise(edges.tolist()):
        labels = _joined_by_band(distinct, labels, low, high, distance)
    return _members(labels[places])


def _joined_by_band(
    hashes: NDArray[np.uint64], labels: NDArray[np.int64], low: int, high: int, distance: int
) -> NDArray[np.int64]:
    """The labels after joining all pairs within `distance` whose bits low...high-1 are equal."""
    band = (hashes >> np.uint64(low)) & np.uint64(2 ** (high - low) - 1)
    order = np.argsort(band, kind="stable")
    hashes, band = hashes[order], band[order]
    ends = np.searchsorted(band, band, side="right")  # where the run of equal bands ends
    here, pairs, waiting = np.arange(len(hashes)), [], 0
    # The first of each run is compared with the second, the second with the third ..., then with the next but one,
    # and so on: all pairs of all runs in steps that are vectors, in memory that grows with N alone.
    for apart in range(1, len(hashes)):
        here = here[here + apart < ends[here]]
        if not len(here):
            break
        near = here[np.bitwise_count(hashes[here] ^ hashes[here + apart]) <= distance]
        if len(near):
            pairs.append((order[near], order[near + apart]))
            waiting += len(near)
        if waiting > _PAIRS_AT_ONCE:
            labels, pairs, waiting = _joined(labels, pairs), [], 0
    return _joined(labels, pairs)


def _joined(labels: NDArray[np.int64], pairs: list[tuple[NDArray[np.int64], NDArray[np.int64]]]) -> NDArray[np.int64]:
    """The labels after giving the two of each pair, and all that bear theirs, the same one."""
    if not pairs:
        return labels
    one, other = (labels[np.concatenate(side)] for side in zip(*pairs, strict=True))
    graph = coo_array((np.ones(len(one)), (one, other)), shape=(len(labels), len(labels)))
    joined: NDArray[np.int64] = connected_components(graph, directed=False)[1]
    return joined[labels]


def _members(labels: NDArray[np.int64]) -> list[list[int]]:
    """The places of each label that occurs more than once."""
    order = np.argsort(labels, kind="stable")
    starts = np.flatnonzero(np.diff(labels[order])) + 1
    groups = [group.tolist() for group in np.split(order, starts) if len(group) > 1]
    return sorted(groups)
