import errno
import os
import tempfile

import numpy as np
import pytest
import torch

from facegan.errors import FaceganError, SnapshotError
from facegan.generator import FaceGenerator
from facegan.images import to_uint8
from facegan.networks.dcgan import DCGAN
from facegan.reporter import Callbacks
from facegan.sampling import finite_images, generated, sample
from origins import origin


@pytest.fixture
def generator():
    return FaceGenerator(
        DCGAN(z_dim=4, ngf=2).generator(16, 3), z_dim=4, prior="normal", origin=origin("x.safetensors")
    )


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    """The folder of temporary files, of the test's own."""
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    yield tmp_path
    tempfile.tempdir = None


def scale_weights(generator, factor):
    with torch.no_grad():
        for parameter in generator.network.parameters():
            parameter.mul_(factor)


def test_batches_are_those_of_the_generator(generator):
    batches = list(sample(generator, range(70)))
    assert [list(seeds) for seeds, _ in batches] == [list(range(64)), list(range(64, 70))]
    assert torch.equal(torch.cat([images for _, images in batches]), generator.sample(range(70)))


def test_images_that_are_not_finite_are_refused_and_leave_nothing(generator, temporary):
    scale_weights(generator, 1e38)
    refusal = r"^x\.safetensors: images are not finite, its weights are too large; take another snapshot$"
    with pytest.raises(SnapshotError, match=refusal):
        list(sample(generator, [0]))
    with pytest.raises(SnapshotError, match=refusal), generated(generator, 3):
        pass
    assert list(temporary.iterdir()) == []


def test_latents_that_are_too_large_are_named_as_the_reason(generator):
    scale_weights(generator, 10)
    finite_images(generator, torch.full((1, 4), -3.0))
    with pytest.raises(SnapshotError) as caught:
        finite_images(generator, torch.full((1, 4), -3e38))
    assert str(caught.value) == "x.safetensors: images are not finite, for latents as large as 3e+38; take others"


def test_generated_images_are_those_of_the_seeds_in_a_file_that_goes(generator, temporary):
    counts = []
    reporter = Callbacks(progress={"sampling": lambda *each: counts.append(each)})
    with generated(generator, 70, reporter=reporter) as images:
        expected = to_uint8(generator.sample(range(70))).numpy()
        np.testing.assert_array_equal(images.images, expected)
        assert isinstance(images.images, np.memmap) and images.images.dtype == np.uint8
        (folder,) = temporary.iterdir()
        if os.name == "posix":  # nothing that takes space remains, even after a process that is killed
            assert list(folder.iterdir()) == []
    assert list(temporary.iterdir()) == [] and counts[-1] == (70, 70)


@pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="the system cannot allocate space")
def test_disk_without_room_is_an_error_of_one_line(generator, temporary, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(FaceganError) as refused, generated(generator, 70_000):
        pass
    assert str(refused.value) == (
        f"{temporary}: has no room for 70,000 generated images of together 53.8 MB (No space left on device); "
        "set TMPDIR to a folder that has, or draw fewer"
    )
    assert list(temporary.iterdir()) == []
