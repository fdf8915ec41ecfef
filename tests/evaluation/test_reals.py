import numpy as np
import pytest

from facegan.errors import DataError
from facegan.evaluation.reals import Wanted, reals_of


@pytest.fixture
def reals(tmp_path):
    """reals(config, ...) -> the reference of a snapshot of that configuration, and what was said."""

    def find(config, *wanted, **more):
        said = []
        reference = reals_of(tmp_path / "a.safetensors", config, Wanted(*wanted, **more), tell=silent, say=said.append)
        return reference, said

    return find


def silent(what):
    return lambda done, total: None


def test_training_pictures_are_the_default_and_nothing_is_known_that_was_not_asked_for(reals, tiny, store):
    source = store(num=30)
    reference, said = reals(tiny("data.mirror=true", data=source))
    np.testing.assert_array_equal(reference.pictures, np.load(source / "images.npy"))
    known = reference.known
    assert (known.trained, known.mirror, known.heldout, known.names, known.attributes) == (True, True, None, (), {})
    assert (reference.source, said) == (str(source), [])


def test_held_out_pictures_are_those_that_training_kept_away(reals, tiny, store):
    source = store(num=60)
    reference, _ = reals(tiny("data.split=train", data=source), num_held_out=100)
    assert len(reference.pictures) + len(reference.known.heldout) == 60
    assert len(reference.known.names) == len(reference.pictures)
    assert reference.source == f"{source} (split=train)"
    fewer, _ = reals(tiny("data.split=train", data=source), num_held_out=2)
    assert len(fewer.known.heldout) == 2


def test_run_on_everything_has_no_held_out_pictures(reals, tiny, store):
    reference, said = reals(tiny(data=store(num=30)), num_held_out=100)
    assert (reference.known.heldout, said) == (None, [])


def test_why_there_are_no_held_out_pictures_is_said(reals, tiny, store):
    source = store(num=60)
    pixels = np.load(source / "images.npy")
    pixels[:] = pixels[:1]
    np.save(source / "images.npy", pixels)
    reference, said = reals(tiny("data.split=train", data=source), num_held_out=100)
    assert reference.known.heldout is None
    assert said == [f"no held-out images: {source}: every held-out image is a training image, too; give others"]


def test_other_pictures_are_not_those_of_training(reals, tiny, store):
    config = tiny("data.limit=20", data=store(num=30))
    other = store(num=12, seed=3, at="others")
    reference, _ = reals(config, str(other), num_held_out=100)
    assert (len(reference.pictures), reference.known.trained, reference.known.heldout) == (12, False, None)
    part, _ = reals(config, None, {"limit": 10})
    assert (len(part.pictures), part.known.trained) == (10, False)


def test_source_of_the_same_name_is_the_runs_own_at_another_place(reals, tiny, store, tmp_path):
    config = tiny("data.limit=20", data=store(num=30))
    (tmp_path / "moved").mkdir()
    reference, _ = reals(config, str(store(num=30, at="moved/pictures")))
    assert (len(reference.pictures), reference.known.trained) == (20, True)


def test_one_picture_is_too_few(reals, tiny, store):
    source = store(num=1)
    with pytest.raises(DataError) as refusal:
        reals(tiny(data=source))
    assert str(refusal.value) == f"{source}: holds 1 image that can be used, need at least 2"
