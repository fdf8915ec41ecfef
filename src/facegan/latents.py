"""Latent vectors: drawn from a prior, in batches or one by one from seeds; interpolation and arithmetic."""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor


def draw(num: int, z_dim: int, prior: str, generator: torch.Generator) -> Tensor:
    """Draw latents (num, z_dim), float32, on the generator's device; `prior` is "normal" or "uniform" on (-1, 1)."""
    if prior == "uniform":
        return torch.rand(num, z_dim, generator=generator, device=generator.device) * 2 - 1
    return torch.randn(num, z_dim, generator=generator, device=generator.device)


def from_seeds(seeds: Sequence[int], z_dim: int, prior: str) -> Tensor:
    """Draw one latent for each seed, (len(seeds), z_dim) on the CPU; a seed always gives the same latent.

    Args:
        seeds: Non-negative and below 2**32 (torch's generator on the CPU is seeded with 32 bits).
        z_dim: Length of each.
        prior: "normal" or "uniform".
    """
    each = [draw(1, z_dim, prior, torch.Generator().manual_seed(seed)) for seed in seeds]
    return torch.cat(each) if each else torch.empty(0, z_dim)


# Interpolation. Positions t are broadcast against the dimensions before z_dim. All is computed in float64 and returned
# in the dtype of the first latent.


def lerp(start: Tensor, end: Tensor, t: Tensor) -> Tensor:
    """Interpolate linearly, (1 - t) start + t end: for the uniform prior, whose cube it never leaves.

    The midpoint of two normal latents of 100 dimensions is about 0.7 times as long as they are, where that prior has
    almost no mass; see `slerp`.

    Args:
        start: (..., z_dim), at t = 0, exact to the bit.
        end: (..., z_dim), at t = 1, exact to the bit.
        t: (...), in 0..1.
    """
    t = t.double().unsqueeze(-1)
    between = (1 - t) * start.double() + t * end.double()
    return _exact(start, end, t, between)


def slerp(start: Tensor, end: Tensor, t: Tensor) -> Tensor:
    """Interpolate spherically: the shorter arc of the great circle at constant angular speed; lengths change linearly.

    Normal latents of many dimensions lie close to a sphere, and so does the arc between two of them. With the bisector
    m and the chord d of the two directions, orthogonal unit vectors, and their angle omega: direction(t) = cos(s) m +
    sin(s) d, s = (t - 1/2) omega. This equals Shoemake's formula, but stays exact where sin(omega) is near 0.

    Latents of one direction have a straight line between them. Opposite ones lie on many great circles: the one through
    the axis (the first of them) along which the latents are smallest is taken, whichever of the two is the start; a
    z_dim of 1 has no circle, only the line. A latent of zeros has no direction, and takes the other's.

    Source: Shoemake, 1985, "Animating Rotation with Quaternion Curves", section 3.3; White, 2016, "Sampling Generative
    Networks", section 2.1, who treats both lengths as 1.

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
    """Interpolate between four latents on a grid (R, C, z_dim): first down the left and right edges, then across.

    With `slerp`, the opposite order would give the same edges but another interior. The corners are exact to the bit.

    Args:
        corners: Top left, top right, bottom left, bottom right: (z_dim,) each.
        rows: (R,) in 0..1, from top to bottom.
        columns: (C,) in 0..1, from left to right.
        way: `lerp` or `slerp`.
    """
    top_left, top_right, bottom_left, bottom_right = corners
    left, right = way(top_left, bottom_left, rows), way(top_right, bottom_right, rows)
    return way(left[:, None], right[:, None], columns)


def schedule(num_points: int, num_frames: int, *, closed: bool = False) -> Tensor:
    """Return the position of each frame on a walk: point i at frame round(i * (num_frames - 1) / (num_points - 1)).

    Points are exact, and frames between two of them are evenly spaced. A closed walk returns from the last point to the
    first, and ends one frame before it; its point i is at frame round(i * num_frames / num_points).

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
    """Return the latents (T, ..., z_dim) at positions of a walk from point to point, exact where `at` is an integer.

    Args:
        points: (num_points, ..., z_dim): of one walk, or of several at once.
        at: (T,), as `schedule` returns them; beyond the last point the walk leads back to the first.
        way: `lerp` or `slerp`.
    """
    leg = at.long().clamp(max=len(points) - 1)
    t = (at.double() - leg).view(-1, *[1] * (points.ndim - 2))
    return way(points[leg], points[(leg + 1) % len(points)], t)


