import numpy as np
import pytest
import torch
from pydantic import ValidationError

from described import painter
from facegan.errors import ConfigError, SnapshotError
from facegan.images import to_uint8
from facegan.recipes import Along, Edit
from facegan.seeds import Latent, Points


def unit(place, z_dim=8):
    return Latent.of(torch.eye(z_dim)[place], "d" * 64)


def along(place, low, high, name="bright"):
    return Along(name=name, vector=unit(place), low=low, high=high)


def edit(*directions, seeds="3-4", **more):
    return Edit(points=Points(text=seeds), along=directions, **more)


def test_columns_run_from_low_to_high_in_equal_steps():
    assert [amounts[0] for amounts in edit(along(0, -3, 3)).amounts()] == [-3, -2, -1, 0, 1, 2, 3]
    assert [amounts[0] for amounts in edit(along(0, 1, 2), columns=3).amounts()] == [1, 1.5, 2]


@pytest.mark.parametrize("end", [0.1, 0.3, 0.7, 3, 17.3])
def test_middle_of_a_symmetric_range_is_zero_exactly(end):
    assert edit(along(0, -end, end)).amounts()[3] == [0]


def test_middle_column_equals_the_samples_to_the_pixel():
    generator = painter()
    recipe = edit(along(0, -3, 3))
    faces = np.stack([image for _, image in recipe.faces(generator)])
    images = faces.reshape(len(recipe.points), recipe.columns, *faces.shape[1:])
    assert images.shape == (2, 7, 3, 16, 16)
    assert np.array_equal(images[:, 3], to_uint8(generator.sample([3, 4])).numpy())
    assert not np.array_equal(images[:, 2], images[:, 3])


def test_directions_add_up():
    generator = painter()
    both = edit(along(0, -3, 3), along(1, 2, 2, "lit"), columns=5).latents(generator)
    z = generator.latents([3, 4])
    for column, amount in enumerate((-3, -1.5, 0, 1.5, 3)):
        expected = z.clone()
        expected[:, 0] += amount
        expected[:, 1] += 2
        torch.testing.assert_close(both[:, column], expected)


def test_uniform_latents_move_by_their_deviation_and_stay_in_their_cube():
    generator = painter("uniform")
    z = generator.latents([3, 4])
    latents = edit(along(0, 0, 0.1), along(2, 50, 50, "far"), columns=2).latents(generator)
    torch.testing.assert_close(latents[:, 1, 0], (z[:, 0] + 0.1 / 3**0.5).clamp(-1, 1))
    assert latents[:, :, 2].tolist() == [[1, 1], [1, 1]]
    assert torch.equal(latents[:, 0, 3:], z[:, 3:])


def test_only_the_column_without_any_shift_is_marked():
    generator = painter()
    (marked,) = edit(along(0, -3, 3)).frames(generator)
    (fixed,) = edit(along(0, -3, 3), along(1, 1, 1, "lit")).frames(generator)
    mark = (30, 90, 200)
    assert (marked == mark).all(-1).any()
    assert not (fixed == mark).all(-1).any()


def test_direction_of_another_length_is_refused():
    recipe = edit(Along(name="bright", vector=unit(0, 6), low=-1, high=1))
    with pytest.raises(SnapshotError) as caught:
        recipe.latents(painter())
    assert str(caught.value) == (
        "bright: a latent of 6 numbers, but painter.safetensors takes 8; it belongs to another model"
    )


def test_edit_needs_a_direction_and_two_columns():
    with pytest.raises(ConfigError, match=r"^--cols is 1; it must be at least 2$"):
        edit(along(0, -1, 1), columns=1)
    with pytest.raises(ConfigError, match="along"):
        edit()


@pytest.mark.parametrize("amount", [-101, 1e38, float("nan"), float("inf")])
def test_amounts_beyond_the_limit_are_refused(amount):
    for ends in ((amount, 0), (0, amount)):
        with pytest.raises(ValidationError, match="100"):
            along(0, *ends)
