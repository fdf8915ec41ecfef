import hashlib
import io
import threading
import zipfile

import filelock
import pytest

import facegan.downloads.download
import facegan.storage.locks
from facegan.downloads import File, Link, Publication, Source, WebSource, recall, remember
from facegan.downloads.download import describe_count, download, fetch_copy, present, take_copy
from facegan.errors import ConfigError, DataError, DownloadError
from facegan.reporter import Callbacks
from facegan.storage.atomic import put_in_place
from webserver import HASTY, drop, page, redirect, status


def count(path):
    """Opens a copy as a file that says how many images it holds: b"faces 2", or a folder of such files."""
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    total = 0
    for file in files:
        words = file.read_bytes().split()
        if words[:1] != [b"faces"]:
            raise DataError(f"{file.name}: not an archive")
        total += int(words[1])
    return total


@pytest.fixture
def web(server):
    """web("a.zip", b"faces 2", at="/a.zip") -> a source of that one file, which the server has."""

    def make(name, content, at=None, host="first", extras=(), **about):
        at = at or f"/{host}/{name}"
        server.files[at] = content
        files = (File(name=name, at=server.url + at, **about), *extras)
        return WebSource(host=host, files=files, opens=name, patience=HASTY)

    return make


@pytest.fixture
def row():
    """row(source, ...) -> a dataset of two images."""

    def make(*sources, **about):
        return Publication(
            name="toys", title="Toys", num_images=2, size_bytes=7, licence="as you like", by_hand="toys.zip",
            licence_url="https://example.org/licence", by_hand_url="https://example.org/toys", sources=sources, **about,
        )  # fmt: skip

    return make


@pytest.fixture
def get(lines):
    """get(row) -> what is remembered of it once it is here."""

    def make(row, bring=download, **about):
        return bring(row, count_images=count, reporter=Callbacks(line=lines.append), **about)

    return make


def paths(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.name != ".lock")


def test_dataset_is_registered_under_the_cache_with_its_count_and_source(get, row, web, cache, lines):
    record = get(row(web("toys.zip", b"faces 2")))
    assert record.path == cache.resolve() / "datasets" / "toys" / "toys.zip"
    assert record.path.read_bytes() == b"faces 2"
    assert (record.num_images, record.source) == (2, "first")
    assert recall("toys") == record
    assert lines == [
        "toys: fetching from first",
        "toys: no checksum of toys.zip is published; it could be opened, and more is not known",
    ]
    assert paths(record.path.parent) == ["toys.zip"]


def test_a_complete_dataset_is_not_requested_again_even_unregistered(get, row, web, server):
    toys = row(web("toys.zip", b"faces 2"))
    assert get(toys) == get(toys) == present(toys)
    remember("toys", path=None, num_images=None)  # as after a kill between arrival and registration
    assert get(toys).num_images == 2
    assert len(server.asked) == 1


def test_a_file_that_was_damaged_here_is_fetched_again(get, row, web, lines):
    toys = row(web("toys.zip", b"faces 2"))
    get(toys).path.write_bytes(b"damaged")
    remember("toys", path=None)
    assert get(toys).path.read_bytes() == b"faces 2"
    assert "toys: the downloaded file cannot be used (toys.zip: not an archive); it is fetched again" in lines


def test_root_is_where_files_go_now_and_later(get, row, web, tmp_path):
    toys = row(web("toys.zip", b"faces 2"))
    first = get(toys, root=tmp_path / "big disk").path
    assert first == tmp_path / "big disk" / "toys" / "toys.zip"
    first.unlink()
    assert present(toys) is None
    assert get(toys).path == first and first.exists()


@pytest.mark.parametrize(
    ("way", "reason"),
    [
        (status(404), "first: 127.0.0.1 answered 404 Not Found"),
        (page("<html><title>Hi</title>"), "first: 127.0.0.1 answered with a web page ('Hi') where the file should be"),
        (redirect("ftp://example.org/toys.zip"), "first: 127.0.0.1: No connection adapters were found for"),
        (page("PK", "application/zip"), "first: the downloaded file cannot be used (toys.zip: not an archive)"),
        (page("faces 1", "application/zip"), "first: the downloaded file cannot be used (it holds 1 of 2 images)"),
    ],
)  # fmt: skip
def test_the_next_source_is_tried_when_one_fails_and_the_reason_is_reported(get, row, web, server, lines, way, reason):
    toys = row(web("toys.zip", b"faces 2"), web("other.zip", b"faces 2", host="second"))
    server.script["/first/toys.zip"] = [way]
    record = get(toys)
    assert (record.path.name, record.source) == ("other.zip", "second")
    assert lines[1].startswith(f"toys: {reason}")
    assert lines[1].endswith("; now second")


