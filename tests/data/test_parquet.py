import json
import os

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pyarrow.parquet.encryption as pe
import pytest

from facegan.config import DataConfig
from facegan.data import parquet
from facegan.data.open import open_path, open_source
from facegan.data.parquet import ParquetSource
from facegan.errors import DataError

GIVE = "give a file with one column of encoded images, as bytes or as Hugging Face's Image"
IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def images(*contents, paths=None):
    paths = paths or [None] * len(contents)
    rows = [{"bytes": content, "path": path} for content, path in zip(contents, paths, strict=True)]
    return pa.array(rows, IMAGE)


@pytest.fixture
def shard(tmp_path):
    """shard({"image": images(b"x")}, "train.parquet") -> the path of a file with these columns."""

    def make(columns, name="faces.parquet", features=None, **options):
        path = tmp_path / "set" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        table = pa.table(columns)
        if features:
            info = {"info": {"features": {key: {"_type": kind} for key, kind in features.items()}}}
            table = table.replace_schema_metadata({b"huggingface": json.dumps(info).encode()})
        pq.write_table(table, path, **options)
        return path

    return make


def contents(source, names=None):
    return dict(source.read(names or source.names, 64))


def refusal(path):
    with pytest.raises(DataError) as caught:
        source = ParquetSource(path, where=path.name)
        source.attributes(source.names)
    message = str(caught.value)
    assert message.isprintable()
    return message.removeprefix(str(path.parent) + "/")


def test_stored_paths_are_the_names(shard):
    source = ParquetSource(shard({"image": images(b"1", b"2", b"3", paths=["b/2.jpg", "a/1.jpg", "b/1.jpg"])}))
    assert source.names == ["a/1.jpg", "b/1.jpg", "b/2.jpg"]
    assert contents(source) == {"b/2.jpg": b"1", "a/1.jpg": b"2", "b/1.jpg": b"3"}
    assert source.crop == "auto"


@pytest.mark.parametrize("path", [None, "", "1.jpg", "../2.jpg", "/2.jpg", "a//2.jpg", "C:2.jpg", "a\\2.jpg"])
def test_without_paths_of_their_own_images_are_numbered(path, shard):
    source = ParquetSource(shard({"image": images(b"1", b"2", paths=["1.jpg", path])}))
    assert source.names == ["faces-000000", "faces-000001"]
    assert contents(source) == {"faces-000000": b"1", "faces-000001": b"2"}


def test_numbers_go_by_file_and_never_make_people_of_folders(shard):
    shard({"image": images(b"1")}, "a/part.parquet")
    root = shard({"image": images(b"2")}, "b/part.parquet").parent.parent
    source = ParquetSource(root)
    assert source.names == ["00000-part-000000", "00001-part-000000"]
    assert contents(source) == {"00000-part-000000": b"1", "00001-part-000000": b"2"}


@pytest.mark.parametrize("group", [3, 100])
def test_any_rows_are_read_from_any_row_groups_in_order(group, shard):
    many = [b"%d" % number for number in range(50)]
    source = ParquetSource(shard({"image": images(*many)}, row_group_size=group))
    assert list(contents(source).values()) == many
    some = [source.names[row] for row in (49, 3, 20, 17)]
    assert list(contents(source, some).values()) == [b"3", b"17", b"20", b"49"]


@pytest.mark.parametrize("type", [pa.binary(), pa.large_binary()])
def test_plain_bytes_are_images_too(type, shard):
    source = ParquetSource(shard({"jpeg": pa.array([b"1", None], type), "label": [1, 2]}))
    delivered = contents(source)
    assert delivered["faces-000000"] == b"1"
    assert str(delivered["faces-000001"]) == "the row holds no image"
    assert source.attributes(source.names) == {"label": [1, 2]}


def test_dots_in_a_column_name_do_not_mislead(shard):
    source = ParquetSource(shard({"my.image.bytes": pa.array([b"1"]), "my": ["x"]}))
    assert contents(source) == {"faces-000000": b"1"}
    assert contents(ParquetSource(shard({"my.image": images(b"2", paths=["p"])}))) == {"p": b"2"}


