import os

import numpy as np
import pyarrow as pa
import pytest

from facegan.data.annotations import AnnotationFile, Annotations, in_folder, is_annotation, normalize, take_rows
from facegan.data.folder import FolderSource
from facegan.errors import DataError
from facegan.images.decode import MAX_BYTES

ADVICE = "; fix the file, or move it away to do without"
NAMES = ["a/1.jpg", "a/2.jpg", "b/1.jpg", "b/3.jpg"]


def columns(name, content, names, **places):
    """The attributes of these images in a file of this name and content."""
    content = content if isinstance(content, bytes) else content.encode()
    return Annotations([AnnotationFile(name, name, lambda: content, **places)], names).columns(names)


@pytest.mark.parametrize(
    ("rows", "places", "expected"),
    [
        ("a/1.jpg,1\nb/1.jpg,2\n./b/3.jpg,4\n", {}, [1, None, 2, 4]),  # by path
        ("1.jpg,1\n2.jpg,2\n3.jpg,3\n", {}, [None, 2, None, 3]),  # by file name where one image has it
        ("q/1.jpg,1\nq/2.jpg,1\nr/2.jpg,2\n3.jpg,3\n", {}, [None, None, None, 3]),  # and one row
        ("z/2.jpg,1\nb/3.jpg,2\n", {}, [None, None, None, 2]),  # a path of another folder is no file name
        ("1.jpg,7\n", {"prefix": "a/"}, [7, None, None, None]),  # paths are relative to the file
        ("faces/a/1.jpg,7\nb/1.jpg,8\n", {"surplus": "faces/"}, [7, None, 8, None]),
        ("q.jpg,1\n", {}, None),  # a file about other images is as good as absent
    ],
)
def test_images_are_found_by_path_or_unique_file_name(rows, places, expected):
    assert columns("attributes.csv", f"file,x\n{rows}", NAMES, **places).get("x") == expected


def test_column_of_two_files_is_refused():
    files = [
        AnnotationFile(f"{kind}.csv", f"here/{kind}.csv", lambda: b"file,Bald\n1.jpg,1\n")
        for kind in ("attributes", "list_attr_celeba")
    ]
    with pytest.raises(DataError) as caught:
        Annotations(files, ["1.jpg"]).columns(["1.jpg"])
    assert str(caught.value) == (
        f"here/list_attr_celeba.csv: the column 'Bald' is in another annotation file too{ADVICE}"
    )


def test_files_are_read_once_and_only_when_asked():
    reads = []
    file = AnnotationFile("attributes.csv", "x", lambda: reads.append(1) or b"file,x\n1.jpg,1\n")
    annotations = Annotations([file], ["1.jpg"])
    assert reads == []
    assert annotations.columns(["1.jpg"]) == annotations.columns(["1.jpg"]) == {"x": [1]}
    assert reads == [1]


def test_file_next_to_the_folder_is_found_and_one_in_it_comes_first(folder):
    root = folder("a.png", "b.png")
    (root.parent / "attributes.csv").write_text("file,x\na.png,1\nb.png,2\n")
    assert FolderSource(root).attributes(["b.png"]) == {"x": [2]}
    (root / "attributes.csv").write_text("file,x\na.png,3\n")
    source = FolderSource(root)
    assert source.attributes(["a.png", "b.png"]) == {"x": [3, None]}
    assert source.names == ["a.png", "b.png"]


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


def test_file_that_is_huge_or_goes_away_is_named(folder):
    root = folder("a.png")
    path = root / "attributes.csv"
    path.touch()
    os.truncate(path, MAX_BYTES + 1)
    source = FolderSource(root)
    with pytest.raises(DataError) as caught:
        source.attributes(["a.png"])
    assert str(caught.value) == f"{path}: the file is too large (65 MiB; the limit is 64 MiB)"
    path.unlink()
    with pytest.raises(DataError, match=r"attributes\.csv: the file cannot be read \(No such file or directory\)$"):
        source.attributes(["a.png"])


def test_annotation_files_are_known_by_name(tmp_path):
    names = ("a/attributes.csv", "identity_CelebA.txt", "attributes.txt", "my-attributes.csv")
    assert [name for name in names if is_annotation(name)] == ["a/attributes.csv", "identity_CelebA.txt"]
    assert in_folder(tmp_path) == in_folder(tmp_path / "nowhere") == []


