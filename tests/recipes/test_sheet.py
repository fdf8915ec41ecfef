import numpy as np
import pytest
import torch

from facegan import images
from facegan.errors import ConfigError
from facegan.recipes import Sheet
from facegan.seeds import Latent, Points, parse


def test_faces_are_those_of_the_generator_row_by_row(generator):
    (frame,) = Sheet(points=parse("0-4,70"), columns=4).frames(generator)
    faces = images.to_uint8(generator.sample([0, 1, 2, 3, 4, 70]))
    assert np.array_equal(frame, images.grid(faces, 4))


def test_truncation_draws_from_nearer_to_the_middle(generator):
    (frame,) = Sheet(points=parse("3"), truncation=0.5).frames(generator)
    expected = images.to_uint8(generator.images(generator.latents([3]) * 0.5))
    assert np.array_equal(frame, images.grid(expected))
    (none,) = Sheet(points=parse("3-4"), truncation=0).frames(generator)
    assert np.array_equal(none[:, :16], none[:, 18:])  # one mean face


def test_labels_are_below_the_faces(generator):
    (plain,) = Sheet(points=parse("0-3"), columns=4).frames(generator)
    (labelled,) = Sheet(points=parse("0-3"), columns=4, labels=True).frames(generator)
    assert labelled.shape == (64 + 16, 4 * 66 - 2, 3)
    for column in range(4):
        face = labelled[:64, column * 66 : column * 66 + 64]
        assert np.array_equal(face[::4, ::4], plain[:, column * 18 : column * 18 + 16])
        assert (labelled[64:, column * 66 : column * 66 + 64] < 128).any()


def test_single_is_the_face_alone(generator):
    latents = {"me.safetensors": Latent.of(torch.randn(generator.z_dim))}
    sheet = Sheet(points=Points(text="5,me.safetensors", latents=latents), truncation=0.7)
    (both,) = sheet.frames(generator)
    for name, column in ((5, both[:, :16]), ("me.safetensors", both[:, 18:])):
        assert np.array_equal(next(sheet.single(name).frames(generator)), column)


@pytest.mark.parametrize("psi", [-0.1, float("nan")])
def test_truncation_is_between_0_and_1(psi):
    with pytest.raises(ConfigError, match=r"^--truncation is .*; it must be at (least 0|most 1)$"):
        Sheet(points=parse("0"), truncation=psi)
