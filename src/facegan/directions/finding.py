"""Finding directions: label samples, fit a direction to each attribute, and see what it moves."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ..generator import FaceGenerator
from ..latents import draw
from ..sampling import finite_images
from .classifier import Classifier, auc
from .factorisation import factorise
from .linear import fit, keeping, shifted
from .saved import About, Directions
from .targets import FEWEST

LEAST_AUC = 0.75  # of the classifier on held-out images: below it, its answers are too close to chance
NUM_TRIED = 128  # latents that each direction is tried on
FAR = 2.0  # standard deviations of z to either side, in the table of what moved
_BATCH = 512

Progress = Callable[[int, int], None]  # (faces drawn, of how many)


def usable(classifier: Classifier) -> tuple[list[str], dict[str, str]]:
    """The attributes that a classifier tells well enough to label with, and why not the others."""
    chosen, refused = [], {}
    for name in classifier.names:
        score = classifier.scores.get(name)
        if score is None:
            refused[name] = f"fewer than {FEWEST} held-out images of either kind"
        elif score.auc < LEAST_AUC:
            refused[name] = f"the classifier hardly tells it (held-out AUC {score.auc:.2f}, below {LEAST_AUC})"
        else:
            chosen.append(name)
    return chosen, refused


def find(
    generator: FaceGenerator,
    classifier: Classifier | None,
    *,
    wanted: Sequence[str] = (),
    kept: Sequence[str] = (),
    num: int = 10_000,
    components: int = 8,
    progress: Progress | None = None,
) -> tuple[Directions, dict[str, str]]:
    """The directions of a generator, and why some attributes have none.

    A fifth of the samples is kept from the fit, to judge the direction by.

    Args:
        generator: From `load_generator`.
        classifier: Of the attributes; None: directions from G's weights alone.
        wanted: Attributes to find directions for; all that can be used by default. All are in the table.
        kept: Attributes whose directions all others are made orthogonal to.
        num: Samples to label.
        components: Directions from G's weights: sefa-1, sefa-2, ...
        progress: Called with (faces drawn, of how many).

    Raises:
        PluginError: Components are asked for, and G's first layer is no affine map.
        SnapshotError: An image holds values that are not finite.
    """
    told, refused = usable(classifier) if classifier else ([], {})
    found = dict[str, tuple[About, Tensor]]()
    num_tried = 2 * NUM_TRIED * ((len(wanted) or len(told)) + components)
    faces = _Counted(generator, classifier, told, num + num_tried, progress)
    if told:
        z = draw(num, generator.z_dim, generator.prior, torch.Generator().manual_seed(0))
        shares = faces.shares(z)
        fitted = {name: fit(z[num // 5 :], shares[num // 5 :, place]) for place, name in enumerate(told)}
        for place, name in enumerate(told):
            if wanted and name not in wanted:
                continue
            others = [] if name in kept else kept
            vector = keeping(fitted[name], [fitted[other] for other in others])
            judged = _judged(name, vector, z[: num // 5], shares[: num // 5, place], others)
            if isinstance(judged, str):
                refused[name] = judged
            else:
                found[name] = judged, vector
    if components:
        for number, (vector, share) in enumerate(zip(*factorise(generator, components), strict=True), start=1):
            name = f"sefa-{number}"
            found[name] = About(name=name, kind="sefa", share=float(share)), vector
    about = [each for each, _ in found.values()]
    vectors = torch.cat([torch.empty(0, generator.z_dim), *(vector[None] for _, vector in found.values())])
    origin = generator.origin
    return Directions(about, vectors, told, faces.moved(vectors), origin.digest, origin.step), refused


class _Counted:
    """Labels the faces of latents with the attributes in `told`, and counts them."""

    def __init__(
        self,
        generator: FaceGenerator,
        classifier: Classifier | None,
        told: Sequence[str],
        total: int,
        progress: Progress | None,
    ) -> None:
        self._generator, self._classifier, self._told = generator, classifier, told
        self._done, self._total, self._progress = 0, total, progress

    def shares(self, z: Tensor) -> Tensor:
        """The probability of each attribute for the faces of z: (N, told)."""
        assert self._classifier is not None
        places = [self._classifier.names.index(name) for name in self._told]
        parts = []
        for chunk in z.split(_BATCH):  # type: ignore[no-untyped-call]
            parts.append(self._classifier.logits(finite_images(self._generator, chunk))[:, places].sigmoid())
            self._done += len(chunk)
            if self._progress:
                self._progress(self._done, self._total)
        return torch.cat(parts)

    def moved(self, vectors: Tensor) -> Tensor:
        """Mean probability at +FAR less that at -FAR, for each direction and attribute: (directions, told)."""
        if not self._told:
            return torch.empty(len(vectors), 0)
        prior, z_dim = self._generator.prior, self._generator.z_dim
        z = draw(NUM_TRIED, z_dim, prior, torch.Generator().manual_seed(1))
        ends = ((shifted(z, FAR * vector, prior), shifted(z, -FAR * vector, prior)) for vector in vectors)
        moved = [self.shares(far).mean(0) - self.shares(back).mean(0) for far, back in ends]
        return torch.stack(moved) if moved else torch.empty(0, len(self._told))


def _judged(name: str, vector: Tensor, z: Tensor, shares: Tensor, kept: Sequence[str]) -> About | str:
    """How well a direction separates samples with an attribute from those without, or why that cannot be told."""
    has = shares > 0.5
    if min(int(has.sum()), int((~has).sum())) < FEWEST:
        kind = "have" if int(has.sum()) < FEWEST else "lack"
        return f"hardly any sample seems to {kind} it ({min(int(has.sum()), int((~has).sum()))} of {len(has)})"
    if not vector.any():
        return f"nothing is left of it without {', '.join(kept)}"
    height = z @ vector
    cut = height.quantile(1 - has.float().mean())
    return About(
        name=name,
        kind="labelled",
        auc=auc(height, has),
        accuracy=float(((height > cut) == has).float().mean()),
        share=float(has.float().mean()),
        kept=tuple(kept),
    )
