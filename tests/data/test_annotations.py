import os

import numpy as np
import pyarrow as pa
import pytest

from facegan.data.annotations import (
    AnnotationFile,
    Annotations,
    column_of,
    in_folder,
    is_annotation,
    is_plain,
    parse,
    partition_of,
)
from facegan.data.folder import FolderSource
from facegan.errors import DataError
from facegan.images.decode import MAX_BYTES


def told(csv, names, **places):
    """The column x of an attributes.csv, for these images; None if it is silent on all of them."""
    file = AnnotationFile("attributes.csv", "attributes.csv", lambda: csv.encode(), **places)
    return Annotations([file], names).columns(names).get("x")


NAMES = ["a/1.jpg", "a/2.jpg", "b/1.jpg", "b/3.jpg"]


def test_images_are_found_by_path():
    assert told("file,x\na/1.jpg,1\nb/1.jpg,2\n./b/3.jpg,4\n", NAMES) == [1, None, 2, 4]


def test_images_are_found_by_their_file_name_where_only_one_has_it():
    assert told("file,x\n1.jpg,1\n2.jpg,2\n3.jpg,3\n", NAMES) == [None, 2, None, 3]


def test_file_names_of_several_rows_say_nothing():
    assert told("file,x\nq/1.jpg,1\nr/1.jpg,2\n2.jpg,3\n", ["1.jpg", "2.jpg"]) == [None, 3]


def test_path_of_another_folder_does_not_count_as_a_file_name():
    assert told("file,x\nz/2.jpg,1\nb/3.jpg,2\n", NAMES) == [None, None, None, 2]


def test_paths_are_relative_to_the_file():
    assert told("file,x\n1.jpg,7\n", NAMES, prefix="a/") == [7, None, None, None]
    assert told("file,x\nfaces/a/1.jpg,7\nb/1.jpg,8\n", NAMES, surplus="faces/") == [7, None, 8, None]


def test_file_that_speaks_of_other_images_is_as_good_as_absent():
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
def test_file_in_the_folder_or_next_to_it_is_found(folder, place):
    root = folder("a.png", "b.png")
    (root / place / "attributes.csv").write_text("file,x\na.png,1\nb.png,2\n")
    source = FolderSource(root)
    assert source.attributes(["b.png"]) == {"x": [2]}
    assert source.names == ["a.png", "b.png"]


def test_file_in_the_folder_comes_before_one_next_to_it(folder):
    root = folder("a.png")
    (root / "attributes.csv").write_text("file,x\na.png,1\n")
    (root.parent / "attributes.csv").write_text("file,x\na.png,2\n")
    assert FolderSource(root).attributes(["a.png"]) == {"x": [1]}


def test_file_next_to_a_linked_folder_is_found_at_either_place(folder, tmp_path):
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


ADVICE = "; fix the file, or move it away to do without"


def table(name, content):
    content = content if isinstance(content, bytes) else content.encode()
    keys, columns = parse(AnnotationFile(name, name, lambda: content))
    return keys, {key: column.take(np.arange(len(keys))) for key, column in columns.items()}


def refusal(name, content):
    with pytest.raises(DataError) as caught:
        table(name, content)
    message = str(caught.value)
    assert message.isprintable() and message.endswith(ADVICE) and len(message) < 400
    return message.removesuffix(ADVICE)


ROWS = {"Bald": [True, False], "5_o_Clock_Shadow": [False, False]}


@pytest.mark.parametrize(
    "content",
    [
        "2\nBald 5_o_Clock_Shadow \na.jpg  1 -1\nb.jpg -1 -1\n",
        "2\r\nBald 5_o_Clock_Shadow\r\na.jpg  1 -1\r\nb.jpg -1 -1\r\n",
        "2\nBald\t5_o_Clock_Shadow\n\na.jpg\t1\t-1  \n\n  b.jpg -1 -1",
        "\ufeff2\nBald 5_o_Clock_Shadow\na.jpg 1 -1\nb.jpg -1 -1",
    ],
)
def test_attributes_of_celeba_are_read_however_they_are_spaced(content):
    assert table("list_attr_celeba.txt", content) == (["a.jpg", "b.jpg"], ROWS)


def test_attributes_of_celeba_are_read_from_csv():
    assert table("list_attr_celeba.csv", "image_id,Bald,5_o_Clock_Shadow\na.jpg,1,-1\nb.jpg,-1,-1\n")[1] == ROWS


