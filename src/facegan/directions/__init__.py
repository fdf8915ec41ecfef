"""Directions in z that change one thing about a face: fitted to a data set's attributes, or from G's weights."""

from .directions_file import DirectionInfo, Directions, default_path, load_directions, save_directions
from .find import DirectionSettings, FoundDirections, find_directions

__all__ = [
    "DirectionInfo",
    "DirectionSettings",
    "Directions",
    "FoundDirections",
    "default_path",
    "find_directions",
    "load_directions",
    "save_directions",
]
