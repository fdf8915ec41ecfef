import numpy as np
import pytest
import torch

from counted import Counted
from facegan.data.image_set import from_packed
from facegan.data.packed.packed_images import open_packed
from facegan.generator import FaceGenerator
from facegan.images import to_float
from facegan.networks.dcgan import DCGAN
from facegan.projection import Projection, SearchSettings
from facegan.projection.comparison import ComparisonFaces, FaceErrors, compare_projections, face_errors
from origins import origin

QUICK = SearchSettings(restarts=1, steps=2, candidates=256)
ERRORS = FaceErrors(distances=[0.1, 0.3], rms=[0.2, 0.4])


@pytest.fixture
def generator():
    torch.manual_seed(0)
    network = DCGAN(z_dim=4, ngf=2).generator(16, 3)
    return FaceGenerator(network, z_dim=4, prior="normal", origin=origin(digest="d"))


@pytest.fixture
def D():
    torch.manual_seed(1)
    return DCGAN(ndf=16).discriminator(16, 3).eval()


def projection(distance=0.2, **measures):
    return Projection(z=torch.zeros(4), image=torch.zeros(3, 16, 16), rms=0.1, distance=distance, **measures)


def test_percentile_is_the_share_of_smaller_distances():
    errors = FaceErrors(distances=[n / 100 for n in range(100)], rms=[0.1] * 100)
    assert errors.percentile(0.5) == 50
    assert errors.percentile(-1) == 0
    assert errors.percentile(9) == 100


def test_errors_of_faces_are_measured_once_for_their_settings(generator, store, cache):
    faces = from_packed(open_packed(store(5)))
    reporter = Counted()
    first = face_errors(generator, None, faces, QUICK, reporter=reporter)
    assert len(first.distances) == 5
    assert reporter.counts[-1] == (5 * QUICK.steps, 5 * QUICK.steps)
    reporter.counts.clear()
    assert face_errors(generator, None, faces, QUICK, reporter=reporter) == first
    assert reporter.counts == []
    face_errors(generator, None, faces, QUICK.model_copy(update={"steps": 3}))
    assert len(list((cache / "projections").iterdir())) == 2


def test_image_beyond_the_99th_percentile_of_unseen_faces_is_not_known():
    assert projection(unlike_percentile=99.0).known is True
    assert projection(unlike_percentile=99.1).known is False
    assert projection().known is None


def test_noise_is_recognised_by_D_and_errors_are_compared_with_those_of_faces(D, drawn):
    faces = ComparisonFaces.of(drawn(200, 1), drawn(60, 2))
    noise = torch.rand(3, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1
    images = torch.stack([noise, to_float(torch.from_numpy(drawn(5, 3).images[0].copy()))])
    near, far = compare_projections([projection(-1.0), projection(1e9)], images, faces, ERRORS, D)
    assert (near.unlike_percentile, near.percentile, near.known) == (100, 0, False)
    assert (far.percentile, far.known) == (100, True)
    assert near.median_rms == far.median_rms == pytest.approx(0.3)


@pytest.mark.parametrize(("num_unseen", "has_D", "decides"), [(49, True, False), (60, False, False), (50, True, True)])
def test_with_few_unseen_faces_or_without_D_only_errors_are_compared(D, store, num_unseen, has_D, decides):
    known, unseen = (open_packed(store(num, at=f"set-{num}")) for num in (70, num_unseen))
    faces = ComparisonFaces.of(from_packed(known), from_packed(unseen))
    (found,) = compare_projections([projection()], torch.zeros(1, 3, 16, 16), faces, ERRORS, D if has_D else None)
    assert (found.known is not None) == decides
    assert found.median_rms == pytest.approx(0.3)


@pytest.mark.parametrize("missing", ["trained_on", "held_out"])
def test_half_of_one_set_replaces_the_other(store, missing):
    images = from_packed(open_packed(store(9)))
    faces = ComparisonFaces.of(**{"trained_on": images, "held_out": images, missing: None})
    assert np.array_equal(faces.known, images.images[::2])
    assert np.array_equal(faces.unseen, images.images[1::2])
    assert faces.projected is images
