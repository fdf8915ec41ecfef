"""`facegan train`."""

import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..api import training
from ..messages import shell_path
from .console import print_lines, training_reporter
from .options import Json, MaxTime, Options, command, print_json

if TYPE_CHECKING:
    from ..training.distributed import World

EXAMPLES = """
    $ facegan train --resolution 32 --epochs 5
    runs/drawn-dcgan-1

    $ facegan train --data celeba --preset dcgan --evaluate-every 1000 --metrics fid --max-time 8h
    runs/celeba-dcgan-1

    $ facegan train --data photos/ --set optimizer.lr_G=1e-4 --dry-run
    Plan
    what       number
    num_steps  25,000
    ...
    """


@command(training.train, EXAMPLES)
def train(
    options: Options,
    *,
    max_time: MaxTime = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan; draw and write nothing.")] = False,
    as_json: Json = False,
) -> None:
    """Train a run, or print the plan of it."""
    from ..training.distributed import joined

    with joined() as world:
        if not dry_run:
            run_training(training.train, options, world, max_time, as_json=as_json)
        elif world.is_main:
            _print_plan(options, world, as_json)


def run_training(verb: Any, options: Options, world: "World", seconds: float | None, *, as_json: bool) -> None:
    """Train or resume until the end, a signal or the time limit; print the run, and exit with the signal's code."""
    from .signals import StopRequest

    with StopRequest(seconds, quiet=not world.is_main).listening() as stop:
        if not world.is_main:
            run = verb(**options, stop=stop, world=world)
            if not run.finished:
                raise SystemExit(stop.exit_code)
            return
        with training_reporter() as reporter:
            run = verb(**options, stop=stop, reporter=reporter, world=world)
    from ..storage.run_dir import RunDir

    folder = RunDir(run.path)
    path, step = shell_path(run.path), folder.steps("states")[-1]
    if run.finished:
        reporter.info(f"next: facegan sample {path} -n 64 -o grid.png")
    else:
        reporter.info(f"saved at step {step}; continue with: facegan resume {path}")
    if as_json:
        snapshot = str(folder.latest("snapshots"))
        print_json({"run": str(run.path), "step": step, "finished": run.finished, "snapshot": snapshot})
    else:
        with suppress(OSError):  # the run is what counts, also when its terminal has gone
            print_lines(run.path)
            sys.stdout.flush()
    if stop.exit_code and not run.finished:
        raise SystemExit(stop.exit_code)


def _print_plan(options: Options, world: "World", as_json: bool) -> None:
    from ..config import flat
    from ..data.packed.load import check_enough, count
    from ..training.plan import measure_pace, plan, settled, warnings, with_length
    from ..training.runtime import select_device
    from .tables import print_table

    config = training.resolve_config(**{key: value for key, value in options.items() if key not in ("run", "force")})
    config = config.complete()
    device = select_device(config, world)
    num_images = count(config.data)
    check_enough(num_images, config.train.batch_size, config.data.source)
    pace = measure_pace(config, device, world.size, seconds=1.0)
    config = settled(with_length(config, device, pace=pace), num_images, device)
    counts = plan(config, num_images)
    config = config.model_copy(update={"output": config.output.scaled(counts.num_steps)})
    minutes = round(pace.minutes(config, counts.num_steps), 1)
    for line in warnings(config, num_images):
        print_lines(line, stream=sys.stderr)
    if as_json:
        where = {"minutes": minutes, "device": str(device), "config": config.model_dump(mode="json")}
        print_json({**counts.model_dump(mode="json"), **where})
        return
    numbers = {key: value for key, value in counts.model_dump().items() if key != "guidelines"}
    rows = [(key, f"{value:,}" if isinstance(value, int) else f"{value:g}") for key, value in numbers.items()]
    guidelines = [("kept" if line.kept else "not kept", line.text, line.evidence) for line in counts.guidelines]
    print_table("Plan", ("what", "number"), [*rows, ("minutes, about", f"{minutes:,}"), ("device", str(device))])
    print_table("\nGuidelines of the DCGAN paper (section 3)", ("", "guideline", "evidence"), guidelines)
    print_table("\nSettings", ("setting", "value"), list(flat(config.model_dump(mode="json")).items()))
