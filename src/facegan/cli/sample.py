"""`facegan sample`."""

import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..api import sampling
from ..errors import ConfigError
from .console import ConsoleReporter, stderr_console
from .options import Json, command, print_json, refuse_two_outputs

if TYPE_CHECKING:
    import numpy as np

EXAMPLES = """
    $ facegan sample -n 64 -o grid.png
    grid.png

    $ facegan sample runs/celeba-1 --seeds 0-9,42 --separate faces
    faces/: 11 images
    """


@command(sampling.sample, EXAMPLES)
def sample(
    options: dict[str, Any],
    *,
    show: Annotated[bool, typer.Option("--show", help="Open the sheet, or draw it in the terminal.")] = False,
    as_json: Json = False,
) -> None:
    """Print the files, or show the sheet."""
    refuse_two_outputs(options["out"], as_json)
    if show and not (_has_screen() or stderr_console().is_terminal):
        raise ConfigError("--show: there is neither a screen nor a terminal here; give -o sheet.png")
    with ConsoleReporter() as reporter:
        drawn = sampling.sample(**options, return_sheet=show, reporter=reporter)
    out, manifest = options["out"], drawn.details.get("manifest")
    if drawn.image is not None:
        _show_image(drawn.image, Path(out) if out and out != "-" else None)
    if as_json:
        print_json(drawn.document())
        return
    if manifest is not None:
        print(f"{Path(manifest).parent}/: {sum(file != out for file in drawn.files)} images")
    if out in drawn.files and out != "-":
        print(out)


def _show_image(image: "np.ndarray", path: Path | None) -> None:
    """Open an image with the system's own program where there is a screen, else draw it in the terminal.

    Args:
        image: uint8 (H, W, 3) or (H, W).
        path: Where it was written, if it was.
    """
    from PIL import Image
    from rich.console import Console
    from rich_pixels import Pixels

    shown = Image.fromarray(image).convert("RGB")
    if _has_screen():
        if path is None:
            path = Path(tempfile.mkdtemp(prefix="facegan-")) / "faces.png"
            shown.save(path)
        typer.launch(str(path))
        return
    terminal = Console(stderr=True)
    # A character is two pixels high and one wide.
    shown.thumbnail((terminal.width, 2 * max(8, terminal.height - 2)), Image.Resampling.LANCZOS)
    terminal.print(Pixels.from_image(shown))


def _has_screen() -> bool:
    """Whether a window can be opened: on a Mac or Windows unless over ssh; elsewhere where a display is named."""
    if sys.platform in ("darwin", "win32"):
        return "SSH_CONNECTION" not in os.environ
    return any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY"))
