import json

import pytest

from facegan.downloads import cache_root, locate, recall, register, remember
from facegan.errors import DataError


def test_cache_is_where_the_environment_says(monkeypatch, tmp_path):
    monkeypatch.setenv("FACEGAN_CACHE", str(tmp_path / "here"))
    assert cache_root() == tmp_path / "here"
    monkeypatch.setenv("FACEGAN_CACHE", "")
    assert cache_root().name == "facegan"


def test_unknown_dataset_is_nowhere():
    assert locate("lfw") is None
    assert recall("lfw").licence == ""


def test_registered_copy_is_found_with_what_is_known_of_it(tmp_path):
    register("lfw", tmp_path, num_images=3, source="a friend")
    assert locate("lfw") == tmp_path.resolve()
    assert (recall("lfw").num_images, recall("lfw").source) == (3, "a friend")


def test_what_was_remembered_before_stays(tmp_path):
    remember("lfw", licence="ask first", root=tmp_path)
    register("lfw", tmp_path)
    assert recall("lfw").licence == "ask first"
    assert recall("lfw").root == tmp_path


def test_registration_of_the_first_version_is_still_read(tmp_path):
    record = cache_root() / "datasets" / "lfw.json"
    record.parent.mkdir(parents=True)
    record.write_text(json.dumps({"path": str(tmp_path)}))
    assert locate("lfw") == tmp_path
    assert recall("lfw").num_images is None


def test_missing_copy_is_refused(tmp_path):
    with pytest.raises(DataError) as caught:
        register("lfw", tmp_path / "gone.zip")
    assert str(caught.value) == f"{tmp_path}/gone.zip: no such file or folder; give the copy of lfw that you have"


def test_copy_that_has_gone_is_named(tmp_path):
    register("lfw", tmp_path)
    tmp_path.rmdir()
    with pytest.raises(DataError) as caught:
        locate("lfw")
    assert str(caught.value) == (
        f"lfw: registered at {tmp_path}, which is gone; run 'facegan download lfw', "
        "with --from if you have another copy"
    )


@pytest.mark.parametrize("text", ["{", '{"num_images": "many"}'])
def test_damaged_record_is_refused(text):
    record = cache_root() / "datasets" / "lfw.json"
    record.parent.mkdir(parents=True)
    record.write_text(text)
    with pytest.raises(DataError) as caught:
        locate("lfw")
    assert str(caught.value) == f"{record}: damaged; remove it and run 'facegan download lfw' again"
