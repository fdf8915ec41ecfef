"""Compare the speed of Inception's feature extraction with torch-fidelity's extractor, with the same weights.

    python benchmarks/extracting.py [--batch-size 32] [--rounds 5] [--device cpu] [--weights FILE]

Both process the same batch in turns; a ratio divides two consecutive turns. Without --weights, random weights with the
published layout are used: their values do not change the time. The first turn of each side does not count.
"""

import argparse
import hashlib
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

import facegan.downloads.inception_weights as published
from facegan.features import inception_extractor
from facegan.networks.inception import Inception


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch-size", type=int, nargs="+", default=[32])
    parser.add_argument("--resolution", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--weights", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = options.weights or drawn(Path(folder) / "drawn.pth")
        ours = inception_extractor(path, options.device).see
        names = ["2048", "logits_unbiased"]
        theirs = FeatureExtractorInceptionV3("theirs", names, feature_extractor_weights_path=str(path))
    theirs.to(options.device)
    sides = {"facegan": ours, "torch_fidelity": theirs}
    results = [measured(sides, size, options) for size in options.batch_size]
    about = {"device": options.device, "num_threads": torch.get_num_threads(), "torch": torch.__version__}
    print(json.dumps({**about, "resolution": options.resolution, "results": results}, indent=2))


def drawn(path: Path) -> Path:
    """Write random weights with the published layout; this process accepts their digest as the published one."""
    torch.manual_seed(0)
    network = Inception()
    for module in network.modules():
        if isinstance(module, torch.nn.Conv2d):  # with the default initialisation, all vectors are alike
            torch.nn.init.kaiming_uniform_(module.weight, nonlinearity="relu")
    torch.save(network.state_dict(), path)
    checksum = "sha256:" + hashlib.sha256(path.read_bytes()).hexdigest()
    published.INCEPTION = published.INCEPTION.model_copy(update={"checksum": checksum})
    return path


def measured(sides: dict[str, Callable], batch_size: int, options: argparse.Namespace) -> dict:
    """Measure both sides in turns."""
    shape = (batch_size, 3, options.resolution, options.resolution)
    batch = torch.randint(256, shape, dtype=torch.uint8, device=options.device)
    rates: dict[str, list[float]] = {name: [] for name in sides}
    for number in range(options.rounds + 1):
        for name, see in sides.items():
            wait(options.device)
            began = time.perf_counter()
            with torch.no_grad():
                seen = see(batch)
            wait(options.device)
            if number:
                rates[name].append(batch_size / (time.perf_counter() - began))
            assert seen[0].shape == (batch_size, 2048)
    ratios = [ours / theirs for ours, theirs in zip(*rates.values(), strict=True)]
    return {
        "batch_size": batch_size,
        "images_per_second": {name: round(statistics.median(rate), 2) for name, rate in rates.items()},
        "ratio": round(statistics.median(ratios), 3),
        "ratios": [round(ratio, 3) for ratio in ratios],
    }


def wait(device: str) -> None:
    if device.startswith("cuda"):
        torch.cuda.synchronize(device)


if __name__ == "__main__":
    main()
