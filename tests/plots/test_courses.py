import json

import numpy as np
import pytest

from facegan.errors import SnapshotError
from facegan.plots import course, over_steps, save_over_steps, unlike
from facegan.storage.run_dir import RunDir


def line(step, value, **more):
    return {
        "metric": "swd", "title": "Sliced", "better": "lower", "step": step, "value": value,
        "interval": [value - 1, value + 1], "num_real": 200, "num_fake": 100, "weights": "G_ema",
        "floor": {"value": 2.0, "num_real": 150, "num_fake": 50}, "protocol": {"crop": "none", "seed": 0},
        "digests": {"real": "r", "extractor": "e"}, **more,
    }  # fmt: skip


@pytest.fixture
def make(tmp_path):
    def run(*lines, name="faces-1"):
        folder = RunDir(tmp_path / name)
        folder.create("{}", {})
        (folder.path / "evaluations.jsonl").write_text("".join(json.dumps(each) + "\n" for each in lines))
        return folder

    return run


def test_latest_value_of_each_step_is_taken_in_order(make):
    found = course(make(line(20, 5.0), line(10, 7.0), line(20, 4.0)), "swd")
    assert [(point.step, point.value) for point in found.points] == [(10, 7.0), (20, 4.0)]
    assert (found.label, found.left_out, found.why) == ("faces-1", 0, "")


@pytest.mark.parametrize(
    ("other", "why"),
    [
        ({"num_fake": 50}, "judged images 50, not 100"),
        ({"num_real": 1000}, "real images 1,000, not 200"),
        ({"weights": "G"}, "weights G, not G_ema"),
        ({"protocol": {"crop": "center:8"}}, "crop center:8, not none"),
        ({"digests": {"real": "s", "extractor": "e"}}, "other real images"),
        ({"digests": {"real": "r", "extractor": "f"}}, "another extractor"),
    ],
)
def test_values_of_another_protocol_are_left_out_and_named(make, other, why):
    found = course(make(line(10, 9.0, **other), line(20, 8.0, **other), line(30, 7.0)), "swd")
    assert [point.step for point in found.points] == [30]
    assert (found.left_out, found.why) == (2, f"20 for one: {why}")


def test_another_seed_or_device_is_the_same_protocol(make):
    other = {"protocol": {"crop": "none", "seed": 5, "device": "cuda"}}
    assert len(course(make(line(10, 9.0), line(20, 8.0, **other)), "swd").points) == 2


def test_lines_that_are_none_are_passed_over(make):
    bad = [{"metric": "swd"}, line(5, 1e300), {**line(6, 1.0), "value": None}, {**line(7, 1.0), "step": None}]
    run = make(line(10, 9.0), *bad)
    with (run.path / "evaluations.jsonl").open("a") as file:
        file.write('{"metric": "sw')
    assert [point.step for point in course(run, "swd").points] == [10]


def test_missing_metric_is_answered_with_what_there_is(make, tmp_path):
    path = tmp_path / "faces-1" / "evaluations.jsonl"
    run = make(line(10, 9.0))
    with pytest.raises(SnapshotError) as refusal:
        course(run, "fid")
    assert str(refusal.value) == f"{path}: holds no 'fid'; there is: swd"
    path.unlink()
    with pytest.raises(SnapshotError) as refusal:
        course(run, "fid")
    assert str(refusal.value) == (
        f"{path}: holds no evaluations yet; run 'facegan evaluate {run.path} --every-snapshot'"
    )


def test_panel_shows_values_bands_and_real_against_real(make):
    (axes,) = over_steps([[course(make(line(10, 7.0), line(20, 4.0)), "swd")]]).axes
    drawn, floor = axes.lines
    np.testing.assert_array_equal(drawn.get_xydata(), [[10, 7], [20, 4]])
    np.testing.assert_array_equal(floor.get_xydata(), [[10, 2], [20, 2]])
    assert floor.get_linestyle() == ":"
    (band,) = axes.collections
    assert (band.get_datalim(axes.transData).y0, band.get_datalim(axes.transData).y1) == (3, 8)
    assert axes.get_title(loc="left") == "Sliced (lower is better)"
    texts = [text.get_text() for text in axes.get_legend().get_texts()]
    assert texts == ["generated, 100 to 200", "real against real, 50 to 150 images"]


def test_values_far_apart_are_drawn_on_a_logarithmic_axis(make):
    def scale(*lines, name):
        return over_steps([[course(make(*lines, name=name), "swd")]]).axes[0].get_yscale()

    assert scale(line(10, 60.0), line(20, 4.0), name="far") == "log"
    assert scale(line(10, 30.0), line(20, 4.0), name="near") == "linear"
    assert scale(line(10, 60.0), line(20, 0.5), name="below") == "linear"


def test_runs_are_overlaid_and_told_apart(make):
    one, two = make(line(10, 7.0), name="one"), make(line(10, 6.0, floor=None, interval=None), name="two")
    courses = [course(one, "swd"), course(two, "swd")]
    (axes,) = over_steps([courses]).axes
    texts = [text.get_text() for text in axes.get_legend().get_texts()]
    assert texts == ["one, 100 to 200", "one: real against real, 50 to 150 images", "two, 100 to 200"]
    assert axes.lines[0].get_color() != axes.lines[2].get_color()
    assert len(axes.collections) == 1
    assert unlike(courses) == ""


def test_runs_that_were_measured_otherwise_are_said_to_be(make):
    courses = [course(make(line(10, 7.0), name="a"), "swd"), course(make(line(10, 6.0, num_fake=50), name="b"), "swd")]
    assert unlike(courses) == "judged images 50, not 100"


@pytest.mark.parametrize(("name", "start"), [("m.png", b"\x89PNG"), ("m.svg", b"<?xml")])
def test_a_panel_for_each_metric_is_saved(make, tmp_path, name, start):
    run = make(line(10, 7.0), line(10, 7.0, metric="fid"))
    save_over_steps([[course(run, "swd")], [course(run, "fid")]], tmp_path / "new" / name)
    assert (tmp_path / "new" / name).read_bytes().startswith(start)
