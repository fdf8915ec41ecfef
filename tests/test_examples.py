"""The scripts in examples/ work, at small sizes."""

import contextlib
import io
import os
import re
import shutil
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import facegan
from facegan.cli import main
from facegan.seeds import load_latents

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
SCRIPTS = sorted(EXAMPLES.glob("*.sh"))
TINY = {
    "data.options.num_images": 64, "data.split": "train", "architecture.ngf": 4, "architecture.ndf": 4,
    "train.device": "cpu",
}  # fmt: skip

# Replaces `facegan` in a script: the test's own process, which has loaded torch already, runs the command.
STAND_IN = """#!/bin/sh
printf '%s\\n' "$@" > "$HERE/arguments"
mv "$HERE/arguments" "$HERE/asked"
until [ -e "$HERE/answered" ]; do sleep 0.02; done
read -r code < "$HERE/answered"
rm "$HERE/answered"
cat "$HERE/out"
cat "$HERE/err" >&2
exit "$code"
"""


def answer(here):
    """Run the command that a script waits for, and let the script continue."""
    out, err = io.StringIO(), io.StringIO()
    arguments = (here / "asked").read_text().removesuffix("\n").split("\n")
    (here / "asked").unlink()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), pytest.raises(SystemExit) as ended:
        main(arguments)
    (here / "out").write_text(out.getvalue())
    (here / "err").write_text(err.getvalue())
    (here / "code").write_text(f"{ended.value.code or 0}\n")
    (here / "code").rename(here / "answered")


