"""Settings that change when a run is resumed: by `--set` and `--data`, or by an edit of its config.json."""

import json
from collections.abc import Mapping
from typing import Any

import torch

from ..checkpoint import read_config
from ..config import DURATIONS, RunConfig, is_changeable, validate
from ..data.open import absolute_source
from ..errors import ConfigError, FaceganError
from ..reporter import Reporter
from ..storage.run_changes import SettingChange, compare_settings, read_changes, record_changes
from ..storage.run_dir import RunDir
from ..storage.safetensors_file import TensorFile
from .plan import settled, warnings

_FREE = ("data.source", *(f"train.{name}" for name in DURATIONS))  # checked by digest; shown by the number of steps


class Changes:
    """The changes of a run's settings that take effect at the state from which it continues."""

    def __init__(self, run: RunDir, written: RunConfig, state: TensorFile | None, reporter: Reporter) -> None:
        """Compare config.json with the settings of the state, where there is one and it carries them.

        Raises:
            ConfigError: The file was edited, and the setting cannot change in a run.
        """
        self._run, self._written, self._reporter = run, written, reporter
        self._step = int(state.metadata["step"]) if state else 0
        self._trained = written
        if state is not None:
            try:
                self._trained = read_config(state.path, state.metadata).complete()
            except FaceganError:  # of another version of a plugin: config.json decides
                return
            self._check_edits()

    def apply(self, wanted: Mapping[str, Mapping[str, Any]]) -> RunConfig:
        """Return the settings with the wanted ones, by section; raises ConfigError for an invalid one."""
        tree = self._written.model_dump()
        for section, values in wanted.items():
            new_length = section == "train" and any(name in DURATIONS for name in values)
            moved = section == "data" and absolute_source(values["source"]) != tree["data"]["source"]
            tree[section] |= dict.fromkeys(DURATIONS) if new_length else {"options": {}} if moved else {}
            tree[section] |= values
        tree["data"]["source"] = absolute_source(tree["data"]["source"])
        return validate(tree) if tree != self._written.model_dump() else self._written

    def settle(self, config: RunConfig, num_images: int, device: torch.device) -> RunConfig:
        """Return the settings as numbers, intervals and those that `plan.settled` knows; report new warnings."""
        config = config.model_copy(update={"output": config.output.scaled(config.train.num_steps(num_images))})
        keys = {each.key for each in self._effective(config)}
        if any(key.startswith(("train.precision", "augment.")) for key in keys):
            config = settled(config, num_images, device)
        if keys:
            known = warnings(self._trained, num_images)
            for line in warnings(config, num_images):
                if line not in known:
                    self._reporter.warning(line)
        return config

    def write_source(self, config: RunConfig) -> None:
        """Write the new place of the images into config.json, and nothing else."""
        self._run.write_config(self._written.model_copy(update={"data": config.data}).to_json())

    def write(self, config: RunConfig) -> None:
        """Record the changes, then write config.json if it is to change."""
        record_changes(self._run, self._step, self._effective(config))
        if config != self._written:
            self._run.write_config(config.to_json())

    def _effective(self, config: RunConfig) -> list[SettingChange]:
        return [each for each in compare_settings(self._trained, config, self._step) if is_changeable(each.key)]

    def _check_edits(self) -> None:
        edits = compare_settings(self._trained, self._written, self._step)
        for each in edits:
            if not is_changeable(each.key) and each.key not in _FREE:
                raise ConfigError(
                    f"{self._run.config}: {each.key} was edited from {json.dumps(each.before)} to "
                    f"{json.dumps(each.after)}, and cannot change in a run; set it back, or start a new run with "
                    f"'facegan train --config {self._run.config}'"
                )
        recorded = read_changes(self._run)
        for each in edits:
            if each not in recorded and each.key not in _FREE[1:]:
                since = f"since the state of step {self._step} was saved; it counts from there"
                self._reporter.info(f"{self._run.config}: {each}, {since}")
