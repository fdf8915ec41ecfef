import re
import threading
from dataclasses import fields, replace

import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError

from facegan.data import drawn
from facegan.data.drawn import DrawnFaces
from facegan.data.drawn.attributes import CATEGORIES, Attributes, code, draw_attributes
from facegan.data.drawn.canvas import Canvas
from facegan.data.drawn.render import render

EYES, MOUTH, HAIR, SHOULDERS = ((24, 42), (12, 52)), ((40, 54), (18, 46)), ((2, 18), (12, 52)), ((56, 64), (8, 56))
EVERYWHERE = ((0, 64), (0, 64))


def pixels_of(source, names, resolution):
    return np.stack([np.asarray(image) for _, image in source.read(names, resolution)])


def plain_faces(num_faces=6, **words) -> Attributes:
    """Frontal, centred, clean-shaven faces with short hair and no glasses; `words` set categories or values."""
    look = draw_attributes(3, range(num_faces))
    fixed = {
        "hair_style": "short", "hair_colour": "espresso", "facial_hair": "none", "glasses_style": "none",
        "mouth": "neutral", "nose": "button", "backdrop": "plain", "top": "crew", "shift_x": 0.0, "shift_y": 0.0,
        "tilt": 0.0, "turn": 0.0, "scale": 1.0, "part": 1.0, "light": 0.7, "earrings": False, "freckles": False,
        "lashes": False, "lipstick": False, "smile": 0.0, "gaze": 0.0, "brow_tilt": 0.0,
    }  # fmt: skip
    return with_values(look, **{**fixed, **words})


def with_values(look, **values):
    arrays = {}
    for name, value in values.items():
        value = code(name, value) if isinstance(value, str) else value
        arrays[name] = np.full(len(look), value, dtype=getattr(look, name).dtype)
    return replace(look, **arrays)


def change(first, second, region=EVERYWHERE):
    """The largest change of any pixel of a region, over the faces: the least changed face counts."""
    (top, bottom), (left, right) = region
    difference = np.abs(first.astype(int) - second.astype(int))[:, top:bottom, left:right]
    return difference.reshape(len(difference), -1).max(axis=1).min()


def test_a_face_is_the_same_whatever_is_drawn_with_it():
    source = DrawnFaces(num_images=700, seed=5).open()
    together = pixels_of(source, source.names[:24], 64)
    shuffled = [source.names[index] for index in (17, 3, 23, 0)]
    np.testing.assert_array_equal(pixels_of(source, shuffled, 64), together[[17, 3, 23, 0]])
    for index in (0, 11, 23):
        np.testing.assert_array_equal(pixels_of(source, [source.names[index]], 64), together[[index]])


def test_a_face_does_not_depend_on_how_many_faces_there_are():
    few, many = DrawnFaces(num_images=4).open(), DrawnFaces(num_images=10_000_000).open()
    np.testing.assert_array_equal(pixels_of(few, few.names, 32), pixels_of(many, many.names[:4], 32))


def test_images_come_in_the_order_of_the_names_across_batches(monkeypatch):
    source = DrawnFaces(num_images=10).open()
    names = [source.names[index] for index in (9, 2, 5, 0, 7, 7, 1)]
    at_once = list(source.read(names, 16))
    monkeypatch.setattr(drawn, "_BATCH_PIXELS", 3 * 16 * 16)
    in_threes = list(source.read(names, 16))
    assert [name for name, _ in at_once] == [name for name, _ in in_threes] == names
    for (_, first), (_, second) in zip(at_once, in_threes, strict=True):
        assert first.tobytes() == second.tobytes()


def test_another_seed_draws_other_people():
    first, second = DrawnFaces(num_images=8, seed=0).open(), DrawnFaces(num_images=8, seed=1).open()
    assert change(pixels_of(first, first.names, 32), pixels_of(second, second.names, 32)) > 40


@pytest.mark.parametrize("seed", [-1, 2**80])
def test_any_integer_is_a_seed(seed):
    source = DrawnFaces(num_images=1, seed=seed).open()
    assert pixels_of(source, source.names, 16).shape == (1, 16, 16, 3)


@pytest.mark.parametrize("resolution", [16, 48, 100, 512])
def test_every_size_is_rgb_and_square(resolution):
    source = DrawnFaces(num_images=3).open()
    for name, image in source.read(source.names, resolution):
        assert name in source.names
        assert isinstance(image, Image.Image)
        assert (image.mode, image.size) == ("RGB", (resolution, resolution))


@pytest.mark.parametrize("resolution", [0, 15, 513])
def test_sizes_out_of_range_are_refused(resolution):
    source = DrawnFaces(num_images=1).open()
    with pytest.raises(ValueError, match=f"resolution must be from 16 to 512 \\(got {resolution}\\)"):
        list(source.read(source.names, resolution))


