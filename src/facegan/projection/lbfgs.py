"""L-BFGS on many independent problems at once, one row each.

torch's own L-BFGS takes a batch for one problem: all rows share one curvature and one step, and the slowest row holds
up the others. Here each row has its own.
"""

from collections.abc import Callable

import torch
from torch import Tensor

_HISTORY = 10  # pairs (step, change of gradient) that approximate the curvature
_ARMIJO = 1e-4  # decrease that a step needs, as a share of the slope's prediction
_BACKTRACKING = 0.4  # factor on the length of a rejected step


def minimise_rows(
    objective: Callable[[Tensor], Tensor], start: Tensor, num_steps: int, progress: Callable[[int], None] | None = None
) -> tuple[Tensor, Tensor]:
    """Minimise each row's value, with one evaluation of all rows per step.

    A row takes its step if that lowers its value enough (Armijo's condition); otherwise it tries a shorter one next.

    Source: Nocedal and Wright, "Numerical Optimization", 2006, algorithms 7.4 (directions) and 3.1 (backtracking).

    Args:
        objective: Maps rows (N, n) to values (N,), differentiably, each value from its own row alone.
        start: (N, n).
        num_steps: Number of evaluations.
        progress: Called with the number of steps done.

    Returns:
        The best rows found (N, n), and their values (N,).
    """
    rows = start.detach().clone()
    value, slope = _evaluate(objective, rows)
    history = _History(rows)
    length, direction = torch.ones_like(value), -slope / slope.norm(dim=1, keepdim=True).clamp_min(1e-12)
    for step in range(1, num_steps):
        tried = rows + length[:, None] * direction
        new_value, new_slope = _evaluate(objective, tried)
        descent = (slope * direction).sum(1)
        accepted = new_value <= value + _ARMIJO * length * descent  # false for NaN
        history.add(tried - rows, new_slope - slope, accepted)
        rows = torch.where(accepted[:, None], tried, rows)
        slope = torch.where(accepted[:, None], new_slope, slope)
        value = torch.where(accepted, new_value, value)
        length = torch.where(accepted, torch.ones_like(length), length * _BACKTRACKING)
        direction = torch.where(accepted[:, None], history.direction(slope), direction)
        if progress:
            progress(step + 1)
    return rows, value


def _evaluate(objective: Callable[[Tensor], Tensor], rows: Tensor) -> tuple[Tensor, Tensor]:
    rows = rows.detach().requires_grad_(True)
    with torch.enable_grad():
        value = objective(rows)
        (slope,) = torch.autograd.grad(value.sum(), rows)
    return value.detach(), slope


class _History:
    """The last steps of each row, newest first; a pair of weight 0 is empty."""

    def __init__(self, rows: Tensor) -> None:
        num, length = rows.shape
        self._steps, self._changes = (rows.new_zeros(_HISTORY, num, length) for _ in range(2))
        self._weights = rows.new_zeros(_HISTORY, num)
        self._scale = rows.new_zeros(num)  # 0: the curvature is not known yet

    def add(self, step: Tensor, change: Tensor, accepted: Tensor) -> None:
        """Store a row's step if it was accepted and the curvature along it is positive, as the method needs."""
        curvature, square = (step * change).sum(1), change.square().sum(1)
        stored = accepted & (curvature > 1e-10 * square)
        for pairs, new in ((self._steps, step), (self._changes, change)):
            pairs.copy_(torch.where(stored[None, :, None], torch.cat([new[None], pairs[:-1]]), pairs))
        weights = torch.cat([(1 / curvature)[None], self._weights[:-1]])
        self._weights = torch.where(stored[None], weights, self._weights)
        self._scale = torch.where(stored, curvature / square.clamp_min(1e-30), self._scale)

    def direction(self, slope: Tensor) -> Tensor:
        """Return minus the inverse Hessian times the slope; minus the unit slope while the curvature is not known."""
        result, alphas = slope.clone(), []
        for step, change, weight in zip(self._steps, self._changes, self._weights, strict=True):
            alphas.append(weight * (step * result).sum(1))
            result = result - alphas[-1][:, None] * change
        unit = 1 / slope.norm(dim=1).clamp_min(1e-12)
        result = result * torch.where(self._scale > 0, self._scale, unit)[:, None]
        for place in reversed(range(_HISTORY)):
            beta = self._weights[place] * (self._changes[place] * result).sum(1)
            result = result + (alphas[place] - beta)[:, None] * self._steps[place]
        return -result
