"""`facegan project`."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import ConfigError, DataError, SnapshotError
from .options import Device, Json, find_snapshot, print_json

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor, nn

    from ..config import DataConfig, RunConfig
    from ..data.packed.stored import PackedImages
    from ..generators import FaceGenerator
    from ..projection import Projection, Settings


@dataclass(frozen=True)
class Verdict:
    """What comparison says of a photo; None where it says nothing.

    Attributes:
        median: The median error of faces that the run has not seen.
        farther: The share of those, in percent, that come nearer than the photo.
        unlike: The share of those, in percent, that to D look more like the faces that it knows.
    """

    median: float | None = None
    farther: float | None = None
    unlike: float | None = None

    @property
    def known(self) -> bool | None:
        """Whether it is a face that the model knows."""
        from ..projection import UNKNOWN_ABOVE

        return None if self.unlike is None else self.unlike <= UNKNOWN_ABOVE


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
    from ..projection.photos import crop_of, read_photo
    from ..snapshots import load_generator
    from ..training.state import choose_device
    from .console import console
    from .counting import counting

    where = choose_device(device or "auto")
    generator = load_generator(snapshot, device=where)
    config = generator.info["config"]
    region = crop or crop_of(_own(snapshot, config) or config.data)
    pictures = torch.stack([read_photo(path, config, region) for path in photos])
    settings = Settings(restarts=restarts, steps=steps, features=features, seed=seed)
    D = _discriminator(snapshot, where) if features else None
    with counting("projecting") as progress:
        found = search(generator, D, pictures, settings, progress)
    verdicts, against = [Verdict()] * len(found), "not compared (--no-judge)"
    if judge:
        verdicts, against = _judge(generator, D, snapshot, data, settings, pictures, found)
    lines = [_in_words(each, verdict) for each, verdict in zip(found, verdicts, strict=True)]
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
        results = [_document(*each) for each in zip(photos, found, verdicts, strict=True)]
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


def _own(snapshot: Path, config: "RunConfig") -> "DataConfig | None":
    """The settings of the run's own pictures; None where nothing tells where they are."""
    from ..data.provenance import trained_on

    try:
        return trained_on(snapshot, config)
    except (DataError, ConfigError):
        return None


def _judge(
    generator: "FaceGenerator", D: "nn.Module | None", snapshot: Path, source: str | None, settings: "Settings",
    pictures: "Tensor", found: "list[Projection]",
) -> tuple[list[Verdict], str]:  # fmt: skip
    """Hold errors and pictures against faces that the run has not seen; and what those are, in words."""
    from ..data.provenance import held_out
    from ..projection import NUM_COMPARED, NUM_REFERENCES, reference
    from .counting import counting

    config = generator.info["config"]
    own = _own(snapshot, config)
    if own is None and source is None:
        return [Verdict()] * len(found), "nothing, as the run's pictures are not here; give --data SOURCE"
    other = held_out(own or config.data, NUM_COMPARED, source)
    try:
        known = _faces(own, config) if own is not None else None
    except DataError as error:
        if source is None:
            return [Verdict()] * len(found), f"nothing ({error}); give --data SOURCE"
        known = None
    unseen = _faces(other, config) if other is not None else None
    faces = unseen if unseen is not None else known
    assert faces is not None  # one of both was asked for
    with counting("projecting known faces:") as progress:
        errors = reference(generator, D, faces, settings, progress)
    percentiles = _familiarity(D, known, unseen, pictures) if D is not None else [None] * len(found)
    number = f"{min(NUM_REFERENCES, len(faces))} faces"
    verdicts = [
        Verdict(median=errors.rms[len(errors.rms) // 2], farther=errors.percentile(each.distance), unlike=unlike)
        for each, unlike in zip(found, percentiles, strict=True)
    ]
    if source is not None:
        return verdicts, f"{number} of --data {source}"
    if unseen is not None:
        return verdicts, f"{number} that the run has not seen"
    return verdicts, f"{number} that the run was trained on, for it held none out; others come less near"


def _faces(data: "DataConfig", config: "RunConfig") -> "PackedImages":
    """The packed pictures of some settings, at the model's size; raises DataError."""
    from ..data.packed.loading import load
    from .counting import counting

    with counting("packing") as progress:
        return load(data, resolution=config.resolution, channels=config.channels, progress=progress)


def _familiarity(
    D: "nn.Module", known: "PackedImages | None", unseen: "PackedImages | None", pictures: "Tensor"
) -> "list[float] | list[None]":
    """For each picture, the share of unseen faces that are more like the known ones, in percent; None: too few."""
    from ..projection import LEAST_COMPARED, Familiarity

    if known is None or unseen is None:  # one set for both: half of it is fitted, the other half compared
        both = known or unseen
        assert both is not None
        fitted, compared = both.images[::2], both.images[1::2]
    else:
        fitted, compared = known.images, unseen.images
    if len(compared) < LEAST_COMPARED:
        return [None] * len(pictures)
    return Familiarity(D, fitted, compared).percentiles(pictures)


def _in_words(found: "Projection", verdict: Verdict) -> str:
    error = f"error {found.rms:.3f}"
    if verdict.median is None:
        return f"{error}, not judged"
    told = f"{error} (median {verdict.median:.3f}; {verdict.farther:.0f} % of faces come nearer)"
    if verdict.unlike is None:
        return f"{told}; whether it is a face is not judged"
    known = "a face this model knows" if verdict.known else "not a face this model knows"
    return f"{told}; {known}: to D, {verdict.unlike:.0f} % of faces look more like its own"


def _document(path: Path, found: "Projection", verdict: Verdict) -> dict[str, Any]:
    return {
        "photo": str(path),
        "rms": found.rms,
        "distance": found.distance,
        "median_rms": verdict.median,
        "percentile": verdict.farther,
        "unlike_percentile": verdict.unlike,
        "known": verdict.known,
    }


def _sheet(pictures: "Tensor", found: "list[Projection]", lines: list[str]) -> "np.ndarray":
    """Each photo with its face to the right of it, and what is said of it above."""
    import torch

    from ..images import beside, grid, to_uint8

    pairs = [grid(to_uint8(torch.stack([photo, each.image])), 2) for photo, each in zip(pictures, found, strict=True)]
    return beside(pairs, [f"photo, and the nearest face: {line}" for line in lines])
