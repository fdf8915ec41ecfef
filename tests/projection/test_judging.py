import torch

from facegan.data.packed.stored import open_stored
from facegan.generators import FaceGenerator
from facegan.networks.dcgan import DCGAN
from facegan.projection import Reference, Settings, reference


def test_percentile_is_the_share_that_came_nearer_and_5_of_100_are_beyond():
    measured = Reference(distances=[n / 100 for n in range(100)], rms=[0.1] * 100)
    assert measured.percentile(0.5) == 50
    assert measured.percentile(9) == 100
    assert measured.knows(0.9)
    assert not measured.knows(0.97)


def test_reference_is_measured_once_and_kept_for_its_settings(store, cache):
    torch.manual_seed(0)
    network = DCGAN(z_dim=4, ngf=2).generator(16, 3)
    generator = FaceGenerator(network, z_dim=4, prior="normal", info={"digest": "d", "weights": "G"})
    faces, settings = open_stored(store(5)), Settings(restarts=1, steps=2, candidates=256)
    seen = []
    first = reference(generator, None, faces, settings, lambda done, total: seen.append(total))
    assert len(first.distances) == 5
    assert set(seen) == {5}
    seen.clear()
    assert reference(generator, None, faces, settings, lambda *_: seen.append(1)) == first
    assert seen == []
    reference(generator, None, faces, settings.model_copy(update={"steps": 3}))
    assert len(list((cache / "projections").iterdir())) == 2
