"""How the machine computes while a run is trained; it is put back afterwards."""

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
def computing(config: RunConfig, device: torch.device) -> Iterator[None]:
    """Compute as the settings of `train` say, while the block runs.

    Raises:
        TrainingError: As of `deterministic` and `compiling`.
    """
    train = config.train
    with ExitStack() as stack:
        stack.enter_context(deterministic(train.deterministic))
        stack.enter_context(multiplying(train.fp32_precision, device))
        stack.enter_context(compiling(train.compile))
        if device.type == "cpu":
            stack.enter_context(threads(num_threads(config)))
            stack.enter_context(keeping_memory())
        if device.type == "cuda":  # every step has the same shapes: worth trying which kernel is fastest for each
            stack.enter_context(_switched([(torch.backends.cudnn, "benchmark", not train.deterministic)]))
        yield


@contextmanager
def deterministic(wanted: bool) -> Iterator[None]:
    """Let torch choose only kernels that give the same bits each time, while the block runs.

    On CUDA, cuBLAS wants the environment variable CUBLAS_WORKSPACE_CONFIG=:4096:8 for it, which the command line sets.

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


def placed(config: RunConfig, world: World, device: str | None = None) -> torch.device:
    """Where this process trains; refuses settings of `train` that the device or the number of processes cannot have.

    Args:
        config: Of the run.
        world: The processes that train it.
        device: In place of the run's own.

    Raises:
        ConfigError: As `resolve_device` and `check_precision`, and of several processes as those of `World`.
    """
    chosen = world.device(device or config.train.device)
    check_precision(config.train.fp32_precision, chosen)
    if config.train.sync_batch_norm and chosen.type != "cuda":
        raise ConfigError(
            f"train.sync_batch_norm: is for cuda, and this is {chosen.type}; without it each process's "
            "batch norm is over its own images"
        )
    world.check_batch(config.train.batch_size)
    return chosen


def check_precision(precision: str, device: torch.device) -> None:
    """Refuse products (train.fp32_precision) that a device does not have.

    Raises:
        ConfigError: The device, or this version of torch, does not have them.
    """
    has_them = {"tf32": "cuda", "bf16": "cpu"}.get(precision, device.type)
    if device.type != has_them:
        raise ConfigError(
            f"train.fp32_precision={precision}: is for {has_them}, and this is {device.type}; ieee is for every device"
        )
    if precision == "bf16" and not hasattr(torch.backends.mkldnn, "conv"):
        raise ConfigError(f"train.fp32_precision=bf16: torch {torch.__version__} lacks it; it takes torch 2.9, or ieee")


@contextmanager
def multiplying(precision: str, device: torch.device) -> Iterator[None]:
    """Let convolutions and matrix products of fp32 numbers multiply at some precision, while the block runs.

    Sums are taken in fp32 all the same. torch itself lets cuDNN use TF32 unasked.

    Args:
        precision: One that `check_precision` has let pass. oneDNN takes bf16 as leave to round, not as an order.
        device: That computes.
    """
    switches: list[tuple[Any, str, Any]] = []
    if device.type == "cuda":
        tf32 = precision == "tf32"
        switches = [(torch.backends.cuda.matmul, "allow_tf32", tf32), (torch.backends.cudnn, "allow_tf32", tf32)]
    elif precision == "bf16":
        onednn: Any = torch.backends.mkldnn
        switches = [(part, "fp32_precision", "bf16") for part in (onednn.conv, onednn.matmul)]
    with _switched(switches):
        yield


@contextmanager
def compiling(wanted: bool) -> Iterator[None]:
    """Explain, in a line, what torch.compile may fail with while the block runs.

    Raises:
        TrainingError: It failed; mostly there is no C++ compiler, or a part that it cannot compile.
    """
    try:
        yield
    except Exception as error:
        if wanted and type(error).__module__.startswith(("torch._dynamo", "torch._inductor")):
            reason = " ".join(str(error).split())[:200]
            raise TrainingError(f"train.compile: torch.compile failed ({reason}); train without it") from None
        raise


def num_threads(config: RunConfig) -> int:
    """How many threads compute on the CPU: train.threads, or torch's own number, up to a container's share."""
    return config.train.threads or min(torch.get_num_threads(), allowance())


@contextmanager
def threads(num: int) -> Iterator[None]:
    """Compute with so many threads, while the block runs."""
    before = torch.get_num_threads()
    torch.set_num_threads(num)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def allowance(root: Path = Path("/sys/fs/cgroup")) -> int:
    """How many threads a container's share of the processors keeps busy; all of them, where there is no such limit.

    torch takes a thread for every core of the machine, also where a container may use only two of them: threads would
    then wait for others that have no turn.

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
def keeping_memory() -> Iterator[None]:
    """Keep memory that is freed for what is needed next, while the block runs (glibc; elsewhere nothing changes).

    By default each tensor of 32 MB and more goes back to the system as soon as it is freed, and each new one is
    cleared page by page at its first use: every step would ask for all its activations anew.
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
def _switched(switches: list[tuple[Any, str, Any]]) -> Iterator[None]:
    """Attributes with other values, while the block runs."""
    with warnings.catch_warnings():  # torch 2.9 would have us use other names, which do not mix with what reads these
        warnings.filterwarnings("ignore", "Please use the new API settings")
        before = [getattr(owner, name) for owner, name, _ in switches]
    try:
        for owner, name, value in switches:
            setattr(owner, name, value)
        yield
    finally:
        for (owner, name, _), value in zip(switches, before, strict=True):
            setattr(owner, name, value)
