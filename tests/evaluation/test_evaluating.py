from collections import Counter
from types import MappingProxyType
from typing import ClassVar

import numpy as np
import pytest

from facegan import plugins
from facegan.errors import DataError
from facegan.evaluation import Measurement, Metric, evaluate
from facegan.evaluation.looking import compared, ordered
from facegan.features import random_extractor


def counted(pictures):
    return Counter(picture.tobytes() for picture in pictures)


@pytest.mark.parametrize(("num_real", "num_fake"), [(20, 30), (30, 4), (9, 9)])
def test_each_picture_is_looked_at_once(metrics, means, reference, subject, faces, num_real, num_fake):
    real, fake = faces(num_real, 0), faces(num_fake, 1)
    extractor, shown = means()
    evaluate(metrics, reference(real), subject(fake), {"random": extractor})
    assert counted(shown) == counted([*real, *fake])


def test_results_are_those_of_the_pictures(metrics, means, reference, subject, faces):
    real, fake = faces(20, 0), faces(6, 1)
    order = np.random.default_rng(3).permutation(20)
    shift, again, brightness = evaluate(metrics, reference(real), subject(fake), {"random": means()[0]}, seed=3)

    def between(one, other):
        return pytest.approx(np.linalg.norm(one.mean((0, 2, 3)) - other.mean((0, 2, 3))), rel=1e-4)

    assert shift.value == again.value == between(real, fake)
    assert shift.floor.value == between(real[order[6:]], real[order[:6]])
    assert shift.floor.matched == between(real[order[6:]], fake)
    assert shift.floor.ratio == shift.floor.matched / shift.floor.value
    assert (shift.floor.num_real, shift.floor.num_fake, shift.num_real, shift.num_fake) == (14, 6, 20, 6)
    assert brightness.value == fake.mean() and brightness.protocol["extractor"] == "pixels"
    assert (brightness.protocol["comparable"], shift.protocol["comparable"]) == ("a photometer", "nothing")
    assert (shift.metric, shift.subject, shift.protocol["seed"], shift.protocol["crop"]) == ("shift", "mine", 3, "none")
    assert set(shift.digests) == {"real", "fake", "extractor"}


def test_fakes_are_matched_with_at_most_half_of_the_reals(metrics, means, reference, subject, faces):
    real, fake = faces(20, 0), faces(30, 1)
    shift = evaluate(metrics, reference(real), subject(fake), {"random": means()[0]})[0]
    assert (shift.floor.num_real, shift.floor.num_fake, shift.num_fake) == (10, 10, 30)
    whole, reals, matched = metrics["shift"].pairs[::2]  # of two metrics that are alike
    assert [pair.intervals for pair in (whole, reals, matched)] == [True, True, False]
    np.testing.assert_array_equal(whole.fake.rows[:10], matched.fake.rows)


@pytest.mark.parametrize("intervals", [True, False])
def test_what_is_0_on_average_for_real_pictures_has_a_floor_and_no_ratio(reference, subject, faces, intervals):
    chosen = {key: plugins.find("metric", key)() for key in ("fd_random", "kd_random")}
    given = reference(faces(60, 0)), subject(faces(30, 1)), {"random": random_extractor(3, 16)}
    frechet, kernel = evaluate(chosen, *given, intervals=intervals)
    assert frechet.floor.ratio == frechet.floor.matched / frechet.floor.value
    assert kernel.floor.ratio is None and np.isfinite([kernel.floor.value, kernel.floor.matched]).all()


def test_what_numbers_may_be_compared_with_is_the_metrics_word_then_the_networks(means, reference, subject, faces):
    chosen = {key: plugins.find("metric", key)() for key in ("kd_random", "precision", "ms_ssim")}
    given = reference(faces(30, 0)), subject(faces(30, 1)), {space: means()[0] for space in ("random", "inception")}
    kernel, precision, similarity = (each.protocol["comparable"] for each in evaluate(chosen, *given, floor=False))
    assert kernel == "nothing"
    assert precision == "published numbers of Inception's vectors; those of VGG-16's, as in the papers, differ"
    assert similarity == "any tool with the same protocol"


def test_floor_that_may_be_0_has_no_ratio(means, reference, subject, faces):
    class Sure(Metric):
        """1, give or take."""

        title: ClassVar[str] = "sure"
        better: ClassVar[str] = "lower"
        space: ClassVar[str] = "random"
        reach: ClassVar[float] = 0.5

        def measure(self, pair):
            return Measurement(1.0, (1 - self.reach, 1 + self.reach))

    class Unsure(Sure):
        """1, or 0, or 2."""

        reach: ClassVar[float] = 1.0

    given = reference(faces(20, 0)), subject(faces(6, 1)), {"random": means()[0]}
    found = evaluate({"sure": Sure(), "unsure": Unsure()}, *given)
    assert [each.floor.ratio for each in found] == [1, None]


def test_what_metrics_share_is_freed_when_they_are_done(metrics, means, reference, subject, faces):
    shared = []

    class Sharing(type(metrics["shift"])):
        """Keeps something that the next one takes."""

        def measure(self, pair):
            shared.append(pair.once("much", lambda: len(shared)))
            return super().measure(pair)

    given = reference(faces(20, 0)), subject(faces(6, 1)), {"random": means()[0]}
    evaluate({"one": Sharing(), "two": Sharing(), "three": Sharing()}, *given)
    assert shared == [0, 0, 0, 3, 3, 3, 6, 6, 6]  # of each of the three pairs
    for pair in metrics["shift"].pairs:
        assert pair.once("much", lambda: "anew") == "anew"


