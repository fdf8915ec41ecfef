import numpy as np
import pytest

from facegan.data.annotations import AnnotationFile, parse
from facegan.errors import DataError

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
