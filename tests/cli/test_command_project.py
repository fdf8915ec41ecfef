import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from facegan.checkpoint import save_snapshot
from facegan.config import resolve
from facegan.data.drawn import DrawnFaces
from facegan.projection import SearchSettings
from facegan.storage.safetensors_file import open_tensors, read_tensors, write_tensors

QUICK = ("--steps", 3, "--restarts", 2, "--crop", "auto")
COMPARED = r"error 0\.\d{3} \(median 0\.\d{3}; \d+ % of faces come nearer\)"
NOT_SAID = "; whether it is a face is not judged"


@pytest.fixture(autouse=True)
def few_faces(monkeypatch):
    """Drawing a thousand faces to compare with takes a while, and so do two thousand candidates."""
    monkeypatch.setattr("facegan.projection.comparison.NUM_COMPARED", 60)
    monkeypatch.setattr("facegan.projection.comparison.NUM_PROJECTED", 12)
    monkeypatch.setattr(
        "facegan.projection.SearchSettings", lambda **given: SearchSettings(**given | {"candidates": 256})
    )


@pytest.fixture
def photo(workplace):
    """A photo that is not square."""
    noise = np.random.default_rng(0).integers(0, 256, (24, 32, 3), dtype=np.uint8)
    Image.fromarray(noise).save("a.jpg")
    return "a.jpg"


def untrained(folder, *settings, source="drawn"):
    """A run's folder with the snapshot of networks as they are built; much faster than training one."""
    small = ["resolution=16", "architecture.z_dim=12", "architecture.ngf=8", "architecture.ndf=8", "train.device=cpu"]
    config = resolve(settings=[*small, f"data.source={json.dumps(str(source))}", *settings]).complete()
    torch.manual_seed(0)
    architecture = config.part("architecture")
    G, D = architecture.generator(16, config.channels), architecture.discriminator(16, config.channels)
    (folder / "snapshots").mkdir(parents=True)
    (folder / "config.json").write_text(config.to_json())
    save_snapshot(folder / "snapshots" / "step-00000001.safetensors", config, 1, {"G": G, "D": D})
    return folder


@pytest.fixture
def on_a_folder(store, workplace):
    """on_a_folder(30, "data.split=train") -> a run on so many images in ./pictures."""
    return lambda num, *settings: untrained(Path("mine"), *settings, source=store(num))


def newest(run):
    return sorted((run / "snapshots").iterdir())[-1]


def pixels(path):
    with Image.open(path) as image:
        return np.asarray(image)


def line(said):
    """The line on the photo, without its name."""
    assert said.code == 0, said.err
    return said.out.splitlines()[0].removeprefix("a.jpg: ")


def against(said):
    return said.err.splitlines()[-1].removeprefix("compared with: ")


def test_latents_are_seeds_and_their_faces_those_of_the_image(facegan, run, photo):
    flags = (*QUICK, "--no-judge", "-o", "p.png", "--save", "me.safetensors", "--seed", 7)
    said = facegan("project", photo, photo, *flags)
    assert re.fullmatch(r"error 0\.\d{3}, not judged", line(said))
    assert said.out.splitlines()[2:] == ["p.png", "me.safetensors"]
    assert against(said) == "nothing (--no-judge)"
    again = facegan("sample", run, "--seeds", "3,me.safetensors", "-o", "sheet.png")
    assert again.code == 0, again.err
    face = pixels("sheet.png")[:16, 18:34]  # after seed 3, the first of the file's two
    pair = pixels("p.png")  # faces enlarged to 400 pixels
    places = np.argwhere((pair[:-399, :-399] == face[0, 0]).all(-1))
    assert any(np.array_equal(pair[top : top + 400 : 25, left : left + 400 : 25], face) for top, left in places)
    with Image.open("p.png") as image:  # it names its snapshot, and no path
        assert image.text["seed"] == "7"
        assert len(image.text["snapshot"]) == 64
        assert "a.jpg" not in " ".join(image.text.values())


def test_photos_are_compared_with_drawn_faces_of_another_seed(facegan, run, photo):
    opened = DrawnFaces(num_images=9, seed=9).open()
    ((_, image),) = opened.read([opened.names[4]], 16)
    image.save("face.png")
    said = facegan("project", photo, "face.png", *QUICK, "--save", "me.safetensors")
    known = r"not a face this model knows: to D, 100\.0 % of faces look more like its own"
    assert re.fullmatch(f"{COMPARED}; {known}", line(said))
    assert against(said) == "60 faces that the run has not seen (errors: 12 of them)"
    document = facegan("project", photo, "face.png", *QUICK, "--save", "me.safetensors", "--json").json
    assert document["compared_with"] == "60 faces that the run has not seen (errors: 12 of them)"
    assert document["features"] is True
    result, face = document["results"]
    assert result["photo"] == "a.jpg"
    assert min(result["rms"], result["distance"], result["median_rms"]) > 0
    assert 0 <= result["percentile"] <= 100
    assert (result["unlike_percentile"], result["known"]) == (100, False)
    assert face["known"] is True


