import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from facegan.api.latent_directions import parse_direction
from facegan.checkpoint import load_generator
from facegan.directions import DirectionInfo, Directions, save_directions
from facegan.errors import ConfigError
from facegan.recipes import read


def newest(run):
    return sorted((run / "snapshots").iterdir())[-1]


def pixels(path):
    with Image.open(path) as image:
        return np.asarray(image)


def store(run, path=None, digest=None):
    info = load_generator(newest(run)).info
    infos = [
        DirectionInfo(name=name, kind="labelled", auc=0.9, accuracy=0.9, share=0.5)
        for name in ("smile", "mouth=open smile")
    ]
    vectors = torch.eye(12)[:2] * 0.8 + torch.eye(12)[2:3] * 0.6
    found = Directions(infos, vectors, [], torch.empty(2, 0), digest or info["digest"], info["step"])
    save_directions(path or run / "directions.safetensors", found)


@pytest.fixture
def directed(run):
    store(run)
    return run


def test_edit_draws_a_row_a_face_whose_middle_is_the_face_itself(facegan, directed):
    said = facegan("edit", directed, "--seeds", "3,5", "--direction", "smile:-3..3", "-o", "edit.png")
    assert (said.code, said.out, said.err) == (0, "edit.png\n", "")
    facegan("sample", directed, "--seeds", "3", "-o", "three.png")
    sheet, face = pixels("edit.png"), pixels("three.png").repeat(4, 0).repeat(4, 1)
    framed = np.nonzero((sheet == (30, 90, 200)).all(-1).any(0))[0]
    tops = np.nonzero((sheet == (30, 90, 200)).all(-1).any(1))[0]
    middle = sheet[tops[0] + 3 : tops[0] + 67, framed[0] + 3 : framed[0] + 67]
    assert np.array_equal(middle, face)


def test_image_carries_a_recipe_that_needs_no_file_of_directions(facegan, directed):
    facegan("edit", directed, "--direction", "smile:-3..3", "--seeds", "3", "-o", "edit.png")
    (directed / "directions.safetensors").unlink()
    with Image.open("edit.png") as image:
        recipe = read(image.text["recipe"])
        assert image.text["command"] == "facegan edit --seeds 3 --direction smile:-3..3"
    (again,) = recipe.frames(load_generator(newest(directed)))
    assert np.array_equal(again, pixels("edit.png"))


def test_single_images_carry_their_own_latents(facegan, directed):
    said = facegan("edit", directed, "--seeds", "3,5", "--direction", "smile:-3..3", "--cols", 3, "-o", "single/")
    assert (said.code, said.out) == (0, "single/: 6 images\n")
    names = sorted(path.name for path in Path("single").iterdir())
    assert names == [f"{row:04d}-{seed}-{column:02d}.png" for row, seed in ((0, 3), (1, 5)) for column in range(3)]
    facegan("sample", directed, "--seeds", "5", "-o", "five.png")
    assert np.array_equal(pixels("single/0001-5-01.png"), pixels("five.png"))
    with Image.open("single/0001-5-02.png") as image:
        (again,) = read(image.text["recipe"]).frames(load_generator(newest(directed)))
        assert np.array_equal(again, np.asarray(image))
        assert image.text["command"] == "facegan edit --seeds 3,5 --direction smile:-3..3 --cols 3"


def columns(facegan, run, *flags):
    return facegan("edit", run, "--seeds", "3", "-o", "edit.png", "--json", *flags).json["columns"]


def test_amounts_of_ranges_and_of_fixed_shifts(facegan, directed):
    smile, mouth = ("--direction", "smile:-1..1"), ("--direction", "mouth=open smile:2")
    assert columns(facegan, directed, *smile, "--cols", 3) == [{"smile": -1}, {"smile": 0}, {"smile": 1}]
    assert set(columns(facegan, directed, *mouth, *smile)[0].values()) == {-1, 2}
    assert {each["mouth=open smile"] for each in columns(facegan, directed, *smile, *mouth)} == {2}
    # Without any range, from the face itself to the shift.
    assert columns(facegan, directed, *mouth) == [{"mouth=open smile": 0}, {"mouth=open smile": 2}]
    assert [each["mouth=open smile"] for each in columns(facegan, directed, *mouth, "--cols", 3)] == [0, 1, 2]
    assert len(columns(facegan, directed, "--direction", "smile")) == 7


