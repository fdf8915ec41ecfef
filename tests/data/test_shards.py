import os

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pyarrow.parquet.encryption as pe
import pytest

from facegan.data import parquet as shards
from facegan.data.open import open_path
from facegan.errors import DataError


@pytest.fixture
def path(tmp_path):
    """A file of 30 images in three row groups."""
    rng = np.random.default_rng(0)
    table = pa.table({"image": pa.array([rng.bytes(2000) for _ in range(30)]), "age": range(30)})
    pq.write_table(table, tmp_path / "faces.parquet", row_group_size=10)
    return tmp_path / "faces.parquet"


def refusal(path, read=False):
    with pytest.raises(DataError) as caught:
        source = open_path(path)
        assert read
        list(source.read(source.names, 64))
    message = str(caught.value)
    assert message.isprintable() and message.startswith(f"{path}: ")
    return message.removeprefix(f"{path}: ")


@pytest.mark.parametrize("size", [4, 5, 100, 30_000, -1])
def test_file_cut_short_is_refused(size, path):
    path.write_bytes(path.read_bytes()[:size])
    assert refusal(path).startswith("the parquet file is damaged or cut short (")
    assert refusal(path).endswith("); download it again")


@pytest.mark.parametrize(("content", "looks"), [(b"", "an empty file"), (b"<html><body>Too many users", "a web page")])
def test_file_that_is_no_parquet_is_refused_with_what_it_looks_like(content, looks, path):
    path.write_bytes(content)
    assert refusal(path) == f"not a parquet file (it begins like {looks}); download it again"


def test_web_page_among_the_files_of_a_folder_is_refused(path):
    other = path.with_name("other.parquet")
    other.write_bytes(b"<html><body>Too many users")
    with pytest.raises(DataError, match=r"other\.parquet: the parquet file is damaged or cut short \("):
        open_path(path.parent)


class Keys(pe.KmsClient):
    def __init__(self, _):
        super().__init__()

    def wrap_key(self, key, _):
        return key

    def unwrap_key(self, key, _):
        return key


def test_encrypted_file_is_refused(path):
    factory = pe.CryptoFactory(Keys)
    wanted = pe.EncryptionConfiguration(footer_key="0123456789012345", column_keys={}, uniform_encryption=True)
    table = pq.read_table(path)
    properties = factory.file_encryption_properties(pe.KmsConnectionConfig(), wanted)
    with pq.ParquetWriter(path, table.schema, encryption_properties=properties) as writer:
        writer.write_table(table)
    assert path.read_bytes()[:4] == b"PARE"
    assert refusal(path) == "the parquet file is encrypted; give one that is not"


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
    with pytest.raises(DataError) as caught:
        list(source.read(source.names, 64))
    assert str(caught.value) == f"{path}: cannot be read (No such file or directory)"
    pq.write_table(pa.table({"image": pa.array([b"1"])}), path)
    with pytest.raises(DataError, match=r"\(it has changed since it was opened\); download it again$"):
        list(source.read(source.names, 64))


def test_pictures_that_expand_too_far_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(shards, "_FREE_BYTES", 2**20)
    path = tmp_path / "bomb.parquet"
    table = pa.table({"image": pa.array([bytes(2**20) + bytes([i]) for i in range(20)])})
    pq.write_table(table, path, compression="zstd", use_dictionary=False)
    assert refusal(path) == (
        "unsafe file, nothing of it is used (its images expand more than 200 times, to 0 GiB); "
        "get it from its publisher"
    )


def test_long_word_that_is_repeated_takes_its_memory_once(tmp_path):
    num_rows, word = 3000, "x" * 10**6
    words = pa.DictionaryArray.from_arrays(pa.array(np.zeros(num_rows, np.int32)), pa.array([word]))
    image = pa.StructArray.from_arrays([pa.array([b"1"] * num_rows), words], ["bytes", "path"])
    path = tmp_path / "faces.parquet"
    pq.write_table(pa.table({"image": image, "word": words}), path, dictionary_pagesize_limit=2 * 10**6)
    base = pa.default_memory_pool().max_memory()
    source = open_path(path)
    assert source.names[0] == "faces-000000"
    assert source.attributes(source.names[:2]) == {"word": [word, word]}
    assert pa.default_memory_pool().max_memory() < base + 300 * 10**6  # of 6 GB


def test_words_that_outgrow_the_files_own_dictionary_are_read(tmp_path):
    words = [f"{number:06d}" * 10 for number in range(40_000)]
    path = tmp_path / "faces.parquet"
    image = pa.array([{"bytes": b"1", "path": f"{word}.jpg"} for word in words])
    pq.write_table(pa.table({"image": image, "word": words}), path, row_group_size=30_000)
    source = open_path(path)
    assert source.names == [f"{word}.jpg" for word in words]
    assert source.attributes(source.names) == {"word": words}


def test_too_much_beside_the_pictures_is_refused(path, monkeypatch):
    monkeypatch.setattr(shards, "_MAX_PLAIN_BYTES", 10)
    source = open_path(path)
    with pytest.raises(DataError, match=r"too much next to the images \(1 columns, 0 MiB; "):
        source.attributes(source.names)


def test_pipe_of_that_name_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.parquet")
    assert shards.is_parquet(tmp_path / "pipe.parquet") is False


def test_mutated_files_are_read_or_refused_in_one_line(path):
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    for attempt in range(300):
        content = bytearray(whole)
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