def test_parts_of_the_floor_are_disjoint_and_all(reference, subject, faces):
    given = reference(faces(20, 0)), subject(faces(7, 1))
    pairs = compared(ordered(*given, seed=0, num_real=0, floor=True), *given, None)
    parts = pairs.reals.real.rows, pairs.reals.fake.rows
    assert sorted(np.concatenate(parts)) == list(range(20)) and len(parts[1]) == 7
    np.testing.assert_array_equal(pairs.matched.real.rows, parts[0])


def test_seed_orders_the_reals_and_num_real_draws_so_many(reference, subject, faces):
    given = reference(faces(20, 0)), subject(faces(7, 1))
    orders = [ordered(*given, seed=seed, num_real=12, floor=True).real for seed in (0, 0, 1)]
    np.testing.assert_array_equal(orders[0], orders[1])
    assert len(set(orders[0])) == 12 and list(orders[0]) != list(orders[2])


def test_num_real_is_honoured(metrics, means, reference, subject, faces):
    extractor, shown = means()
    found = evaluate(metrics, reference(faces(20, 0)), subject(faces(5, 1)), {"random": extractor}, num_real=8)
    assert len(shown) == 8 + 5 and found[0].num_real == 8 and found[0].floor.num_real == 4


def test_subject_may_choose_and_order_its_pictures(metrics, means, reference, subject, faces):
    fake, rows = faces(9, 1), np.array([7, 2, 5])
    extractor, shown = means()
    found = evaluate(metrics, reference(faces(20, 0)), subject(fake, rows=rows), {"random": extractor})
    assert counted(shown[-3:]) == counted(fake[rows]) and found[0].num_fake == 3


def test_without_a_floor_there_is_none(metrics, means, reference, subject, faces):
    given = reference(faces(20, 0)), subject(faces(5, 1)), {"random": means()[0]}
    assert all(result.floor is None for result in evaluate(metrics, *given, floor=False))
    assert all(
        not pair.intervals for pair in (evaluate(metrics, *given, intervals=False), metrics["shift"].pairs)[1][-3:]
    )


def test_batch_size_changes_no_more_than_the_rounding(metrics, reference, subject, faces):
    values = []
    for batch_size in (3, 64):
        extractor = random_extractor(3, 16)
        object.__setattr__(extractor, "batch_size", batch_size)
        object.__setattr__(extractor, "lasting", False)
        found = evaluate(metrics, reference(faces(30, 0)), subject(faces(20, 1)), {"random": extractor})
        values.append([found[0].value, found[0].floor.value, found[0].floor.matched])
    assert values[0] == pytest.approx(values[1], rel=1e-4)


def test_progress_is_told_of_what_is_looked_at(metrics, means, reference, subject, faces):
    begun = []

    def tell(what):
        begun.append((what, []))
        return lambda *each: begun[-1][1].append(each)

    evaluate(metrics, reference(faces(20, 0)), subject(faces(5, 1)), {"random": means()[0]}, tell=tell)
    looked = [(what, told) for what, told in begun if not what.startswith("measuring")]
    words = [what for what, _ in looked]
    assert words == ["looking at real images (means)"] * 2 + ["looking at generated images (means)"]
    assert [told[-1] for _, told in looked] == [(5, 5), (15, 15), (5, 5)]


def test_metric_that_cannot_be_measured_is_passed_on_and_the_others_are_measured(
    metrics, means, reference, subject, faces
):
    given = reference(faces(20, 0)), subject(faces(1, 1)), {"random": means()[0]}
    lines = []
    with pytest.raises(DataError, match=r"^shift: needs at least 2 generated images \(there are 1\)$"):
        evaluate(metrics, *given)
    assert evaluate(metrics, *given, refuse=lines.append) == []
    assert [line.partition(":")[0] for line in lines] == ["shift", "again", "brightness"]


def test_metric_of_a_space_without_a_network_is_passed_on(metrics, reference, subject, faces):
    given = reference(faces(20, 0)), subject(faces(5, 1)), MappingProxyType({})
    lines = []
    (found,) = evaluate(metrics, *given, refuse=lines.append)
    assert found.metric == "brightness"
    assert lines[0] == "shift: compares vectors of the space 'random', and no network for it was given"
    with pytest.raises(DataError, match=r"^shift: compares vectors of the space 'random'"):
        evaluate(metrics, *given)


def test_pictures_of_other_sizes_and_kinds_are_refused(metrics, means, reference, subject, faces):
    real = faces(20, 0)
    with pytest.raises(DataError, match=r"^mine: is grey, faces/ in colour; compare images of one kind$"):
        evaluate(metrics, reference(real), subject(real[:, :1]), {"random": means()[0]})
    with pytest.raises(DataError, match=r"^mine: has 8x16 pixels, faces/ has 16x16; compare images of one size \("):
        evaluate(metrics, reference(real), subject(real[..., :8]), {"random": means()[0]})


def test_each_metric_is_told_of_when_it_begins_and_may_count(metrics, means, reference, subject, faces):
    told = []

    def tell(what):
        return lambda *count: told.append((what, *count))

    evaluate(metrics, reference(faces(20, 0)), subject(faces(6, 1)), {"random": means()[0]}, tell=tell)
    begun = [what for what, *count in told if count == [0, 0]]
    for of in ("", " of real images", " of as many as these"):
        assert f"measuring shift{of}" in begun
    metrics["shift"].pairs[0].progress(3, 6)
    assert told[-1] == ("measuring shift", 3, 6)
