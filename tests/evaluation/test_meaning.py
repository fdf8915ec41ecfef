"""What the metrics say of images that were spoilt on purpose, step by step: each moves the right way, and how far."""

import io
from itertools import pairwise

import numpy as np
import pytest
from PIL import Image, ImageFilter

from facegan import plugins
from facegan.data.drawn import DrawnFaces
from facegan.data.image_set import ImageSet
from facegan.evaluation import Pair, Sample
from facegan.evaluation.measure import measure
from facegan.features import random_extractor

NUM_REAL, NUM_FAKE, SIDE = 180, 90, 16
METRICS = {
    "fid": {},
    "kid": {"num_subsets": 20},
    "precision": {},
    "recall": {},
    "density": {},
    "coverage": {},
    "swd": {"num_patches": 16, "num_directions": 64},
    "ms_ssim": {},
    "memorisation": {},
}
DISTANCES = ("fid", "kid", "swd")
SHARES = ("precision", "recall", "density", "coverage")


def faces(seed, num):
    opened = DrawnFaces(num_images=num, seed=seed).open()
    return np.stack([np.asarray(image).transpose(2, 0, 1) for _, image in opened.read(opened.names, SIDE)])


@pytest.fixture(scope="module")
def people():
    """Three sets of drawn faces, no two of one person: real, honest fakes, held out."""
    return faces(0, NUM_REAL), faces(1, NUM_FAKE), faces(2, 60)


@pytest.fixture(scope="module")
def judge(people, tmp_path_factory):
    """judge(images) -> the value of each metric, for images in the place of the fakes; of copies only if asked."""
    real, _, heldout = people
    metrics = {key: plugins.find("metric", key)(**settings) for key, settings in METRICS.items()}
    network = {"inception": random_extractor(3, SIDE)}  # its vectors in the place of Inception's

    def judge(images, changed=lambda images: images, *, copies=False):
        chosen = {key: metric for key, metric in metrics.items() if copies or key != "memorisation"}
        reals = Sample.shuffled(ImageSet(changed(real), "drawn", is_training_set=True), 0)
        pair = Pair(reals, Sample(images), ImageSet(heldout, "held out"), intervals=False)
        found = measure(chosen, pair, network, floor=False)
        return {result.metric: result.value for result in found}

    return judge


@pytest.fixture(scope="module")
def honest(people, judge):
    """Of faces that nothing was done to."""
    return judge(people[1], copies=True)


def one_by_one(change):
    return lambda images: np.stack(
        [np.asarray(change(Image.fromarray(each.transpose(1, 2, 0)))).transpose(2, 0, 1) for each in images]
    )


def blurred(sigma):
    return one_by_one(lambda image: image.filter(ImageFilter.GaussianBlur(sigma)))


def compressed(quality):
    def change(image):
        file = io.BytesIO()
        image.save(file, "JPEG", quality=quality)
        return Image.open(file)

    return one_by_one(change)


def redder(levels):
    shift = np.array([levels, 0, -levels])[:, None, None]
    return lambda images: (images.astype(int) + shift).clip(0, 255).astype(np.uint8)


def noisy(sigma):
    noise = np.random.default_rng(0).normal(0, sigma, (NUM_FAKE, 3, SIDE, SIDE))
    return lambda images: (images + noise).clip(0, 255).astype(np.uint8)


def rising(*values):
    return all(one < other for one, other in pairwise(values))


def test_honest_faces_are_precise_varied_and_nobodys_copies(honest):
    assert all(honest[key] > 0.75 for key in SHARES)
    assert abs(honest["kid"]) < 0.01
    assert abs(honest["memorisation"]) < 0.3


