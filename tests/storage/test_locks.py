import os

import pytest

from facegan.errors import SnapshotError
from facegan.storage.locks import exclusive_lock, is_locked
from facegan.storage.run_dir import RunDir

FOREIGN = {
    "a link": lambda lock, file: lock.symlink_to(file),
    "a link to nothing": lambda lock, file: lock.symlink_to(file.with_name("nothing")),
    "a second name": lambda lock, file: os.link(file, lock),
    "a file with content": lambda lock, file: lock.write_text("mine"),
    "a pipe": lambda lock, file: os.mkfifo(lock),
    "a folder": lambda lock, file: lock.mkdir(),
}


@pytest.mark.parametrize("make", FOREIGN.values(), ids=FOREIGN)
def test_what_is_no_lock_file_of_ours_is_neither_locked_nor_emptied(tmp_path, make):
    file, run = tmp_path / "precious", RunDir(tmp_path / "run")
    file.write_text("mine")
    run.path.mkdir()
    lock = run.path / ".lock"
    make(lock, file)
    assert not is_locked(lock) and not run.is_running()
    with pytest.raises(OSError, match="is no lock file of facegan"), exclusive_lock(lock):
        pass
    with pytest.raises(SnapshotError, match="is no lock file of facegan"), run.lock():
        pass
    assert file.read_text() == "mine" and not (tmp_path / "nothing").exists()
    assert lock.lstat().st_size or not lock.is_file()
