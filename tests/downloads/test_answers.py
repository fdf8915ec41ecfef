import pytest
import requests
import urllib3

from facegan.downloads.answers import begins_like_page, brief, failure, plain, title_of


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (requests.ReadTimeout("slow"), "does not answer in time"),
        (urllib3.exceptions.ReadTimeoutError(None, "/", "slow"), "does not answer in time"),
        (
            requests.ConnectionError(OSError(-2, "Failed to resolve 'x' ([Errno -2] Name or service not known)")),
            "cannot be reached (Name or service not known)",
        ),
        (
            urllib3.exceptions.ProtocolError(
                "Connection broken", ConnectionResetError(104, "Connection reset by peer")
            ),
            "broke off (Connection reset by peer)",
        ),
    ],
)
def test_failures_are_told_by_their_innermost_reason(error, words):
    assert failure(error) == words


def test_reason_is_short():
    assert len(brief(ValueError("x" * 1000))) == 150


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"<!DOCTYPE html>", True),
        (b"\xef\xbb\xbf \n<HTML lang=en>", True),
        (b"PK\x03\x04<html>", False),
        (b"202599\n5_o_Clock_Shadow", False),
        (b"", False),
    ],
)
def test_web_pages_are_known_by_their_beginning(content, expected):
    assert begins_like_page(content) == expected


def test_title_is_one_plain_line():
    assert title_of("<TITLE id=x>Quota\n  exceeded &amp; \x1b[31mmore</TITLE>") == "Quota exceeded & [31mmore"
    assert title_of("<p>none</p>") is None
    assert plain("a\tb\x07\n c") == "a b c"
