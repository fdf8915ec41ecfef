"""`facegan sample`."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import ConfigError
from .options import Device, Json, Model, find_snapshot, print_json

if TYPE_CHECKING:
    from ..generators import FaceGenerator

MOST = 10_000_000  # seeds in one go
MOST_PIXELS = 89_478_485  # of a grid: above this, Pillow takes a picture for an attack


def sample(
    model: Model = None,
    num: Annotated[int | None, typer.Option("-n", "--num", help="How many: the seeds 0 to N-1. Default 64.")] = None,
    out: Annotated[
        str | None, typer.Option("-o", "--out", help="A grid, .png, .jpg or .webp; FOLDER/ for single pictures.")
    ] = None,
    seeds: Annotated[str | None, typer.Option(help="Which seeds, for instance 0-63,99; one seed, one face.")] = None,
    separate: Annotated[Path | None, typer.Option(help="A folder for single pictures, seed-00000007.png.")] = None,
    raw: Annotated[bool, typer.Option("--raw", help="The current weights instead of their moving average.")] = False,
    device: Device = None,
    as_json: Json = False,
) -> None:
    """Draw faces from a trained generator."""
    from ..images import check_ending

    chosen = parse_seeds(seeds, num)
    if out is not None and out.endswith("/"):
        if separate is not None:
            raise ConfigError(f"-o {out} and --separate {separate} both name a folder; give one")
        separate, out = Path(out), None
    if out is None and separate is None:
        raise ConfigError("sample: nowhere to write; give -o grid.png, or --separate FOLDER")
    if out is not None:
        check_ending(Path(out))
    snapshot = find_snapshot(model)

    from ..snapshots import load_generator
    from ..training.state import choose_device

    generator = load_generator(snapshot, raw=raw, device=choose_device(device or "auto"))
    num_pixels = len(chosen) * generator.info["config"].resolution ** 2
    if out is not None and num_pixels > MOST_PIXELS:
        raise ConfigError(
            f"-o {out}: a grid of {len(chosen):,} pictures would have {num_pixels:,} pixels, more than other programs "
            f"open ({MOST_PIXELS:,}); ask for fewer, or for --separate FOLDER"
        )
    written = _write(generator, chosen, Path(out) if out else None, separate)
    if as_json:
        about = {key: generator.info[key] for key in ("digest", "step", "weights")}
        print_json({"snapshot": str(snapshot), **about, "files": [str(path) for path in written]})
    else:
        if separate is not None:
            print(f"{separate}/: {len(chosen)} pictures")
        if out is not None:
            print(out)


def parse_seeds(text: str | None, num: int | None) -> Sequence[int]:
    """The seeds that `--seeds 0-63,99` or `-n N` mean; 0 to 63 when neither is given.

    Raises:
        ConfigError: The text is none of seeds, or both are given.
    """
    if text is None:
        if num is not None and not 1 <= num <= MOST:
            raise ConfigError(f"-n {num}: give 1 to {MOST:,}")
        return range(64 if num is None else num)
    if num is not None:
        raise ConfigError("-n and --seeds exclude each other; give one")
    seeds: list[int] = []
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        bounds = [first, last] if dash else [first, first]
        if not all(bound.isascii() and bound.isdigit() for bound in bounds):
            raise ConfigError(f"--seeds {text}: '{part}' is no seed; give numbers and ranges, for instance 0-63,99")
        low, high = (int(bound) for bound in bounds)
        if high < low:
            raise ConfigError(f"--seeds {text}: the range '{part}' runs backwards; give {high}-{low}")
        if high >= 2**32 or high - low >= MOST:
            raise ConfigError(f"--seeds {text}: '{part}' is too large; seeds are below 2^32, {MOST:,} at a time")
        seeds.extend(range(low, high + 1))
    return seeds


def _write(generator: "FaceGenerator", seeds: Sequence[int], out: Path | None, separate: Path | None) -> list[Path]:
    import torch

    from .. import images

    about = _about(generator)
    kept, written = [], []
    for batch, pictures in _progress(generator, seeds):
        pixels = images.to_uint8(pictures)  # (n, C, H, W)
        if separate is not None:
            for seed, picture in zip(batch, pixels, strict=True):
                path = separate / f"seed-{seed:08d}.png"
                images.save(path, images.grid(picture[None]), {**about, "seed": str(seed)})
                written.append(path)
        if out is not None:
            kept.append(pixels)
    if out is not None:
        images.save(out, images.grid(torch.cat(kept)), {**about, "seeds": _compact(seeds)})
        written.append(out)
    return written


def _progress(generator: "FaceGenerator", seeds: Sequence[int]) -> Iterator[Any]:
    """The batches of `sampling.sample`, with a bar when it takes more than a moment."""
    from rich.progress import Progress

    from ..sampling import sample as draw
    from .console import console

    talk = console()
    with Progress(console=talk, disable=not talk.is_terminal or len(seeds) < 1000, transient=True) as bar:
        task = bar.add_task("sampling", total=len(seeds))
        for batch, pictures in draw(generator, seeds):
            yield batch, pictures
            bar.advance(task, len(batch))


def _about(generator: "FaceGenerator") -> dict[str, str]:
    """What every picture says of itself in its text chunks."""
    from .. import __version__

    info = generator.info
    return {
        "Software": f"facegan {__version__}",
        "Description": "synthetic face",
        "snapshot": info["digest"],
        "step": str(info["step"]),
        "weights": info["weights"],
    }


def _compact(seeds: Sequence[int]) -> str:
    """0-63,99: what `--seeds` takes."""
    parts: list[list[int]] = []
    for seed in seeds:
        if parts and seed == parts[-1][1] + 1:
            parts[-1][1] = seed
        else:
            parts.append([seed, seed])
    return ",".join(f"{low}-{high}" if high > low else str(low) for low, high in parts)
