import io

import numpy as np
import pytest
import torch
from PIL import Image, ImageEnhance, ImageFilter
from test_laplacian_pyramid import literal

from campaign import NUM_SIMULATIONS, assert_95_percent_coverage
from facegan import plugins
from facegan.data.drawn import DrawnFaces
from facegan.evaluation import Pair, Sample
from facegan.evaluation.metrics import swd
from facegan.evaluation.metrics.swd import Slicing, pyramid_sizes, sliced_wasserstein

FEW = Slicing(num_patches=32, num_directions=64)


@pytest.fixture(scope="module")
def drawn():
    source = DrawnFaces(num_images=96, seed=3).open()
    return np.stack([np.asarray(each).transpose(2, 0, 1) for _, each in source.read(list(source.names), 32)])


def distance(real, fake, slicing=FEW, **settings):
    return sliced_wasserstein(Sample(real), Sample(fake), slicing, **settings)


def through(images, change):
    """Every image changed by Pillow: change(image) -> image."""
    changed = [np.asarray(change(Image.fromarray(each.transpose(1, 2, 0)))) for each in images]
    return np.stack(changed).transpose(0, 3, 1, 2)


def jpeg(quality):
    def change(image):
        image.save(file := io.BytesIO(), "jpeg", quality=quality)
        return Image.open(file)

    return change


def noise(sigma):
    dice = np.random.default_rng(0)

    def change(image):
        return (np.asarray(image) + dice.normal(0, sigma, (32, 32, 3))).clip(0, 255).astype(np.uint8)

    return change


def slow(real, fake, slicing, seed):
    """The distance of each level as the paper words it, patch by patch and direction by direction, in float64."""
    height, width = real.shape[2:]
    levels = pyramid_sizes(height, width)
    found = []
    for number in range(len(levels)):
        sides = []
        for images in (real, fake):
            corners = swd.patch_places(Sample(images), levels, slicing, seed)
            patches = []
            for image, (rows, columns) in zip(images, corners[:, number], strict=True):
                band = np.stack([literal(channel, len(levels))[number] for channel in image])
                patches += [band[:, y : y + 7, x : x + 7] for y, x in zip(rows, columns, strict=True)]
            patches = np.stack(patches)
            patches -= patches.mean((0, 2, 3), keepdims=True)
            patches /= patches.std((0, 2, 3), keepdims=True)
            sides.append(patches.reshape(len(patches), -1))
        directions = (
            swd.random_directions(slicing, real.shape[1], [seed, number]).numpy().reshape(-1, sides[0].shape[1])
        )
        apart = [np.abs(np.sort(sides[0] @ d) - np.sort(sides[1] @ d)).mean() for d in directions]
        found.append(1000 * np.mean(apart))
    return found


@pytest.mark.parametrize("channels", [1, 3])
def test_distance_equals_a_literal_second_implementation(drawn, channels):
    real, fake = drawn[:6, :channels], 255 - drawn[6:12, :channels] // 2
    expected = slow(real, fake, FEW, seed=5)
    found = distance(real, fake, seed=5)
    assert list(found.details["levels"]) == ["32", "16"]
    assert list(found.details["levels"].values()) == pytest.approx(expected, rel=1e-4)
    assert found.value == pytest.approx(np.mean(expected), rel=1e-4)
    assert found.interval is None


def test_equal_sets_are_exactly_0_apart(drawn):
    assert distance(drawn[:40], drawn[:40].copy()).value == 0


def test_order_of_images_makes_no_difference(drawn):
    assert distance(drawn[:40], drawn[:40][::-1].copy()).value == pytest.approx(0, abs=1e-2)
    assert distance(drawn[:40], drawn[40:80]).value > 20


def test_places_of_patches_are_even_within_the_image_and_new_for_a_repeated_image():
    images = np.zeros((40, 1, 32, 32), np.uint8)
    levels = pyramid_sizes(32, 32)
    places = swd.patch_places(Sample(images), levels, Slicing(), 0)
    assert not np.array_equal(places[0], places[1])
    for level, room in enumerate((26, 10)):
        corners = places[:, level].transpose(1, 0, 2).reshape(2, -1)
        counts = np.array([np.bincount(axis, minlength=room) for axis in corners])
        assert counts.shape == (2, room)
        assert (np.abs(counts - counts.mean()) < 5 * counts.mean() ** 0.5).all()


