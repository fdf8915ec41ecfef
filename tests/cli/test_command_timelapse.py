import shutil
from pathlib import Path

import pytest
from PIL import Image


@pytest.mark.parametrize("ending", [".gif", ".webp"])
def test_timelapse_shows_every_grid_in_order_and_holds_the_last(facegan, run, ending):
    said = facegan("timelapse", run, "-o", f"growth{ending}", "--seconds", 3)
    assert said.code == 0, said.err
    assert said.out == f"growth{ending}\n"
    with Image.open(f"growth{ending}") as film:
        assert film.n_frames == 3  # of the steps 0, 2 and 4
        durations = []
        for frame in range(film.n_frames):
            film.seek(frame)
            film.load()
            durations.append(film.info["duration"])
        assert film.size == (3 * (8 * 18 - 2), 3 * (8 * 18 - 2) + 22)  # the grid, enlarged, and its caption
    assert durations == [1000, 1000, 2500]


def test_timelapse_gif_is_the_default(facegan, run):
    assert facegan("timelapse").out == "timelapse.gif\n"
    assert Path("timelapse.gif").is_file()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-o", "a.mp5"], "-o a.mp5: cannot write '.mp5'; end it in .gif, .webp"),
        (["--seconds", "0"], "--seconds is 0; it must be above 0"),
        (["--seconds", "nan"], "--seconds is nan; it must be above 0"),
        (["nothing-alike"], "nothing-alike: no such run, neither as a path nor in runs/; there is: faces-1"),
    ],
)
def test_wrong_requests_are_refused_in_one_line(facegan, run, workplace, arguments, message):
    said = facegan("timelapse", *arguments)
    assert said.code == 2
    assert said.complaint == f"facegan: {message}"
    assert [path.name for path in workplace.iterdir()] == ["runs"]


def test_run_without_grids_is_refused(facegan, run):
    shutil.rmtree(run / "samples")
    said = facegan("timelapse", run)
    assert said.code == 2
    assert said.complaint == f"facegan: {run}: holds no grids of samples yet"
