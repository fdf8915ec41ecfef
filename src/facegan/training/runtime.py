"""Global settings of torch and the C library for a run, each restored after its block; choice of the device."""

import ctypes
import math
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, TypeVar

import torch

from ..config import RunConfig
from ..errors import ConfigError, TrainingError
from ..messages import one_line
from .distributed import World

T = TypeVar("T")
_TRIM_THRESHOLD, _MMAP_MAX = -1, -4  # of mallopt(3), malloc.h


@contextmanager
def configured_torch(config: RunConfig, device: torch.device) -> Iterator[None]:
    """Apply the settings of `train` that are global in torch, while the block runs.

    Raises:
        TrainingError: An operation has no deterministic kernel; or torch.compile failed, usually for want of a C++
            compiler or because of a plugin's part.
    """
    train = config.train
    with ExitStack() as stack:
        if train.deterministic:  # asked for only here, since torch would import its compiler, which takes seconds
            mode = torch.get_deterministic_debug_mode()
            stack.callback(torch.use_deterministic_algorithms, mode > 0, warn_only=mode == 1)
            os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read by cuBLAS when it is first used
            torch.use_deterministic_algorithms(True)
        stack.enter_context(_set_attributes(_switches(config, device)))
        if device.type == "cpu":
            stack.callback(torch.set_num_threads, torch.get_num_threads())
            torch.set_num_threads(num_threads(config))
            stack.enter_context(retained_memory())
        try:
            yield
        except Exception as error:
            reason = one_line(error)
            if train.deterministic and isinstance(error, RuntimeError) and "deterministic" in reason:
                reason = reason.partition(". ")[0]
                raise TrainingError(f"train.deterministic: {reason}; train without it, or on the CPU") from None
            if train.compile and type(error).__module__.startswith(("torch._dynamo", "torch._inductor")):
                raise TrainingError(f"train.compile: torch.compile failed ({reason[:200]}); train without it") from None
            raise


def _switches(config: RunConfig, device: torch.device) -> list[tuple[Any, str, Any]]:
    """Return the attributes of torch for a run: how fp32 numbers are multiplied (sums stay in fp32), and cuDNN's."""
    train = config.train
    if device.type == "cuda":  # by default, torch lets cuDNN use TF32
        tf32, cudnn = train.fp32_precision == "tf32", torch.backends.cudnn
        precision = [(torch.backends.cuda.matmul, "allow_tf32", tf32), (cudnn, "allow_tf32", tf32)]
        # Every step has the same shapes: worth trying which kernel is fastest for each.
        return [*precision, (cudnn, "benchmark", not train.deterministic)]
    if train.fp32_precision == "bf16":  # for oneDNN a permission to round, not an order
        onednn: Any = torch.backends.mkldnn
        return [(part, "fp32_precision", "bf16") for part in (onednn.conv, onednn.matmul)]
    return []


def select_device(config: RunConfig, world: World, device: str | None = None) -> torch.device:
    """Return the device of this process by name, or the run's own, after checking the settings that depend on it.

    Raises:
        ConfigError: The device is missing, or does not fit a setting or the number of processes.
    """
    chosen, precision = world.device(device or config.train.device), config.train.fp32_precision
    supported = {"tf32": "cuda", "bf16": "cpu"}.get(precision, chosen.type)
    if chosen.type != supported:
        raise ConfigError(
            f"train.fp32_precision={precision}: is for {supported}, and this is {chosen.type}; ieee is for every device"
        )
    if precision == "bf16" and not hasattr(torch.backends.mkldnn, "conv"):
        raise ConfigError(f"train.fp32_precision=bf16: torch {torch.__version__} lacks it; use torch 2.9, or ieee")
    if config.train.sync_batch_norm and chosen.type != "cuda":
        raise ConfigError(
            f"train.sync_batch_norm: is for cuda, and this is {chosen.type}; without it each process's batch norm is "
            "over its own images"
        )
    if config.penalty.is_on and config.train.precision == "fp16":
        raise ConfigError("train.precision=fp16: the gradients of a penalty underflow in fp16; use bf16 or fp32")
    world.check_batch(config.train.batch_size)
    return chosen


