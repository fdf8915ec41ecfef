"""The settings of evaluation during training."""

from typing import Self

from pydantic import Field, field_validator, model_validator

from ..messages import quoted
from .section import Section


class EvaluationConfig(Section):
    """Measuring the averaged G while it is trained. It takes time and changes nothing of what is learnt."""

    every: int = Field(0, ge=0, description="measure every so many steps, and at the end; 0: never")
    metrics: str = Field("fd_random", description="what is measured, separated by commas (`facegan plugins` lists all)")
    num_images: int = Field(
        1000,
        ge=2,
        description="how many faces are judged each time, and by how many training images at most: the same ones",
    )
    keep_best: str = Field(
        "", description="the metric that says which snapshot is the best, which is kept; empty: the first that can"
    )
    max_share: float = Field(
        0.1,
        gt=0,
        le=1,
        description="the share of the time that evaluations may take: one that would take more is put off to the next "
        "step that is due. The first, whose time is not known, and the last are always made; 1: none is put off, and "
        "equal runs measure the same steps",
    )

    @property
    def keys(self) -> tuple[str, ...]:
        """The metrics' names, in order."""
        return tuple(self.metrics.split(","))

    @field_validator("metrics")
    @classmethod
    def _listed(cls, metrics: str) -> str:
        names = [name.strip() for name in metrics.split(",")]
        if not all(names) or len(set(names)) < len(names):
            raise ValueError("must be names of metrics, each once, separated by commas")
        return ",".join(names)

    @model_validator(mode="after")
    def _best_is_measured(self) -> Self:
        if self.keep_best and self.keep_best not in self.keys:
            raise ValueError(f"keep_best is {quoted(self.keep_best)}; it must be one of metrics ({self.metrics})")
        return self
