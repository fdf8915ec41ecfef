import re
import sys
from pathlib import Path

import pytest

from facegan import downloads, plugins
from facegan.config import DataConfig
from facegan.data.open import absolute_source, open_source
from facegan.data.published import PublishedDataset, publication, publications
from facegan.errors import ConfigError, DataError, PluginError

PLUGIN = """
from facegan.data.published import PublishedDataset
from facegan.downloads import File, Publication, WebSource

class Toys(PublishedDataset):
    publication = Publication(
        name="toys", title="Toys", num_images=2, size_bytes=100, crop="center:8", licence="do as you like",
        licence_url="https://example.org/licence", by_hand="toys.zip", by_hand_url="https://example.org",
        sources=(WebSource(host="example.org", opens="toys.zip",
                           files=(File(name="toys.zip", at="https://example.org/toys.zip"),)),),
    )
"""
POINTS = {"facegan.dataset": {"toys": "toyplug:Toys"}}


@pytest.fixture
def toys(install):
    install("toyplug", PLUGIN, POINTS)


def refusal(name, kind):
    with pytest.raises(kind) as caught:
        publication(name)
    return str(caught.value)


@pytest.mark.parametrize("name", ["celeba", "lfw", "ffhq-thumbnails"])
def test_downloaded_dataset_is_opened_with_its_own_crop(name, folder):
    downloads.register(name, folder("a.png"))
    source = open_source(DataConfig(source=name))
    assert source.names == ["a.png"]
    assert source.crop == publication(name).crop


def test_dataset_that_is_not_downloaded_says_how_to():
    with pytest.raises(DataError) as caught:
        open_source(DataConfig(source="lfw"))
    assert str(caught.value) == "lfw: known, but not downloaded; run 'facegan download lfw'"


def test_published_dataset_knows_no_options():
    with pytest.raises(ConfigError, match=r"config: no setting 'data\.options\.num_images'"):
        open_source(DataConfig(source="lfw", options={"num_images": 3}))


def test_name_of_a_published_dataset_is_the_same_from_every_folder():
    assert absolute_source("lfw") == "lfw"


def test_installed_dataset_with_a_row_joins_the_table(toys, folder):
    assert [row.name for row in publications()[0]] == ["celeba", "lfw", "ffhq-thumbnails", "toys"]
    downloads.register("toys", folder("a.png", "b.png"))
    source = open_source(DataConfig(source="toys"))
    assert (list(source.names), source.crop) == (["a.png", "b.png"], "center:8")
    assert issubclass(plugins.find("dataset", "toys"), PublishedDataset)


def test_broken_dataset_is_reported_and_spoils_no_other(install):
    install("toyplug", "raise RuntimeError('no such luck')", POINTS)
    rows, complaints = publications()
    assert [row.name for row in rows] == ["celeba", "lfw", "ffhq-thumbnails"]
    assert complaints == [
        "dataset 'toys': cannot be loaded from toyplug 1.0 (RuntimeError: no such luck); "
        "update or uninstall that package"
    ]


def test_row_and_plugin_must_have_one_name(install):
    install("toyplug", PLUGIN, {"facegan.dataset": {"playthings": "toyplug:Toys"}})
    assert refusal("playthings", PluginError) == (
        "dataset 'playthings': its publication is called 'toys'; they must have one name"
    )
    assert "toyplug" in sys.modules


def test_dataset_without_a_row_needs_no_download():
    assert refusal("drawn", ConfigError) == "drawn: there is nothing to download; run 'facegan train --data drawn'"


def test_unknown_dataset_is_refused_with_the_nearest():
    assert refusal("celebb", DataError) == "celebb: no such dataset; did you mean 'celeba'?"


def test_example_of_the_plugin_guide_is_a_row_that_works(install):
    text = (Path(__file__).resolve().parents[2] / "docs" / "plugins.md").read_text()
    example = re.search(r"## A dataset that is downloaded.*?```python\n(.*?)```", text, re.DOTALL)[1]
    install("myplug", example, {"facegan.dataset": {"my-faces": "myplug:MyFaces"}})
    assert [source.title for source in publication("my-faces").sources] == [
        "example.org",
        "Google Drive",
        "Hugging Face me/my-faces",
    ]
