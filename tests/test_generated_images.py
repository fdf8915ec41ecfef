import errno
import os
import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from facegan.errors import FaceganError, SnapshotError
from facegan.generator import FaceGenerator
from facegan.images import to_uint8
from facegan.reporter import Callbacks
from facegan.sampling import generated
from origins import origin


class Blocks(nn.Module):
    """A generator that shows its latent."""

    def __init__(self):
        super().__init__()
        self.loudness = nn.Parameter(torch.ones(()))

    def forward(self, z):
        return torch.tanh(self.loudness * z[:, :48].reshape(-1, 3, 4, 4))


@pytest.fixture
def generator():
    return FaceGenerator(Blocks(), z_dim=48, prior="normal", origin=origin())


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    """A temporary folder of the test's own."""
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    yield tmp_path
    tempfile.tempdir = None


def test_images_are_those_of_the_seeds_in_a_file_that_goes(generator, temporary):
    counts = []
    reporter = Callbacks(progress={"sampling": lambda *each: counts.append(each)})
    with generated(generator, 70, reporter=reporter) as images:
        expected = to_uint8(generator.sample(range(70))).numpy()
        np.testing.assert_array_equal(images.images, expected)
        assert isinstance(images.images, np.memmap) and images.images.dtype == np.uint8
        (folder,) = temporary.iterdir()
        if os.name == "posix":  # nothing that takes room is left, even by a process that is killed
            assert list(folder.iterdir()) == []
    assert list(temporary.iterdir()) == [] and counts[-1] == (70, 70)


def test_images_that_are_not_finite_are_refused(generator, temporary):
    nn.init.constant_(generator.network.loudness, float("nan"))
    with (
        pytest.raises(SnapshotError, match=r"^G\.safetensors: images are not finite, its weights are too large"),
        generated(generator, 3),
    ):
        pass
    assert list(temporary.iterdir()) == []


@pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="the system cannot set room aside")
def test_disk_without_room_is_an_error_of_one_line(generator, temporary, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(FaceganError) as refused, generated(generator, 70_000):
        pass
    assert str(refused.value) == (
        f"{temporary}: has no room for 70,000 generated images of together 3.4 MB (No space left on device); "
        "set TMPDIR to a folder that has, or draw fewer"
    )
    assert list(Path(temporary).iterdir()) == []
