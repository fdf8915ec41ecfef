import hashlib
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from facegan.api.provenance import SHOWN
from facegan.checkpoint import load_generator
from facegan.images import read_frames
from facegan.seeds import save_latents


def newest(run):
    return sorted((run / "snapshots").iterdir())[-1]


def pixels(path):
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


@pytest.fixture
def sheet(facegan, run):
    """A sheet of the run's faces, made with more than the defaults."""
    path = Path("sheet.png")
    facegan("sample", run, "--seeds", "5,9,2", "--truncation", 0.7, "--labels", "--cols", 3, "-o", path)
    return path


def test_an_image_says_how_it_was_made_and_is_made_again(facegan, run, sheet):
    said = facegan("whois", sheet, "-o", "again.png")
    assert said.code == 0, said.err
    lines = said.out.splitlines()
    assert lines[0] == "command: facegan sample --seeds 5,9,2 --truncation 0.7 --cols 3 --labels"
    assert lines[1] == "seeds: 5,9,2"
    assert lines[-1] == f"made again with {newest(run)}: the same to the pixel -> again.png"
    assert Path("again.png").read_bytes() == sheet.read_bytes()


@pytest.mark.parametrize("ending", [".jpg", ".webp"])
def test_lossy_images_are_made_again_as_well(facegan, run, ending):
    facegan("sample", run, "-n", 4, "-o", f"sheet{ending}")
    answer = facegan("whois", f"sheet{ending}", "--json").json
    assert answer["made_again"] is True
    assert answer["differing"] == 0
    assert answer["seeds"] == "0-3"


@pytest.mark.parametrize("animation", ["walk.gif", "walk.webp", "walk.mp4", "walk/"])
def test_animations_are_made_again(facegan, run, animation):
    assert facegan("interpolate", run, "--seeds", "3,14", "--frames", 5, "-o", animation).code == 0
    answer = facegan("whois", animation, "-o", animation.replace("walk", "again"), "--json").json
    assert (answer["made_again"], answer["seeds"]) == (True, "3,14")
    again = Path(animation.replace("walk", "again"))
    assert [frame.shape for frame in read_frames(again)] == [frame.shape for frame in read_frames(Path(animation))]


def test_an_image_is_known_by_its_content_whatever_it_is_called(facegan, run):
    facegan("sample", run, "-n", 2, "-o", "faces.webp")
    Path("faces.webp").rename("faces")
    assert facegan("whois", "faces", "--json").json["made_again"] is True


def test_metadata_cannot_move_the_cursor(facegan, run, sheet):
    from facegan.images import save

    with Image.open(sheet) as image:
        about, pixels = image.text, np.asarray(image).copy()
    save(sheet, pixels, {**about, "seeds": "\x1b[31m7\x07", "command": "rm -rf /"})
    said = facegan("whois", sheet)
    assert "\x1b" not in said.out and "\x07" not in said.out and "rm -rf" not in said.out
    assert said.out.startswith("command: facegan sample --seeds 5,9,2")


def test_raw_is_part_of_the_command(facegan, run):
    facegan("sample", run, "--seeds", "3", "--raw", "-o", "raw.png")
    assert facegan("whois", "raw.png").out.startswith("command: facegan sample --seeds 3 --raw\n")


def test_one_frame_of_a_animation_is_found_in_the_animation(facegan, run):
    facegan("interpolate", run, "--seeds", "3,14", "--frames", 5, "-o", "walk/")
    Path("walk/frame-00000002.png").rename("middle.png")
    assert facegan("whois", "middle.png", "-o", "again.png", "--json").json["made_again"] is True
    assert Path("again.png").read_bytes() == Path("middle.png").read_bytes()


def test_single_images_and_raw_weights_are_made_again(facegan, run):
    facegan("sample", run, "--seeds", "3", "--raw", "--separate", "single")
    answer = facegan("whois", "single/seed-00000003.png", "--json").json
    assert (answer["made_again"], answer["seed"], answer["weights"]) == (True, "3", "G")


def test_latents_travel_inside_of_the_image(facegan, run):
    generator = load_generator(newest(run))
    save_latents(Path("me.safetensors"), generator.latents([77]) * 0.9, generator)
    facegan("sample", run, "--seeds", "1,me.safetensors", "-o", "both.png")
    Path("me.safetensors").unlink()
    assert facegan("whois", "both.png", "--json").json["made_again"] is True


def test_the_snapshot_is_found_by_its_digest_wherever_the_run_has_gone(facegan, run, sheet):
    run.rename("runs/renamed")
    assert facegan("whois", sheet, "--json").json["snapshot_file"].startswith("runs/renamed/")
    Path("runs/renamed").rename("elsewhere")
    said = facegan("whois", sheet)
    assert said.code == 1
    assert "is not under runs/; give its file or run" in said.out.splitlines()[-1]
    for model in ("elsewhere", newest(Path("elsewhere"))):
        assert facegan("whois", sheet, model, "--json").json["made_again"] is True


