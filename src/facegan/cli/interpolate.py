"""`facegan interpolate`."""

import math
import random
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import ConfigError
from .making import STDOUT, check_place, check_size, check_still, follow, points_of, warn_of_strangers
from .options import Device, Json, Model, find_snapshot, print_json

if TYPE_CHECKING:
    from ..generator import FaceGenerator
    from ..recipes import Corners, Walk
    from ..seeds import Points

STILLS = (".png", ".jpg", ".jpeg")  # .webp is a film, unless of --corners
FRAMES_A_LEG = 30  # of a film, by default; of a filmstrip, so that a row has ten faces:
FACES_A_ROW = 10
POINTS = 5  # by default
MOST_POINTS = 500  # drawn for a walk
DRAWN_BELOW = 1_000_000  # seeds, short enough to be typed again
FILM_HEIGHT = 256  # pixels, that a film is enlarged to, or more


def interpolate(
    model: Model = None,
    out: Annotated[
        str | None,
        typer.Option("-o", "--out", help="A film: .gif, .webp, .mp4, FOLDER/ of PNGs; a filmstrip: .png, .jpg, -."),
    ] = None,
    seeds: Annotated[
        str | None, typer.Option(help="The points, in order: seeds and files of latents, for instance 3,14,15.")
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help="Points by chance, the same ones for the same SEED. Default 0.")
    ] = None,
    num: Annotated[int | None, typer.Option("-n", "--num", help="How many points by chance. Default 5.")] = None,
    mode: Annotated[
        str | None,
        typer.Option(metavar="slerp|lerp", help="On great circles (default of a normal prior), or straight (uniform)."),
    ] = None,
    frames: Annotated[
        int | None, typer.Option(help="All frames, both ends included. Default: 30 from point to point, 9 in a strip.")
    ] = None,
    fps: Annotated[float | None, typer.Option(help="Frames a second. Default 25.")] = None,
    loop: Annotated[
        bool, typer.Option("--loop", help="Go back to the first point, without repeating its frame.")
    ] = False,
    circle: Annotated[
        bool,
        typer.Option("--circle", help="Once around the great circle through one point, in its plane with another."),
    ] = False,
    grid: Annotated[
        str | None, typer.Option(metavar="RxC", help="So many walks at once; the first RxC points are the first frame.")
    ] = None,
    corners: Annotated[
        str | None, typer.Option(metavar="A,B,C,D", help="Instead of a walk, a sheet between four points, by rows.")
    ] = None,
    rows: Annotated[int | None, typer.Option(help="Of the sheet of --corners. Default 8.")] = None,
    cols: Annotated[int | None, typer.Option(help="Of the sheet of --corners. Default 8.")] = None,
    scale: Annotated[
        int | None,
        typer.Option(help="Enlarge by a whole factor. Default: films to 256 pixels or more, all else as sample draws."),
    ] = None,
    raw: Annotated[bool, typer.Option("--raw", help="The current weights instead of their moving average.")] = False,
    device: Device = None,
    as_json: Json = False,
) -> None:
    """Walk from face to face: a film, a strip, a sheet.

    A film goes from point to point; a filmstrip shows the same walk as one image, and --corners fills a sheet between
    four points.
    """
    if out is None:
        raise ConfigError("interpolate: nowhere to write; give -o walk.gif, .webp, .mp4, .png or FOLDER/")
    check_place(out, as_json=as_json)
    if mode not in (None, "slerp", "lerp"):
        raise ConfigError(f"--mode {mode}: there is no such mode; give slerp or lerp")
    if fps is not None and not math.isfinite(fps):
        raise ConfigError(f"--fps {fps}: is no number of frames a second; give for instance 25")
    own = {"--seeds": seeds, "--seed": seed, "-n": num, "--frames": frames, "--fps": fps}
    own |= {"--loop": loop, "--circle": circle, "--grid": grid}
    recipe: Corners | Walk
    if corners is not None:
        _refuse(own, "of no effect with --corners, which makes one sheet; leave out")
        check_still(out)
        recipe = _sheet(corners, rows, cols, mode, scale)
    else:
        _refuse({"--rows": rows, "--cols": cols}, "of no effect without --corners; walks at once are --grid RxC")
        recipe = _walk(out, own, mode, scale)
    snapshot = find_snapshot(model)

    from ..checkpoint import load_generator
    from ..devices import resolve_device

    generator = load_generator(snapshot, raw=raw, device=resolve_device(device or "auto"))
    recipe = _sized(recipe, generator, out, enlarge=scale is None)
    warn_of_strangers(recipe.points, generator)
    follow(recipe, generator, out)
    if corners is None and seeds is None and not as_json:
        _tell(recipe.points)
    if as_json:
        print_json({"snapshot": str(snapshot), **_about(recipe, generator), "out": out})
    elif out != STDOUT:
        print(out)


def _refuse(flags: dict[str, Any], why: str) -> None:
    """Refuse those of these flags that were given; raises ConfigError."""
    given = [flag for flag, value in flags.items() if value is not None and value is not False]
    if given:
        raise ConfigError(f"{', '.join(given)}: {why}")


