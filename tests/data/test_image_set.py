import json
import shutil
from types import SimpleNamespace

import numpy as np
import pytest

from facegan.checkpoint import Checkpoint
from facegan.config import DataConfig, RunConfig
from facegan.data.image_set import (
    ImageSet,
    from_packed,
    held_out_settings,
    number_people,
    random_rows,
    training_settings,
    unseen,
)
from facegan.data.packed.load import load
from facegan.data.packed.packed_images import digest_pixels, open_packed
from facegan.errors import ConfigError, DataError
from facegan.storage.safetensors_file import TensorFile


def opened(path, config=None):
    metadata = {"config": (config or RunConfig()).to_json(), "step": "4"}
    return Checkpoint(TensorFile(path, b"", metadata, frozenset()))


def trained_on(path, config, source=None):
    return training_settings(opened(path, config), source)


def run_folder(path):
    return opened(path).run_folder


def carried(**data):
    """What a snapshot carries of a run on these data."""
    return RunConfig(data=DataConfig(**data))


@pytest.fixture
def snapshot(tmp_path, monkeypatch):
    """The place of a snapshot in a run on a folder elsewhere."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "run" / "snapshots"
    folder.mkdir(parents=True)
    config = {"data": {"source": "/elsewhere/faces", "options": {}}}
    (folder.parent / "config.json").write_text(json.dumps(config))
    return folder / "step-00000004.safetensors"


def test_run_folder_is_that_of_a_snapshot_in_its_place_alone(snapshot, tmp_path, monkeypatch):
    assert run_folder(snapshot) == tmp_path / "run"
    assert run_folder(tmp_path / "run" / "moved.safetensors") is None
    monkeypatch.chdir(snapshot.parent)
    assert run_folder(snapshot.relative_to(snapshot.parent)) == tmp_path / "run"
    (tmp_path / "run" / "config.json").unlink()
    assert run_folder(snapshot) is None


def test_run_knows_where_the_images_are_that_its_snapshot_knows_by_name(snapshot):
    config = carried(source="faces", crop="center:8", split="train")
    found = trained_on(snapshot, config)
    assert found == config.data.model_copy(update={"source": "/elsewhere/faces"})


def test_images_that_have_moved_keep_options_under_their_name_alone(snapshot):
    config = carried(source="faces", crop="none", options={"kind": "wild"})
    moved = trained_on(snapshot, config, "/new/faces")
    assert (moved.source, moved.options, moved.crop) == ("/new/faces", {"kind": "wild"}, "none")
    renamed = trained_on(snapshot, config, "/new/others")
    assert (renamed.source, renamed.options, renamed.crop) == ("/new/others", {}, "none")


def test_snapshot_of_another_run_than_the_folder_s_is_not_given_its_images(snapshot):
    with pytest.raises(DataError, match="was trained on images called 'others', which are not here"):
        trained_on(snapshot, carried(source="others"))


def test_lone_snapshot_finds_a_dataset_and_images_in_the_current_folder(tmp_path, monkeypatch, store):
    monkeypatch.chdir(tmp_path)
    lone = tmp_path / "lone.safetensors"
    assert trained_on(lone, carried(options={"seed": 3})).options == {"seed": 3}
    shutil.move(store(), "here")
    assert trained_on(lone, carried(source="here")).source == "here"


def test_lone_snapshot_of_images_that_are_not_here_is_refused_with_advice(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError) as refused:
        trained_on(tmp_path / "lone.safetensors", carried(source="faces"))
    assert str(refused.value) == (
        f"{tmp_path}/lone.safetensors: was trained on images called 'faces', which are not here; say where they "
        "are with --data SOURCE"
    )


def test_damaged_configuration_of_the_run_is_an_error(snapshot):
    (snapshot.parent.parent / "config.json").write_text("{")
    with pytest.raises(ConfigError, match=r"config\.json"):
        trained_on(snapshot, carried(source="faces"))


def test_images_that_the_split_kept_away_are_held_out_whatever_the_limit():
    data = DataConfig(source="faces/", split="train", limit=100, where="Smiling=1", crop="center:8")
    assert held_out_settings(data, 50) == data.model_copy(update={"split": "heldout", "limit": 0})


def test_a_run_on_all_images_of_a_folder_has_none_held_out():
    assert held_out_settings(DataConfig(source="faces/"), 50) is None
    assert held_out_settings(DataConfig(source="faces/", split="heldout"), 50) is None


def test_drawn_faces_have_others_of_another_seed():
    found = held_out_settings(DataConfig(options={"num_images": 300, "seed": 4}, where="glasses=none"), 50)
    assert (found.options, found.limit, found.split) == ({"num_images": 300, "seed": 5}, 50, "all")
    assert found.where == "glasses=none"


def test_as_many_drawn_faces_as_are_wanted_are_held_out_of_a_run_on_few():
    found = held_out_settings(DataConfig(options={"num_images": 40}), 50)
    assert len(load(found, resolution=16, channels=3)) == 50


def test_all_images_of_a_named_source_are_held_out_and_cropped_as_the_runs_own():
    data = DataConfig(source="drawn", split="train", limit=3, options={"seed": 4}, filter="box", crop="none")
    found = held_out_settings(data, 50, "others/")
    assert found == DataConfig(source="others/", filter="box", crop="none")


def test_drawn_faces_are_held_out_for_a_folder_when_they_are_named():
    found = held_out_settings(DataConfig(source="faces/", where="Male=1"), 50, "drawn")
    assert (found.source, found.where, found.limit, found.options) == ("drawn", "", 50, {"seed": 1})


@pytest.mark.parametrize("settings", [{"split": "train"}, {}], ids=["split", "another seed"])
def test_no_held_out_drawn_face_is_a_training_image(settings):
    data = DataConfig(options={"num_images": 60}, **settings)
    training, heldout = (load(each, resolution=16, channels=3).images for each in (data, held_out_settings(data, 30)))
    assert not {image.tobytes() for image in training} & {image.tobytes() for image in heldout}


def test_a_pick_is_random_bounded_and_always_the_same(faces):
    rows = random_rows(np.arange(50), 10)
    assert len(rows) == 10
    assert np.array_equal(rows, random_rows(np.arange(50), 10))
    assert rows.tolist() == sorted(set(rows))
    assert rows.tolist() != list(range(10))
    assert random_rows(np.arange(50), 1000).tolist() == list(range(50))
    images = faces(50, 1)
    assert np.array_equal(ImageSet(images, "faces").take(rows).images, images[rows])


def test_a_pick_takes_people_with_all_their_images():
    people = np.arange(400) % 100  # four images of each
    picked = people[random_rows(people, 40)]
    assert np.bincount(picked)[np.unique(picked)].tolist() == [4] * 10
    assert sorted(np.bincount(people[random_rows(people, 41)])[np.unique(people[random_rows(people, 41)])]) == (
        [1] + [4] * 10
    )


def numbered(*names, source="here"):
    """A set of images with these names, of a source."""
    packed = SimpleNamespace(names=list(names), attributes={}, digest="")
    return ImageSet(np.zeros((len(names), 1, 1, 1), np.uint8), "images", packed=packed,
                    settings=DataConfig(source=source))  # fmt: skip


@pytest.mark.parametrize(
    ("training", "others", "expected"),
    [
        (numbered("a/1", "a/2", "b/1"), numbered("c/1", "d/1", "d/2"), ([0, 0, 1], [0, 1, 1])),
        (numbered("1", "2"), numbered("1", "2"), ([0, 1], [0, 1])),  # flat: each image is its own
        (numbered("a/1", "a/2", "b/1"), numbered("c/1", "c/2"), ([0, 0, 1], [0, 0])),  # one folder of several
        (numbered("a/1", "b/1"), numbered("1", "2", source="elsewhere"), ([0, 1], [0, 1])),
        (ImageSet(np.zeros((2, 1, 1, 1), np.uint8), ""), numbered("c/1", "d/1", "d/2"), ([0, 1], [0, 1, 1])),
    ],
    ids=["folders", "flat", "one held-out folder", "two sources", "an array"],
)
def test_people_are_numbered_as_the_split_separates_them(training, others, expected):
    assert tuple(each.tolist() for each in number_people(training, others)) == expected


def test_people_are_known_by_the_attribute_identity():
    images = numbered("1", "2", "3")
    images.packed.attributes["identity"] = [7, 9, 7]
    assert number_people(images, images)[0].tolist() == [0, 1, 0]


def test_some_of_the_images_keep_their_names_and_attributes(faces, store):
    found = from_packed(load(DataConfig(source=str(store(num=8))), resolution=16, channels=3))
    part = found.take(np.array([1, 4, 6])).take(np.array([0, 2]))
    assert np.array_equal(part.images, found.images[[1, 6]])
    assert part.names == [found.names[1], found.names[6]]
    assert {key: list(column) for key, column in part.attributes.items()} == {
        key: [column[1], column[6]] for key, column in found.attributes.items()
    }
    assert part.digest == digest_pixels(part.images)


def test_images_that_are_in_both_sets_are_not_unseen(faces):
    training, heldout = faces(20, 1), faces(6, 2)
    heldout[1], heldout[4] = training[7], training[3, :, :, ::-1]
    assert np.flatnonzero(unseen(heldout, training, mirror=False)).tolist() == [0, 2, 3, 4, 5]
    assert np.flatnonzero(unseen(heldout, training, mirror=True)).tolist() == [0, 2, 3, 5]


def test_digest_of_pixels_is_that_of_packed_images(store, monkeypatch):
    packed = open_packed(store(num=20))
    assert ImageSet(packed.images, "images").digest == packed.digest == from_packed(packed).digest
    monkeypatch.setattr("facegan.data.packed.packed_images.CHUNK_BYTES", 5 * packed.images[0].nbytes)
    assert digest_pixels(packed.images) == packed.digest
    assert digest_pixels(packed.images[::-1]) != packed.digest


def test_packed_images_are_a_set_with_their_source_crop_and_filter(store):
    packed = open_packed(store(num=20))
    found = from_packed(packed)
    assert (found.crop, found.filter, found.label) == ("none", "bicubic", "noise")
    assert found.images is packed.images
