import threading

import pytest

from facegan.errors import TrainingError
from facegan.reporter import Callbacks
from facegan.training import checkpointing
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


class Clock:
    """Time that passes only when somebody sleeps."""

    def __init__(self):
        self.now = 100.0

    def monotonic(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def disk():
    return Disk()


@pytest.fixture
def said():
    return []


@pytest.fixture
def saver(said, tmp_path, clock, monkeypatch):
    monkeypatch.setattr(checkpointing, "time", clock)
    with Saver(tmp_path, Callbacks(line=said.append)) as saver:
        yield saver


def test_weights_are_written_while_the_caller_goes_on(saver, disk):
    go_on = threading.Event()

    def slow():
        go_on.wait()
        disk.files.append("weights")

    saver.write_in_background("step 1", slow)
    assert disk.files == []  # the caller is not held up
    assert not saver.is_retry_due()
    go_on.set()
    saver.write_in_background("step 2", disk.writing("more"))  # one set at a time, in order
    saver.wait()
    assert disk.files == ["weights", "more"]


def test_a_full_disk_is_reported_and_small_files_are_written_in_their_order_once_there_is_room(saver, disk, said):
    disk.full = True
    for name in ("line 1", "grid 1", "line 2"):
        saver.write(name, disk.writing(name))
    assert disk.files == []
    assert said[0] == (
        "cannot save line 1 (No space left on device); training continues and saving is tried again; "
        "everything saved before is valid"
    )
    assert len(said) == 1  # the same reason is reported once
    disk.full = False
    saver.write("line 3", disk.writing("line 3"))
    assert disk.files == ["line 1", "grid 1", "line 2", "line 3"]


def test_weights_are_not_written_before_the_lines_that_a_state_counts_on(saver, disk):
    disk.full = True
    saver.write("line 1", disk.writing("line 1"))
    room = Disk()
    saver.write_in_background("step 1", room.writing("weights"))
    saver.wait()
    assert room.files == []


def test_the_loop_is_asked_for_newer_weights_until_some_are_saved(saver, disk, said, clock):
    disk.full = True
    saver.write_in_background("step 5", disk.writing("5"))
    saver.wait()
    assert said == [
        "cannot save step 5 (No space left on device); training continues and saving is tried again; "
        "everything saved before is valid"
    ]
    assert not saver.is_retry_due()
    clock.sleep(checkpointing.RETRY_SECONDS)
    assert saver.is_retry_due()
    disk.full = False
    saver.write_in_background("step 9", disk.writing("9"))
    saver.wait()
    assert disk.files == ["9"]
    assert said[-1] == "saved step 9: the disk takes files again"
    assert not saver.is_retry_due()


def test_the_last_weights_wait_for_room(saver, disk, said):
    disk.full = True
    tries = []

    def write():
        tries.append(1)
        disk.full = len(tries) < 3
        disk.writing("last")()

    saver.write("line 9", write)
    saver.write_last("step 9", disk.writing("weights"))
    assert disk.files == ["last", "weights"]
    assert said[-1] == "saved step 9: the disk takes files again"


def test_a_disk_that_stays_full_ends_the_run_with_what_to_do(saver, disk, clock):
    disk.full, began = True, clock.now
    with pytest.raises(TrainingError) as refusal:
        saver.write_last("step 9", disk.writing("weights"))
    assert str(refusal.value) == (
        "cannot save step 9 (No space left on device); everything saved before it is valid: fix that, then continue "
        "with 'facegan resume'"
    )
    assert clock.now - began == checkpointing.PATIENCE_SECONDS


def test_errors_that_do_not_come_from_the_disk_are_raised(saver):
    def wrong():
        raise ValueError("a bug")

    saver.write_in_background("step 1", wrong)
    with pytest.raises(ValueError, match="a bug"):
        saver.wait()


def test_an_error_elsewhere_waits_for_what_is_being_written(said, disk, tmp_path):
    go_on = threading.Event()

    def slow():
        go_on.wait()
        disk.files.append("weights")

    def fail():
        with Saver(tmp_path, Callbacks(line=said.append)) as saver:
            saver.write_in_background("step 1", slow)
            go_on.set()
            raise RuntimeError("elsewhere")

    with pytest.raises(RuntimeError, match="elsewhere"):
        fail()
    assert disk.files == ["weights"]


def test_a_folder_that_disappeared_ends_the_run_at_once(saver, disk, tmp_path):
    disk.full = True
    tmp_path.rmdir()
    with pytest.raises(TrainingError) as refusal:
        saver.write("line 1", disk.writing("line 1"))
    assert (
        str(refusal.value)
        == f"{tmp_path}: disappeared during training; move it back, then continue with 'facegan resume'"
    )
    tmp_path.mkdir()
