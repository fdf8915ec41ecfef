"""`facegan directions`."""

from typing import TYPE_CHECKING

from ..api import latent_directions
from .console import print_lines
from .options import verb_command
from .tables import print_table

if TYPE_CHECKING:
    from ..directions import FoundDirections

MIN_CHANGE = 0.10  # of the mean probability of an attribute that the table shows
WIDTH = 28  # characters of such changes in a row, so that it fits a terminal; --json has all
EXAMPLES = """
    $ facegan directions runs/celeba-1 --attributes Smiling,Eyeglasses
    What moves from -2 to +2, in points of 100
    direction   AUC   share   rule  itself  also moves
    Smiling     0.97  48.2 %  0.95  +71     High_Cheekbones +52

    $ facegan directions runs/celeba-1 --unlabelled
    G's first layer (SeFa)
    direction  share of |A|^2
    sefa-1     4.6 %
    """


def print_directions(found: "FoundDirections", wanted: tuple[str, ...]) -> None:
    """Print a row for each direction, then one for each wanted attribute without one, no wider than a terminal."""
    directions = found.directions
    if directions.attributes:
        scores = found.classifier.scores if found.classifier else {}
        rows = []
        for about, moved in zip(directions.infos, directions.moved.tolist(), strict=True):
            change = dict(zip(directions.attributes, moved, strict=True))
            itself = f"{100 * change[about.name]:+.0f}" if about.name in change else ""
            auc = f"{scores[about.name].auc:.2f}" if about.name in scores else ""
            rule = "" if about.auc is None else f"{about.auc:.2f}"
            rows.append((about.name, auc, f"{100 * about.share:.1f} %", rule, itself, _also_moves(about.name, change)))
        headings = ("direction", "AUC", "share", "rule", "itself", "also moves")
        print_table("What moves from -2 to +2, in points of 100", headings, rows)
    else:
        shares = [(about.name, f"{100 * about.share:.1f} %") for about in directions.infos]
        print_table("G's first layer (SeFa)", ("direction", "share of |A|^2"), shares)
    without = [(name, reason) for name, reason in found.refused.items() if not wanted or name in wanted]
    if without:
        print_lines()
        print_table("", ("no direction", "why"), without)


def _also_moves(name: str, change: dict[str, float]) -> str:
    """Return the attributes that a direction moves most, except its own: as many as fit into WIDTH, at least one."""
    others = sorted((each for each in change if each != name), key=lambda each: -abs(change[each]))
    shown = [f"{each} {100 * change[each]:+.0f}" for each in others if abs(change[each]) >= MIN_CHANGE]
    while len(shown) > 1 and len(", ".join(shown)) > WIDTH:
        shown.pop()
    return ", ".join(shown)


directions = verb_command(
    latent_directions.directions,
    EXAMPLES,
    lambda saved, options: print_directions(saved.found, latent_directions.parse_names(options["attributes"])),
)
