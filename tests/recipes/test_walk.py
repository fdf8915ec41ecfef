import numpy as np
import pytest
import torch

from facegan import latents, recipes
from facegan.errors import ConfigError, SnapshotError
from facegan.generator import FaceGenerator
from facegan.images import to_uint8
from facegan.networks.dcgan import DCGAN
from facegan.recipes import Corners, Walk
from facegan.seeds import Latent, Points


def made(prior="normal", channels=3):
    torch.manual_seed(0)
    network = DCGAN(z_dim=12, ngf=8).generator(16, channels)
    with torch.no_grad():
        network(torch.randn(32, 12))  # moves the batch-norm statistics
    return FaceGenerator(network, z_dim=12, prior=prior)


@pytest.fixture(scope="module")
def generator():
    return made()


def walk(text, num_frames, **settings):
    return Walk(points=Points(text=text), num_frames=num_frames, **settings)


def faces(generator, z):
    return to_uint8(generator.images(z)).permute(0, 2, 3, 1).numpy()


def seeds(generator, *chosen):
    return faces(generator, generator.latents(chosen))


def test_every_point_has_its_frame_pixel_for_pixel(generator):
    frames = list(walk("3,14,15,9", 80).frames(generator))  # more than one batch
    assert len(frames) == 80
    for place, face in zip([0, 26, 53, 79], seeds(generator, 3, 14, 15, 9), strict=True):
        assert np.array_equal(frames[place], face)


def test_loop_goes_back_without_repeating_its_first_frame(generator):
    frames = list(walk("3,14", 8, loop=True).frames(generator))
    assert np.array_equal(np.stack([frames[0], frames[4]]), seeds(generator, 3, 14))
    assert [np.array_equal(frames[0], frame) for frame in frames] == [True] + [False] * 7
    assert all(np.array_equal(frames[4 - by], frames[4 + by]) for by in (1, 2, 3))  # to and fro, between two points


def test_circle_begins_at_its_first_point_and_keeps_its_length(generator):
    frames = list(walk("3,14", 6, circle=True).frames(generator))
    first, second = generator.latents([3, 14])
    assert np.array_equal(frames[0], seeds(generator, 3)[0])
    assert np.array_equal(frames[3], faces(generator, -first[None])[0])
    assert np.array_equal(frames[1], faces(generator, latents.circle(first, second, torch.tensor([1 / 6]).double()))[0])


@pytest.mark.parametrize(("prior", "own", "other"), [("normal", "slerp", "lerp"), ("uniform", "lerp", "slerp")])
def test_prior_chooses_the_path_unless_a_mode_is_given(prior, own, other):
    generator = made(prior)
    middle = {mode: list(walk("3,14", 3, mode=mode).frames(generator))[1] for mode in (None, own, other)}
    assert np.array_equal(middle[None], middle[own])
    assert not np.array_equal(middle[None], middle[other])
    expected = getattr(latents, own)(*generator.latents([3, 14]), torch.tensor([0.5]))
    assert np.array_equal(middle[own], faces(generator, expected)[0])


def test_simultaneous_walks_take_their_points_sheet_by_sheet(generator):
    frames = list(walk("0-5,10-15", 7, rows=2, columns=3).frames(generator))
    sheets = [recipes.Sheet(points=Points(text=text), columns=3).frames(generator) for text in ("0-5", "10-15")]
    assert np.array_equal(frames[0], next(sheets[0]))
    assert np.array_equal(frames[-1], next(sheets[1]))
    alone = list(walk("1,11", 7).frames(generator))
    assert all(np.array_equal(frame[:16, 18:34], own) for frame, own in zip(frames, alone, strict=True))


def test_strip_has_a_row_for_each_leg_with_both_of_its_points(generator):
    (strip,) = walk("3,14,15", 7, strip=True).frames(generator)
    frames = list(walk("3,14,15", 7).frames(generator))
    assert strip.shape == (2 * 18 - 2, 4 * 18 - 2, 3)
    for place, number in enumerate([0, 1, 2, 3, 3, 4, 5, 6]):
        top, left = place // 4 * 18, place % 4 * 18
        assert np.array_equal(strip[top : top + 16, left : left + 16], frames[number])


def test_last_row_of_a_closed_strip_ends_at_the_first_point(generator):
    for recipe, rows in ((walk("3,14", 4, loop=True, strip=True), 2), (walk("3,14", 8, circle=True, strip=True), 4)):
        (strip,) = recipe.frames(generator)
        assert strip.shape == (rows * 18 - 2, 3 * 18 - 2, 3)
        assert np.array_equal(strip[-16:, -16:], strip[:16, :16])


def test_scale_makes_squares_of_pixels():
    generator = made(channels=1)
    small, large = (next(walk("3,14", 2, scale=scale).frames(generator)) for scale in (1, 3))
    assert np.array_equal(large, np.kron(small, np.ones((3, 3), np.uint8)))


def test_corners_are_in_the_corners_and_edges_are_walks(generator):
    (sheet,) = Corners(points=Points(text="1-4"), rows=3, columns=4).frames(generator)
    assert sheet.shape == (3 * 18 - 2, 4 * 18 - 2, 3)
    corners = sheet[:16, :16], sheet[:16, -16:], sheet[-16:, :16], sheet[-16:, -16:]
    assert np.array_equal(np.stack(corners), seeds(generator, 1, 2, 3, 4))
    assert np.array_equal(sheet[18:34, :16], list(walk("1,3", 3).frames(generator))[1])


def test_latents_of_another_model_are_refused(generator):
    points = Points(text="3,me", latents={"me": Latent.of(torch.ones(10))})
    with pytest.raises(SnapshotError, match="me: a latent of 10 numbers, but the generator takes 12"):
        next(Walk(points=points, num_frames=5).frames(generator))


def test_latents_can_be_given_among_seeds(generator):
    z = generator.latents([77])[0]
    points = Points(text="3,me", latents={"me": Latent.of(z)})
    assert np.array_equal(list(Walk(points=points, num_frames=3).frames(generator))[-1], seeds(generator, 77)[0])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"circle": True, "loop": True}, "--circle: is always closed and on a great circle"),
        ({"circle": True, "mode": "slerp"}, "--circle: is always closed and on a great circle"),
        ({"strip": True, "rows": 1, "columns": 2, "text": "1-4"}, "--grid: several walks at once are for animations"),
        ({"rows": 33, "columns": 32}, "--grid 33x32: 1,056 walks at once; 1,024 are the most"),
        ({"scale": 0}, "--scale is 0; it must be at least 1"),
        ({"scale": 65}, "--scale is 65; it must be at most 64"),
    ],
)
def test_impossible_walks_are_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        walk(settings.pop("text", "3,14"), 8, **settings)