@pytest.mark.parametrize("name", ["drawn-00003.png", "drawn-0.png", "face.png", "drawn-0000٣.png"])
def test_a_name_that_is_not_a_face_is_refused(name):
    source = DrawnFaces(num_images=3).open()
    with pytest.raises(ValueError, match=re.escape(f"no face is named {name!r}; the names run from drawn-00000.png")):
        list(source.read([name], 16))


def test_a_small_image_is_the_large_one_averaged():
    source = DrawnFaces(num_images=6).open()
    large = pixels_of(source, source.names, 256)
    for resolution in (16, 32, 64, 128):
        small = pixels_of(source, source.names, resolution).astype(float)
        factor = 256 // resolution
        averaged = large.reshape(6, resolution, factor, resolution, factor, 3).mean((2, 4))
        assert np.abs(small - averaged).mean() < 1.5  # of 255
        assert np.quantile(np.abs(small - averaged), 0.999) < 60


def test_no_feature_is_cut_off_by_the_window_it_is_drawn_in(monkeypatch):
    look = draw_attributes(0, range(64))
    corners = np.array(np.meshgrid(*[[-1.0, 1.0]] * 6)).reshape(6, 64).astype(np.float32)
    look = replace(
        look,
        shift_x=corners[0] * np.float32(0.04),
        shift_y=corners[1] * np.float32(0.03),
        tilt=corners[2] * 7,
        turn=corners[3],
        scale=np.where(corners[4] > 0, np.float32(1.08), np.float32(0.97)),
        glasses_style=np.where(corners[5] > 0, look.glasses_style, code("glasses_style", "square")),
        eye_spacing=np.full(64, 1.08, dtype=np.float32),
        lashes=np.ones(64, dtype=bool),
        earrings=np.ones(64, dtype=bool),
        freckles=np.ones(64, dtype=bool),
    )
    windowed = render(look, 64)
    monkeypatch.setattr(Canvas, "pixels", lambda self, window: (slice(None), slice(None)))
    np.testing.assert_array_equal(windowed, render(look, 64))


@pytest.mark.parametrize(
    ("attribute", "first", "second", "region"),
    [
        *[("glasses_style", "none", style, EYES) for style in CATEGORIES["glasses_style"][1:]],
        ("glasses_style", "round", "half-rim", EYES),
        *[("hair_style", "short", style, HAIR) for style in ("bald", "quiff", "bob", "curly", "bun", "long")],
        ("hair_style", "bob", "long", SHOULDERS),
        ("hair_style", "long", "wavy", EVERYWHERE),
        ("hair_style", "fringe", "bunches", EVERYWHERE),
        ("hair_style", "bald", "buzz", HAIR),
        ("hair_colour", "black", "blond", HAIR),
        ("hair_volume", 0.96, 1.05, HAIR),
        ("part", -1.0, 1.0, EVERYWHERE),
        ("eye_colour", "brown", "blue", EYES),
        ("eye_size", 0.9, 1.12, EYES),
        ("eye_spacing", 0.93, 1.08, EYES),
        ("eye_openness", 0.78, 1.0, EYES),
        ("gaze", -1.0, 1.0, EYES),
        ("lashes", False, True, EYES),
        ("brow_thickness", 0.7, 1.4, EYES),
        ("brow_tilt", -1.0, 1.0, EYES),
        ("mouth", "neutral", "open smile", MOUTH),
        ("smile", -0.5, 0.9, MOUTH),
        ("mouth_width", 0.85, 1.15, MOUTH),
        ("lipstick", False, True, MOUTH),
        *[("facial_hair", "none", kind, MOUTH) for kind in CATEGORIES["facial_hair"][1:]],
        ("nose", "button", "wide", EVERYWHERE),
        ("nose_size", 0.85, 1.2, EVERYWHERE),
        ("skin", "fair", "brown", MOUTH),
        ("skin_light", -1.0, 1.0, MOUTH),
        ("face_shape", "round", "heart", EVERYWHERE),
        ("blush", 0.0, 1.0, EVERYWHERE),
        ("freckles", False, True, EVERYWHERE),
        ("earrings", False, True, EVERYWHERE),
        ("top_colour", "coral", "navy", SHOULDERS),
        *[("top", "crew", cut, ((48, 64), (8, 56))) for cut in CATEGORIES["top"][1:]],
        ("background", "mint", "rose", EVERYWHERE),
        ("backdrop", "plain", "gradient", EVERYWHERE),
        ("backdrop", "plain", "disc", EVERYWHERE),
        ("light", -0.8, 0.8, EVERYWHERE),
        ("shift_x", -0.03, 0.03, EYES),
        ("shift_y", -0.03, 0.03, EYES),
        ("scale", 0.97, 1.08, EVERYWHERE),
        ("tilt", -5.0, 5.0, EYES),
        ("turn", -0.8, 0.8, EYES),
    ],
)
def test_every_attribute_shows_where_it_should(attribute, first, second, region):
    look = plain_faces(num_faces=3)
    faces = [render(with_values(look, **{attribute: value}), 64) for value in (first, second)]
    assert change(*faces, region) >= (4 if attribute == "skin_light" else 12)


