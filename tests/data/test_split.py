import hashlib
from collections.abc import Sequence

import pytest

from facegan.config import DataConfig
from facegan.data.drawn import DrawnFaces
from facegan.data.open import open_source
from facegan.data.packed.load import load, pack_folder
from facegan.data.split import is_held_out, owners, select
from facegan.errors import DataError


class Named:
    crop = "auto"

    def __init__(self, names: Sequence[str], **columns):
        self.names = names
        self._rows = {name: row for row, name in enumerate(names)}
        self._columns = columns

    def attributes(self, names):
        return {key: [column[self._rows[name]] for name in names] for key, column in self._columns.items()}


PEOPLE = Named([f"lfw/person{i % 300:03d}/{i:04d}.jpg" for i in range(900)])
FLAT = Named([f"{i:05d}.jpg" for i in range(1000)])


def taken(source, **settings):
    return select(source, DataConfig(source="faces/", **settings))


@pytest.mark.parametrize("source", [PEOPLE, FLAT], ids=["people", "flat"])
def test_train_and_heldout_share_nothing_and_miss_nothing(source):
    train, heldout = taken(source, split="train"), taken(source, split="heldout")
    assert not set(train) & set(heldout)
    assert sorted(train + heldout) == sorted(source.names) == sorted(taken(source))
    assert 0.06 < len(heldout) / len(source.names) < 0.14
    assert [name for name in source.names if name in set(train)] == train  # in their order
    assert source is FLAT or not {name.split("/")[1] for name in train} & {name.split("/")[1] for name in heldout}


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


def test_limit_is_the_first_of_what_the_split_leaves():
    assert taken(FLAT, split="train", limit=7) == taken(FLAT, split="train")[:7]
    assert taken(FLAT, limit=7) == FLAT.names[:7]
    assert len(taken(FLAT, limit=10_000)) == 1000


def test_empty_part_is_refused():
    with pytest.raises(DataError) as caught:
        taken(Named(["a/1.jpg", "b/2.jpg"]), split="heldout")
    assert str(caught.value) == (
        "faces/: no image falls into data.split = heldout (of 2 sub-folders); give more, or data.split = all"
    )


def test_undecodable_file_names_can_be_split():
    source = Named([f"\udcff{i}.jpg" for i in range(200)])
    assert len(taken(source, split="train")) + len(taken(source, split="heldout")) == 200


PARTS = ["train", "val", "test", None, "train"]
ANNOTATED = Named(
    [f"{i}.jpg" for i in range(1, 6)],
    partition=PARTS,
    smiling=[True, False, True, None, True],
    age=[20, 30.5, 40, 50, None],
    mouth=["smile", "open", "smile", "smile", "open"],
)


@pytest.mark.parametrize(
    ("split", "names"),
    [("train", "15"), ("val", "2"), ("test", "3"), ("heldout", "234"), ("all", "12345")],
)
def test_official_partition_comes_before_the_hash(split, names):
    assert taken(ANNOTATED, split=split) == [f"{name}.jpg" for name in names]


@pytest.mark.parametrize(
    ("where", "names"),
    [
        ("smiling=1", "135"),
        ("smiling=0", "2"),
        ("smiling!=1", "2"),
        ("age>30", "234"),
        ("age<=30.5", "12"),
        ("mouth=smile", "134"),
        ("mouth=smile,age<50", "13"),
        ("partition=train", "15"),
        ("", "12345"),
    ],
)
def test_attributes_choose(where, names):
    assert taken(ANNOTATED, where=where) == [f"{name}.jpg" for name in names]


def test_order_is_split_then_where_then_limit():
    assert taken(ANNOTATED, split="train", where="smiling=1") == ["1.jpg", "5.jpg"]
    assert taken(ANNOTATED, split="train", where="smiling=1", limit=1) == ["1.jpg"]
    assert taken(ANNOTATED, split="heldout", where="mouth=smile") == ["3.jpg", "4.jpg"]
    assert taken(ANNOTATED, where="mouth=open", limit=1) == ["2.jpg"]  # not: the first image, if its mouth is open


