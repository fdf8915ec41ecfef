"""The search for directions: label samples, fit a direction to each attribute, and measure what it moves."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor

from ..checkpoint import Checkpoint
from ..data.image_set import training_set
from ..errors import ConfigError, DataError, PluginError
from ..generator import FaceGenerator
from ..latents import draw, shifted
from ..messages import nearest
from ..reporter import SILENT, Reporter
from ..sampling import finite_images
from .attributes import MIN_EACH
from .classifier import AttributeClassifier, auc, train_classifier
from .directions_file import DirectionInfo, Directions
from .linear import fit_direction, orthogonalise
from .sefa import first_layer_matrix, sefa

NUM_COMPONENTS = 8  # directions of G's first layer by default
MIN_SAMPLES = 500
NUM_MOVED = 128  # latents that each direction is tried on
FAR = 2.0  # standard deviations of z to either side, where its effect is measured
_BATCH = 512


class DirectionSettings(BaseModel):
    """Which directions are searched, and how.

    Attributes:
        attributes: Attributes to find directions for; empty: all that the classifier recognises.
        keep: Attributes whose directions all others are made orthogonal to.
        components: Directions of G's first layer, sefa-1, sefa-2, ...; None: 8 where its architecture allows any.
        unlabelled: Whether only those are searched, which need no images.
        num: Samples to label.
        source: Where the run's images are; None: where the run found them.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    attributes: tuple[str, ...] = ()
    keep: tuple[str, ...] = ()
    components: int | None = None
    unlabelled: bool = False
    num: int = 10_000
    source: str | None = None

    def model_post_init(self, _: Any) -> None:
        """Refuse settings that exclude each other; raises ConfigError."""
        if self.unlabelled and (self.attributes or self.keep or self.source):
            raise ConfigError("--unlabelled takes no --attributes, --keep or --data: it looks at G alone")
        if self.components is not None and self.components < self.unlabelled:
            raise ConfigError(f"--components {self.components}: give {'1' if self.unlabelled else '0'} or more")

    def check(self, z_dim: int) -> None:
        """Refuse settings that do not suit latents of this length; raises ConfigError."""
        if self.components is not None and self.components > z_dim:
            raise ConfigError(f"--components {self.components}: z has {z_dim} dimensions; give at most that")
        least = max(MIN_SAMPLES, 10 * z_dim)
        if not self.unlabelled and self.num < least:
            raise ConfigError(
                f"-n {self.num}: too few samples to fit directions in {z_dim} dimensions; give {least:,} or more"
            )


@dataclass(frozen=True, eq=False)
class FoundDirections:
    """Directions, and how they were found.

    Attributes:
        directions: The directions.
        classifier: The classifier of the images' attributes; None without one.
        is_cached: Whether the classifier came from the cache.
        refused: Attributes without a direction, and why.
    """

    directions: Directions
    classifier: AttributeClassifier | None
    is_cached: bool
    refused: dict[str, str]

    def document(self) -> dict[str, Any]:
        """Return all numbers for JSON."""
        found = self.directions
        rows = [
            {
                **info.model_dump(),
                "moved": {name: round(change, 4) for name, change in zip(found.attributes, moved, strict=True)},
            }
            for info, moved in zip(found.infos, found.moved.tolist(), strict=True)
        ]
        scores = self.classifier.scores.values() if self.classifier else ()
        return {
            "digest": found.snapshot,
            "step": found.step,
            "classifier": {"cached": self.is_cached, "scores": [each.model_dump() for each in scores]},
            "directions": rows,
            "refused": self.refused,
        }


