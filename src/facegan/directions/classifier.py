"""A small classifier of attributes, trained on a run's own images, once for each set of them."""

import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, TypeAdapter
from scipy.stats import mannwhitneyu
from torch import Tensor, nn

from ..data.image_set import ImageSet
from ..data.split import is_held_out
from ..errors import DataError
from ..images import to_float
from ..reporter import SILENT, Reporter
from ..storage.cache import CLASSIFIERS
from ..storage.safetensors_file import open_tensors, read_tensors, write_tensors
from .attributes import MIN_EACH, AttributeLabels, binary_labels

VERSION = 1  # raised when the same images and attributes would give another classifier
MIN_AUC = 0.75  # on held-out images; below it, answers are too close to chance
MAX_SIDE = 64  # pixels: larger images are averaged down to this side
BATCH = 128
NUM_SHOWN = 64_000  # images, however large the set: about a minute on one core at 32x32, two at 64x64
MAX_EPOCHS = 40  # of a small set
LEARNING_RATE = 2e-3
NOISE = 0.04  # standard deviation of the noise added to each value, in [-1, 1]
JITTER = 0.1  # maximum change of brightness and contrast
_MIN_WIDTH, _MAX_WIDTH = 16, 96  # feature maps: of the first layer at MAX_SIDE, and of any layer


class AttributeScore(BaseModel):
    """How well one attribute is recognised, on images of people that the classifier has not seen."""

    model_config = ConfigDict(frozen=True)

    name: str
    num: int  # images that were classified
    base_rate: float  # share of the commoner label: the accuracy of always giving that one
    accuracy: float
    balanced_accuracy: float  # mean of the accuracies on images with it, and without; 0.5 is chance
    auc: float  # probability that an image with it gets a higher logit than one without; 0.5 is chance


_SCORES: TypeAdapter[list[AttributeScore]] = TypeAdapter(list[AttributeScore])


@dataclass(frozen=True, eq=False)
class AttributeClassifier:
    """A trained network with the names of its attributes and its held-out scores."""

    network: nn.Module  # maps images (N, C, H, W) in [-1, 1] to logits (N, attributes)
    names: list[str]
    scores: dict[str, AttributeScore] = field(default_factory=dict)  # none for one with too few held-out images

    @torch.no_grad()
    def logits(self, images: Tensor, batch: int = 256) -> Tensor:
        """Classify images (N, C, H, W) in [-1, 1]: float32 (N, attributes) on the CPU."""
        device = next(self.network.parameters()).device
        parts = [self.network(chunk.to(device)).float().cpu() for chunk in images.split(batch)]  # type: ignore[no-untyped-call]
        return torch.cat(parts)

    def usable(self) -> tuple[list[str], dict[str, str]]:
        """Return the attributes recognised well enough to label samples, and for each other one the reason."""
        chosen, refused = [], {}
        for name in self.names:
            score = self.scores.get(name)
            if score is None:
                refused[name] = f"fewer than {MIN_EACH} held-out images of either kind"
            elif score.auc < MIN_AUC:
                refused[name] = f"the classifier hardly recognises it (held-out AUC {score.auc:.2f}, below {MIN_AUC})"
            else:
                chosen.append(name)
        return chosen, refused


def train_classifier(
    images: ImageSet, *, device: str | torch.device = "cpu", reporter: Reporter = SILENT
) -> tuple[AttributeClassifier, AttributeLabels, bool]:
    """Train a classifier of the attributes of images, or load it from the cache.

    It is trained on four fifths of the images, whose side is a power of two from 8, and evaluated on the rest; all
    images of a person, known by the images' folders or the attribute `identity`, are on the same side. It depends only
    on the images, their attributes and VERSION: the seed is always the same.

    Returns:
        The classifier, its labels, and whether it came from the cache. Without an attribute that can be learned, a
        classifier of none.

    Raises:
        DataError: All images are of people that are held out.
    """
    labels = binary_labels(images.attributes)
    if not labels.names:
        return AttributeClassifier(nn.Flatten(), []), labels, False
    key = f"{images.digest[:16]}-{labels.digest[:16]}-{VERSION}.safetensors"
    channels, side = images.images.shape[1:3]
    with torch.random.fork_rng(devices=[]):  # its initial weights are replaced at once
        network = build_network(side, channels, len(labels.names))
    cached = CLASSIFIERS.read(key, lambda path: _load(path, network.to(device), labels.names))
    if cached is not None:
        return cached, labels, True
    held = held_out_rows(images)
    if held.all():
        raise DataError(
            f"{images.label}: nothing is left to learn from: the images are of few people, all among the fifth that "
            "the classifier is evaluated on; add images of others"
        )
    fit_network(network.to(device), images.images, labels.values, np.flatnonzero(~held), reporter=reporter)
    network.to(memory_format=torch.contiguous_format)  # as one from the cache is, whose sums are then the same
    classifier = AttributeClassifier(network.eval(), labels.names)
    scores = _evaluate(classifier, images.images, labels, np.flatnonzero(held))
    about = {"step": "0", "attributes": json.dumps(labels.names), "scores": _SCORES.dump_json(scores).decode()}
    CLASSIFIERS.write(key, lambda path: write_tensors(path, "classifier", network.state_dict(), about))
    return AttributeClassifier(network, labels.names, {score.name: score for score in scores}), labels, False


def held_out_rows(images: ImageSet) -> np.ndarray:
    """Return which images the classifier is evaluated on: bool (N,), about one fifth, complete persons."""
    return np.array([is_held_out(str(person), share=5, salt="classifier ") for person in images.people()])


