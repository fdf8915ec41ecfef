import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from facegan.data.drawn import DrawnFaces
from facegan.storage.safetensors_file import open_tensors, read_tensors, write_tensors

QUICK = ("--steps", 3, "--restarts", 2, "--crop", "auto")
JUDGED = r"error 0\.\d{3} \(median 0\.\d{3}; \d+ % of faces come nearer\)"
NOT_SAID = "; whether it is a face is not judged"


@pytest.fixture(autouse=True)
def few_faces(monkeypatch):
    """Drawing a thousand faces to compare with takes a while."""
    monkeypatch.setattr("facegan.projection.comparison.NUM_COMPARED", 60)


@pytest.fixture
def photo(workplace):
    """A photo that is not square."""
    noise = np.random.default_rng(0).integers(0, 256, (24, 32, 3), dtype=np.uint8)
    Image.fromarray(noise).save("a.jpg")
    return "a.jpg"


@pytest.fixture
def on_a_folder(facegan, tiny, store):
    """on_a_folder(30, "data.split=train") -> a tiny run on so many images in ./pictures."""

    def make(num, *settings, flags=()):
        flags = [*flags, *(each for line in settings for each in ("--set", line))]
        said = facegan("train", *tiny[:6], *tiny[8:], "--steps", 1, "--run", "mine", "--data", store(num), *flags)
        assert said.code == 0, said.err
        return Path("mine")

    return make


def newest(run):
    return sorted((run / "snapshots").iterdir())[-1]


def pixels(path):
    with Image.open(path) as picture:
        return np.asarray(picture)


def line(said):
    """What is said of the photo, without its name."""
    assert said.code == 0, said.err
    return said.out.splitlines()[0].removeprefix("a.jpg: ")


def against(said):
    return said.err.splitlines()[-1].removeprefix("compared with: ")


def test_latents_are_seeds_and_their_faces_those_of_the_picture(facegan, run, photo):
    said = facegan("project", photo, photo, *QUICK, "--no-judge", "-o", "p.png", "--save", "me.safetensors")
    assert said.code == 0, said.err
    assert re.fullmatch(r"error 0\.\d{3}, not judged", line(said))
    assert said.out.splitlines()[2:] == ["p.png", "me.safetensors"]
    assert against(said) == "nothing (--no-judge)"
    again = facegan("sample", run, "--seeds", "3,me.safetensors", "-o", "sheet.png")
    assert again.code == 0, again.err
    sheet = pixels("sheet.png")
    face = sheet[:16, 18:34]  # after seed 3, the first of the file's two
    pair = pixels("p.png")
    places = [(top, left) for top in range(pair.shape[0] - 400) for left in range(pair.shape[1] - 400)]
    assert any(np.array_equal(pair[top : top + 400 : 25, left : left + 400 : 25], face) for top, left in places)


def test_photo_is_held_against_drawn_faces_of_another_seed(facegan, run, photo):
    said = facegan("project", photo, *QUICK, "--save", "me.safetensors")
    known = r"not a face this model knows: to D, 100\.0 % of faces look more like its own"
    assert re.fullmatch(f"{JUDGED}; {known}", line(said))
    assert against(said) == "60 faces that the run has not seen (errors: 16 of them)"


def test_json_has_error_percentiles_and_verdict(facegan, run, photo):
    document = facegan("project", photo, *QUICK, "--save", "me.safetensors", "--json").json
    assert document["compared_with"] == "60 faces that the run has not seen (errors: 16 of them)"
    assert document["features"] is True
    (result,) = document["results"]
    assert result["photo"] == "a.jpg"
    assert min(result["rms"], result["distance"], result["median_rms"]) > 0
    assert 0 <= result["percentile"] <= 100
    assert (result["unlike_percentile"], result["known"]) == (100, False)


