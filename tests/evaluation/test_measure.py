from collections import Counter
from typing import ClassVar

import numpy as np
import pytest

from facegan import plugins
from facegan.errors import DataError
from facegan.evaluation import Measurement, Metric
from facegan.evaluation.measure import measure
from facegan.features import random_extractor


def counted(images):
    return Counter(image.tobytes() for image in images)


@pytest.mark.parametrize(("num_real", "num_fake"), [(20, 30), (30, 4), (9, 9)])
def test_each_image_is_embedded_once(metrics, means, pair, faces, num_real, num_fake):
    real, fake = faces(num_real, 0), faces(num_fake, 1)
    extractor, embedded = means()
    measure(metrics, pair(real, fake), {"random": extractor})
    assert counted(embedded) == counted([*real, *fake])


def test_results_are_those_of_the_images(metrics, means, pair, faces):
    real, fake = faces(20, 0), faces(6, 1)
    order = np.random.default_rng(3).permutation(20)
    shift, again, brightness = measure(metrics, pair(real, fake, seed=3), {"random": means()[0]})

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


def test_fakes_are_matched_with_at_most_half_of_the_reals(metrics, means, pair, faces):
    shift = measure(metrics, pair(faces(20, 0), faces(30, 1)), {"random": means()[0]})[0]
    assert (shift.floor.num_real, shift.floor.num_fake, shift.num_fake) == (10, 10, 30)
    complete, of_reals, matched = metrics["shift"].pairs[::2]  # of two metrics that are alike
    assert [each.intervals for each in (complete, of_reals, matched)] == [True, True, False]
    np.testing.assert_array_equal(complete.fake.rows[:10], matched.fake.rows)


def test_parts_of_the_floor_are_disjoint_and_complete(metrics, means, pair, faces):
    measure(metrics, pair(faces(20, 0), faces(7, 1)), {"random": means()[0]})
    _, of_reals, matched = metrics["shift"].pairs[::2]
    parts = of_reals.real.rows, of_reals.fake.rows
    assert sorted(np.concatenate(parts)) == list(range(20)) and len(parts[1]) == 7
    np.testing.assert_array_equal(matched.real.rows, parts[0])


@pytest.mark.parametrize("intervals", [True, False])
def test_metric_that_is_0_on_average_for_real_images_has_a_floor_and_no_ratio(pair, faces, intervals):
    chosen = {key: plugins.find("metric", key)() for key in ("fd_random", "kd_random")}
    given = pair(faces(60, 0), faces(30, 1), intervals=intervals)
    frechet, kernel = measure(chosen, given, {"random": random_extractor(3, 16)})
    assert frechet.floor.ratio == frechet.floor.matched / frechet.floor.value
    assert kernel.floor.ratio is None and np.isfinite([kernel.floor.value, kernel.floor.matched]).all()


def test_comparability_is_that_of_the_metric_and_else_of_the_network(means, pair, faces):
    chosen = {key: plugins.find("metric", key)() for key in ("kd_random", "precision", "ms_ssim")}
    networks = {space: means()[0] for space in ("random", "inception")}
    found = measure(chosen, pair(faces(30, 0), faces(30, 1)), networks, floor=False)
    kernel, precision, similarity = (each.protocol["comparable"] for each in found)
    assert kernel == "nothing"
    assert precision == "published numbers of Inception's vectors; those of VGG-16's, as in the papers, differ"
    assert similarity == "any tool with the same protocol"


def test_floor_that_may_be_0_has_no_ratio(means, pair, faces):
    class Sure(Metric):
        """1, give or take."""

        title: ClassVar[str] = "sure"
        better: ClassVar[str] = "lower"
        space: ClassVar[str] = "random"
        margin: ClassVar[float] = 0.5

        def measure(self, pair):
            return Measurement(1.0, (1 - self.margin, 1 + self.margin))

    class Unsure(Sure):
        """1, or 0, or 2."""

        margin: ClassVar[float] = 1.0

    found = measure({"sure": Sure(), "unsure": Unsure()}, pair(faces(20, 0), faces(6, 1)), {"random": means()[0]})
    assert [each.floor.ratio for each in found] == [1, None]


def test_results_that_metrics_share_are_freed_when_they_are_done(metrics, means, pair, faces):
    shared = []

    class Sharing(type(metrics["shift"])):
        """Stores something that the next one takes."""

        def measure(self, pair):
            shared.append(pair.once("much", lambda: len(shared)))
            return super().measure(pair)

    chosen = {"one": Sharing(), "two": Sharing(), "three": Sharing()}
    measure(chosen, pair(faces(20, 0), faces(6, 1)), {"random": means()[0]})
    assert shared == [0, 0, 0, 3, 3, 3, 6, 6, 6]  # of each of the three pairs
    for each in metrics["shift"].pairs:
        assert each.once("much", lambda: "again") == "again"


