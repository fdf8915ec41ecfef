import numpy as np
import pytest


@pytest.fixture(autouse=True)
def few_resamples(monkeypatch):
    """Intervals here need not be smooth."""
    monkeypatch.setattr("facegan.neighbours.memorisation.RESAMPLES", 200)


@pytest.fixture
def faces():
    """faces(num, seed) -> uint8 (num, 3, 16, 16): draws of one distribution, smooth in parts, no two alike."""

    def make(num, seed):
        rng = np.random.default_rng(seed)
        blocks = np.kron(rng.normal(size=(num, 3, 4, 4)), np.ones((1, 1, 4, 4)))
        pixels = 128 + 40 * blocks + 25 * rng.normal(size=(num, 3, 16, 16))
        return pixels.clip(0, 255).astype(np.uint8)

    return make


@pytest.fixture
def noisy():
    """noisy(pictures) -> the same with a little noise: what a generator draws that copies."""

    def make(pictures):
        noise = np.random.default_rng(99).integers(-8, 9, pictures.shape)
        return (pictures + noise).clip(0, 255).astype(np.uint8)

    return make
