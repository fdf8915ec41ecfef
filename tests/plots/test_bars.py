import numpy as np
import pytest

from facegan.plots import ENDINGS, attributes, save_attributes
from facegan.plots.bars import MOST


def proportion(name, real, fake, *, differs=False):
    bounds = {"real_interval": (real - 0.01, real + 0.02), "fake_interval": (fake - 0.01, fake + 0.02)}
    return {"name": name, "real": real, "fake": fake, "differs": differs, **bounds}


SHOWN = [proportion("hat", 0.1, 0.15), proportion("glasses", 0.5, 0.1, differs=True), proportion("smile", 0.3, 0.3)]


def names(axes):
    return [label.get_text() for label in axes.get_yticklabels()]


def test_bars_are_the_shares_of_both_sides_with_the_largest_difference_on_top():
    axes = attributes(SHOWN, title="Mine").axes[0]
    assert names(axes) == ["glasses", "hat", "smile"]
    assert axes.get_title(loc="left") == "Mine"
    real, fake = (group.patches for group in axes.containers if hasattr(group, "patches"))
    np.testing.assert_allclose([bar.get_width() for bar in real], [0.5, 0.1, 0.3])
    np.testing.assert_allclose([bar.get_width() for bar in fake], [0.1, 0.15, 0.3])
    assert real[0].get_y() < fake[0].get_y()
    bottom, top = axes.get_ylim()
    assert bottom > top  # the first is on top


def test_intervals_are_whiskers():
    axes = attributes(SHOWN).axes[0]
    ends = [segment[:, 0] for collection in axes.collections for segment in collection.get_segments()]
    np.testing.assert_allclose(ends[0], [0.49, 0.52])
    np.testing.assert_allclose(ends[3], [0.09, 0.12])


def test_names_of_what_differs_are_bold():
    labels = attributes(SHOWN).axes[0].get_yticklabels()
    assert [label.get_fontweight() for label in labels] == ["bold", "normal", "normal"]


def test_of_many_the_most_different_are_shown_and_the_others_counted():
    many = [proportion(f"a{number}", 0.5, 0.5 + number / 1000) for number in range(MOST + 3)]
    axes = attributes(many).axes[0]
    assert names(axes)[0] == f"a{MOST + 2}"
    assert len(names(axes)) == MOST
    assert axes.get_xlabel() == "share of faces (bold: they differ; 3 more, which differ less, are not shown)"
    assert attributes(SHOWN).axes[0].get_xlabel() == "share of faces (bold: they differ)"


@pytest.mark.parametrize("ending", ENDINGS)
def test_file_is_of_the_kind_that_its_ending_says(tmp_path, ending):
    path = tmp_path / "new" / f"bars{ending}"
    save_attributes(SHOWN, path)
    begins = {".png": b"\x89PNG", ".svg": b"<?xml", ".pdf": b"%PDF"}[ending]
    assert path.read_bytes().startswith(begins)
