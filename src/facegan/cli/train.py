"""`facegan train`."""

import shlex
from contextlib import AbstractContextManager, nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .options import (
    Device,
    Epochs,
    EvaluateEvery,
    Json,
    Kimg,
    MaxTime,
    Metrics,
    Steps,
    allow_deterministic,
    load_torch,
    one_duration,
    print_json,
    seconds_of,
)  # fmt: skip

if TYPE_CHECKING:
    from ..config import RunConfig
    from ..storage.run_dir import RunDir
    from ..training.distributed import World


def train(
    data: Annotated[
        str | None,
        typer.Option(
            help="drawn (the built-in faces; the default), a downloaded dataset's name, a folder, an archive, parquet."
        ),
    ] = None,
    run: Annotated[Path | None, typer.Option(help="The run's folder; by default runs/DATA-PRESET-NUMBER.")] = None,
    preset: Annotated[str | None, typer.Option(help="A named set of settings; 'facegan presets' shows them.")] = None,
    config: Annotated[Path | None, typer.Option(help="A .toml or .json file of settings.")] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="SECTION.KEY=VALUE", help="Any setting; can be repeated.")
    ] = None,
    resolution: Annotated[int | None, typer.Option(help="Side of the images in pixels: 16, 32, 64, 128, 256.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Pictures a step.")] = None,
    epochs: Epochs = None,
    kimg: Kimg = None,
    steps: Steps = None,
    seed: Annotated[int | None, typer.Option(help="What weights, data order and noise are drawn from.")] = None,
    device: Device = None,
    precision: Annotated[str | None, typer.Option(help="auto, fp32, bf16 or fp16.")] = None,
    deterministic: Annotated[
        bool, typer.Option("--deterministic", help="On CUDA, only kernels that repeat to the bit; slower.")
    ] = False,
    evaluate_every: EvaluateEvery = None,
    metrics: Metrics = None,
    max_time: MaxTime = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan; draw and write nothing.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Keep an existing run folder under another name.")] = False,
    as_json: Json = False,
) -> None:
    """Train a generator of faces in a new run folder."""
    from ..config import named_layer, refuse_idle_metrics, resolve
    from ..training.distributed import joined

    with joined() as world:
        flags = named_layer(
            data=data, seed=seed, resolution=resolution, batch_size=batch_size, device=device, precision=precision,
            deterministic=deterministic or None, evaluate_every=evaluate_every, metrics=metrics,
            **one_duration(epochs, kimg, steps),
        )  # fmt: skip
        wanted = resolve(preset=preset, file=config, flags=flags, settings=settings or [])
        refuse_idle_metrics(metrics, wanted.evaluation.every)
        seconds = seconds_of(max_time)
        allow_deterministic(wanted.train.deterministic)
        if dry_run:
            if world.is_main:
                _show_plan(wanted, world, as_json)
        elif not world.is_main:
            take_part(world, seconds)
        else:
            with _run_folder(run, wanted, preset or (config.stem if config else "dcgan")) as folder:
                replaces = force and run is not None  # a free name replaces nothing
                _train(wanted, folder, world, seconds, replaces, as_json)


def take_part(world: "World", seconds: float | None) -> None:
    """Train a run that another process leads, without a word of its own."""
    from ..training.worker import run_worker
    from .signals import StopRequest

    with StopRequest(seconds, quiet=True).listening() as stop:
        trained = run_worker(world, stop=stop)
    if trained and not trained[1]:
        raise SystemExit(stop.exit_code)


def _train(
    config: "RunConfig", run: "RunDir", world: "World", seconds: float | None, force: bool, as_json: bool
) -> None:
    load_torch()
    from ..reporter import Callbacks
    from ..training.trainer import train as start
    from .console import TrainingConsole
    from .signals import StopRequest

    if not force:
        run.refuse_existing()
    with StopRequest(seconds).listening() as stop, TrainingConsole(run.log, new=True) as console:
        reporter = Callbacks(line=console.say, progress={"packing": console.packing}, metrics=console.metrics)
        ended = start(config, run, reporter=reporter, stop=stop, force=force, world=world)
    conclude(run, console, stop.exit_code, finished=ended, as_json=as_json)


def conclude(run: "RunDir", console: Any, code: int, *, finished: bool, as_json: bool) -> None:
    """Say what to do next with a run that ended or was stopped, and exit with its code."""
    path = shlex.quote(str(run.path))
    if finished:
        console.say(f"next: facegan sample {path} -n 64 -o grid.png")
    else:
        console.say(f"saved at step {run.steps('states')[-1]}; continue with: facegan resume {path}")
    if as_json:
        snapshot = run.latest("snapshots")
        step = run.steps("states")[-1]
        print_json({"run": str(run.path), "step": step, "finished": finished, "snapshot": str(snapshot)})
    else:
        with suppress(OSError):  # the run is what counts, also when its terminal has gone
            print(run.path, flush=True)
    if code and not finished:
        raise SystemExit(code)


def _run_folder(path: Path | None, config: "RunConfig", settings_name: str) -> "AbstractContextManager[RunDir]":
    """The run's folder; a name that was not given is taken at once, so that no other run takes it."""
    from ..storage.run_dir import RunDir, next_free

    if path is not None:
        return nullcontext(RunDir(path))
    return next_free(Path("runs"), config.run_name(settings_name))


def _show_plan(config: "RunConfig", world: "World", as_json: bool) -> None:
    from ..config import flat
    from ..data.packed.load import check_enough, count
    from ..training.plan import plan
    from ..training.runtime import select_device
    from .console import table

    config = config.complete()
    device = select_device(config, world)
    num_images = count(config.data)
    check_enough(num_images, config.train.batch_size, config.data.source)
    counts = plan(config, num_images)
    config = config.model_copy(update={"output": config.output.scaled(counts.num_steps)})
    if as_json:
        print_json({**counts.model_dump(mode="json"), "device": str(device), "config": config.model_dump(mode="json")})
        return
    numbers = {key: value for key, value in counts.model_dump().items() if key != "guidelines"}
    rows = [(key, f"{value:,}" if isinstance(value, int) else f"{value:g}") for key, value in numbers.items()]
    table("Plan", ("what", "number"), [*rows, ("device", str(device))])
    print()
    table(
        "Guidelines of the DCGAN paper (section 3)",
        ("", "guideline", "evidence"),
        [("kept" if line.kept else "BROKEN", line.text, line.evidence) for line in counts.guidelines],
    )
    print()
    settings = [(key, value) for key, value in flat(config.model_dump(mode="json")).items()]
    table("Settings", ("setting", "value"), settings)
