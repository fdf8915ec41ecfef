"""A run in plain sentences."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from ..storage.run_summary import RunSummary

STANDING = {
    "running": "The run goes on: this page shows it as it stood when the page was made.",
    "finished": "The run is finished.",
    "stopped": "The run was stopped before its end.",
    "failed": "The run failed.",
    "damaged": "The run's folder is damaged.",
    "empty": "The run has hardly begun.",
}


def summary(found: RunSummary) -> list[str]:
    """A run in plain sentences, as far as it is known."""
    run, environment = found.standing, found.environment
    sentences = ["The faces on this page are synthetic: a network drew them from noise, and they are of nobody."]
    if run.architecture:
        of = f" ({run.num_images:,} images)" if run.num_images else ""
        sentences.append(
            f"The network is a {run.architecture} for images of {run.resolution}x{run.resolution} pixels, trained on "
            f"“{run.data}”{of}. A face can still come close to one that it learned from."
        )
    if run.step is not None:
        steps = f"{run.step:,} of {run.num_steps:,} steps" if run.num_steps else f"{run.step:,} steps"
        shown = f", {run.kimg:,.1f} thousand images" if run.kimg is not None else ""
        epochs = f", {run.epoch:,.2f} times through all of them" if run.epoch is not None else ""
        sentences.append(f"Its length so far: {steps}{shown}{epochs}.")
    if found.seconds is not None:
        speed = f", {found.images_per_second:,.0f} images a second" if found.images_per_second else ""
        took = timedelta(seconds=round(found.seconds))
        sentences.append(f"That took {took} hours of training{_on(environment)}{speed}.")
    sentences.append(_stands(found))
    return sentences


def _on(environment: Mapping[str, Any]) -> str:
    machine = environment.get("gpu") or environment.get("device")
    if not isinstance(machine, str):
        return ""
    system = str(environment.get("platform", "")).partition("-")[0]
    return f" on {'a CPU' if machine == 'cpu' else machine}{f' under {system}' if system else ''}"


def _stands(found: RunSummary) -> str:
    run = found.standing
    said = STANDING[run.standing]
    return f"{said[:-1]}: {run.reason}." if run.reason else said
