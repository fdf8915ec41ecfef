import os
import re
from contextlib import nullcontext

import pytest

from facegan.storage.atomic import (
    append_lines,
    open_regular,
    read_regular,
    size_of,
    temporary_files,
    write_atomic,
    write_folder,
)


def test_a_file_appears_complete_with_ordinary_permissions(tmp_path):
    path = tmp_path / "file.txt"
    write_atomic(path, b"one")
    write_atomic(path, b"two")
    assert path.read_bytes() == b"two"
    plain = tmp_path / "plain"
    plain.write_bytes(b"")
    assert path.stat().st_mode == plain.stat().st_mode
    assert sorted(each.name for each in tmp_path.iterdir()) == ["file.txt", "plain"]


@pytest.mark.parametrize("error", [OSError("disk full"), KeyboardInterrupt()])
def test_a_failure_leaves_the_old_file_and_no_other(tmp_path, error):
    path = tmp_path / "file.txt"
    path.write_bytes(b"old")

    def fail(temporary):
        assert temporary.parent == tmp_path  # a rename within one file system
        temporary.write_bytes(b"half")
        assert path.read_bytes() == b"old"
        raise error

    with pytest.raises(type(error)):
        write_atomic(path, fail)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_content_is_on_the_disk_before_it_has_its_name(tmp_path, monkeypatch):
    order = []
    monkeypatch.setattr(os, "fsync", lambda handle: order.append("fsync"))
    replace = type(tmp_path).replace
    monkeypatch.setattr(type(tmp_path), "replace", lambda self, to: (order.append("replace"), replace(self, to))[1])
    write_atomic(tmp_path / "file.txt", b"x")
    assert order == ["fsync", "replace", "fsync"]


def test_permissions_follow_the_umask_without_changing_it(tmp_path, monkeypatch):
    before = os.umask(0o027)
    try:
        monkeypatch.setattr(os, "umask", None)
        write_atomic(tmp_path / "bytes", b"x")
        write_atomic(tmp_path / "written", lambda temporary: other(tmp_path).replace(temporary))
    finally:
        monkeypatch.undo()
        os.umask(before)
    assert [(tmp_path / name).stat().st_mode & 0o777 for name in ("bytes", "written")] == [0o640, 0o640]


def other(folder):
    """A file as some libraries make theirs: nobody else may read it."""
    path = folder / "library"
    path.write_bytes(b"y")
    path.chmod(0o600)
    return path


NAMES = re.compile(r"config\.json|step-\d+\.safetensors|no-ending|losses\.png")


@pytest.mark.parametrize("name", ["config.json", "step-00000001.safetensors", "no-ending", "losses.png"])
def test_files_of_a_killed_writer_are_recognised_by_the_name_they_were_to_have(tmp_path, name):
    seen = []

    def die(temporary):
        seen.append(temporary)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_atomic(tmp_path / name, die)
    seen[0].write_bytes(b"half")
    library = [tmp_path / ".tmpNAybE7", tmp_path / ".tmpNAybE8"]  # as safetensors calls its own
    library[0].write_bytes(b"")
    library[1].write_bytes(b'{"__metadata__":{"format":"facegan-state"')
    others = (
        ".lock", ".hidden.json", name, ".env.template", ".venv.packages", ".config.json.template.json",
        ".notes.txt.12345678.txt", ".config.json.1234567.json", ".config.json.12345678.txt",
    )  # fmt: skip
    for each in (*others, ".tmpNAybE9"):
        (tmp_path / each).write_bytes(b"mine")
    (tmp_path / ".config.json.12345678.json").symlink_to(tmp_path / name)
    (tmp_path / ".losses.png.12345678.png").mkdir()
    assert temporary_files(tmp_path, NAMES) == sorted([*seen, *library])
    assert temporary_files(tmp_path / "nowhere", NAMES) == []
    (tmp_path / "link").symlink_to(tmp_path)
    assert temporary_files(tmp_path / "link", NAMES) == []


def test_an_error_names_the_final_path_not_the_temporary_one(tmp_path):
    with pytest.raises(FileNotFoundError) as refusal:
        write_atomic(tmp_path / "gone" / "grid.png", b"x")
    assert refusal.value.filename == str(tmp_path / "gone" / "grid.png")
    with pytest.raises(FileNotFoundError) as refusal:
        write_folder(tmp_path / "gone" / "walk", print)
    assert refusal.value.filename == str(tmp_path / "gone" / "walk")


