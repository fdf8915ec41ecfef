"""`facegan runs`: list, explain, compare and clean up runs."""

import sys
from collections.abc import Sequence
from pathlib import Path
from string import ascii_uppercase
from typing import TYPE_CHECKING, Annotated, get_args

import typer
from rich.filesize import decimal

from ..api.options import Device, find_any_run
from ..api.options import Run as ApiRun
from ..errors import ConfigError, SnapshotError
from ..messages import counted
from .console import ConsoleReporter, print_lines
from .options import PLAIN, Json, examples, print_json, subcommand
from .tables import print_comparison, print_rows, print_run, print_runs

if TYPE_CHECKING:
    from ..reporter import Reporter
    from ..seeds import Points
    from ..storage.prune import PrunePlan
    from ..storage.run_dir import RunDir

MAX_RUNS = 8  # side by side

runs = typer.Typer(**PLAIN, help="List, explain, compare and clean up runs.")
Runs = Annotated[list[str], typer.Argument(metavar="RUN", help="Two to eight runs' folders, or their names.")]
Run = Annotated[str | None, get_args(ApiRun)[1]]
Verify = Annotated[
    bool, typer.Option("--verify", help="Read every byte of snapshots and states, and check their digests.")
]


@subcommand(runs, "list")
@examples("""
    $ facegan runs list
    runs: 2 runs, 238.4 MB

    run       status    steps               kimg   data    network      written   size      health
    celeba-2  running   1200/25000   4 %    154    celeba  dcgan 64x64  just now  119.2 MB  good
    celeba-1  finished  25000/25000  100 %  3,200  celeba  dcgan 64x64  2 h ago   119.2 MB  good
    """)
def list_(
    root: Annotated[Path, typer.Option(metavar="DIR", help="The folder of runs.")] = Path("runs"), as_json: Json = False
) -> None:
    """List the runs of a folder, the last active first."""
    from ..storage.run_status import list_runs

    if not root.is_dir():
        raise ConfigError(f"--root {root}: no such folder; train a first run with 'facegan train', or name another")
    found, foreign = list_runs(root)
    if as_json:
        described = [each.model_dump(mode="json") for each in found]
        print_json({"root": str(root), "runs": described, "foreign": foreign})
        return
    print_lines(f"{root}: {counted(len(found), 'run')}, {decimal(sum(each.size_bytes for each in found))}")
    print_runs(found)
    if foreign:
        print_lines("", f"skipped, as they are no runs: {', '.join(foreign)}")


@subcommand(runs, "show")
@examples("""
    $ facegan runs show celeba-1
    runs/celeba-1: finished at step 25000 of 25000 (100 %), last written 2 h ago
    ...
    Next
      facegan sample runs/celeba-1 -n 64 -o grid.png  draw faces of step 25000
    """)
def show(run: Run = None, verify: Verify = False, as_json: Json = False) -> None:
    """Show the settings, metrics, health and files of a run."""
    from ..api.reports import next_commands
    from ..storage.run_summary import summarize_run
    from ..storage.safetensors_file import header_problem

    found = summarize_run(find_any_run(run), _damage if verify else header_problem)
    if as_json:
        commands = [{"command": command, "why": why} for command, why in next_commands(found)]
        print_json(found.model_dump(mode="json") | {"verified": verify, "next": commands})
    else:
        print_run(found, verified=verify)


@subcommand(runs, "compare")
@examples("""
    $ facegan runs compare celeba-1 celeba-2 -o both.png
    ...
    Settings that differ
    setting         A       B
    optimizer.lr_G  0.0002  0.0001

    both.png
    """)
def compare(
    names: Runs,
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help="An image of the same seeds from each run's newest snapshot.")
    ] = None,
    seeds: Annotated[str | None, typer.Option(help="Which seeds to draw with -o. Default 0-15.")] = None,
    device: Device = None,
    as_json: Json = False,
) -> None:
    """Compare the settings, lengths, metrics and faces of runs.

    Runs whose settings make the same weights are compared to the bit, at the newest step that they have in common.
    """
    from ..api.output import parse_points
    from ..images import check_ending
    from ..storage.run_dir import find_run
    from ..storage.run_summary import compare_runs

    if not 2 <= len(names) <= MAX_RUNS:
        raise ConfigError(f"compare: takes 2 to {MAX_RUNS} runs (given: {len(names)})")
    if out is None and (seeds is not None or device is not None):
        raise ConfigError(f"{'--seeds' if seeds is not None else '--device'}: draws nothing without -o compare.png")
    if out is not None:
        check_ending(out)
    points = parse_points(seeds or "0-15")
    found = [find_run(name) for name in names]
    comparison = compare_runs(found)
    if out is not None:
        with ConsoleReporter() as reporter:
            _draw(found, points, out, device, reporter)
    if as_json:
        print_json(comparison.model_dump(mode="json") | {"picture": str(out) if out else None})
        return
    print_comparison(comparison)
    if out is not None:
        print_lines("", out)


