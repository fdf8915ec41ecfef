import bz2
import gzip
import io
import lzma
import stat
import struct
import tarfile
import tracemalloc
import zipfile

import numpy as np
import pytest

from facegan.data import archive as archive_module
from facegan.data.archive import open_archive
from facegan.errors import DataError
from facegan.images.decode import MAX_BYTES

UNSAFE = "unsafe archive, nothing of it is used ("
ADVICE = "); get it from its publisher, or unpack it yourself and give the folder"
DAMAGED = "the archive is damaged or cut short ("


def member(name, content=b"", **fields):
    """A tar member as (header, content)."""
    header = tarfile.TarInfo(name)
    header.size = len(content)
    for field, value in fields.items():
        setattr(header, field, value)
    return header, content


def tar_of(*members):
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        for each in members:
            header, content = member(*each) if isinstance(each[0], str) else each
            archive.addfile(header, io.BytesIO(content))
    return file.getvalue()


def zip_of(*members, compression=zipfile.ZIP_STORED):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        for each in members:
            archive.writestr(*each)
    return file.getvalue()


PACK = {
    "faces.zip": zip_of,
    "faces.tar": tar_of,
    "faces.tgz": lambda *members: gzip.compress(tar_of(*members), 1),
    "faces.tar.bz2": lambda *members: bz2.compress(tar_of(*members), 1),
    "faces.tar.xz": lambda *members: lzma.compress(tar_of(*members), preset=0),
}
ZIP_AND_TAR = pytest.mark.parametrize("name", ["faces.zip", "faces.tar"])


@pytest.fixture
def pack(tmp_path):
    """pack("faces.tgz", ("a.png", b"x")) -> the path of an archive with these members."""

    def make(name, *members):
        path = tmp_path / name
        path.write_bytes(PACK[name](*members))
        return path

    return make


@pytest.fixture
def files(noise, encode):
    return [(name, encode(noise(i))) for i, name in enumerate(["b/2.png", "a/1.png", "a/10.PNG"])]


def patched(path, *changes):
    """Change bytes of a zip: (mark, place after it, struct format, values...), for the first mark of a kind."""
    content = bytearray(path.read_bytes())
    for mark, place, form, *values in changes:
        struct.pack_into(form, content, content.index(mark) + place, *values)
    path.write_bytes(content)
    return path


def refusal(path):
    with pytest.raises(DataError) as caught:
        open_archive(path, where=path.name)
    message = str(caught.value)
    assert message.isprintable() and message.startswith(f"{path.name}: ")
    return message.removeprefix(f"{path.name}: ")


def delivered(path):
    source = open_archive(path)
    return dict(source.read(source.names, 64))


@pytest.mark.parametrize("name", PACK)
def test_archive_lists_and_delivers_its_images(name, pack, files):
    path = pack(name, *files, ("readme.txt", b""), ("__MACOSX/a/._1.png", b"?"))
    source = open_archive(path.rename(path.with_name("5976015")))  # the content counts, not the name
    assert source.names == ["a/1.png", "a/10.PNG", "b/2.png"]
    assert list(source.read(source.names, 64)) == files  # in the archive's own order
    assert list(source.read(["a/10.PNG"], 64)) == [files[2]]
    assert source.attributes(source.names) == {}


