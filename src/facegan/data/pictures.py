"""Documented name of `facegan.data.source`."""

from .source import *  # noqa: F403
from .source import ImageSource as Pictures

__all__ = ["Pictures"]
