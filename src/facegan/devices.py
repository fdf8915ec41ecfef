"""The device that networks run on."""

import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from .errors import ConfigError

if TYPE_CHECKING:
    import torch

CPU_INFO = Path("/proc/cpuinfo")
DEVICE_PATTERN = r"^(auto|cpu|mps|cuda(:\d+)?)$"


def resolve_device(name: str) -> "torch.device":
    """Return the device of a name; `auto` is CUDA, else Apple's MPS, else the CPU.

    Raises:
        ConfigError: There is no such name, or this machine or this build of torch lacks the device.
    """
    import torch

    if not re.match(DEVICE_PATTERN, name):
        raise ConfigError(f"--device {name}: it must be auto, cpu, cuda, cuda:N or mps")
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    device = torch.device(name)
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        num = torch.cuda.device_count()
        raise ConfigError(f"--device {name}: torch {torch.__version__} sees {num} CUDA devices here")
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise ConfigError(f"--device {name}: torch {torch.__version__} sees no Apple GPU here")
    return device


@cache
def has_fast_bf16() -> bool:
    """Return whether the CPU multiplies bf16 matrices in hardware (AMX), about twice as fast as fp32.

    Where a CPU only emulates bf16, or converts it, bf16 is slower than fp32. Linux alone names its CPU's abilities
    without a compiler; elsewhere the answer is False.
    """
    try:
        return "amx_bf16" in CPU_INFO.read_text(encoding="ascii", errors="replace").split()
    except OSError:
        return False
