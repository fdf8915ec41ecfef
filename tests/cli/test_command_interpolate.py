import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from facegan.checkpoint import load_generator
from facegan.images.animation import read_about
from facegan.seeds import save_latents


def newest(run):
    return sorted((run / "snapshots").iterdir())[-1]


def pixels(path):
    with Image.open(path) as image:
        return np.asarray(image)


def animation(path):
    """The frames of an animation and how long each is shown, in ms."""
    with Image.open(path) as file:
        frames, durations = [], []
        for number in range(file.n_frames):
            file.seek(number)
            file.load()
            frames.append(np.asarray(file.convert("RGB")))
            durations.append(file.info["duration"])
        return frames, durations


def test_first_and_last_frame_are_the_faces_that_sample_draws(facegan, run):
    said = facegan("interpolate", run, "--seeds", "3,14,15", "--frames", 7, "-o", "walk/")
    assert (said.code, said.out, said.err) == (0, "walk/\n", "")
    facegan("sample", run, "--seeds", "3,14,15", "--separate", "faces")
    assert sorted(path.name for path in Path("walk").iterdir()) == [f"frame-{n:08d}.png" for n in range(7)]
    for frame, seed in ((0, 3), (3, 14), (6, 15)):
        face = pixels(f"faces/seed-{seed:08d}.png")
        assert np.array_equal(pixels(f"walk/frame-{frame:08d}.png"), face)


def test_strip_shows_every_point_as_sample_draws_it(facegan, run):
    said = facegan("interpolate", run, "--seeds", "3,14,15", "-o", "strip.png")
    assert (said.code, said.out, said.err) == (0, "strip.png\n", "")
    facegan("sample", run, "--seeds", "3,14,14,15", "-o", "grid.png")
    strip, grid = pixels("strip.png"), pixels("grid.png")
    assert strip.shape == (2 * 18 - 2, 10 * 18 - 2, 3)  # a row a leg, of ten faces
    assert np.array_equal(np.concatenate([strip[:, :16], strip[:, -16:]], 1), np.delete(grid, [16, 17], 1))


@pytest.mark.parametrize("ending", [".gif", ".webp", ".mp4"])
def test_animations_are_enlarged_and_say_how_they_were_made(facegan, run, ending):
    said = facegan("interpolate", run, "--seeds", "3,14", "--frames", 4, "-o", f"walk{ending}")
    assert (said.code, said.out) == (0, f"walk{ending}\n"), said.err
    about = read_about(Path(f"walk{ending}"))
    assert about["command"] == "facegan interpolate --seeds 3,14 --frames 4 --scale 16 --fps 25"
    assert about["snapshot"] == hashlib.sha256(newest(run).read_bytes()).hexdigest()
    assert json.loads(about["recipe"]) == {
        "make": "interpolate", "points": {"text": "3,14"}, "num_frames": 4, "scale": 16,
    }  # fmt: skip
    if ending != ".mp4":
        frames, durations = animation(f"walk{ending}")
        assert [frame.shape for frame in frames] == [(256, 256, 3)] * 4
        assert durations == [40] * 4


def test_random_points_are_reported_and_repeat_with_the_seed(facegan, run):
    first = facegan("interpolate", run, "-o", "first.png")
    again = facegan("interpolate", run, "--seed", 0, "-o", "again.png")
    other = facegan("interpolate", run, "--seed", 1, "-o", "other.png")
    fewer = facegan("interpolate", run, "-n", 3, "-o", "fewer.png")
    chosen = first.err.removeprefix("--seeds ").strip()
    assert len(set(chosen.split(","))) == 5
    assert first.err == again.err != other.err
    assert first.err.startswith(fewer.err.strip() + ",")
    named = facegan("interpolate", run, "--seeds", chosen, "-o", "named.png")
    assert named.err == ""
    for name in ("again", "named"):
        assert np.array_equal(pixels("first.png"), pixels(f"{name}.png"))
    assert pixels("fewer.png").shape[0] == 2 * 18 - 2


