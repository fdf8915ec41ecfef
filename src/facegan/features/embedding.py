"""What an extractor says of many pictures, in constant memory."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from ..distances.moments import Moments
from .extractor import Extractor

KEPT = 20_000  # vectors of one set that stay in memory; of more pictures only the moments are kept
GROUPS = 10  # equal parts of a set whose moments stay apart, for intervals

Progress = Callable[[int, int], None]  # (pictures looked at, of how many)


@dataclass(frozen=True, eq=False)
class Embedding:
    """The vectors of n pictures.

    Attributes:
        features: float32 (min(n, KEPT), d): those of the first pictures.
        groups: Moments of GROUPS consecutive parts of all n, as equal as can be (fewer for fewer pictures).
        logits: float32 (min(n, KEPT), classes), or None for a network that is no classifier.
    """

    features: NDArray[np.float32]
    groups: Sequence[Moments]
    logits: NDArray[np.float32] | None = None

    @property
    def moments(self) -> Moments:
        """Of all n."""
        return sum(self.groups[1:], start=self.groups[0])


def embed(
    extractor: Extractor,
    pictures: NDArray[np.uint8],
    rows: NDArray[np.int64],
    *,
    batch_size: int = 64,
    progress: Progress | None = None,
) -> Embedding:
    """Look at the given rows of pictures, in their order.

    Args:
        extractor: The network.
        pictures: uint8 (N, C, H, W), may be memory-mapped.
        rows: (n,) which of them, one at least.
        batch_size: Pictures at a time.
        progress: Called with (pictures looked at, of how many).
    """
    groups = [Moments.empty(extractor.num_features) for _ in range(min(GROUPS, len(rows)))]
    bounds = [len(rows) * number // len(groups) for number in range(len(groups) + 1)]
    features: list[NDArray[np.float32]] = []
    logits: list[NDArray[np.float32]] = []
    done = 0
    for number, group in enumerate(groups):
        for start in range(bounds[number], bounds[number + 1], batch_size):
            chosen = rows[start : min(start + batch_size, bounds[number + 1])]
            batch = torch.from_numpy(pictures[np.sort(chosen)][np.argsort(np.argsort(chosen))])
            with torch.no_grad():
                seen, classes = extractor.see(batch.to(extractor.device))
            vectors = seen.float().cpu().numpy()
            group.add(vectors)
            if done < KEPT:
                features.append(vectors[: KEPT - done])
                if classes is not None:
                    logits.append(classes.float().cpu().numpy()[: KEPT - done])
            done += len(chosen)
            if progress:
                progress(done, len(rows))
    return Embedding(np.concatenate(features), groups, np.concatenate(logits) if logits else None)
