"""Errors of a full memory, explained by the settings that memory depends on."""

from collections.abc import Callable
from typing import TypeVar

import torch

from ..config import RunConfig
from ..errors import TrainingError

T = TypeVar("T")


def is_out_of_memory(error: RuntimeError) -> bool:
    """Return whether torch reports that a device's memory, or the machine's, is full."""
    known = ("out of memory", "can't allocate memory", "not enough memory", "cublas_status_alloc_failed")
    return isinstance(error, torch.OutOfMemoryError) or any(text in str(error).lower() for text in known)


def within_memory(
    work: Callable[[], T], config: RunConfig, device: torch.device, *, attempt: Callable[[int], None] | None = None
) -> T:
    """Return what the work returns; if memory runs out, say which settings it depends on and what fits.

    Args:
        work: Any part of a run.
        config: Of the run.
        device: That the work is done on.
        attempt: Trains a little at some batch size, to find one that fits; None: none is suggested.

    Raises:
        TrainingError: The memory is full.
    """
    try:
        return work()
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
    # Only after the except block is the memory of the failed work free.
    train = config.train
    problem = (
        f"{device}: out of memory at train.batch_size={train.batch_size}, resolution={config.resolution}, "
        f"train.precision={train.precision}"
    )
    if attempt is None:
        raise TrainingError(f"{problem}; lower train.batch_size")
    size = largest_batch_size(train.batch_size, attempt)
    advice = f"--batch-size {size} fits" if size else "not even a batch of 2 fits: lower resolution or widths"
    raise TrainingError(f"{problem}; {advice} (in a new run; what this one has saved is valid)")


def largest_batch_size(too_large: int, attempt: Callable[[int], None]) -> int | None:
    """Return the largest of half, a quarter, ... of a batch size at which the attempt succeeds; None: none does."""
    size = too_large // 2
    while size >= 2:
        if _fits(attempt, size):
            return size
        size //= 2
    return None


def _fits(attempt: Callable[[int], None], size: int) -> bool:
    try:
        attempt(size)
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        return False
    return True