def num_threads(config: RunConfig) -> int:
    """Return the number of CPU threads: train.threads, or torch's own number, at most a container's quota."""
    return config.train.threads or min(torch.get_num_threads(), cpu_quota())


def cpu_quota(root: Path = Path("/sys/fs/cgroup")) -> int:
    """Return the number of CPUs that a container may use, rounded up; sys.maxsize without such a limit.

    torch starts a thread for every core of the machine, even if a container may use only two of them: threads would
    then wait for others that are not running.

    Args:
        root: Where Linux shows the limits of control groups, of version 2 or 1.
    """
    for names in (["cpu.max"], ["cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us"]):
        try:
            quota, period = map(int, " ".join((root / name).read_text() for name in names).split())
            return math.ceil(quota / period) if quota > 0 else sys.maxsize
        except (OSError, ValueError, ZeroDivisionError):  # not there, or "max"
            continue
    return sys.maxsize


@contextmanager
def retained_memory() -> Iterator[None]:
    """Retain freed memory for the next allocations, while the block runs (glibc; elsewhere nothing changes).

    By default each tensor of 32 MB and more returns to the system as soon as it is freed, and each new one is cleared
    page by page at its first use: every step would request all its activations again.
    """
    try:
        mallopt, trim = (getattr(ctypes.CDLL(None), name) for name in ("mallopt", "malloc_trim"))
    except (AttributeError, OSError, TypeError):  # another C library
        yield
        return
    mallopt(_TRIM_THRESHOLD, 2**31 - 1)
    mallopt(_MMAP_MAX, 0)
    try:
        yield
    finally:
        mallopt(_TRIM_THRESHOLD, 128 * 1024)
        mallopt(_MMAP_MAX, 65536)
        trim(0)


@contextmanager
def _set_attributes(switches: list[tuple[Any, str, Any]]) -> Iterator[None]:
    """Set attributes, while the block runs."""
    with warnings.catch_warnings():  # torch 2.9 recommends other names, which cannot be mixed with these
        warnings.filterwarnings("ignore", "Please use the new API settings")
        before = [getattr(owner, name) for owner, name, _ in switches]
    try:
        for owner, name, value in switches:
            setattr(owner, name, value)
        yield
    finally:
        for (owner, name, _), value in zip(switches, before, strict=True):
            setattr(owner, name, value)


def within_memory(
    work: Callable[[], T], config: RunConfig, device: torch.device, *, attempt: Callable[[int], None] | None = None
) -> T:
    """Return what the work returns; if memory runs out, raise TrainingError with the settings that it depends on.

    `attempt` trains a little at some batch size, to find one that fits; None: none is suggested.
    """
    try:
        return work()
    except RuntimeError as error:
        if not _is_out_of_memory(error):
            raise
    # Only after the except block is the memory of the failed work free.
    train = config.train
    problem = (
        f"{device}: out of memory at train.batch_size={train.batch_size}, resolution={config.resolution}, "
        f"train.precision={train.precision}"
    )
    if attempt is None:
        raise TrainingError(f"{problem}; lower train.batch_size")
    size = train.batch_size // 2
    while size >= 2 and not _fits(attempt, size):
        size //= 2
    advice = f"--batch-size {size} fits" if size >= 2 else "not even a batch of 2 fits: lower resolution or widths"
    raise TrainingError(f"{problem}; {advice} (in a new run; what this one has saved is valid)")


def _is_out_of_memory(error: RuntimeError) -> bool:
    """Return whether torch reports that a device's memory, or the machine's, is full."""
    known = ("out of memory", "can't allocate memory", "not enough memory", "cublas_status_alloc_failed")
    return isinstance(error, torch.OutOfMemoryError) or any(text in str(error).lower() for text in known)


def _fits(attempt: Callable[[int], None], size: int) -> bool:
    try:
        attempt(size)
    except RuntimeError as error:
        if not _is_out_of_memory(error):
            raise
        return False
    return True
