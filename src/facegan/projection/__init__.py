"""From a picture back to a latent: the nearest face that a model knows, and how near others come."""

from .judging import NUM_REFERENCES, Reference, reference
from .searching import Projection, Settings, project

__all__ = ["NUM_REFERENCES", "Projection", "Reference", "Settings", "project", "reference"]
