import re
import struct
import zipfile

import pytest

from facegan.data import archive as archive_module
from facegan.data.archive import open_archive
from facegan.errors import DataError

NOT_USED = "get it from its publisher, or unpack it yourself and give the folder"


def make_zip(path, members, compression=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", compression=compression) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return path


def refusal(path):
    with pytest.raises(DataError) as caught:
        open_archive(path, where=path.name)
    assert str(caught.value).isprintable()
    return str(caught.value)


def delivered(path):
    source = open_archive(path)
    return dict(source.read(source.names, 64))


def test_member_that_expands_too_far_is_skipped_alone(tmp_path):
    path = make_zip(tmp_path / "faces.zip", [("bomb.png", bytes(9 * 2**20)), ("good.png", b"x")])
    contents = delivered(path)
    words = r"the file claims to expand 1,02\d times in the archive \(the limit is 200 times\)"
    assert re.fullmatch(words, str(contents["bomb.png"]))
    assert contents["good.png"] == b"x"


def test_small_member_may_expand_as_it_likes(tmp_path):
    white = bytes(8 * 2**20)
    assert delivered(make_zip(tmp_path / "faces.zip", [("white.bmp", white)])) == {"white.bmp": white}


def test_member_is_read_no_further_than_it_claims(tmp_path):
    path = make_zip(tmp_path / "faces.zip", [("a.png", bytes(2**20))])
    content = bytearray(path.read_bytes())
    for mark, place in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):  # the claimed size
        struct.pack_into("<I", content, content.index(mark) + place, 100)
    path.write_bytes(content)
    assert str(delivered(path)["a.png"]) == "damaged in the archive (Bad CRC-32 for file 'a.png')"


def overlapping(path, num=5):
    """Members that all claim the same bytes, as a bomb without recursion does."""
    content = bytearray(make_zip(path, [(f"{i}.png", bytes(1000)) for i in range(num)]).read_bytes())
    place = 0
    for _ in range(num):
        place = content.index(b"PK\x01\x02", place) + 4
        struct.pack_into("<I", content, place + 38, 0)  # where the member begins
    path.write_bytes(content)
    return path


def quoting(path):
    """A first member whose data reach over the second, header and all."""
    content = bytearray(make_zip(path, [("a.png", b"x" * 50), ("b.png", b"y" * 50)], zipfile.ZIP_STORED).read_bytes())
    for mark, place in ((b"PK\x03\x04", 18), (b"PK\x01\x02", 20)):
        struct.pack_into("<II", content, content.index(mark) + place, 120, 120)
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(("make", "name"), [(overlapping, "0.png"), (quoting, "a.png")])
def test_members_that_share_bytes_refuse_the_archive(make, name, tmp_path):
    assert refusal(make(tmp_path / "faces.zip")) == (
        f"faces.zip: unsafe archive, nothing of it is used ('{name}' is a member that overlaps another); {NOT_USED}"
    )


def test_member_that_reaches_into_the_list_of_members_is_refused(tmp_path):
    path = make_zip(tmp_path / "faces.zip", [("a.png", b"x" * 50)], zipfile.ZIP_STORED)
    content = bytearray(path.read_bytes())
    struct.pack_into("<I", content, content.index(b"PK\x01\x02") + 20, 60)
    path.write_bytes(content)
    assert "('a.png' is a member that overlaps another)" in refusal(path)


@pytest.mark.parametrize("prefix", [b"", b"#!/bin/sh\n" * 10])
def test_ordinary_archives_do_not_overlap(tmp_path, prefix):
    path = make_zip(tmp_path / "faces.zip", [(f"f\u00e4ce-{i}.png", bytes(i)) for i in range(20)])
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("later.png", b"z", compress_type=zipfile.ZIP_STORED)
        archive.comment = b"with a remark"
    path.write_bytes(prefix + path.read_bytes())  # as a program that unpacks itself begins
    source = archive_module.ZipSource(path)
    assert len(list(source.read(source.names, 64))) == len(source.names) == 21


def test_absurdly_long_list_of_members_is_refused_before_it_is_read(tmp_path, monkeypatch):
    path = make_zip(tmp_path / "faces.zip", [("a.png", b"x")])
    content = bytearray(path.read_bytes())
    struct.pack_into("<I", content, content.rindex(b"PK\x05\x06") + 12, 2**32 - 2)
    path.write_bytes(content)
    monkeypatch.setattr(zipfile, "ZipFile", None)
    assert refusal(path) == (
        "faces.zip: unsafe archive, nothing of it is used (it has more than 4,000,000 members); "
        "unpack it yourself and give the folder"
    )


def test_too_many_members_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("facegan.data.archive.MAX_NAMES", 3)
    path = make_zip(tmp_path / "faces.zip", [(f"{i}.png", b"") for i in range(40)])
    assert "(it has more than 3 members)" in refusal(path)


def test_length_of_the_list_is_found_behind_a_remark(tmp_path):
    path = make_zip(tmp_path / "faces.zip", [("a.png", b"x")])
    with zipfile.ZipFile(path, "a") as archive:
        archive.comment = b"r" * 65535
    with path.open("rb") as file:
        assert archive_module._directory_bytes(file) == 46 + 5


def enlarged(content, directory_bytes):
    """The same archive with the second record of archives above 4 GiB, its first record saying so."""
    end = content.rindex(b"PK\x05\x06")
    offset = struct.unpack_from("<I", content, end + 16)[0]
    record = struct.pack("<4sQHHIIQQQQ", b"PK\x06\x06", 44, 45, 45, 0, 0, 1, 1, directory_bytes, offset)
    locator = struct.pack("<4sIQI", b"PK\x06\x07", 0, end, 1)
    last = struct.pack("<4sHHHHIIH", b"PK\x05\x06", 0, 0, 2**16 - 1, 2**16 - 1, 2**32 - 1, 2**32 - 1, 0)
    return content[:end] + record + locator + last


def test_large_format_is_read_and_its_claims_are_checked_too(tmp_path):
    path = make_zip(tmp_path / "faces.zip", [("a.png", b"x")])
    content = path.read_bytes()
    path.write_bytes(enlarged(content, 46 + 5))
    assert delivered(path) == {"a.png": b"x"}
    path.write_bytes(enlarged(content, 2**40))
    assert "(it has more than 4,000,000 members)" in refusal(path)


def test_annotation_that_is_a_bomb_is_refused(tmp_path):
    path = make_zip(tmp_path / "faces.zip", [("a.png", b"x"), ("list_attr_celeba.txt", b"1" * 9 * 2**20)])
    with pytest.raises(DataError) as caught:
        open_archive(path, where="faces.zip").attributes(["a.png"])
    assert str(caught.value).startswith("faces.zip/list_attr_celeba.txt: the file claims to expand 1,02")