def test_defaults_are_30_frames_from_point_to_point(facegan, run):
    for flags, num_frames in (((), 31), (("--loop",), 60)):
        said = facegan("interpolate", run, "--seeds", "3,14", *flags, "-o", "walk.gif", "--scale", 1, "--json")
        assert said.json["frames"] == num_frames


@pytest.mark.parametrize(
    ("flags", "differs"),
    [
        (["--mode", "lerp"], True),
        (["--mode", "slerp"], False),  # the default of the normal prior
        (["--frames", "11"], True),
        (["--loop"], True),
        (["--circle"], True),
        (["--scale", "2"], True),
        (["--raw"], True),
        (["--device", "cpu"], False),
    ],
)
def test_options_change_the_image_or_are_the_default(facegan, run, flags, differs):
    facegan("interpolate", run, "--seeds", "3,14", "-o", "plain.png")
    said = facegan("interpolate", run, "--seeds", "3,14", *flags, "-o", "other.png")
    assert said.code == 0, said.err
    assert np.array_equal(pixels("plain.png"), pixels("other.png")) != differs


def test_fps_sets_the_pace(facegan, run):
    facegan("interpolate", run, "--seeds", "3,14", "--frames", 3, "--fps", 10, "-o", "walk.gif")
    assert animation("walk.gif")[1] == [100] * 3


def test_loop_does_not_repeat_its_first_frame(facegan, run):
    facegan("interpolate", run, "--seeds", "3,14", "--frames", 4, "--loop", "-o", "walk/")
    frames = [pixels(path) for path in sorted(Path("walk").iterdir())]
    assert len(frames) == 4
    assert np.array_equal(frames[1], frames[3])  # the same way, forth and back
    assert not np.array_equal(frames[0], frames[3])


def test_circle_of_one_point_takes_its_plane_from_the_seed(facegan, run):
    for name, flags in (("default", []), ("same", ["--seed", 0]), ("other", ["--seed", 1])):
        said = facegan("interpolate", run, "--seeds", 3, "--circle", *flags, "-o", f"{name}.png")
        assert said.code == 0, said.err
    strip = pixels("default.png")
    facegan("sample", run, "--seeds", 3, "-o", "face.png")
    assert strip.shape == (4 * 18 - 2, 10 * 18 - 2, 3)  # a row a quarter
    assert np.array_equal(strip[:16, :16], pixels("face.png"))
    assert np.array_equal(strip[-16:, -16:], pixels("face.png"))
    assert np.array_equal(strip, pixels("same.png"))
    assert not np.array_equal(strip, pixels("other.png"))


def test_grid_walks_from_one_sheet_of_sample_to_another(facegan, run):
    said = facegan("interpolate", run, "--seeds", "0-3,10-13", "--grid", "2x2", "--frames", 3, "-o", "walk/")
    assert said.code == 0, said.err
    for seeds, frame in (("0-3", 0), ("10-13", 2)):
        facegan("sample", run, "--seeds", seeds, "-o", "sheet.png")
        assert np.array_equal(pixels(f"walk/frame-{frame:08d}.png"), pixels("sheet.png"))


def test_random_grid_has_points_of_its_own_for_each_walk(facegan, run):
    said = facegan("interpolate", run, "--grid", "2x3", "-n", 2, "--frames", 2, "-o", "walk.gif", "--json")
    assert len(set(said.json["points"])) == 12
    assert (said.json["height"], said.json["width"]) == (34 * 8, 52 * 8)


def test_corners_make_a_sheet(facegan, run):
    said = facegan("interpolate", run, "--corners", "1,2,3,4", "--rows", 3, "--cols", 5, "-o", "sheet.png")
    assert (said.code, said.out, said.err) == (0, "sheet.png\n", "")
    facegan("sample", run, "--seeds", "1-4", "-o", "grid.png")
    sheet, grid = pixels("sheet.png"), pixels("grid.png")
    assert sheet.shape == (3 * 18 - 2, 5 * 18 - 2, 3)
    for rows, columns in ((slice(16), slice(16)), (slice(16), slice(-16, None)), (slice(-16, None), slice(16))):
        assert np.array_equal(sheet[rows, columns], grid[rows, columns])
    facegan("interpolate", run, "--corners", "1-4", "-o", "b.webp")
    assert pixels("b.webp").shape == (8 * 18 - 2, 8 * 18 - 2, 3)
    assert read_about(Path("sheet.png"))["command"] == "facegan interpolate --corners 1,2,3,4 --rows 3 --cols 5"


