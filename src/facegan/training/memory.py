"""What fits a device's memory."""

from collections.abc import Callable
from typing import TypeVar

import torch

from ..config import RunConfig
from ..errors import TrainingError
from .distributed import ALONE, World
from .loop import step_settings
from .state import build_state, memory_format
from .step import training_step

T = TypeVar("T")


def is_out_of_memory(error: RuntimeError) -> bool:
    """Whether torch says that a device's memory, or the machine's, is full."""
    known = ("out of memory", "can't allocate memory", "not enough memory", "cublas_status_alloc_failed")
    return isinstance(error, torch.OutOfMemoryError) or any(text in str(error).lower() for text in known)


def within_memory(
    config: RunConfig, device: torch.device, data_bytes: int, work: Callable[[], T], world: World = ALONE
) -> T:
    """Do work of a run; where the memory is full, say which settings it depends on, and what fits.

    Args:
        config: Of the run.
        device: That the work is done on.
        data_bytes: Of the images, which lie in the memory of a CUDA device too if there is room.
        work: Returns what this returns.
        world: The processes that train the run.

    Raises:
        TrainingError: The memory is full; on CUDA, of a process on its own, it names a batch size that was tried and
            fits.
    """
    try:
        return work()
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
    raise out_of_memory(config, device, data_bytes, world)  # out here, what the failed work held is free


def out_of_memory(config: RunConfig, device: torch.device, data_bytes: int, world: World = ALONE) -> TrainingError:
    """What to say of work that did not fit; on CUDA, of a process on its own, a batch size that does is tried out."""
    size, train = config.resolution, config.train
    what = (
        f"{device}: out of memory at train.batch_size={train.batch_size}, resolution={size}, "
        f"train.precision={train.precision}"
    )
    if device.type != "cuda" or world.size > 1:
        return TrainingError(f"{what}; lower train.batch_size")
    fitting = largest_batch_size(config, device, data_bytes)
    advice = f"--batch-size {fitting} fits" if fitting else "not even a batch of 2 fits: lower resolution or widths"
    return TrainingError(f"{what}; {advice} (in a new run; what was saved of this one stands)")


def largest_batch_size(config: RunConfig, device: torch.device, data_bytes: int) -> int | None:
    """The largest of half, a quarter, ... of the batch size that fits the device's memory; None: none does."""
    size = config.train.batch_size // 2
    while size >= 2:
        if _fits(config, device, size, data_bytes):
            return size
        size //= 2
    return None


def _fits(config: RunConfig, device: torch.device, size: int, data_bytes: int) -> bool:
    """Whether two steps on `size` images fit: Adam makes its moments in the first, the second has all in place."""
    held = []
    if device.type == "cuda":
        torch.cuda.empty_cache()
        if data_bytes <= torch.cuda.mem_get_info(device)[0] // 2:  # as the feed decides it
            held.append(torch.empty(data_bytes, dtype=torch.uint8, device=device))
    try:
        state = build_state(config, device)
        side = config.resolution
        real = torch.zeros(size, config.channels, side, side, device=device).to(memory_format=memory_format(config))
        for _ in range(2):
            training_step(state, step_settings(config, device), real)
        int(state.first_bad_step)  # waits for the device
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        return False
    return True