def _sheet(corners: str, rows: int | None, cols: int | None, mode: Any, scale: int | None) -> "Corners":
    from ..recipes import Corners

    given = {"rows": rows, "columns": cols, "scale": scale}
    sizes: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    return Corners(points=points_of(corners, "--corners"), mode=mode, **sizes)


def _walk(out: str, flags: dict[str, Any], mode: Any, scale: int | None) -> "Walk":
    """The walk that the flags mean, its enlargement by default still left open (1); raises ConfigError."""
    from ..images import FILMS, check_ending, check_film
    from ..recipes import Walk
    from ..recipes.walk import MOST_FRAMES, legs_of

    strip = out == STDOUT or (Path(out).suffix.lower() in STILLS and not out.endswith("/"))
    if not strip and not out.endswith("/"):
        check_ending(Path(out), (*FILMS, *STILLS))
    if not strip:
        check_film(out)
    else:
        _refuse(
            {"--fps": flags["--fps"], "--grid": flags["--grid"]},
            "of no effect on a filmstrip; leave out, or -o walk.gif",
        )
    if out.endswith("/"):
        _refuse({"--fps": flags["--fps"]}, "of no effect on single images; leave out")
    loop, circle = flags["--loop"], flags["--circle"]
    num_rows, num_columns = _shape(flags["--grid"])
    cells = num_rows * num_columns
    points = _points(flags, cells)
    num_frames = flags["--frames"]
    if num_frames is None:
        legs = legs_of(len(points) // cells, loop=loop, circle=circle)
        a_leg = FACES_A_ROW - 1 if strip else FRAMES_A_LEG
        num_frames = min(MOST_FRAMES, legs * a_leg + (not loop and not circle))
    return Walk(
        points=points, num_frames=num_frames, mode=mode, loop=loop, circle=circle, rows=num_rows, columns=num_columns,
        strip=strip, scale=1 if scale is None else scale, fps=25.0 if flags["--fps"] is None else flags["--fps"],
    )  # fmt: skip


def _points(flags: dict[str, Any], cells: int) -> "Points":
    """The points of all walks, as named, or by chance."""
    from ..seeds import Points

    text, seed, num, circle = (flags[name] for name in ("--seeds", "--seed", "-n", "--circle"))
    if text is not None and num is not None:
        raise ConfigError("-n and --seeds exclude each other; give one")
    if circle:
        _refuse({"-n": num}, "of no effect with --circle, which takes two points; leave out")
    if num is not None and not 2 <= num <= MOST_POINTS:
        raise ConfigError(f"-n {num}: give 2 to {MOST_POINTS} points; more with --seeds")
    if seed is not None and not 0 <= seed < 2**32:
        raise ConfigError(f"--seed {seed}: give 0 to {2**32 - 1}")
    if text is None:
        return Points.of(_drawn(seed or 0, cells * (2 if circle else num or POINTS)))
    points = points_of(text)
    if circle and len(points) == cells:
        second = Points.of(_drawn(seed or 0, cells))
        return Points(text=f"{points.text},{second.text}", latents=points.latents)
    _refuse({"--seed": seed}, "of no effect with --seeds, which names all points; leave out")
    return points


def _drawn(seed: int, num: int) -> list[int]:
    """Different seeds by chance; more of them begin with the same ones."""
    source, found = random.Random(seed), dict[int, None]()
    while len(found) < num:
        found[source.randrange(DRAWN_BELOW)] = None
    return list(found)


def _shape(grid: str | None) -> tuple[int, int]:
    """The rows and columns of `--grid 4x4`; raises ConfigError."""
    if grid is None:
        return 1, 1
    match = re.fullmatch(r"([1-9]\d{0,3})x([1-9]\d{0,3})", grid.strip().lower())
    if match is None:
        raise ConfigError(f"--grid {grid}: is no ROWSxCOLUMNS; give for instance 4x4")
    return int(match[1]), int(match[2])


def _sized(recipe: Any, generator: "FaceGenerator", out: str, *, enlarge: bool) -> Any:
    """The recipe with its enlargement, whose pixels somebody can hold and open; raises ConfigError."""
    resolution = generator.origin.config.resolution
    if enlarge and recipe.rate is not None and not out.endswith("/"):
        recipe = recipe.model_copy(update={"scale": -(-FILM_HEIGHT // recipe.size(resolution)[0])})
    check_size(recipe, generator, out)
    return recipe


def _tell(points: "Points") -> None:
    """Say which points chance chose."""
    from .console import console

    if len(points) <= 100:
        console().print(f"--seeds {points.text}", markup=False)


def _about(recipe: Any, generator: "FaceGenerator") -> dict[str, Any]:
    """What --json says of the image."""
    about = {key: getattr(generator.origin, key) for key in ("digest", "step", "weights")}
    height, width = recipe.size(generator.origin.config.resolution)
    frames = recipe.num_frames if recipe.make == "interpolate" else recipe.rows * recipe.columns
    return {**about, "points": recipe.points.labels(), "frames": frames, "width": width, "height": height}
