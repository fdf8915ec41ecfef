"""`facegan project`."""

from pathlib import Path
from typing import Annotated

import typer

from ..errors import ConfigError
from .making import STDOUT, check_still, check_tensors
from .options import Device, Json, find_snapshot, print_json


def project(
    photos: Annotated[list[Path], typer.Argument(help="Photos, each of a face.")],
    model: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL", help="A snapshot file, a run's folder, or its name under runs/; by default the latest."
        ),
    ] = None,
    out: Annotated[
        str | None, typer.Option("-o", "--out", help="Each photo next to its face, .png, .jpg, .webp.")
    ] = None,
    save: Annotated[
        Path | None, typer.Option(help="The latents, .safetensors, to be given wherever seeds are.")
    ] = None,
    crop: Annotated[
        str | None, typer.Option(help="auto, none, center:N or box:X,Y,W,H; by default as the run cropped its data.")
    ] = None,
    data: Annotated[str | None, typer.Option(help="Faces to compare with; by default what the run held out.")] = None,
    judge: Annotated[
        bool, typer.Option("--judge/--no-judge", help="Say whether it is a face that the model knows.")
    ] = True,
    restarts: Annotated[int, typer.Option(min=1, max=256, help="Starts; the best one counts.")] = 4,
    steps: Annotated[int, typer.Option(min=1, max=100_000, help="Steps from each start.")] = 100,
    features: Annotated[float, typer.Option(min=0, help="Weight of D's features; 0: pixels alone.")] = 0.1,
    seed: Annotated[int, typer.Option(min=0, max=2**32 - 1, help="Seed of the random starts.")] = 0,
    device: Device = None,
    as_json: Json = False,
) -> None:
    """Find the faces of a generator that are nearest to photos."""
    _check_output(photos, out, save)
    if data is not None and not judge:
        raise ConfigError(f"--data {data}: is for the comparison, which --no-judge skips; give one of them")
    snapshot = find_snapshot(model)

    from ..checkpoint import Checkpoint
    from ..devices import resolve_device
    from ..projection import SearchSettings, project_photos, read_photos
    from .console import console
    from .counting import reporting

    checkpoint = Checkpoint.open(snapshot)
    settings = SearchSettings(restarts=restarts, steps=steps, features=features, seed=seed)
    images = read_photos(photos, checkpoint, crop)
    with reporting() as reporter:
        found = project_photos(
            checkpoint,
            images,
            settings,
            compare_with=data or judge,
            device=resolve_device(device or "auto"),
            reporter=reporter,
        )
    if out is not None:
        from ..images import save as save_image
        from .making import origin

        about = {**origin(found.generator), "Description": "photo next to a synthetic face", "seed": str(seed)}
        save_image(Path(out), found.sheet(), about)
    if save is not None:
        from ..seeds import save_latents

        save.parent.mkdir(parents=True, exist_ok=True)
        save_latents(save, found.z, found.generator)
    console().print(f"compared with: {found.compared_with}", markup=False)
    if as_json:
        print_json({"snapshot": str(snapshot), **found.document(photos)})
        return
    for path, each in zip(photos, found.projections, strict=True):
        print(f"{path}: {each.summary()}")
    for written in (out, save):
        if written is not None:
            print(written)


def _check_output(photos: list[Path], out: str | None, save: Path | None) -> None:
    if out is None and save is None:
        raise ConfigError("project: nowhere to write; give -o projected.png, or --save me.safetensors")
    if out is not None:
        check_still(out)
        if out == STDOUT:
            raise ConfigError("-o -: an image of a photo goes to a file; give -o projected.png")
        for photo in photos:
            if Path(out).exists() and photo.exists() and Path(out).samefile(photo):
                raise ConfigError(f"-o {out}: is the photo itself; give another name")
    if save is not None:
        check_tensors(save, "--save", "latents")
