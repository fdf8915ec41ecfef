import threading

import pytest

from facegan.errors import TrainingError
from facegan.training.checkpointing import Saver

FULL = OSError(28, "No space left on device")


class Disk:
    """Takes files while there is room, and remembers them."""

    def __init__(self):
        self.files, self.full = [], False

    def writing(self, name):
        def write():
            if self.full:
                raise FULL
            self.files.append(name)

        return write


@pytest.fixture
def disk():
    return Disk()


@pytest.fixture
def said():
    return []


@pytest.fixture
def saver(said, tmp_path, monkeypatch):
    monkeypatch.setattr("facegan.training.checkpointing.RETRY_SECONDS", 0.01)
    monkeypatch.setattr("facegan.training.checkpointing.PATIENCE_SECONDS", 0.05)
    with Saver(tmp_path, said.append) as saver:
        yield saver


def test_weights_are_written_while_the_caller_goes_on(saver, disk):
    go_on = threading.Event()

    def slow():
        assert go_on.wait(10)
        disk.files.append("weights")

    saver.beside("step 1", slow)
    assert disk.files == []  # the caller is not held up
    assert not saver.behind()
    go_on.set()
    saver.beside("step 2", disk.writing("more"))  # one set at a time, in order
    saver.wait()
    assert disk.files == ["weights", "more"]


def test_a_full_disk_is_told_of_and_small_files_are_written_in_their_order_once_there_is_room(saver, disk, said):
    disk.full = True
    for name in ("line 1", "grid 1", "line 2"):
        saver.at_once(name, disk.writing(name))
    assert disk.files == []
    assert said[0] == (
        "cannot save line 1 (No space left on device); training goes on, saving is tried again, "
        "what was saved before stands"
    )
    assert len(said) == 1  # the same reason is told once
    disk.full = False
    saver.at_once("line 3", disk.writing("line 3"))
    assert disk.files == ["line 1", "grid 1", "line 2", "line 3"]


def test_weights_are_not_written_before_the_lines_that_a_state_counts_on(saver, disk):
    disk.full = True
    saver.at_once("line 1", disk.writing("line 1"))
    room = Disk()
    saver.beside("step 1", room.writing("weights"))
    saver.wait()
    assert room.files == []


def test_the_loop_is_asked_for_newer_weights_until_some_are_saved(saver, disk, said):
    disk.full = True
    saver.beside("step 5", disk.writing("5"))
    saver.wait()
    assert said == [
        "cannot save step 5 (No space left on device); training goes on, saving is tried again, "
        "what was saved before stands"
    ]
    threading.Event().wait(0.02)
    assert saver.behind()
    disk.full = False
    saver.beside("step 9", disk.writing("9"))
    saver.wait()
    assert disk.files == ["9"]
    assert said[-1] == "saved step 9: the disk takes files again"
    assert not saver.behind()


def test_the_last_weights_wait_for_room(saver, disk, said):
    disk.full = True
    tries = []

    def write():
        tries.append(1)
        disk.full = len(tries) < 3
        disk.writing("last")()

    saver.at_once("line 9", write)
    saver.insist("step 9", disk.writing("weights"))
    assert disk.files == ["last", "weights"]
    assert said[-1] == "saved step 9: the disk takes files again"


def test_a_disk_that_stays_full_ends_the_run_with_what_to_do(saver, disk):
    disk.full = True
    with pytest.raises(TrainingError) as refusal:
        saver.insist("step 9", disk.writing("weights"))
    assert str(refusal.value) == (
        "cannot save step 9 (No space left on device); what was saved before it is whole: mend that, then go on with "
        "'facegan resume'"
    )


def test_what_is_no_matter_of_the_disk_is_raised(saver):
    def wrong():
        raise ValueError("a bug")

    saver.beside("step 1", wrong)
    with pytest.raises(ValueError, match="a bug"):
        saver.wait()


def test_an_error_elsewhere_waits_for_what_is_being_written(said, disk, tmp_path):
    go_on = threading.Event()

    def slow():
        go_on.wait(10)
        disk.files.append("weights")

    def fail():
        with Saver(tmp_path, said.append) as saver:
            saver.beside("step 1", slow)
            go_on.set()
            raise RuntimeError("elsewhere")

    with pytest.raises(RuntimeError, match="elsewhere"):
        fail()
    assert disk.files == ["weights"]


def test_a_folder_that_has_gone_ends_the_run_at_once(saver, disk, tmp_path):
    disk.full = True
    tmp_path.rmdir()
    with pytest.raises(TrainingError) as refusal:
        saver.at_once("line 1", disk.writing("line 1"))
    assert str(refusal.value) == f"{tmp_path}: has gone while it was trained; move it back, then 'facegan resume'"
    tmp_path.mkdir()
