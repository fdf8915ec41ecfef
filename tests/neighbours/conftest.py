import numpy as np
import pytest


@pytest.fixture(autouse=True)
def few_resamples(monkeypatch):
    """Intervals here need not be smooth."""
    monkeypatch.setattr("facegan.neighbours.memorisation.RESAMPLES", 200)


@pytest.fixture
def noisy():
    """noisy(images) -> the same with a little noise: what a generator draws that copies."""

    def make(pictures):
        noise = np.random.default_rng(99).integers(-8, 9, pictures.shape)
        return (pictures + noise).clip(0, 255).astype(np.uint8)

    return make