def test_json_names_points_snapshot_and_size(facegan, run):
    said = facegan("interpolate", run, "--seeds", "3,14", "-o", "strip.png", "--json")
    assert said.err == ""
    assert said.json == {
        "snapshot": str(newest(run)), "digest": hashlib.sha256(newest(run).read_bytes()).hexdigest(), "step": 4,
        "weights": "G_ema", "points": ["3", "14"], "seeds": "3,14", "frames": 10, "width": 178,
        "height": 16, "out": "strip.png", "files": ["strip.png"],
    }  # fmt: skip


def test_file_of_latents_is_a_point(facegan, run):
    generator = load_generator(newest(run))
    save_latents(Path("me.safetensors"), generator.latents([15]), generator)
    facegan("interpolate", run, "--seeds", "3,me.safetensors", "-o", "file.png")
    facegan("interpolate", run, "--seeds", "3,15", "-o", "seed.png")
    assert np.array_equal(pixels("file.png"), pixels("seed.png"))


def test_latent_of_another_z_dim_is_refused(facegan, run):
    generator = load_generator(newest(run))
    save_latents(Path("me.safetensors"), torch.ones(1, 10), generator)
    said = facegan("interpolate", run, "--seeds", "3,me.safetensors", "-o", "walk.png")
    assert said.code == 2
    assert said.complaint == (
        f"facegan: me.safetensors: a latent of 10 numbers, but {newest(run)} takes 12; it belongs to another model"
    )
    assert not Path("walk.png").exists()