def test_face_of_the_run_s_kind_is_known(facegan, run):
    opened = DrawnFaces(num_images=9, seed=9).open()
    ((_, picture),) = opened.read([opened.names[4]], 16)
    picture.save("face.png")
    (result,) = facegan("project", "face.png", *QUICK, "--save", "me.safetensors", "--json").json["results"]
    assert result["known"] is True


def test_pixels_alone_are_searched_without_features_and_D_still_judges(facegan, run, photo):
    document = facegan("project", photo, *QUICK, "--features", 0, "--save", "me.safetensors", "--json").json
    assert document["features"] is False
    assert document["results"][0]["known"] is False


def test_images_that_the_split_kept_away_are_compared_and_may_be_too_few(facegan, on_a_folder, photo):
    run = on_a_folder(60, "data.split=train")
    said = facegan("project", photo, "--model", run, *QUICK, "--save", "me.safetensors")
    assert re.fullmatch(JUDGED + NOT_SAID, line(said))
    assert re.fullmatch(
        r"(\d) faces that the run has not seen \(errors: \1 of them\); it takes 50 to judge whether it is a face",
        against(said),
    )


def test_run_on_all_its_images_is_compared_with_half_of_those_or_with_data(facegan, on_a_folder, store, photo):
    run = on_a_folder(110)
    said = facegan("project", photo, "--model", run, *QUICK, "--save", "me.safetensors")
    assert "a face this model knows" in line(said)
    assert against(said) == (
        "55 faces that the run was trained on, for it held none out; others come less near (errors: 16 of them)"
    )
    others = store(12, seed=1, at="others")
    said = facegan("project", photo, "--model", run, *QUICK, "--save", "me.safetensors", "--data", others)
    assert line(said).endswith(NOT_SAID)
    assert against(said) == (
        f"12 faces of --data {others} (errors: 12 of them); it takes 50 to judge whether it is a face"
    )


def test_without_the_run_s_images_nothing_is_judged_unless_data_is_given(facegan, on_a_folder, photo):
    run = on_a_folder(110)
    shutil.copy(newest(run), "alone.safetensors")
    shutil.move("pictures", "moved")
    for model, reason in (
        ("alone.safetensors", "nothing, as the run's images are not here; give --data SOURCE"),
        (run, r"nothing \(.*pictures: no such folder or file; .*\); give --data SOURCE"),
    ):
        said = facegan("project", photo, "--model", model, *QUICK, "--save", "me.safetensors")
        assert re.fullmatch(r"error 0\.\d{3}, not judged", line(said))
        assert re.fullmatch(reason, against(said))
    flags = ("--model", "alone.safetensors", *QUICK, "--save", "me.safetensors", "--data", "moved")
    said = facegan("project", photo, *flags)
    assert "a face this model knows" in line(said)
    assert against(said) == (
        "55 faces of --data moved, and as many more in place of the run's own, which are not here (errors: 16 of them)"
    )


def test_snapshot_without_D_compares_pixels_and_does_not_say_what_is_a_face(facegan, run, photo):
    metadata = open_tensors(newest(run), "snapshot").metadata
    tensors = {key: value for key, value in read_tensors(newest(run)).items() if not key.startswith("D.")}
    about = {key: metadata[key] for key in ("config", "step", "kimg")}
    write_tensors(Path("g.safetensors"), "snapshot", tensors, about)
    said = facegan("project", photo, "--model", "g.safetensors", *QUICK, "--save", "m.safetensors")
    assert re.fullmatch(JUDGED + NOT_SAID, line(said))
    assert said.err.splitlines()[0] == (
        "g.safetensors: holds no discriminator, only a generator; take a snapshot of a run of facegan; "
        "comparing pixels alone"
    )


def test_grey_model_takes_a_photo_in_colour(facegan, on_a_folder, photo, tiny):
    said = facegan("train", *tiny, "--steps", 1, "--run", "grey", "--set", "channels=1")
    assert said.code == 0, said.err
    said = facegan("project", photo, "--model", "grey", *QUICK, "-o", "p.png", "--save", "m.safetensors")
    assert re.match(JUDGED, line(said))
    pair = pixels("p.png")[60:]
    assert np.array_equal(pair[..., 0], pair[..., 2])
    assert facegan("sample", "grey", "--seeds", "m.safetensors", "-o", "one.png").code == 0


