"""`facegan project`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import ConfigError, DataError, SnapshotError
from .options import Device, Json, find_snapshot, print_json

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor, nn

    from ..config import DataConfig
    from ..generators import FaceGenerator
    from ..projection import Projection, Reference, Settings


def project(
    photos: Annotated[list[Path], typer.Argument(help="Photos of a face each.")],
    model: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL", help="A snapshot file, a run's folder, or its name under runs/; by default the latest."
        ),
    ] = None,
    out: Annotated[
        str | None, typer.Option("-o", "--out", help="Each photo beside its face, .png, .jpg, .webp.")
    ] = None,
    save: Annotated[
        Path | None, typer.Option(help="The latents, .safetensors, to be given wherever seeds are.")
    ] = None,
    crop: Annotated[
        str | None, typer.Option(help="auto, none, center:N or box:X,Y,W,H; by default as the run cropped its data.")
    ] = None,
    data: Annotated[str | None, typer.Option(help="Faces to compare with; by default what the run held out.")] = None,
    judge: Annotated[
        bool, typer.Option("--judge/--no-judge", help="Compare the error with that of other faces.")
    ] = True,
    restarts: Annotated[int, typer.Option(min=1, max=256, help="Starts; the best one counts.")] = 4,
    steps: Annotated[int, typer.Option(min=1, max=100_000, help="Steps from each start.")] = 100,
    features: Annotated[float, typer.Option(min=0, help="Weight of D's features; 0: pixels alone.")] = 0.1,
    seed: Annotated[int, typer.Option(min=0, max=2**32 - 1, help="What the starts are drawn from.")] = 0,
    device: Device = None,
    as_json: Json = False,
) -> None:
    """Find the faces of a generator that are nearest to photos."""
    _check_places(out, save)
    snapshot = find_snapshot(model)
    import torch

    from ..points import save_latents
    from ..projection import Settings
    from ..projection import project as search
    from ..projection.photos import crop_of, data_of, read_photo
    from ..snapshots import load_generator
    from ..training.state import choose_device
    from .console import console, counting

    where = choose_device(device or "auto")
    generator = load_generator(snapshot, device=where)
    config = generator.info["config"]
    compared = data_of(snapshot, config, data)
    region = crop or crop_of(compared if data is None else data_of(snapshot, config, None))
    pictures = torch.stack([read_photo(path, config, region) for path in photos])
    settings = Settings(restarts=restarts, steps=steps, features=features, seed=seed)
    D = _discriminator(snapshot, where) if features else None
    with counting("projecting") as progress:
        found = search(generator, D, pictures, settings, progress)
    measure, against = (None, "not compared (--no-judge)")
    if judge:
        measure, against = _reference(generator, D, compared, settings, required=data is not None)
    lines = [_judged(each, measure) for each in found]
    if out is not None:
        from ..images import save as save_picture
        from .making import origin

        about = {**origin(generator), "Description": "photo beside a synthetic face", "seed": str(seed)}
        save_picture(Path(out), _sheet(pictures, found, lines), about)
    if save is not None:
        save.parent.mkdir(parents=True, exist_ok=True)
        save_latents(save, torch.stack([each.z for each in found]), generator)
    console().print(f"compared with: {against}", markup=False)
    if as_json:
        results = [_document(path, each, measure) for path, each in zip(photos, found, strict=True)]
        about_all = {"snapshot": str(snapshot), "digest": generator.info["digest"], "compared_with": against}
        print_json({**about_all, "features": D is not None, "results": results})
        return
    for path, line in zip(photos, lines, strict=True):
        print(f"{path}: {line}")
    for written in (out, save):
        if written is not None:
            print(written)


def _check_places(out: str | None, save: Path | None) -> None:
    if out is None and save is None:
        raise ConfigError("project: nowhere to write; give -o projected.png, or --save me.safetensors")
    if out is not None:
        from ..images import check_ending

        check_ending(Path(out))
    if save is not None and save.suffix != ".safetensors":
        raise ConfigError(f"--save {save}: latents are a .safetensors file; give that ending")


def _discriminator(snapshot: Path, device: Any) -> "nn.Module | None":
    from ..snapshots import load_discriminator
    from .console import console

    try:
        return load_discriminator(snapshot, device=device)
    except SnapshotError:  # G was loaded from the same file: what is missing is D
        console().print(f"{snapshot}: holds no discriminator; comparing pixels alone", markup=False)
        return None


def _reference(
    generator: "FaceGenerator", D: "nn.Module | None", data: "DataConfig", settings: "Settings", *, required: bool
) -> tuple["Reference | None", str]:
    """What the errors are held against, and what that is in words."""
    from ..projection import NUM_REFERENCES, reference
    from ..projection.photos import known_faces
    from .console import counting

    try:
        with counting("packing") as progress:
            faces = known_faces(data, generator.info["config"], progress)
    except (DataError, ConfigError) as error:
        if required:
            raise
        return None, f"nothing, so it cannot be judged ({error}); give --data SOURCE"
    with counting("projecting known faces:") as progress:
        measured = reference(generator, D, faces, settings, progress)
    number = min(NUM_REFERENCES, len(faces))
    if required:
        return measured, f"{number} faces of --data {data.source}"
    if data.split == "heldout":
        return measured, f"{number} faces that the run held out"
    return measured, f"{number} faces that the run was trained on, for it held none out; others come less near"


def _judged(found: "Projection", measure: "Reference | None") -> str:
    error = f"error {found.rms:.3f}"
    if measure is None:
        return f"{error}, not judged"
    verdict = "" if measure.knows(found.distance) else "; not a face this model knows"
    share = f"farther off than {measure.percentile(found.distance):.0f} % of {len(measure.rms)} faces"
    return f"{error} (median {measure.rms[len(measure.rms) // 2]:.3f}), {share}{verdict}"


def _document(path: Path, found: "Projection", measure: "Reference | None") -> dict[str, Any]:
    return {
        "photo": str(path),
        "rms": found.rms,
        "distance": found.distance,
        "percentile": measure.percentile(found.distance) if measure else None,
        "known": measure.knows(found.distance) if measure else None,
        "faces_compared": len(measure.rms) if measure else 0,
    }


def _sheet(pictures: "Tensor", found: "list[Projection]", lines: list[str]) -> "np.ndarray":
    """Each photo with its face to the right of it, and what is said of it above."""
    import torch

    from ..images import beside, grid, to_uint8

    pairs = [grid(to_uint8(torch.stack([photo, each.image])), 2) for photo, each in zip(pictures, found, strict=True)]
    return beside(pairs, [f"photo, and the nearest face: {line}" for line in lines])
