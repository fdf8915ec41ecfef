"""`facegan plot`."""

from pathlib import Path
from typing import Annotated

import typer

from .options import Json, print_json


def plot(
    runs: Annotated[
        list[str] | None, typer.Argument(metavar="[RUN]...", help="Runs, overlaid; by default the latest.")
    ] = None,
    out: Annotated[Path | None, typer.Option("-o", "--out", help="A .png, .svg or .pdf file.")] = None,
    arrays: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write d_losses.npy and g_losses.npy into this folder.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Draw training losses, D(x), D(G(z)) and speed."""
    from ..errors import ConfigError
    from ..images import check_ending
    from ..plots import ENDINGS, save_arrays, save_curves
    from ..run import find_run

    if out is not None:
        check_ending(out, ENDINGS)
    found = [find_run(name) for name in runs] if runs else [find_run(None)]
    if arrays is not None and len(found) > 1:
        raise ConfigError(f"--arrays {arrays}: takes one run (given: {len(found)}); call it once for each")
    if out is None and arrays is None:
        out = found[0].path / "losses.png" if len(found) == 1 else Path("curves.png")
    written = []
    if out is not None:
        save_curves(found, out)
        written.append(out)
    if arrays is not None:
        written += save_arrays(found[0], arrays)
    if as_json:
        print_json({"files": [str(path) for path in written]})
    else:
        print(*written, sep="\n")
