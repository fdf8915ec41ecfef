"""`facegan directions`."""

from typing import TYPE_CHECKING, Any

from ..api import latent_directions
from .console import ConsoleReporter
from .options import Json, command, print_json
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


@command(latent_directions.directions, EXAMPLES)
def directions(options: dict[str, Any], *, as_json: Json = False) -> None:
    """Print a table of the directions."""
    with ConsoleReporter() as reporter:
        saved = latent_directions.directions(**options, reporter=reporter)
        if as_json:
            print_json(saved.document())
            return
        print_directions(saved.found, latent_directions.parse_names(options["attributes"]))
        reporter.info(f"{saved.file}: {len(saved.found.directions.infos)} directions")


def print_directions(found: "FoundDirections", wanted: tuple[str, ...]) -> None:
    """Print a row for each direction, then one for each wanted attribute without one, no wider than a terminal."""
    _print_table(found)
    without = [(name, reason) for name, reason in found.refused.items() if not wanted or name in wanted]
    if without:
        print()
        print_table("", ("no direction", "why"), without)


def _print_table(found: "FoundDirections") -> None:
    directions = found.directions
    if not directions.attributes:
        rows = [(about.name, _percent(about.share)) for about in directions.infos]
        print_table("G's first layer (SeFa)", ("direction", "share of |A|^2"), rows)
        return
    scores = found.classifier.scores if found.classifier else {}
    table = []
    for about, moved in zip(directions.infos, directions.moved.tolist(), strict=True):
        change = dict(zip(directions.attributes, moved, strict=True))
        itself = _points(change[about.name]) if about.name in change else ""
        auc = _hundredths(scores[about.name].auc if about.name in scores else None)
        fitted = _percent(about.share), _hundredths(about.auc)
        table.append((about.name, auc, *fitted, itself, _also_moves(about.name, change)))
    headings = "direction", "AUC", "share", "rule", "itself", "also moves"
    print_table("What moves from -2 to +2, in points of 100", headings, table)


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _hundredths(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def _points(change: float) -> str:
    return f"{100 * change:+.0f}"


def _also_moves(name: str, change: dict[str, float]) -> str:
    """Return the attributes that a direction moves most, apart from its own: as many as WIDTH holds, at least one."""
    others = sorted((each for each in change if each != name), key=lambda each: -abs(change[each]))
    shown = [f"{each} {_points(change[each])}" for each in others if abs(change[each]) >= MIN_CHANGE]
    while len(shown) > 1 and len(", ".join(shown)) > WIDTH:
        shown.pop()
    return ", ".join(shown)
