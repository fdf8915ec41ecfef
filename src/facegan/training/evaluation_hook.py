"""Evaluation during training: the averaged G is measured on a few faces, and nothing of the state changes."""

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
from ..data.image_set import ImageSet, from_packed
from ..data.packed.load import PackedImages
from ..errors import ConfigError, DataError
from ..evaluation import Metric, Pair, Result, Sample, append
from ..evaluation.extractors import check_spaces, make_extractor
from ..evaluation.measure import measure
from ..evaluation.metric import PIXELS
from ..features import Extractor
from ..generator import FaceGenerator
from ..reporter import Callbacks
from ..sampling import generated
from ..storage.best_snapshot import RANKING, best_line, training_evaluations
from ..storage.run_dir import RunDir
from .checkpointing import Saver
from .loop import Report, calibrate
from .state import TrainState

ORDER_SEED = 0  # of which real images are taken


def metrics_of(config: RunConfig) -> dict[str, Metric]:
    """The metrics that a run is to be measured by, in their order.

    Raises:
        ConfigError: There is none of that name, it cannot be compared from step to step, or it ranks no snapshots.
        PluginError: One cannot be loaded.
    """
    found: dict[str, Metric] = {}
    for key in config.evaluation.keys:
        try:
            found[key] = plugins.find("metric", key)()
        except ConfigError as error:
            raise ConfigError(f"config: evaluation.metrics: {str(error).removeprefix('metric: ')}") from None
        if found[key].space == "discriminator":
            raise ConfigError(
                f"config: evaluation.metrics: {key} sees by D, which changes from step to step; measure it with "
                "'facegan evaluate', and take another one here"
            )
    chosen = config.evaluation.keep_best
    if chosen and found[chosen].better not in RANKING:
        raise ConfigError(
            f"config: evaluation.keep_best: {chosen} is good near its value of real images, and ranks no snapshots; "
            "take a metric of which lower or higher is better"
        )
    return found


