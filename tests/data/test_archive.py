import bz2
import gzip
import io
import lzma
import stat
import tarfile
import zipfile

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from facegan.data.archive import open_archive
from facegan.errors import DataError
from facegan.images.decode import MAX_BYTES

NOT_USED = "get it from its publisher, or unpack it yourself and give the folder"


def refusal(path):
    with pytest.raises(DataError) as caught:
        open_archive(path, where=path.name)
    message = str(caught.value)
    assert "\n" not in message and message.isprintable()
    return message


def member(name, content=b"", **fields):
    """A tar member as (header, content)."""
    header = tarfile.TarInfo(name)
    header.size = len(content)
    for field, value in fields.items():
        setattr(header, field, value)
    return header, content


def make_tar(path, members, mode="w", **options):
    with tarfile.open(path, mode, **options) as archive:
        for header, content in members:
            archive.addfile(header, io.BytesIO(content))
    return path


def make_zip(path, members, **options):
    with zipfile.ZipFile(path, "w", **options) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return path


@pytest.fixture
def files(noise, encode):
    return {name: encode(noise(i)) for i, name in enumerate(["b/2.png", "a/1.png", "a/10.PNG"])}


def written(path, files):
    if path.suffix == ".zip":
        return make_zip(path, files.items(), compression=zipfile.ZIP_DEFLATED)
    return make_tar(path, [member(*item) for item in files.items()], mode=f"w:{COMPRESSIONS[path.name]}")


COMPRESSIONS = {
    "faces.tar": "",
    "faces.tgz": "gz",
    "faces.tar.gz": "gz",
    "faces.tar.bz2": "bz2",
    "faces.tar.xz": "xz",
}
ALL = ["faces.zip", *COMPRESSIONS]


@pytest.mark.parametrize("name", ALL)
def test_archive_lists_and_delivers_its_images(name, tmp_path, files):
    source = open_archive(written(tmp_path / name, {**files, "readme.txt": b"", "__MACOSX/a/._1.png": b"?"}))
    assert source.names == ["a/1.png", "a/10.PNG", "b/2.png"]
    assert list(source.read(source.names, 64)) == list(files.items())  # in the archive's own order
    assert list(source.read(["a/10.PNG"], 64)) == [("a/10.PNG", files["a/10.PNG"])]
    assert source.attributes(source.names) == {}


@pytest.mark.parametrize("name", ALL)
def test_archive_is_known_by_its_content_not_its_name(name, tmp_path, files):
    path = written(tmp_path / name, files).rename(tmp_path / "5976015")
    assert len(open_archive(path).names) == 3