def test_glasses_leave_mouth_hair_and_shoulders_alone():
    bare, spectacled = (render(plain_faces(glasses_style=style), 64) for style in ("none", "round"))
    assert not np.array_equal(bare, spectacled)
    np.testing.assert_array_equal(bare[:, :20], spectacled[:, :20])
    np.testing.assert_array_equal(bare[:, 43:], spectacled[:, 43:])


def test_the_hair_has_its_colour_and_the_background_its_own():
    blond, black = (
        render(plain_faces(hair_colour=word), 64)[:, 10:14, 30:34].mean((1, 2)) for word in ("blond", "black")
    )
    assert (blond - black > 100).any(axis=1).all()
    sky = render(plain_faces(background="sky"), 64)[:, 2, 2]
    np.testing.assert_array_equal(sky, np.tile([0xB5, 0xD6, 0xEE], (6, 1)))


def test_the_lit_side_of_the_face_is_the_brighter_one():
    bright = [render(plain_faces(light=light), 64).astype(float).mean(3) for light in (-0.9, 0.9)]
    left, right = (slice(None), slice(38, 46), slice(18, 22)), (slice(None), slice(38, 46), slice(42, 46))
    assert (bright[0][left] - bright[0][right]).mean() > 10
    assert (bright[1][right] - bright[1][left]).mean() > 10


def test_eyes_show_at_thirty_two_pixels():
    faces = render(plain_faces(num_faces=24), 32).astype(int).max(axis=3)[:, 14:20, 9:23].reshape(24, -1)
    assert (faces.max(axis=1) - faces.min(axis=1) > 120).all()


def test_every_category_occurs_about_as_often_as_it_should():
    look = draw_attributes(0, range(20_000))
    for name, words in CATEGORIES.items():
        counts = np.bincount(getattr(look, name), minlength=len(words))
        assert len(counts) == len(words)
        assert counts.min() >= 200, name
        assert counts.max() <= 16_500, name
    for field in fields(Attributes):
        values = getattr(look, field.name)
        if values.dtype == bool:
            assert 0.03 < values.mean() < 0.6, field.name
        elif field.name not in CATEGORIES and field.name != "part":
            assert len(np.unique(values)) > 50, field.name


def test_shapes_and_colours_are_drawn_independently():
    look = draw_attributes(0, range(20_000))
    columns = np.stack([look.shift_x, look.light, look.tilt, look.eye_size, look.background, look.top_colour])
    correlations = np.corrcoef(columns) - np.eye(len(columns))
    assert np.abs(correlations).max() < 0.035  # five standard errors of 1 / sqrt(20,000)


def test_attributes_are_readable_and_aligned_with_the_names():
    source = DrawnFaces(num_images=50).open()
    table = source.attributes(source.names)
    assert {len(column) for column in table.values()} == {50}
    assert set(table["hair_style"]) <= set(CATEGORIES["hair_style"])
    assert all(type(value) in (str, int, float, bool) for column in table.values() for value in column)
    assert table["glasses"] == [style != "none" for style in table["glasses_style"]]
    assert all(-0.6 <= smile <= 1 for smile in table["smile"])
    some = source.attributes([source.names[7], source.names[3]])
    assert all(some[name] == [column[7], column[3]] for name, column in table.items())


def test_names_sort_in_the_order_of_their_indices():
    assert DrawnFaces(num_images=3).open().names[:] == ["drawn-00000.png", "drawn-00001.png", "drawn-00002.png"]
    names = DrawnFaces(num_images=100_001).open().names
    assert (len(names), names[0], names[-1]) == (100_001, "drawn-000000.png", "drawn-100000.png")
    assert sorted(names[99_900:] + names[:11]) == names[:11] + names[99_900:]


def test_what_would_be_drawn_differently_has_another_fingerprint():
    source = DrawnFaces(num_images=10).open()
    digest = source.fingerprint(source.names)
    assert re.fullmatch("[0-9a-f]{64}", digest)
    assert digest == DrawnFaces(num_images=10).open().fingerprint(list(source.names))
    assert digest != DrawnFaces(num_images=10, seed=1).open().fingerprint(source.names)
    assert digest != source.fingerprint(source.names[:9])


def test_drawing_touches_no_global_random_state():
    before = np.random.get_state()[1].copy()
    source = DrawnFaces(num_images=4).open()
    pixels_of(source, source.names, 16)
    np.testing.assert_array_equal(before, np.random.get_state()[1])


def test_two_threads_draw_the_same_faces():
    source = DrawnFaces(num_images=16).open()
    faces = [None, None]

    def draw(place):
        faces[place] = pixels_of(source, source.names, 32)

    threads = [threading.Thread(target=draw, args=(place,)) for place in range(2)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    np.testing.assert_array_equal(*faces)


@pytest.mark.parametrize("settings", [{"num_images": 0}, {"num_images": 10_000_001}, {"faces": 3}])
def test_settings_out_of_range_are_refused(settings):
    with pytest.raises(ValidationError, match=next(iter(settings))):
        DrawnFaces(**settings)
