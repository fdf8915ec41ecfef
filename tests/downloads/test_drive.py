import hashlib

import pytest

from facegan.downloads import DriveSource, File
from facegan.downloads.drive import past_page, shared_id
from facegan.downloads.http import fetch
from facegan.errors import DownloadError
from webserver import FILE, HASTY, drop, page, status

QUOTA = (
    "<!DOCTYPE html><html><head><title>Google Drive - Quota exceeded</title></head><body>"
    '<p class="uc-error-caption">Sorry, you can\'t view or download this file at this time.</p>'
    '<p class="uc-error-subcaption">Too many users have viewed or downloaded this file recently.</p></body></html>'
)
SIGN_IN = (
    '<html><head><title>Sign in</title></head><body><a href="https://accounts.google.com/x">Sign in</a></body></html>'
)


def confirm(server):
    """Drive's page for files that are too large for its virus scan."""
    return (
        "<!DOCTYPE html><html><head><title>Google Drive - Virus scan warning</title></head><body>"
        f'<form id="download-form" action="{server.url}/download" method="get">'
        '<input type="hidden" name="id" value="X">'
        '<input type="hidden" name="confirm" value="t"></form></body></html>'
    )


@pytest.fixture
def drive(server, tmp_path, said):
    """drive() -> the path of a file that Google Drive has, fetched."""
    source = DriveSource(
        files=(File(name="faces.zip", at="X", checksum=f"md5:{hashlib.md5(FILE).hexdigest()}"),),
        opens="faces.zip",
        address=f"{server.url}/uc",
    )
    server.files["/download"] = FILE

    def make():
        (link,) = source.links()
        return fetch(link, tmp_path, patience=HASTY, say=said.append, progress=lambda *_: None)

    return make


def test_small_file_comes_at_once(drive, server):
    server.files["/uc"] = FILE
    assert drive().read_bytes() == FILE
    assert [path for _, path, _ in server.asked] == ["/uc?export=download&id=X"]


def test_page_that_asks_to_confirm_is_passed(drive, server):
    server.script["/uc"] = [page(confirm(server))]
    assert drive().read_bytes() == FILE
    assert server.asked[-1][1] == "/download?id=X&confirm=t"


def test_broken_download_is_continued_behind_the_page(drive, server):
    server.script["/uc"] = [page(confirm(server)), page(confirm(server))]
    server.script["/download"] = [drop(100_000)]
    assert drive().read_bytes() == FILE
    assert server.ranges()[-1] == "bytes=100000-"


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        (QUOTA, "quota exceeded; too many people fetched this file lately, and it may be free again in a day"),
        (
            "<html><title>Google Drive - Quota exceeded</title></html>",
            "quota exceeded; too many people fetched this file lately, and it may be free again in a day",
        ),
        (SIGN_IN, "it asks to sign in; the file is not shared with everybody"),
        ("<html><title>Error\n 404 &amp; more</title></html>", "Error 404 & more"),
        ("<html></html>", "one without a title"),
    ],
)
def test_page_that_leads_nowhere_is_named_by_its_meaning(drive, server, tmp_path, text, meaning):
    server.script["/uc"] = [page(text)]
    with pytest.raises(DownloadError) as caught:
        drive()
    assert str(caught.value) == f"Google Drive answered with a web page: {meaning}"
    assert list(tmp_path.iterdir()) == []


def test_pages_without_end_are_given_up(drive, server):
    server.script["/uc"] = [page(confirm(server))]
    server.script["/download"] = [page(confirm(server))] * 5
    with pytest.raises(DownloadError, match="answered with one web page after another"):
        drive()
    assert len(server.asked) == 3


def test_quota_that_is_announced_by_status_is_an_answer(drive, server):
    server.script["/uc"] = [status(403)]
    with pytest.raises(DownloadError, match="answered 403 Forbidden"):
        drive()


def test_older_page_leads_to_the_file_too():
    assert past_page('<a href="/uc?export=download&amp;confirm=abc&amp;id=X">').startswith(
        "https://docs.google.com/uc?"
    )


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://drive.google.com/file/d/abc_DEF-123/view?usp=sharing", "abc_DEF-123"),
        ("https://drive.google.com/open?id=abc_DEF-123", "abc_DEF-123"),
        ("https://drive.google.com/uc?export=download&id=abc_DEF-123", "abc_DEF-123"),
        ("https://example.org/file/d/abc/view", None),
    ],
)
def test_share_links_carry_an_id(url, expected):
    assert shared_id(url) == expected


def test_link_to_a_folder_is_refused():
    url = "https://drive.google.com/drive/folders/1tg-Ur7d4vk1T8Bn0pPpUSQPxlPGBlGfv"
    with pytest.raises(DownloadError) as caught:
        shared_id(url)
    assert str(caught.value) == (
        f"{url}: not the share link of one file on Google Drive; open the file there and copy its link"
    )
