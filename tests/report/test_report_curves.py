import re

import pytest

from facegan.report.curves import BINS, BOTTOM, LEFT, RIGHT, TOP, across, marks, panels


def record(step, **values):
    return {"step": step, **values}


def points(path):
    return [tuple(map(float, pair)) for pair in re.findall(r"[ML]([\d.]+) ([\d.]+)", path)]


def test_a_curve_goes_from_the_first_value_to_the_last():
    (panel,) = panels([record(step, **{"score/real": step / 10}) for step in (0, 5, 10)], 10)
    (curve,) = panel.curves
    assert points(curve.line) == [(LEFT, BOTTOM), ((LEFT + RIGHT) / 2, (TOP + BOTTOM) / 2), (RIGHT, TOP)]
    assert (curve.values, curve.last, curve.band) == ([0, 0.5, 1], 1, "")
    assert panel.line == (TOP + BOTTOM) / 2


def test_a_gap_in_a_curve_is_a_gap():
    lines = [record(0, **{"loss/D": 1.0}), record(1, **{"loss/D": float("nan")}), record(2, **{"loss/D": 1.0})]
    (panel,) = panels(lines, 2)
    assert panel.curves[0].line.count("M") == 2
    assert panel.curves[0].values == [1, None, 1]


def test_many_points_become_averages_above_their_range():
    num = 10 * BINS
    lines = [record(step, **{"loss/D": 1.0 + step % 2}) for step in range(num)]
    (panel,) = panels(lines, num)
    (curve,) = panel.curves
    assert len(panel.steps) == len(curve.values) == BINS
    assert set(curve.values) == {1.5}
    assert curve.band.endswith("Z") and len(points(curve.band)) == 2 * BINS


def test_a_spike_beyond_the_averages_does_not_leave_the_drawing():
    lines = [record(step, **{"loss/D": 1e9 if step == 7 else 1.0}) for step in range(4 * BINS)]
    (panel,) = panels(lines, 4 * BINS)
    assert all(TOP <= y <= BOTTOM for _, y in points(panel.curves[0].band))


def test_missing_values_have_no_panel_and_values_too_large_to_draw_no_point():
    assert panels([], 1) == []
    assert panels([record(1, health="good", **{"loss/D": None})], 1) == []
    assert panels([record(1, **{"loss/D": 1e300})], 1) == []


def test_the_losses_of_a_run_without_scores_say_so():
    losses = {"loss/D": 1.0, "loss/G": -1.0}
    (alone,) = panels([record(1, **losses)], 1)
    assert "not defined for this loss" in alone.note
    with_scores = panels([record(1, **losses, **{"score/real": 0.5, "score/fake": 0.5})], 1)
    assert all("not defined" not in panel.note for panel in with_scores)


def test_levels_that_never_change_can_be_drawn():
    (panel,) = panels([record(1, **{"images_per_second": 0.0})], 1)
    assert panel.levels[0] == (BOTTOM, "0")


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0, 9735, [0, 2000, 4000, 6000, 8000]),
        (0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1]),
        (-3, 12, [0, 5, 10]),
        (0, 5e-6, [0, 1e-6, 2e-6, 3e-6, 4e-6, 5e-6]),
    ],
)
def test_marks_are_round_numbers_within_the_range(low, high, expected):
    assert marks(low, high) == pytest.approx(expected)


def test_an_axis_of_no_length_is_a_point():
    assert across(0, 0) == LEFT