def build_network(resolution: int, channels: int, num: int) -> nn.Sequential:
    """Build strided convolutions down to 4x4, then one linear map to `num` logits, as positions on a face matter."""
    side = min(resolution, MAX_SIDE)
    width = _MIN_WIDTH * MAX_SIDE // side  # about as much work at any resolution
    layers: list[nn.Module] = [nn.AvgPool2d(resolution // side)] if resolution > side else []
    before = channels
    while side > 4:
        width = min(width, _MAX_WIDTH)
        layers += [
            nn.Conv2d(before, width, 4, stride=2, padding=1, bias=False),  # half the side
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
        ]
        before, width, side = width, width * 2, side // 2
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(before * 4 * 4, num))


def fit_network(
    network: nn.Module, images: np.ndarray, labels: np.ndarray, rows: np.ndarray, *, reporter: Reporter = SILENT
) -> None:
    """Train a network: binary cross-entropy of the known labels, AdamW, a cosine schedule of the learning rate.

    Images are shown in a new order each epoch, with noise, and with brightness and contrast changed by up to JITTER;
    they are neither mirrored nor moved, which would change the meaning of some attributes.

    Args:
        network: Its weights are drawn from seed 0. It is in training mode afterwards.
        images: uint8 (N, C, H, W).
        labels: (N, attributes) of 1, 0 and NaN.
        rows: The images to train on, one or more.
        reporter: Receives the number of images shown.
    """
    device = next(network.parameters()).device
    rng = torch.Generator().manual_seed(0)
    _initialise(network, rng)
    network.train().to(memory_format=torch.channels_last)
    size = min(BATCH, len(rows))
    steps = max(1, min(NUM_SHOWN, MAX_EPOCHS * len(rows)) // size)
    optimizer = torch.optim.AdamW(network.parameters(), LEARNING_RATE, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, total_steps=steps)
    order = torch.empty(0, dtype=torch.long)
    for step in range(steps):
        if len(order) < size:
            order = torch.randperm(len(rows), generator=rng)
        chosen, order = np.sort(rows[order[:size].numpy()]), order[size:]
        batch = _augmented(to_float(torch.from_numpy(images[chosen])), rng)
        target = torch.from_numpy(labels[chosen]).to(device)
        logits = network(batch.to(device, memory_format=torch.channels_last))
        known = ~target.isnan()
        loss = nn.functional.binary_cross_entropy_with_logits(logits[known], target[known])
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
        reporter.progress("training the attribute classifier", (step + 1) * size, steps * size)


def auc(scores: Tensor, labels: Tensor) -> float:
    """Return the area under the ROC curve of scores (N,) for labels (N,); NaN where one label is missing.

    Source: Hanley and McNeil, "The meaning and use of the area under a receiver operating characteristic (ROC) curve",
    Radiology 1982: it is the Mann-Whitney statistic over the number of pairs; ties count half.
    """
    positive, values = labels.bool().numpy(), scores.double().numpy()
    if positive.all() or not positive.any():
        return float("nan")
    statistic = mannwhitneyu(values[positive], values[~positive], method="asymptotic").statistic
    return float(statistic / (positive.sum() * (~positive).sum()))


def score_attribute(name: str, logits: Tensor, labels: Tensor) -> AttributeScore:
    """Return the score of one attribute from logits (N,) and labels (N,): 1, 0, or NaN, which does not count."""
    known = ~labels.isnan()
    predicted, actual = logits[known] > 0, labels[known] > 0.5
    hits = predicted == actual
    return AttributeScore(
        name=name,
        num=len(actual),
        base_rate=float(max(actual.float().mean(), 1 - actual.float().mean())),
        accuracy=float(hits.float().mean()),
        balanced_accuracy=float((hits[actual].float().mean() + hits[~actual].float().mean()) / 2),
        auc=auc(logits[known], actual),
    )


def _augmented(images: Tensor, rng: torch.Generator) -> Tensor:
    brightness, contrast = ((torch.rand(len(images), 1, 1, 1, generator=rng) * 2 - 1) * JITTER for _ in range(2))
    return images * (1 + contrast) + brightness + torch.randn(images.shape, generator=rng) * NOISE


def _initialise(network: nn.Module, rng: torch.Generator) -> None:
    """Apply He's initialisation from our own generator, so that a classifier does not depend on earlier draws."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu", generator=rng)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def _evaluate(
    classifier: AttributeClassifier, images: np.ndarray, labels: AttributeLabels, rows: np.ndarray
) -> list[AttributeScore]:
    """Return the scores on held-out rows, of the attributes with MIN_EACH images on both sides there."""
    if not len(rows):
        return []
    chunks = np.array_split(rows, max(1, len(rows) // 1024))
    logits = torch.cat([classifier.logits(to_float(torch.from_numpy(images[chunk]))) for chunk in chunks])
    values = torch.from_numpy(labels.values[rows])
    return [
        score_attribute(name, logits[:, place], values[:, place])
        for place, name in enumerate(labels.names)
        if min(int((values[:, place] == value).sum()) for value in (0, 1)) >= MIN_EACH
    ]


def _load(path: Path, network: nn.Module, names: list[str]) -> AttributeClassifier:
    scores = _SCORES.validate_json(open_tensors(path, "classifier").metadata["scores"])
    network.load_state_dict(read_tensors(path))
    return AttributeClassifier(network.eval(), names, {score.name: score for score in scores})