@pytest.fixture
def shell(tmp_path, tmp_path_factory, monkeypatch):
    """shell("draw-faces.sh", argument, NUM=3): run an example in the test's folder and return its output."""
    here = tmp_path_factory.mktemp("stand-in")
    (here / "facegan").write_text(STAND_IN)
    (here / "facegan").chmod(0o755)
    monkeypatch.chdir(tmp_path)

    def run(script, *arguments, **sizes):
        own = {"PATH": f"{here}{os.pathsep}{os.environ['PATH']}", "HERE": str(here)}
        with subprocess.Popen(
            ["sh", str(EXAMPLES / script), *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            text=True, env=os.environ | own | {key: str(size) for key, size in sizes.items()},
        ) as process:  # fmt: skip
            try:
                while process.poll() is None:
                    if (here / "asked").exists():
                        answer(here)
                    time.sleep(0.01)
            finally:
                process.kill()  # without effect on one that has ended
            out, err = process.communicate()
        assert process.returncode == 0, err
        return out

    return run


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """One cache for all scripts, so that images are packed and classifiers trained once."""
    return tmp_path_factory.mktemp("examples-cache")


@pytest.fixture(autouse=True)
def cache(shared, monkeypatch):
    monkeypatch.setenv("FACEGAN_CACHE", str(shared))
    monkeypatch.setattr("facegan.directions.classifier.MAX_EPOCHS", 2)
    monkeypatch.setattr("facegan.projection.comparison.NUM_COMPARED", 60)
    monkeypatch.setattr("facegan.projection.comparison.NUM_PROJECTED", 4)


@pytest.fixture(scope="module")
def trained(tmp_path_factory, shared):
    """A finished tiny run on drawn faces; it is shared, so don't change it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FACEGAN_CACHE", str(shared))
        return facegan.train(
            run=tmp_path_factory.mktemp("trained") / "tiny", resolution=16, batch_size=16, steps=3, settings=TINY
        ).path


@pytest.fixture
def run(trained, tmp_path):
    """A copy of the trained run, at runs/tiny in the test's folder."""
    shutil.copytree(trained, tmp_path / "runs" / "tiny")
    return "runs/tiny"


def pixels(path):
    with Image.open(path) as image:
        return np.asarray(image)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_every_script_is_tested_and_shows_its_usage():
    tried = set(re.findall(r"shell\(\"([\w-]+\.sh)\"", Path(__file__).read_text()))
    assert [script.name for script in SCRIPTS] == sorted(tried)
    for script in SCRIPTS:
        assert os.access(script, os.X_OK), script.name
        assert re.search(rf"^#   examples/{script.name}( |$)", script.read_text(), re.MULTILINE), script.name


def test_faces_are_written_as_a_sheet_truncated_and_as_single_files(shell, run, tmp_path):
    shell("draw-faces.sh", run, NUM=3)
    assert names(tmp_path / "faces") == ["sheet.png", "single", "tame.png"]
    assert names(tmp_path / "faces" / "single") == ["manifest.jsonl", *(f"seed-0000000{n}.png" for n in range(3))]


def test_sum_of_faces_is_shown_next_to_the_faces_it_was_added_to(shell, run, tmp_path):
    shell("add-and-subtract-faces.sh", run, WITH="1,2", WITHOUT="3", ONTO="4,5")
    assert names(tmp_path / "arithmetic") == ["compared.png", "sum.png", "sum.safetensors"]
    assert load_latents(tmp_path / "arithmetic" / "sum.safetensors")[0].shape == (1, 100)
    assert pixels(tmp_path / "arithmetic" / "compared.png").shape[1] == 3 * 66 - 2


def test_walks_are_animations_a_strip_and_a_sheet(shell, run, tmp_path):
    shell("walk-between-faces.sh", run, FRAMES=16)
    assert names(tmp_path / "walks") == ["circle.mp4", "corners.png", "sixteen.webp", "strip.png", "walk.gif"]
    for name in ("walk.gif", "sixteen.webp"):
        with Image.open(tmp_path / "walks" / name) as animation:
            assert animation.n_frames == 16


def test_faces_are_edited_along_one_direction_and_two(shell, run, tmp_path):
    shell("edit-faces.sh", run, SAMPLES=1000, SEEDS="0-1", DIRECTION="sefa-1")
    assert names(tmp_path / "edits") == ["directions.safetensors", "directions.txt", "edit.png", "two.png"]
    assert "sefa-1" in (tmp_path / "edits" / "directions.txt").read_text()
    assert not np.array_equal(pixels(tmp_path / "edits" / "edit.png"), pixels(tmp_path / "edits" / "two.png"))


def test_photos_are_projected_and_animationed(shell, run, tmp_path):
    for name in ("me.png", "my friend.png"):
        noise = np.random.default_rng(len(name)).integers(0, 256, (20, 18, 3), dtype=np.uint8)
        Image.fromarray(noise).save(tmp_path / name)
    said = shell("find-my-face.sh", run, "me.png", "my friend.png", STEPS=2, FRAMES=6)
    assert re.search(r"^me\.png: error 0\.\d{3} \(median 0\.\d{3}; ", said, re.MULTILINE)
    assert re.search(r"^my friend\.png: error ", said, re.MULTILINE)
    assert names(tmp_path / "found") == ["found.png", "found.safetensors", "found.txt", "walk.gif"]
    assert load_latents(tmp_path / "found" / "found.safetensors")[0].shape == (2, 100)
    with Image.open(tmp_path / "found" / "walk.gif") as animation:
        assert animation.n_frames == 6


def test_nearest_training_images_are_shown_and_measured(shell, run, tmp_path):
    said = shell("look-for-copies.sh", run, SEEDS="0-1", SAMPLES=8)
    assert "8 samples and 6 held-out images against 58 training images" in said
    assert (tmp_path / "neighbours.png").is_file()


def test_animation_and_report_show_a_run(shell, run, tmp_path):
    shell("show-how-it-grew.sh", run, SECONDS_LONG=1)
    assert names(tmp_path / "growth") == ["growth.mp4", "report.html"]


def test_image_is_traced_and_made_again(shell, run, tmp_path):
    assert "faces/sheet.png" in shell("draw-faces.sh", run, NUM=2)
    said = shell("trace-an-image.sh", "faces/tame.png")
    assert "the same to the pixel" in said
    assert np.array_equal(pixels(tmp_path / "again.png"), pixels(tmp_path / "faces" / "tame.png"))


@pytest.fixture
def photos(tmp_path):
    """photos(8) -> a folder of 8 small images, none of them square."""

    def make(num):
        (tmp_path / "my faces").mkdir()
        for number in range(num):
            pixels = np.random.default_rng(number).integers(0, 256, (20, 18, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "my faces" / f"{number}.jfif", "JPEG")
        return "my faces"

    return make


def test_example_trains_on_a_folder_and_writes_grid_singles_curves_and_animation(shell, tmp_path, photos):
    shell("train-on-a-folder.sh", photos(8), RESOLUTION=16, BATCH_SIZE=8, EPOCHS=2, WIDTH=4)
    assert sorted(path.name for path in (tmp_path / "my-faces").iterdir()) == [
        "d_losses.npy", "g_losses.npy", "grid.png", "growth.gif", "losses.png", "single",
    ]  # fmt: skip
    assert len(list((tmp_path / "my-faces" / "single").glob("*.png"))) == 64
    assert len(np.load(tmp_path / "my-faces" / "d_losses.npy")) == 2


def test_example_compares_two_losses(shell, tmp_path, photos):
    shell("compare-losses.sh", DATA=photos(64), STEPS=1, WIDTH=4)
    assert (tmp_path / "losses-compared.png").is_file()
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == ["nonsaturating", "saturating"]
