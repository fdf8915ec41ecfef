"""Which metrics are measured, with which settings."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from .. import plugins
from ..config import build, settings_layer
from ..errors import ConfigError, PluginError
from ..messages import nearest, quoted
from .metric import Metric

# Settings of the real images that can be given to an evaluation: which, and how each becomes a square.
OF_DATA = ("split", "where", "limit", "options", "crop", "filter", "draft")


@dataclass(frozen=True)
class Settings:
    """What `--set` said.

    Attributes:
        data: Settings of the real images.
        channels: 3 for colour, 1 for grey; None: as the images are.
        metrics: Settings of metrics, by key.
    """

    data: Mapping[str, Any] = field(default_factory=dict)
    channels: int | None = None
    metrics: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class Choice:
    """The metrics that are wanted.

    Attributes:
        metrics: By key, in the order of measuring.
    """

    metrics: Mapping[str, Metric]

    @property
    def spaces(self) -> set[str]:
        """In which spaces vectors are wanted."""
        return {metric.space for metric in self.metrics.values()}

    def of_space(self, space: str) -> list[str]:
        """The keys of a space."""
        return [key for key, metric in self.metrics.items() if metric.space == space]


def read_settings(settings: Iterable[str] | Mapping[str, Any]) -> Settings:
    """Sort lines `section.key=value`, or values by `section.key`.

    Raises:
        ConfigError: There is no such section, or the setting has no effect on an evaluation.
    """
    layer = settings_layer(settings)
    data, channels = layer.pop("data", {}), layer.pop("channels", None)
    if channels not in (None, 1, 3):
        raise ConfigError(f"config: channels is {quoted(channels)}; it must be 1 or 3")
    if not isinstance(data, Mapping):
        raise ConfigError(f"config: data is {quoted(data)}; it must be a table")
    for key in data:
        if key not in OF_DATA:
            can = ", ".join(f"data.{each}" for each in OF_DATA)
            raise ConfigError(f"config: data.{key} has no effect on an evaluation; what can be set is {can}")
    known = plugins.names("metric")
    for key, fields in layer.items():
        if key not in known:
            raise ConfigError(f"config: no setting {quoted(key)}; {nearest(key, ['data', 'channels', *known])}")
        if not isinstance(fields, Mapping):
            raise ConfigError(f"config: {key} is {quoted(fields)}; it must be a table")
    return Settings(data, channels, layer)


def choose(
    names: Iterable[str] | None, settings: Mapping[str, Mapping[str, Any]], say: Callable[[str], None]
) -> Choice:
    """Make metrics from their names and settings.

    Args:
        names: Keys; None: all there are, without those of packages that do not load.
        settings: Of metrics, by key.
        say: Told, in a line each, of what does not load.

    Raises:
        ConfigError: There is no such metric (the nearest are named), none is named, or a setting does not exist,
            cannot be, or is of a metric that is not wanted.
        PluginError: A metric that was named does not load.
    """
    wanted = plugins.names("metric") if names is None else list(dict.fromkeys(names))
    if not wanted:
        raise ConfigError(f"metrics: none is named; there is: {', '.join(plugins.names('metric'))}")
    for key, fields in settings.items():
        if key not in wanted:
            raise ConfigError(
                f"config: {key}.{next(iter(fields), '')} is set, but {key} is not among the metrics "
                f"({', '.join(wanted)}); add it, or leave the setting out"
            )
    metrics: dict[str, Metric] = {}
    for key in wanted:
        try:
            model = plugins.find("metric", key)
        except PluginError as error:
            if names is not None:
                raise
            say(str(error))
            continue
        metrics[key] = build(model, settings.get(key, {}), where=key)
    return Choice(metrics)
