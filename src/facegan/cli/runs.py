"""`facegan runs`: what runs there are, how they stand and differ, and freeing the disk of what they need no more."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.filesize import decimal

from ..errors import ConfigError, SnapshotError
from .making import points_of
from .options import PLAIN, Device, Json, Run, any_run, find_snapshot, print_json

if TYPE_CHECKING:
    from ..seeds import Points
    from ..storage.prune import PrunePlan
    from ..storage.run_dir import RunDir

MOST_RUNS = 8  # beside each other

runs = typer.Typer(**PLAIN, help="List, explain, compare and clean up runs.")
Runs = Annotated[list[str], typer.Argument(metavar="RUN", help="Two to eight runs' folders, or their names.")]
Verify = Annotated[bool, typer.Option("--verify", help="Read snapshots and states whole, and check their digests.")]


@runs.command("list")
def list_(
    root: Annotated[Path, typer.Option(metavar="DIR", help="The folder of runs.")] = Path("runs"), as_json: Json = False
) -> None:
    """List the runs of a folder, the last active first: how each stands, how far it is, what it trains on."""
    from ..storage.run_status import list_runs
    from .telling import tell_standings

    if not root.is_dir():
        raise ConfigError(f"--root {root}: no such folder; train a first run with 'facegan train', or name another")
    found, foreign = list_runs(root)
    if as_json:
        described = [each.model_dump(mode="json") for each in found]
        print_json({"root": str(root), "runs": described, "foreign": foreign})
        return
    print(f"{root}: {_count(len(found), 'run')}, {decimal(sum(each.size_bytes for each in found))}")
    tell_standings(found)
    if foreign:
        print(f"\nno runs, and passed over: {', '.join(foreign)}")


@runs.command()
def show(run: Run = None, verify: Verify = False, as_json: Json = False) -> None:
    """Tell everything about one run: how it stands, its settings, length, metrics, health, files, and what is next."""
    from ..storage.run_summary import summarize_run
    from ..storage.safetensors_file import header_problem
    from .telling import finite, next_commands, tell

    found = summarize_run(any_run(run), _damage if verify else header_problem)
    if as_json:
        following = [{"command": command, "why": why} for command, why in next_commands(found)]
        print_json(finite(found.model_dump(mode="json") | {"verified": verify, "next": following}))
    else:
        tell(found, verified=verify)


@runs.command()
def compare(
    names: Runs,
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help="An image of the same seeds from each run's newest snapshot.")
    ] = None,
    seeds: Annotated[str | None, typer.Option(help="Which seeds to draw with -o. Default 0-15.")] = None,
    device: Device = None,
    as_json: Json = False,
) -> None:
    """Compare runs: the settings that differ, lengths, last metrics, and what they draw from the same seeds.

    Runs whose settings make the same weights are compared to the bit, at the newest step that they have in common.
    """
    from ..images import check_ending
    from ..storage.run_dir import find_run
    from ..storage.run_summary import compare_runs
    from .telling import finite, tell_difference

    if not 2 <= len(names) <= MOST_RUNS:
        raise ConfigError(f"compare: takes 2 to {MOST_RUNS} runs (given: {len(names)})")
    if out is None and (seeds is not None or device is not None):
        raise ConfigError(f"{'--seeds' if seeds is not None else '--device'}: draws nothing without -o compare.png")
    if out is not None:
        check_ending(out)
    chosen = points_of(seeds or "0-15")
    found = [find_run(name) for name in names]
    comparison = compare_runs(found)
    if out is not None:
        _draw(found, chosen, out, device)
    if as_json:
        print_json(finite(comparison.model_dump(mode="json") | {"picture": str(out) if out else None}))
        return
    tell_difference(comparison)
    if out is not None:
        print(f"\n{out}")


@runs.command()
def clean(
    names: Annotated[list[str] | None, typer.Argument(metavar="RUN", help="Runs; by default all under runs/.")] = None,
    keep_snapshots: Annotated[int, typer.Option(min=1, help="Whole snapshots that stay, the newest.")] = 1,
    keep_states: Annotated[int, typer.Option(min=1, help="Whole states that stay, the newest.")] = 1,
    yes: Annotated[bool, typer.Option("--yes", help="Remove without a question.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be removed; remove nothing.")] = False,
    as_json: Json = False,
) -> None:
    """Free the disk of older snapshots and states, damaged ones that were put aside, and what killed writers left.

    What would go is shown first, and asked about. The newest whole snapshot and state of a run always stay, as do
    metrics, samples and settings, what output.keep_snapshots_every and output.keep_states_every keep for good, and the
    snapshot that evaluations during training found best. A run that is being trained is passed over.
    """
    from ..storage.prune import plan_prune, prune_run
    from ..storage.run_dir import find_run
    from ..storage.run_status import Kind

    if not (yes or dry_run) and (as_json or not sys.stdin.isatty()):
        raise ConfigError("clean: there is no one to ask here; give --yes to remove, or --dry-run to look")
    found = [find_run(name) for name in dict.fromkeys(names)] if names else _all_runs()
    keep: dict[Kind, int] = {"snapshots": keep_snapshots, "states": keep_states}
    plans = [plan_prune(run, keep, _damage) for run in found]
    total = sum(plan.size_bytes for plan in plans)
    if not as_json:
        _show_plans(plans, total)
    removing = any(plan.files for plan in plans) and not dry_run
    removing = removing and (yes or typer.confirm("Remove them?"))
    if removing:
        for run, plan in zip(found, plans, strict=True):
            if plan.files:
                prune_run(run, plan, keep, _damage)
    if as_json:
        print_json({"removed": removing, "size_bytes": total, "runs": [plan.model_dump(mode="json") for plan in plans]})
    elif removing:
        print(f"removed, {decimal(total)} freed")


def _all_runs() -> "list[RunDir]":
    from ..storage.run_dir import RunDir

    return [RunDir(path.parent) for path in sorted(Path("runs").glob("*/config.json"))]


def _damage(path: Path) -> str | None:
    """Why a snapshot or a state is not whole, by its digest."""
    from ..storage.safetensors_file import read_header

    try:
        read_header(path, path.parent.name.removesuffix("s"))
    except SnapshotError as error:
        return str(error).removeprefix(f"{path}: ")
    return None


def _show_plans(plans: "Sequence[PrunePlan]", total: int) -> None:
    from .telling import listed

    for plan in plans:
        notes = [f"passed over: {plan.passed_over}"] if plan.passed_over else []
        notes += [f"{path.relative_to(plan.path)}: damaged, and left to 'facegan resume'" for path in plan.damaged]
        if plan.kept_for_good:
            notes.append(
                f"{_count(plan.kept_for_good, 'file')} kept for good: the best, or as output.keep_..._every asks"
            )
        if plan.files or notes:
            print(f"{plan.path}" + "".join(f"\n  {note}" for note in notes))
        if plan.files:
            listed([(str(file.path.relative_to(plan.path)), decimal(file.size_bytes), file.why) for file in plan.files])
    num_files = sum(len(plan.files) for plan in plans)
    print(f"{_count(num_files, 'file')} to remove, {decimal(total)}" if num_files else "nothing to remove")


def _draw(found: "Sequence[RunDir]", points: "Points", out: Path, device: str | None) -> None:
    """Draw the grids of the same seeds side by side, every image as large as the largest run's."""
    from .. import __version__, images
    from ..checkpoint import load_generator
    from ..devices import resolve_device
    from ..images.decode import MAX_PIXELS
    from .telling import letter

    where = resolve_device(device or "auto")
    generators = [load_generator(find_snapshot(str(run.path)), device=where) for run in found]
    sides = [generator.origin.config.resolution for generator in generators]
    largest = max(sides)  # sides are powers of two
    num_pixels = len(found) * len(points) * largest**2
    if num_pixels > MAX_PIXELS:
        raise ConfigError(
            f"-o {out}: would have {num_pixels:,} pixels, more than other programs open ({MAX_PIXELS:,}); "
            "give fewer --seeds"
        )
    grids, captions = [], []
    for place, (run, generator, side) in enumerate(zip(found, generators, sides, strict=True)):
        pixels = images.to_uint8(generator.images(points.z(generator)))  # (len(points), C, side, side)
        by = largest // side
        grids.append(images.grid(pixels.repeat_interleave(by, 2).repeat_interleave(by, 3)))
        captions.append(f"{letter(place)}  {run.path.name}, step {generator.origin.step:,}, {side}x{side}")
    about = {"Software": f"facegan {__version__}", "Description": "synthetic faces: " + "; ".join(captions)}
    images.save(out, images.side_by_side(grids, captions), about)


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"
