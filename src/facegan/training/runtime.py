"""Global settings of torch and the C library for a run, each restored after its block; what they need of a device."""

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
        TrainingError: As `deterministic_kernels` and `explained_compile_errors`.
    """
    train = config.train
    with ExitStack() as stack:
        stack.enter_context(deterministic_kernels(train.deterministic))
        stack.enter_context(fp32_precision(train.fp32_precision, device))
        stack.enter_context(explained_compile_errors(train.compile))
        if device.type == "cpu":
            stack.callback(torch.set_num_threads, torch.get_num_threads())
            torch.set_num_threads(num_threads(config))
            stack.enter_context(retained_memory())
        if device.type == "cuda":  # every step has the same shapes: worth trying which kernel is fastest for each
            stack.enter_context(_set_attributes([(torch.backends.cudnn, "benchmark", not train.deterministic)]))
        yield


@contextmanager
def deterministic_kernels(wanted: bool) -> Iterator[None]:
    """Let torch choose only kernels that give the same bits each time, while the block runs.

    Raises:
        TrainingError: An operation has no such kernel.
    """
    if not wanted:  # torch would import its compiler, which takes seconds
        yield
        return
    before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read by cuBLAS when it is first used
    torch.use_deterministic_algorithms(True)
    try:
        yield
    except RuntimeError as error:
        if "deterministic" in str(error):
            reason = one_line(error).partition(". ")[0]
            raise TrainingError(f"train.deterministic: {reason}; train without it, or on the CPU") from None
        raise
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])


def select_device(config: RunConfig, world: World, device: str | None = None) -> torch.device:
    """Return the device of this process, after checking the settings of `train` that depend on it.

    Args:
        config: Of the run.
        world: The processes that train it.
        device: By name; None: the run's own.

    Raises:
        ConfigError: The device is missing, or does not fit a setting or the number of processes.
    """
    chosen = world.device(device or config.train.device)
    check_precision(config.train.fp32_precision, chosen)
    if config.train.sync_batch_norm and chosen.type != "cuda":
        raise ConfigError(
            f"train.sync_batch_norm: is for cuda, and this is {chosen.type}; without it each process's batch norm is "
            "over its own images"
        )
    world.check_batch(config.train.batch_size)
    return chosen


def check_precision(precision: str, device: torch.device) -> None:
    """Raise ConfigError if the device, or this version of torch, lacks products of some train.fp32_precision."""
    supported = {"tf32": "cuda", "bf16": "cpu"}.get(precision, device.type)
    if device.type != supported:
        raise ConfigError(
            f"train.fp32_precision={precision}: is for {supported}, and this is {device.type}; ieee is for every device"
        )
    if precision == "bf16" and not hasattr(torch.backends.mkldnn, "conv"):
        raise ConfigError(f"train.fp32_precision=bf16: torch {torch.__version__} lacks it; use torch 2.9, or ieee")


@contextmanager
def fp32_precision(precision: str, device: torch.device) -> Iterator[None]:
    """Set the precision of products in fp32 convolutions and matrix products, while the block runs.

    Sums stay in fp32. torch by itself lets cuDNN use TF32; for oneDNN bf16 is a permission to round, not an order.
    """
    switches: list[tuple[Any, str, Any]] = []
    if device.type == "cuda":
        tf32 = precision == "tf32"
        switches = [(torch.backends.cuda.matmul, "allow_tf32", tf32), (torch.backends.cudnn, "allow_tf32", tf32)]
    elif precision == "bf16":
        onednn: Any = torch.backends.mkldnn
        switches = [(part, "fp32_precision", "bf16") for part in (onednn.conv, onednn.matmul)]
    with _set_attributes(switches):
        yield


@contextmanager
def explained_compile_errors(wanted: bool) -> Iterator[None]:
    """Turn errors of torch.compile into a TrainingError: usually there is no C++ compiler, or a plugin's part fails."""
    try:
        yield
    except Exception as error:
        if wanted and type(error).__module__.startswith(("torch._dynamo", "torch._inductor")):
            reason = one_line(error, 200)
            raise TrainingError(f"train.compile: torch.compile failed ({reason}); train without it") from None
        raise


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