@pytest.mark.parametrize(
    "content",
    [
        "2\nBald 5_o_Clock_Shadow \na.jpg  1 -1\nb.jpg -1 -1\n",
        "2\r\nBald 5_o_Clock_Shadow\r\na.jpg  1 -1\r\nb.jpg -1 -1\r\n",
        "\ufeff2\nBald\t5_o_Clock_Shadow\n\na.jpg\t1\t-1  \n\n  b.jpg -1 -1",
        "image_id,Bald,5_o_Clock_Shadow\na.jpg,1,-1\r\nb.jpg,-1,-1\n",
    ],
)
def test_attributes_of_celeba_are_read_however_they_are_spaced(content):
    name = "list_attr_celeba.csv" if "," in content else "list_attr_celeba.txt"
    expected = {"Bald": [True, False], "5_o_Clock_Shadow": [False, False]}
    assert columns(name, content, ["a.jpg", "b.jpg"]) == expected


def test_partition_and_identity_of_celeba_have_a_header_only_as_csv():
    names = ["a.jpg", "b.jpg", "c.jpg"]
    parts = {"partition": ["train", "val", "test"]}
    assert columns("list_eval_partition.txt", "a.jpg 0\nb.jpg 1\nc.jpg 2\n", names) == parts
    assert columns("list_eval_partition.csv", "image_id,part\na.jpg,0\nb.jpg,1\nc.jpg,2\n", names) == parts
    assert columns("identity_CelebA.txt", "a.jpg 2880\nb.jpg 2\n", names) == {"identity": [2880, 2, None]}
    assert columns("identity_CelebA.csv", "image_id,id\na.jpg,7\n", names[:1]) == {"identity": [7]}


def test_columns_of_anyones_file_have_the_types_that_they_show():
    content = (
        "file,smiling,age,score,name,seen,partition,gap,none\n"
        "a/1.jpg,true,31,0.5,Ann,2020-01-02,train,,\n"
        "a/2.jpg,false,,1,42,2021-02-03,Validation,3,\n"
        '"b, c.jpg",True,7,nan,"x, y",,test,NA,\n'
    )
    assert columns("attributes.csv", content, ["a/1.jpg", "a/2.jpg", "b, c.jpg"]) == {
        "smiling": [True, False, True],
        "age": [31, None, 7],
        "score": [0.5, 1.0, None],
        "name": ["Ann", "42", "x, y"],
        "seen": ["2020-01-02", "2021-02-03", None],
        "partition": ["train", "val", "test"],
        "gap": [None, 3, None],
        "none": [None, None, None],
    }
    assert columns("attributes.csv", "name,x\n007,1\n008,0\n", ["007", "008"]) == {"x": [1, 0]}


def test_numbers_between_semicolons_may_have_decimal_commas():
    content = (
        "file;age;score;point;text;both\na.png;31;0,5;1.5;1,2,3;1,5\nb.png;30,25;-1;2;4,5;1.5\nc.png;;1,0e-2;;6,7;2\n"
    )
    assert columns("attributes.csv", content, ["a.png", "b.png", "c.png"]) == {
        "age": [31, 30.25, None],
        "score": [0.5, -1, 0.01],
        "point": [1.5, 2, None],
        "text": ["1,2,3", "4,5", "6,7"],
        "both": ["1,5", "1.5", "2"],
    }


