import json
import warnings

import numpy as np
import pytest

from facegan.errors import SnapshotError
from facegan.plots import plot_attributes, plot_metrics, protocol_difference, read_metric, save_figure
from facegan.plots.metrics import MAX_ATTRIBUTES
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
    found = read_metric(make(line(20, 5.0), line(10, 7.0), line(20, 4.0)), "swd")
    assert [(point.step, point.value) for point in found.points] == [(10, 7.0), (20, 4.0)]
    assert (found.label, found.num_left_out, found.why) == ("faces-1", 0, "")


@pytest.mark.parametrize(
    ("other", "why"),
    [
        ({"num_fake": 50}, "evaluated images 50, not 100"),
        ({"num_real": 1000}, "real images 1,000, not 200"),
        ({"weights": "G"}, "weights G, not G_ema"),
        ({"protocol": {"crop": "center:8"}}, "crop center:8, not none"),
        ({"digests": {"real": "s", "extractor": "e"}}, "other real images"),
        ({"digests": {"real": "r", "extractor": "f"}}, "another extractor"),
    ],
)
def test_values_of_another_protocol_are_left_out_and_named(make, other, why):
    found = read_metric(make(line(10, 9.0, **other), line(20, 8.0, **other), line(30, 7.0)), "swd")
    assert [point.step for point in found.points] == [30]
    assert (found.num_left_out, found.why) == (2, f"20 for one: {why}")


def test_another_seed_or_device_is_the_same_protocol(make):
    other = {"protocol": {"crop": "none", "seed": 5, "device": "cuda"}}
    assert len(read_metric(make(line(10, 9.0), line(20, 8.0, **other)), "swd").points) == 2


def test_lines_that_cannot_be_drawn_are_skipped(make):
    bad = [{"metric": "swd"}, line(5, 1e300), {**line(6, 1.0), "value": None}, {**line(7, 1.0), "step": None}]
    run = make(line(10, 9.0), *bad)
    with (run.path / "evaluations.jsonl").open("a") as file:
        file.write('{"metric": "sw')
    assert [point.step for point in read_metric(run, "swd").points] == [10]


def test_missing_metric_is_answered_with_what_there_is(make, tmp_path):
    path = tmp_path / "faces-1" / "evaluations.jsonl"
    run = make(line(10, 9.0))
    with pytest.raises(SnapshotError) as refusal:
        read_metric(run, "fid")
    assert str(refusal.value) == f"{path}: holds no 'fid'; there is: swd"
    path.unlink()
    with pytest.raises(SnapshotError) as refusal:
        read_metric(run, "fid")
    assert str(refusal.value) == (
        f"{path}: holds no evaluations yet; run 'facegan evaluate {run.path} --every-snapshot'"
    )


def test_panel_shows_values_bands_and_real_against_real(make):
    (axes,) = plot_metrics([[read_metric(make(line(10, 7.0), line(20, 4.0)), "swd")]]).axes
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
        return plot_metrics([[read_metric(make(*lines, name=name), "swd")]]).axes[0].get_yscale()

    assert scale(line(10, 60.0), line(20, 4.0), name="far") == "log"
    assert scale(line(10, 30.0), line(20, 4.0), name="near") == "linear"
    assert scale(line(10, 60.0), line(20, 0.5), name="below") == "linear"


def test_runs_are_overlaid_and_distinguished(make):
    one, two = make(line(10, 7.0), name="one"), make(line(10, 6.0, floor=None, interval=None), name="two")
    found = [read_metric(one, "swd"), read_metric(two, "swd")]
    (axes,) = plot_metrics([found]).axes
    texts = [text.get_text() for text in axes.get_legend().get_texts()]
    assert texts == ["one, 100 to 200", "one: real against real, 50 to 150 images", "two, 100 to 200"]
    assert axes.lines[0].get_color() != axes.lines[2].get_color()
    assert len(axes.collections) == 1
    assert protocol_difference(found) == ""


def test_runs_with_different_protocols_are_reported(make):
    found = [
        read_metric(make(line(10, 7.0), name="a"), "swd"),
        read_metric(make(line(10, 6.0, num_fake=50), name="b"), "swd"),
    ]
    assert protocol_difference(found) == "evaluated images 50, not 100"


