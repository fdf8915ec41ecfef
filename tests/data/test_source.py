import errno
import os
import stat
import tarfile
import zipfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from facegan.config import DataConfig, validate
from facegan.data.check.check import check
from facegan.data.drawn import DrawnFaces
from facegan.data.open import open_path, open_source
from facegan.data.packed.load import load
from facegan.data.rules import list_left_out, no_images, num_left_out
from facegan.data.source import shown
from facegan.errors import DataError
from facegan.images import files, grid

HEIC = b"\0\0\0\x18ftypheic\0\0\0\0"
SIZE = {"resolution": 16, "channels": 3}
RUN = {"config.json": b"{}", "environment.json": b"{}", "metrics.jsonl": b""}


@pytest.fixture(params=["folder", "zip", "tar"])
def put(request, tmp_path):
    """put({"a.png": bytes, ...}) -> a folder or an archive with these files."""

    def make(contents):
        root = tmp_path / "faces"
        for name, content in contents.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_bytes(content)
        if request.param == "folder":
            return root
        path = tmp_path / f"faces.{request.param}"
        with zipfile.ZipFile(path, "w") if request.param == "zip" else tarfile.open(path, "w") as archive:
            for name in contents:
                (archive.write if request.param == "zip" else archive.add)(root / name, name)
        return path

    return make


def network_pixels(source):
    return load(DataConfig(source=str(source)), **SIZE)


NAMES = {
    "a.jpe": "JPEG", "b.jpg_large": "JPEG", "c.jpg?w=200": "JPEG", "d": "PNG", "e.png!d": "PNG", "f.txt": "WEBP",
    "g.pgm": "PPM", "h.dat": "GIF", "i.DIB": "BMP", "j.gif": "GIF", "k.": "TIFF", "l.apng": "PNG", "m.ppm": "PPM",
}  # fmt: skip


def test_images_are_found_by_their_content_whatever_their_names(put, noise, encode):
    source = put({name: encode(noise(place), format) for place, (name, format) in enumerate(NAMES.items())})
    packed = network_pixels(source)
    assert packed.names == sorted(NAMES) and packed.num_skipped == 0 and packed.index.passed_over == {}


def test_every_other_file_is_counted_with_its_reason(put, noise, encode):
    picture = encode(noise())
    source = put({
        "a.png": picture, "b/c.HEIC": b"x", "b/d.heic": HEIC, "e.svg": b"<svg/>", ".hidden.gif": picture,
        "notes.txt": b"hi", "README": b"hi", "movie.mp4": b"\0\0\0\x20ftypisom", "camera.nef": b"II*\0raw",
        "in/side.zip": b"PK\x03\x04", "attributes.csv": b"name,x\na.png,1\n", ".git/config": b"x",
        ".git/x.png": picture,
    })  # fmt: skip
    way_in = "give it as the source, or unpack it" if source.is_dir() else "unpack the outer one, then give it"
    opened = open_path(source)
    assert opened.names == ["a.png"]
    assert num_left_out(opened) == {
        ".heic": 1, "HEIC or AVIF (convert them to JPEG or PNG)": 1, ".svg": 1, ".txt": 1, "of another kind": 1,
        ".mp4": 1, ".nef": 1, f"archive (in/side.zip: {way_in})": 1, "hidden": 3,
    }  # fmt: skip


@pytest.mark.parametrize(
    "folder",
    ["@eaDir", "$RECYCLE.BIN", "#recycle", "@Recycle", ".Trash-1000", "__MACOSX", "lost+found", "a/@eaDir/b"],
)
def test_thumbnails_and_deleted_files_of_systems_are_left_out_and_counted(folder, put, noise, encode):
    source = put({"a.png": encode(noise(1)), f"{folder}/x.png": encode(noise(2)), f"{folder}/deep/y": encode(noise(3))})
    opened = open_path(source)
    assert opened.names == ["a.png"]
    reason = "hidden" if folder.startswith(".") else f"in {folder.split('/')[-2 if '/' in folder else 0]}"
    assert num_left_out(opened) == {reason: 2}


