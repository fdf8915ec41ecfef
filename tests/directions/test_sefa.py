import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm

from described import painter
from facegan.directions.sefa import first_layer_matrix, sefa
from facegan.errors import PluginError
from facegan.generator import FaceGenerator
from facegan.networks.dcgan import DCGAN


def made(head="conv"):
    torch.manual_seed(0)
    return FaceGenerator(DCGAN(z_dim=12, ngf=8, head=head).generator(16, 3), z_dim=12, prior="normal")


def test_directions_are_the_right_singular_vectors_of_the_first_layer():
    generator = made("linear")
    A = generator.network.head[0].weight.detach().double().numpy()  # (outputs, z_dim)
    _, singular, vectors = np.linalg.svd(A)
    found, shares = sefa(generator, 5)
    assert found.shape == (5, 12)
    cosines = np.abs((found.double().numpy() * vectors[:5]).sum(1))
    np.testing.assert_allclose(cosines, 1, atol=1e-4)
    np.testing.assert_allclose(shares.numpy(), singular[:5] ** 2 / (singular**2).sum(), rtol=1e-4)


def test_transposed_convolution_is_the_same_map_as_its_weights():
    weight = made().network.head[1].weight.detach()  # (z_dim, features, 4, 4)
    torch.testing.assert_close(first_layer_matrix(made()), weight.flatten(1).T, rtol=1e-4, atol=1e-6)


def test_spectral_norm_is_a_part_of_the_layer():
    network = nn.Sequential(spectral_norm(nn.Linear(6, 20, bias=False)), nn.Tanh(), nn.Linear(20, 3))
    A = first_layer_matrix(FaceGenerator(network, z_dim=6, prior="normal"))
    assert float(torch.linalg.matrix_norm(A, 2)) == pytest.approx(1, abs=0.05)


def test_signs_do_not_depend_on_chance():
    found, _ = sefa(painter(), 8)
    assert (found.gather(1, found.abs().argmax(1, keepdim=True)) > 0).all()
    assert found[0, 0] > 0.99  # brightness moves the most values


class Normed(nn.Linear):
    def forward(self, z):
        return super().forward(z / z.square().mean(1, keepdim=True).add(1e-8).sqrt())


class Mixed(nn.Linear):
    def forward(self, z):
        return super().forward(z.flatten()[None, :6])


@pytest.mark.parametrize(
    ("layer", "refusal"),
    [
        (Normed, "Sequential: its first layer is no linear map of z (z is changed before it); SeFa needs one"),
        (Mixed, "Sequential: no layer with weights takes each z separately; SeFa needs one"),
    ],
)
def test_first_layer_that_is_no_linear_map_of_each_z_is_refused(layer, refusal):
    generator = FaceGenerator(nn.Sequential(layer(6, 20), nn.Tanh()), z_dim=6, prior="normal")
    with pytest.raises(PluginError) as caught:
        sefa(generator, 2)
    assert str(caught.value) == refusal