def test_row_without_an_image_is_skipped_alone(shard, monkeypatch):
    monkeypatch.setattr("facegan.images.decode.MAX_BYTES", 2**20)
    rows = [None, {"bytes": None, "path": "x"}, {"bytes": bytes(2**20 + 1)}, {"bytes": b"3"}]
    delivered = list(contents(ParquetSource(shard({"image": pa.array(rows, IMAGE)}))).values())
    assert [str(each) for each in delivered[:2]] == ["the row holds no image"] * 2
    assert str(delivered[2]) == "the file is too large (2 MiB; the limit is 1 MiB)"
    assert delivered[3] == b"3"


def test_metadata_of_hugging_face_names_the_column(shard):
    columns = {"mask": images(b"m"), "image": images(b"1"), "raw": pa.array([b"r"])}
    assert list(contents(ParquetSource(shard(columns, features={"image": "Image", "n": "Value"}))).values()) == [b"1"]
    assert refusal(shard(columns)) == f"faces.parquet: several columns of images (mask, image); {GIVE}"
    both = {"image": "Image", "mask": "Image"}
    assert "several columns of images (image, mask)" in refusal(shard(columns, features=both))
    assert list(contents(ParquetSource(shard({"image": images(b"1"), "raw": pa.array([b"r"])}))).values()) == [b"1"]


@pytest.mark.parametrize("metadata", [b"no JSON", b"[]", b'{"info": {"features": {"a": 3}}}', b"\xff"])
def test_broken_metadata_is_not_needed(metadata, tmp_path):
    table = pa.table({"image": images(b"1")}).replace_schema_metadata({b"huggingface": metadata})
    pq.write_table(table, tmp_path / "a.parquet")
    assert len(ParquetSource(tmp_path / "a.parquet").names) == 1


def test_file_without_images_is_refused(shard):
    assert refusal(shard({"text": ["a"], "label": [1]})) == (
        f"faces.parquet: no column of images among its columns (text, label); {GIVE}"
    )
    assert refusal(shard({"image": images()})) == "faces.parquet: 0 rows of images; give 1 to 4,000,000"


def test_columns_of_truth_numbers_and_text_are_attributes(shard):
    columns = {
        "image": images(b"1", b"2", b"3"),
        "Smiling": [True, None, False],
        "age": [30, 40, None],
        "score": [0.5, float("nan"), 1.5],
        "name": ["Ann", "Bob", "Ann"],
        "box": [[1, 2], [3], []],
        "other": pa.array([{"a": 1}] * 3),
        "partition": [0, 2, 1],
    }
    source = ParquetSource(shard(columns))
    assert source.attributes([source.names[2], source.names[0]]) == {
        "Smiling": [False, True],
        "age": [None, 30],
        "score": [1.5, 0.5],
        "name": ["Ann", "Ann"],
        "partition": ["val", "train"],
    }


@pytest.mark.parametrize(
    ("names", "parts"),
    [
        (["train-00000-of-00001", "validation-00000-of-00001", "test-00000-of-00001"], ["train", "val", "test"]),
        (["train/0000", "test/0000"], ["train", "test"]),
        (["train-0", "extra"], None),  # one part tells nothing
        (["training", "tests"], None),
        (["train-0", "test-0", "more"], ["train", "test", None]),
    ],
)
def test_names_of_files_tell_the_partition(names, parts, shard, tmp_path):
    for name in names:
        shard({"image": images(name.encode())}, f"{name}.parquet")
    source = ParquetSource(tmp_path / "set")
    known = source.attributes(source.names).get("partition")
    by_file = {content.decode(): name for name, content in source.read(source.names, 64)}
    assert (known and [known[source.names.index(by_file[name])] for name in names]) == parts


def test_files_whose_columns_disagree_are_refused(shard):
    shard({"image": images(b"1"), "age": [1]}, "a.parquet")
    shard({"image": images(b"1"), "age": ["old"]}, "b.parquet")
    root = shard({"image": images(b"1"), "more": [1]}, "c.parquet").parent
    assert refusal(root).startswith("set: its files disagree about a column (")


