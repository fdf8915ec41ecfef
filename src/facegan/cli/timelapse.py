"""`facegan timelapse`."""

from pathlib import Path
from typing import Annotated

import typer

from ..errors import ConfigError, SnapshotError
from .options import Run


def timelapse(
    run: Run = None,
    out: Annotated[Path, typer.Option("-o", "--out", help="A .gif or .webp file.")] = Path("timelapse.gif"),
    seconds: Annotated[float, typer.Option(help="Length, the last picture's hold aside.")] = 6.0,
) -> None:
    """Animate how the same latents grew into faces."""
    from ..run import find_run

    if not seconds > 0:
        raise ConfigError(f"--seconds is {seconds:g}; it must be above 0")
    found = find_run(run)
    steps = found.steps("samples")
    if not steps:
        raise SnapshotError(f"{found.path}: holds no grids of samples yet")

    from ..images import captioned, check_ending, save_animation

    check_ending(out, (".gif", ".webp"))
    frames = [captioned(found.sample(step), f"step {step:,}") for step in steps]
    save_animation(out, frames, seconds)
    print(out)
