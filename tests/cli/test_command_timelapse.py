import shutil
from pathlib import Path

import av
import pytest
from PIL import Image

from facegan.images.animation import read_about

SIZE = (3 * (8 * 18 - 2), 3 * (8 * 18 - 2) + 22)  # the grid, enlarged, and its caption


@pytest.mark.parametrize("ending", [".gif", ".webp"])
def test_timelapse_shows_every_grid_in_order_and_holds_the_last(facegan, run, ending):
    said = facegan("timelapse", run, "-o", f"growth{ending}", "--seconds", 3)
    assert said.code == 0, said.err
    assert said.out == f"growth{ending}\n"
    with Image.open(f"growth{ending}") as animation:
        assert animation.n_frames == 3  # of the steps 0, 2 and 4
        durations = []
        for frame in range(animation.n_frames):
            animation.seek(frame)
            animation.load()
            durations.append(animation.info["duration"])
        assert animation.size == SIZE
    assert durations == [1000, 1000, 2500]


def test_timelapse_is_a_video_too(facegan, run):
    assert facegan("timelapse", run, "-o", "growth.mp4", "--seconds", 1.5).out == "growth.mp4\n"
    with av.open("growth.mp4") as animation:
        (stream,) = animation.streams.video
        assert (stream.codec_context.name, stream.width, stream.height) == ("h264", *SIZE)
        assert len(list(animation.decode(stream))) == 3 + 3  # and the hold of 1.5 s
    assert read_about(Path("growth.mp4"))["Description"] == "synthetic faces: run faces-1, steps 0 to 4"


@pytest.mark.parametrize(("flags", "place"), [((), "timelapse.gif"), (("-o", "growth/"), "growth/")])
def test_timelapse_says_that_its_faces_are_synthetic(facegan, run, flags, place):
    assert facegan("timelapse", run, *flags).out == f"{place}\n"
    about = read_about(Path(place))
    assert about["Description"] == "synthetic faces: run faces-1, steps 0 to 4"
    assert about["Software"].startswith("facegan ")


def test_timelapse_into_a_folder_is_its_frames(facegan, run):
    assert facegan("timelapse", run, "-o", "growth/").out == "growth/\n"
    paths = sorted(Path("growth").iterdir())
    assert [path.name for path in paths] == [f"frame-{number:08d}.png" for number in range(3)]
    for path, step in zip(paths, (0, 2, 4), strict=True):
        with Image.open(path) as frame, Image.open(run / "samples" / f"step-{step:08d}.png") as grid:
            image = frame.resize(grid.size, Image.Resampling.NEAREST, (0, 0, SIZE[0], SIZE[0]))
            assert image.tobytes() == grid.convert("RGB").tobytes()


def test_of_more_grids_than_fit_some_are_left_out_and_never_the_last(facegan, run):
    for step in range(100, 160):
        shutil.copy(run / "samples" / "step-00000004.png", run / "samples" / f"step-{step:08d}.png")
    shutil.copy(run / "samples" / "step-00000000.png", run / "samples" / "step-00000160.png")
    assert facegan("timelapse", run, "-o", "growth/", "--seconds", 0.2).code == 0
    frames = [Image.open(path).crop((0, 0, SIZE[0], SIZE[0])) for path in sorted(Path("growth").iterdir())]
    assert len(frames) == 25 * 0.2
    assert frames[0] == frames[-1] != frames[1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-o", "a.mp5"], "-o a.mp5: cannot write '.mp5'; end it in .gif, .webp, .mp4, /"),
        (["-o", "runs/"], "-o runs/: exists already; name a new folder"),
        (["--seconds", "0"], "--seconds is 0; it must be 0.1 to 600"),
        (["--seconds", "0.09"], "--seconds is 0.09; it must be 0.1 to 600"),
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
