import hashlib
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image


def newest(run):
    return sorted((run / "snapshots").iterdir())[-1]


def pixels(path):
    with Image.open(path) as picture:
        return np.asarray(picture)


def test_n_draws_a_grid_of_the_seeds_from_0(facegan, run):
    said = facegan("sample", "-n", 6, "-o", "grid.png")
    assert said.code == 0, said.err
    assert said.out == "grid.png\n"
    assert said.err == ""
    assert pixels("grid.png").shape == (2 * 18 - 2, 3 * 18 - 2, 3)


def test_64_faces_are_the_default(facegan, run):
    facegan("sample", run, "-o", "grid.png")
    assert pixels("grid.png").shape == (8 * 18 - 2, 8 * 18 - 2, 3)


def test_png_says_seeds_snapshot_and_that_the_faces_are_synthetic(facegan, run):
    facegan("sample", run, "--seeds", "0-3,9", "-o", "grid.png", "--separate", "single")
    digest = hashlib.sha256(newest(run).read_bytes()).hexdigest()
    with Image.open("grid.png") as grid:
        assert grid.text["seeds"] == "0-3,9"
        assert grid.text["snapshot"] == digest
        assert grid.text["Description"] == "synthetic face"
        assert grid.text["weights"] == "G_ema"
        assert re.fullmatch(r"facegan \d+\.\d+\.\d+", grid.text["Software"])
    with Image.open("single/seed-00000009.png") as single:
        assert (single.text["seed"], single.text["snapshot"]) == ("9", digest)


def test_seed_gives_one_face_whatever_it_is_drawn_with(facegan, run):
    facegan("sample", run, "--seeds", "0-3,9", "-o", "grid.png")
    facegan("sample", run, "--seeds", "9", "-o", "nine.png")
    facegan("sample", run, "--seeds", "8-9,2", "--separate", "single")
    assert np.array_equal(pixels("grid.png")[18:34, 18:34], pixels("nine.png"))
    assert np.array_equal(pixels("single/seed-00000009.png"), pixels("nine.png"))
    assert not np.array_equal(pixels("single/seed-00000008.png"), pixels("nine.png"))
    assert sorted(path.name for path in Path("single").iterdir()) == [
        "seed-00000002.png", "seed-00000008.png", "seed-00000009.png",
    ]  # fmt: skip


def test_separate_and_a_path_that_ends_in_a_slash_mean_the_same(facegan, run):
    one = facegan("sample", run, "-n", 3, "--separate", "one")
    two = facegan("sample", run, "-n", 3, "-o", "two/")
    assert one.out == "one/: 3 pictures\n"
    assert two.out == "two/: 3 pictures\n"
    for name in ("seed-00000000.png", "seed-00000001.png", "seed-00000002.png"):
        assert Path("one", name).read_bytes() == Path("two", name).read_bytes()


def test_raw_takes_the_current_weights_instead_of_their_average(facegan, run):
    facegan("sample", run, "-n", 4, "-o", "average.png")
    facegan("sample", run, "-n", 4, "-o", "raw.png", "--raw")
    with Image.open("raw.png") as raw:
        assert raw.text["weights"] == "G"
    assert not np.array_equal(pixels("average.png"), pixels("raw.png"))


def test_snapshot_alone_is_enough_wherever_it_is_moved(facegan, run):
    facegan("sample", run, "-n", 4, "-o", "before.png")
    shutil.move(newest(run), "elsewhere.safetensors")
    shutil.rmtree("runs")
    said = facegan("sample", "elsewhere.safetensors", "-n", 4, "-o", "after.png")
    assert said.code == 0, said.err
    assert np.array_equal(pixels("before.png"), pixels("after.png"))


def test_json_names_snapshot_digest_step_and_files(facegan, run):
    said = facegan("sample", run, "-n", 2, "-o", "grid.webp", "--separate", "single", "--json")
    document = said.json
    assert document["snapshot"] == str(newest(run))
    assert document["digest"] == hashlib.sha256(newest(run).read_bytes()).hexdigest()
    assert (document["step"], document["weights"]) == (4, "G_ema")
    assert document["files"] == ["single/seed-00000000.png", "single/seed-00000001.png", "grid.webp"]
    assert all(Path(path).is_file() for path in document["files"])


