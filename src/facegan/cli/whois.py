"""`facegan whois`."""

import tempfile
from pathlib import Path
from typing import Annotated, Any

import typer

from ..errors import ConfigError, SnapshotError
from .options import Device, Json, print_json

TOLD = ("command", "seed", "seeds", "snapshot", "step", "weights", "torch", "Software", "Description")


def whois(
    image: Annotated[Path, typer.Argument(help="A picture or an animation that facegan made.")],
    model: Annotated[
        str | None, typer.Argument(help="The snapshot or run that it is of; by default it is looked for under runs/.")
    ] = None,
    out: Annotated[str | None, typer.Option("-o", "--out", help="Where to write what was made again.")] = None,
    device: Device = None,
    as_json: Json = False,
) -> None:
    """Tell how a picture was made, and make it again.

    Seeds, snapshot and command are read from it. The picture is made again from what it says of itself and compared pixel by pixel. Its snapshot is looked for by its
    digest, so a run may have been renamed or moved.
    """
    if out is not None and Path(out).suffix.lower() != image.suffix.lower():
        raise ConfigError(f"-o {out}: give the ending of {image.name}, {image.suffix or 'none'}: it is the same again")
    if not image.is_file():
        raise ConfigError(f"{image}: no such picture")
    from ..images import read_about

    about = read_about(image)
    if "facegan" not in about.get("Software", ""):
        raise ConfigError(f"{image}: does not say that facegan made it; other programs may have removed what it said")
    found = {key: about[key] for key in TOLD if key in about}
    if not as_json:
        for key, value in found.items():
            print(f"{key.lower()}: {value}")
    if "recipe" not in about or "snapshot" not in about:
        answer: dict[str, Any] = {"made_again": None, "why": "it carries no recipe"}
    else:
        answer = _make_again(image, about, model, out, device)
    if as_json:
        print_json({"image": str(image), **found, **answer})
    else:
        print(_in_words(answer))
    if answer["made_again"] is None and (out is not None or model is not None):
        raise SnapshotError(f"{image}: cannot be made again: {answer['why']}")


def _make_again(image: Path, about: dict[str, str], model: str | None, out: str | None, device: str | None) -> Any:
    from ..images import difference
    from ..recipes import read
    from ..snapshots import load_generator
    from ..training.state import choose_device
    from .making import follow

    try:
        recipe = read(about["recipe"])
    except ConfigError as error:
        raise ConfigError(f"{image}: {error}") from None
    snapshot = _find(about["snapshot"], about.get("step", ""), model)
    if snapshot is None:
        return {
            "made_again": None,
            "why": f"its snapshot, {about['snapshot'][:12]}..., is not {'that' if model else 'under runs/'}; "
            f"{'give another' if model else 'give its file or run'}",
        }
    generator = load_generator(snapshot, raw=about.get("weights") == "G", device=choose_device(device or "auto"))
    with tempfile.TemporaryDirectory() as folder:
        again = Path(out) if out else Path(folder) / f"again{image.suffix}"
        follow(recipe, generator, str(again))
        differing, num, most = difference(image, again)
    answer = {"made_again": differing == 0, "snapshot_file": str(snapshot), "pixels": num, "differing": differing}
    return {**answer, "largest_difference": most, **({"file": out} if out else {})}


def _find(digest: str, step: str, model: str | None) -> Path | None:
    """The snapshot file of this digest: the one that MODEL names, or any under runs/, likely ones first."""
    from ..run import RunDir, find_run
    from ..sealed import digest as digest_of

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
    share = answer["differing"] / answer["pixels"]
    return (
        f"made again with {answer['snapshot_file']}: {share:.2%} of its pixels differ, by at most "
        f"{answer['largest_difference']} of 255 (it was edited, or made on another machine, device or torch){where}"
    )