def test_partition_and_identity_have_no_header_as_text():
    assert table("list_eval_partition.txt", "a.jpg 0\nb.jpg 1\nc.jpg 2\n") == (
        ["a.jpg", "b.jpg", "c.jpg"],
        {"partition": ["train", "val", "test"]},
    )
    assert table("identity_CelebA.txt", "a.jpg 2880\nb.jpg 2\n")[1] == {"identity": [2880, 2]}


def test_partition_and_identity_have_a_header_as_csv():
    assert table("list_eval_partition.csv", "image_id,partition\na.jpg,2\n")[1] == {"partition": ["test"]}
    assert table("identity_CelebA.csv", "image_id,id\na.jpg,7\n")[1] == {"identity": [7]}


def test_columns_of_anyones_file_have_the_types_that_they_show():
    content = (
        "file,smiling,age,score,name,seen,partition,gap\n"
        "a/1.jpg,true,31,0.5,Ann,2020-01-02,train,\n"
        "a/2.jpg,false,,1,42,2021-02-03,validation,3\n"
        '"b, c.jpg",True,7,nan,"x, y",,test,NA\n'
    )
    keys, columns = table("attributes.csv", content)
    assert keys == ["a/1.jpg", "a/2.jpg", "b, c.jpg"]
    assert columns == {
        "smiling": [True, False, True],
        "age": [31, None, 7],
        "score": [0.5, 1.0, None],
        "name": ["Ann", "42", "x, y"],
        "seen": ["2020-01-02", "2021-02-03", None],
        "partition": ["train", "val", "test"],
        "gap": [None, 3, None],
    }
    assert table("attributes.csv", "name,x\n007,1\n008,0\n") == (["007", "008"], {"x": [1, 0]})


MALFORMED = {
    ("list_attr_celeba.txt", "3\nBald Male\na.jpg 1 1\nb.jpg 1 1\n"): (" line 1: it says 3 images, but 2 follow"),
    ("list_attr_celeba.txt", "Bald Male\na.jpg 1\nb.jpg 1\n"): (
        " line 1: expected the number of images, not 'Bald Male'"
    ),
    ("list_attr_celeba.txt", "2\nBald Male\na.jpg 1 1\nb.jpg 1\n"): " line 4: 2 columns instead of 3",
    ("list_attr_celeba.txt", "2\nBald Male\n\na.jpg 1 1\n\nb.jpg 1 1 1\n"): " line 6: 4 columns instead of 3",
    ("list_attr_celeba.txt", "2\nBald Male\na.jpg 1 1\nb.jpg 1 0\n"): " line 4: 'Male' is neither 1 nor -1",
    ("list_attr_celeba.txt", "2\nBald Male\na.jpg 1 x\nb.jpg 1 1\n"): (
        " line 3: CSV conversion error to int8: invalid value 'x' (in 'Male')"
    ),
    ("list_attr_celeba.txt", "2\nBald Bald\na.jpg 1 1\nb.jpg 1 1\n"): " line 2: two columns are called 'Bald'",
    ("list_attr_celeba.txt", "2\nBald\na.jpg 1\na.jpg 1\n"): " line 4: 'a.jpg' is listed a second time",
    ("list_attr_celeba.txt", "2"): " line 2: expected the names of the columns, the image's first",
    ("list_attr_celeba.txt", "2\nBald\n"): " line 2: no rows follow",
    ("attributes.csv", "file,x"): " line 1: no rows follow",
    ("identity_CelebA.txt", "\n"): " it is empty",
    ("list_attr_celeba.csv", "image_id,Bald\na.jpg,\n"): " line 2: 'Bald' is neither 1 nor -1",
    (
        "list_eval_partition.txt",
        "a.jpg 0\nb.jpg 3\n",
    ): " line 2: the partition is '3', not train, val or test (0, 1, 2)",
    ("list_eval_partition.txt", "a.jpg 0 1\nb.jpg 1\n"): " line 1: 3 columns instead of 2",
    ("list_eval_partition.csv", "image_id\na.jpg\n"): " line 1: 1 columns instead of 2",
    ("identity_CelebA.txt", "a.jpg 1\nb.jpg Ann\n"): (
        " line 2: CSV conversion error to int64: invalid value 'Ann' (in 'identity')"
    ),
    ("attributes.csv", "file,partition\na.jpg,train\nb.jpg,mine\n"): (
        " line 3: the partition is 'mine', not train, val or test (0, 1, 2)"
    ),
    ("attributes.csv", "file,,x\na.jpg,1,2\n"): " line 1: column 2 has no name",
    ("attributes.csv", "file,x\n,1\n"): " line 2: the image's name is missing",
    ("attributes.csv", "file\na.jpg\n"): " line 1: expected the names of the columns, the image's first",
    ("attributes.csv", "file," + ",".join(map(str, range(5000)))): " line 1: 5001 columns (the limit is 4096)",
    ("attributes.csv", b"file,x\na.jpg,1\nb.jpg,\xff\n"): " line 3: not UTF-8 text",
    ("attributes.csv", "file,x\n\na.jpg,1\nb.jpg,1,2\n"): " line 4: 3 columns instead of 2",
    ("list_eval_partition.txt", "<!DOCTYPE html><html>\n<p>Quota\n"): (" line 2: 1 columns instead of 2"),
}