def test_runs_inside_a_source_are_left_out_and_counted(put, noise, encode):
    run = {f"runs/a/{name}": content for name, content in RUN.items()}
    source = put({"a.png": encode(noise(1)), "runs/a/samples/step-1.png": encode(noise(2)), **run})
    opened = open_path(source)
    assert opened.names == ["a.png"]
    assert num_left_out(opened)["in run folders"] >= 1


def test_run_that_is_itself_the_source_is_read(put, noise, encode):
    assert open_path(put({"samples/step-1.png": encode(noise(2)), **RUN})).names == ["samples/step-1.png"]


def test_folder_with_a_config_alone_is_no_run(put, noise, encode):
    assert open_path(put({"a/config.json": b"{}", "a/b.png": encode(noise())})).names == ["a/b.png"]


def test_cache_inside_a_folder_is_left_out(folder, monkeypatch):
    root = folder("a.png", "cache/datasets/x.png")
    monkeypatch.setenv("FACEGAN_CACHE", str(root / "cache"))
    opened = open_path(root)
    assert opened.names == ["a.png"] and num_left_out(opened) == {"in the cache of facegan": 1}


def test_sheets_of_facegan_are_left_out_and_its_single_images_are_read(put, tmp_path, noise, encode):
    faces = np.random.default_rng(0).integers(0, 256, (4, 3, 16, 16), dtype=np.uint8)
    made = {"sheet.png": faces, "sheet.jpg": faces, "sheet.webp": faces, "one.png": faces[:1]}
    for name, pixels in made.items():
        files.save(tmp_path / name, grid(pixels), {"seed": "1"})
    packed = network_pixels(put({name: (tmp_path / name).read_bytes() for name in made} | {"a.png": encode(noise())}))
    assert packed.names == ["a.png", "one.png"]
    report = check(open_path(Path(packed.index.source)), DataConfig(source=packed.index.source), resolution=16)
    assert report.passed_over == {"made by facegan (sheets, plots, previews)": 3}
    assert packed.skipped == [
        (name, "a sheet, plot or preview that facegan made") for name in ("sheet.jpg", "sheet.png", "sheet.webp")
    ]


def test_sheet_that_comes_later_changes_no_digest(folder, noise):
    root = folder("a.png", "b.png")
    digest = network_pixels(root).digest
    files.save(root / "preview.png", grid(np.zeros((4, 3, 16, 16), np.uint8)))
    assert network_pixels(root).digest == digest


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_unreadable_folder_is_left_out_and_named(folder):
    root = folder("a.png", "lost+found/c.png")
    (root / "lost+found").chmod(0)
    opened = open_path(root)
    (root / "lost+found").chmod(0o700)
    assert opened.names == ["a.png"]
    assert num_left_out(opened) == {"unreadable folder (lost+found: Permission denied)": 1}


def test_source_that_may_not_be_entered_is_refused_by_its_name(folder, monkeypatch):
    root = folder("a.png")

    def refuse(path, *_):
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(Path, "is_file", refuse)  # as Path does where a folder lacks the right to enter it
    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(DataError) as caught:
        open_path(root, where="photos")
    assert str(caught.value) == f"photos: cannot be read (Permission denied: {root})"


def test_reasons_with_a_remark_are_listed_before_the_most_frequent():
    counts = {f".{letter}": 9 for letter in "abcdefghijkl"} | {"archive (x.zip: unpack it)": 1}
    assert list_left_out(counts).startswith("1 archive (x.zip: unpack it), 9 .a, ")
    assert list_left_out(counts).endswith(", 27 other files")


def test_folder_that_fails_while_it_is_listed_is_left_out_and_named(folder, monkeypatch):
    root, scan = folder("a.png", "b/c.png"), os.scandir

    def failing(path):
        if str(path).endswith("/b"):
            raise OSError(5, "Input/output error", path)
        return scan(path)

    monkeypatch.setattr(os, "scandir", failing)
    opened = open_path(root)
    assert opened.names == ["a.png"]
    assert num_left_out(opened) == {"unreadable folder (b: Input/output error)": 1}


