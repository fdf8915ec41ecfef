import numpy as np
import pytest

from facegan import plugins
from facegan.evaluation import Pair, Sample


def pair(real, fake, **settings):
    return Pair(*(Sample(each, np.arange(len(each))) for each in (real, fake)), **settings)


def metric(**settings):
    return plugins.find("metric", "ms_ssim")(**settings)


def test_value_of_the_reals_stands_beside_that_of_the_fakes(faces):
    real, fake = faces(30, 0), np.repeat(faces(1, 1), 21, 0)
    found = metric().measure(pair(real, fake))
    assert found.value == pytest.approx(1)
    assert found.details["real"] == metric().measure(pair(fake, real)).value < 0.5
    low, high = found.details["real_interval"]
    assert low < found.details["real"] < high
    assert (found.details["num_pairs"], found.details["num_real_pairs"]) == (10, 15)
    assert metric().better == "nearer"


def test_number_of_pictures_and_seed_change_the_pairs(faces):
    both = pair(faces(30, 0), faces(30, 1))
    values = [metric().measure(both).value, metric(num_images=20).measure(both).value]
    values.append(metric().measure(pair(faces(30, 0), faces(30, 1), seed=1)).value)
    assert len(set(values)) == 3
    assert metric().num_images == 10_000
    assert metric(num_images=20).measure(both).details["num_pairs"] == 10


def test_no_interval_where_none_is_asked_for(faces):
    found = metric().measure(pair(faces(8, 0), faces(8, 1), intervals=False))
    assert (found.interval, found.details["real_interval"]) == (None, None)
    assert metric().measure(pair(faces(8, 0), faces(8, 1))).interval is not None


@pytest.mark.parametrize(
    ("num_fake", "size", "message"),
    [
        (1, 16, "needs at least 2 generated images (there are 1)"),
        (9, 15, "needs images of at least 16 x 16 pixels (they have 15 x 15)"),
        (9, 16, None),
    ],
)
def test_what_is_lacking_is_said_with_numbers(faces, num_fake, size, message):
    assert metric().lacks(pair(faces(9, 0)[..., :size, :size], faces(num_fake, 0)[..., :size, :size])) == message