class Evaluating:
    """Measures a run while it is trained; the real images and the networks that see them stay from step to step."""

    def __init__(
        self, config: RunConfig, run: RunDir, data: PackedImages, device: torch.device, report: Report
    ) -> None:
        """Get ready; writes nothing.

        Args:
            config: Complete.
            run: The run, whose folder need not be there yet.
            data: The training set, by which the faces are judged.
            device: Of the training.
            report: Called with a line for each evaluation, and for what cannot be measured.

        Raises:
            ConfigError, PluginError: As `metrics_of`.
            DataError: A metric cannot be measured on this training set, or on so few images.
        """
        self._config, self._settings, self._run, self._report = config, config.evaluation, run, report
        self._metrics = metrics_of(config)
        self._training_set = replace(from_packed(data), is_training_set=True, mirror=config.data.mirror)
        self._refuse_unmeasurable()
        with _own_randomness(device):
            self._extractors = _extractors(self._metrics, self._training_set, str(device))
        self._num_steps = config.train.num_steps(len(data))
        self._lines: list[Mapping[str, Any]] = []
        self._lost: set[int] = set()
        self._began, self._spent, self._latest = time.monotonic(), 0.0, 0.0
        self._put_off = False

    def take_up(self) -> None:
        """Start the clock, and go on from what was measured of this run before; a lost snapshot ranks no more."""
        self._lines = list(training_evaluations(self._run))
        self._lost = {line["step"] for line in self._lines}.difference(self._run.steps("snapshots"))
        self._began = time.monotonic()

    def owed(self, step: int) -> bool:
        """Whether the step that a run goes on from is still to be measured, as when it was stopped right after it."""
        return step > 0 and self._is_wanted(step) and all(line["step"] != step for line in self._lines)

    def due(self, step: int) -> bool:
        """Whether to measure after a step; what would take more than its share of the time is put off, told once."""
        if not self._is_wanted(step):
            return False
        share = (self._spent + self._latest) / (time.monotonic() - self._began + self._latest)
        # What it takes is known from the second one on; without the last, the best would be one of early steps.
        if not self._latest or step == self._num_steps or share <= self._settings.max_share:
            return True
        if not self._put_off:
            self._report(
                f"step {step}: not evaluated, evaluations would take {100 * share:.2g} % of the time, more than "
                f"evaluation.max_share={self._settings.max_share:g} allows; the same holds of later steps, but for the "
                "last: raise it, or evaluation.every, or lower evaluation.num_images"
            )
        self._put_off = True
        return False

    def evaluate(self, state: TrainState, saver: Saver) -> bool:
        """Measure the averaged G, after estimating its batch-norm statistics; tell and write what is found.

        What cannot be measured is told, and is no reason to stop.

        Returns:
            Whether its snapshot is the best so far.
        """
        began, step = time.monotonic(), state.step
        calibrate(self._config, state)
        try:
            results = self._measure(state)
            lines = [result.line() for result in results if math.isfinite(result.value)]
        except Exception as error:  # of a metric, a full disk or memory: the training needs none of it
            reason = " ".join(str(error).split()) or type(error).__name__
            self._report(f"step {step}: could not be evaluated ({reason}); training goes on")
            results, lines = [], []
        finite = [result for result in results if math.isfinite(result.value)]
        for result in results:
            if result not in finite:
                self._report(f"step {step}: {result.metric} is not finite, and is not written; training goes on")
        if finite:
            saver.at_once(f"the evaluation of step {step:,}", partial(append, self._run.evaluations, finite))
        self._lines += lines
        best = best_line([line for line in self._lines if line["step"] not in self._lost], self._settings)
        self._latest = time.monotonic() - began
        self._spent += self._latest
        if finite:
            self._tell(step, finite, best["metric"] if best and best["step"] == step else None)
        return best is not None and best["step"] == step

    def _measure(self, state: TrainState) -> list[Result]:
        config, num_images = self._config, self._settings.num_images
        architecture, device = config.part("architecture"), state.sums.device
        generator = FaceGenerator(state.G_ema, z_dim=architecture.z_dim, prior=architecture.prior)
        known = {line["metric"] for line in self._lines if line["num_fake"] == num_images}
        reporter = Callbacks(line=lambda line: self._report(f"step {state.step}: {line}"))
        with _own_randomness(device), generated(generator, num_images) as images:
            fake = replace(images, label=f"{self._run.path.name}, step {state.step}")
            real = Sample.shuffled(self._training_set, ORDER_SEED, num_images)
            pair = Pair(real, Sample(fake), intervals=False, seed=ORDER_SEED)
            floor = not known.issuperset(self._metrics)
            results = measure(self._metrics, pair, self._extractors, floor=floor, reporter=reporter)
        provenance = {"step": state.step, "weights": "G_ema", "during_training": True}
        return [result.model_copy(update=provenance) for result in results]

    def _tell(self, step: int, results: list[Result], best: str | None) -> None:
        values = [
            f"{result.metric} {result.value:.4g}{' (best so far)' if result.metric == best else ''}"
            for result in results
        ]
        share = 100 * self._spent / max(time.monotonic() - self._began, 1e-9)
        self._report(f"step {step}: {', '.join(values)}  {self._latest:.1f} s, {share:.2g} % of the time")

    def _is_wanted(self, step: int) -> bool:
        return step % self._settings.every == 0 or step == self._num_steps

    def _refuse_unmeasurable(self) -> None:
        """Refuse what the images do not suffice for, before there is a face; raises DataError."""
        real, num_images = self._training_set, self._settings.num_images
        blank = np.broadcast_to(np.zeros_like(real.images[:1]), (num_images, *real.images.shape[1:]))
        pair = Pair(Sample(real, np.arange(len(real))[:num_images]), Sample(blank), intervals=False)
        for key, metric in self._metrics.items():
            if why := metric.lacks(pair):
                raise DataError(
                    f"evaluation.metrics: {key}: {why}; leave it out (evaluation.num_images is {num_images:,})"
                )


def _own_randomness(device: torch.device) -> AbstractContextManager[None]:
    """A context that leaves torch's global random state as it was: a metric or a network may draw from it."""
    return torch.random.fork_rng([device] if device.type == "cuda" else [])


def _extractors(metrics: Mapping[str, Metric], images: ImageSet, device: str) -> dict[str, Extractor]:
    """The networks that metrics see by; raises FaceganError for what cannot be had."""
    check_spaces(metrics)
    spaces = dict.fromkeys(metric.space for metric in metrics.values())
    return {space: make_extractor(space, images, device=device) for space in spaces if space != PIXELS}
