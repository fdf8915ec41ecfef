"""A number with its 95 % interval."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Estimate:
    """What was measured.

    Attributes:
        value: The number.
        interval: In which it lies in 95 of 100 cases, if other images were drawn; None where that was not asked for.
    """

    value: float
    interval: tuple[float, float] | None = None
