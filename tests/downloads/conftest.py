import pytest

from facegan.downloads import Link
from facegan.downloads.http import fetch
from facegan.reporter import Callbacks
from webserver import HASTY


@pytest.fixture
def lines():
    """The lines that were reported."""
    return []


@pytest.fixture
def bring(server, tmp_path, lines):
    """bring(checksum=...) -> the path of /file.bin, downloaded into tmp_path."""

    def make(path="/file.bin", *, patience=HASTY, progress=None, name="file.bin", **about):
        link = Link(name, path if "://" in path else server.url + path, **about)
        return fetch(link, tmp_path, patience=patience, reporter=Callbacks(line=lines.append, transfer=progress))

    return make
