"""The settings of a run: one validated tree, built from layers, refused in the user's words.

The core sections are checked without loading torch; a plugin's section, by that plugin (`RunConfig.complete`).
"""

from .evaluation import EvaluationConfig
from .layers import (
    flat,
    named_layer,
    preset_layer,
    preset_names,
    preset_text,
    read_file,
    refuse_idle_metrics,
    resolve,
    settings_layer,
    validate,
)
from .tree import (
    DURATIONS,
    PLUGIN_SECTIONS,
    DataConfig,
    OutputConfig,
    RunConfig,
    TrainConfig,
)
from .where import Condition, parse_where
from .wording import DEVICE_PATTERN, build

__all__ = [
    "DEVICE_PATTERN",
    "DURATIONS",
    "PLUGIN_SECTIONS",
    "Condition",
    "DataConfig",
    "EvaluationConfig",
    "OutputConfig",
    "RunConfig",
    "TrainConfig",
    "build",
    "flat",
    "named_layer",
    "parse_where",
    "preset_layer",
    "preset_names",
    "preset_text",
    "read_file",
    "refuse_idle_metrics",
    "resolve",
    "settings_layer",
    "validate",
]
