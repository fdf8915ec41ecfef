"""The search for directions: label samples, fit a direction to each attribute, and measure its effects."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from pydantic import Field
from torch import Tensor

from ..checkpoint import Checkpoint
from ..config.error_messages import Options
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


class DirectionSettings(Options):
    """Which directions are searched, and how."""

    attributes: tuple[str, ...] = ()  # attributes to find directions for; none: all that the classifier recognises
    keep: tuple[str, ...] = ()  # attributes whose directions all others are made orthogonal to
    components: int | None = Field(None, ge=0, title="--components")  # of G's first layer; None: 8 where it has any
    unlabelled: bool = False  # only those of G's first layer, which need no images
    num: int = 10_000  # samples to label
    source: str | None = None  # where the run's images are; None: where the run found them

    def model_post_init(self, _: Any) -> None:
        """Refuse settings that exclude each other; raises ConfigError."""
        if self.unlabelled and (self.attributes or self.keep or self.source):
            raise ConfigError("--unlabelled takes no --attributes, --keep or --data: it looks at G alone")
        if self.unlabelled and self.components == 0:
            raise ConfigError("--unlabelled --components 0: finds no direction; give 1 component or more")

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
    """Directions, and how they were found."""

    directions: Directions
    classifier: AttributeClassifier | None  # of the images' attributes
    is_cached: bool  # whether the classifier came from the cache
    refused: dict[str, str]  # attributes without a direction, and why

    def document(self) -> dict[str, Any]:
        """Return all numbers for JSON."""
        found = self.directions
        rows = []
        for info, moved in zip(found.infos, found.moved.tolist(), strict=True):
            changes = {name: round(change, 4) for name, change in zip(found.attributes, moved, strict=True)}
            rows.append({**info.model_dump(), "moved": changes})
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

    A fifth of the samples is held out from the fit, to evaluate the direction on. Without a classifier, and for
    `settings.components` above 0, directions are those of G's first layer.

    Raises:
        PluginError: Components are asked for, and G's first layer is not an affine map.
        SnapshotError: An image holds values that are not finite.
    """
    names, refused = classifier.usable() if classifier else ([], {})
    infos, vectors = list[DirectionInfo](), list[Tensor]()
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
                infos.append(info)
                vectors.append(vector)
    if components:
        for number, (vector, share) in enumerate(zip(*sefa(generator, components), strict=True), start=1):
            infos.append(DirectionInfo(name=f"sefa-{number}", kind="sefa", share=float(share)))
            vectors.append(vector)
    found = torch.stack(vectors) if vectors else torch.empty(0, generator.z_dim)
    origin = generator.origin
    return Directions(infos, found, names, labeller.moved(found), origin.digest, origin.step), refused


@dataclass
class _Labeller:
    """Labels the images of latents with attributes, and reports how many."""

    generator: FaceGenerator
    classifier: AttributeClassifier | None
    names: list[str]  # of the attributes
    total: int
    reporter: Reporter
    done: int = 0

    def shares(self, z: Tensor) -> Tensor:
        """Return the probability of each attribute for the images of z: (N, attributes)."""
        assert self.classifier is not None
        places = [self.classifier.names.index(name) for name in self.names]
        parts = []
        for chunk in z.split(_BATCH):  # type: ignore[no-untyped-call]
            parts.append(self.classifier.logits(finite_images(self.generator, chunk))[:, places].sigmoid())
            self.done += len(chunk)
            self.reporter.progress("sampling", self.done, self.total)
        return torch.cat(parts)

    def moved(self, vectors: Tensor) -> Tensor:
        """Return the mean probability at +FAR less that at -FAR: (directions, attributes)."""
        if not self.names or not len(vectors):
            return torch.empty(len(vectors), len(self.names))
        prior = self.generator.prior
        z = draw(NUM_MOVED, self.generator.z_dim, prior, torch.Generator().manual_seed(1))
        ends = [[self.shares(shifted(z, end * vector, prior)).mean(0) for end in (FAR, -FAR)] for vector in vectors]
        return torch.stack([far - back for far, back in ends])


def _evaluate(name: str, vector: Tensor, z: Tensor, shares: Tensor, kept: Sequence[str]) -> DirectionInfo | str:
    """Measure how well a direction separates samples with an attribute from those without; or return why it cannot."""
    has = shares > 0.5
    num_with, num_without = int(has.sum()), int((~has).sum())
    if min(num_with, num_without) < MIN_EACH:
        kind = "have" if num_with < MIN_EACH else "lack"
        return f"hardly any sample seems to {kind} it ({min(num_with, num_without)} of {len(has)})"
    if not vector.any():
        return f"nothing is left of it without {', '.join(kept)}"
    height, share = z @ vector, has.float().mean()
    accuracy = ((height > height.quantile(1 - share)) == has).float().mean()
    return DirectionInfo(
        name=name, kind="labelled", auc=auc(height, has), accuracy=float(accuracy), share=float(share), kept=tuple(kept)
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
    """Return the classifier of the training images' attributes, whether it was cached, and why some are left out."""
    try:
        images = training_set(checkpoint, settings.source, has_moved=True, reporter=reporter)
        classifier, labels, is_cached = train_classifier(images, device=device, reporter=reporter)
    except DataError as error:
        raise DataError(f"{error}, or take --unlabelled, which needs none") from None
    source = images.packed.index.source if images.packed else images.label
    if classifier.names:
        trained = "the classifier is from the cache" if is_cached else "the classifier is trained, and cached"
        reporter.info(f"{source}: {len(classifier.names)} attributes, {trained}")
    else:
        known = f"none can be learned ({'; '.join(labels.skipped)})" if labels.skipped else "nothing is known"
        reporter.info(f"{source}: {known} of its images; directions of G's first layer only (SeFa)")
    names, reasons = classifier.usable()
    refused = labels.skipped | reasons
    known_names = [*classifier.names, *labels.skipped]
    for flag, wanted in (("--attributes", settings.attributes), ("--keep", settings.keep)):
        for name in wanted:
            if name not in known_names:
                raise ConfigError(f"{flag}: {source} has no attribute '{name}'; {nearest(name, classifier.names)}")
            if flag == "--keep" and name not in names:
                raise ConfigError(f"--keep {name}: has no direction: {refused[name]}")
    return classifier if classifier.names else None, is_cached, dict(labels.skipped)