COLUMNS = "it must have 2 to 4096, the first of which names the image"


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("list_attr_celeba.txt", "3\nBald Male\na.jpg 1 1\nb.jpg 1 1\n", "line 1 says 3 images, but 2 follow"),
        ("list_attr_celeba.txt", "Bald Male\na.jpg 1\n", "line 1 is 'Bald Male', not the number of images"),
        ("list_attr_celeba.txt", "2\nBald\na.jpg 1\nb.jpg\n", "Row #4: Expected 2 columns, got 1"),
        (
            "list_attr_celeba.txt",
            "2\nBald Male\na.jpg 1 1\nb.jpg 1 0\n",
            "'Male' of 'b.jpg' is '0'; it must be 1 or -1",
        ),
        ("list_attr_celeba.csv", "image_id,Bald\na.jpg,\n", "'Bald' of 'a.jpg' is 'None'; it must be 1 or -1"),
        ("list_attr_celeba.txt", "1\nBald\na.jpg x\n", "Row #3: CSV conversion error to int8: invalid value 'x'"),
        ("list_attr_celeba.txt", "2\nBald Bald\na.jpg 1 1\nb.jpg 1 1\n", "two columns are called 'Bald'"),
        ("list_attr_celeba.txt", "2\nBald\na.jpg 1\na.jpg 1\n", "'a.jpg' is listed more than once"),
        ("list_attr_celeba.txt", "2", f"1 column; {COLUMNS}"),
        ("identity_CelebA.txt", "", "Empty CSV file"),
        ("list_eval_partition.txt", "<!DOCTYPE html><html>\n<p>Quota\n", "Row #2: Expected 2 columns, got 1"),
        (
            "attributes.csv",
            "file,partition\na.jpg,train\nb.jpg,mine\n",
            "'partition' of 'b.jpg' is 'mine'; it must be train, val or test (0, 1, 2)",
        ),
        ("attributes.csv", "file,x\n,1\n", "a row names no image"),
        ("attributes.csv", "sep=,\nfile,partition\na.jpg,train\n", "column 2 has no name"),
        ("list_eval_partition.csv", "file,partition\n", "no rows follow"),  # else `data.split` would go by hash
        ("list_attr_celeba.txt", "0\nBald\n", "no rows follow"),
        ("attributes.csv", "file\na.jpg\n", f"1 column; {COLUMNS}"),
        ("attributes.csv", "file," + ",".join(map(str, range(5000))), f"5,001 columns; {COLUMNS}"),
        ("attributes.csv", b"file,x\na.jpg,1\nb\xff.jpg,1\n", "Row #3: CSV conversion error to string: invalid UTF8"),
        ("attributes.csv", b"\xff\xfef\0i\0l\0e\0", "'utf-8' codec can't decode byte 0xff"),
    ],
)
def test_malformed_file_is_refused_in_one_line(name, content, message):
    with pytest.raises(DataError) as caught:
        columns(name, content, ["a.jpg", "b.jpg"])
    found = str(caught.value)
    assert found.startswith(f"{name}: ") and message in found and found.endswith(ADVICE)
    assert found.isprintable() and len(found) < 400


def test_rubbish_and_mutated_files_are_read_or_refused_in_one_line():
    rng = np.random.default_rng(0)
    rubbish = [b"", b"\n\n", b"\0\0\0", b"a" * 3_000_000, b"1\n" * 1000, b'"', b'a,"b\n"c,d\n', b"\r\r"]
    valid = b"3\nBald Male \n" + b"".join(b"%06d.jpg  1 -1\n" % number for number in range(3))
    for name in ("list_attr_celeba.txt", "attributes.csv", "identity_CelebA.txt"):
        mutated = []
        for _ in range(80):
            content = bytearray(valid)
            for _ in range(rng.integers(1, 4)):
                content[rng.integers(len(content))] = rng.choice([0, 10, 13, 32, 34, 44, 65, 200])
            mutated.append(bytes(content[: rng.integers(len(content) + 1)]))
        for content in rubbish + mutated:
            try:
                columns(name, content, ["000001.jpg"])
            except DataError as error:
                assert str(error).startswith(f"{name}:") and str(error).isprintable()


@pytest.mark.parametrize(
    ("column", "taken"),
    [
        ([[True, None], [False]], [False, True, None, None]),
        ([[1, None], [-3]], [-3, 1, None, None]),
        ([pa.array([1, 200, 255], pa.uint8())], [255, 1, None, 200]),
        ([[0.5, float("nan")], [None]], [None, 0.5, None, None]),
        ([np.float16([0.5, np.nan, 1.5])], [1.5, 0.5, None, None]),
        ([["a", "b"], [None]], [None, "a", None, "b"]),
        ([pa.array(["a", "b"], pa.large_string()), pa.array(["a"], pa.large_string())], ["a", "a", None, "b"]),
        ([pa.array(["a", "b"]).dictionary_encode(), pa.array(["c"]).dictionary_encode()], ["c", "a", None, "b"]),
        ([pa.array([None, None, None], pa.string())], [None, None, None, None]),
    ],
)
def test_values_come_back_as_they_were(column, taken):
    table = normalize(pa.table({"x": pa.chunked_array(column)}))
    values = take_rows(table, [2, 0, None, 1])["x"]
    assert values == taken
    assert {type(value) for value in values} <= {type(value) for value in taken}


def test_words_are_stored_once():
    assert normalize(pa.table({"x": ["a long word" * 100] * 1000})).nbytes < 6000