def test_keep_removes_the_common_part_of_directions(facegan, directed):
    facegan("edit", directed, "--direction", "smile:-3..3", "-o", "edit.png")
    facegan("edit", directed, "--direction", "smile:-3..3", "--keep", "mouth=open smile", "-o", "kept.png")
    with Image.open("edit.png") as plain, Image.open("kept.png") as kept:
        free, bound = (read(image.text["recipe"]).along[0].vector.vector() for image in (plain, kept))
    mouth = torch.eye(12)[1] * 0.8 + torch.eye(12)[2] * 0.6
    assert float(free @ mouth) == pytest.approx(0.36)
    assert abs(float(bound @ mouth)) < 1e-6


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        ("smile:-3..3", ("smile", -3, 3)),
        ("smile:2", ("smile", 2, None)),
        ("smile", ("smile", -3, 3)),
        ("mouth=open smile:.5..-1e1", ("mouth=open smile", 0.5, -10)),
        ("a:b:1", ("a:b", 1, None)),
    ],
)
def test_direction_is_parsed_as_a_name_and_its_amounts(text, meaning):
    assert parse_direction(text) == meaning


@pytest.mark.parametrize("text", ["smile:", "smile:a", "smile:1..", "smile:..2", ":1", "smile:nan", "smile:-101..3"])
def test_invalid_direction_is_refused(text):
    with pytest.raises(ConfigError) as caught:
        parse_direction(text)
    assert str(caught.value) == (
        f"--direction {text}: give a name with two ends or one amount, at most 100 in size: smile:-3..3, smile:2"
    )


@pytest.mark.parametrize(
    ("flags", "complaint"),
    [
        (["-o", "e.png"], "edit: no direction; give for instance --direction smile:-3..3"),
        (["--direction", "smile"], "edit: nowhere to write; give -o edit.png, or -o FOLDER/ for single images"),
        (["--direction", "smile", "--direction", "smile:2", "-o", "e.png"],
         "--direction: a name is given twice; give each once"),
        (["--direction", "smile", "--cols", 1, "-o", "e.png"], "--cols is 1; it must be at least 2"),
        (["--direction", "smil", "-o", "e.png"], "--direction: there is no direction 'smil'; did you mean 'smile'?"),
        (["--direction", "smile", "--keep", "smil", "-o", "e.png"],
         "--keep: there is no direction 'smil'; did you mean 'smile'?"),
        (["--direction", "smile", "--keep", "smile", "-o", "e.png"],
         "--keep: nothing is left of 'smile' without smile; keep fewer"),
        (["--direction", "smile", "--seeds", "0-9999", "-o", "e.png"],
         "-o e.png: would have 576 x 680,120 pixels, more than other programs open (89,478,485 in all); ask for fewer "
             "or smaller faces"),
        (["--direction", "smile", "-o", "e.bmp"], "-o e.bmp: cannot write '.bmp'; end it in .png, .jpg, .jpeg, .webp"),
    ],
)  # fmt: skip
def test_mistaken_flag_is_refused_in_one_line_and_nothing_is_written(facegan, directed, flags, complaint):
    said = facegan("edit", directed, *flags)
    assert said.code == 2
    assert said.complaint.endswith(complaint)
    assert not Path("e.png").exists()


def test_run_without_directions_says_how_to_find_them(facegan, run):
    said = facegan("edit", run, "--direction", "smile", "-o", "e.png")
    assert said.code == 2
    assert said.complaint.endswith(
        "runs/faces-1/directions.safetensors: no directions yet; find them with 'facegan directions "
        f"{run.absolute()}', or name a file with --directions"
    )
    shutil.copy(newest(run), "G.safetensors")
    said = facegan("edit", "G.safetensors", "--direction", "smile", "-o", "e.png")
    assert said.code == 2
    assert said.complaint.endswith(
        "G.safetensors: no directions yet; find them with 'facegan directions G.safetensors', or name a file with "
        "--directions"
    )


def test_directions_of_another_snapshot_are_refused(facegan, run):
    store(run, Path("other.safetensors"), digest="e" * 64)
    said = facegan("edit", run, "--direction", "smile", "--directions", "other.safetensors", "-o", "e.png")
    assert said.code == 2
    assert "other.safetensors: directions of another snapshot (of step 4) than" in said.complaint
