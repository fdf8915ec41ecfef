import numpy as np
import pytest
import torch
from PIL import Image

from facegan.config import DataConfig
from facegan.data.image_set import ImageSet, from_source, held_out
from facegan.neighbours import compare_in_space, features, pixels
from facegan.networks.dcgan import DCGAN


def images(pixels, **about):
    return ImageSet(pixels, "images", **about)


@pytest.fixture
def spaces():
    torch.manual_seed(0)
    return [pixels(), features(DCGAN(ndf=8).discriminator(16, 3).eval())]


@pytest.mark.parametrize("which", [0, 1], ids=["pixels", "features"])
def test_memoriser_is_nearer_than_all_that_is_unseen(faces, noisy, spaces, which):
    training = faces(400, 1)
    copies = noisy(training[np.random.default_rng(0).integers(0, 400, 200)])
    found = compare_in_space(
        spaces[which], images(training), copies[:4], measured=(copies, images(faces(150, 2)))
    ).memorisation
    assert found.nearer.value > 0.99
    assert found.below_1.value > 0.95
    assert found.seen > 0.99 > found.seen_by_chance.interval[1]


@pytest.mark.parametrize("which", [0, 1], ids=["pixels", "features"])
def test_fresh_draws_are_as_near_as_unseen_images(faces, spaces, which):
    found = compare_in_space(
        spaces[which], images(faces(400, 1)), faces(4, 3), measured=(faces(300, 3), images(faces(300, 2)))
    ).memorisation
    assert found.nearer.interval[0] < 0.5 < found.nearer.interval[1]
    assert found.below_5.interval[0] < 0.05 < found.below_5.interval[1]
    low, high = found.seen_by_chance.interval
    assert low < found.seen < high


def test_blur_brings_samples_nearer_in_pixels_but_not_to_what_was_trained_on(faces, spaces):
    fresh = faces(300, 3).astype(np.float64)
    blocks = fresh.reshape(300, 3, 4, 4, 4, 4).mean((3, 5))
    blurred = np.kron(blocks, np.ones((1, 1, 4, 4))).round().astype(np.uint8)
    found = compare_in_space(
        spaces[0], images(faces(400, 1)), blurred[:4], measured=(blurred, images(faces(300, 2)))
    ).memorisation
    assert found.nearer.value > 0.9
    low, high = found.seen_by_chance.interval
    assert low < found.seen < high


def test_neighbours_are_those_of_the_samples_shown(faces, noisy, spaces):
    training = faces(60, 1)
    shown = noisy(training[[5, 17]])
    found = compare_in_space(spaces[0], images(training), shown, measured=(faces(20, 2), images(faces(20, 3))), k=2)
    assert found.neighbours.indices.shape == (2, 2)
    assert found.neighbours.indices[:, 0].tolist() == [5, 17]
    alone = compare_in_space(spaces[0], images(training), shown, k=2)
    assert alone.memorisation is None
    assert np.array_equal(alone.neighbours.indices, found.neighbours.indices)


def test_mirrored_copies_are_copies_where_mirror_images_were_trained_on(faces, noisy, spaces):
    training = faces(200, 1)
    copies = noisy(training[:100, :, :, ::-1])
    for mirror in (True, False):
        found = compare_in_space(
            spaces[0], images(training, mirror=mirror), copies[:1], measured=(copies, images(faces(100, 2)))
        )
        share = found.memorisation.nearer.value
        assert share > 0.99 if mirror else share < 0.7


def test_people_are_those_of_the_images_folders(faces, spaces, tmp_path):
    for number, image in enumerate(faces(120, 1)):
        folder = tmp_path / f"person {number % 40}"
        folder.mkdir(exist_ok=True)
        Image.fromarray(image.transpose(1, 2, 0)).save(folder / f"{number}.png")
    data = DataConfig(source=str(tmp_path), split="train")
    training = from_source(data, resolution=16, channels=3)
    unseen = held_out(training, 100)
    samples = faces(200, 3)
    known, unknown = (
        compare_in_space(spaces[0], each[0], samples[:0], measured=(samples, each[1])).memorisation
        for each in ((training, unseen), (images(training.images), images(unseen.images)))
    )
    assert len(training) + len(unseen) == 120
    assert known.seen == unknown.seen
    assert np.ptp(known.seen_by_chance.interval) > np.ptp(unknown.seen_by_chance.interval)
