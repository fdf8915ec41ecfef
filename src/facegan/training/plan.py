"""The plan of a run, in exact integers, before anything of it is drawn or written."""

import math
import shutil
from pathlib import Path

import torch
from pydantic import BaseModel, ConfigDict
from torch import nn

from ..config import RunConfig
from ..errors import TrainingError
from ..networks.guidelines import Guideline, guidelines
from .state import build_networks


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
        ConfigError, PluginError: A setting of the architecture is invalid, or there is no such metric.
    """
    check_metrics(config)
    # Not on torch's meta device, which would cost nothing here, but importing it takes two seconds.
    G, D = build_networks(config)
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
        guidelines=guidelines(G, D, torch.zeros(2, config.part("architecture").z_dim)),
    )


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