def test_every_metric_has_a_panel(make):
    run = make(line(10, 7.0), line(10, 7.0, metric="fid"))
    figure = plot_metrics([[read_metric(run, "swd")], [read_metric(run, "fid")]])
    assert [axes.get_ylabel() for axes in figure.axes] == ["swd", "fid"]


DOLLARS = "$\\frac$ \x1b[2J \u65e5"  # no mathematics, a terminal's control sequence, and a character without a glyph


def test_names_and_titles_are_drawn_as_they_are(make, tmp_path, caplog):
    runs = [make(line(10, 7.0, title=DOLLARS, metric=DOLLARS), name=f"{DOLLARS}{number}") for number in (1, 2)]
    figure = plot_metrics([[read_metric(run, DOLLARS) for run in runs]])
    (axes,) = figure.axes
    escaped = "\\$\\frac\\$ \\x1b[2J \u65e5"  # matplotlib removes the backslashes before dollars
    assert axes.get_title(loc="left") == f"{escaped} (lower is better)"
    assert axes.get_ylabel() == escaped
    assert axes.get_legend().get_texts()[0].get_text() == f"{escaped}1, 100 to 200"
    bars = plot_attributes([proportion(DOLLARS, 0.5, 0.4)], title=DOLLARS)
    assert names(bars.axes[0]) == [escaped]
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        for name, each in (("values.png", figure), ("bars.png", bars)):
            save_figure(each, tmp_path / name)
    assert [str(each.message) for each in warned] == [] and caplog.text == ""


# Bars of attributes


def proportion(name, real, fake, *, differs=False):
    bounds = {"real_interval": (real - 0.01, real + 0.02), "fake_interval": (fake - 0.01, fake + 0.02)}
    return {"name": name, "real": real, "fake": fake, "differs": differs, **bounds}


SHOWN = [proportion("hat", 0.1, 0.15), proportion("glasses", 0.5, 0.1, differs=True), proportion("smile", 0.3, 0.3)]


def names(axes):
    return [label.get_text() for label in axes.get_yticklabels()]


def test_bars_are_the_shares_of_both_sides_with_the_largest_difference_on_top():
    axes = plot_attributes(SHOWN, title="Mine").axes[0]
    assert names(axes) == ["glasses", "hat", "smile"]
    assert axes.get_title(loc="left") == "Mine"
    real, fake = (group.patches for group in axes.containers if hasattr(group, "patches"))
    np.testing.assert_allclose([bar.get_width() for bar in real], [0.5, 0.1, 0.3])
    np.testing.assert_allclose([bar.get_width() for bar in fake], [0.1, 0.15, 0.3])
    assert real[0].get_y() < fake[0].get_y()
    bottom, top = axes.get_ylim()
    assert bottom > top  # the first is on top


def test_intervals_are_whiskers():
    axes = plot_attributes(SHOWN).axes[0]
    ends = [segment[:, 0] for collection in axes.collections for segment in collection.get_segments()]
    np.testing.assert_allclose(ends[0], [0.49, 0.52])
    np.testing.assert_allclose(ends[3], [0.09, 0.12])


def test_names_of_what_differs_are_bold():
    labels = plot_attributes(SHOWN).axes[0].get_yticklabels()
    assert [label.get_fontweight() for label in labels] == ["bold", "normal", "normal"]


def test_of_many_the_most_different_are_shown_and_the_others_counted():
    many = [proportion(f"a{number}", 0.5, 0.5 + number / 1000) for number in range(MAX_ATTRIBUTES + 3)]
    axes = plot_attributes(many).axes[0]
    assert names(axes)[0] == f"a{MAX_ATTRIBUTES + 2}"
    assert len(names(axes)) == MAX_ATTRIBUTES
    assert axes.get_xlabel() == "share of faces (bold: they differ; 3 more, which differ less, are not shown)"
    assert plot_attributes(SHOWN).axes[0].get_xlabel() == "share of faces (bold: they differ)"
