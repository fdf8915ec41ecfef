"""The plan of a run, in exact integers, before anything of it is drawn or written."""

import math
import shutil
import time
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch
from pydantic import BaseModel, ConfigDict
from torch import nn

from .. import plugins
from ..augment import FEW, default_probability
from ..config import PLUGIN_SECTIONS, RunConfig
from ..devices import has_fast_bf16
from ..errors import ConfigError, TrainingError
from ..messages import counted
from ..networks.guidelines import Guideline, guidelines, learns, trace
from ..reporter import SILENT
from .cuda_graph import NUM_EAGER, graphed
from .runtime import configured_torch
from .state import (
    DTYPES,
    NUM_CALIBRATION,
    TrainState,
    build_networks,
    build_state,
    has_batch_norm,
    memory_format,
    precision,
)
from .step import training_step

NUM_TIMED = 64  # latents of a calibration that is timed


class Plan(BaseModel):
    """Counts of a run: networks, data, steps, bytes; and how the architecture follows the DCGAN guidelines."""

    model_config = ConfigDict(frozen=True)

    num_parameters_G: int
    num_parameters_D: int
    num_images: int
    num_steps: int
    num_evaluations: int  # at most: those that would exceed their share of the time are skipped
    epochs: float
    data_bytes: int  # the images as uint8
    snapshot_bytes: int  # one file, without headers
    state_bytes: int  # one file, without headers
    run_bytes: int  # at most: kept files, one of each kind that is being written, the best; no grids, no headers
    guidelines: list[Guideline]


