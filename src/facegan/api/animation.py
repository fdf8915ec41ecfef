"""Animations: a walk through the latent space, and a run's grids over its steps."""

import random
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Option

from ..errors import ConfigError, SnapshotError
from ..reporter import SILENT, Reporter
from . import output
from .options import Device, Model, Raw, Run, load_torch
from .output import Drawing

if TYPE_CHECKING:
    from ..recipes import Corners, Walk
    from ..seeds import Points

STILLS = (".png", ".jpg", ".jpeg")  # .webp is an animation, except of --corners
FRAMES_PER_LEG = 30  # of an animation, by default
FACES_PER_ROW = 10  # of a filmstrip, by default
NUM_POINTS = 5  # by default
MAX_LISTED = 100  # points by chance whose seeds are reported
DRAWN_BELOW = 1_000_000  # seeds, short enough to be typed again
MIN_HEIGHT = 256  # pixels, that an animation is enlarged to
MAX_FPS = 25  # of a time lapse; beyond that, grids are left out
WITH_SEEDS = "no effect with --seeds, which names all points; leave out"
HOLD_SECONDS = 1.5  # for which the last grid is shown longer

Out = Annotated[
    str | None,
    Option("-o", "--out", help="An animation: .gif, .webp, .mp4, FOLDER/ of PNGs; a filmstrip: .png, .jpg, -."),
]
Seeds = Annotated[str | None, Option(help="The points, in order: seeds and files of latents, for instance 3,14,15.")]
Seed = Annotated[
    int | None, Option(min=0, max=2**32 - 1, help="Draw random points: the same ones for the same SEED. Default 0.")
]
Num = Annotated[int | None, Option("-n", "--num", min=2, max=500, help="Number of random points. Default 5.")]
Mode = Annotated[
    str | None,
    Option(metavar="slerp|lerp", help="On great circles (default of a normal prior), or straight (uniform)."),
]
Frames = Annotated[
    int | None, Option(help="All frames, both ends included. Default: 30 from point to point, 9 in a strip.")
]
Circle = Annotated[
    bool, Option("--circle", help="Go around the great circle through one point, in its plane with another.")
]
Grid = Annotated[
    str | None, Option(metavar="RxC", help="Several walks at once; the first RxC points are the first frame.")
]
CornerPoints = Annotated[
    str | None, Option(metavar="A,B,C,D", help="Instead of a walk, a sheet between four points, row by row.")
]
Scale = Annotated[
    int | None,
    Option(help="Enlarge by an integer factor. Default: animations to 256 pixels or more, images not at all."),
]


