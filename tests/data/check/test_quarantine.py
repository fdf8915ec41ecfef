import errno
import json
import os
import shutil
from pathlib import Path

import pytest

from facegan.config import resolve
from facegan.data.check.check import check
from facegan.data.check.quarantine import Quarantine, removable
from facegan.data.open import open_source
from facegan.errors import DataError
from facegan.reporter import Callbacks


def opened(source):
    data = resolve(flags={"data": {"source": str(source)}}).data
    return open_source(data), data


def clear_out(source, target):
    images, data = opened(source)
    away = Quarantine(images, str(source), target)
    return away.move(check(images, data, resolution=16, near=-1))


def files_in(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def journal(folder):
    return [json.loads(line) for line in (folder / "quarantine.jsonl").read_text().splitlines()]


@pytest.fixture
def faulty(folder):
    """A folder with two sound images, two copies of the first one, and an unreadable file."""
    root = folder("a/one.png", "a/two.png")
    (root / "b").mkdir()
    for copy in ("a/zwei.png", "b/one.png"):
        shutil.copy(root / "a" / "one.png", root / copy)
    (root / "b" / "bad.jpg").write_bytes(b"<html>")
    return root


@pytest.fixture
def other_disk(monkeypatch):
    """Renaming from one folder to another fails as between two file systems."""
    rename = os.rename

    def refuse(source, target, **options):
        if Path(source).parent != Path(target).parent:
            raise OSError(errno.EXDEV, "Invalid cross-device link", str(source), None, str(target))
        rename(source, target, **options)

    monkeypatch.setattr(os, "rename", refuse)


@pytest.fixture(params=["one disk", "two disks"])
def disks(request):
    if request.param == "two disks":
        request.getfixturevalue("other_disk")


def test_unreadable_files_and_later_copies_move_and_the_journal_is_enough_to_undo_it(faulty, tmp_path, disks):
    before = files_in(faulty)
    report = clear_out(faulty, tmp_path / "away")
    moved = {"a/zwei.png", "b/bad.jpg", "b/one.png"}
    assert files_in(faulty) == {name: content for name, content in before.items() if name not in moved}
    away = files_in(tmp_path / "away")
    assert away.keys() == moved | {"quarantine.jsonl"}
    assert all(away[name] == before[name] for name in moved)
    assert [(each.name, each.reason) for each in report.quarantined] == [
        ("a/zwei.png", "the same file as a/one.png"),
        ("b/bad.jpg", "not an image (it begins like a web page)"),
        ("b/one.png", "the same file as a/one.png"),
    ]
    lines = journal(tmp_path / "away")
    assert [(line["name"], line["reason"], line["to"]) for line in lines] == [
        (each.name, each.reason, each.to) for each in report.quarantined
    ]
    for line in lines:
        shutil.move(line["to"], line["from"])
    assert files_in(faulty) == before


def test_name_that_is_taken_is_never_overwritten(faulty, tmp_path, disks):
    taken = tmp_path / "away" / "b"
    taken.mkdir(parents=True)
    (taken / "bad.jpg").write_bytes(b"mine")
    (taken / "bad-2.jpg").symlink_to("nowhere")
    clear_out(faulty, tmp_path / "away")
    assert (taken / "bad.jpg").read_bytes() == b"mine"
    assert (taken / "bad-2.jpg").readlink() == Path("nowhere")
    assert (taken / "bad-3.jpg").read_bytes() == b"<html>"
    assert [line["to"] for line in journal(tmp_path / "away") if line["name"] == "b/bad.jpg"] == [
        str(taken / "bad-3.jpg")
    ]


def test_second_quarantine_goes_on_in_the_same_journal(faulty, tmp_path):
    clear_out(faulty, tmp_path / "away")
    (faulty / "b" / "bad.jpg").write_bytes(b"again")
    clear_out(faulty, tmp_path / "away")
    assert [line["name"] for line in journal(tmp_path / "away")] == [
        "a/zwei.png", "b/bad.jpg", "b/one.png", "b/bad.jpg",
    ]  # fmt: skip
    assert (tmp_path / "away" / "b" / "bad-2.jpg").read_bytes() == b"again"


def test_sound_folder_leaves_no_trace(folder, tmp_path):
    assert clear_out(folder("a.png", "b.png"), tmp_path / "away").quarantined == ()
    assert not (tmp_path / "away").exists()


@pytest.mark.parametrize("broken", ["copy", "flush", "name", "unlink"])
def test_move_that_is_killed_half_way_loses_nothing_and_goes_on_later(
    faulty, tmp_path, other_disk, monkeypatch, broken
):
    before = files_in(faulty)

    def killed(*_, **__):
        raise KeyboardInterrupt

    def half(source, target):
        Path(target).write_bytes(Path(source).read_bytes()[:2])
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        if broken == "copy":
            patch.setattr(shutil, "copy2", half)
        elif broken == "flush":
            patch.setattr(os, "fsync", killed)
        elif broken == "name":
            patch.setattr(os, "replace", killed)
        else:
            patch.setattr(Path, "unlink", killed)
        with pytest.raises(KeyboardInterrupt):
            clear_out(faulty, tmp_path / "away")
    assert files_in(faulty) == before
    left = {name: content for name, content in files_in(tmp_path / "away").items() if name != "quarantine.jsonl"}
    assert left in ({}, {"a/zwei.png": before["a/zwei.png"]})  # complete or absent

    clear_out(faulty, tmp_path / "away")
    assert set(files_in(faulty)) == {"a/one.png", "a/two.png"}
    assert set(files_in(tmp_path / "away").values()) >= {before["b/bad.jpg"], before["b/one.png"]}


def test_journal_names_a_file_before_it_moves(faulty, tmp_path, monkeypatch):
    def killed(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "rename", killed)
    with pytest.raises(KeyboardInterrupt):
        clear_out(faulty, tmp_path / "away")
    assert [line["name"] for line in journal(tmp_path / "away")] == ["a/zwei.png"]


def test_files_that_are_reached_through_links_stay(faulty, tmp_path):
    others = tmp_path / "others"
    others.mkdir()
    (others / "bad.png").write_bytes(b"theirs")
    (faulty / "linked").symlink_to(others)
    (faulty / "link.png").symlink_to(faulty / "a" / "one.png")
    report = clear_out(faulty, tmp_path / "away")
    assert {named.name for named in removable(report)} - {each.name for each in report.quarantined} == {
        "link.png", "linked/bad.png",
    }  # fmt: skip
    assert (others / "bad.png").read_bytes() == b"theirs" and (faulty / "link.png").is_symlink()


def test_source_that_is_itself_a_link_can_be_cleared(faulty, tmp_path):
    (tmp_path / "link").symlink_to(faulty)
    assert len(clear_out(tmp_path / "link", tmp_path / "away").quarantined) == 3


def test_file_that_has_gone_meanwhile_is_skipped(faulty, tmp_path):
    images, data = opened(faulty)
    report = check(images, data, resolution=16)
    (faulty / "b" / "bad.jpg").unlink()
    moved = Quarantine(images, "faces", tmp_path / "away").move(report).quarantined
    assert [each.name for each in moved] == ["a/zwei.png", "b/one.png"]


@pytest.mark.parametrize("inside", ["faces", "faces/a/deep/er", "link/away"])
def test_quarantine_inside_the_source_is_refused(faulty, inside, tmp_path):
    (tmp_path / "link").symlink_to(faulty)
    with pytest.raises(DataError) as caught:
        Quarantine(opened(faulty)[0], "photos", tmp_path / inside)
    assert str(caught.value) == (
        f"--quarantine {tmp_path / inside}: lies inside photos, where it would be read again; name a folder outside"
    )
    assert not (tmp_path / "link" / "away").exists()


def test_quarantine_that_is_a_file_is_refused(faulty, tmp_path):
    (tmp_path / "away").write_text("")
    with pytest.raises(DataError, match="is a file; name a folder, which need not exist yet"):
        Quarantine(opened(faulty)[0], "faces", tmp_path / "away")


def test_sources_other_than_folders_are_refused(faulty, tmp_path, store):
    archive = shutil.make_archive(str(tmp_path / "faces"), "zip", faulty)
    for source in (archive, store(3), "drawn"):
        with pytest.raises(DataError) as caught:
            Quarantine(opened(source)[0], str(source), tmp_path / "away")
        assert str(caught.value) == (
            f"--quarantine {tmp_path / 'away'}: {source} is not a folder of images; nothing can be moved out"
        )


def test_progress_counts_the_moves(faulty, tmp_path):
    images, data = opened(faulty)
    seen = []
    away = Quarantine(images, "faces", tmp_path / "away")
    reporter = Callbacks(progress={"moving": lambda *counts: seen.append(counts)})
    away.move(check(images, data, resolution=16), reporter=reporter)
    assert seen == [(1, 3), (2, 3), (3, 3)]


def test_file_that_is_kept_only_by_a_link_to_it_stays(folder, tmp_path):
    root = folder("b.png")
    (root / "a.png").symlink_to("b.png")
    assert clear_out(root, tmp_path / "away").quarantined == ()
    assert (root / "a.png").read_bytes() == (root / "b.png").read_bytes()


def test_move_that_fails_is_raised_and_in_the_journal(faulty, tmp_path, monkeypatch):
    def refuse(source, target, **_):
        raise PermissionError(errno.EACCES, "Permission denied", str(source))

    before = files_in(faulty)
    monkeypatch.setattr(os, "rename", refuse)
    with pytest.raises(PermissionError):
        clear_out(faulty, tmp_path / "away")
    planned, failed = journal(tmp_path / "away")
    assert failed == {"name": planned["name"], "failed": "Permission denied"}
    assert files_in(faulty) == before
