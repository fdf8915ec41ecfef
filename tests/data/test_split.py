import hashlib
from collections.abc import Sequence

import pytest

from facegan.config import DataConfig
from facegan.data.split import select
from facegan.errors import DataError


class Named:
    crop = "auto"

    def __init__(self, names: Sequence[str]):
        self.names = names


PEOPLE = Named([f"lfw/person{i % 300:03d}/{i:04d}.jpg" for i in range(1500)])
FLAT = Named([f"{i:05d}.jpg" for i in range(2000)])


def taken(source, **settings):
    return select(source, DataConfig(source="faces/", **settings))


@pytest.mark.parametrize("source", [PEOPLE, FLAT], ids=["people", "flat"])
def test_train_and_heldout_share_nothing_and_miss_nothing(source):
    train, heldout = taken(source, split="train"), taken(source, split="heldout")
    assert not set(train) & set(heldout)
    assert sorted(train + heldout) == sorted(source.names) == sorted(taken(source))
    assert 0.06 < len(heldout) / len(source.names) < 0.14
    assert [name for name in source.names if name in set(train)] == train  # in their order


def test_nobody_is_in_both_parts():
    people = [{name.split("/")[1] for name in taken(PEOPLE, split=split)} for split in ("train", "heldout")]
    assert not people[0] & people[1]


def test_side_is_the_last_tenth_of_the_hash_of_the_name():
    heldout = {name.split("/")[1] for name in taken(PEOPLE, split="heldout")}
    for owner in (f"person{i:03d}" for i in range(300)):
        share = int.from_bytes(hashlib.sha256(owner.encode()).digest()[:8], "big") / 2**64
        assert (owner in heldout) == (share >= 0.9)


def test_nobody_changes_sides_when_others_come_or_the_folder_is_moved():
    before = set(taken(FLAT, split="heldout"))
    more = Named([f"elsewhere/{i:05d}.jpg" for i in range(4000)])
    after = {name.removeprefix("elsewhere/") for name in taken(more, split="heldout")}
    assert before == {name for name in after if name in set(FLAT.names)}


def test_one_folder_of_pictures_is_flat():
    source = Named([f"img_align_celeba/{i:06d}.jpg" for i in range(200)])
    assert 0 < len(taken(source, split="heldout")) < 200


def test_limit_is_the_first_of_what_the_split_leaves():
    assert taken(FLAT, split="train", limit=7) == taken(FLAT, split="train")[:7]
    assert taken(FLAT, limit=7) == FLAT.names[:7]
    assert len(taken(FLAT, limit=10_000)) == 2000


def test_empty_part_is_refused():
    with pytest.raises(DataError) as caught:
        taken(Named(["a/1.jpg", "b/2.jpg"]), split="heldout")
    assert str(caught.value) == (
        "faces/: no picture falls into data.split = heldout (of 2 sub-folders); give more, or data.split = all"
    )


def test_undecodable_file_names_can_be_split():
    source = Named([f"\udcff{i}.jpg" for i in range(200)])
    assert len(taken(source, split="train")) + len(taken(source, split="heldout")) == 200
