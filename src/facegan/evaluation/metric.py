"""What a metric is: a frozen model whose fields are its protocol, and one method that measures."""

from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict

from .pair import Pair

PIXELS = "pixels"  # the space of metrics that need no network


@dataclass(frozen=True)
class Measurement:
    """What one metric found.

    Attributes:
        value: The number.
        interval: Its 95 % interval, or None (where `Pair.intervals` asks for none).
        details: Further numbers that belong to it, for JSON: parts of the value, the real images' own value.
    """

    value: float
    interval: tuple[float, float] | None = None
    details: dict[str, Any] = field(default_factory=dict)


class Metric(BaseModel):
    """A metric; its fields are settings of its protocol and are written beside every value.

    Attributes:
        title: In words, for tables and plots.
        better: Whether a lower or a higher value is better, or one nearer to that of real images.
        space: Whose vectors it compares: "pixels", "inception", "random" or "discriminator".
        at_least: Images of either side that it needs.
        has_floor: Whether real images in the place of the fakes are a yardstick for it.
        has_ratio: Whether values may be divided by that yardstick: not where it is 0 but for chance.
        comparable: What its numbers may be compared with, in words; "": what its network says, or, if it needs none,
            any tool with the same protocol.
        unit: Of the value, for axes; "" for a pure number.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    title: ClassVar[str]
    better: ClassVar[Literal["lower", "higher", "nearer"]]
    space: ClassVar[str] = PIXELS
    at_least: ClassVar[int] = 2
    has_floor: ClassVar[bool] = True
    has_ratio: ClassVar[bool] = True
    comparable: ClassVar[str] = ""
    unit: ClassVar[str] = ""

    def lacks(self, pair: Pair) -> str | None:
        """Why these images cannot be measured, in words; None: they can.

        A run that is to be measured while it is trained asks before any image is looked at: without embeddings.
        """
        for side, sample in (("real", pair.real), ("generated", pair.fake)):
            if len(sample) < self.at_least:
                return f"needs at least {self.at_least:,} {side} images (there are {len(sample):,})"
        return None

    def measure(self, pair: Pair) -> Measurement:
        """Compare the fakes of a pair with its reals."""
        raise NotImplementedError