def find_directions(
    checkpoint: Checkpoint,
    settings: DirectionSettings | None = None,
    *,
    device: str | torch.device = "cpu",
    reporter: Reporter = SILENT,
) -> FoundDirections:
    """Find directions for the attributes of a model's training images, and those that G's first layer amplifies most.

    Args:
        checkpoint: The snapshot.
        settings: Which directions, and how.
        device: Where G and the classifier run.
        reporter: Receives the progress, and which kinds of directions are left out.

    Raises:
        ConfigError: A setting does not suit the model, or an attribute is unknown or has no direction.
        DataError: The images cannot be loaded or learned from, or no direction is found.
        PluginError: Components are asked for, and G's first layer is not an affine map.
        SnapshotError: The snapshot cannot be used, or its images are not finite.
    """
    settings = settings or DirectionSettings()
    generator = checkpoint.generator(device=device)
    settings.check(generator.z_dim)
    settings = settings.model_copy(update={"components": _num_components(generator, settings, reporter)})
    classifier, is_cached, refused = None, False, dict[str, str]()
    if not settings.unlabelled:
        classifier, is_cached, refused = _classifier(checkpoint, settings, device, reporter)
    found, without = fit_directions(generator, classifier, settings, reporter=reporter)
    refused |= without
    if not found.infos:
        wanted = settings.attributes or tuple(refused)
        reasons = "; ".join(f"{name}: {reason}" for name, reason in refused.items() if name in wanted)
        raise DataError(f"{checkpoint.path}: no direction could be found ({reasons or 'there is none to find'})")
    return FoundDirections(found, classifier, is_cached, refused)