def test_picture_names_its_snapshot_and_no_path(facegan, run, photo):
    facegan("project", photo, *QUICK, "--no-judge", "-o", "p.png", "--seed", 7)
    with Image.open("p.png") as picture:
        assert picture.text["seed"] == "7"
        assert len(picture.text["snapshot"]) == 64
        assert "a.jpg" not in " ".join(picture.text.values())


def test_two_times_the_same_gives_the_same_latents_and_each_option_others(facegan, run, photo):
    changes = {"one": (), "two": (), "seed": ("--seed", 1), "steps": ("--steps", 5), "features": ("--features", 2)}
    for name, flags in changes.items():
        said = facegan("project", photo, *QUICK, "--no-judge", "--save", f"{name}.safetensors", *flags)
        assert said.code == 0, said.err
    found = {name: read_tensors(Path(f"{name}.safetensors"))["z"] for name in changes}
    assert torch.equal(found["one"], found["two"])
    assert not any(torch.equal(found["one"], found[name]) for name in ("seed", "steps", "features"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["a.jpg"], "project: nowhere to write; give -o projected.png, or --save me.safetensors"),
        (["a.jpg", "--save", "me.pt"], "--save me.pt: latents are saved as .safetensors; end it so"),
        (["none.jpg", "--save", "m.safetensors"], "none.jpg: cannot be read (No such file or directory)"),
        (["text.jpg", "--save", "m.safetensors"], "text.jpg: not an image (it begins like plain text)"),
        (["cut.jpg", "--save", "m.safetensors"], "cut.jpg: the image is cut short"),
        (
            ["huge.png", "--save", "m.safetensors"],
            "huge.png: the image has too many pixels (the limit is 89,478,485)",
        ),
        (
            ["a.jpg", "--crop", "none", "--save", "m.safetensors"],
            "a.jpg: the image is not square (32x24), as crop none requires; give another --crop, for instance auto",
        ),
        (
            ["a.jpg", "--crop", "round", "--save", "m.safetensors"],
            "config: data.crop is 'round'; it must be auto, none, center:N or box:X,Y,W,H",
        ),
        (
            ["a.jpg", "--no-judge", "--data", "drawn", "--save", "m.safetensors"],
            "--data drawn: is for the comparison, which --no-judge skips; give one of them",
        ),
    ],
)
def test_mistakes_are_refused_in_one_line_and_nothing_is_written(facegan, run, photo, workplace, arguments, message):
    Path("text.jpg").write_text("hello there, this is no image")
    Path("cut.jpg").write_bytes(Path(photo).read_bytes()[:-200])
    Image.new("1", (10_000, 9_000)).save("huge.png")
    before = sorted(path.name for path in workplace.iterdir())
    said = facegan("project", *arguments)
    assert said.code == 2, said.err
    assert said.complaint == f"facegan: {message}"
    assert sorted(path.name for path in workplace.iterdir()) == before


def test_data_that_is_not_there_is_refused_before_the_search(facegan, run, photo, monkeypatch):
    monkeypatch.setattr("facegan.projection.photos.project_images", lambda *_, **__: pytest.fail("searched"))
    said = facegan("project", photo, *QUICK, "--data", "nowhere", "--save", "m.safetensors")
    assert said.code == 2
    assert said.complaint.startswith("facegan: nowhere: no such dataset, folder or file; ")


def test_the_photo_itself_is_never_written_over(facegan, run, photo):
    content = Path(photo).read_bytes()
    said = facegan("project", photo, *QUICK, "--no-judge", "-o", f"./{photo}")
    assert said.code == 2
    assert said.complaint == f"facegan: -o ./{photo}: is the photo itself; give another name"
    assert Path(photo).read_bytes() == content