@subcommand(runs, "clean")
@examples("""
    $ facegan runs clean celeba-1 --dry-run
    runs/celeba-1
      states/step-00020000.safetensors  62.1 MB  an older state
    1 file to remove, 62.1 MB

    $ facegan runs clean --keep-snapshots 3 --yes
    """)
def clean(
    names: Annotated[list[str] | None, typer.Argument(metavar="RUN", help="Runs; by default all under runs/.")] = None,
    keep_snapshots: Annotated[int, typer.Option(min=1, help="Valid snapshots that stay, the newest.")] = 1,
    keep_states: Annotated[int, typer.Option(min=1, help="Valid states that stay, the newest.")] = 1,
    yes: Annotated[bool, typer.Option("--yes", help="Remove without a question.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print what would be removed; remove nothing.")] = False,
    as_json: Json = False,
) -> None:
    """Remove older or damaged snapshots and states, and stray files.

    facegan shows the files and asks before it removes them. The newest valid snapshot and state of a run always stay,
    as do metrics, samples and settings, files that output.keep_snapshots_every and output.keep_states_every keep for
    good, and the best snapshot of the evaluations during training. A run that is being trained is skipped.
    """
    from ..storage.prune import plan_prune, prune_run
    from ..storage.run_dir import RunDir, find_run
    from ..storage.run_status import Kind

    if not (yes or dry_run) and (as_json or not sys.stdin.isatty()):
        raise ConfigError("clean: there is no one to ask here; give --yes to remove, or --dry-run to look")
    given = [find_run(name) for name in dict.fromkeys(names or ())]
    found = given or [RunDir(path.parent) for path in sorted(Path("runs").glob("*/config.json"))]
    keep: dict[Kind, int] = {"snapshots": keep_snapshots, "states": keep_states}
    plans = [(run, plan_prune(run, keep, _damage)) for run in found]
    total = sum(plan.size_bytes for _, plan in plans)
    num_files = sum(len(plan.files) for _, plan in plans)
    if not as_json:
        for _, plan in plans:
            _show_plan(plan)
        print_lines(f"{counted(num_files, 'file')} to remove, {decimal(total)}" if num_files else "nothing to remove")
    removing = num_files > 0 and not dry_run and (yes or typer.confirm("Remove them?"))
    for run, plan in plans if removing else ():
        if plan.files:
            prune_run(run, plan, keep, _damage)
    if as_json:
        described = [plan.model_dump(mode="json") for _, plan in plans]
        print_json({"removed": removing, "size_bytes": total, "runs": described})
    elif removing:
        print_lines(f"removed, {decimal(total)} freed")


def _damage(path: Path) -> str | None:
    """Return why a snapshot or state is damaged, by its digest; None for a valid one."""
    from ..storage.safetensors_file import open_tensors

    try:
        open_tensors(path, path.parent.name.removesuffix("s"))
    except SnapshotError as error:
        return str(error).removeprefix(f"{path}: ")
    return None


def _show_plan(plan: "PrunePlan") -> None:
    notes = [f"skipped: {plan.passed_over}"] if plan.passed_over else []
    notes += [f"{path.relative_to(plan.path)}: damaged, and left to 'facegan resume'" for path in plan.damaged]
    if num := plan.kept_for_good:
        notes.append(f"{counted(num, 'file')} kept for good: the best, or as output.keep_..._every asks")
    if plan.files or notes:
        print_lines(plan.path, *(f"  {note}" for note in notes))
    if plan.files:
        files = [(str(file.path.relative_to(plan.path)), decimal(file.size_bytes), file.why) for file in plan.files]
        print_rows(files)


def _draw(found: "Sequence[RunDir]", points: "Points", out: Path, device: str | None, reporter: "Reporter") -> None:
    """Draw the same seeds of each run side by side, every image as large as the largest run's."""
    from .. import __version__, images
    from ..checkpoint import find_checkpoint
    from ..devices import resolve_device
    from ..images.decode import MAX_PIXELS
    from ..images.layouts import side_by_side

    where = resolve_device(device or "auto")
    generators = [find_checkpoint(run.path, reporter=reporter).generator(device=where) for run in found]
    configs = [generator.origin.config for generator in generators]
    largest = max(config.resolution for config in configs)  # sides are powers of two
    num_pixels = len(found) * len(points) * largest**2
    if num_pixels > MAX_PIXELS:
        limit = f"more than other programs open ({MAX_PIXELS:,}); give fewer --seeds"
        raise ConfigError(f"-o {out}: would have {num_pixels:,} pixels, {limit}")
    grids, captions = [], []
    for letter, run, generator, config in zip(ascii_uppercase, found, generators, configs, strict=False):
        pixels = images.to_uint8(generator.images(points.z(generator)))  # (len(points), C, side, side)
        by, side = largest // config.resolution, config.resolution
        grids.append(images.grid(pixels.repeat_interleave(by, 2).repeat_interleave(by, 3)))
        captions.append(f"{letter}  {run.name}, step {generator.origin.step:,}, {side}x{side}")
    about = {"Software": f"facegan {__version__}", "Description": "synthetic faces: " + "; ".join(captions)}
    images.save(out, side_by_side(grids, captions), about)
