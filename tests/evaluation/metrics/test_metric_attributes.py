import hashlib
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from facegan.data.image_set import ImageSet
from facegan.directions import classifier
from facegan.evaluation import Pair, Sample
from facegan.evaluation.metrics.attributes import AttributeProportions, rows, wilson

METRIC = AttributeProportions()
WORDS = {"mint": (120, 230, 180), "sage": (90, 130, 90), "butter": (240, 230, 120), "denim": (60, 90, 190),
         "rose": (230, 120, 160), "ink": (20, 20, 30), "snow": (245, 245, 250)}  # fmt: skip
NUM = 750


def described(seed, num):
    """Attributes of people, as a folder's attributes.csv has them."""
    rng = np.random.default_rng(seed)
    return {
        "glasses": (rng.random(num) < 0.3).tolist(),
        "background": rng.choice(list(WORDS), num).tolist(),
        "light": (rng.random(num) - 0.35).tolist(),  # from the right, if above 0
        "bright_top": (rng.random(num) < 0.4).tolist(),
    }


def draw(attributes, seed):
    """Images of 16 x 16 pixels that show these attributes plainly, in a little noise."""
    num = len(attributes["glasses"])
    images = np.full((num, 3, 16, 16), 110.0) + np.random.default_rng(seed).normal(0, 12, (num, 3, 16, 16))
    right, glasses, bright = (np.array(attributes[key]) > 0 for key in ("light", "glasses", "bright_top"))
    images[right, :, :, 8:] += 50
    images[~right, :, :, :8] += 50
    images[glasses, :, 5:7, 4:12] -= 90
    images[bright, :, 13:] += 80
    images[..., :4] = np.array([WORDS[word] for word in attributes["background"]])[:, :, None, None]
    return images.clip(0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def known_faces():
    """A set of images with attributes."""
    return known_images(draw(described(0, NUM), 0), described(0, NUM))


def known_images(images, attributes, **settings):
    names, digest = [f"{number}.png" for number in range(NUM)], hashlib.sha256(repr(attributes).encode()).hexdigest()
    packed = SimpleNamespace(names=names, attributes=attributes, digest=digest)
    return ImageSet(images, "faces", packed=packed, **settings)


@pytest.fixture(scope="module")
def learned(tmp_path_factory):
    """A cache in which the classifier stays for all tests here."""
    return tmp_path_factory.mktemp("learned")


@pytest.fixture(autouse=True)
def quick(monkeypatch, learned):
    monkeypatch.setenv("FACEGAN_CACHE", str(learned))
    monkeypatch.setattr(classifier, "MAX_EPOCHS", 4)


@pytest.fixture(scope="module")
def others():
    """Faces of other people, and what they show."""
    return draw(described(1, 1000), 1), described(1, 1000)


@pytest.fixture
def measured(known_faces, others):
    """measured(chosen) -> what the metric says of other people's faces of these numbers."""

    def measure(chosen, **pair):
        given = Pair(Sample(known_faces), Sample(others[0], np.asarray(chosen)), **pair)
        assert METRIC.lacks(given) is None
        return METRIC.measure(given)

    return measure


def row(found, name):
    return next(each for each in found.details["attributes"] if each["name"] == name)


def test_honest_faces_of_others_are_as_far_as_chance_explains(measured):
    found = measured(range(1000))
    low, high = found.details["by_chance"]["interval"]
    assert low / 1.3 < found.value < high * 1.3
    assert not any(each["differs"] for each in found.details["attributes"])
    assert found.details["missed"] == []
    assert found.interval[0] < found.value < found.interval[1]


def test_generator_of_one_attribute_alone_is_caught_with_the_answers_that_it_misses(measured, others):
    found = measured(np.flatnonzero(others[1]["glasses"]))
    assert found.value > 1.4 * found.details["by_chance"]["interval"][1]
    worst = found.details["attributes"][0]
    assert (worst["name"], worst["differs"]) == ("glasses", True)
    assert worst["fake_interval"][0] > worst["real_interval"][1]
    assert row(found, "light")["differs"] is False


def test_generator_of_two_words_alone_is_caught_with_the_answers_that_it_misses(measured, others):
    found = measured([number for number, word in enumerate(others[1]["background"]) if word in ("mint", "sage")])
    assert found.value > 1.5 * found.details["by_chance"]["interval"][1]
    more = {each["name"] for each in found.details["attributes"] if each["differs"] and each["fake"] > each["real"]}
    assert more == {"background=mint", "background=sage"}
    missed = {name for each in found.details["missed"] for name in each["combination"] if len(each["combination"]) == 1}
    assert {"background=butter", "background=denim", "background=rose"} <= missed
    assert found.details["num_missed"] >= len(missed)


def test_two_attributes_that_never_meet_are_found_though_each_alone_is_made(measured, others):
    right = np.array(others[1]["light"]) > 0
    found = measured(np.flatnonzero(right != others[1]["bright_top"]))
    listed = [each["combination"] for each in [*found.details["missed"], *found.details["farthest"]]]
    assert ["light", "bright_top"] in listed
    assert found.value > found.details["by_chance"]["interval"][1]


def test_table_holds_answers_of_both_sides_and_what_the_labels_say(measured, known_faces):
    found = measured(range(200))
    each = row(found, "glasses")
    judged = classifier.held_out_rows(known_faces)
    assert found.details["num_real"] == judged.sum()
    assert each["labelled"] == pytest.approx(np.mean(np.array(known_faces.attributes["glasses"])[judged]))
    assert each["real"] == pytest.approx(each["labelled"], abs=0.1)
    assert each["real_interval"] == pytest.approx(wilson(each["real"], found.details["num_real"]))
    assert each["fake_interval"] == pytest.approx(wilson(each["fake"], 200))
    assert each["auc"] > 0.75


def test_mirror_images_are_evaluated_where_they_were_trained_on(measured, known_faces, others):
    sides = [
        METRIC.measure(Pair(Sample(each), Sample(others[0], np.arange(200)), intervals=False))
        for each in (known_faces, replace(known_faces, mirror=True))
    ]
    assert row(sides[0], "light")["real"] != row(sides[1], "light")["real"]
    assert row(sides[0], "light")["fake"] == row(sides[1], "light")["fake"]


def test_no_chance_where_no_interval_is_wanted(measured):
    found = measured(range(200), intervals=False)
    assert "by_chance" not in found.details
    assert found.value == measured(range(200)).value


def test_bounds_of_what_is_missed_count(known_faces, others):
    few = np.flatnonzero(np.array(others[1]["background"]) != "mint")
    given = Pair(Sample(known_faces), Sample(others[0], few), intervals=False)
    counts = [
        AttributeProportions(common=common, made=made).measure(given).details
        for common, made in ((0.01, 0.1), (0.01, 0.9), (0.2, 0.1))
    ]
    assert counts[0]["num_combinations"] > counts[2]["num_combinations"]
    assert counts[0]["num_missed"] < counts[1]["num_missed"]


def test_rows_for_people_are_the_worst_first_and_limited(measured, others):
    details = measured(np.flatnonzero(others[1]["glasses"])).details
    shown = rows(details, 2)
    first = details["attributes"][0]
    assert shown[0][0] == "glasses"
    assert shown[0][1].startswith(f"{first['real']:.1%} (")
    assert shown[0][3] == f"{first['fake'] / first['real']:.2f}"
    assert len(shown) == 2
    assert len(rows(details, 0)) == len(details["attributes"])
    assert rows(details, 0)[-1][3] == "alike"


def test_wilson_interval_is_that_of_the_paper():
    assert wilson(0.0, 10) == pytest.approx((0.0, 0.2775), abs=1e-4)
    assert wilson(0.5, 20) == pytest.approx((0.2993, 0.7007), abs=1e-4)


@pytest.mark.parametrize(
    ("columns", "num_real", "why"),
    [
        ({}, NUM, "needs real images whose attributes are known; take drawn faces or CelebA, or add an "
                  "attributes.csv to their folder"),
        ({"glasses": [True] * NUM}, NUM, "needs an attribute that can be learned from the real images (glasses: it "
                                         "is the same for all images)"),
        ({"odd": [number % 2 for number in range(NUM)]}, 200, "needs at least 100 real images of people that its "
         "classifier does not learn from, a fifth of all, and others to learn from (there are 29 and 609); take "
         "more"),
    ],
)  # fmt: skip
def test_missing_attributes_and_images_are_named(known_faces, columns, num_real, why):
    known = known_images(known_faces.images, columns)
    assert METRIC.lacks(Pair(Sample(known, np.arange(num_real)), Sample(known))) == why


def test_attribute_that_cannot_be_recognised_is_named(known_faces, monkeypatch):
    monkeypatch.setattr(classifier, "MAX_EPOCHS", 1)
    sample = Sample(known_images(known_faces.images, {"odd": [n % 2 for n in range(NUM)]}))
    reason = METRIC.lacks(Pair(sample, sample))
    assert reason.startswith(
        "needs an attribute that a classifier can recognise (odd: the classifier hardly recognises it (held-"
    )
