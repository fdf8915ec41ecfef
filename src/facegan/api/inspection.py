"""Where a generator's faces come from: photos in its latent space, and the training images nearest to its samples."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, Option

from ..errors import ConfigError
from ..reporter import SILENT, Reporter
from . import output
from .options import Device, Model, PathLike

if TYPE_CHECKING:
    from ..neighbours import FoundNeighbours
    from ..projection import PhotoProjections

ModelOption = Annotated[
    PathLike | None,
    Option(metavar="MODEL", help="A snapshot file, a run's folder, or its name under runs/; default: the latest."),
]
Save = Annotated[PathLike | None, Option(help="A .safetensors file for the latents; every SEEDS option takes it.")]
Crop = Annotated[
    str | None, Option(help="auto, none, center:N or box:X,Y,W,H; by default as the run cropped its data.")
]
Judge = Annotated[bool, Option("--judge/--no-judge", help="Decide whether a photo shows a face that the model knows.")]


@dataclass(frozen=True, eq=False)
class ProjectedPhotos:
    """Photos, their nearest faces, and the files that were written."""

    photos: list[Path]
    found: "PhotoProjections"
    files: list[Path]

    @property
    def lines(self) -> list[str]:
        """Return a line for each photo, then the files."""
        pairs = zip(self.photos, self.found.projections, strict=True)
        return [*(f"{path}: {each.summary()}" for path, each in pairs), *map(str, self.files)]

    def document(self) -> dict[str, Any]:
        """Return all numbers, for JSON."""
        return {"snapshot": str(self.found.generator.origin.path), **self.found.document(self.photos)}


def project(
    photos: Annotated[list[PathLike], Argument(help="Photos of one face each.")],
    model: ModelOption = None,
    out: Annotated[str | None, Option("-o", "--out", help="Each photo next to its face, .png, .jpg or .webp.")] = None,
    *,
    save: Save = None,
    crop: Crop = None,
    data: Annotated[str | None, Option(help="Faces to compare with; by default those that the run held out.")] = None,
    judge: Judge = True,
    restarts: Annotated[int, Option(min=1, max=256, help="Starts; the best one counts.")] = 4,
    steps: Annotated[int, Option(min=1, max=100_000, help="Steps from each start.")] = 100,
    features: Annotated[float, Option(min=0, help="Weight of D's features; 0: pixels alone.")] = 0.1,
    seed: Annotated[int, Option(min=0, max=2**32 - 1, help="Seed of the random starts.")] = 0,
    device: Device = None,
    reporter: Reporter = SILENT,
) -> ProjectedPhotos:
    """Find the faces of a generator that are nearest to photos.

    The error is the root mean square of the differences between pixels. Photos are compared with faces that the model
    has not seen, and by what the discriminator sees, to decide whether they are faces that the model knows.
    """
    output.check_image_and_latents("project", out, save)
    paths = [Path(photo) for photo in photos]
    if out is not None and (out == output.STDOUT or Path(out).resolve() in [path.resolve() for path in paths]):
        raise ConfigError(f"-o {out}: cannot be stdout or one of the photos; give -o projected.png")
    if data is not None and not judge:
        raise ConfigError(f"--data {data}: is for the comparison, which --no-judge skips; give one of them")

    from ..images import save as save_image
    from ..projection import SearchSettings, project_photos, read_photos
    from ..seeds import save_latents

    checkpoint, where = output.open_model(model, device, reporter)
    settings = SearchSettings(restarts=restarts, steps=steps, features=features, seed=seed)
    read = read_photos(paths, checkpoint, crop)
    found = project_photos(checkpoint, read, settings, compare_with=data or judge, device=where, reporter=reporter)
    reporter.info(f"compared with: {found.compared_with}")
    if out is not None:
        about = {"Description": "photo next to a synthetic face", "seed": str(seed)}
        save_image(Path(out), found.sheet(), output.provenance(found.generator) | about)
    if save is not None:
        Path(save).parent.mkdir(parents=True, exist_ok=True)
        save_latents(Path(save), found.z, found.generator)
    return ProjectedPhotos(paths, found, [Path(path) for path in (out, save) if path is not None])


Out = Annotated[PathLike, Option("-o", "--out", help="The image; the ending chooses the format.")]
Num = Annotated[
    int,
    Option(
        "-n",
        "--num",
        min=0,
        max=50_000,
        help="Samples that are measured, the seeds 0 to N-1, and at most as many held-out images; 0: no measure.",
    ),
]
Data = Annotated[str | None, Option(metavar="SOURCE", help="Where the training images are, if they moved.")]
HeldOut = Annotated[
    str | None,
    Option(
        metavar="SOURCE",
        help="Images that were not trained on; by default those that data.split = train held out, and for drawn "
        "faces other ones.",
    ),
]


def neighbours(
    model: Model = None,
    *,
    seeds: Annotated[str, Option(help="Samples that are shown: seeds, or files of latents.")] = "0-15",
    out: Out = "neighbours.png",
    nearest: Annotated[int, Option(min=1, max=32, metavar="K", help="Training images next to each sample.")] = 3,
    num: Num = 2000,
    data: Data = None,
    held_out: HeldOut = None,
    device: Device = None,
    reporter: Reporter = SILENT,
) -> "FoundNeighbours":
    """Show samples next to the nearest training images.

    Does the model memorise? The image has a row for each sample, with the training images that are nearest in pixels,
    and nearest in the features of the discriminator. The measure compares the distances of samples to training images
    with those of images that were not trained on. The image contains training images: their licence applies to it.
    """
    from ..images import check_ending, save

    check_ending(Path(out))
    points = output.parse_points(seeds)

    from ..neighbours import NeighbourSettings, find_neighbours

    settings = NeighbourSettings(k=nearest, num=num, source=data, held_out=held_out)
    checkpoint, where = output.open_model(model, device, reporter)
    found = find_neighbours(checkpoint, points, settings, device=where, reporter=reporter)
    about = output.provenance(found.generator) | {"seeds": points.text}
    about["Description"] = "synthetic faces next to their nearest training images: contains training images"
    save(Path(out), found.sheet(), about)
    return found