@pytest.mark.parametrize("ending", [".png", ".jpg", ".jpeg", ".webp"])
def test_ending_chooses_the_format(facegan, run, ending):
    facegan("sample", run, "-n", 1, "-o", f"new folder/face{ending}")
    with Image.open(f"new folder/face{ending}") as picture:
        assert picture.format == {".png": "PNG", ".webp": "WEBP"}.get(ending, "JPEG")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--seeds", "3-1", "-o", "a.png"], "--seeds 3-1: the range '3-1' runs backwards; give 1-3"),
        (["--seeds", "a", "-o", "a.png"], "--seeds a: 'a' is no seed; give numbers and ranges, for instance 0-63,99"),
        (["--seeds", "1,", "-o", "a.png"], "--seeds 1,: '' is no seed; give numbers and ranges, for instance 0-63,99"),
        (["--seeds=-1", "-o", "a.png"], "--seeds -1: '-1' is no seed; give numbers and ranges, for instance 0-63,99"),
        (
            ["--seeds", "99999999999999999999", "-o", "a.png"],
            "--seeds 99999999999999999999: '99999999999999999999' is too large; seeds are below 2^32, 10,000,000 at a "
            "time",
        ),
        (["--seeds", "1", "-n", "2", "-o", "a.png"], "-n and --seeds exclude each other; give one"),
        (["-n", "0", "-o", "a.png"], "-n 0: give 1 to 10,000,000"),
        (
            ["--seeds", "4294967296", "-o", "a.png"],
            "--seeds 4294967296: '4294967296' is too large; seeds are below 2^32, 10,000,000 at a time",
        ),
        (["-n", "10000001", "-o", "a.png"], "-n 10000001: give 1 to 10,000,000"),
        (["-n", "4"], "sample: nowhere to write; give -o grid.png, or --separate FOLDER"),
        (["-o", "a.bmp"], "-o a.bmp: cannot write '.bmp'; end it in .png, .jpg, .jpeg, .webp"),
        (["-o", "a"], "-o a: cannot write no ending; end it in .png, .jpg, .jpeg, .webp"),
        (["-o", "a/", "--separate", "b"], "-o a/ and --separate b both name a folder; give one"),
        (["faces-2", "-o", "a.png"], "faces-2: no such run, neither as a path nor in runs/; did you mean 'faces-1'?"),
        (["-o", "a.png", "--device", "cuda:77"], None),
        (["-o", "a.png", "--device", "gpu"], None),
    ],
)  # fmt: skip
def test_wrong_requests_are_refused_in_one_line_and_nothing_is_written(facegan, run, workplace, arguments, message):
    said = facegan("sample", *arguments)
    assert said.code == 2, said.err
    if message:
        assert said.complaint == f"facegan: {message}"
    else:
        assert "--device" in said.complaint
    assert [path.name for path in workplace.iterdir()] == ["runs"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("text.safetensors", b"hello", "text.safetensors: not a whole safetensors file ("),
        ("empty.safetensors", b"", "empty.safetensors: not a whole safetensors file ("),
    ],
)
def test_files_that_are_no_snapshots_are_refused(facegan, workplace, name, content, message):
    (workplace / name).write_bytes(content)
    said = facegan("sample", name, "-o", "a.png")
    assert said.code == 2
    assert said.complaint.startswith(f"facegan: {message}")


def test_state_is_refused_as_a_model(facegan, run):
    state = run / "states" / "step-00000004.safetensors"
    said = facegan("sample", state, "-o", "a.png")
    assert said.code == 2
    assert said.complaint == f"facegan: {state}: not a snapshot of facegan (it says it is 'facegan-state')"


def test_run_without_a_snapshot_says_what_to_do(facegan, run):
    shutil.rmtree(run / "snapshots")
    said = facegan("sample", run, "-o", "a.png")
    assert said.code == 2
    assert said.complaint == (f"facegan: {run}: holds no snapshot yet; train it further with 'facegan resume {run}'")


def test_grid_and_single_pictures_are_both_named(facegan, run):
    said = facegan("sample", run, "-n", 3, "-o", "grid.png", "--separate", "single")
    assert said.code == 0, said.err
    assert said.out == "single/: 3 pictures\ngrid.png\n"


def test_grid_too_large_to_be_opened_is_refused_before_it_is_drawn(facegan, run):
    said = facegan("sample", run, "-n", 400_000, "-o", "grid.png")
    assert said.code == 2
    assert said.err == (
        "facegan: -o grid.png: a grid of 400,000 pictures would have 102,400,000 pixels, more than other programs open "
        "(89,478,485); ask for fewer, or for --separate FOLDER\n"
    )
    assert not Path("grid.png").exists()