@pytest.mark.parametrize(("name", "content", "message"), [(*given, said) for given, said in MALFORMED.items()])
def test_malformed_file_is_refused_with_its_line(name, content, message):
    assert refusal(name, content) == f"{name}:{message}"


@pytest.mark.parametrize("name", ["list_attr_celeba.txt", "list_eval_partition.txt", "attributes.csv"])
@pytest.mark.parametrize("content", ["", "\n\n", "\0\0\0", "a" * 3_000_000, "1\n" * 1000, '"', 'a,"b\n"c,d\n', "\r\r"])
def test_rubbish_is_refused_in_one_line_or_read(name, content):
    try:
        table(name, content)
    except DataError as error:
        assert str(error).startswith(f"{name}:") and str(error).isprintable()


def test_mutated_files_are_refused_in_one_line_or_read():
    rng = np.random.default_rng(0)
    whole = b"3\nBald Male \n" + b"".join(b"%06d.jpg  1 -1\n" % number for number in range(3))
    for name in ("list_attr_celeba.txt", "attributes.csv", "identity_CelebA.txt"):
        for _ in range(150):
            content = bytearray(whole)
            for _ in range(rng.integers(1, 4)):
                content[rng.integers(len(content))] = rng.choice([0, 10, 13, 32, 34, 44, 65, 200])
            try:
                table(name, bytes(content[: rng.integers(len(content) + 1)]))
            except DataError as error:
                assert str(error).startswith(f"{name}:") and str(error).isprintable()


PLACES = np.array([2, 0, -1, 1])


@pytest.mark.parametrize(
    ("column", "taken"),
    [
        (pa.chunked_array([[True, None], [False]]), [False, True, None, None]),
        (pa.chunked_array([[1, None], [-3]]), [-3, 1, None, None]),
        (pa.chunked_array([pa.array([1, 200, 255], pa.uint8())]), [255, 1, None, 200]),
        (pa.chunked_array([[0.5, float("nan")], [None]]), [None, 0.5, None, None]),
        (pa.chunked_array([["a", "b"], [None]]), [None, "a", None, "b"]),
        (pa.chunked_array([pa.array(["a", "b"], pa.large_string()), pa.array(["a"], pa.large_string())]), list("aa-b")),
        (
            pa.chunked_array([pa.array(["a", "b"]).dictionary_encode(), pa.array(["c"]).dictionary_encode()]),
            list("ca-b"),
        ),
        (pa.chunked_array([pa.array([None, None, None], pa.string())]), [None, None, None, None]),
    ],
)
def test_values_come_back_as_they_were(column, taken):
    taken = [None if value == "-" else value for value in taken]
    back = column_of(column).take(PLACES)
    assert back == taken
    assert [type(value) for value in back] == [type(value) for value in taken]


def test_words_are_kept_once():
    column = column_of(pa.chunked_array([["a long word"] * 1000]))
    assert column.words == ["a long word"] and column.values.nbytes <= 4000


@pytest.mark.parametrize(
    ("type", "plain"),
    [
        *[(type, True) for type in (pa.bool_(), pa.int8(), pa.uint64(), pa.float32(), pa.string(), pa.large_string())],
        (pa.dictionary(pa.int32(), pa.string()), True),
        *[(type, False) for type in (pa.binary(), pa.date32(), pa.list_(pa.int8()), pa.struct([("a", pa.int8())]))],
    ],
)
def test_only_truth_numbers_and_text_are_plain(type, plain):
    assert is_plain(type) is plain


def test_partition_names_are_train_val_and_test():
    words = ["0", "1", "2", "TRAIN", "valid", "Validation", "dev", "val", "Test", "other", None]
    column = partition_of(pa.chunked_array([words]))
    expected = ["train", "val", "test", "train", *["val"] * 4, "test", "other", None]
    assert column.take(np.arange(len(words))) == expected
