import contextlib
import io
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from facegan import load_generator
from facegan.cli import main
from facegan.generator import FaceGenerator
from facegan.images.animation import read_about
from facegan.recipes import read
from facegan.seeds import load_latents, save_latents
from origins import origin

SUM = ("--plus", "1,5,9", "--minus", "2,7", "--plus", "4,8")


def pixels(path):
    with Image.open(path) as image:
        return np.asarray(image)


def newest(run):
    return sorted((run / "snapshots").iterdir())[-1]


def test_image_and_latent_are_written_and_named(facegan, run):
    said = facegan("arithmetic", run, *SUM, "-o", "sum.png", "--save", "latents/sum.safetensors")
    assert (said.code, said.out, said.err) == (0, "latents/sum.safetensors\nsum.png\n", "")
    z, snapshot = load_latents(Path("latents/sum.safetensors"))
    assert z.shape == (1, 12)
    assert snapshot == load_generator(newest(run)).info["digest"]


def test_centre_of_the_neighbours_is_what_sample_draws_of_the_saved_sum(facegan, run):
    facegan("arithmetic", run, *SUM, "-o", "sum.png", "--save", "sum.safetensors")
    facegan("sample", run, "--seeds", "sum.safetensors", "-o", "alone.png")
    sheet, enlarged = pixels("sum.png"), pixels("alone.png").repeat(4, 0).repeat(4, 1)
    right, bottom = sheet.shape[1] - 12, sheet.shape[0] - 22
    assert np.array_equal(sheet[bottom - 130 : bottom - 66, right - 130 : right - 66], enlarged)
    corner = sheet[bottom - 196 : bottom - 132, right - 196 : right - 132]  # of a neighbour
    assert not np.array_equal(corner, enlarged)


def test_image_carries_the_recipe_that_makes_it_again(facegan, run):
    facegan("arithmetic", run, *SUM, "--seed", 3, "--noise", 0.5, "-o", "sum.png")
    about = read_about(Path("sum.png"))
    assert about["command"] == "facegan arithmetic --plus 1,5,9 --minus 2,7 --plus 4,8 --noise 0.5 --seed 3"
    (again,) = read(about["recipe"]).frames(load_generator(newest(run)))
    assert np.array_equal(again, pixels("sum.png"))


def test_saved_sums_are_terms_again(facegan, run):
    facegan("arithmetic", run, "--plus", "1,2", "--save", "one.safetensors")
    said = facegan(
        "arithmetic", run, "--plus", "one.safetensors", "--minus", "1,2", "--json", "--save", "0.safetensors"
    )
    assert said.json["length"] == pytest.approx(0, abs=1e-6)


def test_json_has_the_length_and_the_files(facegan, run):
    said = facegan("arithmetic", run, *SUM, "-o", "sum.webp", "--save", "sum.safetensors", "--json")
    z, _ = load_latents(Path("sum.safetensors"))
    assert said.json["length"] == pytest.approx(float(z.norm()))
    assert said.json["files"] == ["sum.safetensors", "sum.webp"]
    assert said.json["snapshot"] == str(newest(run))


def test_sum_far_from_the_usual_length_is_reported_and_rescaling_evens_it_out(facegan, run):
    plain = facegan("arithmetic", run, "--plus", "0-63", "-o", "mean.png")
    assert plain.code == 0
    assert plain.err.startswith("the sum is 0.1")
    assert plain.err.endswith(
        " times as long as a single latent, and its face pale and dull; --rescale evens that out\n"
    )
    rescaled = facegan("arithmetic", run, "--plus", "0-63", "-o", "rescaled.png", "--rescale", "--json")
    assert rescaled.err == ""
    assert rescaled.json["length"] == pytest.approx(12**0.5)
    long = facegan("arithmetic", run, *("--plus", "1", "--minus", "2") * 4, "-o", "long.png")
    assert "its face glaring; --rescale" in long.err


def test_sheet_goes_to_stdout_alone(run):
    with contextlib.redirect_stdout(io.TextIOWrapper(io.BytesIO())) as out, pytest.raises(SystemExit) as ended:
        main(["arithmetic", str(run), *SUM, "-o", "-"])
    assert ended.value.code == 0
    with Image.open(io.BytesIO(out.buffer.getvalue())) as sheet:
        assert sheet.format == "PNG"


def test_raw_takes_the_current_weights_instead_of_their_average(facegan, run):
    facegan("arithmetic", run, *SUM, "-o", "average.png")
    facegan("arithmetic", run, *SUM, "-o", "raw.png", "--raw")
    assert read_about(Path("raw.png"))["weights"] == "G"
    assert not np.array_equal(pixels("raw.png"), pixels("average.png"))


