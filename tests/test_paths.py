import os
from pathlib import Path

import pytest
from pydantic import BaseModel

from facegan.downloads.registry import PortablePath
from facegan.messages import local_path, portable_path

GBK = os.fsdecode("/照片 1%41".encode("gbk"))


@pytest.mark.parametrize("path", ["faces", "/a b/%41", "/照片", "file:x", r"C:\faces", ""])
def test_path_that_is_text_stays_as_it_is_and_is_read_as_it_is(path):
    assert portable_path(path) == local_path(path) == path
    assert portable_path(Path("a/b")) == "a/b"


def test_path_that_is_not_utf8_becomes_a_uri_and_back(tmp_path, monkeypatch):
    uri = portable_path(GBK)
    assert uri == "file:///%D5%D5%C6%AC%201%2541" and uri.isascii()
    assert local_path(uri) == local_path(Path(uri)) == GBK
    monkeypatch.chdir(tmp_path)
    assert local_path(portable_path("\udcff/a")) == f"{tmp_path}/\udcff/a"


def test_model_with_such_a_path_can_be_written_as_json_and_read():
    class Entry(BaseModel):
        path: PortablePath

    entry = Entry(path=Path(GBK))
    assert Entry.model_validate_json(entry.model_dump_json()) == entry
    assert Entry(path="/a b").model_dump_json() == '{"path":"/a b"}'
