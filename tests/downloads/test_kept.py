import os
import time

from facegan.downloads.kept import kept


def test_files_are_found_by_kind_and_the_last_used_first(cache):
    (cache / "references").mkdir()
    for name, days in (("b", 2), ("a", 5), ("c", 0)):
        path = cache / "references" / f"{name}.safetensors"
        path.write_bytes(bytes(7))
        os.utime(path, (time.time() - days * 86400,) * 2)
    (cache / "classifiers").mkdir()
    (cache / "classifiers" / "d.safetensors").write_bytes(b"")
    found = kept()
    assert [each.path.stem for each in found] == ["c", "b", "a", "d"]
    assert [round(each.days_unused) for each in found] == [0, 2, 5, 0]
    assert found[0].size_bytes == 7 and all(each.useless is None for each in found)


def test_nothing_is_kept_where_there_is_no_cache():
    assert kept() == []
