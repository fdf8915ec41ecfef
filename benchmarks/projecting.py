"""Measure how many of a model's own samples projection finds again, by objective and by search.

    python benchmarks/projecting.py SNAPSHOT [--num 16] [--threads 1]

A sample is found again if the root mean squared difference of its pixels, in [-1, 1], is below 0.05; the cosine of the
two latents shows whether it is also the same point. Times are per image and include the random faces from which starts
are chosen. torch's own L-BFGS, which treats all starts as one problem, and Adam run on the same objective.
"""

import argparse
import math
import time
from pathlib import Path

import torch

from facegan import projection
from facegan.checkpoint import load_discriminator, load_generator
from facegan.projection import SearchSettings, search


def adam(objective, start, num_steps, _):
    return _torch(objective, start, num_steps, lambda w: torch.optim.Adam([w], lr=0.2, betas=(0.9, 0.99)), decay=True)


def joint_lbfgs(objective, start, num_steps, _):
    def make(w):
        return torch.optim.LBFGS([w], 1, num_steps, num_steps, 1e-9, 1e-12, 20, "strong_wolfe")

    return _torch(objective, start, num_steps, make, decay=False)


def _torch(objective, start, num_steps, make, *, decay):
    w = start.clone().requires_grad_(True)
    best, best_w = torch.full((len(w),), math.inf), start.clone()
    optimizer = make(w)

    def closure():
        optimizer.zero_grad()
        values = objective(w)
        better = values.detach() < best
        best[better], best_w[better] = values.detach()[better], w.detach()[better]
        values.sum().backward()
        return values.sum()

    for step in range(num_steps if decay else 1):
        if decay:
            optimizer.param_groups[0]["lr"] = 0.1 * (1 + math.cos(math.pi * step / num_steps))
        optimizer.step(closure)
    return best_w, best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("snapshot", type=Path)
    parser.add_argument("--num", type=int, default=16)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    generator, D = load_generator(options.snapshot), load_discriminator(options.snapshot)
    generator.network.requires_grad_(False)
    z = generator.latents(range(10**6, 10**6 + options.num))
    images = generator.images(z)
    ours = search.minimise_rows
    rows = [
        ("default", ours, SearchSettings()),
        ("pixels alone", ours, SearchSettings(features=0)),
        ("1 restart", ours, SearchSettings(restarts=1)),
        ("200 steps", ours, SearchSettings(steps=200)),
        ("starts among 256", ours, SearchSettings(candidates=256)),
        ("L-BFGS of torch", joint_lbfgs, SearchSettings()),
        ("Adam", adam, SearchSettings()),
    ]
    print(
        "| search | found again | latent's cosine above 0.9 | median error | seconds per image |\n|---|---|---|---|---|"
    )
    for name, minimise, settings in rows:
        search.minimise_rows = minimise
        start = time.perf_counter()
        found = projection.project_images(generator, D, images, settings)
        seconds = (time.perf_counter() - start) / options.num
        rms = torch.tensor([each.rms for each in found])
        cosine = torch.cosine_similarity(torch.stack([each.z for each in found]), z)
        shares = f"{(rms < 0.05).float().mean():.0%} | {(cosine > 0.9).float().mean():.0%}"
        print(f"| {name} | {shares} | {rms.median():.4f} | {seconds:.1f} |", flush=True)


if __name__ == "__main__":
    main()
