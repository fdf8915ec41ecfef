import numpy as np
import pytest
import torch

from facegan.data.packed.packed_images import open_packed
from facegan.generator import FaceGenerator
from facegan.images import to_float
from facegan.networks.dcgan import DCGAN
from facegan.projection import Faces, Projection, Reference, Settings, Verdict, judge, reference
from origins import origin

QUICK = Settings(restarts=1, steps=2, candidates=256)


@pytest.fixture
def generator():
    torch.manual_seed(0)
    network = DCGAN(z_dim=4, ngf=2).generator(16, 3)
    return FaceGenerator(network, z_dim=4, prior="normal", origin=origin(digest="d"))


@pytest.fixture
def D():
    torch.manual_seed(1)
    return DCGAN(ndf=16).discriminator(16, 3).eval()


def test_percentile_is_the_share_that_came_nearer():
    measured = Reference(distances=[n / 100 for n in range(100)], rms=[0.1] * 100)
    assert measured.percentile(0.5) == 50
    assert measured.percentile(-1) == 0
    assert measured.percentile(9) == 100


def test_reference_is_measured_once_and_kept_for_its_settings(generator, store, cache):
    faces = open_packed(store(5))
    seen = []
    first = reference(generator, None, faces, QUICK, lambda *progress: seen.append(progress))
    assert len(first.distances) == 5
    assert seen[-1] == (5 * QUICK.steps, 5 * QUICK.steps)
    seen.clear()
    assert reference(generator, None, faces, QUICK, lambda *_: seen.append(1)) == first
    assert seen == []
    reference(generator, None, faces, QUICK.model_copy(update={"steps": 3}))
    assert len(list((cache / "projections").iterdir())) == 2


def test_beyond_the_99th_percentile_of_unseen_faces_it_is_no_face():
    assert Verdict(unlike_percentile=99.0).known is True
    assert Verdict(unlike_percentile=99.1).known is False
    assert Verdict().known is None


def found(distance):
    return Projection(z=torch.zeros(4), image=torch.zeros(3, 16, 16), rms=0.1, distance=distance)


def test_noise_is_judged_by_what_D_sees_and_its_error_by_errors(generator, D, drawn):
    faces = Faces(drawn(200, 1), drawn(60, 2))
    noise = torch.rand(3, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1
    pictures = torch.stack([noise, to_float(torch.from_numpy(drawn(5, 3).images[0].copy()))])
    near, far = judge(generator, D, faces, pictures, [found(-1.0), found(1e9)], QUICK)
    assert (near.unlike_percentile, near.percentile, near.known) == (100, 0, False)
    assert (far.percentile, far.known) == (100, True)
    assert near.median_rms == far.median_rms == np.median(reference(generator, D, faces.unseen, QUICK).rms)


def test_too_few_unseen_faces_or_no_D_leave_only_the_error_judged(generator, D, store):
    known, unseen = open_packed(store(60)), open_packed(store(49, seed=1, at="others"))
    picture = torch.zeros(1, 3, 16, 16)
    for judge_D, faces in ((D, Faces(known, unseen)), (None, Faces(unseen, known))):
        (verdict,) = judge(generator, judge_D, faces, picture, [found(1.0)], QUICK)
        assert verdict.known is None
        assert verdict.median_rms > 0
    (verdict,) = judge(generator, D, Faces(unseen, known), picture, [found(1.0)], QUICK)
    assert verdict.known is not None


@pytest.mark.parametrize("missing", ["known", "unseen"])
def test_half_of_one_set_stands_for_the_other(store, missing):
    kept = open_packed(store(9))
    faces = Faces(None, kept) if missing == "known" else Faces(kept, None)
    assert np.array_equal(faces.fitted, kept.images[::2])
    assert np.array_equal(faces.compared, kept.images[1::2])
    assert faces.projected is kept
