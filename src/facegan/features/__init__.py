"""Networks that turn images into vectors, by which images are compared as faces, not pixel by pixel."""

from .discriminator import activations, discriminator_extractor, last_activation
from .embedding import MAX_FEATURES, MAX_LOGITS, Embedding, Moments, embed
from .extractor import Extractor
from .inception import inception_extractor
from .random import random_extractor

__all__ = [
    "MAX_FEATURES",
    "MAX_LOGITS",
    "Embedding",
    "Extractor",
    "Moments",
    "activations",
    "discriminator_extractor",
    "embed",
    "inception_extractor",
    "last_activation",
    "random_extractor",
]
