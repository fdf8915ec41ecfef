import hashlib
import itertools
import os
import resource
import signal
import socket
import subprocess
import sys
import time
from email.utils import formatdate
from functools import partial

import pytest
from pydantic import ValidationError

from facegan.downloads import Link, Patience
from facegan.downloads.http import fetch
from facegan.errors import DownloadError
from facegan.reporter import SILENT
from webserver import (
    FILE,
    HASTY,
    chunked,
    drop,
    lengthless,
    one_byte,
    other_part,
    page,
    ranged,
    rangeless,
    redirect,
    status,
    untagged,
    wrong_length,
)

SHA256 = f"sha256:{hashlib.sha256(FILE).hexdigest()}"
QUOTA = "<html><head><title>Google Drive - Quota exceeded</title></head><body>Sorry</body></html>"


def files(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_file_arrives_under_its_name_once_and_again_after_it_was_changed(bring, server, tmp_path):
    assert bring(checksum=SHA256, size_bytes=len(FILE)).read_bytes() == FILE
    assert files(tmp_path) == ["file.bin"]
    assert bring(checksum=SHA256).read_bytes() == FILE
    assert len(server.asked) == 1
    (tmp_path / "file.bin").write_bytes(b"x" * len(FILE))
    assert bring(checksum=SHA256).read_bytes() == FILE


def test_progress_reports_the_bytes_received_so_far(bring):
    seen = []
    bring(progress=lambda *progress: seen.append(progress))
    assert seen[-1] == ("file.bin", len(FILE), len(FILE))
    assert [done for _, done, _ in seen] == sorted({done for _, done, _ in seen})


def unrequested_part(request, content):
    request.send_response(206)
    request.send_header("Content-Length", str(len(content)))
    request.send_header("Content-Range", f"bytes 0-{len(content) - 1}/*")
    request.end_headers()
    request.wfile.write(content)


@pytest.mark.parametrize(
    "answer", [lengthless(), chunked(), rangeless, untagged, unrequested_part, partial(ranged, kind="text/html")]
)
def test_every_honest_way_of_sending_works(bring, server, answer):
    server.script["/file.bin"] = [answer]
    assert bring(checksum=SHA256).read_bytes() == FILE


# Connections that break


@pytest.mark.parametrize(
    ("answers", "ranges"),
    [
        ([drop(100_000), drop(50_000)], [None, "bytes=100000-", "bytes=150000-"]),
        ([chunked(cut=1000)], [None, "bytes=1000-"]),
        ([drop(100_000, rangeless), rangeless], [None, "bytes=100000-"]),
        ([drop(100_000), other_part], [None, "bytes=100000-", None]),
        ([drop(100_000), status(416)], [None, "bytes=100000-", None]),
    ],
)
def test_broken_connection_is_continued_where_the_server_can(bring, server, lines, answers, ranges):
    server.script["/file.bin"] = [*answers]
    assert bring(checksum=SHA256).read_bytes() == FILE
    assert server.ranges() == ranges
    assert lines[0].startswith("file.bin: 127.0.0.1: ") and lines[0].endswith("; trying again in 0 s")
    assert ("file.bin: 127.0.0.1 sends it from the start again" in lines) == (answers[-1] is rangeless)


def test_file_that_nothing_identifies_is_never_continued(bring, server):
    server.script["/file.bin"] = [drop(100_000, untagged), untagged]
    assert bring().read_bytes() == FILE
    assert server.ranges() == [None, None]


def test_connection_that_always_breaks_at_one_place_is_given_up(bring, server, tmp_path):
    server.script["/file.bin"] = [drop(1000, rangeless)] * 9
    with pytest.raises(DownloadError, match=r"^127\.0\.0\.1: Incomplete.*; given up after 4 attempts$"):
        bring(checksum=SHA256)
    assert len(server.asked) == 5  # one that brought something, and four that did not
    assert files(tmp_path) == ["file.bin.part", "file.bin.part.json"]


def test_an_interrupted_download_is_continued_by_the_next_call(bring, server, tmp_path):
    hopeless = HASTY.model_copy(update={"attempts": 1})
    server.script["/file.bin"] = [drop(100_000), status(503)]
    with pytest.raises(DownloadError, match=r"answered 503 Service Unavailable; given up after 1 attempt$"):
        bring(patience=hopeless)
    assert (tmp_path / "file.bin.part").read_bytes() == FILE[:100_000]
    assert bring().read_bytes() == FILE
    assert server.ranges()[-1] == "bytes=100000-"


def test_a_complete_part_is_only_verified(bring, server, tmp_path):
    server.script["/file.bin"] = [drop(100_000)]
    with pytest.raises(ZeroDivisionError):
        bring(checksum=SHA256, progress=lambda name, done, total: 1 / 0 if done >= 100_000 else None)
    (tmp_path / "file.bin.part").write_bytes(FILE)
    asked = len(server.asked)
    assert bring(checksum=SHA256).read_bytes() == FILE
    assert len(server.asked) == asked


def test_file_that_changed_between_two_tries_is_not_spliced(bring, server, lines):
    other = FILE[::-1]

    def changed(request, content):
        server.files["/file.bin"] = other
        drop(100_000)(request, content)

    server.script["/file.bin"] = [changed]
    assert bring().read_bytes() == other
    assert server.asked[1][2]["If-Range"] == f'"{hashlib.md5(FILE).hexdigest()}"'
    assert lines[1] == "file.bin: 127.0.0.1 sends it from the start again"


def test_only_a_part_of_the_same_file_is_continued(bring, server, tmp_path):
    (tmp_path / "file.bin.part").write_bytes(b"something else")
    server.files |= {"/other.bin": FILE[::-1], "/mirror.bin": FILE}
    server.script["/file.bin"] = [drop(100_000), status(404), drop(100_000), status(404)]
    with pytest.raises(DownloadError):
        bring()
    assert bring("/other.bin").read_bytes() == FILE[::-1]
    with pytest.raises(DownloadError):
        bring(checksum=SHA256)
    assert bring("/mirror.bin", checksum=SHA256).read_bytes() == FILE
    assert server.ranges() == [None, "bytes=100000-", None, None, "bytes=100000-", "bytes=100000-"]


def headed(answer=untagged, **headers):
    """A good answer with more headers."""

    def way(request, content):
        send = request.send_response

        def send_response(code):
            send(code)
            for name, value in headers.items():
                request.send_header(name.replace("_", "-"), value)

        request.send_response = send_response
        answer(request, content)

    return way


@pytest.mark.parametrize(
    ("headers", "condition"),
    [
        ({"ETag": 'W/"1"'}, None),
        ({"ETag": 'W/"1"', "Last_Modified": "Sun, 22 Nov 2026 12:00:00 GMT"}, "Sun, 22 Nov 2026 12:00:00 GMT"),
        ({"ETag": '"1"', "Last_Modified": "Sun, 22 Nov 2026 12:00:00 GMT"}, '"1"'),
    ],
)
def test_only_a_validator_that_promises_equal_bytes_is_used(bring, server, headers, condition):
    server.script["/file.bin"] = [drop(100_000, headed(**headers))]
    assert bring().read_bytes() == FILE
    assert server.asked[1][2].get("If-Range") == condition
    assert server.ranges()[1] == ("bytes=100000-" if condition else None)


def test_damaged_part_is_fetched_once_more_from_the_start(bring, server, tmp_path, lines):
    server.script["/file.bin"] = [drop(100_000), status(404)]
    with pytest.raises(DownloadError):
        bring(checksum=SHA256)
    (tmp_path / "file.bin.part").write_bytes(b"x" * 100_000)
    assert bring(checksum=SHA256).read_bytes() == FILE
    assert lines[-1] == "file.bin: the continued file is damaged; once more from the start"


# Answers that carry no file


def test_busy_server_is_tried_again_with_growing_pauses(bring, server, lines, monkeypatch):
    slept = []
    monkeypatch.setattr(time, "sleep", slept.append)
    server.script["/file.bin"] = [status(500), status(503), status(502)]
    assert bring(patience=Patience()).read_bytes() == FILE
    assert slept == [1, 2, 4]
    assert lines[0] == "file.bin: 127.0.0.1 answered 500 Internal Server Error; trying again in 1 s"


@pytest.mark.parametrize("after", ["3000", None])
def test_server_that_asks_to_wait_is_obeyed(bring, server, monkeypatch, after):
    slept = []
    monkeypatch.setattr(time, "sleep", slept.append)
    after = after or formatdate(time.time() + 3600, usegmt=True)
    server.script["/file.bin"] = [status(429, Retry_After=after)]
    assert bring(patience=Patience(longest_delay_seconds=7200)).read_bytes() == FILE
    assert 2000 < slept[0] <= 3600


def test_server_that_asks_for_hours_is_given_up(bring, server):
    server.script["/file.bin"] = [status(429, Retry_After="7200")]
    with pytest.raises(DownloadError, match=r"answered 429 Too Many Requests, and asks to wait 7,200 s"):
        bring()


@pytest.mark.parametrize(
    ("scheme", "answer", "message"),
    [
        ("https", 403, "P refused the connection to faces.invalid: Tunnel connection failed: 403 Forbidden"),
        (
            "https",
            407,
            "P refused the connection to faces.invalid: Tunnel connection failed: 407 Proxy Authentication Required",
        ),
        ("http", 407, "P answered 407 Proxy Authentication Required"),
        ("http", 403, "P, or faces.invalid behind it, answered 403 Forbidden"),
    ],
)
def test_refusal_of_a_proxy_is_reported_as_its_own_and_ends_at_once(
    server, monkeypatch, tmp_path, scheme, answer, message
):
    monkeypatch.setenv(f"{scheme}_proxy", server.url)
    monkeypatch.setenv("no_proxy", "")
    server.script |= {"faces.invalid:443": [status(answer)], "http://faces.invalid/a.bin": [status(answer)]}
    with pytest.raises(DownloadError) as refusal:
        fetch(Link("a.bin", f"{scheme}://faces.invalid/a.bin"), tmp_path, patience=Patience(), reporter=SILENT)
    assert str(refusal.value) == message.replace("P", "the proxy of this machine (HTTPS_PROXY, HTTP_PROXY)", 1)
    assert len(server.asked) == 1


def test_proxy_that_fails_is_tried_again_and_named(server, monkeypatch, tmp_path):
    monkeypatch.setenv("https_proxy", server.url)
    monkeypatch.setenv("no_proxy", "")
    server.script["faces.invalid:443"] = [status(502)] * 2
    link, hasty = Link("a.bin", "https://faces.invalid/a.bin"), Patience(attempts=2, delay_seconds=0)
    with pytest.raises(DownloadError, match=r"^the proxy .* failed, not faces.invalid: .* 502 .*; given up after 2 "):
        fetch(link, tmp_path, patience=hasty, reporter=SILENT)
    assert len(server.asked) == 2


def test_refusal_ends_at_once(bring, server, tmp_path):
    server.script["/file.bin"] = [status(403)]
    with pytest.raises(DownloadError, match=r"^127\.0\.0\.1 answered 403 Forbidden$"):
        bring()
    assert len(server.asked) == 1
    assert files(tmp_path) == []


@pytest.mark.parametrize(
    ("kind", "text", "words"),
    [
        ("application/zip", QUOTA, " ('Google Drive - Quota exceeded')"),
        ("application/zip", "\ufeff \n<HTML lang=en>", ""),
        ("text/html", "<TITLE id=x>Too\n  many &amp; \x1b[31mmore</TITLE>", r" ('Too many & \x1b[31mmore')"),
    ],
)
def test_a_web_page_in_the_place_of_a_file_is_named_as_such(bring, server, tmp_path, kind, text, words):
    server.script["/file.bin"] = [page(text, kind)]
    with pytest.raises(DownloadError) as caught:
        bring()
    assert str(caught.value) == f"127.0.0.1 answered with a web page{words} where the file should be"
    assert "file.bin" not in files(tmp_path)
    assert bring().read_bytes() == FILE  # and nothing of the page stays


def test_redirects_are_followed(bring, server):
    server.script["/old"] = [redirect("/older")]
    server.script["/older"] = [redirect(f"{server.url}/file.bin")]
    assert bring("/old", checksum=SHA256).read_bytes() == FILE


def test_redirects_in_a_circle_end(bring, server):
    server.script["/a"] = [redirect("/b")] * 40
    server.script["/b"] = [redirect("/a")] * 40
    with pytest.raises(DownloadError, match=r"^127\.0\.0\.1: Exceeded 30 redirects\.$"):
        bring("/a")


def test_server_that_has_gone_is_given_up(bring):
    message = r"^127\.0\.0\.1: Connection refused; given up after 4 attempts$"
    with pytest.raises(DownloadError, match=message):
        bring("http://127.0.0.1:9/file.bin")


def test_a_host_that_is_not_known_is_named_by_the_innermost_reason(bring, monkeypatch):
    def fail(*_):
        raise socket.gaierror(-2, "Name or service not known" + "x" * 200)

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    message = r"^example\.org: Name or service not knownx{125}; given up after 4 attempts$"
    with pytest.raises(DownloadError, match=message):
        bring("https://example.org/file.bin")


def test_silent_server_is_given_up(bring):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/file.bin"
        with pytest.raises(DownloadError, match=r"127\.0\.0\.1 does not answer in time; given up after 1 attempt$"):
            bring(url, patience=Patience(attempts=1, timeout_seconds=0.05))


def test_a_slow_connection_is_given_up(bring, server, monkeypatch):
    monkeypatch.setattr(time, "monotonic", itertools.count(0, 10).__next__)
    server.script["/file.bin"] = [one_byte] * 9
    patience = Patience(attempts=2, delay_seconds=0, window_seconds=10, slowest_bytes_per_second=1)
    with pytest.raises(DownloadError, match=r"127\.0\.0\.1 sends only 0 bytes/s; given up after 2 attempts"):
        bring(patience=patience, checksum=SHA256)


# Files that are not what they should be


def test_wrong_checksum_is_refused_and_nothing_stays(bring, tmp_path):
    wanted = hashlib.md5(b"another").hexdigest()
    found = hashlib.md5(FILE).hexdigest()
    with pytest.raises(DownloadError, match=f"127.0.0.1 sent a file whose md5 is {found}; published is {wanted}"):
        bring(checksum=f"md5:{wanted}")
    assert files(tmp_path) == []


def test_other_length_than_published_is_refused_before_it_is_fetched(bring, tmp_path):
    with pytest.raises(DownloadError, match=r"127\.0\.0\.1 offers 262,144 bytes where 5 are published"):
        bring(size_bytes=5)
    assert files(tmp_path) == []


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (FILE[:1000], r"sent 1,000 bytes where 262,144 are published"),
        (FILE * 2, r"sent more than the 262,144 bytes that are published"),
    ],
)
def test_answer_without_length_that_is_too_short_or_too_long_is_refused(bring, server, tmp_path, content, message):
    server.files["/file.bin"] = content
    server.script["/file.bin"] = [lengthless()]
    with pytest.raises(DownloadError, match=message):
        bring(size_bytes=len(FILE))
    assert "file.bin" not in files(tmp_path)


