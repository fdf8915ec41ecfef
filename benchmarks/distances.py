"""Compare the time and value of each statistic of feature vectors with torch-fidelity's.

    python benchmarks/distances.py [--num 10000] [--features 2048] [--rounds 3] [--threads N] [--json FILE]

Both sides get the same vectors in memory and run in turns in one process. Ours is timed twice: the value alone, and
with its interval, which torch-fidelity does not have. The means and covariances are part of FID on both sides; ours are
accumulated in batches of 64, as images arrive. Precision and recall share their distances, as in an evaluation.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from threadpoolctl import threadpool_limits
from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric
from torch_fidelity.metric_isc import isc_features_to_metric
from torch_fidelity.metric_kid import kid_features_to_metric
from torch_fidelity.metric_prc import prc_features_to_metric

from facegan.evaluation.metrics.fid import Gaussian, frechet_distance
from facegan.evaluation.metrics.inception_score import inception_score
from facegan.evaluation.metrics.kid import kernel_distance
from facegan.evaluation.metrics.prdc import cross_distances, nearest_neighbours, precision, recall
from facegan.features import Moments

Vectors = np.ndarray


def vectors(num: int, width: int, seed: int, shift: float) -> Vectors:
    """Return nonnegative vectors with a falling spectrum, like Inception's: float32 (num, width)."""
    rng = np.random.default_rng(seed)
    mixed = rng.standard_normal((num, width), np.float32) / np.sqrt(np.arange(1, width + 1, dtype=np.float32))
    turn = np.random.default_rng(0).standard_normal((width, width), np.float32) / width**0.5
    return np.maximum(0, 2 * mixed @ turn + 0.3 + shift).astype(np.float32)


def gathered(values: Vectors) -> Gaussian:
    moments = Moments.empty(values.shape[1])
    for start in range(0, len(values), 64):
        moments.add(values[start : start + 64])
    return Gaussian.fit(moments, values)


def our_fid(real: Vectors, fake: Vectors, interval: bool) -> list[float]:
    return [frechet_distance(gathered(real), gathered(fake), fake if interval else None).value]


def their_fid(real: Vectors, fake: Vectors) -> list[float]:
    stats = [fid_features_to_statistics(torch.from_numpy(each)) for each in (fake, real)]
    return [*fid_statistics_to_metric(*stats, False).values()]


def our_kid(real: Vectors, fake: Vectors, interval: bool) -> list[float]:
    return [kernel_distance(real, fake, subset_size=min(1000, len(real)), seed=2020, interval=interval).value]


def their_kid(real: Vectors, fake: Vectors) -> list[float]:
    settings = {"kid_subset_size": min(1000, len(real)), "rng_seed": 2020, "verbose": False}
    found = kid_features_to_metric(torch.from_numpy(fake), torch.from_numpy(real), **settings)
    return [found["kernel_inception_distance_mean"]]


def our_is(_: Vectors, fake: Vectors, interval: bool) -> list[float]:
    return [inception_score(fake[:, :1008], interval=interval).value]


def their_is(_: Vectors, fake: Vectors) -> list[float]:
    return [isc_features_to_metric(torch.from_numpy(fake[:, :1008]), shuffle=False)["inception_score_mean"]]


def our_shares(real: Vectors, fake: Vectors, interval: bool) -> list[float]:
    cross = cross_distances(real, fake)
    found = (
        precision(cross, nearest_neighbours(real), 3, interval=interval),
        recall(cross, nearest_neighbours(fake), 3, interval=interval),
    )
    return [each.value for each in found]


def their_shares(real: Vectors, fake: Vectors) -> list[float]:
    found = prc_features_to_metric(torch.from_numpy(fake), torch.from_numpy(real), verbose=False)
    return [found["precision"], found["recall"]]


SIDES = {
    "FID": (our_fid, their_fid),
    "KID": (our_kid, their_kid),
    "Inception Score": (our_is, their_is),
    "precision, recall": (our_shares, their_shares),
}


def timed(work: Callable[[], list[float]]) -> tuple[float, list[float]]:
    begin = time.perf_counter()
    found = work()
    return time.perf_counter() - begin, found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--num", type=int, default=10_000, help="vectors per side")
    parser.add_argument("--features", type=int, default=2048)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--only", choices=list(SIDES), nargs="+", default=list(SIDES))
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    real = vectors(options.num, options.features, 1, 0.0)
    fake = vectors(options.num, options.features, 2, 0.05)
    report = {"num": options.num, "features": options.features, "threads": options.threads, "statistics": {}}
    print("| statistic | ours, seconds | with interval | torch-fidelity | ratio | with interval | ours | theirs |")
    print("|---|---|---|---|---|---|---|---|")
    with threadpool_limits(options.threads):
        for name in options.only:
            ours, theirs = SIDES[name]
            times: dict[str, list[float]] = {"ours": [], "interval": [], "theirs": []}
            values = {}
            for _ in range(options.rounds):
                for side, work in (
                    ("ours", lambda ours=ours: ours(real, fake, False)),
                    ("theirs", lambda theirs=theirs: theirs(real, fake)),
                    ("interval", lambda ours=ours: ours(real, fake, True)),
                ):
                    seconds, values[side] = timed(work)
                    times[side].append(seconds)
            middle = {side: statistics.median(each) for side, each in times.items()}
            ratios = {side: middle[side] / middle["theirs"] for side in ("ours", "interval")}
            report["statistics"][name] = {"seconds": middle, "ratios": ratios, "values": values}
            shown = [", ".join(f"{value:.6g}" for value in values[side]) for side in ("ours", "theirs")]
            print(
                f"| {name} | {middle['ours']:.2f} | {middle['interval']:.2f} | {middle['theirs']:.2f} "
                f"| {ratios['ours']:.2f} | {ratios['interval']:.2f} | {shown[0]} | {shown[1]} |",
                flush=True,
            )
    if options.json:
        options.json.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
