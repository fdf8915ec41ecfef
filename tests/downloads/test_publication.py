import pytest
from pydantic import ValidationError

from facegan.downloads import File, Publication, Source, WebSource

ROW = {
    "name": "toys", "title": "Toys", "num_images": 2, "size_bytes": 7, "licence": "as you like",
    "licence_url": "https://example.org/licence", "by_hand": "toys.zip", "by_hand_url": "https://example.org/toys",
    "sources": (WebSource(host="Example Org!", files=()),),
}  # fmt: skip


def test_row_never_changes():
    row = Publication(**ROW)
    with pytest.raises(ValidationError, match="frozen"):
        row.num_images = 3


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": "../toys"},
        {"num_images": 0},
        {"licence": ""},
        {"crop": "middle"},
        {"sources": ()},
        {"colour": "red"},
    ],
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
