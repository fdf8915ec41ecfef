"""`facegan timelapse`."""

from typing import Annotated

import typer

from ..errors import ConfigError, SnapshotError
from .options import Run

FPS = 25  # at most: beyond that, grids are left out
HOLD_SECONDS = 1.5  # for which the last one is shown longer
SHORTEST, LONGEST = 0.1, 600.0  # seconds


def timelapse(
    run: Run = None,
    out: Annotated[
        str, typer.Option("-o", "--out", help="A .gif, .webp or .mp4 file, or DIR/ for numbered PNGs.")
    ] = "timelapse.gif",
    seconds: Annotated[float, typer.Option(help="Length, the last image's hold aside: 0.1 to 600.")] = 6.0,
) -> None:
    """Animate how the same latents grew into faces.

    The images are the run's own grids. When there are more than 25 for a second, some are left out, evenly.
    """
    from ..storage.run_dir import find_run

    if not SHORTEST <= seconds <= LONGEST:
        raise ConfigError(f"--seconds is {seconds:g}; it must be {SHORTEST:g} to {LONGEST:g}")
    found = find_run(run)
    steps = found.steps("samples")
    if not steps:
        raise SnapshotError(f"{found.path}: holds no grids of samples yet")

    from .. import __version__
    from ..images import add_captions, check_film, save_animation
    from ..storage.run_log import caption, evenly

    check_film(out)
    steps = evenly(steps, int(FPS * seconds))
    records = list(found.read_metrics())
    frames = add_captions([found.sample(step) for step in steps], [caption(records, step) for step in steps])
    about = {
        "Software": f"facegan {__version__}",
        "Description": f"synthetic faces: run {found.path.name}, steps {steps[0]} to {steps[-1]}",
    }
    save_animation(out, frames, fps=len(steps) / seconds, hold=HOLD_SECONDS, about=about)
    print(out)
