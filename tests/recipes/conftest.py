import pytest

from dcgans import trained
from facegan.generator import FaceGenerator
from facegan.networks.dcgan import DCGAN
from origins import origin


@pytest.fixture(scope="session")
def generator():
    """A small generator whose images differ well from each other."""
    network = trained(DCGAN(z_dim=12, ngf=8).generator(16, 3))
    return FaceGenerator(network, z_dim=12, prior="normal", origin=origin())
