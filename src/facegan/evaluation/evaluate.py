"""From a model, or from any images, to results: gathers what the metrics need, and measures."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from ..checkpoint import load_discriminator, load_generator
from ..data.packed.packed_images import PackedImages
from ..errors import DataError, FaceganError
from .choosing import Choice, Settings
from .extractors import Arriving, Look, Made, extractors_of
from .measure import FEW, Floors, Tell, evaluate
from .metric import PIXELS
from .pair import Known
from .reals import LEAST, Say, Wanted, named, packed_of, reals_of
from .results import Result
from .sources import Two, compare_sources
from .subjects import Progress, Reference, Subject, digest_of, drawn, reference_of

NUM_FAKE = 10_000
NUM_REAL = 50_000


def silent(_: str) -> Progress:
    """Tells nobody."""
    return lambda *_: None


@dataclass(frozen=True, eq=False, kw_only=True)
class Judge:
    """What is measured, on how many images, and whom to tell; the same for everything that it judges.

    Attributes:
        choice: The metrics.
        settings: Of the real images.
        num: Judged images; None: 10,000 faces of a model, all images of a source.
        num_real: Real images at most, drawn at random; 0: all.
        seed: Of what is drawn at random: which real images and in which order, and what metrics draw.
        device: Where networks run.
        weights: A file of Inception's weights; None: where they are found, else fetched.
        floor: Whether real images are measured against real ones, too.
        tell: Called with what is begun; returns what is called with (done, total).
        say: Called with a line on what is left out, and on what to keep in mind.
        arriving: Called with (file, bytes here, bytes in all) while weights are fetched.
    """

    choice: Choice
    settings: Settings = field(default_factory=Settings)
    num: int | None = None
    num_real: int = NUM_REAL
    seed: int = 0
    device: str = "cpu"
    weights: Path | None = None
    floor: bool = True
    tell: Tell = silent
    say: Say = lambda _: None
    arriving: Arriving = lambda *_: None
    _made: Made = field(default_factory=dict)
    _floors: Floors = field(default_factory=dict)

    def model(self, snapshot: Path, source: str | None = None, *, raw: bool = False) -> list[Result]:
        """Judge the faces of the seeds 0 to num - 1 of a snapshot.

        Args:
            snapshot: Its file.
            source: Real images, instead of those that it was trained on; cropped as those.
            raw: Take the current weights instead of their moving average.

        Raises:
            SnapshotError: It is missing or damaged, or its images are not finite.
            DataError: The real images are not there, or nothing can be measured.
            FaceganError: What all metrics need is not there.
        """
        generator = load_generator(snapshot, raw=raw, device=self.device)
        origin = generator.origin
        wanted = Wanted(source, self.settings.data, self._num_held_out())
        reference = reals_of(snapshot, origin.config, wanted, tell=self.tell, say=self.say)
        D = self._discriminator(snapshot)
        num = self.num or NUM_FAKE
        with drawn(generator, num, progress=self.tell("sampling")) as pictures:
            subject = Subject(
                name=_name(snapshot),
                pictures=pictures,
                digests={"fake": digest_of(pictures), "snapshot": origin.digest},
                D=D if isinstance(D, nn.Module) else None,
                step=origin.step,
                weights=origin.weights,
            )
            return self._measure(reference, subject, D)

    def pictures(self, real: str, fake: str, *, resolution: int | None = None) -> list[Result]:
        """Judge the images of one source by those of another.

        Args:
            real: A source; its images are taken whole unless a resolution or a crop is given.
            fake: Another; its images are taken whole.
            resolution: To which the real ones are cropped and resized, and the judged ones resized if they have
                another size; None: both have one size, and no pixel is changed.

        Raises:
            DataError: A source is missing, the images are not all of one size or kind, or nothing can be measured.
            FaceganError: What all metrics need is not there.
        """
        two = compare_sources(real, fake, self.settings, resolution, tell=self.tell)
        size = {"resolution": two.resolution, "channels": two.channels}
        reals = packed_of(two.real, **size, tell=self.tell, say=self.say)
        fakes = packed_of(two.fake, **size, tell=self.tell, say=self.say)
        known = Known(digest=reals.digest)
        if PIXELS in self.choice.spaces:
            known = replace(known, attributes=reals.attributes, names=reals.names)
        reference = named(reference_of(reals, known), two.real, reals)
        warnings = (*two.warnings, *_copies(two, reals, fakes))
        for line in warnings:
            self.say(line)
        order = np.random.default_rng(self.seed).permutation(len(fakes))[: self.num]  # folders are sorted by something
        if len(order) < LEAST:
            raise DataError(f"-n {len(order)}: need at least {LEAST} images")
        subject = Subject(
            name=fake, pictures=fakes.images, rows=order, digests={"fake": fakes.digest}, warnings=warnings
        )
        return self._measure(reference, subject, _no_discriminator(self.choice, fake))

    def _discriminator(self, snapshot: Path) -> nn.Module | FaceganError:
        if "discriminator" not in self.choice.spaces:
            return FaceganError("the discriminator is not wanted")
        try:
            return load_discriminator(snapshot, device=self.device)
        except FaceganError as error:  # an imported snapshot has none
            return error

    def _num_held_out(self) -> int | None:
        """How many images that the model has not seen are wanted; None: nothing is to be known of the real ones."""
        if PIXELS not in self.choice.spaces:
            return None
        return int(getattr(self.choice.metrics.get("memorisation"), "num_images", 0))

    def _measure(self, reference: Reference, subject: Subject, D: nn.Module | FaceganError) -> list[Result]:
        channels, resolution = subject.pictures.shape[1:3]
        name = subject.name if subject.step is None else f"{subject.name}, step {subject.step:,}"
        look = Look(name, channels, resolution, self.device, self.weights, D, self.arriving)
        extractors = extractors_of(self.choice, look, made=self._made, say=self.say)
        metrics = {
            key: metric
            for key, metric in self.choice.metrics.items()
            if metric.space == PIXELS or metric.space in extractors
        }
        self._warn_of_few(reference, subject, metrics)
        refused: list[str] = []
        results = evaluate(
            metrics, reference, subject, extractors, seed=self.seed, num_real=self.num_real, floor=self.floor,
            device=self.device, tell=self.tell, refuse=refused.append, say=self.say, floors=self._floors,
        )  # fmt: skip
        if not results:
            raise DataError(refused[0] if refused else "nothing can be measured")
        for line in refused:
            self.say(f"left out: {line}")
        return results

    def _warn_of_few(self, reference: Reference, subject: Subject, metrics: Mapping[str, Any]) -> None:
        """One line where too few images bias the Fréchet distances."""
        num_fake = len(subject.order())
        num_real = min(self.num_real or len(reference.pictures), len(reference.pictures))
        num, side = min((num_fake, "judged"), (num_real, "real"))
        biased = [
            key
            for key, metric in metrics.items()
            if (key == "fid" or key.startswith("fd_")) and num >= metric.at_least  # else it is left out
        ]
        if biased and num < FEW:
            self.say(
                f"{num:,} {side} images, fewer than {FEW:,}: Fréchet distances ({', '.join(biased)}) come out too "
                "high, the more so the fewer there are; compare them at equal numbers only, and prefer kernel "
                "distances (kid, kd_random)"
            )


def _name(snapshot: Path) -> str:
    """What a snapshot is called: after its run, or by its own name."""
    folder = snapshot.absolute().parent
    return folder.parent.name if folder.name == "snapshots" else snapshot.name


def _no_discriminator(choice: Choice, source: str) -> DataError:
    """Why there is none of a source's images."""
    keys = ", ".join(choice.of_space("discriminator"))
    return DataError(f"{source}: has no discriminator, which {keys} need; judge a snapshot, or choose other metrics")


def _copies(two: Two, reals: PackedImages, fakes: PackedImages) -> list[str]:
    """A line on files that are in both sources."""
    known = set(reals.digests)
    same = sum(digest in known for digest in fakes.digests)
    return [f"{two.fake.source}: {same:,} of its images are in {two.real.source}, too (equal files)"] if same else []
