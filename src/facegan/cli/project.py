"""`facegan project`."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import ConfigError, DataError, PluginError, SnapshotError
from .making import STDOUT, check_still, check_tensors
from .options import Device, Json, find_snapshot, print_json

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor, nn

    from ..config import DataConfig, RunConfig
    from ..data.packed.packed_images import PackedImages
    from ..projection import Faces, Projection, Verdict


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
        bool, typer.Option("--judge/--no-judge", help="Say whether it is a face that the model knows.")
    ] = True,
    restarts: Annotated[int, typer.Option(min=1, max=256, help="Starts; the best one counts.")] = 4,
    steps: Annotated[int, typer.Option(min=1, max=100_000, help="Steps from each start.")] = 100,
    features: Annotated[float, typer.Option(min=0, help="Weight of D's features; 0: pixels alone.")] = 0.1,
    seed: Annotated[int, typer.Option(min=0, max=2**32 - 1, help="What the starts are drawn from.")] = 0,
    device: Device = None,
    as_json: Json = False,
) -> None:
    """Find the faces of a generator that are nearest to photos."""
    _check_flags(photos, out, save, data, judge)
    snapshot = find_snapshot(model)
    import torch

    from ..checkpoint import load_generator
    from ..devices import resolve_device
    from ..projection import Settings, Verdict
    from ..projection import judge as compare
    from ..projection import project as search
    from ..projection.photos import crop_of, read_photo
    from .console import console
    from .counting import counting

    where = resolve_device(device or "auto")
    generator = load_generator(snapshot, device=where)
    config = generator.origin.config
    own = _own(snapshot)
    region = crop or crop_of(own or config.data)
    pictures = torch.stack([read_photo(path, config, region) for path in photos])
    settings = Settings(restarts=restarts, steps=steps, features=features, seed=seed)
    D = _discriminator(snapshot, config, where) if features or judge else None
    faces, against = _faces(own, config, data) if judge else (None, "nothing (--no-judge)")
    with counting("trying faces:") as progress:
        found = search(generator, D, pictures, settings, progress)
    verdicts = [Verdict()] * len(found)
    if faces is not None:
        with counting("trying known faces, once for a snapshot (--no-judge goes without):") as progress:
            verdicts = compare(generator, D, faces, pictures, found, settings, progress)
    lines = [_in_words(each, verdict) for each, verdict in zip(found, verdicts, strict=True)]
    if out is not None:
        from ..images import save as save_image
        from .making import origin

        about = {**origin(generator), "Description": "photo beside a synthetic face", "seed": str(seed)}
        save_image(Path(out), _sheet(pictures, found, lines), about)
    if save is not None:
        from ..seeds import save_latents

        save.parent.mkdir(parents=True, exist_ok=True)
        save_latents(save, torch.stack([each.z for each in found]), generator)
    console().print(f"compared with: {against}", markup=False)
    if as_json:
        results = [_document(*each) for each in zip(photos, found, verdicts, strict=True)]
        about_all = {"snapshot": str(snapshot), "digest": generator.origin.digest, "compared_with": against}
        print_json({**about_all, "features": D is not None and features > 0, "results": results})
        return
    for path, line in zip(photos, lines, strict=True):
        print(f"{path}: {line}")
    for written in (out, save):
        if written is not None:
            print(written)


def _check_flags(photos: list[Path], out: str | None, save: Path | None, data: str | None, judge: bool) -> None:
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
    if data is not None and not judge:
        raise ConfigError(f"--data {data}: is for the comparison, of which --no-judge wants none; give one of them")


def _own(snapshot: Path) -> "DataConfig | None":
    """The settings of the run's own images; None where nothing tells where they are."""
    from ..checkpoint import Checkpoint
    from ..data.image_set import training_settings

    try:
        return training_settings(Checkpoint.open(snapshot))
    except DataError:
        return None


def _discriminator(snapshot: Path, config: "RunConfig", device: Any) -> "nn.Module | None":
    """The run's D; None, said on stderr, where there is none whose features are known."""
    import torch

    from ..checkpoint import load_discriminator
    from ..features import activations
    from .console import console

    try:
        D = load_discriminator(snapshot, device=device)
        activations(D, torch.zeros(1, config.channels, config.resolution, config.resolution, device=device))
    except (SnapshotError, PluginError) as error:  # G was loaded from the same file: what is missing is D
        console().print(f"{error}; comparing pixels alone", markup=False)
        return None
    return D


def _faces(own: "DataConfig | None", config: "RunConfig", source: str | None) -> tuple["Faces | None", str]:
    """What photos are held against, None for nothing, and that in words; raises DataError of `source` alone."""
    from ..data.image_set import held_out_settings
    from ..projection import NUM_COMPARED, Faces

    if own is None and source is None:
        return None, "nothing, as the run's images are not here; give --data SOURCE"
    other = held_out_settings(own or config.data, NUM_COMPARED, source)
    unseen = _load(other, config) if source is not None else None
    known = None
    try:
        known = _load(own, config)
        unseen = unseen or _load(other, config)
    except DataError as error:
        if source is None:
            return None, f"nothing ({error}); give --data SOURCE"
    faces = Faces(known, unseen)
    return faces, _described(faces, source)


def _load(data: "DataConfig | None", config: "RunConfig") -> "PackedImages | None":
    """The packed images of some settings, at the model's size; raises DataError."""
    from ..data.packed.load import load
    from .counting import counting

    if data is None:
        return None
    with counting("packing") as progress:
        return load(data, resolution=config.resolution, channels=config.channels, progress=progress)


def _described(faces: "Faces", source: str | None) -> str:
    from ..projection import LEAST_COMPARED, NUM_COMPARED, NUM_REFERENCES

    kind = "that the run has not seen"
    if source is not None:
        kind = f"of --data {source}"
        if faces.known is None:
            kind += ", and as many more in place of the run's own, which are not here"
    elif faces.unseen is None:
        kind = "that the run was trained on, for it held none out; others come less near"
    few = "" if faces.enough else f"; it takes {LEAST_COMPARED} to judge whether it is a face"
    errors = min(NUM_REFERENCES, len(faces.projected))
    return f"{min(NUM_COMPARED, len(faces.compared)):,} faces {kind} (errors: {errors} of them){few}"


def _in_words(found: "Projection", verdict: "Verdict") -> str:
    error = f"error {found.rms:.3f}"
    if verdict.median_rms is None:
        return f"{error}, not judged"
    told = f"{error} (median {verdict.median_rms:.3f}; {verdict.percentile:.0f} % of faces come nearer)"
    if verdict.known is None:
        return f"{told}; whether it is a face is not judged"
    known = "a face this model knows" if verdict.known else "not a face this model knows"
    return f"{told}; {known}: to D, {verdict.unlike_percentile:.1f} % of faces look more like its own"


def _document(path: Path, found: "Projection", verdict: "Verdict") -> dict[str, Any]:
    measured = {"rms": found.rms, "distance": found.distance}
    return {"photo": str(path), **measured, **asdict(verdict), "known": verdict.known}


def _sheet(pictures: "Tensor", found: "list[Projection]", lines: list[str]) -> "np.ndarray":
    """Each photo with its face to the right of it, and what is said of it above."""
    import torch

    from ..images import grid, side_by_side, to_uint8

    pairs = [grid(to_uint8(torch.stack([photo, each.image])), 2) for photo, each in zip(pictures, found, strict=True)]
    return side_by_side(pairs, [f"photo, and the nearest face: {line}" for line in lines])