def refusal(source, **settings):
    with pytest.raises(DataError) as caught:
        taken(source, **settings)
    return str(caught.value)


def test_part_that_the_official_partition_lacks_is_refused():
    source = Named(["1.jpg", "2.jpg"], partition=["train", "test"])
    assert refusal(source, split="val") == (
        "faces/: no image is in data.split = val of its official partition (it has: test, train); "
        "give more, or data.split = all"
    )


@pytest.mark.parametrize("part", ["val", "test"])
def test_val_and_test_need_an_official_partition(part):
    assert refusal(FLAT, split=part) == (
        f"faces/: data.split = {part}, but its images have no official partition; take train or heldout (90 % and "
        "10 %), or put CelebA's list_eval_partition.txt or an attributes.csv with a column 'partition' next to them"
    )


def test_unknown_attribute_is_refused_with_the_nearest():
    assert (
        refusal(ANNOTATED, where="Smilin=1")
        == "faces/: data.where: there is no attribute 'Smilin'; did you mean 'smiling'?"
    )
    assert refusal(ANNOTATED, where="hat=1") == (
        "faces/: data.where: there is no attribute 'hat'; there is: partition, smiling, age, mouth"
    )


def test_source_that_knows_nothing_is_refused():
    assert refusal(FLAT, where="Smiling=1") == (
        "faces/: data.where is 'Smiling=1', but these images have no attributes; "
        "put an attributes.csv (or CelebA's list_attr_celeba.txt) next to them"
    )


def test_nothing_chosen_is_refused():
    assert refusal(ANNOTATED, where="age>90,smiling=1") == (
        "faces/: none of 5 images has data.where = 'age>90,smiling=1'; ask for less"
    )


def test_value_that_does_not_fit_is_refused():
    assert refusal(ANNOTATED, where="smiling=perhaps") == (
        "faces/: data.where: 'smiling' is true or false, not 'perhaps'; give 1 or 0"
    )


def test_drawn_faces_are_chosen_by_their_attributes():
    source = DrawnFaces(num_images=200).open()
    chosen = taken(source, where="glasses=1,hair_colour=black,smile>0")
    known = source.attributes(chosen)
    assert 0 < len(chosen) < 50
    assert set(known["glasses"]) == {True} and set(known["hair_colour"]) == {"black"} and min(known["smile"]) > 0


def test_packed_images_are_chosen_by_the_attributes_that_were_packed(folder, tmp_path):
    root = folder("a.png", "b.png", "c.png", "d.png")
    (root / "attributes.csv").write_text("file,Smiling,partition\na.png,true,0\nb.png,false,0\nd.png,true,1\n")
    pack_folder(DataConfig(source=str(root)), tmp_path / "packed", resolution=16, channels=3)
    source = open_source(DataConfig(source=str(tmp_path / "packed")))
    assert source.attributes(source.names)["Smiling"] == [True, False, None, True]
    assert taken(source, where="Smiling=1") == ["a.png", "d.png"]
    assert taken(source, where="Smiling=1", split="val") == ["d.png"]
    chosen = DataConfig(source=str(tmp_path / "packed"), crop="auto", where="Smiling=1")
    assert load(chosen, resolution=16, channels=3).names == ["a.png", "d.png"]


def test_shares_and_salts_hold_out_other_people():
    people = [f"person {number}" for number in range(4000)]
    tenth, fifth, salted = (
        {person for person in people if is_held_out(person, **how)} for how in ({}, {"share": 5}, {"salt": "other "})
    )
    assert len(tenth) == pytest.approx(400, abs=60)
    assert len(fifth) == pytest.approx(800, abs=80)
    assert tenth < fifth
    assert len(tenth & salted) == pytest.approx(40, abs=20)


def test_images_belong_to_their_folders_or_in_a_flat_source_to_themselves():
    assert owners(["ann/1.png", "ann/2.png", "bob/1.png"]) == ["ann", "ann", "bob"]
    assert owners(["1.png", "2.png"]) == ["1", "2"]
    assert owners(["all/1.png", "all/2.png"]) == ["1", "2"]
    assert owners(["all/1.png", "all/2.png"], ["others/1.png"]) == ["all", "all"]
