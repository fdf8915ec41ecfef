"""L-BFGS on many independent problems at once, a row each.

torch's own L-BFGS takes a batch for one problem: all rows share one curvature and one step, and the slowest holds up
the others. Here each row has its own.
"""

from collections.abc import Callable

import torch
from torch import Tensor

_HISTORY = 10  # pairs of (step, change of gradient) that stand for the curvature
_SUFFICIENT = 1e-4  # Armijo's constant
_SHORTER = 0.4  # what a refused step is multiplied with


def minimise(
    objective: Callable[[Tensor], Tensor], start: Tensor, num_steps: int, progress: Callable[[int], None] | None = None
) -> tuple[Tensor, Tensor]:
    """Minimise each row's value; one evaluation of all rows a step.

    A row takes its step if that lowers its value enough (Armijo's condition), and else tries a shorter one next time.

    Source: Nocedal and Wright, "Numerical Optimization", 2006, algorithms 7.4 (directions) and 3.1 (backtracking).

    Args:
        objective: Rows (N, n) to values (N,), differentiable, each of its own row alone.
        start: (N, n).
        num_steps: How many evaluations.
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
        taken = new_value <= value + _SUFFICIENT * length * descent  # false for NaN
        history.add(tried - rows, new_slope - slope, taken)
        rows = torch.where(taken[:, None], tried, rows)
        slope = torch.where(taken[:, None], new_slope, slope)
        value = torch.where(taken, new_value, value)
        length = torch.where(taken, torch.ones_like(length), length * _SHORTER)
        direction = torch.where(taken[:, None], history.direction(slope), direction)
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
    """The last steps of each row, newest first; a pair whose weight is 0 is not there."""

    def __init__(self, rows: Tensor) -> None:
        num, length = rows.shape
        self._steps, self._changes = (rows.new_zeros(_HISTORY, num, length) for _ in range(2))
        self._weights = rows.new_zeros(_HISTORY, num)
        self._scale = rows.new_zeros(num)  # 0: nothing is known of the curvature yet

    def add(self, step: Tensor, change: Tensor, taken: Tensor) -> None:
        """Remember a step where it was taken and the curvature along it is positive, as the method needs."""
        curvature, square = (step * change).sum(1), change.square().sum(1)
        kept = taken & (curvature > 1e-10 * square)
        for store, new in ((self._steps, step), (self._changes, change)):
            store.copy_(torch.where(kept[None, :, None], torch.cat([new[None], store[:-1]]), store))
        weights = torch.cat([(1 / curvature)[None], self._weights[:-1]])
        self._weights = torch.where(kept[None], weights, self._weights)
        self._scale = torch.where(kept, curvature / square.clamp_min(1e-30), self._scale)

    def direction(self, slope: Tensor) -> Tensor:
        """Minus the inverse curvature times the slope; plainly downhill, of length 1, where nothing is known."""
        result, shares = slope.clone(), []
        for step, change, weight in zip(self._steps, self._changes, self._weights, strict=True):
            shares.append(weight * (step * result).sum(1))
            result = result - shares[-1][:, None] * change
        plain = 1 / slope.norm(dim=1).clamp_min(1e-12)
        result = result * torch.where(self._scale > 0, self._scale, plain)[:, None]
        for place in reversed(range(_HISTORY)):
            back = self._weights[place] * (self._changes[place] * result).sum(1)
            result = result + (shares[place] - back)[:, None] * self._steps[place]
        return -result
