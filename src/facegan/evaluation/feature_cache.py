"""A cache of real images' embeddings, by content: these images are embedded once, whatever is judged.

An entry's key holds everything that its numbers depend on: the digest of the real images' pixels, the rows in their
order, the extractor's weights, version and resize, and the kind of device and the version of torch, which round sums in
ways of their own (convolutions in TF32 on a GPU coarsely). So a cached embedding is the one that would have been
computed. Another number of judged images divides the reals otherwise, and makes entries of its own.
"""

import hashlib
import json
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..data.image_set import ImageSet
from ..errors import SnapshotError
from ..features import MAX_FEATURES, MAX_LOGITS, Embedding, Extractor, Moments, embed
from ..reporter import SILENT, Progress, Reporter
from ..storage.cache import REFERENCES, hashed_key
from ..storage.safetensors_file import open_tensors, read_tensors, write_tensors

LAYOUT = 2  # raised when an entry's tensors change their meaning


def cached_embedding(
    extractor: Extractor,
    images: ImageSet,
    rows: NDArray[np.int64],
    *,
    progress: Progress = lambda *_: None,
    reporter: Reporter = SILENT,
) -> Embedding:
    """Embed real images, or take their embedding from the cache.

    Args:
        extractor: The network; the vectors of one that is not lasting are not cached.
        images: The real images.
        rows: Which of them.
        progress: Called with (images embedded, of how many); not at all when the embedding is in the cache.
        reporter: Receives a warning when the embedding cannot be cached.

    Raises:
        FaceganError: As `embed`.
    """
    if not extractor.lasting:
        return embed(extractor, images.images, rows, progress=progress)
    key = _key(extractor, images, rows)
    name = f"{extractor.key}-{hashed_key(key)}.safetensors"
    if (cached := REFERENCES.read(name, lambda path: _load(path, key))) is not None:
        return cached
    found = embed(extractor, images.images, rows, progress=progress)
    metadata = {"step": "0", "key": key}
    try:
        REFERENCES.write(name, lambda path: write_tensors(path, "reference", _tensors(found), metadata))
    except OSError as error:
        reason = error.strerror or error
        reporter.warning(f"{REFERENCES.path}: features of the real images cannot be stored there ({reason})")
    return found


def _key(extractor: Extractor, images: ImageSet, rows: NDArray[np.int64]) -> str:
    """Everything that an embedding depends on, as JSON."""
    return json.dumps(
        {
            "layout": LAYOUT,
            "pixels": images.digest,
            "shape": list(images.images.shape),
            "rows": hashlib.sha256(rows.astype("<i8").tobytes()).hexdigest(),
            "kept": [MAX_FEATURES, MAX_LOGITS],
            "extractor": extractor.digest,
            "version": extractor.version,
            "resize": extractor.resize,
            "num_features": extractor.num_features,
            "device": torch.device(extractor.device).type,
            "torch": torch.__version__,
        },
        sort_keys=True,
    )


def _tensors(embedding: Embedding) -> dict[str, Tensor]:
    moments = embedding.moments
    tensors = {
        "features": torch.from_numpy(embedding.features),
        "num": torch.tensor(moments.num),
        "mean": torch.from_numpy(moments.mean),
        "scatter": torch.tensor(moments.scatter),
    }
    if embedding.logits is not None:
        tensors["logits"] = torch.from_numpy(embedding.logits)
    return tensors


def _load(path: Path, key: str) -> Embedding:
    if open_tensors(path, "reference").metadata.get("key") != key:
        raise SnapshotError(f"{path}: holds the features of other images")
    tensors = read_tensors(path)
    moments = Moments(int(tensors["num"]), tensors["mean"].numpy(), tensors["scatter"].numpy())
    logits = tensors.get("logits")
    return Embedding(tensors["features"].numpy(), moments, None if logits is None else logits.numpy())
