"""Animations: a walk through the latent space, and a run's grids over its steps."""

import math
import random
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Option

from ..errors import ConfigError, SnapshotError
from ..reporter import SILENT, Reporter
from .options import Device, Model, Raw, Run
from .output import (
    STDOUT,
    Drawing,
    check_image_path,
    check_output_path,
    check_size,
    draw,
    load_model,
    parse_points,
)

if TYPE_CHECKING:
    from ..generator import FaceGenerator
    from ..recipes import Corners, Walk
    from ..seeds import Points

STILLS = (".png", ".jpg", ".jpeg")  # .webp is an animation, except of --corners
FRAMES_PER_LEG = 30  # of an animation, by default
FACES_PER_ROW = 10  # of a filmstrip, by default
NUM_POINTS = 5  # by default
MAX_POINTS = 500  # drawn for a walk
DRAWN_BELOW = 1_000_000  # seeds, short enough to be typed again
MIN_HEIGHT = 256  # pixels, that an animation is enlarged to
MAX_FPS = 25  # of a time lapse; beyond that, grids are left out
HOLD_SECONDS = 1.5  # for which the last grid is shown longer
MIN_SECONDS, MAX_SECONDS = 0.1, 600.0


def interpolate(
    model: Model = None,
    out: Annotated[
        str | None,
        Option("-o", "--out", help="An animation: .gif, .webp, .mp4, FOLDER/ of PNGs; a filmstrip: .png, .jpg, -."),
    ] = None,
    *,
    seeds: Annotated[
        str | None, Option(help="The points, in order: seeds and files of latents, for instance 3,14,15.")
    ] = None,
    seed: Annotated[int | None, Option(help="Draw random points: the same ones for the same SEED. Default 0.")] = None,
    num: Annotated[int | None, Option("-n", "--num", help="Number of random points. Default 5.")] = None,
    mode: Annotated[
        str | None,
        Option(metavar="slerp|lerp", help="On great circles (default of a normal prior), or straight (uniform)."),
    ] = None,
    frames: Annotated[
        int | None, Option(help="All frames, both ends included. Default: 30 from point to point, 9 in a strip.")
    ] = None,
    fps: Annotated[float | None, Option(help="Frames per second. Default 25.")] = None,
    loop: Annotated[bool, Option("--loop", help="Return to the first point, without repeating its frame.")] = False,
    circle: Annotated[
        bool, Option("--circle", help="Once around the great circle through one point, in its plane with another.")
    ] = False,
    grid: Annotated[
        str | None, Option(metavar="RxC", help="So many walks at once; the first RxC points are the first frame.")
    ] = None,
    corners: Annotated[
        str | None, Option(metavar="A,B,C,D", help="Instead of a walk, a sheet between four points, row by row.")
    ] = None,
    rows: Annotated[int | None, Option(help="Rows of the sheet of --corners. Default 8.")] = None,
    cols: Annotated[int | None, Option(help="Columns of the sheet of --corners. Default 8.")] = None,
    scale: Annotated[
        int | None,
        Option(help="Enlarge by an integer factor. Default: animations to 256 pixels or more, images not at all."),
    ] = None,
    raw: Raw = False,
    device: Device = None,
    reporter: Reporter = SILENT,
) -> Drawing:
    """Walk from face to face: an animation, a strip, a sheet.

    An animation goes from point to point; a filmstrip shows the same walk as one image, and --corners fills a sheet
    between four points.
    """
    if out is None:
        raise ConfigError("interpolate: nowhere to write; give -o walk.gif, .webp, .mp4, .png or FOLDER/")
    check_output_path(out)
    if mode not in (None, "slerp", "lerp"):
        raise ConfigError(f"--mode {mode}: there is no such mode; give slerp or lerp")
    if fps is not None and not math.isfinite(fps):
        raise ConfigError(f"--fps {fps}: is no number of frames per second; give for instance 25")
    flags = {"--seeds": seeds, "--seed": seed, "-n": num, "--frames": frames, "--fps": fps}
    flags |= {"--loop": loop, "--circle": circle, "--grid": grid}
    recipe: Corners | Walk
    if corners is not None:
        _refuse(flags, "no effect with --corners, which makes one sheet; leave out")
        check_image_path(out)
        recipe = _corners(corners, {"rows": rows, "columns": cols, "scale": scale}, mode)
    else:
        _refuse({"--rows": rows, "--cols": cols}, "no effect without --corners; walks at once are --grid RxC")
        recipe = _walk(out, flags, mode, scale)

    generator = load_model(model, raw=raw, device=device, reporter=reporter)
    recipe = _enlarge(recipe, generator, out, enlarge=scale is None)
    recipe.points.warn_of_foreign(generator, reporter)
    draw(recipe, generator, out, reporter)
    height, width = recipe.size(generator.origin.config.resolution)
    num_frames = recipe.num_frames if recipe.make == "interpolate" else recipe.rows * recipe.columns
    size = {"frames": num_frames, "width": width, "height": height}
    details = {"points": recipe.points.labels(), "seeds": recipe.points.text, **size, "out": out}
    return Drawing(generator.origin, [out], details=details)


def _refuse(flags: dict[str, Any], why: str) -> None:
    """Refuse those of these flags that were given; raises ConfigError."""
    given = [flag for flag, value in flags.items() if value is not None and value is not False]
    if given:
        raise ConfigError(f"{', '.join(given)}: {why}")


def _corners(corners: str, sizes: dict[str, int | None], mode: Any) -> "Corners":
    from ..recipes import Corners

    given: dict[str, Any] = {name: value for name, value in sizes.items() if value is not None}
    return Corners(points=parse_points(corners, "--corners"), mode=mode, **given)


