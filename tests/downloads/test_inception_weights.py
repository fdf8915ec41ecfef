import hashlib

import filelock
import pytest

import facegan.downloads.inception_weights
import facegan.storage.locks
from facegan.downloads import Patience
from facegan.downloads.inception_weights import (
    BRIEF,
    INCEPTION,
    fetch_weights,
    find_weights,
    open_weights,
    take_weights,
)
from facegan.errors import ConfigError, DownloadError, WeightsError
from facegan.reporter import Callbacks
from webserver import FILE, HASTY, drop, page, status

FIRST, SECOND = "/first/weights.pth", "/second/weights.pth"
DIGEST = hashlib.sha256(FILE).hexdigest()


@pytest.fixture
def mirrors(server, monkeypatch):
    """A server that is both mirrors of a small file that takes the place of the weights."""
    row = INCEPTION.model_copy(
        update={
            "checksum": f"sha256:{DIGEST}",
            "size_bytes": len(FILE),
            "mirrors": {"first": server.url + FIRST, "second": server.url + SECOND},
        }
    )
    monkeypatch.setattr(facegan.downloads.inception_weights, "INCEPTION", row)
    server.files |= {FIRST: FILE, SECOND: FILE}
    return server


@pytest.fixture
def get(lines):
    """get() -> where the weights are once they are here."""

    def make(**about):
        return fetch_weights(**{"reporter": Callbacks(line=lines.append), "patience": HASTY, **about})

    return make


def asked(server):
    return [path for _, path, _ in server.asked]


def test_two_releases_offer_the_one_published_file():
    assert INCEPTION.digest == "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"
    links = [INCEPTION.link(url) for url in INCEPTION.mirrors.values()]
    assert [link.url for link in links] == [
        "https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/pt_inception-2015-12-05-6726825d.pth",
        "https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/weights-inception-2015-12-05-6726825d.pth",
    ]
    for link in links:
        assert (link.name, link.checksum, link.size_bytes) == (INCEPTION.file, INCEPTION.checksum, 95_628_359)


def test_weights_are_fetched_into_the_cache_once_and_again_when_damaged(get, mirrors, cache, lines):
    assert find_weights() is None
    path = get()
    assert path == cache / "weights" / "pt_inception-2015-12-05-6726825d.pth" == find_weights()
    assert path.read_bytes() == FILE
    assert get() == path
    assert asked(mirrors) == [FIRST]
    assert lines == ["inception: fetching from first", "inception: already here, nothing is fetched"]
    path.write_bytes(FILE[:-1] + b"?")
    assert get().read_bytes() == FILE


def test_second_mirror_is_tried_when_the_first_has_no_such_file(get, mirrors, lines):
    mirrors.script[FIRST] = [status(404)]
    assert get().read_bytes() == FILE
    assert lines == [
        "inception: fetching from first",
        "inception: first: 127.0.0.1 answered 404 Not Found; now the next one",
        "inception: fetching from second",
    ]


def test_an_interrupted_download_is_continued_by_the_next_call(get, mirrors):
    mirrors.script = {FIRST: [drop(100_000), *[status(503)] * 9], SECOND: [status(404)]}
    with pytest.raises(DownloadError):
        get()
    assert find_weights() is None
    mirrors.script.clear()
    assert get().read_bytes() == FILE
    assert mirrors.ranges()[-1] == "bytes=100000-"


@pytest.mark.parametrize(
    ("way", "reason"),
    [
        (page("<html><title>Sign in</title></html>"), "127.0.0.1 answered with a web page ('Sign in') where the file"),
        (lambda request, _: drop(10**9)(request, FILE[:-1] + b"?"), "127.0.0.1 sent a file whose sha256 is "),
        (lambda request, _: drop(10**9)(request, FILE[:-1]), "127.0.0.1 offers 262,143 bytes where 262,144 are"),
    ],
)
def test_another_file_in_its_place_is_never_kept(get, mirrors, cache, way, reason):
    mirrors.script = {FIRST: [way] * 9, SECOND: [way] * 9}
    with pytest.raises(DownloadError) as error:
        get()
    assert str(error.value).startswith(f"inception: the weights could not be fetched (second: {reason}")
    assert find_weights() is None
    assert not list((cache / "weights").glob("*.part"))