def plan(config: RunConfig, num_images: int) -> Plan:
    """Count steps, images and bytes of a run of a complete configuration; draw and write nothing.

    Raises:
        ConfigError, PluginError: A setting of the architecture is invalid, its networks cannot be trained, or there is
            no such metric.
    """
    check_metrics(config)
    # Not on torch's meta device, which would cost nothing here, but importing it takes two seconds.
    G, D = build_networks(config)
    passed = trace(G, D, torch.zeros(2, config.part("architecture").z_dim))
    for name, network in (("D", D), ("G", G)):
        if not learns(network, passed.logits):
            raise ConfigError(
                f"architecture: {config.architecture.name} cannot be trained: no gradient of D's output reaches a "
                f"parameter of {name} that is not frozen"
            )
    num_steps = config.train.num_steps(num_images)
    output = config.output.scaled(num_steps)
    parameters_G, parameters_D = num_parameters(G), num_parameters(D)
    bytes_G, bytes_D = (sum(value.nbytes for value in network.state_dict().values()) for network in (G, D))
    snapshot_bytes = 2 * bytes_G + bytes_D
    state_bytes = snapshot_bytes + 2 * 4 * (parameters_G + parameters_D)  # Adam's two moments in float32
    num_snapshots = _num_kept(num_steps, output.snapshot_every, output.keep_snapshots, output.keep_snapshots_every)
    num_states = _num_kept(num_steps, output.state_every, output.keep_states, output.keep_states_every)
    return Plan(
        num_parameters_G=parameters_G,
        num_parameters_D=parameters_D,
        num_images=num_images,
        num_steps=num_steps,
        num_evaluations=-(-num_steps // config.evaluation.every) if config.evaluation.every else 0,
        epochs=num_steps * config.train.images_per_step / num_images if num_images else 0.0,
        data_bytes=num_images * config.channels * config.resolution**2,
        snapshot_bytes=snapshot_bytes,
        state_bytes=state_bytes,
        run_bytes=(num_snapshots + 1 + bool(config.evaluation.every)) * snapshot_bytes + (num_states + 1) * state_bytes,
        guidelines=guidelines(passed),
    )


def settled(config: RunConfig, num_images: int, device: torch.device) -> RunConfig:
    """Return a new run's settings with all that depends on the images and the machine as numbers.

    A run that is resumed elsewhere, or extended, then keeps them: the length of the schedules, the precision, the
    probability of augmentation.
    """
    config = _with_precision(config, device)
    train, augment, schedule = config.train, config.augment, config.schedule
    if augment.policy and augment.probability is None:
        augment = augment.model_copy(update={"probability": default_probability(num_images)})
    if schedule.kimg is None:
        kimg = train.num_steps(num_images) * train.images_per_step / 1000
        schedule = schedule.model_copy(update={"kimg": kimg})
    return config.model_copy(update={"augment": augment, "schedule": schedule})


def _with_precision(config: RunConfig, device: torch.device) -> RunConfig:
    if config.train.precision != "auto":
        return config
    names = {dtype: name for name, dtype in DTYPES.items()}
    fast = device.type == "cpu" and has_fast_bf16()
    chosen = "bf16" if fast else names[precision(config, device)]
    return config.model_copy(update={"train": config.train.model_copy(update={"precision": chosen})})


class Pace(NamedTuple):
    """How fast a run trains on a device."""

    images_per_second: float
    calibration_seconds: float  # of G_ema, before each grid, snapshot and state

    def minutes(self, config: RunConfig, num_steps: int) -> float:
        """Return the minutes that a run of so many steps takes, without evaluations."""
        output = config.output.scaled(num_steps)
        num_saves = 1 + num_steps // min(output.sample_every, output.snapshot_every, output.state_every)
        training = num_steps * config.train.images_per_step / self.images_per_second
        return (training + num_saves * self.calibration_seconds) / 60


def measure_pace(config: RunConfig, device: torch.device, num_processes: int = 1, *, seconds: float = 3.0) -> Pace:
    """Time a few steps of a copy of a run, whose configuration is complete; the rate varies with the machine's load.

    On the CPU the steps are of at most 16 images, fewer where those take long. Every kind of step is timed: those with
    a penalty are `penalty.every` times as rare as they are in all.
    """
    with configured_torch(config, device):
        state = build_state(_with_precision(config, device), device)
        rate = _images_per_second(state, seconds) * num_processes
        began = time.perf_counter()
        state.calibrate(NUM_TIMED)
        int(state.first_bad_step)  # waits for the device
        return Pace(rate, (time.perf_counter() - began) * NUM_CALIBRATION / NUM_TIMED)


def _images_per_second(state: TrainState, seconds: float) -> float:
    config, settings, device = state.config, state.config.train, state.device
    run_step = graphed(partial(training_step, state), state, SILENT)
    shape = (config.channels, config.resolution, config.resolution)

    def timed(size: int, step: int) -> float:
        real = torch.zeros(size * settings.num_D_steps, *shape, device=device).to(memory_format=memory_format(config))
        int(state.first_bad_step)  # waits for the device
        began, state.step = time.perf_counter(), step
        run_step(real)
        int(state.first_bad_step)
        return time.perf_counter() - began

    size, first = settings.batch_size, 0.0
    if device.type == "cpu":
        first = timed(2, 0)  # torch chooses its kernels
        size = min(size, 16, max(2, int(2 * seconds / first)))
    total, every = 0.0, config.penalty.every if config.penalty.is_on else 1
    for step, share in ((0, 1 / every), (1, 1 - 1 / every)):
        if share:
            times = [first] if step == 0 and first > seconds else []  # so slow that its beginning does not matter
            for _ in range(NUM_EAGER + 1 if device.type == "cuda" else size > 2):
                timed(size, step)
            while not times or sum(times) < seconds / 2:
                times.append(timed(size, step))
            total += share * sum(times) / len(times)
    return size * settings.num_D_steps / total


def with_length(
    config: RunConfig, device: torch.device, num_processes: int = 1, *, pace: Pace | None = None
) -> RunConfig:
    """Return a complete configuration with `train.minutes`, if given, as thousands of images; None: times the pace."""
    wanted = config.train.minutes
    if wanted is None:
        return config
    pace = pace or measure_pace(config, device, num_processes)
    num_steps = wanted * 60 * pace.images_per_second / config.train.images_per_step
    for _ in range(10):  # to the length that ends in time together with what is saved
        num_steps *= wanted / pace.minutes(config, max(1, int(num_steps)))
    kimg = max(1, int(num_steps)) * config.train.images_per_step / 1000
    return config.model_copy(update={"train": config.train.model_copy(update={"minutes": None, "kimg": kimg})})


def warnings(config: RunConfig, num_images: int) -> list[str]:
    """Return what is allowed but seldom meant in a settled configuration, a line each."""
    parts = [plugins.claim(kind, getattr(config, kind).name) for kind in PLUGIN_SECTIONS]
    lines = [
        f"{part.kind} '{part.name}': that of {part.origin}, in place of facegan's own"
        for part in parts
        if plugins.replaces_built_in(part)
    ]
    penalty, augment = config.penalty, config.augment
    if getattr(config.part("loss"), "needs_penalty", False) and not penalty.is_on:
        lines.append(f"loss {config.loss.name}: D's slope is unbounded without a penalty; set penalty.gradient=10")
    if penalty.is_on and has_batch_norm(build_networks(config)[1]):
        lines.append(
            "penalty: D uses batch norm, so a slope is not that of one image; set architecture.norm_D=none or spectral"
        )
    augments_early = augment.policy and augment.probability and augment.ramp_kimg is not None
    if num_images <= FEW and not augments_early:
        lines.append(
            f"only {counted(num_images, 'image')}: D will know them by heart; the preset few augments what D sees early"
        )
    return lines


def check_metrics(config: RunConfig) -> None:
    """Raise ConfigError or PluginError for metrics that do not work during training; without evaluations load none."""
    if config.evaluation.every:
        from .evaluation_hook import find_metrics

        find_metrics(config)


def _num_kept(num_steps: int, every: int, newest: int, milestones_every: int) -> int:
    """Count the files of a kind at a run's end: the newest, and those of round steps."""
    written = -(-num_steps // every)
    return min(written, newest + (num_steps // math.lcm(every, milestones_every) if milestones_every else 0))


def check_disk(needed_bytes: int, folder: Path) -> None:
    """Raise TrainingError if the disk of a folder, which need not exist, has less space than a run keeps."""
    while not folder.exists():
        folder = folder.parent
    free_bytes = shutil.disk_usage(folder).free
    if needed_bytes > free_bytes:
        raise TrainingError(
            f"{folder}: {free_bytes / 1e6:,.1f} MB are free, this run keeps {needed_bytes / 1e6:,.1f} MB; "
            "free some, or lower output.keep_snapshots"
        )


def num_parameters(network: nn.Module) -> int:
    """Count the parameters of a network."""
    return sum(parameter.numel() for parameter in network.parameters())