def fit_directions(
    generator: FaceGenerator,
    classifier: AttributeClassifier | None,
    settings: DirectionSettings,
    *,
    reporter: Reporter = SILENT,
) -> tuple[Directions, dict[str, str]]:
    """Return the directions of a generator, and why some attributes have none.

    A fifth of the samples is held out from the fit, to evaluate the direction on.

    Args:
        generator: The generator.
        classifier: Of the attributes; None: directions of G's first layer alone.
        settings: Which directions; `components` None is 0.
        reporter: Receives the number of images sampled.

    Raises:
        PluginError: Components are asked for, and G's first layer is not an affine map.
        SnapshotError: An image holds values that are not finite.
    """
    names, refused = classifier.usable() if classifier else ([], {})
    found = dict[str, tuple[DirectionInfo, Tensor]]()
    num, components = settings.num, settings.components or 0
    num_moved = 2 * NUM_MOVED * ((len(settings.attributes) or len(names)) + components)
    labeller = _Labeller(generator, classifier, names, num + num_moved, reporter)
    if names:
        z = draw(num, generator.z_dim, generator.prior, torch.Generator().manual_seed(0))
        shares = labeller.shares(z)
        fitted = {name: fit_direction(z[num // 5 :], shares[num // 5 :, place]) for place, name in enumerate(names)}
        for place, name in enumerate(names):
            if settings.attributes and name not in settings.attributes:
                continue
            others = () if name in settings.keep else settings.keep
            vector = orthogonalise(fitted[name], [fitted[other] for other in others])
            info = _evaluate(name, vector, z[: num // 5], shares[: num // 5, place], others)
            if isinstance(info, str):
                refused[name] = info
            else:
                found[name] = info, vector
    if components:
        for number, (vector, share) in enumerate(zip(*sefa(generator, components), strict=True), start=1):
            name = f"sefa-{number}"
            found[name] = DirectionInfo(name=name, kind="sefa", share=float(share)), vector
    infos = [info for info, _ in found.values()]
    vectors = torch.cat([torch.empty(0, generator.z_dim), *(vector[None] for _, vector in found.values())])
    origin = generator.origin
    return Directions(infos, vectors, names, labeller.moved(vectors), origin.digest, origin.step), refused


class _Labeller:
    """Labels the images of latents with attributes, and reports how many."""

    def __init__(
        self,
        generator: FaceGenerator,
        classifier: AttributeClassifier | None,
        names: Sequence[str],
        total: int,
        reporter: Reporter,
    ) -> None:
        self._generator, self._classifier, self._names = generator, classifier, names
        self._done, self._total, self._reporter = 0, total, reporter

    def shares(self, z: Tensor) -> Tensor:
        """Return the probability of each attribute for the images of z: (N, attributes)."""
        assert self._classifier is not None
        places = [self._classifier.names.index(name) for name in self._names]
        parts = []
        for chunk in z.split(_BATCH):  # type: ignore[no-untyped-call]
            parts.append(self._classifier.logits(finite_images(self._generator, chunk))[:, places].sigmoid())
            self._done += len(chunk)
            self._reporter.progress("sampling", self._done, self._total)
        return torch.cat(parts)

    def moved(self, vectors: Tensor) -> Tensor:
        """Return the mean probability at +FAR less that at -FAR, for each direction and attribute."""
        if not self._names:
            return torch.empty(len(vectors), 0)
        prior, z_dim = self._generator.prior, self._generator.z_dim
        z = draw(NUM_MOVED, z_dim, prior, torch.Generator().manual_seed(1))
        ends = ((shifted(z, FAR * vector, prior), shifted(z, -FAR * vector, prior)) for vector in vectors)
        moved = [self.shares(far).mean(0) - self.shares(back).mean(0) for far, back in ends]
        return torch.stack(moved) if moved else torch.empty(0, len(self._names))


def _evaluate(name: str, vector: Tensor, z: Tensor, shares: Tensor, kept: Sequence[str]) -> DirectionInfo | str:
    """Measure how well a direction separates samples with an attribute from those without; or return why it cannot."""
    has = shares > 0.5
    if min(int(has.sum()), int((~has).sum())) < MIN_EACH:
        kind = "have" if int(has.sum()) < MIN_EACH else "lack"
        return f"hardly any sample seems to {kind} it ({min(int(has.sum()), int((~has).sum()))} of {len(has)})"
    if not vector.any():
        return f"nothing is left of it without {', '.join(kept)}"
    height = z @ vector
    threshold = height.quantile(1 - has.float().mean())
    return DirectionInfo(
        name=name,
        kind="labelled",
        auc=auc(height, has),
        accuracy=float(((height > threshold) == has).float().mean()),
        share=float(has.float().mean()),
        kept=tuple(kept),
    )


def _num_components(generator: FaceGenerator, settings: DirectionSettings, reporter: Reporter) -> int:
    """Return how many SeFa directions to find: the default only where the architecture allows any."""
    if settings.components == 0:
        return 0
    try:
        first_layer_matrix(generator)
    except PluginError as error:
        if settings.components is not None or settings.unlabelled:
            raise
        reporter.warning(f"{error}; only labelled directions are searched")
        return 0
    return min(NUM_COMPONENTS, generator.z_dim) if settings.components is None else settings.components


def _classifier(
    checkpoint: Checkpoint, settings: DirectionSettings, device: str | torch.device, reporter: Reporter
) -> tuple[AttributeClassifier | None, bool, dict[str, str]]:
    """Return the classifier of the training images' attributes, whether it was cached, and what it cannot learn."""
    try:
        images = training_set(checkpoint, settings.source, has_moved=True, reporter=reporter)
    except DataError as error:
        raise DataError(f"{error}, or take --unlabelled, which needs none") from None
    source = images.packed.index.source if images.packed else images.label
    try:
        classifier, labels, is_cached = train_classifier(images, device=device, reporter=reporter)
    except DataError as error:
        raise DataError(f"{source}: {error}, or take --unlabelled") from None
    if classifier.names:
        trained = "the classifier is from the cache" if is_cached else "the classifier is trained, and cached"
        reporter.info(f"{source}: {len(classifier.names)} attributes, {trained}")
    else:
        known = f"none can be learned ({'; '.join(labels.skipped)})" if labels.skipped else "nothing is known"
        reporter.info(f"{source}: {known} of its images; directions of G's first layer only (SeFa)")
    _check_names(settings, classifier, labels.skipped, source)
    return classifier if classifier.names else None, is_cached, dict(labels.skipped)


def _check_names(
    settings: DirectionSettings, classifier: AttributeClassifier, skipped: dict[str, str], source: str
) -> None:
    """Refuse attributes that the images do not have, and one to keep without a direction; raises ConfigError."""
    names, reasons = classifier.usable()
    known = [*names, *reasons]
    for flag, wanted in (("--attributes", settings.attributes), ("--keep", settings.keep)):
        for name in wanted:
            if name not in known and name not in skipped:
                raise ConfigError(f"{flag}: {source} has no attribute '{name}'; {nearest(name, known)}")
    for name in settings.keep:
        if name not in names:
            raise ConfigError(f"--keep {name}: has no direction: {(skipped | reasons)[name]}")