def _walk(out: str, flags: dict[str, Any], mode: Any, scale: int | None) -> "Walk":
    """Return the walk that the flags describe, its default enlargement still open (1); raises ConfigError."""
    from ..images.animation import ANIMATION_ENDINGS, check_animation_path
    from ..images.files import check_ending
    from ..recipes import Walk
    from ..recipes.walk import MAX_FRAMES, legs_of

    strip = out == STDOUT or (Path(out).suffix.lower() in STILLS and not out.endswith("/"))
    if not strip and not out.endswith("/"):
        check_ending(Path(out), (*ANIMATION_ENDINGS, *STILLS))
    if strip:
        idle = {"--fps": flags["--fps"], "--grid": flags["--grid"]}
        _refuse(idle, "no effect on a filmstrip; leave out, or -o walk.gif")
    else:
        check_animation_path(out)
    if out.endswith("/"):
        _refuse({"--fps": flags["--fps"]}, "no effect on single images; leave out")
    loop, circle = flags["--loop"], flags["--circle"]
    num_rows, num_columns = _parse_grid(flags["--grid"])
    num_walks = num_rows * num_columns
    points = _walk_points(flags, num_walks)
    num_frames = flags["--frames"]
    if num_frames is None:
        num_legs = legs_of(len(points) // num_walks, loop=loop, circle=circle)
        per_leg = FACES_PER_ROW - 1 if strip else FRAMES_PER_LEG
        num_frames = min(MAX_FRAMES, num_legs * per_leg + (not loop and not circle))
    return Walk(
        points=points, num_frames=num_frames, mode=mode, loop=loop, circle=circle, rows=num_rows, columns=num_columns,
        strip=strip, scale=1 if scale is None else scale, fps=25.0 if flags["--fps"] is None else flags["--fps"],
    )  # fmt: skip


def _walk_points(flags: dict[str, Any], num_walks: int) -> "Points":
    """Return the points of all walks, as named, or random ones."""
    from ..seeds import Points

    text, seed, num, circle = (flags[name] for name in ("--seeds", "--seed", "-n", "--circle"))
    if text is not None and num is not None:
        raise ConfigError("-n and --seeds exclude each other; give one")
    if circle:
        _refuse({"-n": num}, "no effect with --circle, which takes two points; leave out")
    if num is not None and not 2 <= num <= MAX_POINTS:
        raise ConfigError(f"-n {num}: give 2 to {MAX_POINTS} points; more with --seeds")
    if seed is not None and not 0 <= seed < 2**32:
        raise ConfigError(f"--seed {seed}: give 0 to {2**32 - 1}")
    if text is None:
        return Points.of(_draw_seeds(seed or 0, num_walks * (2 if circle else num or NUM_POINTS)))
    points = parse_points(text)
    if circle and len(points) == num_walks:
        second = Points.of(_draw_seeds(seed or 0, num_walks))
        return Points(text=f"{points.text},{second.text}", latents=points.latents)
    _refuse({"--seed": seed}, "no effect with --seeds, which names all points; leave out")
    return points


def _draw_seeds(seed: int, num: int) -> list[int]:
    """Draw different seeds; the first ones are the same however many are drawn."""
    source, found = random.Random(seed), dict[int, None]()
    while len(found) < num:
        found[source.randrange(DRAWN_BELOW)] = None
    return list(found)


def _parse_grid(grid: str | None) -> tuple[int, int]:
    """Parse 4x4 to rows and columns; raises ConfigError."""
    if grid is None:
        return 1, 1
    match = re.fullmatch(r"([1-9]\d{0,3})x([1-9]\d{0,3})", grid.strip().lower())
    if match is None:
        raise ConfigError(f"--grid {grid}: is no ROWSxCOLUMNS; give for instance 4x4")
    return int(match[1]), int(match[2])


def _enlarge(recipe: Any, generator: "FaceGenerator", out: str, *, enlarge: bool) -> Any:
    """Return the recipe with its default enlargement; raises ConfigError where it is too large."""
    resolution = generator.origin.config.resolution
    if enlarge and recipe.rate is not None and not out.endswith("/"):
        recipe = recipe.model_copy(update={"scale": -(-MIN_HEIGHT // recipe.size(resolution)[0])})
    check_size(recipe, generator, out)
    return recipe


def timelapse(
    run: Run = None,
    out: Annotated[
        str, Option("-o", "--out", help="A .gif, .webp or .mp4 file, or DIR/ for numbered PNGs.")
    ] = "timelapse.gif",
    *,
    seconds: Annotated[float, Option(help="Length without the hold on the last grid: 0.1 to 600.")] = 6.0,
) -> Path:
    """Animate how the same latents grew into faces.

    The frames are the grids of the run. Where there are more than 25 per second, some are left out, evenly.
    """
    from ..storage.run_dir import find_run

    if not MIN_SECONDS <= seconds <= MAX_SECONDS:
        raise ConfigError(f"--seconds is {seconds:g}; it must be {MIN_SECONDS:g} to {MAX_SECONDS:g}")
    found = find_run(run)
    steps = found.steps("samples")
    if not steps:
        raise SnapshotError(f"{found.path}: holds no grids of samples yet")

    from .. import __version__
    from ..images.animation import check_animation_path, save_animation
    from ..images.layouts import add_captions
    from ..storage.run_log import caption, evenly

    check_animation_path(out)
    steps = evenly(steps, int(MAX_FPS * seconds))
    records = list(found.read_metrics())
    frames = add_captions([found.sample(step) for step in steps], [caption(records, step) for step in steps])
    about = {
        "Software": f"facegan {__version__}",
        "Description": f"synthetic faces: run {found.path.name}, steps {steps[0]} to {steps[-1]}",
    }
    save_animation(out, frames, fps=len(steps) / seconds, hold=HOLD_SECONDS, about=about)
    return Path(out)