def test_column_that_some_files_lack_is_not_known_there(shard):
    shard({"image": images(b"1"), "age": pa.array([1], pa.int8())}, "a.parquet")
    shard({"image": images(b"1"), "age": pa.array([300], pa.int64())}, "b.parquet")
    source = ParquetSource(shard({"image": images(b"1")}, "c.parquet").parent)
    assert source.attributes(source.names) == {"age": [1, 300, None]}


def test_fingerprint_changes_with_any_file(shard):
    shard({"image": images(b"1")}, "a.parquet")
    root = shard({"image": images(b"2")}, "b.parquet").parent
    source = ParquetSource(root)
    before = source.fingerprint(source.names)
    assert ParquetSource(root).fingerprint(source.names) == before
    assert source.fingerprint(source.names[:1]) != before
    shard({"image": images(b"33")}, "b.parquet")
    assert ParquetSource(root).fingerprint(source.names) != before


def test_folder_of_parquet_files_is_opened_as_such_unless_images_lie_next_to_them(shard, folder, tmp_path):
    root = shard({"image": images(b"1", paths=["x.png"])}, "data/a.parquet").parent.parent
    shard({"image": images(b"1", paths=["y.png"])}, ".cache/hidden.parquet")
    assert open_source(DataConfig(source=str(root))).names == ["x.png"]
    assert open_source(DataConfig(source=str(root / "data" / "a.parquet"))).names == ["x.png"]
    folder("p.png", at="set/images")
    assert open_source(DataConfig(source=str(root))).names == ["images/p.png"]


def test_too_many_rows_are_refused(shard, monkeypatch):
    monkeypatch.setattr("facegan.data.parquet.MAX_NAMES", 1)
    assert refusal(shard({"image": images(b"1", b"2")})) == "faces.parquet: 2 rows of images; give 1 to 1"


def test_large_files_are_read_in_little_memory(shard):
    rng = np.random.default_rng(0)
    noise = [rng.bytes(200_000) for _ in range(80)]
    source = ParquetSource(shard({"image": images(*noise)}, write_batch_size=4, compression="none"))
    base, peak = pa.total_allocated_bytes(), 0
    for _ in source.read(source.names, 64):
        peak = max(peak, pa.total_allocated_bytes() - base)
    assert peak < 10_000_000  # of 16 MB in one row group, in pages of 1 MB


@pytest.fixture
def path(tmp_path):
    """A file of 30 images in three row groups."""
    rng = np.random.default_rng(0)
    table = pa.table({"image": pa.array([rng.bytes(2000) for _ in range(30)]), "age": range(30)})
    pq.write_table(table, tmp_path / "faces.parquet", row_group_size=10)
    return tmp_path / "faces.parquet"


def refusal_of(path):
    with pytest.raises(DataError) as caught:
        open_path(path)
    message = str(caught.value)
    assert message.isprintable() and message.startswith(f"{path}: ")
    return message.removeprefix(f"{path}: ")


class Keys(pe.KmsClient):
    def __init__(self, _):
        super().__init__()

    def wrap_key(self, key, _):
        return key

    def unwrap_key(self, key, _):
        return key


def encrypt(path):
    factory = pe.CryptoFactory(Keys)
    wanted = pe.EncryptionConfiguration(footer_key="0123456789012345", column_keys={}, uniform_encryption=True)
    table = pq.read_table(path)
    properties = factory.file_encryption_properties(pe.KmsConnectionConfig(), wanted)
    with pq.ParquetWriter(path, table.schema, encryption_properties=properties) as writer:
        writer.write_table(table)
    return path.read_bytes()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda path: path.read_bytes()[:4], "Parquet file size is 4 bytes"),
        (lambda path: path.read_bytes()[:-1], "Parquet magic bytes not found"),
        (encrypt, "encrypted"),
    ],
)
def test_file_that_is_damaged_or_encrypted_is_refused(change, words, path):
    path.write_bytes(change(path))
    message = refusal_of(path)
    assert message.startswith("cannot be read as parquet (") and words in message
    assert message.endswith("); download it again")


def test_web_page_in_place_of_a_parquet_file_is_refused(path):
    other = path.with_name("other.parquet")
    other.write_bytes(b"<html><body>Too many users")
    assert refusal_of(other).startswith("not a zip, tar or parquet file (it begins like a web page); download it again")
    with pytest.raises(DataError, match=r"other\.parquet: cannot be read as parquet \("):
        open_path(path.parent)


