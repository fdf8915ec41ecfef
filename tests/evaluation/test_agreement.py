"""The numbers of complete evaluations next to torch-fidelity's and the published formulas, by one file of weights."""

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm
from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
from torch_fidelity.metric_fid import KEY_METRIC_FID, fid_features_to_statistics, fid_statistics_to_metric
from torch_fidelity.metric_isc import KEY_METRIC_ISC_MEAN, KEY_METRIC_ISC_STD, isc_features_to_metric
from torch_fidelity.metric_kid import KEY_METRIC_KID_MEAN, KEY_METRIC_KID_STD, kid_features_to_metric
from torch_fidelity.metric_prc import KEY_METRIC_PRECISION, KEY_METRIC_RECALL, prc_features_to_metric

from facegan import plugins
from facegan.data.image_set import ImageSet
from facegan.evaluation import Pair, Sample
from facegan.evaluation.measure import measure
from facegan.features import inception_extractor
from inception import block_images

SEED = 3
NUM_REAL, NUM_FAKE = 5, 4


def metric(key, **settings):
    """A metric that takes fewer images than anyone should trust: Inception is slow."""
    model = plugins.find("metric", key)
    return type(f"Few{model.__name__}", (model,), {"at_least": 2, "__module__": __name__})(**settings)


@pytest.fixture(scope="module")
def sides():
    """Reals and fakes, uint8; some of the fakes are noise, so that not all lie among the reals."""
    real, fake = block_images(NUM_REAL, (32, 32)).numpy(), block_images(NUM_FAKE, (32, 32), seed=1).numpy()
    fake[::3] = np.random.default_rng(0).integers(0, 256, fake[::3].shape)
    return real, fake


@pytest.fixture
def ours(sides, inception_weights):
    """The results of an evaluation by their keys."""
    real, fake = sides
    settings = {"fid": {}, "kid": {}, "is": {"num_splits": 2}, "precision": {"k": 1}, "recall": {"k": 1}}
    metrics = {key: metric(key, **each) for key, each in settings.items()}
    reals = Sample.shuffled(ImageSet(real, "drawn"), SEED)
    network = {"inception": inception_extractor(inception_weights)}
    found = measure(metrics, Pair(reals, Sample(fake), intervals=False, seed=SEED), network, floor=False)
    return {result.metric: result for result in found}


@pytest.fixture
def theirs(sides, inception_file):
    """(features, logits) of reals and of fakes, the reals in the order that the seed gives."""
    look = FeatureExtractorInceptionV3(
        "inception-v3-compat", ["2048", "logits_unbiased"], feature_extractor_weights_path=str(inception_file)
    )
    real, fake = sides
    order = np.random.default_rng(SEED).permutation(NUM_REAL)
    with torch.no_grad():
        return [look(torch.from_numpy(each)) for each in (real[order], fake)]


def distance(real, fake):
    """The formula of pytorch-fid and clean-fid, in the few dimensions in which these vectors differ at all."""
    (one, a), (other, b) = ((each.mean(0), np.cov(each, rowvar=False)) for each in (real, fake))
    return np.square(one - other).sum() + np.trace(a + b - 2 * sqrtm(a @ b).real)


def test_complete_evaluations_agree_with_torch_fidelity_and_the_published_formulas(ours, theirs):
    (real, _), (fake, logits) = theirs

    kid = kid_features_to_metric(fake, real, kid_subsets=100, kid_subset_size=NUM_FAKE, rng_seed=SEED, verbose=False)
    assert ours["kid"].value == pytest.approx(kid[KEY_METRIC_KID_MEAN], rel=1e-4)
    assert ours["kid"].details["spread"] == pytest.approx(kid[KEY_METRIC_KID_STD], rel=1e-3)

    score = isc_features_to_metric(logits, 2, shuffle=True, rng_seed=SEED)
    assert ours["is"].value == pytest.approx(score[KEY_METRIC_ISC_MEAN], rel=1e-5)
    assert ours["is"].details["spread"] == pytest.approx(score[KEY_METRIC_ISC_STD], rel=1e-3)

    shares = prc_features_to_metric(
        fake, real, prc_neighborhood=1, prc_batch_size=99, save_cpu_ram=False, verbose=False
    )
    assert ours["precision"].value == pytest.approx(shares[KEY_METRIC_PRECISION])
    assert ours["recall"].value == pytest.approx(shares[KEY_METRIC_RECALL])
    assert 0 < ours["precision"].value < 1

    # Turned, so that all their differences are in the first dimensions; the others are 0 and change no distance.
    everything = torch.cat([real, fake]).double().numpy()
    basis = np.linalg.qr((everything - everything.mean(0)).T)[0]
    turned = (everything - everything.mean(0)) @ basis
    traces = sum(np.trace(np.cov(each, rowvar=False)) for each in (turned[:NUM_REAL], turned[NUM_REAL:]))
    statistics = [fid_features_to_statistics(torch.from_numpy(each)) for each in (turned[:NUM_REAL], turned[NUM_REAL:])]
    for value in (
        fid_statistics_to_metric(*statistics, False)[KEY_METRIC_FID],
        distance(turned[:NUM_REAL], turned[NUM_REAL:]),
    ):
        assert ours["fid"].value == pytest.approx(value, abs=1e-5 * traces)
    # Both take roots of eigenvalues that are 0 but for rounding; the nuclear norm has none, and is the truth.
    centred = [each - each.mean(0) for each in (turned[:NUM_REAL], turned[NUM_REAL:])]
    inner = np.linalg.norm(centred[0] @ centred[1].T, "nuc") / np.sqrt((NUM_REAL - 1) * (NUM_FAKE - 1))
    means = np.square(turned[:NUM_REAL].mean(0) - turned[NUM_REAL:].mean(0)).sum()
    assert ours["fid"].value == pytest.approx(means + traces - 2 * inner, abs=1e-6 * traces)
