import numpy as np
import pytest

from facegan import plugins
from facegan.distances.sliced import Slicing, sliced_wasserstein
from facegan.evaluation import Pair, Sample


def pair(real, fake, **settings):
    return Pair(*(Sample(each, np.arange(len(each))) for each in (real, fake)), **settings)


def metric(**settings):
    return plugins.find("metric", "swd")(**{"num_patches": 16, "num_directions": 32, **settings})


def test_protocol_is_that_of_the_paper():
    assert plugins.find("metric", "swd")().model_dump() == {
        "num_images": 16_384,
        "num_patches": 128,
        "patch_size": 7,
        "num_directions": 512,
    }


def test_value_is_the_mean_of_the_levels(faces):
    big = [np.kron(faces(20, seed), np.ones((1, 1, 2, 2), np.uint8)) for seed in (0, 1)]
    found = metric().measure(pair(*big))
    assert list(found.details["levels"]) == ["32", "16"]
    assert found.value == pytest.approx(np.mean(list(found.details["levels"].values())))
    low, high = found.interval
    assert 0 <= low < found.value < high
    wide = metric().measure(pair(*(each[:, :, :, :24] for each in big)))
    assert list(wide.details["levels"]) == ["24x32"]


def test_both_sides_count_equally_many(faces):
    real, fake = faces(12, 0), faces(30, 1)
    found = metric().measure(pair(real, fake))
    assert found.details["num_images"] == 12
    assert metric(num_images=5).measure(pair(real, fake)).details["num_images"] == 5
    first = metric().measure(pair(real, fake[:12]))
    assert found.value != first.value  # not the first 12, which a folder's order would choose


def test_every_setting_changes_the_value(faces):
    both = pair(faces(12, 0), faces(12, 1), intervals=False)
    values = [
        metric(**settings).measure(both).value
        for settings in ({}, {"num_images": 9}, {"num_patches": 8}, {"patch_size": 5}, {"num_directions": 16})
    ]
    assert len(set(values)) == len(values)
    assert metric().measure(pair(faces(12, 0), faces(12, 1), seed=1)).value not in values


def test_no_interval_where_none_is_asked_for(faces):
    found = metric().measure(pair(faces(8, 0), faces(8, 1), intervals=False))
    assert found.interval is None
    assert found.value == metric().measure(pair(faces(8, 0), faces(8, 1))).value


def test_pictures_are_read_in_the_order_of_their_rows(faces):
    pictures, rows = faces(10, 0), np.random.default_rng(0).permutation(10)
    shuffled = Pair(Sample(pictures, rows), Sample(pictures[rows], np.arange(10)), intervals=False)
    assert metric().measure(shuffled).value == 0
    direct = sliced_wasserstein(
        lambda a, b: pictures[a:b], lambda a, b: faces(10, 1)[a:b], 10, Slicing(num_patches=16, num_directions=32)
    )
    assert metric().measure(pair(pictures, faces(10, 1))).value == direct.value


@pytest.mark.parametrize(
    ("num_real", "num_fake", "size", "message"),
    [
        (1, 9, 16, "needs at least 2 real images (there are 1)"),
        (9, 1, 16, "needs at least 2 generated images (there are 1)"),
        (9, 9, 12, "needs images of at least 16 x 16 pixels (they have 12 x 12)"),
        (9, 9, 16, None),
    ],
)
def test_what_is_lacking_is_said_with_numbers(faces, num_real, num_fake, size, message):
    assert metric().lacks(pair(*(faces(num, 0)[..., :size, :size] for num in (num_real, num_fake)))) == message
