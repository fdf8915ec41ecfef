import os

import pytest

from facegan.data.annotations import AnnotationFile, Annotations, in_folder, is_annotation
from facegan.data.folder import FolderSource
from facegan.errors import DataError
from facegan.images.decode import MAX_BYTES


def told(csv, names, **places):
    """The column x of an attributes.csv, for these images; None if it is silent on all of them."""
    file = AnnotationFile("attributes.csv", "attributes.csv", lambda: csv.encode(), **places)
    return Annotations([file], names).columns(names).get("x")


NAMES = ["a/1.jpg", "a/2.jpg", "b/1.jpg", "b/3.jpg"]


def test_pictures_are_found_by_path():
    assert told("file,x\na/1.jpg,1\nb/1.jpg,2\n./b/3.jpg,4\n", NAMES) == [1, None, 2, 4]


def test_pictures_are_found_by_their_file_name_where_only_one_has_it():
    assert told("file,x\n1.jpg,1\n2.jpg,2\n3.jpg,3\n", NAMES) == [None, 2, None, 3]


def test_file_names_of_several_rows_say_nothing():
    assert told("file,x\nq/1.jpg,1\nr/1.jpg,2\n2.jpg,3\n", ["1.jpg", "2.jpg"]) == [None, 3]


def test_path_of_another_folder_does_not_count_as_a_file_name():
    assert told("file,x\nz/2.jpg,1\nb/3.jpg,2\n", NAMES) == [None, None, None, 2]


def test_paths_are_relative_to_the_file():
    assert told("file,x\n1.jpg,7\n", NAMES, prefix="a/") == [7, None, None, None]
    assert told("file,x\nfaces/a/1.jpg,7\nb/1.jpg,8\n", NAMES, surplus="faces/") == [7, None, 8, None]


def test_file_that_speaks_of_other_pictures_is_as_good_as_absent():
    assert told("file,x\nq.jpg,1\n", NAMES) is None


def test_column_of_two_files_is_refused():
    files = [
        AnnotationFile("attributes.csv", "attributes.csv", lambda: b"file,Bald\n1.jpg,1\n"),
        AnnotationFile("list_attr_celeba.csv", "here/list_attr_celeba.csv", lambda: b"file,Bald\n1.jpg,1\n"),
    ]
    with pytest.raises(DataError) as caught:
        Annotations(files, ["1.jpg"]).columns(["1.jpg"])
    assert str(caught.value) == (
        "here/list_attr_celeba.csv: line 1: the column 'Bald' is in attributes.csv too; "
        "fix the file, or move it away to do without"
    )


def test_files_are_read_once_and_only_when_asked(folder):
    reads = []
    file = AnnotationFile("attributes.csv", "x", lambda: reads.append(1) or b"file,x\n1.jpg,1\n")
    annotations = Annotations([file], ["1.jpg"])
    assert reads == []
    assert annotations.columns(["1.jpg"]) == annotations.columns(["1.jpg"]) == {"x": [1]}
    assert reads == [1]


@pytest.mark.parametrize("place", [".", ".."])
def test_file_in_the_folder_or_beside_it_is_found(folder, place):
    root = folder("a.png", "b.png")
    (root / place / "attributes.csv").write_text("file,x\na.png,1\nb.png,2\n")
    source = FolderSource(root)
    assert source.attributes(["b.png"]) == {"x": [2]}
    assert source.names == ["a.png", "b.png"]


def test_file_in_the_folder_comes_before_one_beside_it(folder):
    root = folder("a.png")
    (root / "attributes.csv").write_text("file,x\na.png,1\n")
    (root.parent / "attributes.csv").write_text("file,x\na.png,2\n")
    assert FolderSource(root).attributes(["a.png"]) == {"x": [1]}


def test_file_beside_a_linked_folder_is_found_at_either_place(folder, tmp_path):
    root = folder("a.png", at="disk/faces")
    (tmp_path / "linked").symlink_to(root)
    (tmp_path / "disk" / "attributes.csv").write_text("file,x\na.png,1\n")
    assert FolderSource(tmp_path / "linked").attributes(["a.png"]) == {"x": [1]}
    (tmp_path / "attributes.csv").write_text("file,x\nlinked/a.png,2\n")
    assert FolderSource(tmp_path / "linked").attributes(["a.png"]) == {"x": [2]}


def test_changed_file_changes_the_fingerprint_of_the_source(folder):
    root = folder("a.png")
    prints = [FolderSource(root).fingerprint(["a.png"])]
    for text in ("file,x\na.png,1\n", "file,x\na.png,10\n"):
        (root / "attributes.csv").write_text(text)
        prints.append(FolderSource(root).fingerprint(["a.png"]))
    os.utime(root / "attributes.csv", ns=(1, 1))
    prints.append(FolderSource(root).fingerprint(["a.png"]))
    assert len(set(prints)) == 4
    assert FolderSource(root).fingerprint(["a.png"]) == prints[-1]


def test_huge_file_is_refused_unread(folder):
    root = folder("a.png")
    (root / "attributes.csv").touch()
    os.truncate(root / "attributes.csv", MAX_BYTES + 1)
    with pytest.raises(DataError) as caught:
        FolderSource(root).attributes(["a.png"])
    where = root / "attributes.csv"
    assert str(caught.value) == f"{where}: the file is too large (65 MiB; the limit is 64 MiB)"


def test_file_that_goes_away_is_named(folder):
    root = folder("a.png")
    (root / "attributes.csv").write_text("file,x\na.png,1\n")
    source = FolderSource(root)
    (root / "attributes.csv").unlink()
    with pytest.raises(DataError, match=r"attributes\.csv: cannot be read \(No such file or directory\)$"):
        source.attributes(["a.png"])


def test_annotation_files_are_known_by_name(tmp_path):
    assert [name for name in ("a/attributes.csv", "attributes.txt", "my-attributes.csv") if is_annotation(name)] == [
        "a/attributes.csv"
    ]
    assert in_folder(tmp_path) == in_folder(tmp_path / "nowhere") == []
