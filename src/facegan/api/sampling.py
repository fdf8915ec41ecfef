"""Images of chosen points: sample and arithmetic."""

import json
import re
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Option

from ..errors import ConfigError, DataError
from ..messages import counted, printable
from ..reporter import SILENT, Reporter
from . import output
from .options import Device, Model, PathLike, Raw, load_torch
from .output import Drawing

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from ..generator import FaceGenerator
    from ..recipes import Arithmetic, Sheet

MANIFEST = "manifest.jsonl"
MAX_MANIFEST_BYTES = 1 << 28
_MODEL = ("snapshot", "raw")  # of a line of the manifest: what the images are of
_SEED_FILE = re.compile(r"seed-\d{8,10}\.png")
MAX_LENGTH_RATIO = 1.5  # of a sum to a latent of the prior: from here on, faces visibly suffer

Out = Annotated[
    str | None, Option("-o", "--out", help="A sheet, .png, .jpg or .webp; FOLDER/ for single images; - for stdout.")
]
Num = Annotated[int | None, Option("-n", "--num", min=1, help="Number of faces: the seeds 0 to N-1. Default 64.")]
Separate = Annotated[PathLike | None, Option(help="A folder for single images, seed-00000007.png, and manifest.jsonl.")]
Truncation = Annotated[
    float, Option(metavar="PSI", help="Draw from PSI * z: below 1, more ordinary faces that vary less.")
]


def sample(
    model: Model = None,
    num: Num = None,
    out: Out = None,
    *,
    seeds: Annotated[
        str | None, Option(help="Seeds, for instance 0-63,99, or files of latents; each seed is one face.")
    ] = None,
    separate: Separate = None,
    truncation: Truncation = 1.0,
    rows: Annotated[int | None, Option(min=1, help="Rows of the sheet, at most.")] = None,
    cols: Annotated[int | None, Option(min=1, help="Columns of the sheet; by default near-square.")] = None,
    labels: Annotated[bool, Option("--labels", help="Write the seed below each face.")] = False,
    raw: Raw = False,
    device: Device = None,
    force: Annotated[
        bool, Option("--force", help="Replace all images in the folder of --separate, also of another snapshot.")
    ] = False,
    return_sheet: bool = False,
    reporter: Reporter = SILENT,
) -> Drawing:
    """Draw faces from a trained generator.

    A folder of single images takes more of the same snapshot; manifest.jsonl lists them all.

    Returns:
        The files, with the sheet as `image` if `return_sheet`.
    """
    if out is not None and out.endswith("/"):
        if separate is not None:
            raise ConfigError(f"-o {out} and --separate {separate} both name a folder; give one")
        separate, out = out, None
    folder, has_sheet = None if separate is None else Path(separate), out is not None or return_sheet
    _check_destination(folder, out, has_sheet=has_sheet, arranges=bool(rows or cols or labels), force=force)
    recipe = _make_sheet(seeds, num, rows, cols, truncation=truncation, labels=labels)
    checkpoint, where = output.open_model(model, device, reporter)
    generator = checkpoint.generator(raw=raw, device=where)
    recipe.points.warn_of_foreign(generator, reporter)
    if has_sheet:
        output.check_size(recipe, generator, out or "sheet.png")
    single = _ImageFolder(folder, recipe, generator, force=force) if folder else None
    files, sheet = _draw_faces(recipe, generator, single, has_sheet=has_sheet, reporter=reporter)
    if sheet is not None and out is not None:
        output.write_image(out, sheet, output.metadata(recipe, generator))
    details = {"truncation": truncation, **({"manifest": str(folder / MANIFEST)} if folder else {})}
    sheets = [out] if out else []
    lines = [f"{folder}/: {counted(len(files), 'image')}"] if folder else []
    return Drawing(generator.origin, files + sheets, details, lines + sheets, sheet if return_sheet else None)


def _check_destination(folder: Path | None, out: str | None, *, has_sheet: bool, arranges: bool, force: bool) -> None:
    """Raise ConfigError unless the options say where images go, and nothing that has no effect there."""
    if not has_sheet and folder is None:
        raise ConfigError("sample: nowhere to write; give -o grid.png, --separate FOLDER, or --show")
    if not has_sheet and arranges:
        raise ConfigError("--rows, --cols and --labels arrange a sheet; give -o sheet.png")
    if folder is not None and folder.exists() and not folder.is_dir():
        raise ConfigError(f"--separate {folder}: is a file; give a folder")
    if force and folder is None:
        raise ConfigError("--force: replaces the images in a folder; give --separate FOLDER")
    if out is not None:
        output.check_output_path(out, is_image=True)


