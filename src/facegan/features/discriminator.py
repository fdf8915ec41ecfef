"""The hidden activations of D, by which images are compared as faces, not pixel by pixel."""

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn

from ..checkpoint import Checkpoint
from ..errors import PluginError, SnapshotError
from ..images import to_float
from ..networks.guidelines import ACTIVATIONS
from ..reporter import SILENT, Reporter
from .extractor import Extractor, digest_of_weights


def activations(D: nn.Module, images: Tensor) -> list[Tensor]:
    """Return D's hidden activations, the last of each size, from the largest to the smallest; gradients flow to images.

    Each is scaled to unit length along its channels at every place, and divided by the root of the number of its
    places: the squared Euclidean distance of two images' activations, summed over channels and places, is then one
    layer's term of the perceptual distance, with all weights 1.

    Source: Zhang et al., "The Unreasonable Effectiveness of Deep Features as a Perceptual Metric", CVPR 2018,
    equation 1. They use a classifier's features; D's are those that a run has learned from its own faces.

    Args:
        D: A discriminator in eval mode.
        images: (N, C, H, W) in [-1, 1], on D's device.

    Returns:
        Tensors (N, channels, height, width), one a size.

    Raises:
        PluginError: D has no hidden activation that is a module.
    """

    def unit(output: Tensor) -> Tensor:
        norm = output.square().sum(1, keepdim=True).add(1e-10).sqrt()
        scaled: Tensor = output / norm / (output.shape[2] * output.shape[3]) ** 0.5
        return scaled

    return _hidden(D, images, unit)


def _hidden(D: nn.Module, images: Tensor, take: Callable[[Tensor], Tensor]) -> list[Tensor]:
    """Apply `take` to the last hidden activation (N, channels, height, width) of each size.

    It is applied to every one, before a later layer writes into it. Networks of residual blocks have several of a size:
    all of them would be thousands of channels, and hardly differ.
    """
    found: dict[torch.Size, Tensor] = {}

    def keep(_: nn.Module, __: object, output: Tensor) -> None:
        if output.ndim == 4:
            found[output.shape[2:]] = take(output)

    hooks = [module.register_forward_hook(keep) for module in D.modules() if isinstance(module, ACTIVATIONS)]
    try:
        D(images)
    finally:
        for hook in hooks:
            hook.remove()
    if not found:
        raise PluginError(f"{type(D).__name__}: has no hidden activation that is a module; its features are not known")
    return list(found.values())


@torch.no_grad()
def last_activation(D: nn.Module, images: Tensor) -> Tensor:
    """Return D's last hidden activation, float32 (N, features), with the squared distances of `activations`."""
    return activations(D, images)[-1].flatten(1).float()


def discriminator_extractor(
    D: nn.Module, *, channels: int, resolution: int, device: str = "cpu", of: str = "this snapshot"
) -> Extractor:
    """Build the extractor of one D: the mean of every channel over its places, of the last hidden layer of each size.

    The vector is as long as those layers have channels (960 for DCGAN at 64 pixels and ndf 64), where the last
    activation flat would be several thousand numbers: too many for a covariance of a few thousand images. Each layer is
    first divided by its root mean square over the image, so that none outweighs the others by its scale.

    Numbers are comparable only where the same D embeds all images; and a D judges its own G more harshly than others.
    The extractor takes a copy of D in eval mode: batch norm uses its running statistics, an image's vector does not
    depend on its batch, and D itself, which may be in training, is unchanged. `of` names D's snapshot.

    Raises:
        PluginError: D has no hidden activation that is a module.
    """
    frozen = copy.deepcopy(D).to(device).eval().requires_grad_(False)

    def see(images: Tensor) -> tuple[Tensor, None]:
        return torch.cat(_hidden(frozen, to_float(images), _means), 1), None

    with torch.no_grad():
        blank = torch.zeros(1, channels, resolution, resolution, dtype=torch.uint8, device=device)
        num_features = see(blank)[0].shape[1]
    return Extractor(
        key="discriminator",
        title="discriminator",
        digest=digest_of_weights(frozen),
        resize="none",
        comparable=f"numbers by the D of {of} alone",
        num_features=num_features,
        see=see,
        device=device,
        lasting=False,  # a run has a D for every snapshot
    )


def _means(activation: Tensor) -> Tensor:
    """The mean of each channel over its places, (N, channels), of an activation scaled to root mean square 1."""
    scale = activation.float().square().mean((1, 2, 3), keepdim=True).add(1e-10).sqrt()
    means: Tensor = (activation.float() / scale).mean((2, 3))
    return means


def discriminator_with_features(
    checkpoint: Checkpoint, *, device: str | torch.device = "cpu", reporter: Reporter = SILENT
) -> nn.Module | None:
    """Rebuild a checkpoint's D; None, reported, where it holds none or its D has no features."""
    config = checkpoint.config
    try:
        D = checkpoint.discriminator(device=device)
        last_activation(D, torch.zeros(1, config.channels, config.resolution, config.resolution, device=device))
    except (SnapshotError, PluginError) as error:
        reporter.warning(f"{error}; comparing pixels alone")
        return None
    return D
