import shutil
import signal
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from facegan.data.check.check import Report

KINDS = {
    "unreadable": ("finding  unreadable files", "Unreadable files"),
    "refused": ("finding  images that the crop refuses", "Images that the crop refuses"),
    "tiny": ("finding  images that are enlarged", "Images that are enlarged"),
    "duplicates": ("finding  copies of a file", "Copies of a file"),
    "same_pixels": ("finding  other files with the same pixels", "Other files with the same pixels"),
    "near_duplicates": ("finding  near duplicates", "Near duplicates"),
    "greyscale": ("note     greyscale images", "Greyscale images"),
    "rotated": ("note     images on their side or upside down", "Images on their side or upside down"),
}


def face(number, size=(80, 80)):
    coarse = np.random.default_rng(number).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC)


@pytest.fixture
def sound(workplace):
    """faces/: three images with nothing wrong."""
    Path("faces").mkdir()
    for number in range(3):
        face(number).save(f"faces/{number}.png")
    return Path("faces")


@pytest.fixture
def spoil(sound):
    """spoil("tiny") -> faces/ with one example of a kind of finding or note beside the sound images."""

    def make(kind):
        if kind == "unreadable":
            (sound / "bad.jpg").write_bytes(b"<html>")
        elif kind == "refused":
            face(9, (90, 70)).save(sound / "low.png")
        elif kind == "tiny":
            face(10, (40, 80)).save(sound / "thin.png")
        elif kind == "duplicates":
            shutil.copy(sound / "0.png", sound / "copy.png")
        elif kind == "same_pixels":
            face(0).save(sound / "again.png", compress_level=0)
        elif kind == "near_duplicates":
            face(0).save(sound / "again.jpg", quality=70)
        elif kind == "greyscale":
            face(11).convert("L").save(sound / "grey.png")
        elif kind == "rotated":
            exif = Image.Exif()
            exif[0x0112] = 8
            face(12).save(sound / "turned.jpg", exif=exif)
        return sound

    return make


def crop_of(kind):
    return ("--set", "data.crop=center:75") if kind == "refused" else ()


def test_help_lists_both_commands_with_what_they_do(facegan):
    said = facegan("data", "--help")
    assert said.code == 0
    assert "  check    Read every image once, and report statistics and findings.\n" in said.out
    assert "  preview  Show what the network will see, and the named crops side by side.\n" in said.out


# check


def test_sound_folder_is_clean_and_its_histograms_are_shown(facegan, sound):
    said = facegan("data", "check", sound, "--strict")
    assert said.code == 0 and said.err == ""
    lines = [line.rstrip() for line in said.out.splitlines()]
    assert lines[0].startswith("faces: 3 images, 26.7 kB")
    assert lines[1] == "tried with crop auto, resized to 64x64"
    for line in ("size            80x80                  3", "format          PNG                    3"):
        assert line in lines
    assert lines[-1] == "No findings."


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_is_counted_explained_and_named(facegan, spoil, kind):
    said = facegan("data", "check", spoil(kind), *crop_of(kind))
    assert said.code == 0
    lines = [line.rstrip() for line in said.out.splitlines()]
    counted, title = KINDS[kind]
    for other, (words, _) in KINDS.items():
        (line,) = [line for line in lines if line.startswith(words)]
        assert line.split()[-1] == ("1" if other == kind else "0"), line
    place = lines.index(f"{title}: 1")
    assert lines[place + 1].startswith("  ") and lines[place + 1].strip()[0].isupper()
    assert max(len(line) for line in lines) <= 80
    assert counted in said.out
    assert ("    0.png ~ again.jpg" in lines) == (kind == "near_duplicates")
    assert ("    0.png = copy.png" in lines) == (kind == "duplicates")
    assert ("    0.png = again.png" in lines) == (kind == "same_pixels")


@pytest.mark.parametrize("kind", KINDS)
def test_strict_exits_with_1_for_findings_and_with_0_for_notes(facegan, spoil, kind):
    root = spoil(kind)
    assert facegan("data", "check", root, "--strict", *crop_of(kind)).code == (
        0 if kind in ("greyscale", "rotated") else 1
    )
    assert facegan("data", "check", root, *crop_of(kind)).code == 0


def test_json_is_the_complete_report_and_nothing_else(facegan, spoil):
    root = spoil("tiny")
    for kind in ("unreadable", "duplicates", "near_duplicates", "greyscale", "rotated"):
        spoil(kind)
    said = facegan("data", "check", root, "--json", "--strict", "--resolution", 64)
    assert said.code == 1
    report = Report.model_validate(said.json)
    assert report.model_dump(mode="json") == said.json
    assert report.findings == {
        "unreadable": 1, "refused": 0, "tiny": 1, "duplicates": 1, "same_pixels": 0, "near_duplicates": 1,
    }  # fmt: skip
    assert said.json["clean"] is False and said.json["duplicates"] == [["0.png", "copy.png"]]