def _make_sheet(
    seeds: str | None, num: int | None, rows: int | None, cols: int | None, *, truncation: float, labels: bool
) -> "Sheet":
    """Return the recipe that the flags describe; raises ConfigError."""
    load_torch()
    from ..recipes import Sheet
    from ..seeds import Points

    if seeds is not None and num is not None:
        raise ConfigError("-n and --seeds exclude each other; give one")
    if num is None:
        num = rows * cols if rows and cols else 64
    points = Points.of(range(num)) if seeds is None else output.parse_points(seeds)
    if rows and cols and len(points) > rows * cols:
        raise ConfigError(f"--rows {rows} --cols {cols}: a sheet of {rows * cols}, but there are {len(points)} faces")
    columns = cols or (rows and -(-len(points) // rows))
    columns = columns and min(columns, len(points))
    return Sheet(points=points, truncation=truncation, columns=columns, labels=labels)


def _draw_faces(
    recipe: "Sheet", generator: "FaceGenerator", folder: "_ImageFolder | None", *, has_sheet: bool, reporter: Reporter
) -> tuple[list[str], "np.ndarray | None"]:
    """Draw each face once, into the folder, onto the sheet, or both; return the folder's files and the sheet."""
    import numpy as np

    kept: list[np.ndarray] = []

    def faces() -> "Iterator[tuple[int | str, np.ndarray]]":
        for names, pixels in recipe.faces(generator, reporter):
            if has_sheet:
                kept.append(pixels)
            yield from zip(names, pixels, strict=True)

    drawn = faces()
    files = [] if folder is None else folder.write(drawn)
    deque(drawn, maxlen=0)  # of no folder
    return files, recipe.arrange(np.concatenate(kept)) if has_sheet else None


class _ImageFolder:
    """A folder of single images of one snapshot, and its manifest, a line for each image."""

    def __init__(self, path: Path, recipe: "Sheet", generator: "FaceGenerator", *, force: bool) -> None:
        """Choose the files; raises ConfigError for a folder with images of another snapshot, unless with `force`."""
        self._path, self._recipe, self._generator = path, recipe, generator
        self._files = {name: path / _file_name(name) for name in recipe.points.names()}
        if len(set(self._files.values())) < len(self._files):
            raise ConfigError("--separate: two images would have one name; rename the files of latents")
        origin = generator.origin
        self._about = {
            "snapshot": origin.digest,
            **({"raw": True} if origin.raw else {}),
            **_truncated(recipe.truncation),
        }
        self._lines = self._read_lines()
        self._replaced: list[Path] = []
        if force:
            self._replaced = [path / line["file"] for line in self._lines if self._is_unchanged(line)]
            self._lines = []
        elif others := [line for line in self._lines if any(line.get(key) != self._about.get(key) for key in _MODEL)]:
            other = f"snapshot {str(others[0].get('snapshot'))[:12]}{', raw' if others[0].get('raw') else ''}"
            raise ConfigError(
                f"--separate {path}: holds images of another model ({printable(other)}); choose another folder, or "
                "replace all of them with --force"
            )

    def write(self, faces: "Iterator[tuple[int | str, np.ndarray]]") -> list[str]:
        """Write the images, then the manifest; return the files."""
        from ..images import grid
        from ..images.files import write_images
        from ..storage.atomic import write_atomic

        recipe, generator, files = self._recipe, self._generator, self._files
        self._path.mkdir(parents=True, exist_ok=True)
        names = {path.name for path in files.values()}
        kept = "".join(json.dumps(line) + "\n" for line in self._lines if line["file"] not in names)
        manifest = self._path / MANIFEST
        if kept:
            write_atomic(manifest, kept.encode())  # without those that are being replaced
        else:
            manifest.unlink(missing_ok=True)
        for path in self._replaced:
            path.unlink(missing_ok=True)
        images = (
            (files[name], grid(face[None]), {**output.metadata(recipe.single(name), generator), "seed": str(name)})
            for name, face in faces
        )

        def write(temporary: Path) -> None:
            with temporary.open("w") as lines:
                lines.write(kept)
                for (path, digest), name in zip(write_images(images), recipe.points.names(), strict=True):
                    lines.write(json.dumps({"file": path.name, "seed": name, "digest": digest, **self._about}) + "\n")

        write_atomic(manifest, write)
        return [str(path) for path in files.values()]

    def _read_lines(self) -> list[dict[str, Any]]:
        """Return the manifest's lines of files that exist; and lines like them for images that it lacks."""
        from ..storage.atomic import json_object, read_regular

        lines: list[dict[str, Any]] = []
        present = {path.name for path in self._path.glob("*.png") if path.is_file() and not path.is_symlink()}
        with suppress(OSError):  # there is none
            found = map(json_object, read_regular(self._path / MANIFEST, MAX_MANIFEST_BYTES).splitlines())
            lines = [line for line in found if line is not None and line.get("file") in present]
        known = {line["file"] for line in lines}
        return lines + [line for name in sorted(present - known) if (line := _read_line(self._path / name))]

    def _is_unchanged(self, line: dict[str, Any]) -> bool:
        content = (self._path / line["file"]).read_bytes()
        return _sha256(content) == line.get("digest")


def _read_line(path: Path) -> dict[str, Any] | None:
    """Return the manifest's line of an image whose drawing was interrupted, by its metadata; None for another image."""
    from ..images.animation import read_about
    from ..storage.atomic import json_object

    if not _SEED_FILE.fullmatch(path.name):
        return None
    with suppress(DataError):
        about = read_about(path)
        if "facegan" in about.get("Software", "") and "snapshot" in about:
            digest, raw = _sha256(path.read_bytes()), about.get("command", "").endswith("--raw")
            psi = (json_object(about.get("recipe", "").encode()) or {}).get("truncation", 1)
            line = {"file": path.name, "seed": int(path.stem[5:]), "digest": digest, "snapshot": about["snapshot"]}
            return line | ({"raw": True} if raw else {}) | _truncated(psi)
    return None


def _truncated(psi: Any) -> dict[str, Any]:
    """Return what an image's line of the manifest says of its truncation."""
    return {} if psi == 1 else {"truncation": psi}


def _sha256(content: bytes) -> str:
    import hashlib  # not for --help

    return hashlib.sha256(content).hexdigest()


def _file_name(name: int | str) -> str:
    if isinstance(name, int):
        return f"seed-{name:08d}.png"
    return f"{name.replace('.safetensors', '').replace('#', '-')}.png"


Plus = Annotated[
    list[str] | None, Option(metavar="SEEDS", help="Points whose mean is added, for instance 1,5,9; repeatable.")
]
Minus = Annotated[list[str] | None, Option(metavar="SEEDS", help="Points whose mean is subtracted; repeatable.")]
SaveSum = Annotated[
    PathLike | None, Option(help="A .safetensors file for the latent of the sum; every SEEDS option takes it.")
]


def arithmetic(
    model: Model = None,
    *,
    plus: Plus = None,
    minus: Minus = None,
    out: Annotated[
        str | None, Option("-o", "--out", help="An image, .png, .jpg or .webp; - writes a PNG to stdout.")
    ] = None,
    save: SaveSum = None,
    noise: Annotated[float, Option(help="Largest uniform noise on each component of a neighbour.")] = 0.25,
    seed: Annotated[int, Option(help="Seed of the noise.", min=0, max=2**32 - 1)] = 0,
    rescale: Annotated[bool, Option("--rescale", help="Scale the sum to the length that single latents have.")] = False,
    raw: Raw = False,
    device: Device = None,
    reporter: Reporter = SILENT,
) -> Drawing:
    """Add and subtract faces.

    The sum is mean(--plus) - mean(--minus) + mean(--plus) ... The image shows the faces of each term above the face of
    their mean, the sum, and the sum among eight neighbours. As in the DCGAN paper, terms are means of about three faces
    that share a trait; three such terms make a sum as long as a single latent. Sums of other lengths give other faces,
    short ones pale and dull, long ones glaring: --rescale scales them to that length, which the paper does not do.
    SEEDS are seeds, ranges (0-7) and files of latents.
    """
    output.check_image_and_latents("arithmetic", out, save)
    load_torch()
    from ..seeds import save_latents

    recipe = _make_sum(plus or [], minus or [], noise=noise, seed=seed, rescale=rescale)
    checkpoint, where = output.open_model(model, device, reporter)
    generator = checkpoint.generator(raw=raw, device=where)
    for _, term in recipe.terms():
        term.warn_of_foreign(generator, reporter)
    z = recipe.z(generator)
    _warn_of_length(z, generator, reporter)
    if save is not None:
        Path(save).parent.mkdir(parents=True, exist_ok=True)
        save_latents(Path(save), z[None], generator, {"command": output.command_line(recipe)})
    if out is not None:
        output.draw(recipe, generator, out, reporter)
    files = [str(path) for path in (save, out) if path is not None]
    return Drawing(generator.origin, files, {"length": float(z.norm())}, files)


def _make_sum(plus: list[str], minus: list[str], *, noise: float, seed: int, rescale: bool) -> "Arithmetic":
    """Return the recipe that the flags describe; raises ConfigError, before any model is looked for."""
    from ..recipes import Arithmetic

    added = tuple(output.parse_points(text, "--plus") for text in plus)
    removed = tuple(output.parse_points(text, "--minus") for text in minus)
    return Arithmetic(plus=added, minus=removed, noise=noise, seed=seed, rescale=rescale)


def _warn_of_length(z: "Tensor", generator: "FaceGenerator", reporter: Reporter) -> None:
    from ..latents import typical_length

    ratio = float(z.norm()) / typical_length(generator.z_dim, generator.prior)
    if not 1 / MAX_LENGTH_RATIO < ratio < MAX_LENGTH_RATIO:
        how = "pale and dull" if ratio < 1 else "glaring"
        reporter.warning(
            f"the sum is {ratio:.2f} times as long as a single latent, and its face {how}; --rescale evens that out"
        )
