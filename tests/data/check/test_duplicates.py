import numpy as np
import pytest
from PIL import Image

from facegan.data.check.duplicates import MOST_BITS, group_similar, perceptual_hash


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
        for bit in rng.integers(0, 64, rng.integers(0, spread + 1)):
            values[place] ^= np.uint64(1) << np.uint64(bit)
    return rng.permutation(values)


@pytest.mark.parametrize("distance", [0, 1, 4, MOST_BITS])
def test_search_finds_what_comparing_every_pair_finds(distance):
    hashes = hashes_of(np.random.default_rng(distance), 120, distance + 2)
    groups = group_similar(hashes, distance)
    assert groups == by_brute_force(hashes, distance)
    assert len(groups) > 5 and any(len(group) > 2 for group in groups)


@pytest.mark.parametrize("distance", [0, 8])
def test_search_is_exact_when_most_bits_are_the_same_in_all(distance):
    """All bands but one are equal then, so that every pair is met, and most of them many times."""
    rng = np.random.default_rng(1)
    hashes = rng.integers(0, 2**20, 100, dtype=np.uint64) | np.uint64(0xABC << 50)
    assert group_similar(hashes, distance) == by_brute_force(hashes, distance)


@pytest.mark.parametrize("bits", [(0,), (63,), (0, 63), (12, 13), (0, 21, 42, 63)])
def test_hashes_are_near_up_to_the_distance_and_no_further(bits):
    other = sum(1 << bit for bit in bits)
    hashes = np.array([5, 5 ^ other], np.uint64)
    assert group_similar(hashes, len(bits)) == [[0, 1]]
    assert group_similar(hashes, len(bits) - 1) == []


def test_groups_are_connected_through_their_members():
    hashes = np.array([0b1111, 0, 0b11, 2**64 - 1], np.uint64)
    assert group_similar(hashes, 2) == [[0, 1, 2]]


def test_many_equal_hashes_are_one_group():
    assert group_similar(np.full(1000, 7, np.uint64), 4) == [list(range(1000))]


@pytest.mark.parametrize("num", [0, 1])
def test_nothing_to_compare_is_no_group(num):
    assert group_similar(np.zeros(num, np.uint64), 4) == []


def soft_shapes(mode, size, seed):
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 5, 4), dtype=np.uint8)
    image = Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC)
    return image.convert("RGB").convert(mode) if mode == "CMYK" else image.convert(mode)


@pytest.mark.parametrize(
    ("mode", "size", "seed", "reference"),
    [
        ("RGB", (64, 64), 0, "834cf3a6f38c017e"),
        ("RGB", (178, 218), 1, "d7fdd9b661180145"),
        ("RGB", (31, 200), 2, "931339f8a46de836"),
        ("L", (40, 30), 3, "e958b4f8c4c9d8a5"),
        ("RGBA", (250, 250), 4, "87288ef857123eec"),
        ("CMYK", (90, 60), 5, "c2ececca6685d554"),
        ("1", (128, 96), 6, "e27e4817e0ff1807"),
        ("RGB", (8, 8), 7, "913df2be00f2496d"),
        ("L", (1, 1), 9, "8000000000000000"),
    ],
)
def test_perceptual_hash_is_that_of_imagehash(mode, size, seed, reference):
    """The references are str(imagehash.phash(image)) of imagehash 4.3.2."""
    assert f"{perceptual_hash(soft_shapes(mode, size, seed)):016x}" == reference


def test_perceptual_hash_of_a_plain_image_has_only_the_mean():
    assert perceptual_hash(Image.new("RGB", (50, 50))) == 0
    assert perceptual_hash(Image.new("L", (50, 50), 255)) == 1 << 63
