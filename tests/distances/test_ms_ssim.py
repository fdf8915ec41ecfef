import numpy as np
import pytest
import pytorch_msssim
import torch

from facegan.distances import ms_ssim as module
from facegan.distances.ms_ssim import WEIGHTS, diversity, ms_ssim


def smooth(num, channels, size, seed=0):
    """Pictures of blocks and a little noise."""
    rng = np.random.default_rng(seed)
    blocks = np.kron(rng.integers(0, 200, (num, channels, size // 4, size // 4)), np.ones((4, 4)))
    return torch.from_numpy((blocks + rng.integers(0, 50, blocks.shape)).astype(np.uint8))


def slow(a, b):
    """One pair's similarity with a window laid at every place in turn, (C, H, W)."""
    a, b = (np.asarray(each, np.float64) for each in (a, b))
    whole = 1.0
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
        whole *= max(0, np.mean(chosen)) ** weight
        a, b = ((e[:, ::2, ::2] + e[:, 1::2, ::2] + e[:, ::2, 1::2] + e[:, 1::2, 1::2]) / 4 for e in (a, b))
    return whole


def take(pictures):
    return lambda numbers: np.asarray(pictures)[numbers]


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


def test_equal_pictures_have_1_and_negatives_0():
    a = smooth(4, 3, 32)
    assert torch.allclose(ms_ssim(a, a), torch.ones(4, dtype=torch.float64))
    assert ms_ssim(a, 255 - a).tolist() == [0, 0, 0, 0]


def test_odd_sizes_lose_their_last_row():
    a, b = smooth(1, 1, 20), smooth(1, 1, 20, seed=1)
    assert 0 <= float(ms_ssim(a[..., :19, :17], b[..., :19, :17])) < 1


def test_one_face_has_1_and_noise_nearly_0():
    one = smooth(1, 3, 32).repeat(20, 1, 1, 1)
    noise = torch.randint(0, 256, (40, 3, 32, 32), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    assert diversity(take(one), 20, 20).value == pytest.approx(1)
    assert diversity(take(noise), 40, 40).value < 0.15


def test_pairs_are_disjoint_and_random(monkeypatch):
    seen = []

    def spy(a, b):
        seen.extend(zip(a.flatten(1)[:, 0].tolist(), b.flatten(1)[:, 0].tolist(), strict=True))
        return torch.ones(len(a))

    monkeypatch.setattr(module, "ms_ssim", spy)
    monkeypatch.setattr(module, "CHUNK", 3 * 256)  # several chunks
    pictures = np.arange(21, dtype=np.uint8)[:, None, None, None].repeat(16, 2).repeat(16, 3)
    diversity(take(pictures), 21, 100)
    first = list(seen)
    assert len(first) == 10
    assert len({number for pair in first for number in pair}) == 20
    diversity(take(pictures), 21, 100, seed=1)
    assert seen[10:] != first
    seen.clear()
    diversity(take(pictures), 21, 9)
    assert len(seen) == 4


def test_interval_covers_the_mean_of_other_pairs():
    pictures = smooth(60, 1, 16)
    found = [diversity(take(pictures), 60, 60, seed=seed) for seed in range(10)]
    whole = np.mean([each.value for each in found])
    assert sum(low <= whole <= high for low, high in (each.interval for each in found)) >= 8
    assert all(high - low < 0.5 for low, high in (each.interval for each in found))


def test_one_pair_has_no_interval():
    assert diversity(take(smooth(3, 1, 16)), 3, 3).interval is None