def circle(first: Tensor, second: Tensor, t: Tensor) -> Tensor:
    """Return points of the great circle of one latent in its plane with another, at the first one's length.

    t is in turns (...); at 0 and 1 the first latent (..., z_dim) is exact to the bit. The circle passes through the
    second one's direction on its first half. Parallel or opposite latents, or a second one of zeros, span no plane: the
    first axis along which the first latent is smallest then replaces the second. A first one of zeros stays zero.
    """
    t = t.double().unsqueeze(-1)
    u, v = _unit(first.double()), _unit(second.double())
    w = v
    for _ in range(2):  # twice, since rounding leaves some of u where v is close to it
        w = _unit(w - (w * u).sum(-1, keepdim=True) * u)
    no_plane = _same(u, v) | _same(u, -v) | (v == 0).all(-1, keepdim=True)
    w = torch.where(no_plane, _normal_to(u), w)
    angle = 2 * math.pi * t
    around = first.double().norm(dim=-1, keepdim=True) * (angle.cos() * u + angle.sin() * w)
    return _exact(first, first, t, around)


def _exact(start: Tensor, end: Tensor, t: Tensor, between: Tensor) -> Tensor:
    """Return `between`, with the ends themselves where t is 0 or 1, in the dtype of `start`."""
    return torch.where(t == 0, start, torch.where(t == 1, end, between.to(start.dtype)))


def _unit(vectors: Tensor) -> Tensor:
    """Normalise vectors to length 1; zeros stay zeros."""
    lengths: Tensor = vectors.norm(dim=-1, keepdim=True)
    return vectors / lengths.clamp_min(torch.finfo(torch.float64).tiny)


def _same(u: Tensor, v: Tensor) -> Tensor:
    """Return whether unit vectors are closer than the rounding of float32 latents."""
    apart: Tensor = (u - v).norm(dim=-1, keepdim=True)
    return apart < 1e-6


def _normal_to(u: Tensor) -> Tensor:
    """Return a unit vector orthogonal to a unit vector, in its plane with the first axis along which it is smallest."""
    axis = torch.zeros_like(u).scatter_(-1, u.abs().argmin(-1, keepdim=True), 1.0)
    return _unit(axis - (axis * u).sum(-1, keepdim=True) * u)


def combine(plus: Sequence[Tensor], minus: Sequence[Tensor] = ()) -> Tensor:
    """Add the means of `plus` and subtract the means of `minus`: float32 (z_dim,).

    z = mean(plus_1) - mean(minus_1) + mean(plus_2) - ...

    A single latent is one face with an attribute; the mean of a few that share it is closer to the attribute itself
    (the paper averages three, and found single ones unstable). The mean of n latents of the prior is 1 / sqrt(n) as
    long as one of them, and each term lengthens the sum: three terms of three latents each are on average as long as
    one latent, three terms of one latent sqrt(3) times as long.

    Source: Radford, Metz, Chintala, "Unsupervised Representation Learning with Deep Convolutional Generative
    Adversarial Networks", ICLR 2016, section 6.3.2.

    Args:
        plus: One or more terms, each the latents (n, z_dim), n >= 1, that are averaged.
        minus: The terms that are subtracted.
    """
    signed = [(1, term) for term in plus] + [(-1, term) for term in minus]
    return torch.stack([sign * term.double().mean(0) for sign, term in signed]).sum(0).float()


def neighbourhood(z: Tensor, noise: float, seed: int, num: int = 9) -> Tensor:
    """Return a latent z (z_dim,) among noisy neighbours, float32 (num, z_dim), with z itself in the middle row.

    Each neighbour is z plus noise from U(-noise, noise) in every dimension; 0 gives `num` copies of z.

    Source: as `combine`; the paper has noise of 0.25 and nine faces.
    """
    spread = noise * draw(num, len(z), "uniform", torch.Generator().manual_seed(seed))
    spread[num // 2] = 0
    return z + spread


def typical_length(z_dim: int, prior: str) -> float:
    """Return the length of a prior's latents, up to a few percent: sqrt(z_dim), or sqrt(z_dim / 3) for the uniform."""
    return float((z_dim / (3 if prior == "uniform" else 1)) ** 0.5)


def deviation(prior: str) -> float:
    """Return the standard deviation of each number of z: 1 for the normal prior, 1 / sqrt(3) for the uniform one."""
    return 3**-0.5 if prior == "uniform" else 1.0


def shifted(z: Tensor, shift: Tensor, prior: str) -> Tensor:
    """Return latents (N, z_dim) moved by `shift` deviations of the prior, clamped to the uniform prior's cube."""
    moved = z + shift * deviation(prior)
    return moved.clamp(-1, 1) if prior == "uniform" else moved
