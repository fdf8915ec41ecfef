import numpy as np
import pytest

from facegan.evaluation import Known, Pair, Sample
from facegan.evaluation.metrics.memorisation import MemorisationInPixels
from facegan.neighbours import Unseen, compare, pixels

METRIC = MemorisationInPixels(num_images=150)


@pytest.fixture
def pair(faces):
    def make(fakes, *, num_heldout=150, mirror=False, trained=True, heldout=None, intervals=True):
        training = faces(300, 0)
        chosen = {"training": training, "mirrored": training[..., ::-1], "others": faces(150, 1)}[fakes][:150]
        noise = np.random.default_rng(5).integers(-6, 7, chosen.shape)
        samples = (chosen + noise).clip(0, 255).astype(np.uint8)
        others = faces(num_heldout, 2) if heldout is None else heldout(training)
        known = Known(heldout=others, mirror=mirror, trained=trained)
        real, fake = Sample(training, np.arange(100)), Sample(samples, np.arange(len(samples)))
        return Pair(real, fake, known, intervals=intervals)

    return make


def test_copies_of_training_pictures_are_caught_and_honest_samples_are_not(pair):
    copies = METRIC.measure(pair("training"))
    assert copies.value == 1
    assert copies.details["shows"] is True
    assert copies.interval[0] > 0.5
    honest = METRIC.measure(pair("others"))
    assert abs(honest.value) < 0.4
    assert honest.details["shows"] is False
    assert honest.interval[0] < 0 < honest.interval[1]


def test_value_is_the_share_of_samples_that_are_copies(faces):
    training, others = faces(400, 0), faces(300, 1)
    fakes = np.concatenate([training[:300], others])
    known = Known(heldout=faces(400, 2), trained=True)
    found = MemorisationInPixels().measure(Pair(Sample(training, np.arange(400)), Sample(fakes, np.arange(600)), known))
    assert found.value == pytest.approx(0.5, abs=0.12)


def test_mirrored_copies_are_caught_where_mirror_images_were_trained_on(pair):
    assert METRIC.measure(pair("mirrored", mirror=True)).value == 1
    assert METRIC.measure(pair("mirrored")).details["shows"] is False


def test_details_are_those_of_neighbours_over_all_training_pictures(pair):
    given = pair("others")
    found = compare(
        pixels(), given.real.pictures, given.fake.pictures[:0], Unseen(given.fake.pictures, given.known.heldout), k=1
    ).memorisation
    details = METRIC.measure(given).details
    assert {key: details[key] for key in type(found).model_fields} == found.model_dump()
    assert [details[key] for key in ("num_samples", "num_heldout", "num_training")] == [150, 150, 300]


def test_number_of_pictures_is_limited_on_both_sides(pair):
    found = MemorisationInPixels(num_images=60).measure(pair("others", intervals=False))
    assert (found.details["num_samples"], found.details["num_heldout"]) == (60, 60)
    assert found.interval is None


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"trained": False}, "needs the images that the model was trained on as the real ones"),
        ({"num_heldout": 49},
         "needs at least 50 held-out images that are not training images as well (there are 49)"),
        ({"heldout": lambda training: training[:200]},
         "needs at least 50 held-out images that are not training images as well (there are 0)"),
    ],
)  # fmt: skip
def test_what_is_lacking_is_said(pair, given, why):
    assert METRIC.lacks(pair("others", **given)) == why
    assert METRIC.lacks(pair("others")) is None


def test_lack_of_held_out_pictures_says_how_to_keep_some(faces):
    sample = Sample(faces(100, 0), np.arange(100))
    assert METRIC.lacks(Pair(sample, sample, Known(trained=True))) == (
        "needs images that the model was not trained on, and training kept none away; train with "
        "--set data.split=train, or name some as held out"
    )
    few = Sample(sample.pictures, np.arange(49))
    assert METRIC.lacks(Pair(sample, few, Known(trained=True, heldout=faces(60, 1)))) == (
        "needs at least 50 generated images (there are 49)"
    )