def test_rest_that_is_longer_than_the_file_starts_over(bring, server):
    def too_much(request, content):
        request.send_response(206)
        request.send_header("Content-Length", str(len(content) - 100_000 + 10))
        request.send_header("Content-Range", f"bytes 100000-{len(content) - 1}/{len(content)}")
        request.end_headers()
        request.wfile.write(content[100_000:] + b"and so on.")

    server.script["/file.bin"] = [drop(100_000), too_much]
    assert bring().read_bytes() == FILE
    assert server.ranges() == [None, "bytes=100000-", None]


def test_an_answer_that_claims_to_be_longer_is_never_taken_for_complete(bring, server):
    server.script["/file.bin"] = [wrong_length(len(FILE) + 10), status(404)]
    with pytest.raises(DownloadError, match="answered 404 Not Found"):
        bring()


def test_disk_without_room_is_named_with_the_file_and_what_has_arrived_stays(bring, tmp_path):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        with pytest.raises(OSError) as caught:
            bring()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert caught.value.filename == str(tmp_path / "file.bin.part")
    part = (tmp_path / "file.bin.part").read_bytes()
    assert len(part) <= 100_000 and FILE.startswith(part)
    assert bring().read_bytes() == FILE


# Two processes

STUCK = """
import sys
from pathlib import Path
from facegan.downloads import Link, Patience
from facegan.downloads.http import fetch
from facegan.reporter import Callbacks

def stop(name, done, total):
    print(done, flush=True)
    sys.stdin.readline()

link = Link("file.bin", sys.argv[1], checksum=sys.argv[3])
fetch(link, Path(sys.argv[2]), patience=Patience(), reporter=Callbacks(transfer=stop))
"""