def interpolate(
    model: Model = None,
    out: Out = None,
    *,
    seeds: Seeds = None,
    seed: Seed = None,
    num: Num = None,
    mode: Mode = None,
    frames: Frames = None,
    fps: Annotated[float | None, Option(help="Frames per second. Default 25.")] = None,
    loop: Annotated[bool, Option("--loop", help="Return to the first point, without repeating its frame.")] = False,
    circle: Circle = False,
    grid: Grid = None,
    corners: CornerPoints = None,
    rows: Annotated[int | None, Option(help="Rows of the sheet of --corners. Default 8.")] = None,
    cols: Annotated[int | None, Option(help="Columns of the sheet of --corners. Default 8.")] = None,
    scale: Scale = None,
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
    flags = {
        "--seeds": seeds, "--seed": seed, "-n": num, "--frames": frames, "--fps": fps, "--loop": loop,
        "--circle": circle, "--grid": grid, "--rows": rows, "--cols": cols,
    }  # fmt: skip
    strip = out == output.STDOUT or (Path(out).suffix.lower() in STILLS and not out.endswith("/"))
    _check_flags(flags, out, corners, strip)
    recipe = _make_walk(flags, strip, mode, scale) if corners is None else _make_sheet(flags, corners, mode, scale)
    checkpoint, where = output.open_model(model, device, reporter)
    generator = checkpoint.generator(raw=raw, device=where)
    resolution = generator.origin.config.resolution
    if scale is None and recipe.rate is not None and not out.endswith("/"):
        recipe = recipe.model_copy(update={"scale": -(-MIN_HEIGHT // recipe.size(resolution)[0])})
    recipe.points.warn_of_foreign(generator, reporter)
    output.draw(recipe, generator, out, reporter)
    (height, width), points = recipe.size(resolution), recipe.points.labels()
    if corners is None and seeds is None and len(points) <= MAX_LISTED:
        reporter.info(f"--seeds {recipe.points.text}")
    num_frames = recipe.num_frames if recipe.make == "interpolate" else recipe.rows * recipe.columns
    details = {"points": points, "seeds": recipe.points.text, "frames": num_frames, "width": width, "height": height}
    return Drawing(generator.origin, [out], {**details, "out": out}, [out])


def _check_flags(flags: dict[str, Any], out: str, corners: str | None, strip: bool) -> None:
    """Validate the output path, and refuse flags without effect; raises ConfigError."""
    from ..images import check_ending
    from ..images.animation import ANIMATION_ENDINGS, check_animation_path

    *of_walk, rows, cols = flags
    refusals = [
        (corners, of_walk, "no effect with --corners, which makes one sheet; leave out"),
        (corners is None, [rows, cols], "no effect without --corners; walks at once are --grid RxC"),
        (strip and not corners, ["--fps", "--grid"], "no effect on a filmstrip; leave out, or -o walk.gif"),
        (out.endswith("/"), ["--fps"], "no effect on single images; leave out"),
        (flags["--seeds"] is not None, ["-n"], WITH_SEEDS),
        (flags["--circle"], ["-n"], "no effect with --circle, which takes two points; leave out"),
    ]
    for applies, names, why in refusals:
        given = [name for name in names if flags[name] is not None and flags[name] is not False]
        if applies and given:
            raise ConfigError(f"{', '.join(given)}: {why}")
    output.check_output_path(out, is_image=corners is not None)
    if corners is None and not strip:
        if not out.endswith("/"):
            check_ending(Path(out), (*ANIMATION_ENDINGS, *STILLS))
        check_animation_path(out)


def _make_sheet(flags: dict[str, Any], corners: str, mode: Any, scale: int | None) -> "Corners":
    points = output.parse_points(corners, "--corners")
    from ..recipes import Corners

    given = {"rows": flags["--rows"], "columns": flags["--cols"], "scale": scale}
    return Corners(points=points, mode=mode, **_without_none(given))


def _make_walk(flags: dict[str, Any], strip: bool, mode: Any, scale: int | None) -> "Walk":
    """Return the walk that the flags describe, its default enlargement still open (1); raises ConfigError."""
    grid, loop, circle = flags["--grid"] or "1x1", flags["--loop"], flags["--circle"]
    match = re.fullmatch(r"([1-9]\d{0,3})x([1-9]\d{0,3})", grid.strip().lower())
    if match is None:
        raise ConfigError(f"--grid {grid}: is not ROWSxCOLUMNS; give for instance 4x4")
    rows, columns = int(match[1]), int(match[2])
    points, num_frames = _walk_points(flags, rows * columns), flags["--frames"]

    from ..recipes import Walk
    from ..recipes.walk import MAX_FRAMES, legs_of

    if num_frames is None:
        per_leg = FACES_PER_ROW - 1 if strip else FRAMES_PER_LEG
        num_legs = legs_of(len(points) // (rows * columns), loop=loop, circle=circle)
        num_frames = min(MAX_FRAMES, num_legs * per_leg + (not loop and not circle))
    return Walk(
        points=points, num_frames=num_frames, mode=mode, loop=loop, circle=circle, rows=rows, columns=columns,
        strip=strip, **_without_none({"scale": scale, "fps": flags["--fps"]}),
    )  # fmt: skip


def _without_none(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


def _walk_points(flags: dict[str, Any], num_walks: int) -> "Points":
    """Return the points of all walks, as named, or random ones."""
    load_torch()
    from ..seeds import Points

    text, seed, num, circle = (flags[name] for name in ("--seeds", "--seed", "-n", "--circle"))
    if text is None:
        return Points.of(_draw_seeds(seed or 0, num_walks * (2 if circle else num or NUM_POINTS)))
    points = output.parse_points(text)
    if circle and len(points) == num_walks:
        second = Points.of(_draw_seeds(seed or 0, num_walks))
        return Points(text=f"{points.text},{second.text}", latents=points.latents)
    if seed is not None:
        raise ConfigError(f"--seed: {WITH_SEEDS}")
    return points


def _draw_seeds(seed: int, num: int) -> list[int]:
    """Draw different seeds; the first ones are the same however many are drawn."""
    if num > DRAWN_BELOW // 2:  # beyond that, different ones are hard to find
        raise ConfigError(f"{num:,} random points are too many; give a smaller --grid or -n")
    source, found = random.Random(seed), dict[int, None]()
    while len(found) < num:
        found[source.randrange(DRAWN_BELOW)] = None
    return list(found)


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

    if not 0.1 <= seconds <= 600:
        raise ConfigError(f"--seconds is {seconds:g}; it must be 0.1 to 600")
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
        "Description": f"synthetic faces: run {found.name}, steps {steps[0]} to {steps[-1]}",
    }
    save_animation(out, frames, fps=len(steps) / seconds, hold=HOLD_SECONDS, about=about)
    return Path(out)
