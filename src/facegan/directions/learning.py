"""Training the classifier of attributes on a run's own images, once for each set of them."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import TypeAdapter
from torch import Tensor, nn

from ..data.split import is_held_out, owners
from ..errors import DataError
from ..images import to_float
from ..storage.cache import CLASSIFIERS
from ..storage.safetensors_file import open_tensors, read_tensors, write_tensors
from .classifier import Classifier, Score, build, judge
from .targets import FEWEST, Targets, questions

RECIPE = 1  # raised when the same images and attributes would give another classifier
BATCH = 128
SHOWN = 64_000  # images, however large the set: about a minute on one core at 32x32, two at 64x64
MOST_EPOCHS = 40  # of a small set
LEARNING_RATE = 2e-3
NOISE = 0.04  # standard deviation of what is added to each value, in [-1, 1]
JITTER = 0.1  # how far brightness and contrast are moved, at most

_SCORES: TypeAdapter[list[Score]] = TypeAdapter(list[Score])
Progress = Callable[[int, int], None]  # (images shown, of how many)


class Described(Protocol):
    """Pictures of which something is known; packed images are such."""

    @property
    def images(self) -> NDArray[np.uint8]:
        """uint8 (N, C, H, W), of a side that is a power of two, 8 or more."""

    @property
    def attributes(self) -> Mapping[str, Sequence[Any]]:
        """One column each, aligned with the images."""

    @property
    def names(self) -> Sequence[str]:
        """Of the images: who share a folder are one person."""

    @property
    def digest(self) -> str:
        """SHA-256 of the pixels, in hex."""


def learn(
    pictures: Described, *, device: str | torch.device = "cpu", progress: Progress | None = None
) -> tuple[Classifier, Targets, bool]:
    """The classifier of the attributes of images, from the cache when these were learned before.

    It is trained on four fifths of the images and judged on the rest; people, the images' folders or what the
    attribute `identity` calls them, are not divided between the two. It depends on the images, their attributes and
    the recipe alone: the seed is always the same.

    Args:
        pictures: The images, and what is known of them.
        device: Where it is trained and used.
        progress: Called while it is trained; not at all when it is not.

    Returns:
        The classifier, what it was asked, and whether it came from the cache. Without an attribute that could be
        learned, a classifier of none.

    Raises:
        DataError: All images are of people that it is judged on.
        OSError: The cache cannot be written.
    """
    targets = questions(pictures.attributes)
    if not targets.names:
        return Classifier(nn.Flatten(), []), targets, False
    key = f"{pictures.digest[:16]}-{targets.digest[:16]}-{RECIPE}.safetensors"
    channels, side = pictures.images.shape[1:3]
    with torch.random.fork_rng(devices=[]):  # its first weights are drawn, and at once replaced
        network = build(side, channels, len(targets.names))
    cached = CLASSIFIERS.read(key, lambda path: _load(path, network.to(device), targets))
    if cached is not None:
        return cached, targets, True
    held = held_out(pictures)
    if held.all():
        raise DataError(
            "nothing is left to learn from: the images are of few people, and all of these are among the fifth that "
            "the classifier is judged on; add images of others"
        )
    fit(network.to(device), pictures.images, targets.values, np.flatnonzero(~held), progress=progress)
    network.to(memory_format=torch.contiguous_format)  # as one from the cache is, whose sums are then the same
    classifier = Classifier(network.eval(), targets.names)
    judged = _judged(classifier, pictures.images, targets, np.flatnonzero(held))
    about = {"step": "0", "attributes": json.dumps(targets.names), "scores": _SCORES.dump_json(judged).decode()}
    CLASSIFIERS.write(key, lambda path: write_tensors(path, "classifier", network.state_dict(), about))
    return Classifier(network, targets.names, {score.name: score for score in judged}), targets, False


def held_out(pictures: Described) -> np.ndarray:
    """Which images the classifier is judged on: bool (N,), about one fifth, whole people."""
    people = pictures.attributes.get("identity") or owners(pictures.names)
    return np.array([is_held_out(str(person), share=5, salt="classifier ") for person in people])


def fit(
    network: nn.Module,
    images: np.ndarray,
    answers: np.ndarray,
    rows: np.ndarray,
    *,
    progress: Progress | None = None,
) -> None:
    """Train a network to give answers: binary cross-entropy of those that are known, AdamW, a cosine's falling rate.

    Images are shown in a new order each epoch, with noise, and brighter, darker or of another contrast by up to
    JITTER; they are neither mirrored nor moved, which would change what some attributes say.

    Args:
        network: Freshly built; its weights are drawn anew from seed 0. It is in training mode afterwards.
        images: uint8 (N, C, H, W).
        answers: (N, attributes) of 1, 0 and NaN.
        rows: Which images to train on, one or more.
        progress: Called with (images shown, of how many).
    """
    where = next(network.parameters()).device
    dice = torch.Generator().manual_seed(0)
    _initialise(network, dice)
    network.train().to(memory_format=torch.channels_last)
    size = min(BATCH, len(rows))
    steps = max(1, min(SHOWN, MOST_EPOCHS * len(rows)) // size)
    optimizer = torch.optim.AdamW(network.parameters(), LEARNING_RATE, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, total_steps=steps)
    order = torch.empty(0, dtype=torch.long)
    for step in range(steps):
        if len(order) < size:
            order = torch.randperm(len(rows), generator=dice)
        chosen, order = np.sort(rows[order[:size].numpy()]), order[size:]
        pictures = _augmented(to_float(torch.from_numpy(images[chosen])), dice)
        wanted = torch.from_numpy(answers[chosen]).to(where)
        logits = network(pictures.to(where, memory_format=torch.channels_last))
        known = ~wanted.isnan()
        loss = nn.functional.binary_cross_entropy_with_logits(logits[known], wanted[known])
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
        if progress:
            progress((step + 1) * size, steps * size)


def _augmented(images: Tensor, dice: torch.Generator) -> Tensor:
    """Pictures (N, C, H, W) with another brightness and contrast each, and noise."""
    shape = (len(images), 1, 1, 1)
    brightness, contrast = ((torch.rand(shape, generator=dice) * 2 - 1) * JITTER for _ in range(2))
    return images * (1 + contrast) + brightness + torch.randn(images.shape, generator=dice) * NOISE


def _initialise(network: nn.Module, dice: torch.Generator) -> None:
    """He's initialisation from our own generator, so that a classifier does not depend on what was drawn before it."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu", generator=dice)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def _judged(classifier: Classifier, images: np.ndarray, targets: Targets, rows: np.ndarray) -> list[Score]:
    """The scores on held-out rows, of the attributes that have FEWEST of both answers there."""
    parts = [
        classifier.logits(to_float(torch.from_numpy(images[chunk])))
        for chunk in np.array_split(rows, max(1, len(rows) // 1024))
        if len(chunk)
    ]
    if not parts:
        return []
    logits, answers = torch.cat(parts), torch.from_numpy(targets.values[rows])
    return [
        judge(name, logits[:, place], answers[:, place])
        for place, name in enumerate(targets.names)
        if min(int((answers[:, place] == value).sum()) for value in (0, 1)) >= FEWEST
    ]


def _load(path: Path, network: nn.Module, targets: Targets) -> Classifier:
    metadata = open_tensors(path, "classifier").metadata
    scores = _SCORES.validate_json(metadata["scores"])
    if json.loads(metadata["attributes"]) != targets.names:
        raise ValueError("a classifier of other attributes")
    network.load_state_dict(read_tensors(path))
    return Classifier(network.eval(), targets.names, {score.name: score for score in scores})
