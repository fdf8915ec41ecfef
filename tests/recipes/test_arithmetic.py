import numpy as np
import pytest
import torch

from facegan import latents
from facegan import seeds as points
from facegan.errors import ConfigError, SnapshotError
from facegan.generator import FaceGenerator
from facegan.images import to_uint8
from facegan.recipes import Arithmetic
from facegan.seeds import Latent, Points


def recipe(plus=("1,5,9", "4,8"), minus=("2,7",), **fields):
    return Arithmetic(plus=tuple(map(points.parse, plus)), minus=tuple(map(points.parse, minus)), **fields)


def frame(recipe, generator):
    (only,) = recipe.frames(generator)
    return only


def shown(sheet, face):
    """Whether a sheet contains a face (C, 16, 16), enlarged 4 times."""
    wanted = face.repeat(4, 1).repeat(4, 2).transpose(1, 2, 0)
    for top in range(sheet.shape[0] - 63):
        line, first = sheet[top].tobytes(), wanted[0].tobytes()
        start = line.find(first)
        while start >= 0:
            if np.array_equal(sheet[top : top + 64, start // 3 : start // 3 + 64], wanted):
                return True
            start = line.find(first, start + 1)
    return False


def test_terms_alternate_in_the_order_in_which_they_are_read():
    order = recipe(plus=("1", "2"), minus=("3", "4", "5")).terms()
    assert [(sign, term.text) for sign, term in order] == [("+", "1"), ("-", "3"), ("+", "2"), ("-", "4"), ("-", "5")]


def test_sum_is_that_of_the_latents(generator):
    one, two, three = (generator.latents(seeds) for seeds in ([1, 5, 9], [4, 8], [2, 7]))
    expected = one.mean(0) + two.mean(0) - three.mean(0)
    torch.testing.assert_close(recipe().z(generator), expected)


def test_sheet_shows_every_face_its_mean_the_sum_and_its_neighbours(generator):
    sheet, sum_ = frame(recipe(), generator), recipe().z(generator)
    z = torch.cat([generator.latents([1, 5, 9, 2, 7, 4, 8]), latents.neighbourhood(sum_, 0.25, 0)])
    means = torch.stack([generator.latents(seeds).mean(0) for seeds in ([1, 5, 9], [2, 7], [4, 8])])
    for face in to_uint8(generator.images(torch.cat([z, means]))).numpy():
        assert shown(sheet, face)
    assert not shown(sheet, to_uint8(generator.sample([3]))[0].numpy())


@pytest.mark.parametrize(
    "change", [{"noise": 0.5}, {"seed": 1}, {"rescale": True}, {"minus": ("2",)}, {"plus": ("1",)}]
)
def test_every_field_changes_the_image(generator, change):
    one, other = frame(recipe(), generator), frame(recipe(**change), generator)
    assert one.shape != other.shape or not np.array_equal(one, other)


def test_rescaled_sum_points_where_the_plain_one_does_and_is_as_long_as_a_latent(generator):
    plain, rescaled = recipe().z(generator), recipe(rescale=True).z(generator)
    assert rescaled.norm() == pytest.approx(12**0.5, rel=1e-5)
    assert torch.cosine_similarity(plain, rescaled, dim=0) == pytest.approx(1, abs=1e-5)
    uniform = FaceGenerator(generator.network, z_dim=12, prior="uniform")
    assert recipe(rescale=True).z(uniform).norm() == pytest.approx(2, rel=1e-5)


def test_terms_that_cancel_are_drawn_but_not_rescaled(generator):
    assert frame(recipe(plus=("1,2",), minus=("1,2",)), generator).size
    with pytest.raises(ConfigError, match=r"^the terms cancel each other; their sum is 0 and cannot be rescaled$"):
        recipe(plus=("1,2",), minus=("1,2",), rescale=True).z(generator)


def test_a_long_term_shows_twelve_faces_and_averages_all(generator):
    sheet = frame(recipe(("0-29",), ()), generator)
    faces = to_uint8(generator.sample([11, 12])).numpy()
    assert (shown(sheet, faces[0]), shown(sheet, faces[1])) == (True, False)
    torch.testing.assert_close(recipe(("0-29",), ()).z(generator), generator.latents(range(30)).mean(0))


def test_terms_that_average_faces_away_are_refused():
    with pytest.raises(ConfigError, match=r"^a term has 10,001 points; give at most 10,000, of more the mean is all"):
        recipe(("0-10000",))


def test_latents_of_another_length_are_refused(generator):
    with pytest.raises(
        SnapshotError, match=r"^me: a latent of 5 numbers, but G.safetensors takes 12; it belongs to another"
    ):
        Arithmetic(plus=(Points(text="me", latents={"me": Latent.of(torch.ones(5))}),)).z(generator)


def test_noise_beyond_the_limit_is_refused():
    for noise in (100.1, 1e38, float("nan")):
        with pytest.raises(ConfigError, match=r"^--noise is .*; it must be at (least 0|most 100)$"):
            recipe(("3",), (), noise=noise)
