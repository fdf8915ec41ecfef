"""Where real images come from: those of a model's training, or any two sources that are compared."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..checkpoint import Checkpoint
from ..config import DataConfig, RunConfig, validate
from ..data.image_set import from_packed, held_out, training_settings
from ..data.packed.load import load
from ..data.packed.packed_images import PackedImages
from ..data.source import shown
from ..errors import DataError
from ..reporter import Callbacks
from .measure import Tell
from .pair import Known
from .subjects import Reference, reference_of

LEAST = 2  # images of either side

Say = Callable[[str], None]


@dataclass(frozen=True)
class Wanted:
    """Which real images a model is held against.

    Attributes:
        source: Another source than the images that it was trained on, or where those are now; None: as the run says.
        settings: Settings of the data, over the run's.
        num_held_out: How many images that the model has not seen are wanted, together with the names and attributes
            of the real ones; None: none of these.
    """

    source: str | None = None
    settings: Mapping[str, Any] | None = None
    num_held_out: int | None = None


def reals_of(snapshot: Path, config: RunConfig, wanted: Wanted, *, tell: Tell, say: Say) -> Reference:
    """The real images of a model: by default the very ones that it was trained on, or others, cropped as those.

    A source that has the name of the run's own is taken for it, at another place.

    Raises:
        DataError: They are not there, or fewer than LEAST can be used.
        ConfigError: A setting cannot be.
    """
    base = _base(snapshot, config, wanted.source)
    data = with_settings(base, wanted.settings or {})
    size = {"resolution": config.resolution, "channels": config.channels}
    packed = packed_of(data, **size, tell=tell, say=say)
    trained = data == base and _is_own(config, wanted.source)
    known = Known(digest=packed.digest, mirror=config.data.mirror, trained=trained)
    if (num := wanted.num_held_out) is not None:
        heldout = None
        if trained and num:
            try:
                reporter = Callbacks(progress={"packing": tell("packing held-out images")})
                found = held_out(from_packed(packed, settings=data), num, reporter=reporter)
                heldout = found.images if found else None
            except DataError as error:
                say(f"no held-out images: {error}")
        known = replace(known, attributes=packed.attributes, names=packed.names, heldout=heldout)
    return named(reference_of(packed, known), data, packed)


def packed_of(data: DataConfig, *, resolution: int, channels: int, tell: Tell, say: Say) -> PackedImages:
    """Pictures as packed ones; those that cannot be used are told of.

    Raises:
        DataError: Fewer than LEAST can be used.
    """
    packed = load(data, resolution=resolution, channels=channels, progress=tell("packing"))
    if packed.num_skipped:
        what = f"{packed.num_skipped:,} images cannot be used and are left out"
        name, reason = packed.skipped[0] if packed.skipped else ("", "")
        say(f"{data.source}: {what}; the first is {shown(name)}: {reason}")
    if len(packed) < LEAST:
        raise DataError(f"{data.source}: holds {len(packed)} image that can be used, need at least {LEAST}")
    return packed


def with_settings(data: DataConfig, layer: Mapping[str, Any]) -> DataConfig:
    """The same with other settings laid over it; raises ConfigError for one that does not exist or cannot be."""
    options = layer.get("options", {})
    merged = {**data.model_dump(), **layer}
    merged["options"] = {**data.options, **options} if isinstance(options, Mapping) else options
    return validate({**RunConfig().model_dump(), "data": merged}).data


def named(reference: Reference, data: DataConfig, packed: PackedImages) -> Reference:
    """The same, named as the user would, with the part that was taken."""
    selection = "" if packed.index.selection == "all" else f" ({packed.index.selection})"
    return replace(reference, source=f"{data.source}{selection}")


def _is_own(config: RunConfig, source: str | None) -> bool:
    return source is None or Path(source).name == Path(config.data.source).name


def _base(snapshot: Path, config: RunConfig, source: str | None) -> DataConfig:
    if source is None or _is_own(config, source):
        return training_settings(Checkpoint(snapshot, config, "", 0, set()), source)
    others = {"source": source, "split": "all", "where": "", "limit": 0, "options": {}}
    return config.data.model_copy(update=others)
