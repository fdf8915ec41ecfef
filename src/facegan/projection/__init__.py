"""GAN inversion: the latent whose image is nearest to a photo, compared with how near faces of the run's kind come."""

from .photos import PhotoProjections, project_photos, read_photos
from .search import Projection, SearchSettings, project_images

__all__ = ["PhotoProjections", "Projection", "SearchSettings", "project_images", "project_photos", "read_photos"]