def test_what_a_failed_source_left_half_way_is_removed_in_the_end(get, row, web, server):
    toys = row(web("toys.zip", b"faces 2 " * 1000), web("other.zip", b"faces 2", host="second"))
    server.script["/first/toys.zip"] = [drop(100), status(404)]
    assert paths(get(toys).path.parent) == ["other.zip"]


def test_when_all_fail_the_message_says_what_to_download_by_hand(get, row, web, server, lines):
    toys = row(web("toys.zip", b"faces 2"), web("other.zip", b"faces 3", host="second"))
    server.script["/first/toys.zip"] = [status(403)]
    with pytest.raises(DownloadError) as caught:
        get(toys)
    assert str(caught.value) == (
        "toys: no source worked; fetch toys.zip by hand from https://example.org/toys, "
        "then run: facegan download toys --from toys.zip"
    )
    assert caught.value.exit_code == 1
    assert lines[-1] == (
        "toys: second: the downloaded file cannot be used (it holds 3 images where 2 are published); "
        "there is no further source"
    )
    assert recall("toys").path is None


def test_an_interrupted_download_is_continued_by_the_next_call(get, row, web, server, cache):
    content = b"faces 2 " * 1000
    checksum = f"md5:{hashlib.md5(content).hexdigest()}"
    toys = row(web("toys.zip", content, checksum=checksum))
    server.script["/first/toys.zip"] = [drop(100), status(404)]
    with pytest.raises(DownloadError):
        get(toys)
    assert paths(cache / "datasets" / "toys") == [
        "partial", "partial/first", "partial/first/toys.zip.part", "partial/first/toys.zip.part.json",
    ]  # fmt: skip
    assert get(toys).path.read_bytes() == content
    assert server.ranges()[-1] == "bytes=100-"


def test_files_that_are_not_needed_lie_next_to_the_others_or_are_reported_missing(get, row, web, server, lines):
    extras = (
        File(name="notes.txt", at=f"{server.url}/notes.txt", needed=False),
        File(name="lost.txt", at=f"{server.url}/lost.txt", needed=False),
    )
    server.files["/notes.txt"] = b"words"
    folder = get(row(web("toys.zip", b"faces 2", extras=extras))).path.parent
    assert paths(folder) == ["notes.txt", "toys.zip"]
    reason = "127.0.0.1 answered 404 Not Found"
    assert lines[1] == (f"toys: lost.txt is missing ({reason}); the images do without it, or put it next to them later")


def test_killed_between_two_renames_loses_nothing(get, row, web, server, monkeypatch):
    server.files["/notes.txt"] = b"words"
    extra = File(name="notes.txt", at=f"{server.url}/notes.txt", needed=False)
    toys = row(web("toys.zip", b"faces 2", extras=(extra,)))
    done = []

    def rename(temporary, path):
        put_in_place(temporary, path)
        done.append(path.name)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(facegan.downloads.download, "put_in_place", rename)
        get(toys)
    assert done == ["notes.txt"]
    assert paths(get(toys).path.parent) == ["notes.txt", "toys.zip"]


def test_several_files_are_opened_as_their_folder_and_progress_adds_up(get, row, web, server):
    more = File(name="b.bin", at=f"{server.url}/b.bin", size_bytes=7)
    server.files["/b.bin"] = b"faces 1"
    source = web("a.bin", b"faces 1", extras=(more,), size_bytes=7).model_copy(update={"opens": ""})
    seen = []
    record = download(row(source), count_images=lambda _: 2, reporter=Callbacks(transfer=lambda *at: seen.append(at)))
    assert record.path.is_dir()
    assert seen == [("a.bin (1 of 2)", 7, 14), ("b.bin (2 of 2)", 14, 14)]


# Copies that a person has


def test_own_copy_is_registered_where_it_lies(row, web, tmp_path, lines):
    copy = tmp_path / "toys.zip"
    copy.write_bytes(b"faces 1")
    record = take_copy(row(web("toys.zip", b"")), copy, count_images=count, reporter=Callbacks(line=lines.append))
    assert (record.path, record.num_images, record.source) == (copy, 1, "a copy of your own")
    assert lines == []


