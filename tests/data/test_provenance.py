import numpy as np
import pytest

from facegan.config import DataConfig
from facegan.data.packed.loading import load
from facegan.data.provenance import held_out, pick, unseen


def test_what_the_split_kept_away_is_held_out_whatever_the_limit():
    data = DataConfig(source="faces/", split="train", limit=100, where="Smiling=1", crop="center:8")
    assert held_out(data, 50) == data.model_copy(update={"split": "heldout", "limit": 0})


def test_a_run_on_all_pictures_of_a_folder_has_none_held_out():
    assert held_out(DataConfig(source="faces/"), 50) is None
    assert held_out(DataConfig(source="faces/", split="heldout"), 50) is None


def test_drawn_faces_have_others_of_another_seed():
    found = held_out(DataConfig(options={"num_images": 300, "seed": 4}, where="glasses=none"), 50)
    assert (found.options, found.limit, found.split) == ({"num_images": 300, "seed": 5}, 50, "all")
    assert found.where == "glasses=none"


def test_named_pictures_are_taken_whole_and_cropped_as_the_run_s_own():
    data = DataConfig(source="drawn", split="train", limit=3, options={"seed": 4}, filter="box", crop="none")
    found = held_out(data, 50, "others/")
    assert found == DataConfig(source="others/", filter="box", crop="none")


def test_drawn_faces_are_held_out_for_a_folder_when_they_are_named():
    found = held_out(DataConfig(source="faces/", where="Male=1"), 50, "drawn")
    assert (found.source, found.where, found.limit, found.options) == ("drawn", "", 50, {"seed": 1})


@pytest.mark.parametrize("settings", [{"split": "train"}, {}], ids=["split", "another seed"])
def test_no_held_out_drawn_face_is_a_training_picture(settings):
    data = DataConfig(options={"num_images": 200}, **settings)
    training, heldout = (load(each, resolution=16, channels=3).images for each in (data, held_out(data, 30)))
    assert not {picture.tobytes() for picture in training} & {picture.tobytes() for picture in heldout}


def test_a_pick_is_random_bounded_and_always_the_same(faces):
    pictures = faces(50, 1)
    picked = pick(pictures, 10)
    assert len(picked) == 10
    assert np.array_equal(picked, pick(pictures, 10))
    rows = [next(i for i, each in enumerate(pictures) if np.array_equal(each, one)) for one in picked]
    assert rows == sorted(rows)
    assert rows != list(range(10))
    assert len(pick(pictures, 1000)) == 50


def test_pictures_that_are_in_both_sets_are_not_unseen(faces):
    training, heldout = faces(20, 1), faces(6, 2)
    heldout[1], heldout[4] = training[7], training[3, :, :, ::-1]
    assert np.array_equal(unseen(heldout, training, mirror=False), heldout[[0, 2, 3, 4, 5]])
    assert np.array_equal(unseen(heldout, training, mirror=True), heldout[[0, 2, 3, 5]])
