"""Evaluation during training: metrics of G_ema on a few samples (read-only)."""

import math
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch

from .. import plugins
from ..config import RunConfig
from ..data.image_set import from_packed
from ..data.packed.packed_images import PackedImages
from ..errors import ConfigError, DataError
from ..evaluation import Metric, Pair, Result, Sample, append
from ..evaluation.extractors import make_extractor
from ..evaluation.measure import measure
from ..evaluation.metric import PIXELS
from ..messages import one_line
from ..reporter import Callbacks, Reporter
from ..sampling import generated
from ..storage.best_snapshot import RANKING, best_line, training_evaluations
from ..storage.run_dir import RunDir
from .checkpointing import Saver
from .state import TrainState

ORDER_SEED = 0  # of the choice of real images


def find_metrics(config: RunConfig) -> dict[str, Metric]:
    """Return the metrics of config.evaluation by name; raises ConfigError or PluginError for those of no use here."""
    found: dict[str, Metric] = {}
    for key in config.evaluation.keys:
        try:
            found[key] = plugins.find("metric", key)()
        except ConfigError as error:
            raise ConfigError(f"config: evaluation.metrics: {str(error).removeprefix('metric: ')}") from None
        if found[key].space == "discriminator":
            raise ConfigError(
                f"config: evaluation.metrics: {key} uses D, which changes from step to step; measure it with "
                "'facegan evaluate', and choose another metric here"
            )
    chosen = config.evaluation.keep_best
    if chosen and found[chosen].better not in RANKING:
        raise ConfigError(
            f"config: evaluation.keep_best: {chosen} is good near its value of real images, and ranks no snapshots; "
            "choose a metric for which lower or higher is better"
        )
    return found


