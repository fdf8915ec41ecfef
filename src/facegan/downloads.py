"""Named datasets: what they are, where copies of them lie on this machine, and the caches' folder. No torch here."""

import json
import os
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from .errors import DataError
from .run import write_atomic


@dataclass(frozen=True)
class Dataset:
    """A dataset that others publish: how many pictures it holds, how to crop them, what its owners allow."""

    title: str
    num_images: int
    crop: str
    licence: str
    by_hand: str


KNOWN = {
    "celeba": Dataset(
        title="CelebA, aligned and cropped (Liu et al. 2015)",
        num_images=202_599,
        crop="center:178",
        licence="non-commercial research only; no redistribution of any portion",
        by_hand="img_align_celeba.zip from the CelebA project page (or a folder of its pictures)",
    ),
    "lfw": Dataset(
        title="Labeled Faces in the Wild, deep-funneled (Huang et al. 2012)",
        num_images=13_233,
        crop="center:128",
        licence="for research; no formal licence was published",
        by_hand="lfw-deepfunneled.tgz or lfw-funneled.tgz",
    ),
    "ffhq-thumbnails": Dataset(
        title="FFHQ thumbnails, 128x128 (Karras et al. 2019)",
        num_images=70_000,
        crop="none",
        licence="CC BY-NC-SA 4.0",
        by_hand="the folder thumbnails128x128 of the FFHQ release",
    ),
}


def cache_root() -> Path:
    """Where packed pictures and registered datasets are kept: `$FACEGAN_CACHE`, else the user's cache folder."""
    return Path(os.environ.get("FACEGAN_CACHE") or platformdirs.user_cache_dir("facegan", appauthor=False))


def register(name: str, path: Path) -> None:
    """Remember that a copy of the dataset `name` lies at `path`; nothing is copied.

    Raises:
        DataError: There is nothing at `path`.
    """
    if not path.exists():
        raise DataError(f"{path}: no such file or folder; give the copy of {name} that you have")
    record = cache_root() / "datasets" / f"{name}.json"
    record.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(record, json.dumps({"path": str(path.resolve())}).encode())


def locate(name: str) -> Path | None:
    """Where the dataset `name` lies on this machine, or None.

    Raises:
        DataError: It was registered and has gone since.
    """
    record = cache_root() / "datasets" / f"{name}.json"
    if not record.exists():
        return None
    path = Path(json.loads(record.read_text(encoding="utf-8"))["path"])
    if not path.exists():
        raise DataError(f"{name}: registered at {path}, which is gone; run 'facegan download {name} --from' anew")
    return path
