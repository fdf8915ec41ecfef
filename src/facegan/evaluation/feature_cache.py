"""A cache of real images' embeddings, by content: they are embedded once for all evaluations.

An entry's key holds everything that its numbers depend on: the digest of the real images' pixels, the rows in their
order, the extractor's weights, version and resize, and the kind of device and the version of torch, which round sums in
ways of their own (convolutions in TF32 on a GPU coarsely). So a cached embedding is the one that would have been
computed. Another number of evaluated images divides the reals otherwise, and makes entries of its own.
"""

import hashlib
import json
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

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
    """Embed rows of real images, or take their embedding from the cache.

    The vectors of an extractor that is not lasting are not cached. An embedding that cannot be written is reported.
    """
    if not extractor.lasting:
        return embed(extractor, images.images, rows, progress=progress)
    content = {
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
    }
    key = json.dumps(content, sort_keys=True)
    name = f"{extractor.key}-{hashed_key(key)}.safetensors"
    if (cached := REFERENCES.read(name, lambda path: _load(path, key))) is not None:
        return cached
    found = embed(extractor, images.images, rows, progress=progress)
    try:
        REFERENCES.write(name, lambda path: _save(found, path, key))
    except OSError as error:
        reason = error.strerror or error
        reporter.warning(f"{REFERENCES.path}: features of the real images cannot be stored there ({reason})")
    return found


def _save(embedding: Embedding, path: Path, key: str) -> None:
    moments = embedding.moments
    arrays = {"features": embedding.features, "mean": moments.mean, "scatter": np.ascontiguousarray(moments.scatter)}
    if embedding.logits is not None:
        arrays["logits"] = embedding.logits
    tensors = {"num": torch.tensor(moments.num), **{name: torch.from_numpy(each) for name, each in arrays.items()}}
    write_tensors(path, "reference", tensors, {"step": "0", "key": key})


def _load(path: Path, key: str) -> Embedding:
    if open_tensors(path, "reference").metadata.get("key") != key:
        raise SnapshotError(f"{path}: holds the features of other images")
    arrays = {name: tensor.numpy() for name, tensor in read_tensors(path).items()}
    moments = Moments(int(arrays["num"]), arrays["mean"], arrays["scatter"])
    return Embedding(arrays["features"], moments, arrays.get("logits"))
