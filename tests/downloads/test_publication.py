import re
import urllib.parse

import pytest
from pydantic import ValidationError

from facegan.downloads import (
    CELEBA,
    FFHQ_THUMBNAILS,
    LFW,
    DownloadSource,
    DriveSource,
    File,
    Publication,
    Source,
    WebSource,
)

ROW = {
    "name": "toys", "title": "Toys", "num_images": 2, "size_bytes": 7, "licence": "as you like",
    "licence_url": "https://example.org/licence", "by_hand": "toys.zip", "by_hand_url": "https://example.org/toys",
    "sources": (WebSource(host="Example Org!", files=()),),
}  # fmt: skip


@pytest.mark.parametrize(
    "wrong",
    [{"name": "../toys"}, {"licence": ""}, {"crop": "middle"}, {"sources": ()}, {"colour": "red"}],
)
def test_row_that_makes_no_sense_is_refused(wrong):
    with pytest.raises(ValidationError):
        Publication(**ROW | wrong)


@pytest.mark.parametrize("wrong", [{"name": "a/b"}, {"name": ".a"}, {"checksum": "md5:123"}, {"checksum": "crc:0"}])
def test_file_that_makes_no_sense_is_refused(wrong):
    with pytest.raises(ValidationError):
        File(**{"name": "a.zip"} | wrong)


def test_key_of_a_source_is_a_file_name():
    assert ROW["sources"][0].key == "example-org"


def test_kind_of_source_must_say_what_it_is():
    with pytest.raises(NotImplementedError):
        _ = Source().title
    with pytest.raises(NotImplementedError):
        Source().links()
    assert Source is DownloadSource


# The built-in rows

ROWS = [CELEBA, LFW, FFHQ_THUMBNAILS]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_a_row_has_title_licence_and_links(row):
    assert row.about and row.title and row.licence
    for url in (row.licence_url, row.by_hand_url):
        assert urllib.parse.urlsplit(url).scheme == "https"


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_sources_have_keys_of_their_own_and_open_what_they_fetch(row):
    assert len({source.key for source in row.sources}) == len(row.sources)
    for source in row.sources:
        if isinstance(source, DriveSource | WebSource):
            links = source.links()
            assert source.opens == links[0].name
            assert all(urllib.parse.urlsplit(link.url).scheme == "https" for link in links)


def test_published_counts():
    # CelebA: 162,770 + 19,867 + 19,962 in its partition. LFW and FFHQ: their papers.
    assert [row.num_images for row in ROWS] == [162_770 + 19_867 + 19_962, 13_233, 70_000]


def test_only_the_images_of_celeba_are_needed():
    drive = CELEBA.sources[0]
    assert [file.name for file in drive.files if file.needed] == ["img_align_celeba.zip"]
    assert [source.title for source in CELEBA.sources] == [
        "Google Drive",
        "Hugging Face flwrlabs/celeba",
        "Hugging Face nielsr/CelebA-faces",
    ]
    assert all(re.fullmatch("md5:[0-9a-f]{32}", file.checksum) for file in drive.files)
