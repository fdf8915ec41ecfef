"""Global settings of torch and the C library for a run; each context manager restores them."""

import ctypes
import math
import sys
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import torch

from ..config import RunConfig
from ..errors import ConfigError, TrainingError
from .distributed import World

_TRIM_THRESHOLD, _MMAP_MAX = -1, -4  # of mallopt(3), malloc.h
_USUAL = {_TRIM_THRESHOLD: 128 * 1024, _MMAP_MAX: 65536}
_KEEPING = {_TRIM_THRESHOLD: 2**31 - 1, _MMAP_MAX: 0}


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
            stack.enter_context(cpu_threads(num_threads(config)))
            stack.enter_context(retained_memory())
        if device.type == "cuda":  # every step has the same shapes: worth trying which kernel is fastest for each
            stack.enter_context(_set_attributes([(torch.backends.cudnn, "benchmark", not train.deterministic)]))
        yield


@contextmanager
def deterministic_kernels(wanted: bool) -> Iterator[None]:
    """Let torch choose only kernels that give the same bits each time, while the block runs.

    On CUDA, cuBLAS needs the environment variable CUBLAS_WORKSPACE_CONFIG=:4096:8 for it, which the command line sets.

    Raises:
        TrainingError: An operation has no such kernel, or the variable is missing.
    """
    before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    if wanted:
        torch.use_deterministic_algorithms(True)
    try:
        yield
    except RuntimeError as error:
        if wanted and "deterministic" in str(error):
            reason = " ".join(str(error).split()).partition(". ")[0]
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
        ConfigError: As `resolve_device` and `check_precision`, and as the methods of `World` for several processes.
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

    Sums stay in fp32. torch by itself lets cuDNN use TF32.

    Args:
        precision: One that `check_precision` accepts. For oneDNN bf16 is a permission to round, not an order.
        device: The device that computes.
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
    """Turn the errors of torch.compile into a TrainingError of one line, while the block runs.

    The usual causes are a missing C++ compiler and a plugin's part that cannot be compiled.
    """
    try:
        yield
    except Exception as error:
        if wanted and type(error).__module__.startswith(("torch._dynamo", "torch._inductor")):
            reason = " ".join(str(error).split())[:200]
            raise TrainingError(f"train.compile: torch.compile failed ({reason}); train without it") from None
        raise


def num_threads(config: RunConfig) -> int:
    """Return the number of CPU threads: train.threads, or torch's own number, at most a container's quota."""
    return config.train.threads or min(torch.get_num_threads(), cpu_quota())


@contextmanager
def cpu_threads(num: int) -> Iterator[None]:
    """Compute with `num` threads, while the block runs."""
    before = torch.get_num_threads()
    torch.set_num_threads(num)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def cpu_quota(root: Path = Path("/sys/fs/cgroup")) -> int:
    """Return the number of CPUs that a container may use, rounded up; sys.maxsize without such a limit.

    torch starts a thread for every core of the machine, even if a container may use only two of them: threads would
    then wait for others that are not running.

    Args:
        root: Where Linux shows the limits of control groups, of version 2 or 1.
    """
    try:
        quota, period = (root / "cpu.max").read_text().split()
    except (OSError, ValueError):
        try:
            quota, period = ((root / "cpu" / f"cpu.cfs_{name}_us").read_text().strip() for name in ("quota", "period"))
        except OSError:
            return sys.maxsize
    limited = quota.isdigit() and period.isdigit() and int(period) > 0
    return max(1, math.ceil(int(quota) / int(period))) if limited else sys.maxsize


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
    for option, value in _KEEPING.items():
        mallopt(option, value)
    try:
        yield
    finally:
        for option, value in _USUAL.items():
            mallopt(option, value)
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
