"""Latent vectors: drawn from a prior, for training in batches or one by one from seeds; and the ways between them."""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor


def draw(num: int, z_dim: int, prior: str, generator: torch.Generator) -> Tensor:
    """Latents (num, z_dim), float32, on the generator's device.

    Args:
        num: How many.
        z_dim: Length of each.
        prior: "normal" for N(0, 1), "uniform" for U(-1, 1).
        generator: Where the randomness comes from; it is advanced.
    """
    if prior == "uniform":
        return torch.rand(num, z_dim, generator=generator, device=generator.device) * 2 - 1
    return torch.randn(num, z_dim, generator=generator, device=generator.device)


def from_seeds(seeds: Sequence[int], z_dim: int, prior: str) -> Tensor:
    """One latent a seed, (len(seeds), z_dim) on the CPU: a seed's latent is the same in whatever company it is drawn.

    Args:
        seeds: Non-negative and below 2**32 (torch's generator on the CPU is seeded with 32 bits).
        z_dim: Length of each.
        prior: "normal" or "uniform".
    """
    each = [draw(1, z_dim, prior, torch.Generator().manual_seed(seed)) for seed in seeds]
    return torch.cat(each) if each else torch.empty(0, z_dim)


# The ways between latents. Positions t are broadcast against what stands before z_dim. All is reckoned in float64 and
# given back in the dtype of the first latent.


def lerp(start: Tensor, end: Tensor, t: Tensor) -> Tensor:
    """The straight line (1 - t) start + t end, for the uniform prior, whose cube it never leaves.

    Between two normal latents of 100 numbers its middle is about 0.7 times as long as they are, where that prior has
    next to no mass; see `slerp`.

    Args:
        start: (..., z_dim), at t = 0, exact to the bit.
        end: (..., z_dim), at t = 1, exact to the bit.
        t: (...), in 0..1.
    """
    t = t.double().unsqueeze(-1)
    between = (1 - t) * start.double() + t * end.double()
    return _exact(start, end, t, between)


def slerp(start: Tensor, end: Tensor, t: Tensor) -> Tensor:
    """The great circle's shorter arc, at constant angular speed, while the length grows or shrinks evenly.

    Normal latents of many numbers lie close to a sphere, and so does their whole way on it. With the bisector m and the
    chord d of the two directions, unit vectors at right angles, and their angle omega: direction(t) = cos(s) m +
    sin(s) d, s = (t - 1/2) omega. This is Shoemake's formula, but one that stays exact where sin(omega) is next to 0.

    Latents of one direction have their straight line. Opposite ones lie on many great circles: the one is taken through
    the axis (the first of them) along which the latents have least, whichever of the two is the start; with a z_dim of
    1, which has no circle, the straight line. A latent of zeros has no direction, and borrows the other's.

    Source: Shoemake, 1985, "Animating Rotation with Quaternion Curves", section 3.3; White, 2016, "Sampling Generative
    Networks", section 2.1, who interpolates as if both lengths were one.

    Args:
        start: (..., z_dim), at t = 0, exact to the bit.
        end: (..., z_dim), at t = 1, exact to the bit.
        t: (...), in 0..1.
    """
    t = t.double().unsqueeze(-1)
    first, last = start.double(), end.double()
    lengths = [latent.norm(dim=-1, keepdim=True) for latent in (first, last)]
    u = _unit(torch.where(lengths[0] > 0, first, last))
    v = _unit(torch.where(lengths[1] > 0, last, first))
    d = _unit(v - u)
    m = torch.where(_same(u, -v), _normal_to(d), _unit(u + v))
    s = (2 * t - 1) * torch.atan2((v - u).norm(dim=-1, keepdim=True), (v + u).norm(dim=-1, keepdim=True))
    between = ((1 - t) * lengths[0] + t * lengths[1]) * (s.cos() * m + s.sin() * d)
    return _exact(start, end, t, between)


def bilinear(corners: Sequence[Tensor], rows: Tensor, columns: Tensor, way: Callable[..., Tensor] = lerp) -> Tensor:
    """A sheet over four latents: down its left and right edge first, then across between the two.

    With `slerp`, across first and then down would be another inside with the same edges.

    Args:
        corners: Top left, top right, bottom left, bottom right: (z_dim,) each.
        rows: (R,) in 0..1, from top to bottom.
        columns: (C,) in 0..1, from left to right.
        way: `lerp` or `slerp`.

    Returns:
        (R, C, z_dim), its corners exact to the bit.
    """
    top_left, top_right, bottom_left, bottom_right = corners
    left, right = way(top_left, bottom_left, rows), way(top_right, bottom_right, rows)
    return way(left[:, None], right[:, None], columns)


def schedule(num_points: int, num_frames: int, *, closed: bool = False) -> Tensor:
    """Where on a walk each frame stands: point i at frame round(i * (num_frames - 1) / (num_points - 1)), to the bit.

    Between two points the frames stand evenly. A closed walk goes on from the last point to the first, and ends one
    frame before it would be there again; its point i is at frame round(i * num_frames / num_points).

    Returns:
        float64 (num_frames,); 2.5 is halfway from point 2 to the next.

    Raises:
        ValueError: There are fewer than two points, or fewer frames than points.
    """
    if not 2 <= num_points <= num_frames:
        raise ValueError(f"{num_points} points in {num_frames} frames; a walk has 2 points or more, each in a frame")
    legs, last = (num_points, num_frames) if closed else (num_points - 1, num_frames - 1)
    stops = torch.tensor([round(point * last / legs) for point in range(legs + 1)])
    frames = torch.arange(num_frames)
    leg = (torch.searchsorted(stops, frames, right=True) - 1).clamp(max=legs - 1)
    return leg + (frames - stops[leg]).double() / (stops[leg + 1] - stops[leg])


