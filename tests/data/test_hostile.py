"""Archives made hostile: whatever is in them, one line or an image, and nothing is written anywhere."""

import gzip
import io
import os
import stat
import subprocess
import sys
import tarfile
import zipfile

import numpy as np
import pytest
from test_tar import tar_of
from test_zip import overlapping, quoting

from facegan.data.open import open_path
from facegan.errors import DataError

EVIL = ["../evil.png", "a/../../evil.png", "/tmp/evil.png", "C:\\evil.png", "..\\evil.png", "\\\\host\\evil.png"]
TYPES = [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE]
MODES = [stat.S_IFLNK, stat.S_IFCHR, stat.S_IFBLK, stat.S_IFIFO, stat.S_IFSOCK]


def special_tar(type):
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        header = tarfile.TarInfo("evil.png")
        header.type, header.linkname = type, "../../etc/passwd"
        archive.addfile(header)
    return file.getvalue()


def zip_of(*members):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for member in members:
            archive.writestr(*member)
    return file.getvalue()


def special_zip(mode):
    odd = zipfile.ZipInfo("evil.png")
    odd.external_attr = (mode | 0o777) << 16
    return zip_of((odd, b"/etc/passwd"))


def encrypted_zip():
    content = bytearray(zip_of(("a.png", b"x")))
    for mark, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(mark) + place] |= 1
    return bytes(content)


def made(make, tmp_path):
    return make(tmp_path / "made.zip").read_bytes()


HOSTILE = {
    **{f"tar {name}": lambda _, name=name: tar_of((name, b"x")) for name in EVIL},
    **{f"zip {name}": lambda _, name=name: zip_of((name, b"x")) for name in EVIL},
    **{f"tar {type!r}": lambda _, type=type: special_tar(type) for type in TYPES},
    **{f"zip {mode:o}": lambda _, mode=mode: special_zip(mode) for mode in MODES},
    "overlapping": lambda path: made(overlapping, path),
    "quoting": lambda path: made(quoting, path),
    "encrypted": lambda _: encrypted_zip(),
    "quota page": lambda _: b"<!DOCTYPE html><html><head><title>Google Drive - Quota exceeded</title>",
    "empty": lambda _: b"",
    "zip without images": lambda _: zip_of(("readme.txt", b"x")),
    "a zip in a zip": lambda _: zip_of(("inner.zip", zip_of(("a.png", b"x")))),
    "gzip without a tar": lambda _: gzip.compress(b"x" * 3000),
}


def tree(root):
    return sorted((str(path), path.lstat().st_size, path.lstat().st_mtime_ns) for path in root.rglob("*"))


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_archive_is_refused_in_one_line_and_nothing_is_written(kind, tmp_path, monkeypatch):
    target = tmp_path / "a" / "b" / "c"
    target.mkdir(parents=True)
    monkeypatch.chdir(target)
    path = target / "faces.zip"
    path.write_bytes(HOSTILE[kind](tmp_path))
    before = tree(tmp_path)
    with pytest.raises(DataError) as caught:
        open_path(path, where="faces.zip")
    assert str(caught.value).startswith("faces.zip: ") and str(caught.value).isprintable()
    assert tree(tmp_path) == before
    assert not os.path.exists("/tmp/evil.png")  # noqa: PTH110


@pytest.mark.parametrize("kind", ["zip", "tar", "tgz"])
def test_archive_cut_anywhere_or_with_any_bit_turned_is_read_or_refused(kind, tmp_path, noise, encode):
    files = [(f"a/{number}.png", encode(noise(number))) for number in range(3)]
    whole = zip_of(*files) if kind == "zip" else tar_of(*files)
    whole = gzip.compress(whole, mtime=0) if kind == "tgz" else whole
    rng = np.random.default_rng(1)
    path = tmp_path / f"faces.{kind}"
    refused = 0
    for attempt in range(200):
        content = bytearray(whole)
        if attempt % 2:
            content[rng.integers(len(content))] ^= 1 << rng.integers(8)
        else:
            content = content[: rng.integers(len(content))]
        path.write_bytes(content)
        before = tree(tmp_path)
        try:
            source = open_path(path)
            delivered = dict(source.read(source.names, 64))
            assert set(delivered) == set(source.names)
        except DataError as error:
            refused += 1
            assert str(error).isprintable() and len(str(error)) < 400
        assert tree(tmp_path) == before
    assert refused >= 90  # each that is cut short, at the least


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_member_that_lies_about_its_size_is_not_unpacked(tmp_path, method):
    """In a process of its own: 200 MB of zeros that claim to be a thousand bytes take no memory."""
    path = tmp_path / "faces.zip"
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr("a.png", bytes(200_000_000))
    content = bytearray(path.read_bytes())
    for mark, place in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):  # its size, in both of its headers
        start = content.index(mark) + place
        content[start : start + 4] = (1000).to_bytes(4, "little")
    path.write_bytes(content)
    code = (
        "import resource, sys; from pathlib import Path; from facegan.data.archive import open_archive\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "print(*[type(content).__name__ for _, content in open_archive(Path(sys.argv[1])).read(['a.png'], 64)])\n"
        "print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)"
    )
    said = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    kind, added_mib = said.stdout.split()
    assert kind == "DataError" and int(added_mib) < 50
