"""In which spaces images are compared: the network that a metric's space names, made when it is wanted."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from ..downloads.inception_weights import BRIEF, fetch_weights, find_weights
from ..errors import FaceganError, PluginError
from ..features import Extractor, discriminator_extractor, inception_extractor, random_extractor
from ..reporter import Callbacks
from .choosing import Choice
from .metric import PIXELS
from .reals import Say

Arriving = Callable[[str, int, int | None], None]  # (file, bytes here, bytes in all or None)

SPACES = (PIXELS, "inception", "random", "discriminator")


@dataclass(frozen=True, eq=False)
class Look:
    """What networks are made for.

    Attributes:
        name: Of what is judged.
        channels: Of the images.
        resolution: Of the images.
        device: Where networks run.
        weights: A file of Inception's weights; None: where they are found, else fetched.
        D: The discriminator of the snapshot, or why there is none.
        arriving: Called with (file, bytes here, bytes in all) while weights are fetched.
    """

    name: str
    channels: int
    resolution: int
    device: str
    weights: Path | None
    D: nn.Module | FaceganError
    arriving: Arriving = lambda *_: None


Made = dict[str, Extractor | FaceganError]


def extractors_of(choice: Choice, look: Look, *, made: Made, say: Say) -> dict[str, Extractor]:
    """The networks of every space that is wanted but pixels; one that cannot be had is told of in a line.

    Args:
        choice: The metrics.
        look: What networks are made for.
        made: Those of what was judged before, and why some could not be had; the new ones are added.
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
        known = made.get(space) or _tried(space, look)
        if isinstance(known, Extractor):
            found[space] = known
        else:
            missing[space] = known
        if space != "discriminator":  # each snapshot has its own
            made[space] = known
    if missing and len(missing) == len(choice.spaces):
        raise next(iter(missing.values()))
    for space, reason in missing.items():
        say(f"{_listed(choice.of_space(space))} left out: {reason}")
    return found


def _tried(space: str, look: Look) -> Extractor | FaceganError:
    """The network of a space, or why it cannot be had; raises FaceganError for a wrong file that was named."""
    try:
        return extractor_of(space, look)
    except FaceganError as error:
        if space == "inception" and look.weights is not None:
            raise
        return error


def extractor_of(space: str, look: Look) -> Extractor:
    """The network of one of SPACES but pixels; Inception's weights are fetched if they are not here.

    Raises:
        FaceganError: It cannot be had.
    """
    if space == "random":
        return random_extractor(look.channels, look.resolution, device=look.device)
    if space == "inception":
        return inception_extractor(look.weights or _weights(look.arriving), device=look.device)
    if isinstance(look.D, FaceganError):
        raise look.D
    size = {"channels": look.channels, "resolution": look.resolution}
    return discriminator_extractor(look.D, **size, device=look.device, of=look.name)


def _weights(arriving: Arriving) -> Path:
    """Inception's weights: those that are here, else fetched with little patience; raises FaceganError."""
    try:
        return find_weights() or fetch_weights(reporter=Callbacks(transfer=arriving), patience=BRIEF)
    except OSError as error:  # a cache that cannot be written
        raise FaceganError(
            f"{error.filename}: Inception's weights cannot be kept there ({error.strerror}); "
            "name a copy with --weights FILE"
        ) from None


def _listed(keys: Sequence[str]) -> str:
    return f"{', '.join(keys)}: {'are' if len(keys) > 1 else 'is'}"