def test_pixels_alone_are_searched_without_features_and_D_still_decides(facegan, run, photo):
    document = facegan("project", photo, *QUICK, "--features", 0, "--save", "me.safetensors", "--json").json
    assert document["features"] is False
    assert document["results"][0]["known"] is False


def test_images_that_the_split_held_out_are_compared_and_may_be_too_few(facegan, on_a_folder, photo):
    run = on_a_folder(60, "data.split=train")
    said = facegan("project", photo, "--model", run, *QUICK, "--save", "me.safetensors")
    assert re.fullmatch(COMPARED + NOT_SAID, line(said))
    assert re.fullmatch(
        r"(\d) faces that the run has not seen \(errors: \1 of them\); it takes 50 to judge whether it is a face",
        against(said),
    )


def test_run_on_all_its_images_is_compared_with_half_of_those_or_with_data(facegan, on_a_folder, store, photo):
    run = on_a_folder(110)
    said = facegan("project", photo, "--model", run, *QUICK, "--save", "me.safetensors")
    assert "a face this model knows" in line(said)
    assert against(said) == (
        "55 faces that the run was trained on, for it held none out; others come less near (errors: 12 of them)"
    )
    others = store(11, seed=1, at="others")
    said = facegan("project", photo, "--model", run, *QUICK, "--save", "me.safetensors", "--data", others)
    assert line(said).endswith(NOT_SAID)
    assert against(said) == (
        f"11 faces of --data {others} (errors: 11 of them); it takes 50 to judge whether it is a face"
    )


def test_without_the_run_s_images_nothing_is_compared_unless_data_is_given(facegan, on_a_folder, photo):
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
        "55 faces of --data moved, and as many more in place of the run's own, which are not here (errors: 12 of them)"
    )


def test_snapshot_without_D_compares_pixels_alone(facegan, run, photo):
    metadata = open_tensors(newest(run), "snapshot").metadata
    tensors = {key: value for key, value in read_tensors(newest(run)).items() if not key.startswith("D.")}
    about = {key: metadata[key] for key in ("config", "step", "kimg")}
    write_tensors(Path("g.safetensors"), "snapshot", tensors, about)
    said = facegan("project", photo, "--model", "g.safetensors", *QUICK, "--save", "m.safetensors")
    assert re.fullmatch(COMPARED + NOT_SAID, line(said))
    assert said.err.splitlines()[0] == (
        "g.safetensors: holds no discriminator, only a generator; take a snapshot of a run of facegan; "
        "comparing pixels alone"
    )


def test_grey_model_takes_a_photo_in_colour(facegan, photo):
    run = untrained(Path("grey"), "channels=1", "data.options.num_images=48")
    said = facegan("project", photo, "--model", run, *QUICK, "--no-judge", "-o", "p.png", "--save", "m.safetensors")
    assert said.code == 0, said.err
    pair = pixels("p.png")[60:]
    assert np.array_equal(pair[..., 0], pair[..., 2])
    assert facegan("sample", run, "--seeds", "m.safetensors", "-o", "one.png").code == 0


def test_same_request_gives_the_same_latents_and_each_option_others(facegan, run, photo):
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
        (["a.jpg"], "project: nowhere to write; give -o project.png, or --save project.safetensors"),
        (["a.jpg", "--save", "me.pt"], "--save me.pt: latents are saved as .safetensors; end it so"),
        (["none.jpg", "--save", "m.safetensors"], "none.jpg: cannot be read (No such file or directory)"),
        (["text.jpg", "--save", "m.safetensors"], "text.jpg: not an image (it begins like plain text)"),
        (["cut.jpg", "--crop", "auto", "--save", "m.safetensors"], "cut.jpg: the image is cut short"),
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
    if arguments[0] == "huge.png":
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


def test_photo_itself_is_never_overwritten(facegan, run, photo):
    content = Path(photo).read_bytes()
    said = facegan("project", photo, *QUICK, "--no-judge", "-o", f"./{photo}")
    assert said.code == 2
    assert said.complaint == f"facegan: -o ./{photo}: cannot be stdout or one of the photos; give -o projected.png"
    assert Path(photo).read_bytes() == content
