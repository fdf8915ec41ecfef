"""Whether samples are copies of training images."""

from typing import ClassVar, Literal

from pydantic import Field

from ...data.image_set import number_people, random_rows
from ...neighbours import compare_in_space, pixels
from ...reporter import Callbacks
from ..metric import Measurement, Metric, Pair


class MemorisationInPixels(Metric):
    """The share of samples that owe their nearest image to training, estimated with images held out of it.

    Of samples that owe nothing to training, the nearest image of all is a training one as often as p, the share of
    training images among all. If a share f of the samples are copies, that rises to seen = f + (1 - f) p; the value
    is f = (seen - p) / (1 - p): 0 for a generator that has memorised nothing, 1 if every sample is nearest to a
    training image, and a little below 0 by chance. Blur does not move it, which brings samples nearer to all
    images alike. The interval reaches as far as chance would move the value if other people had been held out. There is
    no protocol that others share; the details hold the measures of `facegan neighbours`.

    All training images are searched, however many reals are asked for.
    """

    title: ClassVar[str] = "Memorised samples"
    better: ClassVar[Literal["lower", "higher", "nearer"]] = "lower"
    at_least: ClassVar[int] = 50
    comparable: ClassVar[str] = "facegan alone, on the same training and held-out images"
    has_floor: ClassVar[bool] = False  # a training image is its own copy; 0 is the value by chance, by construction

    num_images: int = Field(
        default=2000, ge=50, le=50_000, description="generated images, and at most as many held-out ones"
    )

    @property
    def num_held_out(self) -> int:
        """As many as there are samples."""
        return self.num_images

    def lacks(self, pair: Pair) -> str | None:
        """Require training images as the reals, and held-out ones."""
        if not pair.real.image_set.is_training_set:
            return "needs the images that the model was trained on as the real ones"
        if pair.held_out is None:
            return (
                "needs images that the model was not trained on, and training kept none away; train with "
                "--set data.split=train, or name some as held out"
            )
        if (num := len(pair.held_out)) < self.at_least:
            return (
                f"needs at least {self.at_least} held-out images that are not training images as well (there are {num})"
            )
        return super().lacks(pair)

    def measure(self, pair: Pair) -> Measurement:
        """Find the nearest images of samples and held-out images; the details hold "shows", the verdict."""
        assert pair.held_out is not None, "lacks() refuses"
        training = pair.real.image_set
        samples = pair.fake.take(0, self.num_images)
        held_out = pair.held_out.take(random_rows(number_people(training, pair.held_out)[1], self.num_images))
        found = compare_in_space(
            pixels(pair.device),
            training,
            samples[:0],
            measured=(samples, held_out),
            k=1,
            reporter=Callbacks(begin=lambda _: pair.progress),
        ).memorisation
        assert found is not None, "there are held-out images"
        chance, (low, high) = found.seen_by_chance.value, found.seen_by_chance.interval
        value = (found.seen - chance) / (1 - chance)
        margin = max(high - chance, chance - low) / (1 - chance)  # one of both may be cut off at 0 or 1
        details = {
            **found.model_dump(),
            "shows": found.shows,
            "num_samples": len(samples),
            "num_heldout": len(held_out),
            "num_training": len(training),
        }
        return Measurement(value, (value - margin, min(1.0, value + margin)), details)