def test_partition_names_are_train_val_and_test():
    words = ["0", "1", "2", "TRAIN", "valid", "Validation", "dev", "val", "Test", "other", None]
    expected = ["train", "val", "test", "train", *["val"] * 4, "test", "other", None]
    for column in (pa.array(words), pa.array(words).dictionary_encode()):
        assert take_rows(normalize(pa.table({"partition": column})), range(len(words)))["partition"] == expected
    assert take_rows(normalize(pa.table({"partition": [0.0, 2.0]})), [0, 1]) == {"partition": ["train", "test"]}


LIST = "2\nSmiling Male\n000001.jpg 1 -1\n000002.jpg -1 1\n"
LAYOUTS = {
    "the PNG set, whose list names JPEG files": ("png", "png/img_align_celeba_png/{}.png", "png/list_attr_celeba.txt"),
    "torchvision's root": ("tv", "tv/celeba/img_align_celeba/{}.jpg", "tv/celeba/list_attr_celeba.txt"),
    "the official drive": (
        "CelebA/Img/img_align_celeba", "CelebA/Img/img_align_celeba/{}.jpg", "CelebA/Anno/list_attr_celeba.txt",
    ),
    "the official drive's root": ("CelebA", "CelebA/Img/img_align_celeba/{}.jpg", "CelebA/Anno/list_attr_celeba.txt"),
}  # fmt: skip
TABLES = {
    "pandas' index": ",image_id,Smiling\n0,000001.jpg,1\n1,000002.jpg,0\n",
    "no endings": "image_id,Smiling\n000001,1\n000002,0\n",
    "Windows paths": "image_id,Smiling\nfaces\\000001.jpg,1\nfaces\\000002.jpg,0\n",
    "another case": "image_id,Smiling\n000001.JPG,1\n000002.JPG,0\n",
    "semicolons": "image_id;Smiling\n000001.jpg;1\n000002.jpg;0\n",
    "tabs": "image_id\tSmiling\n000001.jpg\t1\n000002.jpg\t0\n",
}


def open_faces(root, source, pattern, **options):
    from PIL import Image

    from facegan.data.folder import FolderSource

    for number in (1, 2):
        path = root / pattern.format(f"{number:06d}")
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (20, 20)).save(path)
    return FolderSource(root / source, **options)


@pytest.mark.parametrize(("source", "pattern", "listed"), LAYOUTS.values(), ids=LAYOUTS)
def test_lists_of_celeba_are_found_in_every_usual_layout(tmp_path, source, pattern, listed):
    (tmp_path / listed).parent.mkdir(parents=True)
    (tmp_path / listed).write_text(LIST)
    found = open_faces(tmp_path, source, pattern)
    assert found.attributes(found.names) == {"Smiling": [True, False], "Male": [False, True]}


@pytest.mark.parametrize(("source", "pattern", "listed"), LAYOUTS.values(), ids=LAYOUTS)
def test_run_of_an_earlier_version_is_not_split_by_lists_that_it_did_not_find(tmp_path, source, pattern, listed):
    (tmp_path / listed).parent.mkdir(parents=True)
    (tmp_path / listed).write_text(LIST)
    found = open_faces(tmp_path, source, pattern, reading=1)
    assert found.attributes(found.names) == {}


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_tables_as_people_write_them_are_matched(tmp_path, table):
    (tmp_path / "faces").mkdir()
    (tmp_path / "faces" / "attributes.csv").write_text(table)
    found = open_faces(tmp_path, "faces", "faces/{}.jpg")
    assert found.attributes(found.names) == {"Smiling": [1, 0]}


def test_exact_names_go_before_names_without_endings_and_those_before_case(tmp_path):
    (tmp_path / "faces").mkdir()
    (tmp_path / "faces" / "attributes.csv").write_text("n,x\n000001.jpg,1\n000001,2\n000002,3\n000002.PNG,4\n")
    found = open_faces(tmp_path, "faces", "faces/{}.jpg")
    assert found.attributes(found.names) == {"x": [1, None]}  # which of two rows is meant, nobody knows


def test_table_of_other_images_is_named_with_the_first_names_of_both_sides(tmp_path):
    from facegan.config import DataConfig
    from facegan.data.split import select

    (tmp_path / "faces").mkdir()
    (tmp_path / "faces" / "attributes.csv").write_text("n,Smiling\na.jpg,1\nb.jpg,1\n")
    found = open_faces(tmp_path, "faces", "faces/{}.jpg")
    with pytest.raises(DataError) as refusal:
        select(found, DataConfig(source="faces", where="Smiling=1"))
    for part in ("attributes.csv", "000001.jpg, 000002.jpg", "a.jpg, b.jpg"):
        assert part in str(refusal.value)
