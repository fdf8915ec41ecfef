"""The grammar of `data.where`: conditions on the images' attributes, all of which must hold."""

import math
import re
from dataclasses import dataclass
from operator import eq, ge, gt, le, lt, ne

_COMPARE = {"=": eq, "!=": ne, "<": lt, "<=": le, ">": gt, ">=": ge}
_TRUTH = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}


@dataclass(frozen=True)
class Condition:
    """One comparison of `data.where`."""

    attribute: str
    operator: str  # one of =, !=, <, <=, >, >=
    value: str  # as written

    def holds(self, known: bool | int | float | str | None) -> bool:
        """Return whether the condition holds for an image's value of the attribute; False for an unknown one (None).

        The type of the known value decides how the written one is read: true or false, a number, or text.

        Raises:
            ValueError: The written value cannot be read as that type.
        """
        if known is None:
            return False
        wanted = self.value if isinstance(known, str) else self._truth() if isinstance(known, bool) else self._number()
        return bool(_COMPARE[self.operator](known, wanted))

    def _truth(self) -> bool:
        if self.value.lower() not in _TRUTH:
            raise ValueError(f"'{self.attribute}' is true or false, not '{self.value}'; give 1 or 0")
        return _TRUTH[self.value.lower()]

    def _number(self) -> float:
        try:
            number = float(_TRUTH.get(self.value.lower(), self.value))
        except ValueError:
            number = math.nan
        if math.isnan(number):
            raise ValueError(f"'{self.attribute}' is a number, not '{self.value}'; give a number")
        return number


def parse_where(text: str) -> tuple[Condition, ...]:
    """Parse conditions such as `Smiling=1,Male=0`; an empty text has none; raises ValueError ("must be ...")."""
    if not text.strip():
        return ()
    conditions = []
    for part in text.split(","):
        pieces = [piece.strip() for piece in re.split("(!=|<=|>=|=|<|>)", part)]
        if len(pieces) != 3 or not all(pieces):
            raise ValueError(
                "must be conditions such as Smiling=1,Male=0: names and values joined by =, !=, <, <=, > or >=, "
                f"with a comma for 'and' ({part.strip()!r} is none)"
            )
        conditions.append(Condition(*pieces))
    return tuple(conditions)