def test_latents_of_another_snapshot_are_named(facegan, run):
    generator = load_generator(newest(run))
    generator = FaceGenerator(generator.network, z_dim=12, prior="normal", origin=origin(digest="another"))
    save_latents(Path("me.safetensors"), torch.ones(1, 12), generator)
    said = facegan("arithmetic", run, "--plus", "me.safetensors", "-o", "me.png")
    assert said.code == 0
    assert said.err == "me.safetensors: was found for another snapshot; its face here is another one\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-o", "a.png"], "arithmetic: nothing to add up; give --plus with seeds, for instance --plus 1,5,9"),
        (["--plus", "5-1", "-o", "a.png"], "--plus 5-1: the range '5-1' runs backwards; give 1-5"),
        (
            ["--plus", "1", "--minus", "a", "-o", "a.png"],
            "--minus a: 'a' is not a seed; give numbers and ranges, for instance 0-63,99, or a file of latents",
        ),
        (["--plus", "1"], "arithmetic: nowhere to write; give -o arithmetic.png, or --save arithmetic.safetensors"),
        (["--plus", "1", "-o", "a.bmp"], "-o a.bmp: cannot write '.bmp'; end it in .png, .jpg, .jpeg, .webp"),
        (["--plus", "1", "--save", "a.pt"], "--save a.pt: latents are saved as .safetensors; end it so"),
        (["--plus", "1", "-o", "-", "--json"], "-o - and --json both write to stdout; give one"),
        (["--plus", "1", "--noise", "nan", "-o", "a.png"], "--noise is nan; it must be at most 100"),
        (
            ["--plus", "0-10000", "-o", "a.png"],
            "a term has 10,001 points; give at most 10,000, of more the mean is all but 0",
        ),
        (
            ["--plus", "1", "--minus", "1", "--rescale", "-o", "a.png"],
            "the terms cancel each other; their sum is 0 and cannot be rescaled",
        ),
        (["--plus", "none.safetensors", "-o", "a.png"], "none.safetensors: no such latents file"),
        (
            ["faces-2", "--plus", "1", "-o", "a.png"],
            "faces-2: no such run, neither as a path nor in runs/; did you mean 'faces-1'?",
        ),
    ],
)  # fmt: skip
def test_wrong_requests_are_refused_in_one_line_and_nothing_is_written(facegan, run, workplace, arguments, message):
    said = facegan("arithmetic", *arguments)
    assert said.code == 2, said.err
    assert said.complaint == f"facegan: {message}"
    assert [path.name for path in workplace.iterdir()] == ["runs"]


def test_latents_of_a_model_of_another_z_dim_are_refused(facegan, run, workplace):
    generator = load_generator(newest(run))
    save_latents(Path("me.safetensors"), torch.ones(1, 5), generator)
    said = facegan("arithmetic", run, "--plus", "1,me.safetensors", "-o", "a.png")
    assert said.code == 2
    assert said.complaint == (
        f"facegan: me.safetensors: a latent of 5 numbers, but {newest(run)} takes 12; it belongs to another model"
    )
    assert not Path("a.png").exists()


@pytest.mark.parametrize(
    ("flags", "complaint"),
    [
        (["-o", "file/a.png"], "-o file/a.png: file is a file, not a folder"),
        (["--save", "file/a.safetensors"], "--save file/a.safetensors: file is a file, not a folder"),
    ],
)
def test_unwritable_place_is_named(facegan, run, flags, complaint):
    Path("file").write_text("in the way")
    said = facegan("arithmetic", run, *SUM, *flags)
    assert said.code == 2
    assert said.complaint == f"facegan: {complaint}"


def test_no_other_file_is_replaced_by_latents(facegan, run):
    snapshot = sorted((run / "snapshots").iterdir())[0]
    content = snapshot.read_bytes()
    said = facegan("arithmetic", run, *SUM, "--save", snapshot)
    assert said.code == 2
    assert "is not replaced by latents" in said.complaint and "choose another name" in said.complaint
    assert snapshot.read_bytes() == content
    for _ in range(2):  # latents may be
        assert facegan("arithmetic", run, *SUM, "--save", "sum.safetensors").code == 0


def test_metadata_of_the_saved_latent_says_how_it_was_found(facegan, run):
    facegan("arithmetic", run, *SUM, "--save", "sum.safetensors")
    raw = Path("sum.safetensors").read_bytes()
    header = json.loads(raw[8 : 8 + int.from_bytes(raw[:8], "little")])
    assert header["__metadata__"]["command"] == "facegan arithmetic --plus 1,5,9 --minus 2,7 --plus 4,8"