def test_a_killed_download_is_continued_and_equal_byte_for_byte(bring, server, tmp_path):
    content = os.urandom(2**20)
    server.files["/big.bin"] = content
    checksum = f"sha256:{hashlib.sha256(content).hexdigest()}"
    process = subprocess.Popen(
        [sys.executable, "-c", STUCK, f"{server.url}/big.bin", str(tmp_path), checksum],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout.readline()  # and there it stays
        process.send_signal(signal.SIGKILL)
    assert files(tmp_path) == ["file.bin.part", "file.bin.part.json"]
    part = (tmp_path / "file.bin.part").read_bytes()
    assert 0 < len(part) < len(content) and content.startswith(part)
    assert bring("/big.bin", checksum=checksum).read_bytes() == content
    assert server.ranges()[-1] == f"bytes={len(part)}-"


@pytest.mark.parametrize(
    "note",
    [
        b"[" * 100_000,
        b"[1]",
        b'{"of": "%(of)s", "validator": 7, "total": 9}',
    ],
)
def test_a_part_with_a_damaged_note_is_fetched_again(bring, server, tmp_path, note):
    (tmp_path / "file.bin.part").write_bytes(FILE[:99])
    (tmp_path / "file.bin.part.json").write_bytes(note.replace(b"%(of)s", SHA256.encode()))
    assert bring(checksum=SHA256).read_bytes() == FILE
    assert server.ranges() == [None]
    assert files(tmp_path) == ["file.bin"]


@pytest.mark.parametrize("name", ["", "..", ".hidden", "../x", "a\\b", "C:x", "a\x1b[2J"])
def test_a_name_that_leaves_its_folder_or_hides_is_refused(name):
    with pytest.raises(DownloadError) as caught:
        Link(name, "https://example.org")
    assert str(caught.value) == f"{name!r} cannot be the name of a file here"


@pytest.mark.parametrize("kind", ["md5", "sha256"])
def test_checksum_and_size_must_both_match(tmp_path, kind):
    path = tmp_path / "a"
    path.write_bytes(b"faces")
    right = f"{kind}:{hashlib.new(kind, b'faces').hexdigest()}"

    def matches(checksum, size_bytes, at=path):
        return Link("a", "https://example.org", checksum=checksum, size_bytes=size_bytes).matches(at)

    assert matches(right, 5) and matches(right, None) and matches("", None)
    assert not matches(right, 6)
    assert not matches(right[:-1] + "g", 5)
    assert not matches("", None, tmp_path / "b")


@pytest.mark.parametrize("wrong", [{"attempts": 0}, {"tries": 3}])
def test_patience_that_makes_no_sense_is_refused(wrong):
    with pytest.raises(ValidationError):
        Patience(**wrong)
