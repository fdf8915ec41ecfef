import pytest

from facegan.downloads import Link
from facegan.downloads.http import fetch
from webserver import HASTY


@pytest.fixture
def said():
    """The lines that were said."""
    return []


@pytest.fixture
def bring(server, tmp_path, said):
    """bring(checksum=...) -> the path of /file.bin, fetched into tmp_path."""

    def make(path="/file.bin", *, patience=HASTY, progress=None, name="file.bin", **about):
        link = Link(name, path if "://" in path else server.url + path, **about)
        return fetch(link, tmp_path, patience=patience, say=said.append, progress=progress or (lambda *_: None))

    return make
