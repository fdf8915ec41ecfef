"""The network that a metric's space names."""

from functools import partial
from pathlib import Path

from ..checkpoint import Checkpoint
from ..data.image_set import ImageSet
from ..downloads.inception_weights import BRIEF, fetch_weights, find_weights
from ..errors import DataError, FaceganError, PluginError
from ..features import Extractor, discriminator_extractor, inception_extractor, random_extractor
from ..reporter import SILENT, Callbacks, Reporter


def make_extractor(
    space: str,
    images: ImageSet,
    *,
    device: str = "cpu",
    weights: Path | None = None,
    checkpoint: Checkpoint | None = None,
    reporter: Reporter = SILENT,
) -> Extractor:
    """Build the network of a metric's space for images of this size and kind; raises FaceganError if it cannot be had.

    Without a file of Inception's weights these are those of the cache, or downloaded. D is that of the checkpoint.
    """
    size = {"channels": images.channels, "resolution": images.resolution}
    if space == "random":
        return random_extractor(**size, device=device)
    if space == "inception":
        return inception_extractor(weights or _inception_weights(reporter), device=device)
    if space != "discriminator":
        raise PluginError(f"no metric's space is '{space}'; there is: pixels, inception, random, discriminator")
    if checkpoint is None:
        raise DataError(f"{images.label}: has no discriminator; evaluate a snapshot, or choose other metrics")
    D = checkpoint.discriminator(device=device)
    return discriminator_extractor(D, **size, device=device, of=images.label)


def _inception_weights(reporter: Reporter) -> Path:
    """Return Inception's weights: those of the cache, or downloaded ones after a single short attempt."""
    transfers = Callbacks(transfer=partial(reporter.progress, unit="bytes"))  # the error says what went wrong
    try:
        return find_weights() or fetch_weights(reporter=transfers, patience=BRIEF)
    except OSError as error:  # a cache that cannot be written
        raise FaceganError(
            f"{error.filename}: Inception's weights cannot be stored there ({error.strerror}); "
            "name a copy with --weights FILE"
        ) from None