def test_tar_of_before_1988_is_read(pack, files):
    path = pack("faces.tar", *files)
    content = bytearray(path.read_bytes())
    place = 0
    for _, image in files:  # without the mark "ustar"
        content[place + 257 : place + 265] = bytes(8)
        content[place + 148 : place + 156] = b" " * 8
        content[place + 148 : place + 156] = b"%06o\0 " % sum(content[place : place + 512])
        place += 512 + -(-len(image) // 512) * 512
    path.write_bytes(content)
    assert len(open_archive(path).names) == 3


@ZIP_AND_TAR
def test_names_are_normalized_and_of_two_with_one_name_the_later_counts(name, pack):
    path = pack(name, ("./a//1.png", b"old"), ("a/./1.png", b"new"), ("people\\ann\\1.png", b"x"))
    assert delivered(path) == {"a/1.png": b"new", "people/ann/1.png": b"x"}


def test_zip_with_a_comment_behind_a_program_is_read(tmp_path):
    path = tmp_path / "faces.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(20):
            archive.writestr(f"f\u00e4ce-{number}.png", bytes(number))
        archive.comment = b"r" * 65535
    path.write_bytes(b"#!/bin/sh\n" * 10 + path.read_bytes())  # as a program that unpacks itself begins
    assert len(archive_module.ZipSource(path).names) == 20


OUTSIDE = [
    "../evil.png",
    "a/../../evil.txt",
    "a\\..\\..\\evil.png",
    "/etc/evil.png",
    "\\\\host\\evil.png",
    "c:evil.png",
]


@ZIP_AND_TAR
@pytest.mark.parametrize("evil", OUTSIDE)
def test_member_that_leaves_the_archive_refuses_it(name, evil, pack):
    path = pack(name, ("good.png", b"x"), (evil, b"x"))
    assert refusal(path) == f"{UNSAFE}'{evil}' leaves the archive{ADVICE}"


def of_mode(mode, content=b"/etc/passwd"):
    odd = zipfile.ZipInfo("b.png")
    odd.external_attr = (mode | 0o777) << 16
    return odd, content


@pytest.mark.parametrize(
    ("name", "odd", "what"),
    [
        *[
            ("faces.tar", member("b.png", type=type, linkname=target), "a link to a file that is not in it")
            for type in (tarfile.SYMTYPE, tarfile.LNKTYPE)
            for target in ("c.png", "../a.png", "/etc/passwd")
        ],
        *[("faces.tar", member("b.png", type=type), "a device") for type in (tarfile.CHRTYPE, tarfile.FIFOTYPE)],
        ("faces.zip", of_mode(stat.S_IFLNK), "a link to a file that is not in it"),
        *[("faces.zip", of_mode(mode), "a device") for mode in (stat.S_IFCHR, stat.S_IFIFO)],
    ],
)
def test_link_out_of_the_archive_or_device_refuses_it(name, odd, what, pack):
    assert refusal(pack(name, ("a.png", b"x"), odd)) == f"{UNSAFE}'b.png' is {what}{ADVICE}"


@pytest.mark.parametrize(
    ("name", "link"),
    [
        ("faces.tar", member("d/b.png", type=tarfile.LNKTYPE, linkname="d/a.png")),
        ("faces.tgz", member("d/b.png", type=tarfile.SYMTYPE, linkname="a.png")),
        ("faces.zip", of_mode(stat.S_IFLNK, b"d/a.png")),
        ("faces.tar", member("latest", type=tarfile.SYMTYPE, linkname="d")),
    ],
)
def test_link_to_a_member_is_counted_and_not_read_twice(name, link, pack):
    source = open_archive(pack(name, link, ("d/a.png", b"x")))
    assert source.names == ["d/a.png"] and source.passed_over == {"linked to another member": 1}


def test_control_characters_of_a_name_do_not_reach_the_terminal(pack):
    assert "('../\\x1b[2J\\n\\udcff.png' leaves the archive)" in refusal(
        pack("faces.tar", ("../\x1b[2J\n\udcff.png", b"x"))
    )


@pytest.mark.parametrize(
    ("content", "looks"),
    [
        (b"<!DOCTYPE html><html><head><title>Google Drive - Quota exceeded", "a web page"),
        (b"Too many requests", "plain text"),
        (b"", "an empty file"),
        (b"\xff\xd8\xff\xe0", "a JPEG image"),
    ],
)
def test_file_that_is_no_archive_is_refused_with_what_it_looks_like(content, looks, tmp_path):
    path = tmp_path / "faces.zip"
    path.write_bytes(content)
    assert refusal(path) == (
        f"not a zip, tar or parquet file (it begins like {looks}); "
        "download it again, or give a folder of images, a .zip, .tar, .tgz or .parquet"
    )


@pytest.mark.parametrize("share", [0.3, 0.9])
@pytest.mark.parametrize("name", PACK)
def test_truncated_archive_is_refused(name, share, pack, noise, encode):
    path = pack(name, *[(f"{i}.png", encode(noise(i, (40, 40)))) for i in range(6)])
    content = path.read_bytes()
    content = content.rstrip(b"\0") if name == "faces.tar" else content  # tar pads its end with zeros
    path.write_bytes(content[: int(len(content) * share)])
    assert refusal(path).startswith(DAMAGED) and refusal(path).endswith("); download it again")


def test_damaged_tar_is_refused(pack, files, tmp_path):
    """Where tarfile itself would take what comes for the end."""
    path = pack("faces.tar", *files)
    second = 512 + -(-len(files[0][1]) // 512) * 512
    content = path.read_bytes()
    path.write_bytes(content[:second])
    assert refusal(path) == f"{DAMAGED}empty header); download it again"
    path.write_bytes(content[:second] + b"\xff" * 20 + content[second + 20 :])
    assert refusal(path).startswith(DAMAGED)
    path = pack("faces.tgz", *files)
    path.write_bytes(path.read_bytes()[:-8] + b"sum?" + path.read_bytes()[-4:])
    assert refusal(path).startswith(f"{DAMAGED}CRC check failed")
    path.write_bytes(gzip.compress(b"x" * 2000))
    assert refusal(path).startswith(DAMAGED)


@pytest.mark.parametrize(
    ("fields", "what"),
    [
        ({"type": tarfile.XHDTYPE, "size": 2**32}, "a header of 4294967296 bytes"),
        ({"type": tarfile.GNUTYPE_SPARSE}, "a file with holes"),
        ({"pax_headers": {"GNU.sparse.major": "1", "GNU.sparse.minor": "0"}}, "a file with holes"),
    ],
)
def test_header_that_takes_much_memory_is_not_read(fields, what, tmp_path):
    header, _ = member("a.png", **fields)
    path = tmp_path / "faces.tar"
    path.write_bytes(header.tobuf(tarfile.PAX_FORMAT) + bytes(4096))
    assert refusal(path) == f"{DAMAGED}{what}); download it again"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ([(b"PK\x03\x04", 50, "B", 0)], "cannot be read from the archive (Bad CRC-32 for file 'b/2.png')"),
        (
            [(b"PK\x03\x04", 8, "B", 9), (b"PK\x01\x02", 10, "B", 9)],
            "compressed in a way that is not read (neither stored nor deflated)",
        ),
        (
            [(b"PK\x03\x04", 6, "B", 1), (b"PK\x01\x02", 8, "B", 1)],
            "encrypted; unpack the archive with its password and give the folder",
        ),
        (
            [(b"PK\x01\x02", 24, "<I", MAX_BYTES + 1)],
            "the file is too large (65 MiB; the limit is 64 MiB)",
        ),
    ],
)
def test_zip_member_that_cannot_be_read_is_skipped_alone(changes, reason, pack, files):
    contents = delivered(patched(pack("faces.zip", *files), *changes))
    assert str(contents.pop("b/2.png")) == reason
    assert contents == dict(files[1:])


