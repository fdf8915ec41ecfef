"""Compare the time of the metrics on pixels with straightforward implementations.

    python benchmarks/swd.py [--num 2048] [--resolution 64] [--threads 2] [--baseline 2048] [--rounds 3] [-o swd.json]

The sliced Wasserstein distance against its literal form: all patches in memory as float32, normalised in place, one
product and one np.sort per repeat of 128 directions. MS-SSIM against pytorch_msssim on the same pairs at 176 pixels,
where both are defined. The memory is the peak of the process before the literal form runs. --baseline 0 leaves that
form out. The two take turns, and the ratio is the median over the turns, for an eighth of the images too.
"""

import argparse
import json
import platform
import resource
import statistics
import time
from pathlib import Path

import numpy as np
import pytorch_msssim
import torch

from facegan.evaluation.metrics.ms_ssim import ms_ssim
from facegan.evaluation.metrics.swd import Slicing, laplacian, pyramid_sizes, sliced_wasserstein


def block_images(num: int, resolution: int, seed: int) -> np.ndarray:
    """Return images of blocks with a little noise: uint8 (num, 3, resolution, resolution)."""
    rng = np.random.default_rng(seed)
    found = np.empty((num, 3, resolution, resolution), np.uint8)
    for image in found:
        blocks = np.kron(rng.integers(0, 200, (3, resolution // 8, resolution // 8)), np.ones((8, 8), np.int64))
        image[:] = blocks + rng.integers(0, 50, blocks.shape)
    return found


def literal(real: np.ndarray, fake: np.ndarray) -> list[float]:
    """Return the distance of each level, computed literally: all patches at once."""
    rng, levels, found = np.random.default_rng(0), pyramid_sizes(*real.shape[2:]), []
    for number, (height, width) in enumerate(levels):
        sides = []
        for chosen in (real, fake):
            band = laplacian(torch.from_numpy(chosen).float(), number, len(levels)).numpy()
            index = np.repeat(np.arange(len(band)), 128)[:, None, None, None]
            y = rng.integers(0, height - 6, (len(index), 1, 1, 1)) + np.arange(7)[:, None]
            x = rng.integers(0, width - 6, (len(index), 1, 1, 1)) + np.arange(7)
            patches = band[index, np.arange(3)[:, None, None], y, x]
            patches -= patches.mean((0, 2, 3), keepdims=True)
            patches /= patches.std((0, 2, 3), keepdims=True)
            sides.append(patches.reshape(len(patches), -1))
        apart = []
        for _ in range(4):
            directions = rng.standard_normal((sides[0].shape[1], 128)).astype(np.float32)
            directions /= np.sqrt(np.square(directions).sum(0))
            first, second = (np.sort(side @ directions, axis=0) for side in sides)
            apart.append(np.abs(first - second).mean())
        found.append(1000 * float(np.mean(apart)))
    return found


def timed(work, clock=time.perf_counter):
    """Return the seconds that `work` takes, and its result."""
    start = clock()
    found = work()
    return clock() - start, found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--num", type=int, default=2048)
    parser.add_argument("--resolution", type=int, default=64)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--baseline", type=int, default=2048, help="at most so many images for the literal form")
    parser.add_argument("--rounds", type=int, default=3, help="number of turns")
    parser.add_argument("-o", "--output", type=Path, default=Path("swd.json"))
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    real, fake = (block_images(options.num, options.resolution, seed) for seed in (0, 1))

    def ours(num: int, groups: int):
        take = [lambda a, b, each=each: each[a:b] for each in (real, fake)]
        return timed(lambda: sliced_wasserstein(*take, num, Slicing(), num_parts=groups))

    found = {"num": options.num, "resolution": options.resolution, "threads": options.threads}
    found |= {"machine": platform.processor() or platform.machine(), "torch": torch.__version__}
    found["seconds"], distance = ours(options.num, 0)
    found["seconds_with_interval"], _ = ours(options.num, 10)
    found["peak_gib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    found["levels"] = [value for _, value in distance.levels]
    if (most := min(options.baseline, options.num)) > 0:
        found["literal"] = []
        for num in (max(1, most // 8), most):
            turns = [(ours(num, 0)[0], timed(lambda n=num: literal(real[:n], fake[:n]))) for _ in range(options.rounds)]
            seconds, theirs, ratio = (
                statistics.median(each) for each in zip(*((a, b, b / a) for a, (b, _) in turns), strict=True)
            )
            found["literal"].append({"num": num, "seconds": seconds, "literal_seconds": theirs, "ratio": ratio})
        found["literal_levels"] = turns[0][1][1]

    a, b = (torch.from_numpy(block_images(16, 176, seed)) for seed in (2, 3))
    rates: dict[str, list[float]] = {"ours": [], "pytorch_msssim": []}
    for _ in range(3):  # in turns
        rates["ours"].append(16 / timed(lambda: ms_ssim(a, b))[0])
        theirs = timed(lambda: pytorch_msssim.ms_ssim(a.float(), b.float(), data_range=255, size_average=False))
        rates["pytorch_msssim"].append(16 / theirs[0])
    found["ms_ssim_pairs_per_second"] = {name: max(each) for name, each in rates.items()}
    c, d = (torch.from_numpy(each[:256]) for each in (real, fake))
    found["ms_ssim_pairs_per_second"]["ours_at_resolution"] = len(c) / timed(lambda: ms_ssim(c, d))[0]
    text = json.dumps(found, indent=2)
    print(text)
    options.output.write_text(text + "\n")


if __name__ == "__main__":
    main()
