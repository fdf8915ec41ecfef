"""Which combinations of attributes a generator makes, and in which proportions."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from scipy.stats import norm

from ...directions.attributes import AttributeLabels, binary_labels
from ...directions.classifier import AttributeClassifier, held_out_rows, train_classifier
from ...images import to_float
from ...reporter import Callbacks
from ..metric import Measurement, Metric, Pair, Sample

ENOUGH = 12  # faces: where so many are expected, there being none is no accident, though thousands are looked for
MAX_LISTED = 50  # of the combinations that are hardly made, and of those made too often or too rarely
NUM_DIVISIONS = 100  # random divisions into two sets, to see how far they are apart by chance
Z_95 = 1.96  # standard deviations
_BATCH = 512  # images that the classifier is given at a time


def wilson(share: float, num: int) -> tuple[float, float]:
    """The 95 % interval of a share.

    Source: Wilson, "Probable inference, the law of succession, and statistical inference", JASA 1927.
    """
    z = Z_95
    middle, margin = share + z**2 / (2 * num), z * (share * (1 - share) / num + z**2 / (4 * num**2)) ** 0.5
    return max(0.0, (middle - margin) / (1 + z**2 / num)), min(1.0, (middle + margin) / (1 + z**2 / num))


def one_hot(answers: NDArray[np.int64], sizes: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return answers (n, questions), each from 0 to the question's size, as 0 and 1 in cells: (n, sizes.sum())."""
    table = np.zeros((len(answers), int(sizes.sum())), np.float32)
    table[np.arange(len(answers))[:, None], answers + (np.cumsum(sizes) - sizes)] = 1
    return table


