"""The health of a run in plain words, from the lines of metrics.jsonl in their order, and whether its images are equal.

Since nothing else counts, a resumed run has the same health as one that never stopped: its earlier lines are read
again. The limits below were measured, on runs that went well and on runs spoilt on purpose; docs/how-it-works.md lists
them.
"""

from collections import defaultdict, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import exp, inf, isfinite, nan, sqrt
from typing import Any

from ..storage.run_log import NOT_FINITE

WARM_UP = 300  # steps; until then D is far ahead of a G that draws grey, in every healthy run as well
MEMORY_SHARE, MEMORY_MIN, MEMORY_MAX = 0.1, 50, 2000  # the averages look back over so much of the run, in steps
WON, NOT_WON = 0.01, 0.02  # mean D(G(z)) below which D has won, and above which it no longer has
# The fakes' spread as a share of the images': collapsed below the first, or below the second after a fall to FALLEN
# of its best (otherwise G may only not have begun: untrained it has 0.1 to 0.4); recovered above the third.
COLLAPSED, LOW, SPREAD_OUT, FALLEN = 0.03, 0.1, 0.15, 0.7
ALIKE, SURE = 0.1, 0.05  # D gives one answer to all images: both scores this near to each other and to 0 or 1
FOOLED, NOT_FOOLED = 0.35, 0.2  # how far D(G(z)) is above D(x) of a D that does not learn, and of one that does
NUM_BLOCKS = 8  # stretches of half a memory each (at least MEMORY_MIN steps), whose means must agree for stagnation
STILL, MOVING = 0.35, 0.5  # how far those means may differ by chance, and when they differ by more: see `_motion`

GOOD, WON_BY_D, COLLAPSE, STAGNATION = "good", "D has won", "collapse", "stagnation"  # and NOT_FINITE
EQUAL_IMAGES = "equal images"

# Sources of the advice. D has won: Goodfellow, "NIPS 2016 Tutorial: Generative Adversarial Networks", sections 4.2 and
# 4.4 (the non-saturating loss and one-sided smoothed labels rather than a D held back); Arjovsky and Bottou, "Towards
# Principled Methods for Training GANs", ICLR 2017, theorems 2.4 and 2.6 (what a perfect D leaves of G's gradients);
# Heusel et al., "GANs Trained by a Two Time-Scale Update Rule", NeurIPS 2017, table 1 (DCGAN with lr_D below lr_G);
# Karras et al., "Training GANs with Limited Data", NeurIPS 2020, and Zhao et al. 2020 (augmentation where D knows few
# images by heart). Collapse: Goodfellow et al. 2014, section 6 (a G that learns faster than its D maps many latents
# to one image); Radford et al. 2016, section 4 (0.001 is too high a rate, and beta1 0.9 is unstable); Brock et al.,
# "Large Scale GAN Training", ICLR 2019, section 3.1 (a larger batch holds more of the variety). Both: Huang et al.,
# "The GAN is dead; long live the GAN!", NeurIPS 2024, sections 2 and 3 (pairs and penalties, no momentum).
ADVICE = {
    GOOD: "",
    WON_BY_D: "in a new run, try optimizer.lr_D at a quarter of lr_G, loss.name=nonsaturating with "
    "loss.label_smoothing=0.1, a penalty on D (penalty.r1 and r2, with architecture.norm_D=none), more images, or "
    "augment.policy=color,translation,cutout if there are few",
    COLLAPSE: "in a new run, try optimizer.lr_G no higher than optimizer.lr_D, both at most 5e-4, optimizer.beta1 at "
    "most 0.5, loss.name=relativistic with penalties (penalty.r1 and r2), or a larger train.batch_size",
    STAGNATION: "if the faces are good, the run is done; else, in a new run, try other optimizer.lr_G and "
    "optimizer.lr_D, both the same (2e-4 to 5e-4)",
    EQUAL_IMAGES: "give different images ('facegan data check' finds copies)",
    NOT_FINITE: "in a new run, try lower optimizer.lr_G and optimizer.lr_D, or train.precision=fp32",
}


@dataclass(frozen=True)
class Health:
    """The health of a run after a tick."""

    name: str  # GOOD, WON_BY_D, COLLAPSE, STAGNATION, EQUAL_IMAGES or NOT_FINITE
    words: str = ""  # the symptom; empty when good
    changed: bool = False  # whether the tick before had another name

    @property
    def advice(self) -> str:
        """Settings to try; empty when good."""
        return ADVICE[self.name]

    @property
    def line(self) -> str:
        """Name, symptom and advice in one line."""
        return f"{self.name}: {self.words}; {self.advice}" if self.words else "good again"