def test_only_the_first_ten_of_a_kind_are_shown_and_the_rest_counted(facegan, sound):
    for number in range(13):
        (sound / f"bad-{number:02}.jpg").write_bytes(b"no")
        shutil.copy(sound / "0.png", sound / f"copy-{number:02}.png")
    said = facegan("data", "check", sound)
    assert "    bad-09.jpg: not an image (it begins like plain text)\n    and 3 more images\n" in said.out
    assert "bad-10.jpg" not in said.out
    assert "    0.png = copy-00.png = copy-01.png and 11 more\n" in said.out


def test_group_of_long_names_has_a_name_a_line(facegan, sound):
    names = [f"{letter * 30}.png" for letter in "abc"]
    for name in names:
        face(30).save(sound / name)
    said = facegan("data", "check", sound)
    assert f"    {names[0]}\n      = {names[1]}\n      = {names[2]}\n" in said.out


def test_many_sizes_are_shown_as_the_most_frequent_and_the_rest(facegan, sound):
    for number in range(12):
        face(20 + number, (81 + number, 80)).save(sound / f"x{number}.png")
    said = facegan("data", "check", sound)
    assert any(line.split() == ["3", "others", "3"] for line in said.out.splitlines())


def test_names_are_printed_without_their_control_characters(facegan, sound):
    (sound / "bad\x1b[31m.png").write_bytes(b"")
    assert "    bad\\x1b[31m.png: not an image" in facegan("data", "check", sound).out


def test_resolution_crop_and_distance_change_what_is_found(facegan, spoil):
    root = spoil("near_duplicates")
    assert facegan("data", "check", root, "--near", -1, "--strict").code == 0
    assert "finding  near duplicates                      not searched" in (
        facegan("data", "check", root, "--near", -1).out
    )
    assert facegan("data", "check", root, "--resolution", 128, "--json").json["findings"]["tiny"] == 4
    assert facegan("data", "check", root, "--set", "data.crop=center:99", "--json").json["findings"]["refused"] == 4
    assert facegan("data", "check", root, "--set", "data.limit=1", "--json").json["num_pictures"] == 1


def test_quarantine_moves_what_it_says_and_only_when_asked(facegan, spoil):
    root = spoil("unreadable")
    spoil("duplicates")
    facegan("data", "check", root, "--strict")
    assert len(list(root.iterdir())) == 5
    said = facegan("data", "check", root, "--quarantine", "away", "--strict")
    assert said.code == 1  # of what was found
    assert "away: 2 files moved there, listed in quarantine.jsonl\n" in said.out
    assert sorted(path.name for path in Path("away").iterdir()) == ["bad.jpg", "copy.png", "quarantine.jsonl"]
    again = facegan("data", "check", root, "--quarantine", "away", "--strict")
    assert again.code == 0 and "away: 0 files moved there" in again.out


def test_quarantine_is_in_the_json(facegan, spoil):
    said = facegan("data", "check", spoil("unreadable"), "--quarantine", "away", "--json")
    assert [each["to"] for each in said.json["quarantined"]] == [str(Path("away/bad.jpg").absolute())]


def test_quarantine_says_what_stays_because_of_links(facegan, sound):
    (sound / "link.png").symlink_to((sound / "0.png").absolute())
    said = facegan("data", "check", sound, "--quarantine", "away")
    assert "away: 0 files moved there; 1 that links lead to, or that have gone, stay\n" in said.out


def test_stopped_check_exits_with_130_and_has_moved_nothing(facegan, spoil, monkeypatch):
    root = spoil("unreadable")

    def stopped(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("facegan.data.check.check.parallel_map", stopped)
    said = facegan("data", "check", root, "--quarantine", "away")
    assert (said.code, said.out, said.err) == (130, "", "facegan: stopped\n")
    assert (root / "bad.jpg").exists() and not Path("away").exists()


@pytest.mark.integration
def test_ctrl_c_ends_a_check_cleanly(start):
    process = start("data", "check", "drawn", "--set", "data.options.num_images=100000")
    process.wait_for(process.log, "checking .* images/s")
    said = process.stop(signal.SIGINT)
    assert said.code == 130 and said.out == ""
    *progress, last = said.err.splitlines()
    assert all(line.startswith("checking") for line in progress) and last == "facegan: stopped"


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["nowhere/"], "nowhere/: no such folder or file; give a folder"),
        (["faces", "--near", "16"], "--near 16: give 0 to 15, or -1 for no search; beyond that all faces are alike"),
        (
            ["faces", "--set", "train.epochs=3"],
            "--set train.epochs=3: has no effect here; you can set data.split, data.where, ",
        ),
        (["faces", "--set", "data.source=x"], "--set data.source=x: has no effect here; you can set "),
        (["faces", "--set", "channels=1"], "--set channels=1: has no effect here; you can set "),
        (["faces", "--set", "data.corp=auto"], "config: no setting 'data.corp'; did you mean 'crop'?"),
        (["faces", "--resolution", "65"], "config: resolution is 65; it must be a power of two"),
        (["faces", "--quarantine", "faces/q"], "--quarantine faces/q: lies inside faces, where it would be read again"),
        (["drawn", "--quarantine", "q"], "--quarantine q: drawn is not a folder of images; nothing can be moved out"),
        (["faces", "--quarantine", "file"], "--quarantine file: is a file; name a folder, which need not exist yet"),
    ],
)
def test_wrong_requests_to_check_are_refused_before_anything_is_read(facegan, sound, monkeypatch, arguments, message):
    Path("file").write_text("")
    monkeypatch.setattr("facegan.data.check.check.parallel_map", None)
    said = facegan("data", "check", *arguments)
    assert said.code == 2
    assert said.complaint.startswith(f"facegan: {message}")


