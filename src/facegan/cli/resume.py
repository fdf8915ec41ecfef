"""`facegan resume`."""

from typing import Annotated, Any

import typer

from ..errors import ConfigError
from .options import (
    Device,
    Epochs,
    Json,
    Kimg,
    MaxTime,
    Run,
    Steps,
    allow_deterministic,
    one_duration,
    seconds_of,
)  # fmt: skip


def resume(
    run: Run = None,
    epochs: Epochs = None,
    kimg: Kimg = None,
    steps: Steps = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="OUTPUT.KEY=VALUE", help="Other intervals or numbers of files; can be repeated."),
    ] = None,
    device: Device = None,
    max_time: MaxTime = None,
    as_json: Json = False,
) -> None:
    """Continue a run, or extend a finished one.

    --epochs, --kimg or --steps give a new total; without them a finished run is left as it is. Of the settings only
    those of `output` can change: all others would make another run of it.
    """
    from ..config import read_file
    from ..run import find_run

    duration, seconds, output = one_duration(epochs, kimg, steps), seconds_of(max_time), _output(settings or [])
    found = find_run(run)
    train = read_file(found.config).get("train")
    allow_deterministic(isinstance(train, dict) and train.get("deterministic") is True)

    from ..training.runs import resume as resume_run
    from .console import TrainingConsole
    from .signals import StopRequest
    from .train import conclude

    with StopRequest(seconds).listening() as stop, TrainingConsole(found.log, new=False) as console:
        ended = resume_run(
            found, duration=duration, output=output, device=device,
            report=console.report, packing=console.packing, stop=stop,
        )  # fmt: skip
        if ended is None:
            console.say(f"{found.path}: finished already; --epochs, --kimg or --steps with a larger total extends it")
    conclude(found, console, stop.exit_code, finished=ended is not False, as_json=as_json)


def _output(settings: list[str]) -> dict[str, Any]:
    """The settings of `output` that lines give; raises ConfigError for others."""
    from ..config import settings_layer

    for line in settings:
        if not line.startswith("output."):
            raise ConfigError(
                f"--set {line}: cannot change in a run; only settings of output can. Start a new run for it"
            )
    section = settings_layer(settings).get("output", {})
    return dict(section)
