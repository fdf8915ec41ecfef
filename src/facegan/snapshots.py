"""Documented name of `facegan.checkpoint`."""

from .checkpoint import *  # noqa: F403
