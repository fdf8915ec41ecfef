import hashlib

import pytest
from pydantic import ValidationError

from facegan.downloads import Link, Patience
from facegan.downloads.links import digest_of, matches
from facegan.errors import DownloadError


@pytest.mark.parametrize("name", ["", ".", "..", ".hidden", "a/b", "a\\b", "../x", "/x", "C:x", "a\nb", "a\x1b[2J"])
def test_name_that_leaves_its_folder_or_hides_is_refused(name):
    with pytest.raises(DownloadError) as caught:
        Link(name, "https://example.org")
    assert str(caught.value) == f"{name!r} is not a name that a file is given here"


@pytest.mark.parametrize("kind", ["md5", "sha256"])
def test_checksum_and_size_must_both_match(tmp_path, kind):
    path = tmp_path / "a"
    path.write_bytes(b"faces")
    right = f"{kind}:{hashlib.new(kind, b'faces').hexdigest()}"
    assert digest_of(path, f"{kind}:whatever") == right
    assert matches(path, right, 5) and matches(path, right, None) and matches(path, "", None)
    assert not matches(path, right, 6)
    assert not matches(path, right[:-1] + "g", 5)
    assert not matches(tmp_path / "b", "", None)


@pytest.mark.parametrize("wrong", [{"attempts": 0}, {"delay_seconds": -1}, {"timeout_seconds": 0}, {"tries": 3}])
def test_patience_that_makes_no_sense_is_refused(wrong):
    with pytest.raises(ValidationError):
        Patience(**wrong)
