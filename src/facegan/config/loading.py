"""Configurations from layers: preset < config file < flags < `--set`."""

import json
import tomllib
from collections.abc import Callable, Iterable, Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from ..errors import ConfigError
from ..messages import nearest, one_line
from .error_messages import build
from .schema import DURATIONS, PLUGIN_SECTIONS, RunConfig

DEFAULT_PRESET = "faces"  # of a run that names neither a preset nor a file

CHANGEABLE = (  # sections and settings that may change while a run trains
    "optimizer.lr_G", "optimizer.lr_D", "optimizer.decay", "optimizer.warmup_kimg", "schedule", "ema", "augment",
    "penalty", "train.threads", "train.precision", "train.fp32_precision", "train.micro_batch", "train.channels_last",
    "train.deterministic", "train.device", "train.compile", "train.capture", "output", "evaluation",
)  # fmt: skip

# The settings whose flags have names of their own; all other flags are settings of `train`.
_NAMED = {"data": "data.source", "evaluate_every": "evaluation.every", "metrics": "evaluation.metrics"}
_NAMED |= {"seed": "seed", "resolution": "resolution"}


def resolve(
    *,
    preset: str | None = None,
    file: str | Path | None = None,
    flags: Mapping[str, Any] | None = None,
    settings: Iterable[str] | Mapping[str, Any] = (),
) -> RunConfig:
    """Build a configuration from its layers: preset < file < flags < settings.

    Args:
        preset: Name of a preset; None: the defaults, which equal the preset `dcgan`.
        file: A .toml or .json file with any part of the tree.
        flags: The settings given by the command line's own flags, as a nested dictionary; see `named_layer`.
        settings: Lines `section.key=value`, the value in TOML, a bare word a string; or values by `section.key`.

    Raises:
        ConfigError: A preset, file or setting does not exist, or a value is invalid.
    """
    layers: list[Mapping[str, Any]] = [preset_layer(preset)] if preset else []
    if file is not None:
        layers.append(read_file(Path(file)))
    layers.append(flags or {})
    layers.append(settings_layer(settings))
    tree: dict[str, Any] = RunConfig().model_dump()
    for layer in layers:
        tree = _merge(tree, layer)
    return validate(tree)


def validate(tree: Mapping[str, Any]) -> RunConfig:
    """Validate a complete tree; raises ConfigError with the first error.

    One that was stored before `data.reading` existed gets the rules of that time.
    """
    if isinstance(tree, Mapping) and isinstance(data := tree.get("data"), Mapping):
        tree = {**tree, "data": {"reading": 1, **data}}
    config: RunConfig = build(RunConfig, tree, "")
    return config


def preset_names() -> list[str]:
    """Return the names of the presets, the default first."""
    files = (entry.name for entry in (resources.files("facegan") / "presets").iterdir())
    return sorted(
        (name[:-5] for name in files if name.endswith(".toml")), key=lambda name: (name != DEFAULT_PRESET, name)
    )


def preset_text(name: str) -> str:
    """Return a preset's TOML text, with the source of each value in a comment; raises ConfigError if unknown."""
    if name not in preset_names():
        raise ConfigError(f"preset: there is no '{name}'; {nearest(name, preset_names())}")
    return (resources.files("facegan") / "presets" / f"{name}.toml").read_text(encoding="utf-8")


def preset_layer(name: str) -> dict[str, Any]:
    """Return a preset's values; raises ConfigError if unknown."""
    return tomllib.loads(preset_text(name))


