"""From an image back to a latent: the nearest face that a model knows, and how near others come."""

from .familiarity import LEAST_COMPARED, NUM_COMPARED, UNKNOWN_ABOVE, Familiarity
from .judging import NUM_REFERENCES, Faces, Reference, Verdict, judge, reference
from .searching import Projection, Settings, project

__all__ = [
    "LEAST_COMPARED",
    "NUM_COMPARED",
    "NUM_REFERENCES",
    "UNKNOWN_ABOVE",
    "Faces",
    "Familiarity",
    "Projection",
    "Reference",
    "Settings",
    "Verdict",
    "judge",
    "project",
    "reference",
]
