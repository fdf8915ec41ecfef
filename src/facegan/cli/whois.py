"""`facegan whois`."""

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import ConfigError, SnapshotError
from ..messages import printable
from .making import check_place, command, follow
from .options import Device, Json, print_json

if TYPE_CHECKING:
    from ..generator import FaceGenerator
    from ..recipes import Recipe

TOLD = ("seed", "seeds", "snapshot", "step", "weights", "torch", "Software", "Description")


def whois(
    image: Annotated[Path, typer.Argument(help="An image or an animation that facegan made.")],
    model: Annotated[
        str | None, typer.Argument(help="The snapshot or run that it is of; by default it is looked for under runs/.")
    ] = None,
    out: Annotated[str | None, typer.Option("-o", "--out", help="Where to write what was made again.")] = None,
    device: Device = None,
    as_json: Json = False,
) -> None:
    """Tell how an image was made, and make it again.

    Seeds, snapshot and command are read from it. The image is made again from what it says of itself and compared
    pixel by pixel. Its snapshot is looked for by its digest, so a run may have been renamed or moved.
    """
    from ..images import ending_of, read_about

    if not image.exists():
        raise ConfigError(f"{image}: no such image")
    ending = ending_of(image)
    _check_out(image, ending, out)
    about = read_about(image)
    if "facegan" not in about.get("Software", ""):
        raise ConfigError(f"{image}: does not say that facegan made it; other programs may have removed what it said")
    told = {key: printable(about[key]) for key in TOLD if key in about}  # a stranger may have written it
    if "recipe" not in about or "snapshot" not in about:
        answer: dict[str, Any] = {"made_again": None, "why": "it carries no recipe"}
    else:
        recipe = _recipe(image, about["recipe"])
        told = {"command": printable(command(recipe, raw=about.get("command", "").endswith("--raw"))), **told}
        answer = _make_again(image, ending, about, recipe, model, out, device)
    if as_json:
        print_json({"image": str(image), **told, **answer})
    else:
        for key, value in told.items():
            print(f"{key.lower()}: {value}")
        print(_in_words(answer))
    if answer["made_again"] is None and (out is not None or model is not None):
        raise SnapshotError(f"{image}: cannot be made again: {answer['why']}")
    if answer["made_again"] is False:
        raise typer.Exit(1)


def _check_out(image: Path, ending: str, out: str | None) -> None:
    """Refuse a place for what is made again that is of another format, or the image itself; raises ConfigError."""
    if out is None:
        return
    wanted = {".jpg": (".jpg", ".jpeg")}.get(ending, (ending,))
    if not out.endswith("/" if ending == "/" else wanted):
        raise ConfigError(f"-o {out}: the same is made again; end it in {' or '.join(wanted) or 'what it is'}")
    if Path(out).exists() and Path(out).samefile(image):
        raise ConfigError(f"-o {out}: is the image that is asked about; give another name")
    check_place(out)


def _recipe(image: Path, text: str) -> "Recipe":
    from ..recipes import read

    try:
        return read(text)
    except ConfigError as error:
        raise ConfigError(f"{image}: {error}") from None


def _make_again(
    image: Path, ending: str, about: dict[str, str], recipe: "Recipe", model: str | None, out: str | None,
    device: str | None,
) -> dict[str, Any]:  # fmt: skip
    from ..checkpoint import load_generator
    from ..devices import resolve_device

    snapshot = _find(about["snapshot"], about.get("step", ""), model)
    if snapshot is None:
        digest = printable(about["snapshot"][:12])
        where = "that; give another" if model else "under runs/; give its file or run"
        return {"made_again": None, "why": f"its snapshot, {digest}..., is not {where}"}
    generator = load_generator(snapshot, raw=about.get("weights") == "G", device=resolve_device(device or "auto"))
    differing, num, most = _compare(image, ending, recipe, generator, out)
    answer = {"made_again": differing == 0, "snapshot_file": str(snapshot), "pixels": num, "differing": differing}
    return {**answer, "largest_difference": most, **({"file": out} if out else {})}


def _compare(
    image: Path, ending: str, recipe: "Recipe", generator: "FaceGenerator", out: str | None
) -> tuple[int, int, int]:
    """Make an image again, at `out` if it is to stay, and tell its difference as `images.difference` does."""
    from ..images import difference

    with tempfile.TemporaryDirectory() as folder:
        if recipe.rate is None or ending != ".png":
            again = out or f"{folder}/again{ending}"
            follow(recipe, generator, again)
            return difference(image, Path(again))
        follow(recipe, generator, f"{folder}/frames/")  # one frame of a film: whichever is nearest
        apart = {frame: difference(image, frame) for frame in sorted(Path(folder, "frames").iterdir())}
        nearest = min(apart, key=lambda frame: apart[frame])
        if out:
            from ..storage.atomic import write_atomic

            write_atomic(Path(out), nearest.read_bytes())
        return apart[nearest]


def _find(digest: str, step: str, model: str | None) -> Path | None:
    """The snapshot file of this digest: the one that MODEL names, or any under runs/, likely ones first."""
    from ..storage.run_dir import RunDir, find_run
    from ..storage.safetensors_file import digest as digest_of

    if model is not None and Path(model).is_file():
        candidates = [Path(model)]
    else:
        runs = (
            [find_run(model)]
            if model is not None
            else [RunDir(path.parent) for path in Path("runs").glob("*/config.json")]
        )
        candidates = [run.snapshot(each) for run in runs for each in run.steps("snapshots")]
        candidates.sort(key=lambda path: path.stem.removeprefix("step-").lstrip("0") != step.lstrip("0"))
    return next((path for path in candidates if digest_of(path) == digest), None)


def _in_words(answer: dict[str, Any]) -> str:
    if answer["made_again"] is None:
        return f"not made again: {answer['why']}"
    where = f" -> {answer['file']}" if "file" in answer else ""
    if answer["made_again"]:
        return f"made again with {answer['snapshot_file']}: the same to the pixel{where}"
    apart = f"{answer['differing']:,} of {answer['pixels']:,} pixels differ"
    return (
        f"made again with {answer['snapshot_file']}: {apart}, by up to "
        f"{answer['largest_difference']} of 255 (it was edited, or made on another machine, device or torch){where}"
    )
