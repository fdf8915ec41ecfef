"""In which spaces pictures are compared: the network that a metric's space names, made when it is wanted."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from ..errors import FaceganError, PluginError
from ..features import Extractor, random_extractor
from .choosing import Choice
from .reals import Say

PIXELS = "pixels"
SPACES = (PIXELS, "inception", "random", "discriminator")


@dataclass(frozen=True, eq=False)
class Look:
    """What networks are made for.

    Attributes:
        channels: Of the pictures.
        device: Where networks run.
        weights: A file of Inception's weights; None: where they are found, else fetched.
        D: The discriminator of the snapshot, or why there is none.
    """

    channels: int
    device: str
    weights: Path | None
    D: nn.Module | FaceganError


def extractors_of(choice: Choice, look: Look, *, say: Say) -> dict[str, Extractor]:
    """The networks of every space that is wanted but pixels; one that cannot be had is told of in a line.

    Args:
        choice: The metrics.
        look: What networks are made for.
        say: Told which metrics are left out, and why.

    Raises:
        FaceganError: None of the metrics can be measured, since all are of such spaces; it is the first one's reason.
        PluginError: A metric names a space that does not exist.
    """
    found: dict[str, Extractor] = {}
    missing: dict[str, FaceganError] = {}
    for space in sorted(choice.spaces - {PIXELS}):
        if space not in SPACES:
            keys = ", ".join(choice.of_space(space))
            raise PluginError(f"{keys}: names the space '{space}'; there is: {', '.join(SPACES)}")
        try:
            found[space] = _extractor(space, look)
        except FaceganError as error:
            if space == "inception" and look.weights is not None:  # a wrong file that was named is no missing one
                raise
            missing[space] = error
    if missing and len(missing) == len(choice.spaces):
        raise next(iter(missing.values()))
    for space, reason in missing.items():
        say(f"{_listed(choice.of_space(space))} left out: {reason}")
    return found


def _extractor(space: str, look: Look) -> Extractor:
    """The network of a space; raises FaceganError when it cannot be had."""
    if space == "random":
        return random_extractor(look.channels, device=look.device)
    if isinstance(look.D, FaceganError) and space == "discriminator":
        raise look.D
    raise FaceganError(f"{space}: there is no such network yet")


def _listed(keys: Sequence[str]) -> str:
    return f"{', '.join(keys)}: {'are' if len(keys) > 1 else 'is'}"
