"""Options and look-ups that several commands share."""

import gc
import json
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from ..errors import ConfigError, DamagedError, SnapshotError

if TYPE_CHECKING:
    from ..config import RunConfig
    from ..storage.run_dir import RunDir


class Group(TyperGroup):
    """A command of sub-commands, whose `--help` answers before pydantic is loaded."""

    def get_help_option(self, ctx: Any) -> Any:
        """`--help` with a default of its own, since typer asks pydantic what one without a default is worth."""
        option = super().get_help_option(ctx)
        if option is not None:
            option.default = False
        return option


# What every typer.Typer here is made with: plain help, and errors that are left to `main`.
PLAIN: dict[str, Any] = {
    "cls": Group, "add_completion": False, "rich_markup_mode": None, "pretty_exceptions_enable": False,
}  # fmt: skip

Epochs = Annotated[float | None, typer.Option(help="Length in passes over the images.", rich_help_panel=None)]
Kimg = Annotated[float | None, typer.Option(help="Length in thousands of real images shown.")]
Steps = Annotated[int | None, typer.Option(help="Length in updates of G.")]
MaxTime = Annotated[
    str | None,
    typer.Option(
        "--max-time", metavar="TIME", help="Save and stop after so long: 2h, 1h30m, 90m, 1d; a bare number is seconds."
    ),
]
EvaluateEvery = Annotated[
    int | None, typer.Option(metavar="K", help="Measure the faces every K steps, and keep the best snapshot; 0: never.")
]
Metrics = Annotated[
    str | None, typer.Option(metavar="LIST", help="What --evaluate-every measures, separated by commas.")
]
Device = Annotated[str | None, typer.Option(help="auto, cpu, cuda, cuda:1 or mps.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]
Run = Annotated[str | None, typer.Argument(help="A run's folder, or its name under runs/; by default the latest.")]
Model = Annotated[
    str | None, typer.Argument(help="A snapshot file, a run's folder, or its name under runs/; by default the latest.")
]

WHICH = ("data.split", "data.where", "data.limit", "data.options", "data.crop")  # settings that choose images

Source = Annotated[
    str, typer.Argument(help="What train --data takes: a folder, an archive, a downloaded dataset's name, drawn.")
]
Resolution = Annotated[
    int | None, typer.Option(help="Side of the network's images: 16, 32, 64, 128, 256; by default 64.")
]
DataSettings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="DATA.KEY=VALUE", help="A setting of the data, as for train; can be repeated."),
]


def load_torch() -> None:
    """Load torch, a tenth quicker than `import` by itself: Python's collector does not look through it as it grows."""
    gc.disable()
    try:
        import torch  # noqa: F401
    finally:
        gc.enable()


def one_duration(epochs: float | None, kimg: float | None, steps: int | None) -> dict[str, float]:
    """The duration flags that were given.

    Raises:
        ConfigError: More than one was, or one is not above 0.
    """
    given = {"epochs": epochs, "kimg": kimg, "steps": steps}
    chosen = {name: value for name, value in given.items() if value is not None}
    if len(chosen) > 1:
        raise ConfigError(f"{' and '.join('--' + name for name in chosen)} exclude each other; give one")
    for name, value in chosen.items():
        if not 0 < value < float("inf"):
            raise ConfigError(f"--{name} is {value:g}; it must be above 0, and finite")
    return chosen


def seconds_of(text: str | None) -> float | None:
    """The seconds of `2h`, `90m`, `1h30m`, `45s` or `3600`; None of None.

    Raises:
        ConfigError: It is no such time, or not above 0.
    """
    if text is None:
        return None
    match = re.fullmatch(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s?)?", text.strip().lower())
    parts = [int(part or 0) for part in match.groups()] if match else []
    seconds = sum(part * size for part, size in zip(parts, (86400, 3600, 60, 1), strict=True)) if parts else 0
    if not seconds:
        raise ConfigError(
            f"--max-time {text}: is no time above 0 in whole days, hours, minutes, seconds; give for instance 1d, 2h, "
            "1h30m, 45s"
        )
    return float(seconds)


def find_snapshot(model: str | None) -> Path:
    """The snapshot file that MODEL names: a file itself, or the newest whole snapshot of a run.

    Raises:
        SnapshotError: There is none.
    """
    if model is not None and Path(model).is_file():
        return Path(model)
    from ..storage.run_dir import find_run

    run = find_run(model)
    steps = run.steps("snapshots")
    if not steps:
        raise SnapshotError(f"{run.path}: holds no snapshot yet; train it further with 'facegan resume {run.path}'")
    from ..storage.safetensors_file import verify

    for step in reversed(steps):
        try:
            verify(run.snapshot(step))
            return run.snapshot(step)
        except DamagedError as error:
            if step == steps[0]:
                raise
            from .console import console

            console().print(f"{error}; taking the one before it", markup=False)
    raise AssertionError


def any_run(name: str | None) -> "RunDir":
    """As `find_run`, and also a run's folder that has lost its settings, or never had any; raises as it does."""
    from ..storage.run_dir import RunDir, find_run
    from ..storage.run_status import is_run

    try:
        return find_run(name)
    except SnapshotError:
        for path in (Path(name), Path("runs") / name) if name is not None else ():
            if is_run(path):
                return RunDir(path)
        raise


def allow_deterministic(wanted: bool) -> None:
    """Tell cuBLAS to keep to one order of summation, which it only does when the environment says so."""
    if wanted:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")


def print_json(document: Any) -> None:
    """One JSON document on stdout."""
    print(json.dumps(document, indent=2))


def config_of(source: str, resolution: int | None, settings: list[str] | None, allowed: tuple[str, ...]) -> "RunConfig":
    """The settings of a command on images, of which only some matter; others are refused, not ignored.

    Raises:
        ConfigError: A setting has no effect here, does not exist, or cannot be.
    """
    from ..config import resolve

    flags: dict[str, Any] = {"data": {"source": source}}
    if resolution is not None:
        flags["resolution"] = resolution
    config = resolve(flags=flags, settings=settings or [])
    for line in settings or []:
        key = line.partition("=")[0].strip()
        if not any(key == name or key.startswith(f"{name}.") for name in allowed):
            raise ConfigError(f"--set {line}: has no effect here; what can be set is {', '.join(allowed)}")
    return config
