"""Which real and held-out images a checkpoint is compared with."""

from typing import ClassVar

import numpy as np
import pytest

from facegan.checkpoint import Checkpoint, save_snapshot
from facegan.errors import DataError
from facegan.evaluation import Evaluator, Measurement, Metric, Options


class Seen(Metric):
    """Keeps the pair that it is given."""

    title: ClassVar[str] = "seen"
    better: ClassVar[str] = "lower"
    pairs: ClassVar[list] = []
    wants: int = 0

    @property
    def num_held_out(self):
        return self.wants

    def measure(self, pair):
        self.pairs.append(pair)
        return Measurement(0.0)


@pytest.fixture
def evaluated(tmp_path, reporter):
    """evaluated(config, source) -> the pair that a metric is given for a snapshot of that configuration."""

    def evaluate(config, source=None, *, data=None, num_held_out=0):
        path, architecture = tmp_path / "a.safetensors", config.part("architecture")
        save_snapshot(path, config, 3, {"G": architecture.generator(16, 3)})
        options = Options(num_fake=2, floor=False, data=data or {})
        evaluator = Evaluator({"seen": Seen(wants=num_held_out)}, options, reporter=reporter)
        (result,) = evaluator.evaluate_checkpoint(Checkpoint.open(path), source)
        return Seen.pairs.pop(), result

    return evaluate


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """A lone snapshot finds its training images in the current folder."""
    monkeypatch.chdir(tmp_path)


def test_training_images_are_the_default(evaluated, tiny, store, reporter):
    source = store(num=30)
    pair, result = evaluated(tiny("data.mirror=true", data=source))
    real = pair.real.image_set
    np.testing.assert_array_equal(real.images, np.load(source / "images.npy"))
    assert (real.is_training_set, real.mirror, pair.held_out) == (True, True, None)
    assert (result.protocol["real"], reporter.lines) == (source.name, [])


def test_held_out_images_are_those_that_training_kept_away(evaluated, tiny, store):
    config = tiny("data.split=train", data=store(num=60))
    pair, result = evaluated(config, num_held_out=100)
    assert len(pair.real) + len(pair.held_out) == 60
    assert len(pair.real.image_set.names) == len(pair.real)
    np.testing.assert_array_equal(pair.known.heldout, pair.held_out.images)
    assert result.protocol["real"] == "pictures (split=train)"
    assert len(evaluated(config, num_held_out=2)[0].held_out) == 2
    assert evaluated(config)[0].held_out is None


def test_run_on_everything_has_no_held_out_images(evaluated, tiny, store, reporter):
    pair, _ = evaluated(tiny(data=store(num=30)), num_held_out=100)
    assert (pair.held_out, reporter.lines) == (None, [])


def test_held_out_images_that_are_training_images_are_none_with_a_reason(evaluated, tiny, store, reporter):
    source = store(num=60)
    pixels = np.load(source / "images.npy")
    pixels[:] = pixels[:1]
    np.save(source / "images.npy", pixels)
    pair, _ = evaluated(tiny("data.split=train", data=source), num_held_out=100)
    assert pair.held_out is None
    assert reporter.lines == [
        "no held-out images: pictures: every held-out image is also a training image; give others"
    ]


def test_other_images_are_not_those_of_training(evaluated, tiny, store):
    config = tiny("data.limit=20", data=store(num=30))
    other = store(num=12, seed=3, at="others")
    pair, _ = evaluated(config, str(other), num_held_out=100)
    assert (len(pair.real), pair.real.image_set.is_training_set, pair.held_out) == (12, False, None)
    part, _ = evaluated(config, data={"limit": 10})
    assert (len(part.real), part.real.image_set.is_training_set) == (10, False)


def test_source_of_the_same_name_is_the_runs_own_at_another_place(evaluated, tiny, store, tmp_path):
    config = tiny("data.limit=20", data=store(num=30))
    (tmp_path / "moved").mkdir()
    pair, _ = evaluated(config, str(store(num=30, at="moved/pictures")))
    assert (len(pair.real), pair.real.image_set.is_training_set) == (20, True)


def test_one_image_is_too_few(evaluated, tiny, store):
    refused = "pictures: holds 1 usable image, need at least 2; name the training images with --data SOURCE"
    with pytest.raises(DataError, match=f"^{refused}$"):
        evaluated(tiny(data=store(num=1)))