@pytest.mark.parametrize(
    ("name", "content", "line"),
    [
        ("toys.zip", b"faces 2", "toys: toys.zip has the published md5"),
        ("renamed.zip", b"faces 2", "toys: renamed.zip has the published md5 of toys.zip"),
        ("toys.zip", b"faces 1", "toys: toys.zip does not have the published md5; it is used as it is"),
    ],
)
def test_copy_is_compared_with_the_known_ones(row, web, tmp_path, lines, name, content, line):
    known = File(name="toys.zip", checksum=f"md5:{hashlib.md5(b'faces 2').hexdigest()}", size_bytes=7)
    (tmp_path / name).write_bytes(content)
    take_copy(
        row(web("x.zip", b""), copies=(known,)),
        tmp_path / name,
        count_images=count,
        reporter=Callbacks(line=lines.append),
    )
    assert lines == [line]


def test_a_folder_with_the_published_archive_is_taken_for_it(row, web, tmp_path, lines):
    known = File(name="toys.zip", checksum=f"md5:{hashlib.md5(b'faces 2').hexdigest()}")
    (tmp_path / "toys.zip").write_bytes(b"faces 2")
    (tmp_path / "notes.txt").write_bytes(b"words")
    toys = row(web("x.zip", b""), copies=(known,))
    assert (
        take_copy(toys, tmp_path, count_images=count, reporter=Callbacks(line=lines.append)).path
        == tmp_path / "toys.zip"
    )
    assert lines == ["toys: toys.zip has the published md5"]


def test_copy_that_cannot_be_opened_is_refused_and_not_registered(row, web, tmp_path, lines):
    (tmp_path / "toys.zip").write_bytes(b"<html>")
    with pytest.raises(DataError, match=r"toys\.zip: not an archive"):
        take_copy(
            row(web("x.zip", b"")), tmp_path / "toys.zip", count_images=count, reporter=Callbacks(line=lines.append)
        )
    assert recall("toys").path is None


def test_part_of_a_dataset_does_not_count_as_here(get, row, web, tmp_path):
    toys = row(web("toys.zip", b"faces 2"))
    (tmp_path / "some.zip").write_bytes(b"faces 1")
    take_copy(toys, tmp_path / "some.zip", count_images=count)
    assert present(toys) is None
    assert get(toys).num_images == 2


def test_copy_at_an_address_is_fetched_and_may_be_a_part(get, row, web, server):
    server.files["/mine/some%20faces.zip"] = b"faces 1"
    url = f"{server.url}/mine/some%20faces.zip"
    record = get(row(web("toys.zip", b"faces 2")), bring=lambda row, **about: fetch_copy(row, url, **about))
    assert record.path.name == "some-faces.zip"
    assert record.path.read_bytes() == b"faces 1"
    assert (record.num_images, record.source) == (1, url)


def test_copies_at_two_addresses_with_one_name_never_mix(get, row, web, server):
    toys = row(web("toys.zip", b"faces 2"))
    for folder, content in (("a", b"faces 1"), ("b", b"faces 5")):
        server.files[f"/{folder}/toys.zip"] = content
        url = f"{server.url}/{folder}/toys.zip"
        record = get(toys, bring=lambda row, url=url, **about: fetch_copy(row, url, **about))
        assert record.path.read_bytes() == content


def test_copy_at_an_address_that_cannot_be_opened_is_refused(get, row, web, server, cache):
    server.files["/mine.zip"] = b"nonsense"
    with pytest.raises(DownloadError) as caught:
        get(row(web("x.zip", b"")), bring=lambda row, **about: fetch_copy(row, f"{server.url}/mine.zip", **about))
    assert str(caught.value) == "toys: the downloaded file cannot be used (mine.zip: not an archive)"
    assert not list((cache / "datasets" / "toys").rglob("mine.zip"))


def test_other_addresses_are_refused(get, row, web):
    url = "file:///etc/passwd"
    with pytest.raises(ConfigError) as caught:
        get(row(web("x.zip", b"")), bring=lambda row, **about: fetch_copy(row, url, **about))
    assert str(caught.value) == f"{url}: this kind of address is not supported; give http:// or https://, or a path"


@pytest.mark.parametrize(
    ("num_images", "words"),
    [(2, "2 images, as published"), (1, "1 of 2 images"), (3, "3 images where 2 are published")],
)
def test_counts_are_compared_with_the_published_one(row, web, num_images, words):
    assert describe_count(num_images, row(web("x.zip", b""))) == words


# Two at once


