import hashlib
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from facegan import recipes
from facegan.checkpoint import load_generator
from facegan.cli import main
from facegan.images.animation import read_about
from facegan.seeds import save_latents

LEAST = "sample: invalid value for {}: Input should be greater than or equal to 1; see 'facegan sample --help'"
NO_SEED = "give numbers and ranges, for instance 0-63,99, or a file of latents"


def newest(run):
    return sorted((run / "snapshots").iterdir())[-1]


def pixels(path):
    with Image.open(path) as image:
        return np.asarray(image)


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
        "manifest.jsonl", "seed-00000002.png", "seed-00000008.png", "seed-00000009.png",
    ]  # fmt: skip


def test_separate_and_a_path_that_ends_in_a_slash_mean_the_same(facegan, run):
    one = facegan("sample", run, "-n", 3, "--separate", "one")
    two = facegan("sample", run, "-n", 3, "-o", "two/")
    assert one.out == "one/: 3 images\n"
    assert two.out == "two/: 3 images\n"
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
    assert all(Path(path).is_file() for path in [*document["files"], document["manifest"]])


@pytest.mark.parametrize("ending", [".png", ".jpg", ".jpeg", ".webp"])
def test_ending_chooses_the_format(facegan, run, ending):
    facegan("sample", run, "-n", 1, "-o", f"new folder/face{ending}")
    with Image.open(f"new folder/face{ending}") as image:
        assert image.format == {".png": "PNG", ".webp": "WEBP"}.get(ending, "JPEG")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--seeds", "3-1", "-o", "a.png"], "--seeds 3-1: the range '3-1' runs backwards; give 1-3"),
        (["--seeds", "a", "-o", "a.png"], f"--seeds a: 'a' is not a seed; {NO_SEED}"),
        (["--seeds", "1,", "-o", "a.png"], f"--seeds 1,: '' is not a seed; {NO_SEED}"),
        (["--seeds=-1", "-o", "a.png"], f"--seeds -1: '-1' is not a seed; {NO_SEED}"),
        (
            ["--seeds", "99999999999999999999", "-o", "a.png"],
            "--seeds 99999999999999999999: '99999999999999999999' is too large; seeds are below 2^32, 10,000,000 at a "
            "time",
        ),
        (["--seeds", "1", "-n", "2", "-o", "a.png"], "-n and --seeds exclude each other; give one"),
        (["-n", "0", "-o", "a.png"], LEAST.format("'-n' / '--num'")),
        (
            ["--seeds", "4294967296", "-o", "a.png"],
            "--seeds 4294967296: '4294967296' is too large; seeds are below 2^32, 10,000,000 at a time",
        ),
        (["-n", "10000001", "-o", "a.png"], "'0-10000000' is too large; seeds are below 2^32, 10,000,000 at a time"),
        (["-n", "4"], "sample: nowhere to write; give -o grid.png, --separate FOLDER, or --show"),
        (["-o", "a.bmp"], "-o a.bmp: cannot write '.bmp'; end it in .png, .jpg, .jpeg, .webp"),
        (["-o", "a"], "-o a: has no ending; end it in .png, .jpg, .jpeg, .webp"),
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
        assert said.complaint.removeprefix("facegan").lstrip(": ") == message
    else:
        assert "--device" in said.complaint
    assert [path.name for path in workplace.iterdir()] == ["runs"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("text.safetensors", b"hello", "text.safetensors: not a valid safetensors file ("),
        ("empty.safetensors", b"", "empty.safetensors: not a valid safetensors file ("),
        (
            "cut.safetensors",
            (100).to_bytes(8, "little") + b'{"G.head',
            "cut.safetensors: not a valid safetensors file (it ends within its header)",
        ),
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


def test_grid_and_single_images_are_both_named(facegan, run):
    said = facegan("sample", run, "-n", 3, "-o", "grid.png", "--separate", "single")
    assert said.code == 0, said.err
    assert said.out == "single/: 3 images\ngrid.png\n"


def test_grid_too_large_to_be_opened_is_refused_before_it_is_drawn(facegan, run):
    said = facegan("sample", run, "-n", 400_000, "-o", "grid.png")
    assert said.code == 2
    assert said.err == (
        "facegan: -o grid.png: would have 11,518 x 11,248 pixels, more than other programs open (89,478,485 in all); "
        "ask for fewer or smaller faces\n"
    )
    assert not Path("grid.png").exists()


def manifest(folder):
    return [json.loads(line) for line in (Path(folder) / "manifest.jsonl").read_text().splitlines()]


def test_manifest_gives_file_seed_and_digest_of_every_image(facegan, run):
    facegan("sample", run, "--seeds", "5,0-66", "--separate", "faces")
    lines = manifest("faces")
    assert [line["seed"] for line in lines] == [5, *range(67)]
    for line in lines:
        content = (Path("faces") / line["file"]).read_bytes()
        assert line["digest"] == hashlib.sha256(content).hexdigest()
        assert line["snapshot"] == hashlib.sha256(newest(run).read_bytes()).hexdigest()
    assert lines[0]["file"] == lines[6]["file"] == "seed-00000005.png"


def test_a_second_set_of_the_same_snapshot_is_added_to_the_manifest(facegan, run):
    facegan("sample", run, "-n", 5, "--separate", "faces")
    assert facegan("sample", run, "--seeds", "2-3,9", "--truncation", 0.5, "--separate", "faces").code == 0
    lines = manifest("faces")
    assert [line["seed"] for line in lines] == [0, 1, 4, 2, 3, 9]
    assert [line.get("truncation", 1) for line in lines] == [1, 1, 1, 0.5, 0.5, 0.5]
    assert {line["file"] for line in lines} == {path.name for path in Path("faces").glob("*.png")}
    for line in lines:
        assert line["digest"] == hashlib.sha256((Path("faces") / line["file"]).read_bytes()).hexdigest()


@pytest.mark.parametrize("other", ["another snapshot", "the current weights", "an interrupted drawing"])
def test_images_of_another_model_are_refused_or_replaced(facegan, run, other):
    older = sorted((run / "snapshots").iterdir())[0]
    first = (run, "--raw") if other == "the current weights" else (older,)
    assert facegan("sample", *first, "-n", 5, "--separate", "faces").code == 0
    if other == "an interrupted drawing":
        Path("faces/manifest.jsonl").unlink()
    Path("faces/mine.png").write_bytes(b"of the user")
    before = {path: path.read_bytes() for path in Path("faces").iterdir()}
    said = facegan("sample", run, "--seeds", "3", "--separate", "faces")
    assert said.code == 2
    assert said.complaint.startswith("facegan: --separate faces: holds images of another model (snapshot ")
    assert said.complaint.endswith("; choose another folder, or replace all of them with --force")
    assert {path: path.read_bytes() for path in Path("faces").iterdir()} == before
    said = facegan("sample", run, "--seeds", "3", "--separate", "faces", "--force")
    assert said.code == 0, said.err
    assert [line["seed"] for line in manifest("faces")] == [3]
    assert {path.name for path in Path("faces").iterdir()} == {"manifest.jsonl", "mine.png", "seed-00000003.png"}


def test_force_removes_nothing_that_a_manifest_lies_about(facegan, run):
    Path("faces").mkdir()
    Path("holiday.png").write_bytes(b"outside")
    Path("faces/holiday.png").write_bytes(b"of the user")
    lies = [{"file": name, "snapshot": "x", "digest": "0" * 64} for name in ("holiday.png", "../holiday.png", ".")]
    Path("faces/manifest.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lies))
    assert facegan("sample", run, "-n", 1, "--separate", "faces").code == 2
    assert facegan("sample", run, "-n", 1, "--separate", "faces", "--force").code == 0
    assert Path("faces/holiday.png").exists() and Path("holiday.png").exists()


def test_the_manifest_says_which_images_of_an_interrupted_drawing_were_truncated(facegan, run):
    facegan("sample", run, "-n", 2, "--truncation", 0.5, "--separate", "faces")
    Path("faces/manifest.jsonl").unlink()
    facegan("sample", run, "--seeds", "5", "--separate", "faces")
    assert [(line["seed"], line.get("truncation", 1)) for line in manifest("faces")] == [(0, 0.5), (1, 0.5), (5, 1)]


def test_no_manifest_is_left_where_the_images_could_not_be_written(facegan, run, monkeypatch):
    facegan("sample", run, "-n", 3, "--separate", "faces")
    monkeypatch.setattr(
        "facegan.images.files.write_atomic", lambda *_, **__: (_ for _ in ()).throw(OSError(28, "full"))
    )
    said = facegan("sample", run, "-n", 3, "--separate", "faces")
    assert said.code == 1
    assert "full" in said.complaint
    assert not Path("faces/manifest.jsonl").exists()


def test_truncation_changes_the_faces_and_1_does_not(facegan, run):
    facegan("sample", run, "-n", 4, "-o", "plain.png")
    facegan("sample", run, "-n", 4, "-o", "whole.png", "--truncation", 1)
    facegan("sample", run, "-n", 4, "-o", "less.png", "--truncation", 0.5)
    assert np.array_equal(pixels("plain.png"), pixels("whole.png"))
    assert not np.array_equal(pixels("plain.png"), pixels("less.png"))


@pytest.mark.parametrize(
    ("arguments", "rows", "columns"),
    [
        (["--rows", 2, "--cols", 5], 2, 5),
        (["-n", 6, "--cols", 6], 1, 6),
        (["-n", 6, "--rows", 3], 3, 2),
        (["-n", 7, "--rows", 2], 2, 4),
        (["-n", 3, "--rows", 2, "--cols", 2], 2, 2),
        (["-n", 4, "--cols", 5_000_000], 1, 4),
    ],
)
def test_rows_and_columns_arrange_the_sheet(facegan, run, arguments, rows, columns):
    facegan("sample", run, *arguments, "-o", "sheet.png")
    assert pixels("sheet.png").shape == (rows * 18 - 2, columns * 18 - 2, 3)


def test_labels_write_the_seeds_under_the_faces(facegan, run):
    facegan("sample", run, "--seeds", "7,3", "--labels", "-o", "sheet.png")
    assert pixels("sheet.png").shape == (64 + 16, 2 * 66 - 2, 3)


def test_a_dash_writes_the_image_to_stdout_and_nothing_else(facegan, run, capfdbinary):
    facegan("sample", run, "-n", 4, "-o", "sheet.png")
    with pytest.raises(SystemExit) as end:
        main(["sample", str(run), "-n", "4", "-o", "-"])
    assert not end.value.code
    assert capfdbinary.readouterr() == (Path("sheet.png").read_bytes(), b"")


def test_show_opens_the_sheet_where_there_is_a_screen(facegan, run, monkeypatch):
    opened = []
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.setattr("typer.launch", opened.append)
    assert facegan("sample", run, "-n", 4, "-o", "sheet.png", "--show").code == 0
    assert opened == ["sheet.png"]
    assert facegan("sample", run, "-n", 4, "--show").out == ""
    assert np.array_equal(pixels(opened[1]), pixels("sheet.png"))


def test_show_draws_in_the_terminal_where_there_is_no_screen(facegan, run, monkeypatch):
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("sys.platform", "linux")
    said = facegan("sample", run, "-n", 4, "--show")
    assert said.complaint == "facegan: --show: there is neither a screen nor a terminal here; give -o sheet.png"
    monkeypatch.setenv("FORCE_COLOR", "1")
    said = facegan("sample", run, "-n", 4, "--show")
    assert (said.code, said.out) == (0, "")
    assert said.err.count("▄") == 34 * 17  # two pixels a character, one above the other


def test_latents_are_taken_wherever_seeds_are_and_strangers_are_announced(facegan, run):
    generator = load_generator(newest(run))
    save_latents(Path("nine.safetensors"), generator.latents([9]), generator)
    facegan("sample", run, "--seeds", "3,9", "-o", "seeds.png")
    said = facegan("sample", run, "--seeds", "3,nine.safetensors", "-o", "latents.png", "--separate", "single")
    assert said.err == ""
    assert np.array_equal(pixels("seeds.png"), pixels("latents.png"))
    assert [line["file"] for line in manifest("single")] == ["seed-00000003.png", "nine.png"]
    said = facegan("sample", run, "--raw", "--seeds", "nine.safetensors", "-o", "latents.png")
    assert said.code == 0
    older = sorted((run / "snapshots").iterdir())[0]
    said = facegan("sample", older, "--seeds", "nine.safetensors", "-o", "latents.png")
    assert said.err == "nine.safetensors: was found for another snapshot; its face here is another one\n"


def test_every_image_carries_the_recipe_that_makes_it_again(facegan, run):
    facegan("sample", run, "-n", 4, "--truncation", 0.5, "-o", "sheet.jpg", "--separate", "single")
    generator = load_generator(newest(run))
    assert read_about(Path("sheet.jpg"))["command"] == "facegan sample --seeds 0-3 --truncation 0.5"
    about = read_about(Path("single/seed-00000002.png"))
    (frame,) = recipes.read(about["recipe"]).frames(generator)
    assert np.array_equal(frame, pixels("single/seed-00000002.png"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--truncation", "1.5", "-o", "a.png"], "--truncation is 1.5; it must be at most 1"),
        (["--truncation", "nan", "-o", "a.png"], "--truncation is nan; it must be at most 1"),
        (["--rows", "0", "-o", "a.png"], LEAST.format("'--rows'")),
        (["--cols", "-1", "-o", "a.png"], LEAST.format("'--cols'")),
        (["-n", "5", "--rows", "2", "--cols", "2", "-o", "a.png"],
         "--rows 2 --cols 2: a sheet of 4, but there are 5 faces"),
        (["--labels", "--separate", "b"], "--rows, --cols and --labels arrange a sheet; give -o sheet.png"),
        (["-o", "-", "--json"], "-o - and --json both write to stdout; give one"),
        (["--force", "-o", "a.png"], "--force: replaces the images in a folder; give --separate FOLDER"),
        (["--separate", "file"], "--separate file: is a file; give a folder"),
        (["-o", "runs"], "-o runs: is a folder; name a file in it, or end it in / for single images"),
        (["-o", "file/a.png"], "-o file/a.png: file is a file, not a folder"),
        (["--seeds", "no.safetensors", "-o", "a.png"], "no.safetensors: no such latents file"),
    ],
)  # fmt: skip
def test_wrong_arrangements_are_refused_in_one_line(facegan, run, workplace, arguments, message):
    Path("file").write_text("")
    said = facegan("sample", *arguments)
    assert said.code == 2
    assert said.complaint.removeprefix("facegan").lstrip(": ") == message
    assert sorted(path.name for path in workplace.iterdir()) == ["file", "runs"]


@pytest.mark.parametrize("names", [("a", "a"), ("seed-00000007", "b")])
def test_latents_whose_images_would_have_one_name_are_refused(facegan, run, names):
    generator = load_generator(newest(run))
    first, second = (Path(f"{name}{end}.safetensors") for name, end in zip(names, ("", "-1"), strict=True))
    save_latents(first, generator.latents([1, 2]), generator)
    save_latents(second, generator.latents([3]), generator)
    if names[0] != "a":
        save_latents(first, generator.latents([1]), generator)
    said = facegan("sample", run, "--seeds", f"7,{first},{second}", "--separate", "faces")
    assert said.code == 2
    assert "two images would have one name" in said.complaint
    assert not Path("faces").exists()


def test_one_seed_twice_is_one_file(facegan, run):
    said = facegan("sample", run, "--seeds", "7,7", "--separate", "faces")
    assert said.out == "faces/: 1 image\n"
    assert [line["seed"] for line in manifest("faces")] == [7, 7]


@pytest.mark.parametrize(
    "command",
    [
        ("sample", "-n", 2, "-o", "sheet.png", "--separate", "faces"),
        ("evaluate", "-n", 32, "--metrics", "fd_random,swd"),
    ],
)
def test_a_command_hashes_its_snapshot_once(command, facegan, run, monkeypatch):
    head = (run / "snapshots" / "step-00000004.safetensors").read_bytes()[:16]
    sha256, file_digest, hashed = hashlib.sha256, hashlib.file_digest, []

    def counted(content=b"", **options):
        hashed.append(content[:16])
        return sha256(content, **options)

    def counted_file(file, name):
        place = file.tell()
        hashed.append(file.read(16))
        file.seek(place)
        return file_digest(file, name)

    monkeypatch.setattr("hashlib.sha256", counted)
    monkeypatch.setattr("hashlib.file_digest", counted_file)
    said = facegan(command[0], run, *command[1:])
    assert said.code == 0, said.err
    assert hashed.count(head) == 2  # one pass for the file's digest and for that of its content
