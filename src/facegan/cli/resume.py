"""`facegan resume`."""

from typing import Annotated, Any

import typer

from ..errors import ConfigError
from .options import (
    Device,
    Epochs,
    EvaluateEvery,
    Json,
    Kimg,
    MaxTime,
    Metrics,
    Run,
    Steps,
    allow_deterministic,
    load_torch,
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
        typer.Option(
            "--set", metavar="SECTION.KEY=VALUE", help="Another setting of output or evaluation; can be repeated."
        ),
    ] = None,
    device: Device = None,
    evaluate_every: EvaluateEvery = None,
    metrics: Metrics = None,
    max_time: MaxTime = None,
    as_json: Json = False,
) -> None:
    """Continue a run, or extend a finished one.

    --epochs, --kimg or --steps give a new total; without them a finished run is left as it is. Of the settings only
    those of `output` and `evaluation` can change: all others would make another run of it.
    """
    from ..config import named_layer, read_file, refuse_idle_metrics
    from ..storage.run_dir import find_run
    from ..training.distributed import joined
    from .train import conclude, take_part

    with joined() as world:
        duration, seconds, changes = one_duration(epochs, kimg, steps), seconds_of(max_time), _changes(settings or [])
        flags = named_layer(evaluate_every=evaluate_every, metrics=metrics).get("evaluation", {})
        evaluation = {**flags, **changes.get("evaluation", {})}
        found = find_run(run)
        stored = read_file(found.config)
        before = {key: stored[key] if isinstance(stored.get(key), dict) else {} for key in ("train", "evaluation")}
        refuse_idle_metrics(metrics, evaluation.get("every", before["evaluation"].get("every")))
        allow_deterministic(before["train"].get("deterministic") is True)

        if not world.is_main:
            take_part(world, seconds)
            return
        load_torch()
        from ..reporter import Callbacks
        from ..training.trainer import resume as resume_run
        from .console import TrainingConsole
        from .signals import StopRequest

        with StopRequest(seconds).listening() as stop, TrainingConsole(found.log, new=False) as console:
            reporter = Callbacks(line=console.say, progress={"packing": console.packing}, metrics=console.metrics)
            wanted = {"train": duration, "output": changes.get("output", {}), "evaluation": evaluation}
            ended = resume_run(found, wanted, device=device, reporter=reporter, stop=stop, world=world)
            if ended is None:
                console.say(
                    f"{found.path}: finished already; --epochs, --kimg or --steps with a larger total extends it"
                )
        conclude(found, console, stop.exit_code, finished=ended is not False, as_json=as_json)


def _changes(settings: list[str]) -> dict[str, Any]:
    """The settings of `output` and `evaluation` that lines give; raises ConfigError for others."""
    from ..config import settings_layer

    for line in settings:
        if not line.startswith(("output.", "evaluation.")):
            raise ConfigError(
                f"--set {line}: cannot change in a run; only settings of output and evaluation can. Start a new run "
                "for it"
            )
    return settings_layer(settings)