class EvaluationHook:
    """Evaluate a run while it trains; the real images and the feature extractors are kept from step to step."""

    def __init__(
        self, config: RunConfig, run: RunDir, data: PackedImages, device: torch.device, reporter: Reporter
    ) -> None:
        """Prepare the evaluations of a run, whose folder need not exist yet; `data` is the metrics' reference.

        Raises:
            ConfigError, PluginError: As `find_metrics`.
            DataError: A metric cannot be measured on this training set, or on so few images.
        """
        self._settings, self._run, self._reporter = config.evaluation, run, reporter
        self._metrics = find_metrics(config)
        self._training_set = replace(from_packed(data), is_training_set=True, mirror=config.data.mirror)
        self._check_measurable()
        spaces = dict.fromkeys(metric.space for metric in self._metrics.values() if metric.space != PIXELS)
        with _own_randomness(device):
            self._extractors = {
                space: make_extractor(space, self._training_set, device=str(device)) for space in spaces
            }
        self._num_steps = config.train.num_steps(len(data))
        self._lines: list[Mapping[str, Any]] = []
        self._lost: set[int] = set()
        self._began, self._spent, self._latest = time.monotonic(), 0.0, 0.0
        self._has_skipped = False

    def begin(self) -> None:
        """Start the clock, and read the run's earlier evaluations; a lost snapshot no longer ranks."""
        self._lines = list(training_evaluations(self._run))
        self._lost = {line["step"] for line in self._lines}.difference(self._run.steps("snapshots"))
        self._began = time.monotonic()

    def is_pending(self, step: int) -> bool:
        """Return whether the step that a run resumes from still lacks its evaluation."""
        return step > 0 and self._is_scheduled(step) and all(line["step"] != step for line in self._lines)

    def is_due(self, step: int) -> bool:
        """Return whether to evaluate after a step; one that would exceed evaluation.max_share of the time is skipped.

        The first evaluation, whose duration is unknown, always takes place; so does the last, since the best snapshot
        would otherwise be one of the early steps.
        """
        if not self._is_scheduled(step):
            return False
        share = (self._spent + self._latest) / (time.monotonic() - self._began + self._latest or 1)
        if not self._latest or step == self._num_steps or share <= self._settings.max_share:
            return True
        if not self._has_skipped:
            self._reporter.info(
                f"step {step}: not evaluated, evaluations would take {100 * share:.2g} % of the time, more than "
                f"evaluation.max_share={self._settings.max_share:g} allows; later steps except the last are skipped "
                "for the same reason: raise it, or evaluation.every, or lower evaluation.num_images"
            )
        self._has_skipped = True
        return False

    def evaluate(self, state: TrainState, saver: Saver) -> bool:
        """Calibrate and evaluate G_ema; report and write the results.

        A metric that fails is reported, and does not stop the training.

        Returns:
            Whether this step's snapshot is the best so far.
        """
        began, step = time.monotonic(), state.step
        state.calibrate()
        results: list[Result] = []
        lines: list[Mapping[str, Any]] = []
        try:
            for result in self._measure(state):
                if math.isfinite(result.value):
                    lines.append(result.line())
                    results.append(result)
                else:
                    self._reporter.info(
                        f"step {step}: {result.metric} is not finite and is not saved; training continues"
                    )
        except Exception as error:  # of a metric, a full disk or memory: the training depends on none of it
            self._reporter.info(f"step {step}: could not be evaluated ({one_line(error)}); training continues")
            results, lines = [], []
        if results:
            saver.write(f"the evaluation of step {step:,}", partial(append, self._run.evaluations, results))
        self._lines += lines
        best = best_line([line for line in self._lines if line["step"] not in self._lost], self._settings)
        is_best = best is not None and best["step"] == step
        self._latest = time.monotonic() - began
        self._spent += self._latest
        if results:
            self._report(step, results, best["metric"] if best and is_best else None)
        return is_best

    def _measure(self, state: TrainState) -> list[Result]:
        num_images = self._settings.num_images
        known = {line["metric"] for line in self._lines if line["num_fake"] == num_images}
        reporter = Callbacks(line=lambda line: self._reporter.info(f"step {state.step}: {line}"))
        with _own_randomness(state.device), generated(state.generator(), num_images) as images:
            fake = replace(images, label=f"{self._run.name}, step {state.step}")
            real = Sample.shuffled(self._training_set, ORDER_SEED, num_images)
            pair = Pair(real, Sample(fake), intervals=False, seed=ORDER_SEED)
            floor = not known.issuperset(self._metrics)
            results = measure(self._metrics, pair, self._extractors, floor=floor, reporter=reporter)
        provenance = {"step": state.step, "weights": "G_ema", "during_training": True}
        return [result.model_copy(update=provenance) for result in results]

    def _report(self, step: int, results: list[Result], best: str | None) -> None:
        mark = {best: " (best so far)"}
        values = [f"{result.metric} {result.value:.4g}{mark.get(result.metric, '')}" for result in results]
        share = 100 * self._spent / max(time.monotonic() - self._began, 1e-9)
        self._reporter.info(f"step {step}: {', '.join(values)}  {self._latest:.1f} s, {share:.2g} % of the time")

    def _is_scheduled(self, step: int) -> bool:
        return step % self._settings.every == 0 or step == self._num_steps

    def _check_measurable(self) -> None:
        """Raise DataError for a metric that the images do not suffice for, before there is a face."""
        real, num_images = self._training_set, self._settings.num_images
        blank = np.broadcast_to(np.zeros_like(real.images[:1]), (num_images, *real.images.shape[1:]))
        pair = Pair(Sample(real, np.arange(len(real))[:num_images]), Sample(blank), intervals=False)
        for key, metric in self._metrics.items():
            if reason := metric.lacks(pair):
                raise DataError(
                    f"evaluation.metrics: {key}: {reason}; leave it out (evaluation.num_images is {num_images:,})"
                )


def _own_randomness(device: torch.device) -> AbstractContextManager[None]:
    """Restore torch's global random state at the end of the block: a metric or a network may draw from it."""
    return torch.random.fork_rng([device] if device.type == "cuda" else [])