def test_directions_lie_evenly_on_the_unit_sphere():
    directions = swd.random_directions(Slicing(num_directions=4000), 3, [0, 0]).flatten(1)
    assert torch.allclose(directions.square().sum(1), torch.ones(4000, dtype=torch.float64))
    assert (directions.T @ directions / 4000 - torch.eye(147) / 147).abs().max() < 6 / 147 / 4000**0.5


def test_seed_changes_the_value_a_little(drawn):
    first, second = (distance(drawn[:48], drawn[48:], seed=seed).value for seed in (0, 1))
    assert first != second
    assert first == pytest.approx(second, rel=0.2)
    assert first == distance(drawn[:48], drawn[48:], seed=0).value


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param([lambda p, r=r: p.filter(ImageFilter.GaussianBlur(r)) for r in (0, 0.5, 1, 2)], id="blur"),
        pytest.param([jpeg(quality) for quality in (95, 40, 15, 3)], id="jpeg"),
        pytest.param([noise(sigma) for sigma in (0, 10, 30, 60)], id="noise"),
        pytest.param([lambda p, c=c: ImageEnhance.Color(p).enhance(c) for c in (1, 0.7, 0.3, 0)], id="colour"),
    ],
)
def test_damage_moves_the_distance_up(drawn, changes):
    values = [distance(drawn[:48], through(drawn[:48], change)).value for change in changes]
    assert values == sorted(values)
    assert values[-1] > 1.4 * values[1]


def test_brightness_and_contrast_of_a_channel_do_not_count(drawn):
    red = drawn[:24] // np.array([4, 1, 1], np.uint8)[:, None, None] + np.array([60, 0, 0], np.uint8)[:, None, None]
    assert distance(drawn[:24], red).value < 1.2 * distance(drawn[:24], drawn[:24] - 1).value


def test_mirroring_moves_asymmetric_images_and_hardly_symmetric_ones(drawn):
    lit = np.linspace(0.2, 1, 32)  # light from the right
    shaded = (drawn * lit).astype(np.uint8)
    asymmetric = distance(shaded[:48], shaded[48:, :, :, ::-1].copy()).value - distance(shaded[:48], shaded[48:]).value
    symmetric = distance(drawn[:48], drawn[48:, :, :, ::-1].copy()).value - distance(drawn[:48], drawn[48:]).value
    assert asymmetric > 1
    assert abs(symmetric) < asymmetric / 2


def test_collapsed_set_is_far_away(drawn):
    collapsed = np.repeat(drawn[50:51], 48, 0)
    assert distance(drawn[:48], collapsed).value > 1.5 * distance(drawn[:48], drawn[48:]).value


def test_flat_images_have_a_finite_distance(drawn):
    flat = np.full_like(drawn[:8], 90)
    assert 300 < distance(drawn[:8], flat).value < 1500
    assert distance(flat, flat.copy()).value == 0


def test_cutting_again_and_slices_of_directions_change_nothing(drawn, monkeypatch):
    complete = distance(drawn[:20], drawn[20:40])
    monkeypatch.setattr(swd, "KEPT_BYTES", 0)
    monkeypatch.setattr(swd, "CHUNK", 40_000)
    monkeypatch.setattr(swd, "PROJECTED_BYTES", 8 * 20 * 32 * 7)
    assert distance(drawn[:20], drawn[20:40]).value == pytest.approx(complete.value, rel=1e-6)