def test_generator_of_fewer_and_fewer_faces_stays_precise_and_covers_less(people, judge, honest):
    """Down to one face, which is precise, and like itself."""
    few, fewer, one = (judge(np.resize(people[1][:num], people[1].shape)) for num in (40, 10, 1))
    for key in DISTANCES:
        assert rising(honest[key], few[key], fewer[key], one[key]), key
    for key in ("recall", "coverage"):
        assert honest[key] > few[key] >= fewer[key] >= one[key], key
        assert one[key] < 0.05, key
    assert min(few["precision"], fewer["precision"]) > 0.75 and one["precision"] == 1
    assert one["ms_ssim"] == pytest.approx(1) and honest["ms_ssim"] < 0.4


def test_noise_is_the_reverse_of_collapse(people, judge, honest):
    """Varied and wrong: precision and density fall first, recall hardly, and images are less alike, not more."""
    some, much = (judge(noisy(sigma)(people[1])) for sigma in (30, 100))
    for key in DISTANCES:
        assert rising(honest[key], some[key], much[key]), key
    for key in SHARES:
        assert rising(much[key], some[key], honest[key]), key
    assert some["precision"] < 0.5 < 0.7 < some["recall"]
    assert much["precision"] == 0
    assert rising(much["ms_ssim"], some["ms_ssim"], honest["ms_ssim"])


def test_blur_is_seen_by_all_but_raises_precision_at_first(people, judge, honest):
    """Blurred faces lie in the middle of the real ones; only strong blur leads out of them."""
    little, much = (judge(blurred(sigma)(people[1])) for sigma in (0.8, 3))
    for key in DISTANCES:
        assert rising(honest[key], little[key], much[key]), key
    for key in ("recall", "coverage"):
        assert rising(much[key], little[key], honest[key]), key
    for key in ("precision", "density"):
        assert little[key] > 0.95 * honest[key] > much[key], key
    assert rising(honest["ms_ssim"], little["ms_ssim"], much["ms_ssim"])


def test_compression_is_seen_by_all(people, judge, honest):
    strong, stronger = (judge(compressed(quality)(people[1])) for quality in (8, 2))
    for key in DISTANCES:
        assert rising(honest[key], strong[key], stronger[key]), key
    for key in SHARES:
        assert rising(stronger[key], strong[key], honest[key]), key


def test_shift_of_colour_is_seen_by_vectors_and_not_by_swd(people, judge, honest):
    """SWD brings every channel of either set to one mean and contrast: that is its protocol."""
    little, much = (judge(redder(levels)(people[1])) for levels in (20, 50))
    for key in ("fid", "kid"):
        assert rising(honest[key], little[key], much[key]), key
    for key in SHARES:
        assert rising(much[key], little[key], honest[key]), key
    assert much["swd"] < 1.3 * honest["swd"]


def test_mirror_images_are_seen_where_faces_have_a_side(people, judge):
    """All are lit from the left but for those that are mirrored."""
    light = np.linspace(1.2, 0.4, SIDE)

    def lit(images):
        return (images * light).clip(0, 255).astype(np.uint8)

    none, half, all_ = (
        judge(np.concatenate([fakes[:num, :, :, ::-1], fakes[num:]]), lit)
        for fakes in [lit(people[1])]
        for num in (0, NUM_FAKE // 2, NUM_FAKE)
    )
    for key in DISTANCES:
        assert rising(none[key], half[key], all_[key]), key
    for key in ("precision", "density", "coverage"):
        assert rising(all_[key], half[key], none[key]), key
    assert all_["recall"] < 0.1 < 0.7 < half["recall"]  # half of the faces still lie among all the real ones
    assert half["ms_ssim"] < none["ms_ssim"]


def test_copies_of_training_images_are_caught_by_memorisation_and_by_nothing_else(people, judge, honest):
    """All others take them for the best of faces."""
    some, all_ = (
        judge(np.concatenate([people[0][:num], people[1][num:]]), copies=True) for num in (NUM_FAKE // 2, NUM_FAKE)
    )
    assert rising(honest["memorisation"], some["memorisation"], all_["memorisation"])
    assert all_["memorisation"] == 1
    for key in ("fid", "swd"):
        assert all_[key] < some[key] < honest[key], key
    for key in ("precision", "recall", "coverage"):
        assert all_[key] >= honest[key], key
