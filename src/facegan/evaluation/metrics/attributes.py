"""Which combinations of attributes a generator makes, and in which proportions."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from scipy.stats import norm

from ...directions.classifier import Classifier
from ...directions.finding import usable
from ...directions.learning import held_out, learn
from ...directions.targets import Targets, questions
from ...distances import combinations
from ...images import to_float
from ..metric import Measurement, Metric
from ..pair import Pair, Sample

ENOUGH = 12  # faces: where so many are expected, there being none is no accident, though thousands are looked for
LISTED = 50  # of the combinations that are hardly made, and of those made too often or too rarely
_AT_ONCE = 512  # images that the classifier looks at


@dataclass(frozen=True, eq=False)
class Asked:
    """What the classifier is asked of both sides.

    Attributes:
        classifier: Of the attributes.
        groups: The questions of each attribute, as places among the classifier's: of words several, else one.
        left_out: Questions that it cannot be asked, and why.
        targets: All questions, with the answers that are known of the reals.
        rows: Of the reals those that it was not trained on.
    """

    classifier: Classifier
    groups: list[list[int]]
    left_out: dict[str, str]
    targets: Targets
    rows: NDArray[np.int64]

    @property
    def told(self) -> list[int]:
        """Places of the questions, in the order of the groups."""
        return [place for group in self.groups for place in group]

    @property
    def sizes(self) -> NDArray[np.int64]:
        """Answers that each group can give: its questions, and none of them."""
        return np.array([len(group) + 1 for group in self.groups])

    @property
    def cells(self) -> list[str]:
        """The name of every answer: "glasses", "not glasses", "hair_style=bob", "no hair_style that is told"."""
        found = []
        for group in self.groups:
            names = [self.classifier.names[place] for place in group]
            several = f"no {names[0].partition('=')[0]} that is told"
            found += [*names, several if len(names) > 1 else f"not {names[0]}"]
        return found

    def answers(self, sample: Sample, mirror: bool = False) -> NDArray[np.float32]:
        """What it says of a sample: 0 and 1 in the cells of all answers, (n, cells).

        Of an attribute's words it is the likeliest one, if any is likelier than not. With `mirror`, every other image
        is shown mirrored, as the generator was shown both.
        """
        found = []
        for start in range(0, len(sample), _AT_ONCE):
            images = to_float(torch.from_numpy(sample.take(start, min(start + _AT_ONCE, len(sample)))))
            if mirror:
                images[1::2] = images[1::2].flip(-1)
            logits = self.classifier.logits(images).numpy()
            chosen = [logits[:, group] for group in self.groups]
            found.append([np.where(each.max(1) > 0, each.argmax(1), each.shape[1]) for each in chosen])
        return combinations.cells(np.concatenate([np.stack(each, 1) for each in found]), self.sizes)


class AttributeProportions(Metric):
    """How far the attributes of fakes, two at a time, are from the proportions in which real images combine them.

    A classifier, learned from the real images, says of both sides what they show; of the reals, only of images of
    people that it has not learned from, so that its errors are the same on both. For two attributes, the total
    variation distance between their combinations is the share of fakes that would have to show another combination for
    all of them to be as frequent as among the reals; the value is the mean over all pairs of attributes: 0 for the
    reals' own proportions, up to 1 for fakes that share no combination with them. In a small sample chance alone gives
    some: the details tell how much ("by_chance").
    """

    title: ClassVar[str] = "Attributes' combinations"
    better: ClassVar[Literal["lower", "higher", "nearer"]] = "lower"
    at_least: ClassVar[int] = 100
    comparable: ClassVar[str] = "facegan alone, on the same real images and their attributes"
    has_floor: ClassVar[bool] = False  # what chance gives is in the details, for exactly these numbers of images

    common: float = Field(
        default=0.01, gt=0, lt=1, description="combinations of at least this share of the reals can be missed"
    )
    made: float = Field(
        default=0.1, ge=0, lt=1, description="a combination is missed if it is made less than this share as often"
    )

    def lacks(self, pair: Pair) -> str | None:
        """Why these images cannot be measured, in words; None: they can. Learns the classifier."""
        if short := super().lacks(pair):
            return short
        if not pair.known.attributes:
            return (
                "needs real images whose attributes are known; take drawn faces or CelebA, or add an attributes.csv "
                "to their folder"
            )
        if not (targets := questions(pair.known.attributes)).names:
            reasons = "; ".join(f"{name}: {why}" for name, why in targets.passed_over.items())
            return f"needs an attribute that can be learned from the real images ({reasons})"
        unseen = held_out(_Pictures.of(pair))
        num = int(unseen[pair.real.rows].sum())
        if num < self.at_least or unseen.all():
            return (
                f"needs at least {self.at_least} real images of people that its classifier does not learn from, a "
                f"fifth of all, and others to learn from (there are {num:,} and {int((~unseen).sum()):,}); take more"
            )
        if not _asked(pair).groups:
            reasons = "; ".join(f"{name}: {why}" for name, why in _asked(pair).left_out.items())
            return f"needs an attribute that a classifier can tell ({reasons})"
        return None

    def measure(self, pair: Pair) -> Measurement:
        """Ask the classifier about both sides, and compare the answers two attributes at a time."""
        asked = _asked(pair)
        real = asked.answers(Sample(pair.real.pictures, asked.rows), pair.known.mirror)
        fake = asked.answers(pair.fake)
        shares = combinations.shares(real), combinations.shares(fake)
        difference = shares[1] - shares[0]
        value = combinations.variation(difference, asked.sizes)
        details: dict[str, Any] = {
            "num_real": len(real),
            "num_fake": len(fake),
            "attributes": list(_proportions(asked, real, fake)),
            **self._combinations(asked, *shares, len(real), len(fake)),
            "left_out": asked.left_out,
        }
        if not pair.intervals:
            return Measurement(value, None, details)
        chance = combinations.by_chance(real, fake, asked.sizes, pair.seed)
        low, high = np.quantile(chance, (0.025, 0.975))
        details = {"by_chance": {"value": float(chance.mean()), "interval": (float(low), float(high))}, **details}
        return Measurement(value, combinations.interval(fake, difference, asked.sizes), details)

    def _combinations(
        self, asked: Asked, real: NDArray[np.float64], fake: NDArray[np.float64], num_real: int, num_fake: int
    ) -> dict[str, Any]:
        """Which answers, and which two together, fakes hardly ever show, or show at another rate than is explained.

        What is said of two answers is what the shares of each alone do not explain: if round glasses are rare, so are
        round glasses with a smile. Of the reals' share p, the fakes are expected to show p (q_a / p_a) (q_b / p_b).
        """
        owner = np.repeat(np.arange(len(asked.groups)), asked.sizes)
        row, column = np.nonzero((owner[:, None] < owner) | np.eye(len(owner), dtype=bool))
        least = max(self.common, ENOUGH / min(num_real, num_fake))
        common = (real[row, column] >= least) & ~_unsure(asked)[row] & ~_unsure(asked)[column]
        row, column = row[common], column[common]
        p, q, two = real[row, column], fake[row, column], row != column
        alone = np.diag(fake) / np.maximum(np.diag(real), self.common)
        expected = np.where(two, p * alone[row] * alone[column], p)
        # On a logarithmic scale, the standard error of a count is the root of one over it.
        counts = num_fake * expected
        off = np.log(np.maximum(q, 0.5 / num_fake) / np.maximum(expected, 1e-12))
        error = np.sqrt(1 / np.maximum(counts, 1e-12) + 1 / (num_real * p))
        sure = np.abs(off) > norm.isf(0.025 / max(1, len(p))) * error
        missed = q < self.made * p
        lacking = missed & np.where(two, sure & (q < self.made * expected) & (counts >= ENOUGH), True)

        def listed(chosen: NDArray[np.bool_], order: NDArray[np.float64]) -> list[dict[str, Any]]:
            places = np.flatnonzero(chosen)
            return [
                {
                    "combination": list(dict.fromkeys((asked.cells[row[at]], asked.cells[column[at]]))),
                    "real": float(p[at]),
                    "fake": float(q[at]),
                    "expected": float(expected[at]),
                }
                for at in places[np.argsort(-order[places], kind="stable")][:LISTED]
            ]

        return {
            "num_combinations": len(p),
            "num_missed": int(missed.sum()),
            "missed": listed(lacking, p),
            "farthest": listed(sure & two & ~lacking, np.abs(off)),
        }


def rows(details: Mapping[str, Any], limit: int = 10) -> list[tuple[str, str, str, str]]:
    """What people read of a result's details: attribute, share of reals and of fakes, their ratio; the worst first.

    Args:
        details: Of a result of this metric.
        limit: Rows at most; 0: all.
    """

    def share(value: float, interval: Sequence[float]) -> str:
        return f"{value:.1%} ({interval[0]:.1%} to {interval[1]:.1%})"

    return [
        (
            each["name"],
            share(each["real"], each["real_interval"]),
            share(each["fake"], each["fake_interval"]),
            (f"{each['fake'] / each['real']:.2f}" if each["real"] else "only in fakes") if each["differs"] else "alike",
        )
        for each in details["attributes"][: limit or None]
    ]


@dataclass(frozen=True, eq=False)
class _Pictures:
    """All real images, as the classifier learns them."""

    images: NDArray[np.uint8]
    attributes: Mapping[str, Sequence[Any]]
    names: Sequence[str]
    digest: str

    @classmethod
    def of(cls, pair: Pair) -> "_Pictures":
        return cls(pair.real.pictures, pair.known.attributes, pair.known.names, pair.known.digest)


def _asked(pair: Pair) -> Asked:
    """The classifier, learned or from the cache, and what it is asked; once a pair."""

    def compute() -> Asked:
        pictures = _Pictures.of(pair)
        classifier, targets, _ = learn(pictures, device=pair.device, progress=pair.progress)
        told, hardly = usable(classifier)
        groups: dict[str, list[int]] = {}
        for name in told:
            groups.setdefault(name.partition("=")[0], []).append(classifier.names.index(name))
        unseen = held_out(pictures)
        rows = pair.real.rows[unseen[pair.real.rows]]
        return Asked(classifier, list(groups.values()), {**targets.passed_over, **hardly}, targets, rows)

    return pair.once("attributes", compute)


def _unsure(asked: Asked) -> NDArray[np.bool_]:
    """Which cells hold those of whom no word of several is told: (cells,)."""
    return np.concatenate([np.arange(size) == size - 1 if size > 2 else np.zeros(size, bool) for size in asked.sizes])


def _proportions(asked: Asked, real: NDArray[np.float32], fake: NDArray[np.float32]) -> Iterator[dict[str, Any]]:
    """A row a question, the surest differences first."""
    yes = np.concatenate([np.arange(size) < size - 1 for size in asked.sizes])
    p, q = real[:, yes].mean(0, dtype=np.float64), fake[:, yes].mean(0, dtype=np.float64)
    both = (p * len(real) + q * len(fake)) / (len(real) + len(fake))
    error = np.sqrt(both * (1 - both) * (1 / len(real) + 1 / len(fake)))
    z = np.divide(q - p, error, out=np.zeros_like(p), where=error > 0)
    bound = norm.isf(0.025 / len(z))  # 5 % for all of them together
    for place in np.argsort(-np.abs(z), kind="stable"):
        name = asked.classifier.names[asked.told[place]]
        answers = asked.targets.values[asked.rows, asked.told[place]]
        known = answers[~np.isnan(answers)]
        yield {
            "name": name,
            "real": float(p[place]),
            "real_interval": wilson(float(p[place]), len(real)),
            "fake": float(q[place]),
            "fake_interval": wilson(float(q[place]), len(fake)),
            "z": float(z[place]),
            "differs": bool(abs(z[place]) > bound),
            "labelled": float(known.mean()) if len(known) else None,
            "auc": asked.classifier.scores[name].auc,
        }


def wilson(share: float, num: int) -> tuple[float, float]:
    """The 95 % interval of a share.

    Source: Wilson, "Probable inference, the law of succession, and statistical inference", JASA 1927.
    """
    z = combinations.USUAL
    middle, margin = share + z**2 / (2 * num), z * (share * (1 - share) / num + z**2 / (4 * num**2)) ** 0.5
    return max(0.0, (middle - margin) / (1 + z**2 / num)), min(1.0, (middle + margin) / (1 + z**2 / num))