def test_damaged_row_group_is_skipped_alone(path):
    content = bytearray(path.read_bytes())
    start = pq.ParquetFile(path).metadata.row_group(1).column(0).dictionary_page_offset
    content[start : start + 40] = b"\xff" * 40
    path.write_bytes(content)
    source = open_path(path)
    delivered = list(dict(source.read(source.names, 64)).values())
    assert [type(each) for each in delivered] == [bytes] * 10 + [DataError] * 10 + [bytes] * 10
    assert str(delivered[10]).startswith("damaged in faces.parquet (")


def test_file_that_goes_away_or_shrinks_is_named(path):
    source = open_path(path)
    path.unlink()
    with pytest.raises(DataError, match=r"faces\.parquet: cannot be read as parquet \(.*No such|Failed to open"):
        list(source.read(source.names, 64))
    pq.write_table(pa.table({"image": pa.array([b"1"])}), path)
    assert list(source.read(source.names, 64)) == [("faces-000000", b"1")]  # the caller reports the others


def test_images_that_expand_too_far_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(parquet, "_FREE_BYTES", 2**20)
    path = tmp_path / "bomb.parquet"
    table = pa.table({"image": pa.array([bytes(2**20) + bytes([i]) for i in range(20)])})
    pq.write_table(table, path, compression="zstd", use_dictionary=False)
    assert refusal_of(path) == (
        "unsafe file, nothing of it is used (its images expand more than 200 times, to 0 GiB); "
        "get it from its publisher"
    )


def test_long_word_that_is_repeated_takes_its_memory_once(tmp_path):
    num_rows, word = 1000, "x" * 10**6
    words = pa.DictionaryArray.from_arrays(pa.array(np.zeros(num_rows, np.int32)), pa.array([word]))
    image = pa.StructArray.from_arrays([pa.array([b"1"] * num_rows), words], ["bytes", "path"])
    path = tmp_path / "faces.parquet"
    pq.write_table(pa.table({"image": image, "word": words}), path, dictionary_pagesize_limit=2 * 10**6)
    base = pa.default_memory_pool().max_memory()
    source = open_path(path)
    assert source.names[0] == "faces-000000"
    assert source.attributes(source.names[:2]) == {"word": [word, word]}
    assert pa.default_memory_pool().max_memory() < base + 300 * 10**6  # of 2 GB


def test_words_that_outgrow_the_files_own_dictionary_are_read(tmp_path):
    words = [f"{number:06d}" * 10 for number in range(20_000)]
    path = tmp_path / "faces.parquet"
    image = pa.array([{"bytes": b"1", "path": f"{word}.jpg"} for word in words])
    pq.write_table(pa.table({"image": image, "word": words}), path, row_group_size=15_000)
    source = open_path(path)
    assert source.names == [f"{word}.jpg" for word in words]
    assert source.attributes(source.names) == {"word": words}


def test_too_much_next_to_the_images_is_refused(path, monkeypatch):
    monkeypatch.setattr(parquet, "_MAX_PLAIN_BYTES", 10)
    source = open_path(path)
    with pytest.raises(DataError, match=r"too much next to the images \(1 columns, 0 MiB; "):
        source.attributes(source.names)


def test_pipe_of_that_name_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.parquet")
    assert parquet.is_parquet(tmp_path / "pipe.parquet") is False


def test_mutated_files_are_read_or_refused_in_one_line(path):
    valid = path.read_bytes()
    rng = np.random.default_rng(0)
    for attempt in range(100):
        content = bytearray(valid)
        place = rng.integers(len(content)) if attempt % 3 else len(content) - rng.integers(1, 900)  # often the footer
        for _ in range(rng.integers(1, 4)):
            content[min(place + rng.integers(8), len(content) - 1)] = rng.integers(256)
        path.write_bytes(content)
        try:
            source = open_path(path)
            delivered = dict(source.read(source.names, 64))
            source.attributes(source.names)
            assert set(delivered) == set(source.names)
        except DataError as error:
            assert str(error).isprintable() and len(str(error)) < 400