def joint_shares(table: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the share of a set that has both of two answers: (cells, cells); the diagonal is that of one answer."""
    both: NDArray[np.float64] = (table.T @ table).astype(np.float64)
    return both / len(table)


def variation(difference: NDArray[np.float64], sizes: NDArray[np.int64]) -> float:
    """The total variation distance between the joint shares of two questions, averaged over all pairs of questions.

    Of one pair of questions it is half the sum of |p - q|, the `difference` of the `joint_shares`, over the
    combinations of their answers: the share of one set that would have to answer differently for the combinations to be
    as frequent as in the other. Of a single question, its own distance is taken. `sizes` are the answers to each.
    """
    return float((_weights(sizes) * np.abs(difference)).sum())


def variation_interval(
    evaluated: NDArray[np.float32], difference: NDArray[np.float64], sizes: NDArray[np.int64]
) -> tuple[float, float]:
    """The 95 % interval of `variation` if others were evaluated, the other set staying as it is.

    Once it is known which combinations are too frequent, the distance is a mean over the evaluated images:
    (1/n) sum_i sum_(cells a, b of i) w_ab sign_ab, up to a constant. Its standard error is that of this mean over the
    evaluated images' answers, one-hot (n, cells). `difference` is their `joint_shares` less those of the other set.
    """
    signs = (_weights(sizes) * np.sign(difference)).astype(np.float32)
    each = ((evaluated @ signs) * evaluated).sum(1, dtype=np.float64)
    value, margin = variation(difference, sizes), Z_95 * float(each.std()) / len(each) ** 0.5
    return max(0.0, value - margin), min(1.0, value + margin)


def variation_by_chance(
    one: NDArray[np.float32], other: NDArray[np.float32], sizes: NDArray[np.int64], seed: int
) -> NDArray[np.float64]:
    """Return `variation` between random divisions of both sets together into two of these sizes: (NUM_DIVISIONS,).

    Small sets differ by chance, the more so the more combinations there are.
    """
    rng = np.random.default_rng(seed)
    everything = np.concatenate([one, other])
    fewer = min(len(one), len(other))
    rest = len(everything) - fewer
    total = (everything.T @ everything).astype(np.float64)
    found = []
    for _ in range(NUM_DIVISIONS):
        part = everything[rng.choice(len(everything), fewer, replace=False)]
        dealt = (part.T @ part).astype(np.float64)
        found.append(variation(dealt / fewer - (total - dealt) / rest, sizes))
    return np.array(found)


def _weights(sizes: NDArray[np.int64]) -> NDArray[np.float64]:
    """Half of one over the number of pairs, at the cells of each pair of questions once: (cells, cells)."""
    owner = np.repeat(np.arange(len(sizes)), sizes)
    pairs = owner[:, None] < owner if len(sizes) > 1 else np.eye(len(owner), dtype=bool)
    num_pairs = max(1, len(sizes) * (len(sizes) - 1) // 2)
    return pairs / (2.0 * num_pairs)


@dataclass(frozen=True, eq=False)
class Questions:
    """The questions that a classifier answers about both sides."""

    classifier: AttributeClassifier
    groups: list[list[int]]  # the questions of each attribute, by their index: one for each word, or one
    left_out: dict[str, str]  # questions that it cannot answer, and why
    targets: AttributeLabels  # all questions, with the answers that are known of the reals
    rows: NDArray[np.int64]  # of the reals that it was not trained on

    @classmethod
    def about(cls, pair: Pair) -> "Questions":
        """Learn the classifier, or take it from the cache."""
        reporter = Callbacks(begin=lambda _: pair.progress)
        classifier, targets, _ = train_classifier(pair.real.image_set, device=pair.device, reporter=reporter)
        names, unusable = classifier.usable()
        groups: dict[str, list[int]] = {}
        for name in names:
            groups.setdefault(name.partition("=")[0], []).append(classifier.names.index(name))
        rows = pair.real.rows[held_out_rows(pair.real.image_set)[pair.real.rows]]
        return cls(classifier, list(groups.values()), {**targets.skipped, **unusable}, targets, rows)

    @property
    def indices(self) -> list[int]:
        """The questions' indices, in the order of the groups."""
        return [place for group in self.groups for place in group]

    @property
    def sizes(self) -> NDArray[np.int64]:
        """The number of answers of each group: its questions, and none of them."""
        return np.array([len(group) + 1 for group in self.groups])

    @property
    def cells(self) -> list[str]:
        """The name of each answer: "glasses", "not glasses", "hair_style=bob", "no hair_style recognised"."""
        found = []
        for group in self.groups:
            names = [self.classifier.names[place] for place in group]
            several = f"no {names[0].partition('=')[0]} recognised"
            found += [*names, several if len(names) > 1 else f"not {names[0]}"]
        return found

    def answers(self, sample: Sample, mirror: bool = False) -> NDArray[np.float32]:
        """Answer for a sample: 0 and 1 in the cells of all answers, (n, cells).

        Of an attribute's words it is the likeliest one, if any is likelier than not. With `mirror`, every other image
        is mirrored, as the generator was trained on both.
        """
        found = []
        for start in range(0, len(sample), _BATCH):
            images = to_float(torch.from_numpy(sample.take(start, min(start + _BATCH, len(sample)))))
            if mirror:
                images[1::2] = images[1::2].flip(-1)
            logits = self.classifier.logits(images).numpy()
            chosen = [logits[:, group] for group in self.groups]
            found.append([np.where(each.max(1) > 0, each.argmax(1), each.shape[1]) for each in chosen])
        return one_hot(np.concatenate([np.stack(each, 1) for each in found]), self.sizes)


class AttributeProportions(Metric):
    """How far the attributes of fakes, two at a time, are from the proportions in which real images combine them.

    A classifier, learned from the real images, labels both sides; of the reals, only images of people that it has not
    learned from, so that its errors are the same on both. The value is the mean `variation` over all pairs of
    attributes: 0 for the reals' own proportions, up to 1 for fakes that share no combination with them. In a small
    sample chance alone gives some: the details tell how much ("by_chance").
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
        """Return the reason why these images cannot be measured, or None; learns the classifier."""
        if short := super().lacks(pair):
            return short
        if not pair.known.attributes:
            return (
                "needs real images whose attributes are known; take drawn faces or CelebA, or add an attributes.csv "
                "to their folder"
            )
        if not (targets := binary_labels(pair.known.attributes)).names:
            reasons = "; ".join(f"{name}: {why}" for name, why in targets.skipped.items())
            return f"needs an attribute that can be learned from the real images ({reasons})"
        unseen = held_out_rows(pair.real.image_set)
        num = int(unseen[pair.real.rows].sum())
        if num < self.at_least or unseen.all():
            return (
                f"needs at least {self.at_least} real images of people that its classifier does not learn from, a "
                f"fifth of all, and others to learn from (there are {num:,} and {int((~unseen).sum()):,}); take more"
            )
        asked = pair.once("attributes", lambda: Questions.about(pair))
        if not asked.groups:
            reasons = "; ".join(f"{name}: {why}" for name, why in asked.left_out.items())
            return f"needs an attribute that a classifier can recognise ({reasons})"
        return None

    def measure(self, pair: Pair) -> Measurement:
        """Compare the classifier's answers for both sides two attributes at a time."""
        asked = pair.once("attributes", lambda: Questions.about(pair))
        real = asked.answers(Sample(pair.real.image_set, asked.rows), pair.real.image_set.mirror)
        fake = asked.answers(pair.fake)
        shares, nums = [joint_shares(real), joint_shares(fake)], [len(real), len(fake)]
        difference = shares[1] - shares[0]
        details: dict[str, Any] = {}
        if pair.intervals:
            chance = variation_by_chance(real, fake, asked.sizes, pair.seed)
            low, high = np.quantile(chance, (0.025, 0.975))
            details["by_chance"] = {"value": float(chance.mean()), "interval": (float(low), float(high))}
        details |= {
            "num_real": len(real),
            "num_fake": len(fake),
            "attributes": list(_proportions(asked, real, fake)),
            **self._combinations(asked, shares, nums),
            "left_out": asked.left_out,
        }
        interval = variation_interval(fake, difference, asked.sizes)
        return Measurement(variation(difference, asked.sizes), interval, details)

    def _combinations(self, asked: Questions, shares: list[NDArray[np.float64]], nums: list[int]) -> dict[str, Any]:
        """Return which answers, alone and two together, fakes hardly ever show or show at an unexpected rate.

        Two answers are listed only if the shares of each alone do not explain it: if round glasses are rare, so are
        round glasses with a smile. Of the reals' share p, the fakes are expected to show p (q_a / p_a) (q_b / p_b).
        """
        (real, fake), (num_real, num_fake) = shares, nums
        owner = np.repeat(np.arange(len(asked.groups)), asked.sizes)
        row, column = np.nonzero((owner[:, None] < owner) | np.eye(len(owner), dtype=bool))
        least = max(self.common, ENOUGH / min(num_real, num_fake))
        # None of several words is no combination.
        named = np.concatenate([np.arange(size) < (size if size == 2 else size - 1) for size in asked.sizes])
        common = (real[row, column] >= least) & named[row] & named[column]
        row, column = row[common], column[common]
        p, q, two = real[row, column], fake[row, column], row != column
        alone = np.diag(fake) / np.maximum(np.diag(real), self.common)
        expected = np.where(two, p * alone[row] * alone[column], p)
        # On a logarithmic scale, the standard error of a count is the root of one over it.
        counts = num_fake * expected
        off = np.log(np.maximum(q, 0.5 / num_fake) / np.maximum(expected, 1e-12))
        error = np.sqrt(1 / np.maximum(counts, 1e-12) + 1 / (num_real * p))
        is_sure = np.abs(off) > norm.isf(0.025 / max(1, len(p))) * error
        missed = q < self.made * p
        lacking = missed & np.where(two, is_sure & (q < self.made * expected) & (counts >= ENOUGH), True)

        def listed(chosen: NDArray[np.bool_], order: NDArray[np.float64]) -> list[dict[str, Any]]:
            places = np.flatnonzero(chosen)
            return [
                {
                    "combination": list(dict.fromkeys((asked.cells[row[at]], asked.cells[column[at]]))),
                    "real": float(p[at]),
                    "fake": float(q[at]),
                    "expected": float(expected[at]),
                }
                for at in places[np.argsort(-order[places], kind="stable")][:MAX_LISTED]
            ]

        return {
            "num_combinations": len(p),
            "num_missed": int(missed.sum()),
            "missed": listed(lacking, p),
            "farthest": listed(is_sure & two & ~lacking, np.abs(off)),
        }


def rows(details: Mapping[str, Any], limit: int = 10) -> list[tuple[str, str, str, str]]:
    """Return `limit` rows at most (0: all), the worst first: attribute, share of reals and of fakes, their ratio."""

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


def _proportions(asked: Questions, real: NDArray[np.float32], fake: NDArray[np.float32]) -> Iterator[dict[str, Any]]:
    """Yield a row for each question, the surest differences first."""
    yes = np.concatenate([np.arange(size) < size - 1 for size in asked.sizes])
    p, q = real[:, yes].mean(0, dtype=np.float64), fake[:, yes].mean(0, dtype=np.float64)
    both = (p * len(real) + q * len(fake)) / (len(real) + len(fake))
    error = np.sqrt(both * (1 - both) * (1 / len(real) + 1 / len(fake)))
    z = np.divide(q - p, error, out=np.zeros_like(p), where=error > 0)
    bound = norm.isf(0.025 / len(z))  # 5 % for all together
    for place in np.argsort(-np.abs(z), kind="stable"):
        name = asked.classifier.names[asked.indices[place]]
        answers = asked.targets.values[asked.rows, asked.indices[place]]
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
