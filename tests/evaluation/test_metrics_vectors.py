"""Metrics of vectors: what they mean, what they need, and what their settings change."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch_fidelity.metric_isc import KEY_METRIC_ISC_MEAN, isc_features_to_metric

from facegan import plugins
from facegan.evaluation import Pair, Sample
from facegan.evaluation.metrics import prdc
from facegan.features import Embedding, Moments

FRECHET = ("fid", "fd_random", "fd_discriminator")
KERNEL = ("kid", "kd_random", "kd_discriminator")
MANIFOLDS = ("precision", "recall", "density", "coverage")
ALL = (*FRECHET, *KERNEL, "is", *MANIFOLDS)


def normal(num, seed=0, *, shift=0.0, scale=1.0, width=6):
    return (np.random.default_rng(seed).normal(0, 1, (num, width)) * scale + shift).astype(np.float32)


def sample(vectors, logits=None):
    seen = Embedding(vectors, Moments.of(vectors), logits)
    return Sample(np.zeros((len(vectors), 1, 1, 1), np.uint8), np.arange(len(vectors)), seen)


def pair(real, fake, **settings):
    logits = [None if vectors is None else vectors * 3 for vectors in (real, fake)]
    return Pair(sample(real, logits[0]), sample(fake, logits[1]), **settings)


def measure(key, given, **settings):
    metric = plugins.find("metric", key)(**settings)
    assert metric.lacks(given) is None
    return metric.measure(given)


REAL = normal(150)
FAKE = normal(120, 1, shift=0.3)


@pytest.mark.parametrize("key", ALL)
def test_every_metric_gives_a_value_in_its_interval_and_the_same_without(key):
    found = measure(key, pair(REAL, FAKE))
    assert found.interval[0] <= found.value <= found.interval[1]
    assert found.interval[0] < found.interval[1]
    assert measure(key, pair(REAL, FAKE, intervals=False)).value == pytest.approx(found.value, rel=1e-12)


def test_every_metric_names_the_network_that_it_needs():
    for key in ALL:
        assert plugins.find("metric", key).space == (key.partition("_")[2] or "inception")


@pytest.mark.parametrize("key", ["fid", "kid"])
def test_distances_grow_with_the_shift(key):
    values = [measure(key, pair(REAL, normal(120, 1, shift=shift))).value for shift in (0, 0.5, 1, 2, 4)]
    assert values == sorted(values)
    assert values[-1] > 20 * abs(values[0])


@pytest.mark.parametrize("key", MANIFOLDS)
def test_shares_fall_with_the_shift(key):
    values = [measure(key, pair(REAL, normal(120, 1, shift=shift))).value for shift in (0, 1, 2, 4)]
    assert values == sorted(values, reverse=True)
    assert values[-1] < 0.05 < 0.5 < values[0]


def test_a_generator_of_one_face_is_precise_and_recalls_nothing():
    one = np.repeat(REAL.mean(0, keepdims=True), 120, 0)
    found = {key: measure(key, pair(REAL, one)).value for key in MANIFOLDS}
    assert found["precision"] == 1
    assert found["recall"] == 0
    assert found["coverage"] < 0.2


def test_noise_around_everything_recalls_all_and_is_hardly_precise():
    found = {key: measure(key, pair(REAL, normal(120, 1, scale=4))).value for key in MANIFOLDS}
    assert found["precision"] < 0.1
    assert found["density"] < 0.1
    assert found["recall"] > 0.9


def test_a_collapsed_generator_is_farther_than_a_good_one_and_scores_1():
    one = np.repeat(REAL[:1], 120, 0)
    assert measure("fid", pair(REAL, one)).value > 3 * measure("fid", pair(REAL, FAKE)).value
    assert measure("kid", pair(REAL, one)).value > measure("kid", pair(REAL, FAKE)).value
    assert measure("is", pair(REAL, one)).value == pytest.approx(1)


def test_the_frechet_distance_takes_all_images_though_not_all_vectors_were_kept():
    fake = normal(900, 1, shift=0.3)
    complete = pair(REAL, fake)
    seen = replace(complete.fake.seen, features=fake[:300])
    part = replace(complete, fake=Sample(complete.fake.image_set, complete.fake.rows, seen))
    assert measure("fid", part).value == pytest.approx(measure("fid", complete).value, rel=1e-12)
    # The interval is that of 900 fakes, though estimated from 300: that of 300 would be 1.7 times as long.
    lengths = [np.subtract(*measure("fid", each).interval[::-1]) for each in (part, complete)]
    assert lengths[0] == pytest.approx(lengths[1], rel=0.3)


def test_details_say_what_the_value_is_made_of():
    fid = measure("fid", pair(REAL, FAKE))
    assert fid.details["means"] == pytest.approx(np.square(REAL.mean(0) - FAKE.mean(0)).sum(), rel=1e-4)
    assert fid.details["means"] + fid.details["covariances"] == pytest.approx(fid.value)
    assert measure("kid", pair(REAL, FAKE)).details["used_subset_size"] == 120
    assert measure("kid", pair(REAL, FAKE), subset_size=30).details["used_subset_size"] == 30
    few = measure("kid", pair(REAL, FAKE)).details
    assert (few["used_real"], few["used_fake"]) == (150, 120)
    assert measure("is", pair(REAL, FAKE)).details["used_fake"] == 120
    used = measure("recall", pair(REAL, FAKE), num_images=130).details
    assert used == {"used_real": 130, "used_fake": 120}


@pytest.mark.parametrize(
    ("key", "setting"),
    [
        ("kid", {"num_subsets": 3, "subset_size": 20}),
        ("kid", {"subset_size": 50}),
        ("is", {"num_splits": 4}),
        *((key, setting) for key in MANIFOLDS for setting in ({"k": 1}, {"num_images": 40})),
    ],
)
def test_every_setting_changes_the_value(key, setting):
    given = pair(REAL, normal(120, 1, shift=0.8))
    assert measure(key, given, **setting).value != measure(key, given).value


@pytest.mark.parametrize(("key", "settings"), [("kid", {"subset_size": 30}), ("is", {})])
def test_the_seed_draws_the_subsets(key, settings):
    values = {seed: measure(key, pair(REAL, FAKE, seed=seed), **settings).value for seed in (0, 1, 2**40 + 7)}
    assert len(set(values.values())) == 3
    assert measure(key, pair(REAL, FAKE, seed=1), **settings).value == values[1]


def test_torch_fidelity_shuffles_for_the_inception_score_in_the_same_way():
    given = pair(REAL, FAKE, seed=2020)
    theirs = isc_features_to_metric(torch.from_numpy(given.fake.seen.logits), 10, shuffle=True, rng_seed=2020)
    assert measure("is", given).value == pytest.approx(theirs[KEY_METRIC_ISC_MEAN], rel=1e-12)


def test_the_four_shares_compute_their_distances_once(monkeypatch):
    called = []
    for name in ("cross_distances", "nearest_neighbours"):
        original = getattr(prdc, name)

        def counted(*vectors, name=name, original=original):
            called.append(name)
            return original(*vectors)

        monkeypatch.setattr(prdc, name, counted)
    given = pair(REAL, FAKE)
    for key in MANIFOLDS:
        measure(key, given)
    assert sorted(called) == ["cross_distances", "nearest_neighbours", "nearest_neighbours"]


@pytest.mark.parametrize(
    ("key", "num_real", "num_fake", "message"),
    [
        ("fid", 9, 50, "needs at least 10 real images (there are 9)"),
        ("fid", 50, 9, "needs at least 10 generated images (there are 9)"),
        ("kd_random", 50, 9, "needs at least 10 generated images (there are 9)"),
        ("recall", 19, 50, "needs at least 20 real images (there are 19)"),
        ("is", 50, 19, "needs at least 20 generated images (there are 19)"),
    ],
)
def test_too_few_images_are_named_with_how_many_are_needed(key, num_real, num_fake, message):
    metric = plugins.find("metric", key)()
    assert metric.lacks(pair(normal(num_real), normal(num_fake))) == message


@pytest.mark.parametrize("key", ALL)
def test_the_least_number_of_images_suffices_and_fewer_are_refused(key):
    metric = plugins.find("metric", key)()
    least = 20 if key == "is" else metric.at_least
    many, one = (Sample(np.zeros((num, 1, 1, 1), np.uint8)) for num in (least, 1))  # before any is embedded
    assert metric.lacks(Pair(many, many)) is None
    assert metric.lacks(Pair(many, one)) == f"needs at least {least} generated images (there are 1)"
    for settings in [{}, {"k": 10}] if key in MANIFOLDS else [{}]:
        found = measure(key, pair(normal(least), normal(least, 1)), **settings)
        assert np.isfinite([found.value, *found.interval]).all()


def test_the_inception_score_needs_classes():
    metric = plugins.find("metric", "is")()
    given = Pair(sample(REAL), sample(FAKE))
    assert metric.lacks(given) == "needs a network that names classes (the inception network gives vectors alone)"


@pytest.mark.parametrize(("side", "word"), [("real", "real"), ("fake", "generated")])
@pytest.mark.parametrize(("key", "space"), [("fid", "inception"), ("kd_random", "random"), ("recall", "inception")])
def test_vectors_that_are_no_numbers_are_refused(key, space, side, word):
    vectors = {"real": REAL.copy(), "fake": FAKE.copy()}
    vectors[side][7, 3] = np.nan
    metric = plugins.find("metric", key)()
    why = metric.lacks(pair(**vectors))
    assert why == f"the {space} network's vectors of {word} images are not finite"
