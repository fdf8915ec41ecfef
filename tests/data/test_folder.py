import os
import sys

import pytest

from facegan.data.folder import FolderSource
from facegan.errors import DataError
from facegan.images.decode import MAX_BYTES


def contents(source):
    return dict(source.read(source.names, 64))


def test_images_are_found_at_any_depth_and_in_any_case(folder):
    names = ["b/c/d/e.PNG", "a.jpg", "b/x.JPEG", "b/y.jfif", "q.webp", "r.Bmp", "s.tif", "t.TIFF"]
    root = folder(*names)
    (root / "notes.txt").write_text("not an image")
    (root / "movie.mp4").write_bytes(b"")
    source = FolderSource(root)
    assert source.names == sorted(names)
    assert source.crop == "auto"
    assert source.attributes(source.names) == {}
    assert contents(source) == {name: (root / name).read_bytes() for name in names}


def test_hidden_files_and_shadows_of_macs_are_ignored(folder):
    root = folder("a.png", ".b.png", "._a.png", ".git/c.png", "__MACOSX/d.png", "e/__MACOSX/._e.png")
    assert FolderSource(root).names == ["a.png"]


def test_linked_folders_are_followed_and_loops_end(folder):
    root = folder("a/x.png", "b/y.png")
    outside = folder("z.png", at="elsewhere")
    (root / "a" / "loop").symlink_to(root)
    (root / "a" / "self").symlink_to(root / "a")
    (root / "linked").symlink_to(outside)
    (root / "broken.png").symlink_to(root / "nowhere.png")
    assert FolderSource(root).names == ["a/x.png", "b/y.png", "linked/z.png"]


def test_pipe_with_the_name_of_an_image_is_ignored(folder):
    root = folder("a.png")
    os.mkfifo(root / "pipe.png")
    assert FolderSource(root).names == ["a.png"]


def test_empty_folder_is_refused(tmp_path):
    with pytest.raises(DataError) as caught:
        FolderSource(tmp_path, where="faces/")
    assert str(caught.value) == "faces/: no images found (JPEG, PNG, WebP, BMP, TIFF, GIF, PNM)"


def test_oversized_file_is_not_read(folder):
    root = folder("a.png", "b.png")
    os.truncate(root / "b.png", MAX_BYTES + 2**20)
    delivered = contents(FolderSource(root))
    assert isinstance(delivered["a.png"], bytes)
    assert str(delivered["b.png"]) == "the file is too large (65 MiB; the limit is 64 MiB)"


def test_file_that_goes_away_is_named_and_not_fatal(folder):
    root = folder("a.png", "b.png")
    source = FolderSource(root)
    (root / "a.png").unlink()
    delivered = contents(source)
    assert str(delivered["a.png"]) == "the file cannot be read (No such file or directory)"
    assert isinstance(delivered["b.png"], bytes)


def test_fingerprint_follows_names_sizes_times_and_place(folder):
    root = folder("a.png", "b.png")
    names = ["a.png", "b.png"]
    first = FolderSource(root).fingerprint(names)
    assert FolderSource(root).fingerprint(names) == first
    assert FolderSource(root).fingerprint(["a.png"]) != first
    assert FolderSource(folder("a.png", "b.png", at="copy")).fingerprint(names) != first
    os.utime(root / "a.png", ns=(0, 0))
    second = FolderSource(root).fingerprint(names)
    (root / "a.png").write_bytes((root / "a.png").read_bytes() + b"\0")
    os.utime(root / "a.png", ns=(0, 0))
    assert len({first, second, FolderSource(root).fingerprint(names)}) == 3


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse such names")
def test_file_name_that_is_not_text_is_read(folder):
    root = folder("a.png")
    (root / "a.png").rename(root / os.fsdecode(b"\xff.png"))
    source = FolderSource(root)
    assert isinstance(contents(source)["\udcff.png"], bytes)
    assert len(source.fingerprint(source.names)) == 64
