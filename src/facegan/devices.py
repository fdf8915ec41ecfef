"""Where networks run."""

import re

import torch

from .config import DEVICE_PATTERN
from .errors import ConfigError


def resolve_device(name: str) -> torch.device:
    """The device that a person means; `auto` is CUDA, else Apple's MPS, else the CPU.

    Raises:
        ConfigError: This machine, or this build of torch, does not have it.
    """
    if not re.match(DEVICE_PATTERN, name):
        raise ConfigError(f"--device {name}: it must be auto, cpu, cuda, cuda:N or mps")
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    device = torch.device(name)
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ConfigError(
            f"--device {name}: torch {torch.__version__} sees {torch.cuda.device_count()} CUDA devices here"
        )
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise ConfigError(f"--device {name}: torch {torch.__version__} sees no Apple GPU here")
    return device
