import numpy as np
import pytest

from facegan.errors import SnapshotError
from facegan.plots import BINS, plot_curves, read_columns, save_arrays, save_figure
from facegan.storage.run_dir import RunDir

pytestmark = pytest.mark.curves


@pytest.fixture
def make(tmp_path):
    def run(name="faces-1", num=5, shift=0.0, spreads_from=None):
        folder = RunDir(tmp_path / name)
        folder.create("{}", {})
        for step in range(1, num + 1):
            spreads = {"spread/real": 0.4, "spread/fake": step / 1000, "health": "good"}
            folder.append_metrics(
                {
                    **(spreads if spreads_from is not None and step >= spreads_from else {}),
                    "step": 10 * step,
                    "images_per_second": 100.0 + step,
                    "loss/D": 1 / step + shift,
                    "loss/G": float(step),
                    "score/real": 0.75,
                    "score/fake": 0.25,
                }
            )
        return folder

    return run


def lines(axes):
    return {line.get_label(): line for line in axes.lines}


def test_three_panels_show_what_metrics_jsonl_says(make):
    losses, scores, speed = plot_curves([make()]).axes
    assert losses.get_title(loc="left") == "Training losses"
    np.testing.assert_allclose(lines(losses)["D"].get_xdata(), [10, 20, 30, 40, 50])
    np.testing.assert_allclose(lines(losses)["D"].get_ydata(), [1, 1 / 2, 1 / 3, 1 / 4, 1 / 5])
    np.testing.assert_allclose(lines(losses)["G"].get_ydata(), [1, 2, 3, 4, 5])
    np.testing.assert_allclose(lines(scores)["D(x)"].get_ydata(), 0.75)
    np.testing.assert_allclose(lines(scores)["D(G(z))"].get_ydata(), 0.25)
    np.testing.assert_allclose(speed.lines[0].get_ydata(), [101, 102, 103, 104, 105])


def test_spreads_have_a_panel_of_their_own_where_there_are_any(make):
    figure = plot_curves([make(spreads_from=1)])
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert titles == ["Training losses", "What D believes", "How much images differ", "Speed"]
    drawn = lines(figure.axes[2])
    np.testing.assert_allclose(drawn["images"].get_ydata(), 0.4)
    np.testing.assert_allclose(drawn["fakes"].get_ydata(), np.arange(1, 6) / 1000)
    assert len(plot_curves([make("old")]).axes) == 3


def test_spreads_are_drawn_from_where_they_begin(make):
    num = 3 * BINS
    drawn = lines(plot_curves([make(num=num, spreads_from=2 * BINS + 1), make("old", num=3)]).axes[2])
    assert list(drawn) == ["faces-1: images", "faces-1: fakes"]
    np.testing.assert_allclose(drawn["faces-1: fakes"].get_xdata(), 10 * np.arange(2 * BINS + 1, num + 1))


def test_text_in_a_line_is_no_column(make):
    columns = read_columns(make(spreads_from=2))
    assert "health" not in columns
    np.testing.assert_allclose(columns["spread/fake"], [np.nan, 0.002, 0.003, 0.004, 0.005])


def test_the_equilibrium_is_drawn_at_a_half(make):
    _, scores, _ = plot_curves([make()]).axes
    reference = lines(scores)["0.5: D cannot tell"]
    assert set(reference.get_ydata()) == {0.5}
    low, high = scores.get_ylim()
    assert low <= 0
    assert high >= 1


def test_several_runs_are_distinguished(make):
    losses, *_ = plot_curves([make("one"), make("two", shift=1)]).axes
    found = lines(losses)
    assert list(found) == ["one: D", "one: G", "two: D", "two: G"]
    assert found["one: D"].get_color() == found["one: G"].get_color() != found["two: D"].get_color()
    assert found["one: D"].get_linestyle() != found["one: G"].get_linestyle()


def test_long_curves_are_drawn_as_averages_within_a_band(make):
    losses, *_ = plot_curves([make(num=4 * BINS)]).axes
    line = lines(losses)["G"]
    np.testing.assert_allclose(line.get_ydata(), np.arange(1, 4 * BINS + 1).reshape(BINS, 4).mean(1))
    np.testing.assert_allclose(line.get_xdata(), 10 * np.arange(1, 4 * BINS + 1).reshape(BINS, 4).mean(1))
    assert len(losses.collections) == 2


def test_one_point_is_visible(make):
    losses, *_ = plot_curves([make(num=1)]).axes
    assert lines(losses)["D"].get_marker() == "."


@pytest.mark.parametrize(("name", "start"), [("c.svg", b"<?xml"), ("c.PDF", b"%PDF")])
def test_the_ending_chooses_the_format(make, tmp_path, name, start):
    save_figure(plot_curves([make()]), tmp_path / "new" / name)
    assert (tmp_path / "new" / name).read_bytes().startswith(start)


def test_losses_as_arrays_are_the_losses_of_metrics_jsonl(make, tmp_path):
    written = save_arrays(make(), tmp_path / "arrays")
    assert [path.name for path in written] == ["d_losses.npy", "g_losses.npy"]
    d_losses, g_losses = (np.load(path, allow_pickle=False) for path in written)
    assert d_losses.dtype == g_losses.dtype == np.float64
    np.testing.assert_array_equal(d_losses, [1, 1 / 2, 1 / 3, 1 / 4, 1 / 5])
    np.testing.assert_array_equal(g_losses, [1, 2, 3, 4, 5])


def test_a_run_without_metrics_says_so(tmp_path):
    run = RunDir(tmp_path / "new")
    run.create("{}", {})
    for draw in (lambda: plot_curves([run]), lambda: save_arrays(run, tmp_path), lambda: read_columns(run)):
        with pytest.raises(SnapshotError) as refusal:
            draw()
        assert str(refusal.value) == f"{run.metrics}: holds no metrics yet; train for a few steps first"


def test_a_missing_value_is_a_gap_not_a_shift(make):
    run = make(num=2)
    run.append_metrics({"step": 30, "loss/D": 0.5})
    columns = read_columns(run)
    assert columns["loss/G"][:2].tolist() == [1, 2]
    assert np.isnan(columns["loss/G"][2])


def test_values_that_cannot_be_drawn_leave_gaps(make):
    run = make(num=7)
    lines_of_file = run.metrics.read_text().splitlines()
    for number, value in enumerate(["null", "true", "1e999", "1e308", "1" + "0" * 400], 1):
        lines_of_file[number] = f'{{"step": {10 * (number + 1)}, "loss/D": {value}}}'
    run.metrics.write_text("\n".join(lines_of_file))
    columns = read_columns(run)
    assert columns["loss/D"][[0, 6]].tolist() == [1, 1 / 7]
    assert np.isfinite(columns["loss/D"][1:6]).tolist() == [False, True, False, False, False]  # true is 1
    assert np.isnan(columns["loss/G"][1:6]).all()
    assert np.isnan(lines(plot_curves([run]).axes[0])["D"].get_ydata()).sum() == 4


def test_a_loss_without_scores_says_so_in_their_panel(make):
    run = make(num=2 * BINS)
    run.metrics.write_text(run.metrics.read_text().replace("score/", "other/"))
    scores = plot_curves([run]).axes[1]
    assert [text.get_text() for text in scores.texts] == ["not defined for this loss"]
    assert list(lines(scores)) == ["0.5: D cannot tell"]


def test_names_of_runs_are_drawn_as_they_are(make, tmp_path):
    figure = plot_curves([make("$\\frac$"), make("b")])
    assert "\\$\\frac\\$: D" in lines(figure.axes[0])
    save_figure(figure, tmp_path / "curves.png")
