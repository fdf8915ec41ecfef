"""From a picture back to a latent: the nearest face that a model knows, and how near others come."""

from .familiarity import LEAST_COMPARED, NUM_COMPARED, UNKNOWN_ABOVE, Familiarity
from .judging import NUM_REFERENCES, Reference, reference
from .searching import Projection, Settings, project

__all__ = [
    "LEAST_COMPARED",
    "NUM_COMPARED",
    "NUM_REFERENCES",
    "UNKNOWN_ABOVE",
    "Familiarity",
    "Projection",
    "Reference",
    "Settings",
    "project",
    "reference",
]
