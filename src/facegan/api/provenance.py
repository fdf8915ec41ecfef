"""How an image was made: its metadata, and whether it can be made again."""

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, Option

from ..errors import ConfigError
from ..messages import printable
from ..reporter import SILENT, Reporter
from . import output
from .options import Device, PathLike

if TYPE_CHECKING:
    from ..checkpoint import Checkpoint
    from ..generator import FaceGenerator
    from ..recipes import Recipe

SHOWN = ("seed", "seeds", "snapshot", "step", "weights", "torch", "Software", "Description")


@dataclass(frozen=True)
class ImageOrigin:
    """How an image was made."""

    image: Path
    metadata: dict[str, str]  # of the image
    # `made_again` (None where it could not be tried), then `why`, or `snapshot_file`, `pixels`, `differing`,
    # `largest_difference` and `file`
    remake: dict[str, Any]

    def document(self) -> dict[str, Any]:
        """Return all of it, for JSON."""
        return {"image": str(self.image), **self.metadata, **self.remake}


def whois(
    image: Annotated[PathLike, Argument(help="An image or an animation that facegan made.")],
    model: Annotated[
        PathLike | None, Argument(help="The snapshot or run that made it; by default it is looked for under runs/.")
    ] = None,
    out: Annotated[str | None, Option("-o", "--out", help="Where to write the image that is made again.")] = None,
    *,
    device: Device = None,
    reporter: Reporter = SILENT,
) -> ImageOrigin:
    """Show how an image was made, and make it again.

    Seeds, snapshot and command are read from its metadata. The image is made again and compared pixel by pixel. The
    snapshot is found by its digest, even if its run was renamed.
    """
    from ..images.animation import ending_of, read_about

    path = Path(image)
    if not (path.is_file() or path.is_dir()):  # reading a pipe would block
        raise ConfigError(f"{path}: {'no regular file' if path.exists() else 'no such image'}")
    ending = ending_of(path)
    _check_out(path, ending, out)
    about = read_about(path)
    if "facegan" not in about.get("Software", ""):
        raise ConfigError(
            f"{path}: its metadata do not say that facegan made it; another program may have removed them"
        )
    shown = {key: printable(about[key]) for key in SHOWN if key in about}  # a stranger may have written it
    if "recipe" not in about or "snapshot" not in about:
        return ImageOrigin(path, shown, {"made_again": None, "why": "it carries no recipe"})

    recipe = _read_recipe(path, about["recipe"])
    command = output.command_line(recipe, raw=about.get("command", "").endswith("--raw"))
    shown = {"command": printable(command), **shown}
    checkpoint = _find_checkpoint(about["snapshot"], about.get("step", ""), model)
    if checkpoint is None:
        where = f"in {model}; give another run or file" if model else "under runs/; give its file or run"
        why = f"its snapshot, {printable(about['snapshot'][:12])}..., is not {where}"
        return ImageOrigin(path, shown, {"made_again": None, "why": why})

    from ..devices import resolve_device

    generator = checkpoint.generator(raw=about.get("weights") == "G", device=resolve_device(device or "auto"))
    differing, num, most = _compare(path, ending, recipe, generator, out=out, reporter=reporter)
    remake = {"made_again": differing == 0, "snapshot_file": str(checkpoint.path), "pixels": num}
    remake |= {"differing": differing, "largest_difference": most, **({"file": out} if out else {})}
    return ImageOrigin(path, shown, remake)


def _check_out(image: Path, ending: str, out: str | None) -> None:
    """Refuse an output path of another format, or the image itself; raises ConfigError."""
    if out is None:
        return
    wanted = {".jpg": (".jpg", ".jpeg")}.get(ending, (ending,))
    if not out.endswith("/" if ending == "/" else wanted):
        raise ConfigError(f"-o {out}: the format stays the same; end it in {' or '.join(wanted)}")
    if Path(out).exists() and Path(out).samefile(image):
        raise ConfigError(f"-o {out}: is the image itself; give another name")
    output.check_output_path(out)


def _read_recipe(image: Path, text: str) -> "Recipe":
    from ..recipes import read

    try:
        return read(text)
    except ConfigError as error:
        raise ConfigError(f"{image}: {error}") from None


def _find_checkpoint(digest: str, step: str, model: PathLike | None) -> "Checkpoint | None":
    """Open the snapshot with this digest: MODEL's, or any under runs/, those of this step first."""
    from ..checkpoint import Checkpoint
    from ..downloads.http import digest_of
    from ..storage.run_dir import RunDir, find_run

    if model is not None and Path(model).is_file():
        candidates = [Path(model)]
    else:
        folders = [path.parent for path in Path("runs").glob("*/config.json")] if model is None else []
        runs = [RunDir(folder) for folder in folders] if model is None else [find_run(model)]
        paths = (run.snapshot(each) for run in runs for each in run.steps("snapshots"))
        candidates = [path for path in paths if path.is_file()]  # reading a pipe would block
        candidates.sort(key=lambda path: path.stem.removeprefix("step-").lstrip("0") != step.lstrip("0"))
    wanted = f"sha256:{digest}"
    found = next((path for path in candidates if digest_of(path, wanted) == wanted), None)
    return None if found is None else Checkpoint.open(found)


def _compare(
    image: Path, ending: str, recipe: "Recipe", generator: "FaceGenerator", *, out: str | None, reporter: Reporter
) -> tuple[int, int, int]:
    """Make an image again, at `out` if it is to stay; return its difference as `difference` does."""
    from ..images.animation import difference
    from ..storage.atomic import write_atomic

    with tempfile.TemporaryDirectory() as folder:
        if recipe.rate is None or ending != ".png":
            again = out or f"{folder}/again{ending}"
            output.draw(recipe, generator, again, reporter)
            return difference(image, Path(again))
        output.draw(recipe, generator, f"{folder}/frames/", reporter)  # one frame of an animation: the nearest one
        differences = {frame: difference(image, frame) for frame in sorted(Path(folder, "frames").iterdir())}
        nearest = min(differences, key=lambda frame: differences[frame])
        if out:
            write_atomic(Path(out), nearest.read_bytes())
        return differences[nearest]