RANGE = (
    "interpolate: invalid value for {}: Input should be greater than or equal to {}; see 'facegan interpolate --help'"
)
LEFT_OUT = "no effect with --corners, which makes one sheet; leave out"


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ([], "interpolate: nowhere to write; give -o walk.gif, .webp, .mp4, .png or FOLDER/"),
        (["-o", "a.bmp"], "-o a.bmp: cannot write '.bmp'; end it in .gif, .webp, .mp4, /, .png, .jpg, .jpeg"),
        (["-o", "runs/"], "-o runs/: exists already; name a new folder"),
        (["-o", "a.gif", "--seeds", "5-1"], "--seeds 5-1: the range '5-1' runs backwards; give 1-5"),
        (["-o", "a.gif", "--seeds", "5"], "--seeds 5: is one point a walk; give two or more, or --circle"),
        (["-o", "a.gif", "--seeds", "5,6", "-n", "3"], "-n: no effect with --seeds, which names all points; leave out"),
        (
            ["-o", "a.gif", "--seeds", "5,6", "--seed", "3"],
            "--seed: no effect with --seeds, which names all points; leave out",
        ),
        (["-o", "a.gif", "--seed", "-3"], RANGE.format("'--seed'", 0)),
        (["-o", "a.gif", "-n", "1"], RANGE.format("'-n' / '--num'", 2)),
        (["-o", "a.gif", "--mode", "curve"], "--mode is 'curve'; it must be 'slerp' or 'lerp'"),
        (["-o", "a.gif", "--frames", "1"], "--frames 1: fewer than the 5 points; give as many or more"),
        (
            ["-o", "a.gif", "--seeds", "0-9", "--frames", "9"],
            "--frames 9: fewer than the 10 points; give as many or more",
        ),
        (
            ["-o", "a.gif", "--frames", "100000"],
            "-o a.gif: 100,000 frames of 256 x 256 pixels are more than fit into memory; ask for fewer --frames, "
            "a smaller --scale, or an .mp4, which is written frame by frame",
        ),
        (["-o", "a.png", "--frames", "12"], "--frames 12: are not 4 rows of one length; give 9 or 13"),
        (["-o", "a.png", "--seeds", "1-3", "--frames", "100000", "--loop"],
         "--frames 100000: are not 3 rows of one length; give 99999 or 100002"),
        (
            ["-o", "a.png", "--seeds", "1,2", "--frames", "99999", "--scale", "2"],
            "-o a.png: would have 3,599,960 x 32 pixels, more than other programs open (89,478,485 in all); "
            "ask for fewer or smaller faces",
        ),
        (["-o", "a.gif", "--scale", "0"], "--scale is 0; it must be at least 1"),
        (
            ["-o", "a.gif", "--fps", "0"],
            "-o a.gif: cannot show 0 images a second; it must be 0.01 to 50",
        ),
        (["-o", "a.gif", "--fps", "nan"], "--fps is nan; it must be a finite number"),
        (["-o", "a.gif", "--grid", "0x3"], "--grid 0x3: is not ROWSxCOLUMNS; give for instance 4x4"),
        (["-o", "a.gif", "--grid", "40x40"], "--grid 40x40: 1,600 walks at once; 1,024 are the most"),
        (
            ["-o", "a.gif", "--grid", "2x2", "--seeds", "0-5"],
            "--grid 2x2: 6 points do not fill sheets of 4; give a multiple of 4, the first 4 for the first frame, "
            "and so on",
        ),
        (["-o", "a.png", "--grid", "2x2"], "--grid: no effect on a filmstrip; leave out, or -o walk.gif"),
        (["-o", "a.png", "--fps", "9"], "--fps: no effect on a filmstrip; leave out, or -o walk.gif"),
        (["-o", "a/", "--fps", "9"], "--fps: no effect on single images; leave out"),
        (
            ["-o", "a.gif", "--circle", "--seeds", "1-3"],
            "--circle: takes two points a walk, the second for its plane (given 3)",
        ),
        (["-o", "a.gif", "--circle", "-n", "3"], "-n: no effect with --circle, which takes two points; leave out"),
        (
            ["-o", "a.gif", "--circle", "--loop"],
            "--circle: is always closed and on a great circle; leave --loop and --mode out",
        ),
        (["-o", "a.gif", "--rows", "3"], "--rows: no effect without --corners; walks at once are --grid RxC"),
        (
            ["-o", "a.png", "--corners", "1,2,3"],
            "--corners 1,2,3: names 3 points; give four: top left, top right, bottom left, bottom right",
        ),
        (["-o", "a.png", "--corners", "1-4", "--rows", "1"], "--rows is 1; it must be at least 2"),
        (["-o", "a.gif", "--corners", "1-4"], "-o a.gif: cannot write '.gif'; end it in .png, .jpg, .jpeg, .webp"),
        (["-o", "a.png", "--corners", "1-4", "--seed", "0", "-n", "2"], f"--seed, -n: {LEFT_OUT}"),
        (
            ["-o", "a.png", "--corners", "1-4", "--frames", "9", "--fps", "9", "--grid", "1x2"],
            f"--frames, --fps, --grid: {LEFT_OUT}",
        ),
    ],
)  # fmt: skip
def test_wrong_requests_are_refused_in_one_line(facegan, run, workplace, flags, message):
    said = facegan("interpolate", run, *flags)
    assert said.code == 2
    assert said.complaint.removeprefix("facegan").lstrip(": ") == message
    assert [path.name for path in workplace.iterdir()] == ["runs"]


@pytest.mark.parametrize("out", ["walk.gif", "walk.mp4", "strip.png", "frames/"])
def test_place_that_cannot_be_written_fails_in_one_line(facegan, run, out):
    Path("file").write_text("in the way")
    said = facegan("interpolate", run, "--seeds", "1,2", "--frames", 2, "-o", f"file/{out}")
    assert said.code in (1, 2)
    assert "file" in said.complaint


def test_more_random_points_than_there_are_seeds_are_refused_at_once(facegan, run):
    said = facegan("interpolate", run, "--grid", "1000x1000", "-o", "walk.gif")
    assert said.code == 2
    assert said.complaint == "facegan: 5,000,000 random points are too many; give a smaller --grid or -n"
