"""Compare complete evaluations with torch-fidelity and prdc, on the same images and the same file of Inception weights.

    python benchmarks/agreement.py [--num 256] [--resolution 64] [--weights FILE]

The real images are drawn faces; the evaluated ones are others, slightly blurred. Without --weights, random weights with
the published layout are used. torch-fidelity runs completely (`calculate_metrics`); prdc gets its features, because
torch-fidelity computes precision and recall on another network, VGG-16.
"""

import argparse
import json
import tempfile
from pathlib import Path

import numpy as np
import torch
from extracting import drawn
from PIL import Image, ImageFilter
from prdc import compute_prdc
from torch_fidelity import calculate_metrics
from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

from facegan import plugins
from facegan.data.drawn import DrawnFaces
from facegan.data.image_set import ImageSet
from facegan.evaluation import Pair, Sample
from facegan.evaluation.measure import measure
from facegan.features import inception_extractor

SEED = 0
KEYS = ("fid", "kid", "is", "precision", "recall", "density", "coverage")


class ImageSource(torch.utils.data.Dataset):
    """A dataset of uint8 (3, H, W), as torch-fidelity expects."""

    def __init__(self, pixels: np.ndarray) -> None:
        self._pixels = torch.from_numpy(pixels)

    def __len__(self) -> int:
        return len(self._pixels)

    def __getitem__(self, index: int) -> torch.Tensor:
        return self._pixels[index]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--num", type=int, default=256, help="images of each side")
    parser.add_argument("--resolution", type=int, default=64)
    parser.add_argument("--weights", type=Path)
    options = parser.parse_args()
    real, fake = (faces(options.num, options.resolution, seed) for seed in (0, 1))
    with tempfile.TemporaryDirectory() as folder:
        path = options.weights or drawn(Path(folder) / "drawn.pth")
        mine = ours(real, fake, path)
        other = theirs(real[np.random.default_rng(SEED).permutation(len(real))], fake, path)
    print(f"{'metric':<12}{'facegan':>16}{'reference':>16}{'difference':>14}")
    for key in KEYS:
        print(f"{key:<12}{mine[key]:>16.8g}{other[key]:>16.8g}{mine[key] - other[key]:>14.2g}")
    print(json.dumps({"num": options.num, "resolution": options.resolution, "facegan": mine, "reference": other}))


def faces(num: int, resolution: int, seed: int) -> np.ndarray:
    """Return drawn faces, uint8 (num, 3, H, W); those of seed 1 are blurred."""
    source = DrawnFaces(num_images=num, seed=seed).open()
    images = (image for _, image in source.read(source.names, resolution))
    blurred = (
        each.filter(ImageFilter.GaussianBlur(seed)) if isinstance(each, Image.Image) else each for each in images
    )
    return np.stack([np.asarray(each) for each in blurred]).transpose(0, 3, 1, 2).copy()


def ours(real: np.ndarray, fake: np.ndarray, weights: Path) -> dict[str, float]:
    """By `facegan.evaluation.measure`."""
    metrics = {key: plugins.find("metric", key)() for key in KEYS}
    reals = Sample.shuffled(ImageSet(real, "drawn"), SEED)
    network = {"inception": inception_extractor(weights)}
    found = measure(metrics, Pair(reals, Sample(fake), intervals=False, seed=SEED), network, floor=False)
    return {each.metric: each.value for each in found}


def theirs(real: np.ndarray, fake: np.ndarray, weights: Path) -> dict[str, float]:
    """Compute the metrics with torch-fidelity, and with prdc on its features."""
    found = calculate_metrics(
        input1=ImageSource(fake), input2=ImageSource(real), fid=True, kid=True, isc=True, cache=False, cuda=False,
        verbose=False, rng_seed=SEED, kid_subset_size=min(1000, len(real)), batch_size=16, save_cpu_ram=True,
        feature_extractor_weights_path=str(weights),
    )  # fmt: skip
    extract = FeatureExtractorInceptionV3("extract", ["2048"], feature_extractor_weights_path=str(weights))
    with torch.no_grad():
        seen = [
            torch.cat([extract(part)[0] for part in torch.from_numpy(each).split(16)]).double().numpy()
            for each in (real, fake)
        ]
    shares = {
        key: float(compute_prdc(*seen, nearest_k=k)[key])
        for key, k in (("precision", 3), ("recall", 3), ("density", 5), ("coverage", 5))
    }
    return {
        "fid": found["frechet_inception_distance"],
        "kid": found["kernel_inception_distance_mean"],
        "is": found["inception_score_mean"],
        **shares,
    }


if __name__ == "__main__":
    main()
