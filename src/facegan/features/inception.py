"""Inception v3 with the published weights: the vectors of FID, KID, precision, recall and the Inception Score."""

from pathlib import Path

import torch

from ..downloads import inception_weights as published
from ..errors import WeightsError
from ..messages import one_line
from ..networks.inception import NUM_FEATURES, Inception
from .extractor import Extractor


def inception_extractor(weights: Path, device: str = "cpu") -> Extractor:
    """Build the extractor that papers use; numbers agree where the images and the protocol do.

    The digest of the published file is verified before anything of it is read.

    Raises:
        WeightsError: The file is missing, is not the published one, or holds other weights.
        OSError: It cannot be read.
    """
    with published.open_weights(weights) as file:
        try:
            tensors = torch.load(file, map_location="cpu", weights_only=True)
        except Exception as error:  # torch raises many kinds for a damaged file
            raise WeightsError(f"{weights}: torch.load cannot read it ({type(error).__name__})") from None
    with torch.device("meta"):  # without drawing weights: that takes time, and moves the global random state
        network = Inception()
    try:
        network.load_state_dict(tensors, strict=True, assign=True)
    except (RuntimeError, TypeError, AttributeError) as error:
        raise WeightsError(f"{weights}: its weights are not those of Inception v3 ({one_line(error, 300)})") from None
    network = network.folded().to(device)
    return Extractor(
        key="inception",
        title="Inception v3 (2015)",
        digest=published.INCEPTION.digest,
        resize="bilinear to 299x299 as in TensorFlow 1, without antialiasing; grey repeated to 3 channels",
        comparable="published numbers of the same resize, where crop, real images and sample count agree",
        num_features=NUM_FEATURES,
        see=network,
        device=device,
    )