@pytest.mark.parametrize(
    "arguments, message",
    [
        ([], "facegan data: missing command; see 'facegan data --help'"),
        (["check"], "facegan data check: missing argument 'source'; see 'facegan data check --help'"),
        (["preview", "faces", "-n", "0"], "facegan data preview: invalid value for '-n'"),
        (["check", "faces", "--near", "-2"], "facegan data check: invalid value for '--near'"),
    ],
)
def test_incomplete_requests_are_refused_in_one_line(facegan, sound, arguments, message):
    said = facegan("data", *arguments)
    assert said.code == 2
    assert said.complaint.startswith(message)


# preview


def test_preview_writes_the_grid_and_the_crops_and_prints_their_paths(facegan, sound):
    said = facegan("data", "preview", sound, "-o", "looks/at.png", "--resolution", 32)
    assert said.code == 0 and said.err == ""
    assert said.out == "looks/at.png\nlooks/at-crops.png\n"
    with Image.open("looks/at.png") as grid, Image.open("looks/at-crops.png") as crops:
        assert grid.size == (3 * 34 - 2, 32)
        assert crops.size[0] == 2 * 12 + 2 * 128 + 6  # the whole image, and auto
        assert grid.text["Description"] == "faces: crop auto, bicubic, 32x32, seed 0"


def test_preview_goes_to_the_current_folder_without_o(facegan, sound):
    assert facegan("data", "preview", sound).out == "preview.png\npreview-crops.png\n"


@pytest.mark.parametrize(
    "options",
    [("--seed", 1), ("-n", 2), ("--resolution", 16), ("--set", "data.mirror=true"), ("--set", "channels=1"),
     ("--set", "data.crop=center:40"), ("--set", "data.filter=box"), ("--set", "data.limit=2")],
    ids=str,
)  # fmt: skip
def test_every_option_of_the_preview_changes_the_grid(facegan, sound, options):
    for number in range(3, 8):  # so many that some are mirrored
        face(number).save(sound / f"{number}.png")
    facegan("data", "preview", sound, "-o", "plain.png", "--resolution", 32)
    size = () if "--resolution" in options else ("--resolution", 32)
    facegan("data", "preview", sound, "-o", "other.png", *size, *options)
    with Image.open("plain.png") as plain, Image.open("other.png") as other:
        assert plain.size != other.size or plain.mode != other.mode or plain.tobytes() != other.tobytes()


def test_rows_are_the_images_whose_crops_are_compared(facegan, sound):
    heights = []
    for rows in (1, 3):
        facegan("data", "preview", sound, "--rows", rows)
        with Image.open("preview-crops.png") as crops:
            heights.append(crops.height)
    assert heights[1] - heights[0] == 2 * (128 + 6)


def test_preview_shows_drawn_faces_and_the_ending_chooses_the_format(facegan):
    said = facegan("data", "preview", "drawn", "-o", "drawn.webp", "-n", 4, "--rows", 1, "--resolution", 16)
    assert said.out == "drawn.webp\ndrawn-crops.webp\n"
    with Image.open("drawn.webp") as grid:
        assert (grid.format, grid.size) == ("WEBP", (34, 34))


def test_preview_names_on_stderr_what_it_leaves_out(facegan, spoil):
    said = facegan("data", "preview", spoil("unreadable"))
    assert said.code == 0
    assert said.err == "left out: bad.jpg: not an image (it begins like a web page)\n"


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["faces", "-o", "x.gif"], "-o x.gif: cannot write '.gif'; end it in .png, .jpg, .jpeg, .webp"),
        (["faces", "--set", "loss.name=x"], "--set loss.name=x: has no effect here; you can set "),
        (["faces", "--set", "data.crop=center:99"], "faces: none of the 3 chosen images can be used; "),
        (["absent"], "absent: no such dataset, folder or file"),
    ],
)
def test_wrong_requests_to_preview_are_refused_and_write_nothing(facegan, sound, workplace, arguments, message):
    said = facegan("data", "preview", *arguments)
    assert said.code == 2
    assert said.complaint.startswith(f"facegan: {message}")
    assert [path.name for path in workplace.iterdir()] == ["faces"]