def walk(points: Tensor, at: Tensor, way: Callable[..., Tensor] = lerp) -> Tensor:
    """The latents at places of a walk from point to point.

    Args:
        points: (num_points, ..., z_dim): of one walk, or of several at once.
        at: (T,), as of `schedule`; beyond the last point, the way leads back to the first.
        way: `lerp` or `slerp`.

    Returns:
        (T, ..., z_dim), exact to the bit where `at` is a whole number.
    """
    leg = at.long().clamp(max=len(points) - 1)
    t = (at.double() - leg).view(-1, *[1] * (points.ndim - 2))
    return way(points[leg], points[(leg + 1) % len(points)], t)


def circle(first: Tensor, second: Tensor, t: Tensor) -> Tensor:
    """The great circle through one latent in its plane with another, once around, at the first one's length.

    It meets the second one's direction on its first half, not the second one itself unless they are equally long.
    Parallel or opposite latents, or a second one of zeros, span no plane: the axis (the first of them) along which the
    first one has least stands for the second. A first one of zeros stays where it is.

    Args:
        first: (..., z_dim), at t = 0 and 1, exact to the bit.
        second: (..., z_dim).
        t: (...), in turns.
    """
    t = t.double().unsqueeze(-1)
    u, v = _unit(first.double()), _unit(second.double())
    w = v
    for _ in range(2):  # once more, for what rounding left of u where v is close to it
        w = _unit(w - (w * u).sum(-1, keepdim=True) * u)
    no_plane = _same(u, v) | _same(u, -v) | (v == 0).all(-1, keepdim=True)
    w = torch.where(no_plane, _normal_to(u), w)
    angle = 2 * math.pi * t
    around = first.double().norm(dim=-1, keepdim=True) * (angle.cos() * u + angle.sin() * w)
    return _exact(first, first, t, around)


def _exact(start: Tensor, end: Tensor, t: Tensor, between: Tensor) -> Tensor:
    """What is between, with the ends themselves where t is 0 or 1, in the dtype of `start`."""
    return torch.where(t == 0, start, torch.where(t == 1, end, between.to(start.dtype)))


def _unit(vectors: Tensor) -> Tensor:
    """Vectors of length 1 in their directions; zeros stay zeros."""
    lengths: Tensor = vectors.norm(dim=-1, keepdim=True)
    return vectors / lengths.clamp_min(torch.finfo(torch.float64).tiny)


def _same(u: Tensor, v: Tensor) -> Tensor:
    """Whether unit vectors are closer than the rounding of float32 latents can tell apart."""
    apart: Tensor = (u - v).norm(dim=-1, keepdim=True)
    return apart < 1e-6


def _normal_to(u: Tensor) -> Tensor:
    """A unit vector at right angles to a unit vector, in its plane with the first axis along which it has least."""
    axis = torch.zeros_like(u).scatter_(-1, u.abs().argmin(-1, keepdim=True), 1.0)
    return _unit(axis - (axis * u).sum(-1, keepdim=True) * u)


def combine(plus: Sequence[Tensor], minus: Sequence[Tensor] = ()) -> Tensor:
    """Arithmetic on faces: the sum of the means of `plus` less the means of `minus`, float32 (z_dim,).

    z = mean(plus_1) - mean(minus_1) + mean(plus_2) - ...

    A single latent is some face with an attribute; the mean of a few that share it is more nearly the attribute itself
    (the paper takes three, and found single ones unstable). The mean of n latents of the prior is 1 / sqrt(n) as long
    as one of them, and what is added or subtracted lengthens the sum: three terms of three latents each are again as
    long as one latent on average, three terms of one latent sqrt(3) times as long.

    Source: Radford, Metz, Chintala, "Unsupervised Representation Learning with Deep Convolutional Generative
    Adversarial Networks", ICLR 2016, section 6.3.2.

    Args:
        plus: One or more terms, each the latents (n, z_dim), n >= 1, that are averaged.
        minus: The terms that are subtracted.
    """
    signed = [(1, term) for term in plus] + [(-1, term) for term in minus]
    return torch.stack([sign * term.double().mean(0) for sign, term in signed]).sum(0).float()


def neighbourhood(z: Tensor, noise: float, seed: int, num: int = 9) -> Tensor:
    """A latent z (z_dim,) among noisy neighbours, float32 (num, z_dim): z itself in the middle row.

    Each neighbour is z plus noise from U(-noise, noise) in every number; 0 gives z itself `num` times.

    Source: as `combine`, which takes noise of 0.25 and nine faces.
    """
    spread = noise * draw(num, len(z), "uniform", torch.Generator().manual_seed(seed))
    spread[num // 2] = 0
    return z + spread


def typical_length(z_dim: int, prior: str) -> float:
    """The length that latents of a prior have but for a few percent: sqrt(z_dim), or sqrt(z_dim / 3) of the uniform."""
    return float((z_dim / (3 if prior == "uniform" else 1)) ** 0.5)
