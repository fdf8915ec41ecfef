import tarfile
import zipfile
from types import SimpleNamespace

import pytest

from facegan.data.drawn import DrawnFaces
from facegan.data.open import open_path
from facegan.data.source import is_image_name, no_images, num_unsupported, shown, suffix_counts, unsupported_suffix
from facegan.errors import DataError

FILES = ["a.png", "b/c.HEIC", "b/d.heic", "e.gif", ".hidden.gif", "notes.txt", "__MACOSX/._c.heic"]


@pytest.fixture(params=["folder", "zip", "tar"])
def source(request, tmp_path):
    root = tmp_path / "faces"
    for name in FILES:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")
    if request.param == "folder":
        return root
    path = tmp_path / f"faces.{request.param}"
    with zipfile.ZipFile(path, "w") if request.param == "zip" else tarfile.open(path, "w") as archive:
        for name in FILES:
            (archive.write if request.param == "zip" else archive.add)(root / name, name)
    return path


def test_images_of_other_kinds_are_counted(source):
    opened = open_path(source)
    assert opened.names == ["a.png"]
    assert num_unsupported(opened) == {".heic": 2, ".gif": 1}
    assert suffix_counts(num_unsupported(opened)) == "2 .heic, 1 .gif"


def test_source_of_other_kinds_alone_is_refused_with_their_number(tmp_path):
    (tmp_path / "a.avif").touch()
    with pytest.raises(DataError) as caught:
        open_path(tmp_path, where="faces/")
    assert str(caught.value).endswith(".tif, .tiff; skipped 1 .avif)")


def test_source_that_keeps_no_count_has_skipped_nothing():
    assert num_unsupported(SimpleNamespace(names=["a"])) == {}
    assert num_unsupported(DrawnFaces(num_images=1).open()) == {}
    assert "skipped" not in str(no_images("faces/", {}))


@pytest.mark.parametrize("name", ["x.jpg", "x.PNG", "x.txt", "x", ".gif", "a/.b/x.gif"])
def test_other_suffixes_are_those_of_images_that_are_not_read(name):
    assert unsupported_suffix(name) is None


@pytest.mark.parametrize("name", ["x.gif", "a/x.JXL", "x.cr2"])
def test_nothing_is_both_read_and_skipped(name):
    assert unsupported_suffix(name) == "." + name.rpartition(".")[2].lower() and not is_image_name(name)


def test_name_is_shown_on_one_line_and_not_endlessly():
    assert shown("a\nb\x1b\udce9.png") == r"a\nb\x1b\udce9.png"
    assert shown("x" * 100_000 + ".png") == "x" * 100 + "..." + "x" * 96 + ".png"
