import pytest

import celeba
from facegan.config import DataConfig
from facegan.data.open import open_source
from facegan.data.packed.load import load
from facegan.data.split import select
from facegan.errors import DataError

ANNOTATED = [
    celeba.official_zip,
    celeba.folder,
    celeba.tgz,
    celeba.kaggle_zip,
    celeba.kaggle_folder,
    celeba.parquet,
]
IMAGES_ALONE = [celeba.images_only, celeba.parquet_images_only]


def opened(make, tmp_path):
    return open_source(DataConfig(source=str(make(tmp_path / "celeba"))))


@pytest.fixture(scope="module")
def digest(tmp_path_factory):
    """Of the packed pixels of a plain folder of the images."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FACEGAN_CACHE", str(tmp_path_factory.mktemp("cache")))
        folder = celeba.images_only(tmp_path_factory.mktemp("plain"))
        return load(DataConfig(source=str(folder), crop="center:178"), resolution=16, channels=3).digest


@pytest.mark.parametrize("make", ANNOTATED)
def test_every_form_of_celeba_gives_the_same_pixels_and_attributes(make, tmp_path, digest):
    data = DataConfig(source=str(make(tmp_path / "celeba")), crop="center:178")
    packed = load(data, resolution=16, channels=3)
    assert packed.digest == digest and packed.skipped == []
    source = open_source(data)
    assert [name.rpartition("/")[2] for name in source.names] == celeba.NAMES
    known = source.attributes(source.names)
    for attribute in celeba.ATTRIBUTES:
        assert known[attribute] == celeba.known(attribute)
    assert known["partition"] == celeba.PARTS
    people = known.get("identity") or known.get("celeb_id")
    assert people == (None if "kaggle" in make.__name__ else celeba.PEOPLE.tolist())
    some = [source.names[41], source.names[3]]
    assert source.attributes(some)["Smiling"] == [celeba.known("Smiling")[41], celeba.known("Smiling")[3]]


@pytest.mark.parametrize("make", [celeba.official_zip, celeba.parquet])
def test_official_split_then_attributes_then_limit_choose(make, tmp_path):
    source = opened(make, tmp_path)
    places = {"train": range(40), "val": range(40, 52), "test": range(52, 60), "heldout": range(40, 60)}
    for split, rows in places.items():
        chosen = select(source, DataConfig(source="celeba", split=split))
        assert [name.rpartition("/")[2] for name in chosen] == [celeba.NAMES[row] for row in rows]
    smiling, male = celeba.known("Smiling"), celeba.known("Male")
    wanted = [name for row, name in enumerate(celeba.NAMES[:40]) if smiling[row] and not male[row]]
    data = {"source": "celeba", "split": "train", "where": "Smiling=1,Male=0"}
    assert [name.rpartition("/")[2] for name in select(source, DataConfig(**data))] == wanted
    assert [name.rpartition("/")[2] for name in select(source, DataConfig(**data, limit=3))] == wanted[:3]
    assert len(wanted) > 3


@pytest.mark.parametrize("make", IMAGES_ALONE)
def test_images_alone_are_accepted_and_have_no_attributes(make, tmp_path, digest):
    source = opened(make, tmp_path)
    assert len(source.names) == celeba.NUM
    assert source.attributes(source.names) == {}
    data = DataConfig(source=str(tmp_path / "celeba"), crop="center:178")
    assert load(data, resolution=16, channels=3).digest == digest
    parts = [set(select(source, DataConfig(source="celeba", split=split))) for split in ("train", "heldout")]
    assert parts[0] | parts[1] == set(source.names) and not parts[0] & parts[1]
    with pytest.raises(DataError, match=r"^celeba: data\.split = test, but its images have no official partition; "):
        select(source, DataConfig(source="celeba", split="test"))
    with pytest.raises(DataError, match=r"^celeba: data\.where is 'Male=1', but these images have no attributes; "):
        select(source, DataConfig(source="celeba", where="Male=1"))


def test_changed_attribute_file_is_noticed(tmp_path):
    path = celeba.folder(tmp_path / "celeba")
    before, names = opened_again(path)
    text = tmp_path / "celeba" / "list_attr_celeba.txt"
    text.write_text(text.read_text() + "\n")
    assert opened_again(path)[0] != before
    text.unlink()
    assert opened_again(path)[0] not in (before, None) and names


def opened_again(path):
    source = open_source(DataConfig(source=str(path)))
    return source.fingerprint(source.names), source.names