def test_links_to_nothing_and_pipes_are_counted(folder):
    root = folder("a.png")
    (root / "b.png").symlink_to("nowhere.png")
    (root / "c.png").symlink_to("c.png")
    os.mkfifo(root / "d.png")
    opened = open_path(root)
    assert opened.names == ["a.png"] and sum(num_left_out(opened).values()) == 3


def test_what_is_counted_follows_the_source_after_it_was_packed(folder):
    root = folder("a.png")
    assert network_pixels(root).index.passed_over == {}
    (root / "new.heic").write_bytes(HEIC)
    assert network_pixels(root).index.passed_over == {"HEIC or AVIF (convert them to JPEG or PNG)": 1}


def test_run_of_an_earlier_version_finds_its_images_by_their_endings(put, noise, encode):
    """Its config.json has no `data.reading`: the names, the pixels and so the digest of the data stay the same."""
    cut = encode(noise(4), "JPEG")[:-2]
    source = put({
        "a.png": encode(noise(1)), "b.jpe": encode(noise(2), "JPEG"), "@eaDir/x.jpg": encode(noise(3), "JPEG"),
        "c.gif": encode(noise(5), "GIF"), "cut.jpg": cut, ".d.png": encode(noise(6)),
    })  # fmt: skip
    data = validate({"data": {"source": str(source)}}).data
    assert data.reading == 1
    opened = open_source(data)
    assert opened.names == ["@eaDir/x.jpg", "a.png", "cut.jpg"] and num_left_out(opened) == {
        ".gif": 1,
        ".jpe": 1,
        "hidden": 1,
    }
    old, new = load(data, **SIZE), network_pixels(source)
    assert old.names == ["@eaDir/x.jpg", "a.png"] and new.names == ["a.png", "b.jpe", "c.gif", "cut.jpg"]
    assert (old.index.packing, old.index.num_unended, new.index.num_unended) == (2, 0, 1)


def test_source_without_images_is_refused_with_the_number_of_others(tmp_path):
    (tmp_path / "a.avif").write_bytes(b"\0\0\0\x1cftypavif")
    with pytest.raises(DataError) as caught:
        open_path(tmp_path, where="faces/")
    assert str(caught.value) == (
        "faces/: no images found (JPEG, PNG, WebP, BMP, TIFF, GIF, PNM; skipped 1 HEIC or AVIF (convert them to JPEG "
        "or PNG))"
    )


def test_source_that_keeps_no_count_has_left_out_nothing():
    assert num_left_out(SimpleNamespace(names=["a"])) == {}
    assert num_left_out(DrawnFaces(num_images=1).open()) == {}
    assert "skipped" not in str(no_images("faces/", {}))


def test_what_is_left_out_is_listed_the_most_frequent_first_and_not_endlessly():
    assert list_left_out({".gif": 1, ".heic": 2000}) == "2,000 .heic, 1 .gif"
    assert list_left_out({f".{place:02}": 1 for place in range(12)}).endswith(", 1 .09, 2 other files")


def test_name_is_shown_on_one_line_and_not_endlessly():
    assert shown("a\nb\x1b\udce9.png") == r"a\nb\x1b\udce9.png"
    assert shown("x" * 100_000 + ".png") == "x" * 100 + "..." + "x" * 96 + ".png"


def test_links_to_members_of_an_archive_are_counted_and_others_refuse_it(tmp_path, noise, encode):
    picture = encode(noise())
    link = zipfile.ZipInfo("b/best.png")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "faces.zip", "w") as archive:
        archive.writestr("a/1.png", picture)
        archive.writestr(link, "../a/1.png")
    opened = open_path(tmp_path / "faces.zip")
    assert opened.names == ["a/1.png"] and num_left_out(opened) == {"linked to another member": 1}


def test_equal_images_are_found_out(folder, noise, encode):
    root = folder("a.png", "b.png")
    assert not network_pixels(root).are_equal()
    Image.open(root / "a.png").save(root / "b.png")
    assert network_pixels(root).are_equal()
