"""`facegan sample`."""

import os
import sys
import tempfile
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from ..api import sampling
from ..errors import ConfigError
from .console import stderr_console
from .options import Json, Options, command, run_verb

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
    options: Options,
    *,
    show: Annotated[bool, typer.Option("--show", help="Open the sheet, or draw it in the terminal.")] = False,
    as_json: Json = False,
) -> None:
    """Print the files, and show the sheet."""
    if show and not (_has_screen() or stderr_console().is_terminal):
        raise ConfigError("--show: there is neither a screen nor a terminal here; give -o sheet.png")
    drawn = run_verb(partial(sampling.sample, return_sheet=show), options, as_json=as_json)
    if drawn.image is not None:
        _show_image(drawn.image, options["out"])


def _show_image(image: "np.ndarray", out: str | None) -> None:
    """Open an image, uint8 (H, W, 3) or (H, W), or its file where there is a screen; else draw it in the terminal."""
    from PIL import Image
    from rich.console import Console
    from rich_pixels import Pixels

    shown = Image.fromarray(image).convert("RGB")
    if _has_screen():
        if out in (None, "-"):
            out = f"{tempfile.mkdtemp(prefix='facegan-')}/faces.png"
            shown.save(out)
        typer.launch(out)
        return
    terminal = Console(stderr=True)  # a character is two pixels high and one wide
    shown.thumbnail((terminal.width, 2 * max(8, terminal.height - 2)), Image.Resampling.LANCZOS)
    terminal.print(Pixels.from_image(shown))


def _has_screen() -> bool:
    """Whether a window can be opened: on a Mac or Windows unless over ssh; elsewhere where a display is named."""
    if sys.platform in ("darwin", "win32"):
        return "SSH_CONNECTION" not in os.environ
    return any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY"))