def read_file(path: Path, read: Callable[[Path], bytes] = Path.read_bytes) -> dict[str, Any]:
    """Read a configuration file, TOML or JSON by its suffix; `read` returns the bytes of a path, or raises OSError.

    Raises:
        ConfigError: The file is missing, has another suffix, or does not hold a table.
    """
    readers = {".toml": tomllib.loads, ".json": json.loads}
    if path.suffix.lower() not in readers:
        raise ConfigError(f"{path}: a configuration file ends in .toml or .json")
    if path.exists() and not (path.is_file() or path.is_dir()):  # reading a pipe would block
        raise ConfigError(f"{path}: no regular file")
    try:
        tree = readers[path.suffix.lower()](read(path).decode("utf-8-sig"))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror})") from None
    except (ValueError, RecursionError) as error:  # both formats' errors are ValueErrors, and so is bad UTF-8
        raise ConfigError(f"{path}: not valid {path.suffix[1:].upper()} ({one_line(error)})") from None
    if not isinstance(tree, dict):
        raise ConfigError(f"{path}: holds a {type(tree).__name__}; a configuration is a table of settings")
    return tree


def named_layer(**given: Any) -> dict[str, Any]:
    """Return the settings that have flags of their own as one nested dictionary; None: not given."""
    settings = {_NAMED.get(name, f"train.{name}"): value for name, value in given.items()}
    return settings_layer({key: value for key, value in settings.items() if value is not None})


def refuse_idle_metrics(metrics: str | None, every: Any) -> None:
    """Raise ConfigError if metrics are named but never evaluated."""
    if metrics is not None and not every:
        raise ConfigError(
            f"--metrics {metrics}: measures nothing without --evaluate-every K, the steps between evaluations"
        )


def settings_layer(settings: Iterable[str] | Mapping[str, Any]) -> dict[str, Any]:
    """Return lines `section.key=value`, or values by `section.key`, as one nested dictionary.

    The value of a line is TOML; a bare word is a string. Raises ConfigError for a line of another form.
    """
    layer: dict[str, Any] = {}
    for key, value in settings.items() if isinstance(settings, Mapping) else map(_pair, settings):
        for part in reversed(key.split(".")):
            value = {part.strip(): value}
        layer = _overlay(layer, value)
    return layer


def _pair(line: str) -> tuple[str, Any]:
    """Return the key and the value of a line `section.key=value`."""
    key, equals, text = line.partition("=")
    if not equals or not all(part.strip() for part in key.split(".")):
        raise ConfigError(f"--set {line}: give section.key=value, for instance --set train.batch_size=64")
    try:
        (value,) = tomllib.loads(f"value = {text.strip()}").values()
    except ValueError:  # not TOML, or more than one value
        value = text.strip()
    return key, value


def _overlay(lower: Mapping[str, Any], upper: Mapping[str, Any]) -> dict[str, Any]:
    """Return `lower` updated with `upper`, table by table."""
    merged = dict(lower)
    for key, value in upper.items():
        below = merged.get(key)
        merged[key] = _overlay(below, value) if isinstance(below, Mapping) and isinstance(value, Mapping) else value
    return merged


def _merge(lower: Mapping[str, Any], upper: Mapping[str, Any]) -> dict[str, Any]:
    """Return `lower` updated with `upper`; settings that exclude each other are replaced, not mixed.

    A duration replaces that of the lower layer (null means none given); another plugin or data source drops the
    settings of the one below.
    """
    replaced = dict(lower)
    for section, value in upper.items():
        below = lower.get(section)
        if not (isinstance(value, Mapping) and isinstance(below, Mapping)):
            continue
        if section == "train" and any(value.get(name) is not None for name in DURATIONS):
            replaced[section] = {**below, **dict.fromkeys(DURATIONS)}
        elif section == "train":
            upper = {**upper, section: {key: value[key] for key in value if key not in DURATIONS}}
        elif section in PLUGIN_SECTIONS and value.get("name", below["name"]) != below["name"]:
            replaced[section] = {}
        elif section == "data" and value.get("source", below["source"]) != below["source"]:
            replaced[section] = {**below, "options": {}}
    return _overlay(replaced, upper)


def is_changeable(key: str) -> bool:
    """Return whether a setting, with dots, may change while a run trains."""
    return any(key == name or key.startswith(f"{name}.") for name in CHANGEABLE)


def flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return the settings of a tree by dotted keys, as `--set` takes them; an empty table has none."""
    lines: dict[str, Any] = {}
    for key, value in tree.items():
        lines |= flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return lines