def test_without_a_network_one_line_says_why_and_what_to_do(get, mirrors, monkeypatch, lines):
    row = facegan.downloads.inception_weights.INCEPTION.model_copy(
        update={"mirrors": {"first": "http://127.0.0.1:9/a.pth", "second": "http://127.0.0.1:9/b.pth"}}
    )
    monkeypatch.setattr(facegan.downloads.inception_weights, "INCEPTION", row)
    with pytest.raises(DownloadError) as error:
        get(patience=BRIEF)
    assert str(error.value) == (
        "inception: the weights could not be fetched (second: 127.0.0.1: Connection refused; "
        "given up after 1 attempt); fetch http://127.0.0.1:9/a.pth by hand, then run: "
        "facegan download inception --from pt_inception-2015-12-05-6726825d.pth"
    )
    assert len(lines) == 3  # no mirror was tried a second time


def test_patience_says_how_often_a_mirror_is_tried(get, mirrors):
    for attempts in (1, 3):
        mirrors.script = {FIRST: [status(503)] * 9, SECOND: [status(503)] * 9}
        mirrors.asked.clear()
        with pytest.raises(DownloadError):
            get(patience=Patience(attempts=attempts, delay_seconds=0))
        assert asked(mirrors) == [FIRST] * attempts + [SECOND] * attempts


def test_copy_at_an_address_takes_the_place_of_the_mirrors(get, mirrors):
    mirrors.files["/mine.bin"] = FILE
    assert get(address=mirrors.url + "/mine.bin").read_bytes() == FILE
    assert asked(mirrors) == ["/mine.bin"]


def test_address_of_another_kind_is_refused(get, mirrors):
    with pytest.raises(ConfigError, match="this kind of address is not supported"):
        get(address="ftp://example.org/weights.pth")


def test_the_second_of_two_waits_and_finds_them(get, mirrors, monkeypatch):
    monkeypatch.setattr(facegan.storage.locks, "_POLL_SECONDS", 0.01)
    path, reported = get(), []
    lock = filelock.FileLock(path.parent / ".lock")
    lock.acquire()

    def report(line):
        reported.append(line)
        if "waiting" in line:
            lock.release()

    assert get(reporter=Callbacks(line=report)) == path
    assert reported == [
        "inception: another facegan is fetching it; waiting for that one",
        "inception: already here, nothing is fetched",
    ]
    assert asked(mirrors) == [FIRST]


def test_own_copy_is_compared_and_copied(mirrors, tmp_path):
    copy = tmp_path / "mine.pth"
    copy.write_bytes(FILE)
    path = take_weights(copy)
    copy.unlink()
    assert path == find_weights() and path.read_bytes() == FILE
    assert take_weights(path) == path
    assert path.read_bytes() == FILE
    assert asked(mirrors) == []


def test_own_copy_of_something_else_is_refused_and_the_good_one_stays(mirrors, tmp_path):
    copy = tmp_path / "mine.pth"
    copy.write_bytes(FILE)
    path = take_weights(copy)
    copy.write_bytes(FILE + b"?")
    with pytest.raises(WeightsError) as error:
        take_weights(copy)
    found = hashlib.sha256(FILE + b"?").hexdigest()
    assert str(error.value) == (
        f"{copy}: not the published weights of Inception, and not read (its sha256 is {found}; published is {DIGEST}); "
        "run 'facegan download inception'"
    )
    assert path.read_bytes() == FILE


def test_opened_weights_begin_at_their_first_byte(mirrors, tmp_path):
    copy = tmp_path / "mine.pth"
    copy.write_bytes(FILE)
    with open_weights(copy) as file:
        assert file.read() == FILE