def test_tar_of_before_1988_is_read(tmp_path, files):
    path = written(tmp_path / "faces.tar", files)
    content = bytearray(path.read_bytes())
    place = 0
    for member_content in files.values():  # without the mark "ustar"
        content[place + 257 : place + 265] = bytes(8)
        content[place + 148 : place + 156] = b" " * 8
        content[place + 148 : place + 156] = b"%06o\0 " % sum(content[place : place + 512])
        place += 512 + -(-len(member_content) // 512) * 512
    path.write_bytes(content)
    assert len(open_archive(path).names) == 3


def test_tar_is_read_in_one_pass(tmp_path, files, monkeypatch):
    class Recorded(io.FileIO):
        def seek(self, offset, whence=0):
            backward.append(whence == 0 and offset < self.tell())
            return super().seek(offset, whence)

    backward = []
    source = open_archive(written(tmp_path / "faces.tar", files))
    monkeypatch.setattr(source, "_open", lambda: Recorded(tmp_path / "faces.tar"))
    assert len(list(source.read(source.names, 64))) == 3
    assert backward and not any(backward)


@pytest.mark.parametrize("name", ["./a//1.png", "a/./1.png"])
@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_names_are_tidied(name, kind, tmp_path):
    if kind == "zip":
        path = make_zip(tmp_path / "faces.zip", [(name, b"x")])
    else:
        path = make_tar(tmp_path / "faces.tar", [member(name, b"x")])
    assert open_archive(path).names == ["a/1.png"]


def test_backslashes_of_windows_archives_are_separators(tmp_path):
    path = make_zip(tmp_path / "faces.zip", [("people\\ann\\1.png", b"x")])
    assert open_archive(path).names == ["people/ann/1.png"]


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_of_two_members_with_one_name_the_later_counts(kind, tmp_path):
    if kind == "zip":
        with pytest.warns(UserWarning, match="Duplicate name"):
            path = make_zip(tmp_path / "faces.zip", [("a.png", b"old"), ("a.png", b"new")])
    else:
        path = make_tar(tmp_path / "faces.tar", [member("a.png", b"old"), member("a.png", b"new")])
    source = open_archive(path)
    assert list(source.read(source.names, 64)) == [("a.png", b"new")]


OUTSIDE = [
    ("../evil.png", "a path that leaves the archive"),
    ("a/../../evil.png", "a path that leaves the archive"),
    ("a/..", "a path that leaves the archive"),
    ("..\\evil.png", "a path that leaves the archive"),
    ("a\\..\\..\\evil.txt", "a path that leaves the archive"),
    ("/etc/evil.png", "an absolute path"),
    ("\\\\server\\share\\evil.png", "an absolute path"),
    ("C:\\evil.png", "a path with a drive letter"),
    ("c:evil.png", "a path with a drive letter"),
    ("../evil.txt", "a path that leaves the archive"),  # no image, refused all the same
]


@pytest.mark.parametrize("kind", ["zip", "tar"])
@pytest.mark.parametrize("name, what", OUTSIDE)
def test_member_that_reaches_outside_refuses_the_archive(kind, name, what, tmp_path):
    if kind == "zip":
        path = make_zip(tmp_path / "faces.zip", [("good.png", b"x"), (name, b"x")])
    else:
        path = make_tar(tmp_path / "faces.tar", [member("good.png", b"x"), member(name, b"x")])
    assert refusal(path) == f"{path.name}: unsafe archive, nothing of it is used ('{name}' is {what}); {NOT_USED}"


@pytest.mark.parametrize(
    "type, what",
    [
        (tarfile.SYMTYPE, "a link"),
        (tarfile.LNKTYPE, "a link"),
        (tarfile.CHRTYPE, "a device or pipe"),
        (tarfile.BLKTYPE, "a device or pipe"),
        (tarfile.FIFOTYPE, "a device or pipe"),
    ],
)
def test_link_or_device_in_a_tar_refuses_the_archive(type, what, tmp_path):
    path = make_tar(tmp_path / "faces.tar", [member("a.png", b"x"), member("b", type=type, linkname="a.png")])
    assert refusal(path) == f"faces.tar: unsafe archive, nothing of it is used ('b' is {what}); {NOT_USED}"


@pytest.mark.parametrize(
    "mode, what", [(stat.S_IFLNK, "a link"), (stat.S_IFCHR, "a device or pipe"), (stat.S_IFIFO, "a device or pipe")]
)
def test_link_or_device_in_a_zip_refuses_the_archive(mode, what, tmp_path):
    odd = zipfile.ZipInfo("b.png")
    odd.external_attr = (mode | 0o777) << 16
    path = make_zip(tmp_path / "faces.zip", [("a.png", b"x"), (odd, b"/etc/passwd")])
    assert refusal(path) == f"faces.zip: unsafe archive, nothing of it is used ('b.png' is {what}); {NOT_USED}"


def test_control_characters_of_a_name_do_not_reach_the_terminal(tmp_path):
    path = make_tar(tmp_path / "faces.tar", [member("../\x1b[2J\n\udcff.png", b"x")])
    assert "('../\\x1b[2J\\n\\udcff.png' is a path" in refusal(path)


@pytest.mark.parametrize(
    "name, promised",
    [
        ("faces.zip", "zip archive"),
        ("faces.tar", "tar archive"),
        ("FACES.TGZ", "tar archive"),
        ("a.parquet", "parquet file"),
    ],
)
@pytest.mark.parametrize(
    "content, looks",
    [
        (b"<!DOCTYPE html><html><head><title>Google Drive - Quota exceeded", "a web page"),
        (b'\xef\xbb\xbf\n  <html lang="en">', "a web page"),
        (b"Too many requests", "plain text"),
        (b"", "an empty file"),
        (b"Rar!\x1a\x07\x00", "a rar archive"),
        (b"\x00\x01\x02", "data of an unknown kind"),
    ],
)
def test_file_that_is_no_archive_is_refused_with_what_it_looks_like(name, promised, content, looks, tmp_path):
    path = tmp_path / name
    path.write_bytes(content)
    assert refusal(path) == f"{name}: not a {promised} (it begins like {looks}); download it again"


@pytest.mark.parametrize("name", ["photo.jpg", "notes"])
def test_file_of_another_kind_is_refused(name, tmp_path):
    path = tmp_path / name
    path.write_bytes({"photo.jpg": b"\xff\xd8\xff\xe0", "notes": b"hello"}[name])
    looks = {"photo.jpg": "a JPEG image", "notes": "plain text"}[name]
    assert refusal(path) == (
        f"{name}: not a kind of file that images are read from (it begins like {looks}); "
        "give a folder of images, a .zip, .tar, .tgz or .parquet"
    )


@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
@pytest.mark.parametrize("name", ALL)
def test_truncated_archive_is_refused(name, share, tmp_path, noise, encode):
    files = {f"{i}.png": encode(noise(i, (40, 40))) for i in range(6)}
    path = written(tmp_path / name, files)
    content = path.read_bytes()
    whole = content.rstrip(b"\0") if name == "faces.tar" else content  # tar pads its end with zeros
    path.write_bytes(content[: int(len(whole) * share)])
    assert refusal(path).startswith(f"{name}: the archive is damaged or cut short (")
    assert refusal(path).endswith("); download it again")


def test_tar_cut_exactly_between_two_members_is_refused(tmp_path, files):
    path = written(tmp_path / "faces.tar", files)
    first = next(iter(files.values()))
    path.write_bytes(path.read_bytes()[: 512 + -(-len(first) // 512) * 512])
    assert refusal(path) == "faces.tar: the archive is damaged or cut short (empty header); download it again"


def test_tar_with_rubbish_between_two_members_is_refused(tmp_path, files):
    path = written(tmp_path / "faces.tar", files)
    first = next(iter(files.values()))
    content = bytearray(path.read_bytes())
    place = 512 + -(-len(first) // 512) * 512
    content[place : place + 20] = b"\xff" * 20
    path.write_bytes(content)
    assert "the archive is damaged or cut short (" in refusal(path)


def test_wrong_checksum_at_the_end_of_a_gzip_is_noticed(tmp_path, files):
    path = written(tmp_path / "faces.tgz", files)
    content = bytearray(path.read_bytes())
    content[-8] ^= 1
    path.write_bytes(content)
    assert refusal(path).startswith("faces.tgz: the archive is damaged or cut short (CRC check failed")


def test_compressed_file_without_a_tar_inside_is_refused(tmp_path):
    for name, compress in {"a.gz": gzip.compress, "a.bz2": bz2.compress, "a.xz": lzma.compress}.items():
        (tmp_path / name).write_bytes(compress(b"x" * 2000))
        assert refusal(tmp_path / name).startswith(f"{name}: the archive is damaged or cut short (")


def test_gigantic_header_of_a_tar_is_not_read_into_memory(tmp_path):
    header, _ = member("x", type=tarfile.XHDTYPE)
    header.size = 2**32
    path = tmp_path / "faces.tar"
    path.write_bytes(header.tobuf() + bytes(4096))
    assert refusal(path) == (
        "faces.tar: the archive is damaged or cut short (a header of 4294967296 bytes); download it again"
    )


def test_zip_member_with_a_wrong_checksum_is_skipped_alone(tmp_path, files):
    path = make_zip(tmp_path / "faces.zip", files.items())  # stored, not compressed
    content = bytearray(path.read_bytes())
    place = content.index(files["a/1.png"]) + 50
    content[place] ^= 1
    path.write_bytes(content)
    source = open_archive(path)
    delivered = dict(source.read(source.names, 64))
    assert str(delivered.pop("a/1.png")) == "damaged in the archive (Bad CRC-32 for file 'a/1.png')"
    assert delivered == {name: files[name] for name in delivered} and len(delivered) == 2


def test_zip_member_of_an_unknown_compression_is_skipped_alone(tmp_path, files):
    path = make_zip(tmp_path / "faces.zip", files.items())
    content = bytearray(path.read_bytes())
    for mark, place in ((b"PK\x03\x04", 8), (b"PK\x01\x02", 10)):  # the first member's two headers
        content[content.index(mark) + place] = 9
    path.write_bytes(content)
    source = open_archive(path)
    reasons = [str(content) for _, content in source.read(source.names, 64) if isinstance(content, DataError)]
    assert reasons == ["compressed in a way that is not read (neither stored nor deflated)"]


def test_encrypted_zip_is_refused(tmp_path, files):
    path = make_zip(tmp_path / "faces.zip", files.items())
    content = bytearray(path.read_bytes())
    for mark, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(mark) + place] |= 1
    path.write_bytes(content)
    assert refusal(path) == (
        "faces.zip: 'b/2.png' is encrypted; unpack the archive with its password and give the folder"
    )


@pytest.mark.parametrize("name", ["faces.zip", "faces.tgz"])
def test_oversized_member_is_skipped_unread(name, tmp_path):
    bomb = bytes(MAX_BYTES + 1)
    path = written(tmp_path / name, {"bomb.png": bomb, "good.png": b"x"})
    assert path.stat().st_size < 2**20
    source = open_archive(path)
    delivered = dict(source.read(source.names, 64))
    assert str(delivered["bomb.png"]) == "the file is too large (65 MiB; the limit is 64 MiB)"
    assert delivered["good.png"] == b"x"


@pytest.mark.parametrize("name", ["faces.zip", "faces.tar"])
def test_archive_without_images_is_refused(name, tmp_path):
    assert refusal(written(tmp_path / name, {"readme.txt": b"hello"})) == (
        f"{name}: no images found (looked for .jpg, .jpeg, .jfif, .png, .webp, .bmp, .tif, .tiff)"
    )


@pytest.mark.parametrize("name", ["faces.zip", "faces.tgz"])
def test_archive_damaged_after_it_was_listed_is_refused(name, tmp_path, files):
    path = written(tmp_path / name, files)
    source = open_archive(path, where=name)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(DataError, match=f"^{name}: the archive is damaged or cut short \\(.*\\); download it again$"):
        list(source.read(source.names, 64))


@pytest.mark.parametrize("name", ["faces.zip", "faces.tar"])
def test_fingerprint_changes_with_the_archive(name, tmp_path, files):
    first = open_archive(written(tmp_path / name, files))
    fingerprint = first.fingerprint(first.names)
    assert open_archive(tmp_path / name).fingerprint(first.names) == fingerprint
    assert first.fingerprint(first.names[:1]) != fingerprint
    second = open_archive(written(tmp_path / name, {**files, "a/1.png": b"other"}))
    assert second.fingerprint(first.names) != fingerprint


@settings(max_examples=150, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(
    name=st.sampled_from(["faces.zip", "faces.tar", "faces.tgz"]),
    changes=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=5),
    kept=st.floats(0.5, 1),
)
def test_mutated_archive_is_read_or_refused_in_one_line(tmp_path_factory, name, changes, kept):
    path = written(tmp_path_factory.mktemp("mutated") / name, {f"{i}.png": bytes([i]) * 300 for i in range(3)})
    content = bytearray(path.read_bytes())
    for place, value in changes:
        content[int(place * len(content))] = value
    path.write_bytes(content[: int(kept * len(content))])
    try:
        source = open_archive(path)
        delivered = list(source.read(source.names, 64))
    except DataError as error:
        assert str(error).isprintable()
    else:
        assert {name for name, _ in delivered} == set(source.names)
