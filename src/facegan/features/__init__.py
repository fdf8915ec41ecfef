"""What networks see in pictures: the vectors by which pictures are compared as faces, not pixel by pixel."""

from .discriminator import activations, discriminator_extractor, last_activation
from .embedding import KEPT, Embedding, embed
from .extractor import Extractor
from .inception import inception_extractor
from .random import random_extractor

__all__ = [
    "KEPT",
    "Embedding",
    "Extractor",
    "activations",
    "discriminator_extractor",
    "embed",
    "inception_extractor",
    "last_activation",
    "random_extractor",
]