def test_number_of_reals_is_respected(metrics, means, pair, faces):
    extractor, embedded = means()
    found = measure(metrics, pair(faces(20, 0), faces(5, 1), num_real=8), {"random": extractor})
    assert len(embedded) == 8 + 5 and found[0].num_real == 8 and found[0].floor.num_real == 4


def test_rows_choose_and_order_the_fakes(metrics, means, pair, faces):
    fake, rows = faces(9, 1), np.array([7, 2, 5])
    extractor, embedded = means()
    found = measure(metrics, pair(faces(20, 0), fake, rows=rows), {"random": extractor})
    assert counted(embedded[-3:]) == counted(fake[rows]) and found[0].num_fake == 3


def test_no_floor_unless_wanted_and_no_intervals_unless_wanted(metrics, means, pair, faces):
    results = measure(metrics, pair(faces(20, 0), faces(5, 1)), {"random": means()[0]}, floor=False)
    assert all(result.floor is None for result in results)
    metrics = {"kernel": plugins.find("metric", "kd_random")()}
    found = [
        measure(metrics, pair(faces(20, 0), faces(10, 1), intervals=wanted), {"random": means()[0]})[0]
        for wanted in (True, False)
    ]
    assert [(each.interval is None, each.floor.interval is None) for each in found] == [(False, False), (True, True)]
    assert found[0].value == found[1].value


def test_floors_that_are_known_are_not_measured_again(metrics, means, pair, faces):
    floors, given = {}, pair(faces(20, 0), faces(5, 1))
    first = measure(metrics, given, {"random": means()[0]}, floors=floors)
    num = len(metrics["shift"].pairs)
    second = measure(metrics, given, {"random": means()[0]}, floors=floors)
    assert len(metrics["shift"].pairs) == num + 4  # of two metrics, the complete pair and the matched one
    assert [each.floor for each in first] == [each.floor for each in second]


def test_batch_size_changes_no_more_than_the_rounding(metrics, pair, faces):
    values = []
    for batch_size in (3, 64):
        extractor = random_extractor(3, 16)
        object.__setattr__(extractor, "batch_size", batch_size)
        object.__setattr__(extractor, "lasting", False)
        found = measure(metrics, pair(faces(30, 0), faces(20, 1)), {"random": extractor})
        values.append([found[0].value, found[0].floor.value, found[0].floor.matched])
    assert values[0] == pytest.approx(values[1], rel=1e-4)


def test_progress_of_embedding_counts_each_part(metrics, means, pair, faces, reporter):
    measure(metrics, pair(faces(20, 0), faces(5, 1)), {"random": means()[0]}, reporter=reporter)
    embedded = [each for each in reporter.tasks if each[0].startswith("embedding")]
    real, fake = "embedding real images (means)", "embedding generated images (means)"
    assert embedded == [(real, 5, 5), (real, 15, 15), (fake, 5, 5)]


def test_each_metric_reports_when_it_begins_and_may_count(metrics, means, pair, faces, reporter):
    measure(metrics, pair(faces(20, 0), faces(6, 1)), {"random": means()[0]}, reporter=reporter)
    begun = [task for task, *count in reporter.tasks if count == [0, 0]]
    for suffix in ("", " of real images", " of as many as these"):
        assert f"measuring shift{suffix}" in begun
    metrics["shift"].pairs[0].progress(3, 6)
    assert reporter.tasks[-1] == ("measuring shift", 3, 6)


def test_metric_that_cannot_be_measured_is_left_out_with_a_reason(metrics, means, pair, faces, reporter):
    class Many(type(metrics["brightness"])):
        """Wants more images."""

        at_least: ClassVar[int] = 100

    given = pair(faces(20, 0), faces(5, 1)), {"random": means()[0]}
    assert len(measure({**metrics, "many": Many()}, *given, reporter=reporter)) == 3
    assert reporter.lines == ["left out: many: needs at least 100 real images (there are 20)"]


def test_nothing_that_can_be_measured_is_an_error(metrics, means, pair, faces):
    with pytest.raises(DataError, match=r"^shift: needs at least 2 generated images \(there are 1\)$"):
        measure(metrics, pair(faces(20, 0), faces(1, 1)), {"random": means()[0]})