def patterns(rng, num, *, grain=4, unlike=0.3):
    """Noise in blocks; the images' contrasts differ as exp(unlike * normal) does."""
    contrast = 25 * np.exp(unlike * rng.normal(size=(num, 1, 1, 1)))
    blocks = np.kron(rng.normal(size=(num, 3, 16 // grain, 16 // grain)), np.ones((1, 1, grain, grain)))
    return (128 + contrast * blocks + 10 * rng.normal(size=(num, 3, 16, 16))).clip(0, 255).astype(np.uint8)


@NUM_SIMULATIONS
@pytest.mark.parametrize(
    "fakes", [{}, {"grain": 2}, {"unlike": 0.5}], ids=["as the reals", "finer", "of more contrasts"]
)
def test_intervals_cover_the_distance_expected_of_as_many_fakes(fakes, num_simulations):
    rng = np.random.default_rng(0)
    real, slicing = patterns(rng, 60), Slicing(num_patches=16, num_directions=32)
    found = [distance(real, patterns(rng, 60, **fakes), slicing, num_parts=10) for _ in range(num_simulations)]
    assert_95_percent_coverage(found, max_width=2)  # ten parts, and fewer directions, overestimate the scatter


def test_interval_never_reaches_below_0(drawn):
    """The parts differ far more than the complete sets do."""
    parts = np.concatenate([drawn[:1].repeat(8, 0), 255 - drawn[:1].repeat(8, 0)])
    assert distance(parts, parts.copy(), num_parts=2).interval[0] == 0


def pair(real, fake, **settings):
    return Pair(Sample(real), Sample(fake), **settings)


def metric(**settings):
    return plugins.find("metric", "swd")(**{"num_patches": 16, "num_directions": 32, **settings})


def test_protocol_is_that_of_the_paper():
    assert plugins.find("metric", "swd")().model_dump() == {
        "num_images": 16_384,
        "num_patches": 128,
        "patch_size": 7,
        "num_directions": 512,
    }


def test_value_is_the_mean_of_the_levels(faces):
    big = [np.kron(faces(20, seed), np.ones((1, 1, 2, 2), np.uint8)) for seed in (0, 1)]
    found = metric().measure(pair(*big))
    assert list(found.details["levels"]) == ["32", "16"]
    assert found.value == pytest.approx(np.mean(list(found.details["levels"].values())))
    low, high = found.interval
    assert 0 <= low < found.value < high
    wide = metric().measure(pair(*(each[:, :, :, :24] for each in big)))
    assert list(wide.details["levels"]) == ["24x32"]


def test_both_sides_count_equally_many(faces):
    real, fake = faces(12, 0), faces(30, 1)
    found = metric().measure(pair(real, fake))
    assert found.details["num_images"] == 12
    assert metric(num_images=5).measure(pair(real, fake)).details["num_images"] == 5
    first = metric().measure(pair(real, fake[:12]))
    assert found.value != first.value  # not the first 12, which a folder's order would choose


def test_every_setting_changes_the_value(faces):
    both = pair(faces(12, 0), faces(12, 1), intervals=False)
    values = [
        metric(**settings).measure(both).value
        for settings in ({}, {"num_images": 9}, {"num_patches": 8}, {"patch_size": 5}, {"num_directions": 16})
    ]
    assert len(set(values)) == len(values)
    assert metric().measure(pair(faces(12, 0), faces(12, 1), seed=1)).value not in values


def test_no_interval_where_none_is_asked_for(faces):
    found = metric().measure(pair(faces(8, 0), faces(8, 1), intervals=False))
    assert found.interval is None
    assert found.value == metric().measure(pair(faces(8, 0), faces(8, 1))).value


def test_images_are_read_in_the_order_of_their_rows(faces):
    images, rows = faces(10, 0), np.random.default_rng(0).permutation(10)
    shuffled = Pair(Sample(images, rows), Sample(images[rows]), intervals=False)
    assert metric().measure(shuffled).value == 0
    direct = distance(images, faces(10, 1), Slicing(num_patches=16, num_directions=32))
    assert metric().measure(pair(images, faces(10, 1))).value == direct.value


@pytest.mark.parametrize(
    ("num_real", "num_fake", "size", "message"),
    [
        (1, 9, 16, "needs at least 2 real images (there are 1)"),
        (9, 1, 16, "needs at least 2 generated images (there are 1)"),
        (9, 9, 12, "needs images of at least 16 x 16 pixels (they have 12 x 12)"),
        (9, 9, 16, None),
    ],
)
def test_too_few_or_small_images_are_refused_with_numbers(faces, num_real, num_fake, size, message):
    assert metric().lacks(pair(*(faces(num, 0)[..., :size, :size] for num in (num_real, num_fake)))) == message
