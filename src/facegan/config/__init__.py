"""The settings of a run: one validated tree, built from layers.

The core sections are validated without torch; a plugin validates its own section (`RunConfig.complete`).
"""

from .error_messages import build
from .filters import Condition, parse_where
from .loading import (
    CHANGEABLE,
    DEFAULT_PRESET,
    flat,
    is_changeable,
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
from .schema import DURATIONS, PLUGIN_SECTIONS, DataConfig, EvaluationConfig, RunConfig

__all__ = [
    "CHANGEABLE",
    "DEFAULT_PRESET",
    "DURATIONS",
    "PLUGIN_SECTIONS",
    "Condition",
    "DataConfig",
    "EvaluationConfig",
    "RunConfig",
    "build",
    "flat",
    "is_changeable",
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
