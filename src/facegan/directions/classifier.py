"""A small classifier of faces: which attributes an image shows."""

from dataclasses import dataclass, field

import torch
from pydantic import BaseModel, ConfigDict
from scipy.stats import rankdata
from torch import Tensor, nn

LARGEST = 64  # pixels: larger images are averaged down to this side
_NARROWEST, _WIDEST = 16, 96  # feature maps of the first layer at LARGEST, and of any


class Score(BaseModel):
    """How well one attribute is told, on images of people that the classifier has not seen.

    Attributes:
        name: The attribute.
        num: Images that it was judged on.
        base_rate: Share of the commoner answer: the accuracy of always giving that one.
        accuracy: Share of right answers.
        balanced_accuracy: Mean of the shares of right answers among the images with, and without; 0.5 is chance.
        auc: Probability that an image with it gets a higher score than one without; 0.5 is chance.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    num: int
    base_rate: float
    accuracy: float
    balanced_accuracy: float
    auc: float


@dataclass(frozen=True, eq=False)
class Classifier:
    """A trained network with the names and the held-out scores of what it tells.

    Attributes:
        network: Images (N, C, H, W) in [-1, 1] to logits (N, attributes).
        names: Of the attributes.
        scores: By name; an attribute with too few held-out images has none.
    """

    network: nn.Module
    names: list[str]
    scores: dict[str, Score] = field(default_factory=dict)

    @torch.no_grad()
    def logits(self, images: Tensor, batch: int = 256) -> Tensor:
        """What it says of images (N, C, H, W) in [-1, 1]: float32 (N, attributes) on the CPU."""
        where = next(self.network.parameters()).device
        parts = [self.network(chunk.to(where)).float().cpu() for chunk in images.split(batch)]  # type: ignore[no-untyped-call]
        return torch.cat(parts)


def build(resolution: int, channels: int, num: int) -> nn.Sequential:
    """A network of strided convolutions down to 4x4, then one linear map: where on a face a thing is matters.

    Args:
        resolution: Of the images, a power of two, 8 or more.
        channels: Of the images.
        num: Attributes, a logit each.
    """
    side = min(resolution, LARGEST)
    wide = _NARROWEST * LARGEST // side  # as much work at any resolution, roughly
    layers: list[nn.Module] = [nn.AvgPool2d(resolution // side)] if resolution > side else []
    before = channels
    while side > 4:
        wide = min(wide, _WIDEST)
        layers += [
            nn.Conv2d(before, wide, 4, stride=2, padding=1, bias=False),  # half the side
            nn.BatchNorm2d(wide),
            nn.ReLU(inplace=True),
        ]
        before, wide, side = wide, wide * 2, side // 2
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(before * 4 * 4, num))


def auc(scores: Tensor, labels: Tensor) -> float:
    """Area under the ROC curve of scores (N,) for labels (N,), by the rank sum; NaN where one label is missing.

    Source: Hanley and McNeil, "The meaning and use of the area under a receiver operating characteristic (ROC) curve",
    Radiology 1982: it is the Mann-Whitney statistic over the number of pairs; ties count half.
    """
    positive = labels.bool().numpy()
    num_positive, num_negative = int(positive.sum()), int((~positive).sum())
    if not num_positive or not num_negative:
        return float("nan")
    ranks = rankdata(scores.double().numpy())[positive].sum()
    return float((ranks - num_positive * (num_positive + 1) / 2) / (num_positive * num_negative))


def judge(name: str, logits: Tensor, answers: Tensor) -> Score:
    """The score of one attribute from logits (N,) and answers (N,): 1, 0, or NaN, which does not count."""
    known = ~answers.isnan()
    given, right = logits[known] > 0, answers[known] > 0.5
    hits = given == right
    return Score(
        name=name,
        num=len(right),
        base_rate=float(max(right.float().mean(), 1 - right.float().mean())),
        accuracy=float(hits.float().mean()),
        balanced_accuracy=float((hits[right].float().mean() + hits[~right].float().mean()) / 2),
        auc=auc(logits[known], right),
    )
