"""Photos: read as a model was shown its images, projected, and compared with faces."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..checkpoint import Checkpoint
from ..config import RunConfig
from ..data.image.crop import Crop, parse_crop
from ..data.image.resize import Preprocessing, to_square
from ..data.image_set import training_settings
from ..data.open import open_source
from ..errors import DataError, FaceganError
from ..features.discriminator import discriminator_with_features
from ..generator import FaceGenerator
from ..images import grid, to_float, to_uint8
from ..images.decode import quiet_pillow, too_large
from ..images.layouts import side_by_side
from ..reporter import SILENT, Reporter
from .comparison import compare_projections, face_errors, load_comparison_faces
from .search import Projection, SearchSettings, project_images


@dataclass(frozen=True, eq=False)
class PhotoProjections:
    """The projections of photos."""

    generator: FaceGenerator  # whose latents were found
    photos: Tensor  # float32 (N, C, H, W) in [-1, 1]
    projections: list[Projection]  # one per photo
    uses_features: bool  # whether D's features were compared next to the pixels
    compared_with: str  # the faces that photos and errors were compared with, in words

    @property
    def z(self) -> Tensor:
        """The latents found: float32 (N, z_dim)."""
        return torch.stack([each.z for each in self.projections])

    def sheet(self) -> NDArray[np.uint8]:
        """Return each photo next to the image of its latent, with the measures above: uint8 (H, W, 3)."""
        pairs = [
            grid(to_uint8(torch.stack([photo, each.image])), 2)
            for photo, each in zip(self.photos, self.projections, strict=True)
        ]
        return side_by_side(pairs, [f"photo, and the nearest face: {each.summary()}" for each in self.projections])

    def document(self, paths: Sequence[Path]) -> dict[str, Any]:
        """Return the measures for JSON; `paths` are those of the photos."""
        measures = ("rms", "distance", "median_rms", "percentile", "unlike_percentile", "known")
        results = [
            {"photo": str(path), **{key: getattr(each, key) for key in measures}}
            for path, each in zip(paths, self.projections, strict=True)
        ]
        about = {"digest": self.generator.origin.digest, "compared_with": self.compared_with}
        return {**about, "features": self.uses_features, "results": results}


def project_photos(
    checkpoint: Checkpoint,
    photos: Tensor,
    settings: SearchSettings | None = None,
    *,
    compare_with: str | bool = True,
    device: str | torch.device = "cpu",
    reporter: Reporter = SILENT,
) -> PhotoProjections:
    """Find the latents of a model whose images are nearest to photos, and compare them with faces.

    Args:
        checkpoint: The snapshot.
        photos: As `read_photos` returns them.
        settings: How to search.
        compare_with: A source of faces; True: faces that the run has not seen; False: nothing.
        device: Where G and D run.
        reporter: Receives the progress, and why D is not used.
    """
    settings = settings or SearchSettings()
    generator = checkpoint.generator(device=device)
    D = None
    if settings.features or compare_with:
        D = discriminator_with_features(checkpoint, device=device, reporter=reporter)
    faces, compared_with = None, "nothing (--no-judge)"
    if compare_with:
        source = compare_with if isinstance(compare_with, str) else None
        faces, compared_with = load_comparison_faces(checkpoint, source, reporter=reporter)
    projections = project_images(generator, D, photos, settings, task="projecting photos", reporter=reporter)
    if faces is not None:
        errors = face_errors(generator, D, faces.projected, settings, reporter=reporter)
        projections = compare_projections(projections, photos, faces, errors, D)
    return PhotoProjections(generator, photos, projections, D is not None and settings.features > 0, compared_with)


def read_photos(paths: Sequence[Path], checkpoint: Checkpoint, crop: str | None = None) -> Tensor:
    """Read photos as the model was shown its images: float32 (N, C, H, W) in [-1, 1].

    They may have any format that training reads. `crop` is auto (the largest centre square), none, center:N or
    box:X,Y,W,H; None: as the run cropped its data.

    Raises:
        DataError: A photo is missing, damaged, too large, or too small for the crop.
        ConfigError: The crop is invalid.
    """
    region = parse_crop(crop or _training_crop(checkpoint))
    return torch.stack([_read_photo(path, checkpoint.config, region) for path in paths])


def _read_photo(path: Path, config: RunConfig, crop: Crop) -> Tensor:
    side, channels = config.resolution, config.channels
    if path.exists() and not (path.is_file() or path.is_dir()):  # reading a pipe would block
        raise DataError(f"{path}: no regular file")
    try:
        if refusal := too_large(path.stat().st_size):
            raise refusal
        with quiet_pillow():
            image = to_square(path.read_bytes(), Preprocessing(crop, side, channels, config.data.filter))
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from None
    except DataError as error:
        hint = "; give another --crop, for instance auto" if " crop " in str(error) else ""
        raise DataError(f"{path}: {error}{hint}") from None
    return to_float(torch.from_numpy(np.array(image)).reshape(side, side, channels).permute(2, 0, 1))


def _training_crop(checkpoint: Checkpoint) -> str:
    """Return the crop of the training images; the centre square where only the missing data could tell."""
    crop = checkpoint.config.data.crop
    if crop == "auto":
        with suppress(FaceganError):
            return open_source(training_settings(checkpoint)).crop
    return crop
