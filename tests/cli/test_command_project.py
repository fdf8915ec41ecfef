from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from facegan.sealed import read_header, read_tensors, write_tensors

QUICK = ("--steps", 3, "--restarts", 2)


@pytest.fixture
def photo(workplace):
    """A photo that is not square."""
    noise = np.random.default_rng(0).integers(0, 256, (24, 32, 3), dtype=np.uint8)
    Image.fromarray(noise).save("a.jpg")
    return "a.jpg"


def pixels(path):
    with Image.open(path) as picture:
        return np.asarray(picture)


def test_latents_are_seeds_and_their_faces_those_of_the_picture(facegan, run, photo):
    said = facegan("project", photo, photo, *QUICK, "--crop", "auto", "-o", "p.png", "--save", "me.safetensors")
    assert said.code == 0, said.err
    lines = said.out.splitlines()
    assert lines[0].startswith("a.jpg: error ")
    assert lines[2:] == ["p.png", "me.safetensors"]
    assert "compared with: 32 faces that the run was trained on, for it held none out" in said.err
    again = facegan("sample", run, "--seeds", "3,me.safetensors", "-o", "sheet.png")
    assert again.code == 0, again.err
    sheet = pixels("sheet.png")
    face = sheet[:16, 18:34]  # after seed 3, the first of the file's two
    pair = pixels("p.png")
    places = [(top, left) for top in range(pair.shape[0] - 400) for left in range(pair.shape[1] - 400)]
    assert any(np.array_equal(pair[top : top + 400 : 25, left : left + 400 : 25], face) for top, left in places)


def test_picture_names_its_snapshot_and_no_path(facegan, run, photo):
    facegan("project", photo, *QUICK, "--crop", "auto", "--no-judge", "-o", "p.png", "--seed", 7)
    with Image.open("p.png") as picture:
        assert picture.text["seed"] == "7"
        assert len(picture.text["snapshot"]) == 64
        assert "a.jpg" not in " ".join(picture.text.values())


def test_two_times_the_same_gives_the_same_latents(facegan, run, photo):
    for name in ("one.safetensors", "two.safetensors"):
        facegan("project", photo, *QUICK, "--crop", "auto", "--no-judge", "--save", name)
    one, two = (read_tensors(Path(name))["z"] for name in ("one.safetensors", "two.safetensors"))
    assert torch.equal(one, two)


def test_json_has_error_percentile_and_verdict(facegan, run, photo):
    document = facegan("project", photo, *QUICK, "--crop", "auto", "--save", "me.safetensors", "--json").json
    (result,) = document["results"]
    assert result["photo"] == "a.jpg"
    assert result["rms"] > 0
    assert 0 <= result["percentile"] <= 100
    assert result["faces_compared"] == 32
    assert result["known"] in (True, False)


def test_snapshot_without_D_compares_pixels_and_says_so(facegan, run, photo):
    snapshot = sorted((run / "snapshots").iterdir())[-1]
    metadata, _ = read_header(snapshot, "snapshot")
    tensors = {key: value for key, value in read_tensors(snapshot).items() if not key.startswith("D.")}
    about = {key: metadata[key] for key in ("config", "step", "kimg")}
    write_tensors(Path("g.safetensors"), "snapshot", tensors, about)
    said = facegan(
        "project", photo, "--model", "g.safetensors", *QUICK, "--crop", "auto", "--no-judge", "--save", "m.safetensors"
    )
    assert said.code == 0, said.err
    assert "g.safetensors: holds no discriminator; comparing pixels alone\n" in said.err
    assert said.out == f"a.jpg: error {float(said.out.split()[2].rstrip(',')):.3f}, not judged\nm.safetensors\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["a.jpg"], "project: nowhere to write; give -o projected.png, or --save me.safetensors"),
        (["a.jpg", "--save", "me.pt"], "--save me.pt: latents are a .safetensors file; give that ending"),
        (["none.jpg", "--save", "m.safetensors"], "none.jpg: cannot be read (No such file or directory)"),
        (["text.jpg", "--save", "m.safetensors"], "text.jpg: not a picture (it begins like plain text)"),
        (
            ["a.jpg", "--crop", "none", "--save", "m.safetensors"],
            "a.jpg: the picture is not square (32x24), as crop none requires; give another --crop, for instance auto",
        ),
        (
            ["a.jpg", "--crop", "round", "--save", "m.safetensors"],
            "config: data.crop is 'round'; it must be auto, none, center:N or box:X,Y,W,H",
        ),
    ],
)
def test_mistakes_are_refused_in_one_line_and_nothing_is_written(facegan, run, photo, workplace, arguments, message):
    Path("text.jpg").write_text("hello there, this is no picture")
    said = facegan("project", *arguments)
    assert said.code == 2, said.err
    assert said.complaint == f"facegan: {message}"
    assert sorted(path.name for path in workplace.iterdir()) == ["a.jpg", "runs", "text.jpg"]