def test_the_snapshot_of_an_image_is_found_after_a_resume_that_wrote_it_again(facegan, run, sheet):
    before = newest(run).read_bytes()
    newest(run).unlink()
    (run / "states" / "step-00000004.safetensors").write_bytes(b"")
    assert facegan("resume", run).code == 0
    assert newest(run).read_bytes() == before
    assert facegan("whois", sheet).code == 0


def test_an_image_whose_snapshot_is_gone_exits_with_1(facegan, run, sheet):
    newest(run).unlink()
    said = facegan("whois", sheet)
    assert said.code == 1
    assert said.out.splitlines()[-1].startswith("not made again: its snapshot, ")
    assert facegan("whois", sheet, "--json").json["made_again"] is None


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the system has no pipes in folders")
@pytest.mark.parametrize(
    "command",
    [
        ("whois", "pipe.png"),
        ("import", "pipe.png", "-o", "G.safetensors"),
        ("project", "pipe.png", "-o", "a.png"),
        ("train", "--config", "pipe.toml", "--dry-run"),
    ],
)
def test_a_pipe_is_refused_at_once(facegan, workplace, run, command):
    for name in ("pipe.png", "pipe.toml"):
        os.mkfifo(name)
    said = facegan(*command)
    name = next(word for word in command if word.startswith("pipe"))
    assert (said.code, said.complaint) == (2, f"facegan: {name}: no regular file")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the system has no pipes in folders")
def test_pipes_and_devices_among_the_snapshots_of_runs_are_passed_over(facegan, run, sheet):
    for number, make in enumerate((os.mkfifo, lambda path: path.symlink_to("/dev/zero"), Path.mkdir)):
        snapshots = run.with_name(f"a-{number}") / "snapshots"
        snapshots.mkdir(parents=True)
        shutil.copy(run / "config.json", snapshots.parent)
        make(snapshots / newest(run).name)
    assert facegan("whois", sheet).code == 0


def test_edited_image_differs_from_the_remade_one(facegan, run, sheet):
    with Image.open(sheet) as image:
        about, edited = image.text, np.asarray(image).copy()
    edited[:10] = 0
    from facegan.images import save

    save(sheet, edited, about)
    answer = facegan("whois", sheet, "--json").json
    assert answer["made_again"] is False
    assert 0 < answer["differing"] <= 10 * edited.shape[1]
    said = facegan("whois", sheet)
    assert said.code == 1
    assert "pixels differ, by up to" in said.out.splitlines()[-1]


def test_another_snapshot_is_not_taken_for_the_right_one(facegan, run, sheet):
    older = sorted((run / "snapshots").iterdir())[0]
    assert older != newest(run)
    said = facegan("whois", sheet, older)
    assert said.code == 2
    assert "; give another run or file" in said.err
    said = facegan("whois", sheet, older, "-o", "again.png")
    assert said.code == 2
    assert not Path("again.png").exists()


def test_all_shown_metadata_is_written_by_sample(facegan, run, sheet):
    shown = facegan("whois", sheet, "--json").json
    assert {"command", *SHOWN} - {"seed"} <= set(shown)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["none.png"], "none.png: no such image"),
        (["holiday.png"],
         "holiday.png: its metadata do not say that facegan made it; another program may have removed them"),
        (["text.png"], "text.png: not a readable image"),
        (["holiday.png", "-o", "again.jpg"], "-o again.jpg: the format stays the same; end it in .png"),
        (["holiday.png", "-o", "./holiday.png"], "-o ./holiday.png: is the image itself; give another name"),
        (["huge.png", "m"], "would have 26,999,998 x 16 pixels, more than other programs open"),
        (["lies.png"], "lies.png: its recipe cannot be read"),
        (["greedy.png"], "'0-99999999' is too large; seeds are below 2^32"),
    ],
)  # fmt: skip
def test_image_that_cannot_be_traced_is_refused_in_one_line(facegan, run, arguments, message):
    from facegan.images import save

    Image.new("RGB", (8, 8)).save("holiday.png")
    Path("text.png").write_text("no image")
    about = {"Software": "facegan 0.1.0", "snapshot": "0" * 64}
    save(Path("lies.png"), np.zeros((8, 8, 3), np.uint8), {**about, "recipe": '{"make": "rm"}'})
    greedy = '{"make": "sample", "points": {"text": "0-99999999"}}'
    save(Path("greedy.png"), np.zeros((8, 8, 3), np.uint8), {**about, "recipe": greedy})
    huge = '{"make": "sample", "points": {"text": "0-3"}, "columns": 1500000}'
    about |= {"snapshot": hashlib.sha256(newest(run).read_bytes()).hexdigest()}
    save(Path("huge.png"), np.zeros((8, 8, 3), np.uint8), {**about, "recipe": huge})
    said = facegan("whois", *[run if each == "m" else each for each in arguments])
    assert said.code == 2
    assert len(said.err.splitlines()) == 1
    assert message in said.err