class HealthMonitor:
    """Watch the metrics of one run, given its `earlier` lines of metrics.jsonl; `health` is the newest.

    Averages look back over a tenth of the run so far, at least MEMORY_MIN and at most MEMORY_MAX steps, whatever the
    tick interval: a line that covers many steps weighs as much as the many lines it replaces. The health changes when
    an average crosses one limit and changes back when it crosses another, so it does not flicker.
    """

    def __init__(self, earlier: Iterable[Mapping[str, Any]] = (), *, are_equal: bool = False) -> None:
        """Take the earlier lines into account; `are_equal`: all training images are one and the same."""
        self.health = Health(GOOD)
        self._are_equal = are_equal
        self._step, self._images = 0, 0.0
        self._means: dict[str, float] = {}
        self._best_share = 0.0
        self._block: defaultdict[str, float] = defaultdict(float)  # sums over its steps, and their number
        self._blocks: deque[dict[str, float]] = deque(maxlen=NUM_BLOCKS)
        for record in earlier:
            self.observe(record)

    def observe(self, record: Mapping[str, Any]) -> Health:
        """Take one more line of metrics into account, with "step" and "kimg"; older runs have no spreads.

        A value that is not finite, or None in its place, is not averaged.
        """
        steps, self._step = record["step"] - self._step, record["step"]
        num_images, self._images = 1000 * record["kimg"] - self._images, 1000 * record["kimg"]
        numbers = [value for key, value in record.items() if "/" in key]
        if all(value is not None and isfinite(value) for value in numbers):
            self._average(_watched(record), steps, num_images)
            name, words = self._diagnose()
        else:
            name, words = NOT_FINITE, f"a loss, a score or a spread is no longer a number (step {self._step})"
        self.health = Health(name, words, changed=name != self.health.name)
        return self.health

    def _average(self, values: Mapping[str, float], steps: int, num_images: float) -> None:
        memory = min(max(MEMORY_SHARE * self._step, MEMORY_MIN), MEMORY_MAX)
        weight = 1 - exp(-steps / memory)
        for key, value in values.items():
            mean = self._means.get(key, value)
            self._means[key] = mean + weight * (value - mean)
            self._block[key] += steps * value
        self._block["steps"] += steps
        self._block["images"] += num_images
        if self._block["steps"] >= max(memory / 2, MEMORY_MIN):
            self._blocks.append(self._block)
            self._block = defaultdict(float)

    def _diagnose(self) -> tuple[str, str]:
        was, means = self.health.name, self._means
        real, fake, share = (means.get(key, nan) for key in ("real", "fake", "share"))
        self._best_share = max(self._best_share, share)
        if self._are_equal:
            return EQUAL_IMAGES, "all real images are one and the same, so that is all G can learn"
        if self._step < WARM_UP:
            return GOOD, ""
        if real > 0.5 and fake < (NOT_WON if was == WON_BY_D else WON):
            self._blocks.clear()  # networks that rested because D had won say nothing about the time after it
            return WON_BY_D, (
                f"D tells every fake from every image (D(x) {real:.2f}, D(G(z)) {fake:.4f}), and a D that is always "
                "right teaches G little"
            )
        limit = LOW if share < FALLEN * self._best_share else COLLAPSED
        if share < (SPREAD_OUT if was == COLLAPSE else limit):
            return COLLAPSE, (
                f"the fakes are nearly all the same image (their spread is {100 * share:.0f} % of the real images')"
            )
        scores = f" (D(x) {real:.2f}, D(G(z)) {fake:.2f})" if "real" in means else ""  # some losses have none
        if self._motion() < (MOVING if was == STAGNATION else STILL):
            return STAGNATION, f"neither D nor G has changed for long{scores}: they no longer learn"
        if abs(real - fake) < ALIKE and not SURE < real < 1 - SURE:
            return STAGNATION, f"D takes everything for {'real' if real > 0.5 else 'fake'}{scores}: it does not learn"
        if fake - real > (NOT_FOOLED if was == STAGNATION else FOOLED):
            return STAGNATION, f"D takes the fakes for real rather than the images{scores}: it does not learn"
        return GOOD, ""

    def _motion(self) -> float:
        """Return how much the scores and the share moved over the last NUM_BLOCKS; infinite while there are fewer.

        The widest range of a block's mean, times the root of the images in a block. Between networks that do not change
        only the choice of images differs, and that root cancels it; networks that learn differ by more.
        """
        if len(self._blocks) < NUM_BLOCKS or any("share" not in block for block in self._blocks):
            return inf
        columns = ([block[key] / block["steps"] for block in self._blocks] for key in self._means)
        num_images = min(block["images"] for block in self._blocks)
        return sqrt(num_images) * max(max(column) - min(column) for column in columns)


def _watched(record: Mapping[str, Any]) -> dict[str, float]:
    """Return D(x), D(G(z)) and the fakes' spread as a share of the images', as far as a line has them."""
    found = {word: float(record[f"score/{word}"]) for word in ("real", "fake") if f"score/{word}" in record}
    if record.get("spread/real") and "spread/fake" in record:  # images that are all the same have none
        found["share"] = record["spread/fake"] / record["spread/real"]
    return found
