import pytest

from facegan.downloads import File, WebSource
from facegan.downloads.web import name_in


def test_files_stand_in_the_row_and_nobody_is_asked():
    file = File(name="a.zip", at="https://example.org/1", checksum="md5:" + "0" * 32, size_bytes=5, needed=False)
    (link,) = WebSource(host="example.org", files=(file,)).links()
    assert (link.name, link.url, link.checksum, link.size_bytes, link.needed) == (
        "a.zip", "https://example.org/1", "md5:" + "0" * 32, 5, False,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://example.org/a/faces.zip", "faces.zip"),
        ("https://example.org/faces.zip?download=1#top", "faces.zip"),
        ("https://example.org/my%20faces%2F..%2Fx.tar.gz", "x.tar.gz"),
        ("https://example.org/%2e%2e%5cevil.zip", "evil.zip"),
        ("https://example.org/.hidden.zip", "hidden.zip"),
        ("https://example.org/files/5976015", "toys-copy"),
        ("https://example.org/", "toys-copy"),
        ("https://example.org", "toys-copy"),
    ],
)
def test_name_at_the_end_of_an_address_is_made_safe(url, name):
    assert name_in(url, otherwise="toys-copy") == name