def test_a_folder_is_complete_or_missing(tmp_path):
    def break_off(folder):
        (folder / "a").write_bytes(b"x")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_folder(tmp_path / "walk", break_off)
    assert list(tmp_path.iterdir()) == []
    write_folder(tmp_path / "walk", lambda folder: (folder / "a").write_bytes(b"x"))
    assert [path.name for path in tmp_path.rglob("*")] == ["walk", "a"]


def test_a_folder_replaces_only_an_empty_one(tmp_path):
    (tmp_path / "walk").mkdir()
    for name, refused in (("a", False), ("b", True)):
        with pytest.raises(OSError, match="not empty") if refused else nullcontext():
            write_folder(tmp_path / "walk", lambda folder, name=name: (folder / name).write_bytes(b"x"))
    assert [path.name for path in tmp_path.rglob("*")] == ["walk", "a"]


def test_reading_stops_at_the_given_number_of_bytes(tmp_path):
    (tmp_path / "file").write_bytes(b"12\r\n34")
    assert [read_regular(tmp_path / "file", most) for most in (3, 100)] == [b"12\r", b"12\r\n34"]


def test_a_link_a_pipe_and_a_folder_are_not_opened(tmp_path):
    (tmp_path / "file").write_bytes(b"secret")
    (tmp_path / "link").symlink_to("file")
    os.mkfifo(tmp_path / "pipe")
    for name, reason in (("link", "is a link"), ("pipe", "is no regular file"), (".", "directory"), ("no", "No such")):
        with pytest.raises(OSError, match=reason) as caught:
            open_regular(tmp_path / name)
        assert caught.value.filename == str(tmp_path / name)


def test_a_link_that_appears_between_check_and_opening_is_not_followed(tmp_path, monkeypatch):
    (tmp_path / "file").write_bytes(b"secret")
    (tmp_path / "link").symlink_to("file")
    monkeypatch.setattr(type(tmp_path), "is_symlink", lambda self: False)
    with pytest.raises(OSError, match="link"):
        open_regular(tmp_path / "link")


@pytest.mark.parametrize("name", ["link", "dangling", "pipe"])
def test_nothing_is_appended_through_a_link_or_to_a_pipe(tmp_path, name):
    (tmp_path / "file").write_bytes(b"mine\n")
    (tmp_path / "link").symlink_to("file")
    (tmp_path / "dangling").symlink_to("new")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match=r"is a link|is no regular file"):
        append_lines(tmp_path / name, b"a\n")
    assert (tmp_path / "file").read_bytes() == b"mine\n"
    assert not (tmp_path / "new").exists()


def test_a_file_that_lines_are_appended_to_gets_the_usual_permissions(tmp_path):
    append_lines(tmp_path / "lines.jsonl", b"a\n")
    (tmp_path / "usual").touch()
    assert (tmp_path / "lines.jsonl").stat().st_mode == (tmp_path / "usual").stat().st_mode


@pytest.mark.parametrize(("before", "after"), [(None, b"a\nb\n"), (b"x\n", b"x\na\nb\n"), (b"torn", b"torn\na\nb\n")])
def test_lines_are_appended_and_a_torn_one_is_ended_before_them(tmp_path, before, after):
    path = tmp_path / "lines.jsonl"
    if before is not None:
        path.write_bytes(before)
    append_lines(path, b"a\nb\n")
    assert path.read_bytes() == after


def test_lines_that_do_not_fit_on_the_disk_are_not_written_at_all(tmp_path, monkeypatch):
    path = tmp_path / "lines.jsonl"
    path.write_bytes(b"x\n")

    def full(_):
        assert path.read_bytes() == b"x\na\n"
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        append_lines(path, b"a\n", durable=True)
    assert path.read_bytes() == b"x\n"


def test_the_size_of_a_folder_counts_files_and_no_links(tmp_path):
    (tmp_path / "run" / "deep").mkdir(parents=True)
    (tmp_path / "run" / "a").write_bytes(b"1" * 10)
    (tmp_path / "run" / "deep" / "b").write_bytes(b"1" * 100)
    (tmp_path / "large").write_bytes(b"1" * 1000)
    (tmp_path / "run" / "link").symlink_to(tmp_path / "large")
    (tmp_path / "run" / "round").symlink_to(tmp_path / "run")
    assert size_of(tmp_path / "run") == 110


@pytest.mark.parametrize("letter", ["n", "é"])
def test_longest_names_of_a_system_can_be_written(tmp_path, letter):
    path = tmp_path / (letter * (246 // len(letter.encode())) + ".png")
    write_atomic(path, b"content")
    write_folder(path.with_suffix(".dir"), lambda folder: (folder / "a").touch())
    assert sorted(each.name for each in tmp_path.iterdir()) == sorted([path.name, path.with_suffix(".dir").name])
