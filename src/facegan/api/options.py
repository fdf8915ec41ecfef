"""Parameters that several verbs share: their types and help texts."""

import gc
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, Option

from ..errors import ConfigError, SnapshotError

if TYPE_CHECKING:
    from ..config import RunConfig
    from ..storage.run_dir import RunDir

PathLike = str | Path
SettingsLike = Mapping[str, Any] | Iterable[str]  # `{"section.key": value}`, or lines `section.key=value`

Run = Annotated[PathLike | None, Argument(help="A run's folder, or its name under runs/; by default the latest.")]
Model = Annotated[
    PathLike | None,
    Argument(help="A snapshot file, a run's folder, or its name under runs/; by default the latest run."),
]
Source = Annotated[
    PathLike,
    Argument(help="What train --data takes: a folder, an archive, a downloaded dataset's name, drawn."),
]
Device = Annotated[str | None, Option(help="auto, cpu, cuda, cuda:1 or mps.")]
Raw = Annotated[bool, Option("--raw", help="Use the current weights instead of their moving average.")]
Epochs = Annotated[float | None, Option(help="Length in passes over the images.")]
Kimg = Annotated[float | None, Option(help="Length in thousands of real images shown.")]
Steps = Annotated[int | None, Option(help="Length in updates of G.")]
EvaluateEvery = Annotated[
    int | None, Option(metavar="K", help="Evaluate every K steps, and keep the best snapshot; 0: never.")
]
TrainingMetrics = Annotated[
    str | None, Option(metavar="LIST", help="Metrics that --evaluate-every measures, separated by commas.")
]
Resolution = Annotated[
    int | None, Option(help="Height and width of the network's images: 16, 32, 64, 128, 256 or 512; by default 64.")
]
DataSettings = Annotated[
    SettingsLike,
    Option("--set", metavar="DATA.KEY=VALUE", help="A setting of the data, as train takes it; repeatable."),
]

CHOICE = ("data.split", "data.where", "data.limit", "data.options", "data.crop")  # settings that choose images


def data_config(
    source: PathLike, resolution: int | None, settings: SettingsLike, allowed: tuple[str, ...]
) -> "RunConfig":
    """Resolve the settings of a verb on images; raises ConfigError for one that is not in `allowed`."""
    from ..config import named_layer, resolve

    config = resolve(flags=named_layer(data=str(source), resolution=resolution), settings=settings)
    check_settings(settings, allowed, f"has no effect here; you can set {', '.join(allowed)}")
    return config


def check_settings(settings: SettingsLike, allowed: tuple[str, ...], why: str) -> dict[str, Any]:
    """Return settings by section; raises ConfigError, which says why, for one that is not in `allowed`."""
    from ..config import flat, resolve, settings_layer

    layer = settings_layer(settings)
    for key, value in flat(layer).items():
        if not any(key == name or key.startswith(f"{name}.") for name in allowed):
            resolve(settings=settings)  # refuses unknown settings and invalid values in its own words
            raise ConfigError(f"--set {key}={value}: {why}")
    return layer


def find_any_run(name: PathLike | None) -> "RunDir":
    """Find a run as `find_run` does, or a folder of a run that has lost its settings; raises SnapshotError."""
    from ..storage.run_dir import RunDir, find_run
    from ..storage.run_status import is_run

    try:
        return find_run(name)
    except SnapshotError:
        for path in (Path(name), Path("runs") / name) if name is not None else ():
            if is_run(path):
                return RunDir(path)
        raise


def load_torch() -> None:
    """Import torch with Python's garbage collector off, which is a tenth faster."""
    gc.disable()
    try:
        import torch  # noqa: F401
    finally:
        gc.enable()
