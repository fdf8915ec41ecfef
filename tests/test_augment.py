import itertools

import pytest
import torch

from facegan.augment import augment


def source(seed=0):
    return torch.Generator().manual_seed(seed)


def images(num=64, side=16, channels=3):
    return torch.rand(num, channels, side, side, generator=source(9)) * 2 - 1


def test_no_policy_leaves_images_and_randomness_alone():
    x, generator = images(), source()
    before = generator.get_state()
    assert augment(x, "", generator) is x
    assert torch.equal(generator.get_state(), before)


@pytest.mark.parametrize("policy", ["color", "translation", "cutout", "color,translation,cutout"])
def test_each_image_is_changed_in_its_own_way_and_again_by_the_same_generator(policy):
    x = images(1).repeat(32, 1, 1, 1)
    changed = augment(x, policy, source())
    assert changed.shape == x.shape
    assert len(changed.flatten(1).unique(dim=0)) > 16
    assert torch.equal(changed, augment(x, policy, source()))
    assert not torch.equal(changed, augment(x, policy, source(1)))


def test_translation_shifts_by_at_most_an_eighth_and_moves_zeros_in():
    x = images(200)
    seen = set()
    for before, after in zip(x, augment(x, "translation", source()), strict=True):
        for down, right in itertools.product(range(-2, 3), repeat=2):
            padded = torch.nn.functional.pad(before, (2, 2, 2, 2))
            if torch.equal(padded[:, 2 + down : 18 + down, 2 + right : 18 + right], after):
                seen.add((down, right))
                break
        else:
            pytest.fail("no shift of up to 2 pixels explains this image")
    assert len(seen) == 25


def test_cutout_hides_a_square_of_half_the_side_and_nothing_else():
    x = images(200) + 3  # nowhere 0
    areas, y = [], augment(x, "cutout", source())
    for before, after in zip(x, y, strict=True):
        hidden = (after == 0).all(0)
        rows, columns = hidden.any(1).nonzero().flatten(), hidden.any(0).nonzero().flatten()
        box = torch.zeros_like(hidden)
        box[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1] = True
        assert torch.equal(hidden, box)
        assert torch.equal(after[:, ~hidden], before[:, ~hidden])
        assert max(len(rows), len(columns)) <= 8
        areas.append(len(rows) * len(columns))
    assert max(areas) == 64
    assert min(areas) < 64  # the centre may lie at the border


def test_color_keeps_to_the_published_strengths():
    # Each image becomes mean' + contrast * (grey + saturation * (x - grey) - mean), with mean' = mean + brightness.
    x = images(2000, side=4).double()
    y = augment(x, "color", source())
    brightness = (y - x).mean((1, 2, 3))
    grey_x, grey_y = x.mean(1), y.mean(1)
    contrast = grey_y.std((1, 2)) / grey_x.std((1, 2))
    chroma = (y - grey_y[:, None]).std((1, 2, 3)) / (x - grey_x[:, None]).std((1, 2, 3)) / contrast
    for values, low, high in ((brightness, -0.5, 0.5), (contrast, 0.5, 1.5), (chroma, 0.0, 2.0)):
        assert low - 1e-5 <= values.min() < low + 0.02 * (high - low)
        assert high - 0.02 * (high - low) < values.max() <= high + 1e-5
        assert values.mean() == pytest.approx((low + high) / 2, abs=0.03)


def test_color_of_a_grey_image_stays_one_channel():
    x = images(8, channels=1)
    assert augment(x, "color", source()).shape == x.shape


@pytest.mark.parametrize("policy", ["color", "translation", "cutout", "color,translation,cutout"])
def test_gradients_reach_the_images(policy):
    x = images(2, side=8).double().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: augment(x, policy, source()), x)
