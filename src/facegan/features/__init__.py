"""What networks see in images: the vectors by which images are compared as faces, not pixel by pixel."""

from .discriminator import activations, discriminator_extractor, last_activation
from .embedding import KEPT, SCORED, Embedding, embed
from .extractor import Extractor
from .inception import inception_extractor
from .random import random_extractor

__all__ = [
    "KEPT",
    "SCORED",
    "Embedding",
    "Extractor",
    "activations",
    "discriminator_extractor",
    "embed",
    "inception_extractor",
    "last_activation",
    "random_extractor",
]