def test_second_of_two_waits_and_then_finds_it_complete(get, row, web, server, cache, monkeypatch):
    monkeypatch.setattr(facegan.storage.locks, "_POLL_SECONDS", 0.01)
    folder, reported = cache / "datasets" / "toys", []
    folder.mkdir(parents=True)
    lock = filelock.FileLock(folder / ".lock")
    lock.acquire()

    def report(line):
        reported.append(line)
        (folder / "toys.zip").write_bytes(b"faces 2")
        remember("toys", path=folder / "toys.zip", num_images=2)
        lock.release()

    record = download(row(web("toys.zip", b"faces 2")), count_images=count, reporter=Callbacks(line=report))
    assert record.path == folder / "toys.zip"
    assert reported == ["toys: another facegan is fetching it; waiting for that one"]
    assert server.asked == []


def test_two_that_begin_together_end_with_one_complete_file(row, web, server):
    content = b"faces 2 " * 2**15
    toys, found = row(web("toys.zip", content)), []
    both = [
        threading.Thread(target=lambda: found.append(download(toys, count_images=count).path.read_bytes()))
        for _ in range(2)
    ]
    for each in both:
        each.start()
    for each in both:
        each.join()
    assert found == [content] * 2
    assert len(server.asked) == 1


def test_what_arrives_is_opened_before_it_gets_its_name(row, web):
    seen = []

    def count_images(path):
        seen.append(path)
        raise DataError("no images found")

    with pytest.raises(DownloadError):
        download(row(web("toys.zip", b"faces 2")), count_images=count_images)
    assert seen[0].parent.parent.name == "partial"
    assert paths(seen[0].parents[2]) == []


def zipped(**members):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return file.getvalue()


def test_members_prove_a_zip_of_which_no_checksum_is_published(row, web, lines):
    toys = row(web("toys.zip", zipped(a=b"x" * 99)))
    download(toys, count_images=lambda _: 2, reporter=Callbacks(line=lines.append))
    assert lines[1] == "toys: no checksum of toys.zip is published; those of all its members are right"


def test_damaged_member_of_a_zip_is_found(row, web, lines):
    toys = row(web("toys.zip", zipped(good=b"a" * 99, bad=b"x" * 99).replace(b"x" * 99, b"y" * 99)))
    with pytest.raises(DownloadError, match="no source worked"):
        download(toys, count_images=lambda _: 2, reporter=Callbacks(line=lines.append))
    assert (
        lines[-1] == "toys: first: the downloaded file is damaged (wrong checksum of 'bad'); there is no further source"
    )


def bomb():
    """A zip whose one member would unpack to a thousand times its size."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.png", bytes(2**22))
    return file.getvalue()


def lying_bomb():
    """The same, with a small size in its headers."""
    return bomb().replace((2**22).to_bytes(4, "little"), (99).to_bytes(4, "little"))


@pytest.mark.parametrize(
    ("content", "reason"),
    [(bomb(), "it would unpack to more than 100 times its size"), (lying_bomb(), "wrong checksum of 'a.png'")],
)
def test_a_zip_bomb_is_refused_without_being_unpacked(row, web, lines, cache, content, reason):
    with pytest.raises(DownloadError):
        download(row(web("toys.zip", content)), count_images=lambda _: 2, reporter=Callbacks(line=lines.append))
    assert lines[-1].startswith(f"toys: first: the downloaded file is damaged ({reason}")
    assert paths(cache / "datasets" / "toys") == []


def test_published_checksum_is_proof_enough(row, web, lines):
    content = zipped(a=b"x")
    checksum = f"sha256:{hashlib.sha256(content).hexdigest()}"
    toys = row(web("toys.zip", content, checksum=checksum))
    download(toys, count_images=lambda _: 2, reporter=Callbacks(line=lines.append))
    assert lines == ["toys: fetching from first"]


class Handed(Source):
    """A source of somebody's own kind."""

    url: str

    @property
    def title(self):
        return "somebody's own"

    def links(self):
        return [Link("toys.zip", self.url)]


def test_wrong_count_never_gets_its_final_name(get, row, web, cache):
    with pytest.raises(DownloadError):
        get(row(web("toys.zip", b"faces 3")))
    assert not list((cache / "datasets" / "toys").rglob("toys.zip"))


def test_a_plugin_can_bring_its_own_kind_of_source(get, row, server):
    server.files["/toys.zip"] = b"faces 2"
    record = get(row(Handed(url=f"{server.url}/toys.zip", opens="toys.zip")))
    assert (record.path.name, record.source) == ("toys.zip", "somebody's own")
