import numpy as np
import pytest
from PIL import Image
from torchvision.transforms import functional as reference
from torchvision.transforms.functional import InterpolationMode

from facegan.config import DataConfig
from facegan.data.image.crop import FILTERS, NAMED_CROPS, Crop, parse_crop
from facegan.data.published import publications
from facegan.errors import ConfigError, DataError


@pytest.mark.parametrize(
    "text, crop",
    [
        ("auto", Crop("auto")),
        ("none", Crop("none")),
        ("center:178", Crop("center", (178,))),
        ("box:25,57,128,128", Crop("box", (25, 57, 128, 128))),
    ],
)
def test_crop_is_read_from_its_words(text, crop):
    assert parse_crop(text) == crop
    assert DataConfig(crop=text).crop == text


@pytest.mark.parametrize(
    "text", ["", "centre:5", "center:0", "center:-1", "center:", "box:1,2,3", "box:0,0,0,0", "box:0,0,10,20", "auto "]
)
def test_crop_of_another_form_is_refused(text):
    with pytest.raises(ConfigError) as caught:
        parse_crop(text)
    assert str(caught.value) == f"config: data.crop is '{text}'; it must be auto, none, center:N or box:X,Y,W,H"


@pytest.mark.parametrize(
    "text, size, region",
    [
        ("auto", (178, 218), (0, 20, 178, 198)),
        ("auto", (30, 20), (5, 0, 25, 20)),
        ("none", (64, 64), (0, 0, 64, 64)),
        ("center:108", (178, 218), (35, 55, 143, 163)),
        ("box:25,57,128,128", (178, 218), (25, 57, 153, 185)),  # 128 x 128 around (89, 121)
    ],
)
def test_region_lies_where_its_words_say(text, size, region):
    assert parse_crop(text).region(*size) == region


@pytest.mark.parametrize(
    "text, size, reason",
    [
        ("none", (30, 20), "the image is not square (30x20), as crop none requires"),
        ("center:21", (30, 20), "the image (30x20) is smaller than the crop center:21"),
        ("box:11,0,20,20", (30, 20), "the image (30x20) does not contain the crop box:11,0,20,20"),
        ("box:0,1,20,20", (30, 20), "the image (30x20) does not contain the crop box:0,1,20,20"),
    ],
)
def test_image_that_does_not_contain_the_crop_is_refused(text, size, reason, noise):
    with pytest.raises(DataError) as caught:
        parse_crop(text).apply(noise(0, size), 16)
    assert str(caught.value) == reason


MODES = {
    "bicubic": InterpolationMode.BICUBIC,
    "bilinear": InterpolationMode.BILINEAR,
    "lanczos": InterpolationMode.LANCZOS,
    "box": InterpolationMode.BOX,
}


@pytest.mark.parametrize("name", FILTERS)
def test_centre_crop_and_resize_equal_torchvision(name, noise):
    for size in ((89, 109), (90, 71), (64, 64), (33, 40)):
        image = noise(0, size)
        for side in (None, 31, 32):
            ours = parse_crop("auto" if side is None else f"center:{side}").apply(image, 16, name)
            cut = reference.center_crop(image, [side or min(size)] * 2)
            theirs = reference.resize(cut, [16, 16], interpolation=MODES[name], antialias=True)
            np.testing.assert_array_equal(np.asarray(ours), np.asarray(theirs))


def test_filters_differ(noise):
    results = {parse_crop("auto").apply(noise(0, (50, 50)), 16, name).tobytes() for name in FILTERS}
    assert len(results) == len(FILTERS)


def test_image_of_the_right_size_is_not_resampled(noise):
    assert parse_crop("none").apply(noise(0, (16, 16)), 16).tobytes() == noise(0, (16, 16)).tobytes()


def test_nothing_outside_the_crop_shines_in():
    image = Image.new("L", (40, 40), 255)
    image.paste(0, (10, 10, 30, 30))
    assert set(parse_crop("center:20").apply(image, 10).tobytes()) == {0}


def test_named_crops_are_settings_that_fit_celeba_and_differ_there():
    regions = {words: parse_crop(words).region(178, 218) for words in NAMED_CROPS}
    assert all(DataConfig(crop=words).crop == words for words in NAMED_CROPS)
    assert all(NAMED_CROPS.values())
    assert regions.pop("auto") == regions["center:178"]  # the tutorial cuts the largest centre square
    assert len(set(regions.values())) == len(regions)
    assert regions["center:108"] == (35, 55, 143, 163)
    assert regions["box:25,57,128,128"] == (25, 57, 153, 185)  # 128 x 128 around (89, 121)


def test_known_datasets_own_crops_are_among_the_named_ones():
    assert {row.crop for row in publications()[0]} <= {*NAMED_CROPS, "none"}