def test_oversized_member_of_a_tar_is_skipped_unread(tmp_path, monkeypatch):
    monkeypatch.setattr("facegan.images.decode.MAX_BYTES", 100)
    path = tmp_path / "faces.tar"
    path.write_bytes(tar_of(("bomb.png", bytes(101)), ("good.png", b"x"), ("attributes.csv", b"1" * 101)))
    contents = delivered(path)
    assert str(contents["bomb.png"]).startswith("the file is too large (")
    assert contents["good.png"] == b"x"
    with pytest.raises(DataError, match=r"^faces.tar/attributes\.csv: the file is too large \("):
        open_archive(path, where="faces.tar").attributes(["good.png"])


def test_member_that_lies_about_its_size_is_not_unpacked(tmp_path):
    path = tmp_path / "faces.zip"
    path.write_bytes(zip_of(("a.png", bytes(20_000_000)), compression=zipfile.ZIP_DEFLATED))
    patched(path, (b"PK\x03\x04", 22, "<I", 1000), (b"PK\x01\x02", 24, "<I", 1000))
    tracemalloc.start()
    contents = delivered(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert isinstance(contents["a.png"], DataError) and peak < 4_000_000


@ZIP_AND_TAR
def test_archive_without_images_is_refused(name, pack):
    assert refusal(pack(name, ("readme.txt", b"hello"), ("inner.zip", zip_of(("a.png", b"x"))))) == (
        "no images found (JPEG, PNG, WebP, BMP, TIFF, GIF, PNM; skipped 1 archive (inner.zip: unpack the outer "
        "one, then give it), 1 .txt)"
    )


@pytest.mark.parametrize("name", ["faces.zip", "faces.tgz"])
def test_archive_damaged_after_it_was_listed_is_refused(name, pack, files):
    path = pack(name, *files)
    source = open_archive(path, where=name)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(DataError, match=f"^{name}: the archive is damaged or cut short \\(.*\\); download it again$"):
        list(source.read(source.names, 64))


@ZIP_AND_TAR
def test_fingerprint_changes_with_the_archive(name, pack, files):
    first = open_archive(pack(name, *files))
    fingerprint = first.fingerprint(first.names)
    assert first.fingerprint(first.names[:1]) != fingerprint
    again = open_archive(pack(name, *files, ("more.txt", b"x")))
    assert again.fingerprint(first.names) != fingerprint


@ZIP_AND_TAR
def test_too_many_members_are_refused(name, pack, monkeypatch):
    monkeypatch.setattr("facegan.data.archive.MAX_NAMES", 3)
    assert refusal(pack(name, *[(f"{i}.txt", b"") for i in range(9)])) == f"{UNSAFE}it has more than 3 members{ADVICE}"


def enlarged(content, directory_bytes):
    """The same zip with the second record of archives above 4 GiB, its first record saying so."""
    end = content.rindex(b"PK\x05\x06")
    offset = struct.unpack_from("<I", content, end + 16)[0]
    record = struct.pack("<4sQHHIIQQQQ", b"PK\x06\x06", 44, 45, 45, 0, 0, 1, 1, directory_bytes, offset)
    locator = struct.pack("<4sIQI", b"PK\x06\x07", 0, end, 1)
    last = struct.pack("<4sHHHHIIH", b"PK\x05\x06", 0, 0, 2**16 - 1, 2**16 - 1, 2**32 - 1, 2**32 - 1, 0)
    return content[:end] + record + locator + last


def test_zip_with_the_records_of_large_archives_is_read(tmp_path):
    path = tmp_path / "faces.zip"
    path.write_bytes(enlarged(zip_of(("a.png", b"x")), 46 + 5))
    assert delivered(path) == {"a.png": b"x"}


def test_zip_that_claims_an_absurdly_long_list_is_refused(tmp_path):
    path = tmp_path / "faces.zip"
    content = zip_of(("a.png", b"x"))
    path.write_bytes(enlarged(content, 2**40))
    assert "damaged" in refusal(path)
    path.write_bytes(content)
    assert "damaged" in refusal(patched(path, (b"PK\x05\x06", 12, "<I", 2**32 - 2)))


@pytest.mark.parametrize("compress", [gzip.compress, bz2.compress, lzma.compress])
def test_tar_that_expands_too_far_is_refused(compress, tmp_path, monkeypatch):
    monkeypatch.setattr(archive_module, "_TAR_FREE_BYTES", 2**20)
    path = tmp_path / "faces.tgz"
    path.write_bytes(compress(tar_of(("a.bmp", bytes(2**19)), ("zeros.bin", bytes(3 * 2**20)))))
    assert 200 * path.stat().st_size < 4 * 2**20
    assert refusal(path) == f"{UNSAFE}it expands more than 200 times, to more than 0 GiB{ADVICE}"
    path.write_bytes(tar_of(("a.bmp", bytes(2**19)), ("zeros.bin", bytes(3 * 2**20))))
    assert len(delivered(path)["a.bmp"]) == 2**19


@ZIP_AND_TAR
def test_of_many_annotation_files_the_outermost_counts(name, pack):
    lists = [(f"{'d/' * depth}attributes.csv", b"file,x\na.png,%d\n" % depth) for depth in (3, 1, 2)]
    assert open_archive(pack(name, ("a.png", b"x"), *lists)).attributes(["a.png"]) == {"x": [1]}


@pytest.mark.parametrize("name", ["faces.zip", "faces.tar", "faces.tgz"])
def test_mutated_archive_is_read_or_refused_in_one_line(name, tmp_path):
    valid = PACK[name](*[(f"{i}.png", bytes([i]) * 300) for i in range(3)])
    path = tmp_path / name
    rng = np.random.default_rng(0)
    refused = 0
    for attempt in range(60):
        content = bytearray(valid)
        for _ in range(attempt % 5):
            content[rng.integers(len(content))] = rng.integers(256)
        path.write_bytes(content[: len(content) if attempt % 2 else rng.integers(len(content))])
        try:
            source = open_archive(path)
            assert {name for name, _ in source.read(source.names, 64)} == set(source.names)
        except DataError as error:
            refused += 1
            assert str(error).isprintable() and len(str(error)) < 400
        assert list(tmp_path.iterdir()) == [path]  # nothing is unpacked
    assert 10 < refused < 60
