import bz2
import gzip
import io
import lzma
import tarfile

import pytest

from facegan.data import archive as archive_module
from facegan.data.archive import open_archive
from facegan.errors import DataError


def tar_of(*members):
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        for name, content in members:
            header = tarfile.TarInfo(name)
            header.size = len(content)
            archive.addfile(header, io.BytesIO(content))
    return file.getvalue()


@pytest.fixture
def small(monkeypatch):
    """Archives may expand to 1 MiB instead of 1 GiB, or 200 times."""
    monkeypatch.setattr(archive_module, "_TAR_FREE_BYTES", 2**20)


@pytest.mark.parametrize("compress", [gzip.compress, bz2.compress, lzma.compress])
def test_archive_that_expands_too_far_is_refused(compress, tmp_path, small):
    path = tmp_path / "faces.tgz"
    path.write_bytes(compress(tar_of(("a.png", b"x"), ("zeros.bin", bytes(40 * 2**20)))))
    with pytest.raises(DataError) as caught:
        open_archive(path, where="faces.tgz")
    assert str(caught.value) == (
        "faces.tgz: unsafe archive, nothing of it is used (it expands more than 200 times, to more than "
        f"{max(2**20, 200 * path.stat().st_size) / 2**30:.0f} GiB); get it from its publisher"
    )


def test_archive_is_refused_before_the_bomb_is_expanded(tmp_path, small, monkeypatch):
    path = tmp_path / "faces.tgz"
    path.write_bytes(gzip.compress(tar_of(("zeros.bin", bytes(40 * 2**20)), ("a.png", b"x"))))

    class Recorded(gzip.GzipFile):
        def close(self):
            told.append(self.tell())
            super().close()

    told = []
    monkeypatch.setattr(archive_module.TarSource, "_open", lambda self: Recorded(self._path))
    with pytest.raises(DataError, match="expands more than 200 times"):
        open_archive(path)
    assert told[0] < 2**20


def test_zeros_after_the_end_count_too(tmp_path, small):
    path = tmp_path / "faces.tgz"
    path.write_bytes(gzip.compress(tar_of(("a.png", b"x")) + bytes(40 * 2**20)))
    with pytest.raises(DataError, match="expands more than 200 times"):
        open_archive(path)


def test_small_archive_may_expand_as_it_likes(tmp_path):
    path = tmp_path / "faces.tgz"
    path.write_bytes(gzip.compress(tar_of(("a.bmp", bytes(8 * 2**20)))))
    assert 200 * path.stat().st_size < 8 * 2**20
    source = open_archive(path)
    assert list(source.read(source.names, 64)) == [("a.bmp", bytes(8 * 2**20))]


def test_archive_that_is_not_compressed_has_no_such_limit(tmp_path, small):
    path = tmp_path / "faces.tar"
    path.write_bytes(tar_of(("a.png", b"x"), ("b.bin", bytes(3 * 2**20))))
    assert open_archive(path).names == ["a.png"]


def test_too_many_members_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("facegan.data.archive.MAX_NAMES", 3)
    path = tmp_path / "faces.tar"
    path.write_bytes(tar_of(*[(f"{i}.txt", b"") for i in range(4)]))
    with pytest.raises(DataError, match=r"\(it has more than 3 members\)"):
        open_archive(path)


def test_of_many_annotation_files_the_outermost_is_kept(tmp_path):
    members = [(f"{'d/' * depth}attributes.csv", b"file,x\na.png,%d\n" % depth) for depth in (3, 1, 2)]
    path = tmp_path / "faces.tar"
    path.write_bytes(tar_of(("a.png", b"x"), *members))
    source = open_archive(path)
    assert len(source._inner_files) == 1
    assert source.attributes(["a.png"]) == {"x": [1]}


def test_annotation_that_is_too_large_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("facegan.images.decode.MAX_BYTES", 100)
    path = tmp_path / "faces.tar"
    path.write_bytes(tar_of(("a.png", b"x"), ("attributes.csv", b"1" * 101)))
    with pytest.raises(DataError, match=r"^faces.tar/attributes\.csv: the file is too large \("):
        open_archive(path, where="faces.tar").attributes(["a.png"])


@pytest.mark.parametrize(
    "fields",
    [{"type": tarfile.GNUTYPE_SPARSE}, {"pax_headers": {"GNU.sparse.major": "1", "GNU.sparse.minor": "0"}}],
)
def test_file_with_holes_is_refused_before_its_list_of_holes_is_read(fields, tmp_path):
    header = tarfile.TarInfo("a.png")
    for field, value in fields.items():
        setattr(header, field, value)
    path = tmp_path / "faces.tar"
    with tarfile.open(path, "w") as archive:
        archive.addfile(header)
    with pytest.raises(DataError) as caught:
        open_archive(path, where="faces.tar")
    assert str(caught.value) == "faces.tar: the archive is damaged or cut short (a file with holes); download it again"
