"""facegan: train a generator of faces, judge it honestly and use it."""

__version__ = "0.1.0"
