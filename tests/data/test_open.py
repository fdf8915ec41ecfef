import zipfile
from types import SimpleNamespace

import pytest
from pydantic import BaseModel, ConfigDict

from facegan import plugins
from facegan.config import DataConfig
from facegan.data.open import open_source
from facegan.errors import ConfigError, DataError


def refusal(kind=DataError, **settings):
    with pytest.raises(kind) as caught:
        open_source(DataConfig(**settings))
    return str(caught.value)


@pytest.fixture
def dataset(monkeypatch):
    """A dataset plugin named "toys"."""

    class Toys(BaseModel):
        model_config = ConfigDict(extra="forbid", frozen=True)
        num_images: int = 3

        def open(self):
            return SimpleNamespace(names=[f"{i}.png" for i in range(self.num_images)], crop="none")

    find, names = plugins.find, plugins.names
    monkeypatch.setattr(plugins, "names", lambda kind: [*names(kind), *(["toys"] if kind == "dataset" else [])])
    monkeypatch.setattr(plugins, "find", lambda kind, name: Toys if name == "toys" else find(kind, name))


def test_existing_path_is_opened(folder, tmp_path):
    root = folder("a.png")
    with zipfile.ZipFile(tmp_path / "faces.zip", "w") as archive:
        archive.write(root / "a.png", "z.png")
    assert open_source(DataConfig(source=f"{root}/")).names == ["a.png"]
    assert open_source(DataConfig(source=str(tmp_path / "faces.zip"))).names == ["z.png"]


def test_tilde_is_the_home_folder(folder, monkeypatch):
    monkeypatch.setenv("HOME", str(folder("a.png").parent))
    assert open_source(DataConfig(source="~/faces")).names == ["a.png"]


def test_dataset_comes_before_a_folder_of_the_same_name(folder, monkeypatch, dataset):
    monkeypatch.chdir(folder("toys/a.png"))
    assert len(open_source(DataConfig(source="toys")).names) == 3
    assert open_source(DataConfig(source="./toys")).names == ["a.png"]


def test_dataset_that_is_not_downloaded_comes_before_a_folder_of_the_same_name(folder, monkeypatch):
    monkeypatch.chdir(folder("celeba/a.png"))
    assert refusal(source="celeba") == (
        "celeba: known, but not downloaded; take the folder of that name here as ./celeba, or run 'facegan download "
        "celeba'"
    )
    assert open_source(DataConfig(source="./celeba")).names == ["a.png"]


@pytest.mark.parametrize(
    ("name", "kind"), [("CelebA", "folder"), ("celeba.zip", "archive"), ("CELEBA.tar.gz", "archive")]
)
def test_folder_or_archive_with_the_name_of_a_dataset_in_any_case_is_offered(tmp_path, monkeypatch, name, kind):
    monkeypatch.chdir(tmp_path)
    for other in (name, "celeba.txt", "celeba-mine"):
        (tmp_path / other).mkdir()
    assert refusal(source="celeba") == (
        f"celeba: known, but not downloaded; take the {kind} of that name here as ./{name}, or run 'facegan download "
        "celeba'"
    )


def test_dataset_plugin_takes_its_options(dataset):
    assert len(open_source(DataConfig(source="toys")).names) == 3
    assert len(open_source(DataConfig(source="toys", options={"num_images": 7})).names) == 7


def test_mistakes_in_options_are_named(dataset):
    assert refusal(ConfigError, source="toys", options={"numimages": 7}) == (
        "config: no setting 'data.options.numimages'; did you mean 'num_images'?"
    )
    assert refusal(ConfigError, source="toys", options={"num_images": "many"}) == (
        "config: data.options.num_images is 'many'; it must be a whole number"
    )


def test_options_of_a_folder_are_refused_not_ignored(folder):
    root = folder("a.png")
    assert refusal(ConfigError, source=str(root), options={"num_images": 7}) == (
        f"config: data.options.num_images is set, but {root} has no options; they belong to dataset plugins"
    )


@pytest.mark.parametrize("path", ["faces/", "./faces", "/nowhere/faces.zip", "faces.zip", "~nobody-here/faces"])
def test_missing_path_is_refused(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert refusal(source=path) == (
        f"{path}: no such folder or file; give a folder of images, a .zip, .tar, .tgz or .parquet, "
        "'drawn', or a dataset's name"
    )


def test_mistyped_name_is_refused_with_the_nearest(dataset, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    advice = "(a folder is named by its path, for instance ./"
    assert refusal(source="celebra") == (
        f"celebra: no such dataset, folder or file; did you mean 'celeba'? {advice}celebra)"
    )
    assert refusal(source="qqq") == (
        f"qqq: no such dataset, folder or file; there is: drawn, celeba, lfw, ffhq-thumbnails, toys {advice}qqq)"
    )


def test_empty_words_are_refused():
    assert refusal(source="").startswith("no source is given; give a folder of images, ")


def test_empty_folder_is_named_as_it_was_given(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "faces").mkdir()
    assert refusal(source="faces/").startswith("faces/: no images found (JPEG, ")
