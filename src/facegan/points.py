"""Documented name of `facegan.seeds`."""

from .seeds import *  # noqa: F403
