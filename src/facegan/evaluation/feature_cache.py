"""What extractors say of real images, kept on the disk by content: these are looked at once, whatever is judged.

An entry is asked for by all that its numbers depend on: the digest of the real images' pixels, the very rows in their
order, the extractor's weights, version and resize, and the kind of device and the version of torch, which round sums in
ways of their own (convolutions in TF32 on a GPU coarsely). So what comes from the disk is what would have been
computed. Another number of judged images divides the reals otherwise, and makes entries of its own.
"""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from ..distances.moments import Moments
from ..errors import SnapshotError
from ..features import KEPT, SCORED, Embedding, Extractor, embed
from ..storage.cache import REFERENCES, hashed_key
from ..storage.safetensors_file import open_tensors, read_tensors, write_tensors
from .subjects import Reference, Rows

LAYOUT = 2  # raised when an entry's tensors change their meaning

Progress = Callable[[int, int], None]
Say = Callable[[str], None]


def embedded(
    extractor: Extractor,
    reference: Reference,
    rows: Rows,
    *,
    progress: Callable[[], Progress | None] = lambda: None,
    say: Say | None = None,
) -> Embedding:
    """What an extractor says of real images, from the cache when it was asked before.

    Args:
        extractor: The network; one that is not lasting is asked anew each time.
        reference: The reals, whose digest must be known for anything to be kept.
        rows: Which of them.
        progress: Called when the images must be looked at, for what is to be told of it.
        say: Called with one line when what was computed cannot be kept.

    Raises:
        FaceganError: As `embed`.
    """
    if not (extractor.lasting and reference.known.digest):
        return embed(extractor, reference.pictures, rows, progress=progress())
    key = _key(extractor, reference, rows)
    name = f"{extractor.key}-{hashed_key(key)}.safetensors"
    if (cached := REFERENCES.read(name, lambda path: _load(path, key))) is not None:
        return cached
    found = embed(extractor, reference.pictures, rows, progress=progress())
    try:
        REFERENCES.write(
            name, lambda path: write_tensors(path, "reference", _tensors(found), {"step": "0", "key": key})
        )
    except OSError as error:
        if say:
            say(f"{REFERENCES.path}: features of the real images cannot be kept there ({error.strerror or error})")
    return found


def _key(extractor: Extractor, reference: Reference, rows: Rows) -> str:
    """All that an embedding depends on, as JSON."""
    return json.dumps(
        {
            "layout": LAYOUT,
            "pixels": reference.known.digest,
            "shape": list(reference.pictures.shape),
            "rows": hashlib.sha256(rows.astype("<i8").tobytes()).hexdigest(),
            "kept": [KEPT, SCORED],
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
