import numpy as np
import pytest
import pytorch_msssim
import torch

from campaign import NUM_SIMULATIONS, assert_95_percent_coverage
from facegan import plugins
from facegan.evaluation import Pair, Sample
from facegan.evaluation.metrics import ms_ssim as module
from facegan.evaluation.metrics.ms_ssim import WEIGHTS, diversity, ms_ssim


def smooth(num, channels, size, seed=0):
    """Images of blocks and a little noise."""
    rng = np.random.default_rng(seed)
    blocks = np.kron(rng.integers(0, 200, (num, channels, size // 4, size // 4)), np.ones((4, 4)))
    return torch.from_numpy((blocks + rng.integers(0, 50, blocks.shape)).astype(np.uint8))


def slow(a, b):
    """One pair's similarity with a window laid at every place in turn, (C, H, W)."""
    a, b = (np.asarray(each, np.float64) for each in (a, b))
    total = 1.0
    for number, weight in enumerate(WEIGHTS):
        size = min(11, *a.shape[1:])
        axis = np.arange(size) - (size - 1) / 2
        window = np.exp(-(axis[:, None] ** 2 + axis**2) / (2 * (1.5 * size / 11) ** 2))
        window /= window.sum()
        similarities, contrasts = [], []
        for x, y in zip(a, b, strict=True):
            for top in range(x.shape[0] - size + 1):
                for left in range(x.shape[1] - size + 1):
                    p, q = (each[top : top + size, left : left + size] for each in (x, y))
                    mean_p, mean_q = (window * p).sum(), (window * q).sum()
                    var_p, var_q = (window * (p - mean_p) ** 2).sum(), (window * (q - mean_q) ** 2).sum()
                    both = (window * (p - mean_p) * (q - mean_q)).sum()
                    contrasts.append((2 * both + 7.65**2) / (var_p + var_q + 7.65**2))
                    light = (2 * mean_p * mean_q + 2.55**2) / (mean_p**2 + mean_q**2 + 2.55**2)
                    similarities.append(light * contrasts[-1])
        chosen = similarities if number == len(WEIGHTS) - 1 else contrasts
        total *= max(0, np.mean(chosen)) ** weight
        a, b = ((e[:, ::2, ::2] + e[:, 1::2, ::2] + e[:, ::2, 1::2] + e[:, 1::2, 1::2]) / 4 for e in (a, b))
    return total


def test_similarity_equals_pytorch_msssim_where_no_window_shrinks():
    a = smooth(3, 1, 176)
    b = torch.cat([a[:2] // 2 + 30, smooth(1, 1, 176, seed=1)])
    expected = pytorch_msssim.ms_ssim(a.double(), b.double(), data_range=255, size_average=False)
    assert torch.allclose(ms_ssim(a, b), expected, atol=1e-6)


@pytest.mark.parametrize(("channels", "size"), [(1, 16), (3, 16), (3, 32)])
def test_similarity_equals_a_literal_second_implementation_where_windows_shrink(channels, size):
    a = smooth(2, channels, size)
    b = torch.stack([a[0] // 2 + 30, a[1].roll(2, -1)])
    expected = [slow(*pair) for pair in zip(a, b, strict=True)]
    assert ms_ssim(a, b).tolist() == pytest.approx(expected, rel=1e-9)
    assert 0.01 < max(expected) < 0.99


def test_channels_count_together():
    a, b = smooth(2, 1, 32), smooth(2, 1, 32, seed=1)
    assert torch.allclose(ms_ssim(a.repeat(1, 3, 1, 1), b.repeat(1, 3, 1, 1)), ms_ssim(a, b))


def test_equal_images_have_1_and_negatives_0():
    a = smooth(4, 3, 32)
    assert torch.allclose(ms_ssim(a, a), torch.ones(4, dtype=torch.float64))
    assert ms_ssim(a, 255 - a).tolist() == [0, 0, 0, 0]


def test_odd_sizes_lose_their_last_row():
    a, b = smooth(1, 1, 20), smooth(1, 1, 20, seed=1)
    assert 0 <= float(ms_ssim(a[..., :19, :17], b[..., :19, :17])) < 1


def test_one_face_has_1_and_noise_nearly_0():
    one = smooth(1, 3, 32).repeat(20, 1, 1, 1)
    noise = torch.randint(0, 256, (40, 3, 32, 32), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    assert diversity(Sample(one.numpy()), 20).value == pytest.approx(1)
    assert diversity(Sample(noise.numpy()), 40).value < 0.15


def test_pairs_are_disjoint_and_random(monkeypatch):
    seen = []

    def spy(a, b):
        seen.extend(zip(a.flatten(1)[:, 0].tolist(), b.flatten(1)[:, 0].tolist(), strict=True))
        return torch.ones(len(a))

    monkeypatch.setattr(module, "ms_ssim", spy)
    monkeypatch.setattr(module, "CHUNK", 3 * 256)  # several chunks
    images = np.arange(21, dtype=np.uint8)[:, None, None, None].repeat(16, 2).repeat(16, 3)
    diversity(Sample(images), 100)
    first = list(seen)
    assert len(first) == 10
    assert len({number for pair in first for number in pair}) == 20
    diversity(Sample(images), 100, seed=1)
    assert seen[10:] != first
    seen.clear()
    diversity(Sample(images), 9)
    assert len(seen) == 4


@NUM_SIMULATIONS
@pytest.mark.parametrize("num", [20, 60])
def test_intervals_cover_the_similarity_expected_of_as_many_fakes(num, num_simulations):
    rng = np.random.default_rng(0)
    found = []
    for _ in range(num_simulations):
        contrast = rng.uniform(5, 60, (num, 1, 1, 1))
        images = 128 + contrast * np.kron(rng.normal(size=(num, 1, 4, 4)), np.ones((1, 1, 4, 4)))
        found.append(diversity(Sample(images.clip(0, 255).astype(np.uint8)), num))
    assert_95_percent_coverage(found)


def test_one_pair_has_no_interval():
    assert diversity(Sample(smooth(3, 1, 16).numpy()), 3).interval is None


def pair(real, fake, **settings):
    return Pair(Sample(real), Sample(fake), **settings)


def metric(**settings):
    return plugins.find("metric", "ms_ssim")(**settings)


def test_details_hold_the_value_of_the_reals(faces):
    real, fake = faces(30, 0), np.repeat(faces(1, 1), 21, 0)
    found = metric().measure(pair(real, fake))
    assert found.value == pytest.approx(1)
    assert found.details["real"] == metric().measure(pair(fake, real)).value < 0.5
    low, high = found.details["real_interval"]
    assert low < found.details["real"] < high
    assert (found.details["num_pairs"], found.details["num_real_pairs"]) == (10, 15)
    assert metric().better == "nearer"


def test_number_of_images_and_seed_change_the_pairs(faces):
    both = pair(faces(30, 0), faces(30, 1))
    values = [metric().measure(both).value, metric(num_images=20).measure(both).value]
    values.append(metric().measure(pair(faces(30, 0), faces(30, 1), seed=1)).value)
    assert len(set(values)) == 3
    assert metric().num_images == 10_000
    assert metric(num_images=20).measure(both).details["num_pairs"] == 10


def test_reals_have_no_interval_where_none_is_asked_for(faces):
    found = metric().measure(pair(faces(8, 0), faces(8, 1), intervals=False))
    assert found.details["real_interval"] is None


@pytest.mark.parametrize(
    ("num_fake", "size", "message"),
    [
        (1, 16, "needs at least 2 generated images (there are 1)"),
        (9, 15, "needs images of at least 16 x 16 pixels (they have 15 x 15)"),
        (9, 16, None),
    ],
)
def test_too_few_or_small_images_are_refused_with_numbers(faces, num_fake, size, message):
    assert metric().lacks(pair(faces(9, 0)[..., :size, :size], faces(num_fake, 0)[..., :size, :size])) == message
