import numpy as np
import pytest

from facegan.data.image_set import ImageSet
from facegan.evaluation import Pair, Sample
from facegan.evaluation.metrics.memorisation import MemorisationInPixels
from facegan.neighbours import compare_in_space, pixels

METRIC = MemorisationInPixels(num_images=150)


@pytest.fixture
def pair(faces):
    def make(fakes, *, num_heldout=150, mirror=False, trained=True):
        training = faces(300, 0)
        chosen = {"training": training, "mirrored": training[..., ::-1], "others": faces(150, 1)}[fakes][:150]
        noise = np.random.default_rng(5).integers(-6, 7, chosen.shape)
        samples = (chosen + noise).clip(0, 255).astype(np.uint8)
        known = ImageSet(training, "training", is_training_set=trained, mirror=mirror)
        held_out = ImageSet(faces(num_heldout, 2), "held out")
        return Pair(Sample(known, np.arange(100)), Sample(samples), held_out)

    return make


def test_copies_of_training_images_are_caught_and_honest_samples_are_not(pair):
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
    real = Sample(ImageSet(training, "training", is_training_set=True))
    found = MemorisationInPixels().measure(Pair(real, Sample(fakes), ImageSet(faces(400, 2), "held out")))
    assert found.value == pytest.approx(0.5, abs=0.12)


def test_mirrored_copies_are_caught_where_mirror_images_were_trained_on(pair):
    assert METRIC.measure(pair("mirrored", mirror=True)).value == 1
    assert METRIC.measure(pair("mirrored")).details["shows"] is False


def test_details_are_those_of_neighbours_over_all_training_images(pair):
    given = pair("others")
    measured = given.fake.images, given.held_out
    found = compare_in_space(pixels(), given.real.image_set, given.fake.images[:0], measured=measured, k=1).memorisation
    details = METRIC.measure(given).details
    assert {key: details[key] for key in found.model_dump()} == found.model_dump()
    assert [details[key] for key in ("num_samples", "num_heldout", "num_training")] == [150, 150, 300]


def test_number_of_images_is_limited_on_both_sides(pair):
    found = MemorisationInPixels(num_images=60).measure(pair("others"))
    assert (found.details["num_samples"], found.details["num_heldout"]) == (60, 60)


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"trained": False}, "needs the images that the model was trained on as the real ones"),
        ({"num_heldout": 49},
         "needs at least 50 held-out images that are not training images as well (there are 49)"),
    ],
)  # fmt: skip
def test_missing_images_are_named(pair, given, why):
    assert METRIC.lacks(pair("others", **given)) == why
    assert METRIC.lacks(pair("others")) is None


def test_lack_of_held_out_images_says_how_to_keep_some(faces):
    sample = Sample(ImageSet(faces(100, 0), "training", is_training_set=True))
    assert METRIC.lacks(Pair(sample, sample)) == (
        "needs images that the model was not trained on, and training kept none away; train with "
        "--set data.split=train, or name some as held out"
    )
    few = Sample(sample.image_set, np.arange(49))
    assert METRIC.lacks(Pair(sample, few, ImageSet(faces(60, 1), "held out"))) == (
        "needs at least 50 generated images (there are 49)"
    )
