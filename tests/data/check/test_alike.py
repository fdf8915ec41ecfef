import numpy as np
import pytest

from facegan.data.check.duplicates import HASH_BITS, MOST_BITS, groups_alike


def by_brute_force(hashes, distance):
    """Every pair compared, and groups joined one pair at a time."""
    group_of = {place: {place} for place in range(len(hashes))}
    for first in range(len(hashes)):
        for second in range(first + 1, len(hashes)):
            if (int(hashes[first]) ^ int(hashes[second])).bit_count() <= distance:
                joined = group_of[first] | group_of[second]
                group_of |= dict.fromkeys(joined, joined)
    groups = {tuple(sorted(group)) for group in group_of.values() if len(group) > 1}
    return [list(group) for group in sorted(groups)]


def hashes_of(rng, num, spread):
    """Random hashes, of which many differ from an earlier one in up to `spread` bits anywhere."""
    values = rng.integers(0, 2**64, num, dtype=np.uint64)
    for place in range(num // 2, num):
        values[place] = values[rng.integers(0, num // 2)]
        for bit in rng.integers(0, HASH_BITS, rng.integers(0, spread + 1)):
            values[place] ^= np.uint64(1) << np.uint64(bit)
    return rng.permutation(values)


@pytest.mark.parametrize("distance", [0, 1, 2, 4, 7, 10, MOST_BITS])
def test_search_finds_what_comparing_every_pair_finds(distance):
    hashes = hashes_of(np.random.default_rng(distance), 240, distance + 2)
    groups = groups_alike(hashes, distance)
    assert groups == by_brute_force(hashes, distance)
    assert len(groups) > 10 and any(len(group) > 2 for group in groups)


@pytest.mark.parametrize("distance", [0, 3, 8])
def test_search_is_exact_when_most_bits_are_the_same_in_all(distance):
    """All bands but one are equal then, so that every pair is met, and most of them many times."""
    rng = np.random.default_rng(1)
    hashes = rng.integers(0, 2**20, 200, dtype=np.uint64) | np.uint64(0xABC << 50)
    assert groups_alike(hashes, distance) == by_brute_force(hashes, distance)


def test_pairs_are_joined_in_parts_without_a_difference(monkeypatch):
    hashes = hashes_of(np.random.default_rng(2), 200, 5)
    whole = groups_alike(hashes, 4)
    monkeypatch.setattr("facegan.data.check.duplicates._PAIRS_AT_ONCE", 3)
    assert groups_alike(hashes, 4) == whole


@pytest.mark.parametrize("bits", [(0,), (63,), (0, 63), (12, 13), (0, 21, 42, 63)])
def test_hashes_are_near_up_to_the_distance_and_no_further(bits):
    other = sum(1 << bit for bit in bits)
    hashes = np.array([5, 5 ^ other], np.uint64)
    assert groups_alike(hashes, len(bits)) == [[0, 1]]
    assert groups_alike(hashes, len(bits) - 1) == []


def test_groups_are_connected_through_their_members():
    hashes = np.array([0b1111, 0, 0b11, 2**64 - 1], np.uint64)
    assert groups_alike(hashes, 2) == [[0, 1, 2]]


def test_many_equal_hashes_are_one_group():
    assert groups_alike(np.full(1000, 7, np.uint64), 4) == [list(range(1000))]


@pytest.mark.parametrize("num", [0, 1])
def test_nothing_to_compare_is_no_group(num):
    assert groups_alike(np.zeros(num, np.uint64), 4) == []


@pytest.mark.parametrize("distance", [-1, MOST_BITS + 1])
def test_distance_of_no_use_is_refused(distance):
    with pytest.raises(ValueError, match=f"the distance is {distance}; it must be 0 to 15"):
        groups_alike(np.zeros(2, np.uint64), distance)
