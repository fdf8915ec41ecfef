"""Reports of a run: curves, a page to send, and the commands that make sense next."""

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Argument, Option

from ..errors import ConfigError
from ..messages import shell_path
from ..reporter import SILENT, Reporter
from .options import PathLike, Run, find_any_run

if TYPE_CHECKING:
    from ..report import Report
    from ..storage.run_dir import RunDir
    from ..storage.run_summary import RunSummary


def plot(
    runs: Annotated[
        list[PathLike] | None, Argument(metavar="[RUN]...", help="Runs, overlaid; by default the latest.")
    ] = None,
    out: Annotated[PathLike | None, Option("-o", "--out", help="A .png, .svg or .pdf file.")] = None,
    *,
    metrics: Annotated[
        list[str] | None,
        Option("--metric", metavar="KEY", help="Draw a metric of evaluations.jsonl over steps; repeatable."),
    ] = None,
    arrays: Annotated[
        PathLike | None, Option(metavar="DIR", help="Write d_losses.npy and g_losses.npy into this folder.")
    ] = None,
    reporter: Reporter = SILENT,
) -> list[Path]:
    """Draw losses, D(x), D(G(z)) and speed, or metrics over steps.

    --metric draws results of facegan evaluate, or of training with --evaluate-every: the latest values by the newest
    protocol, in a band of their 95 % intervals, with the score of real images as a dotted line.
    """
    from ..images import check_ending
    from ..plots import ENDINGS, plot_curves, save_arrays, save_figure
    from ..storage.run_dir import find_run

    if out is not None:
        check_ending(Path(out), ENDINGS)
    found = [find_run(name) for name in runs] if runs else [find_run(None)]
    if arrays is not None and (metrics or len(found) > 1):
        raise ConfigError(f"--arrays {arrays}: takes the losses of one run, without --metric; call it once for each")
    if metrics:
        path = Path(out or "metrics.png")
        _save_metrics(found, list(dict.fromkeys(metrics)), path, reporter)
        return [path]
    written = []
    if out is not None or arrays is None:
        written.append(Path(out or (found[0].path / "losses.png" if len(found) == 1 else "curves.png")))
        save_figure(plot_curves(found), written[0])
    if arrays is not None:
        written += save_arrays(found[0], Path(arrays))
    return written


def _save_metrics(runs: "Sequence[RunDir]", metrics: list[str], out: Path, reporter: Reporter) -> None:
    """Draw metrics over steps; report values that are left out, and protocols that differ."""
    from ..plots import plot_metrics, protocol_difference, read_metric, save_figure

    panels = [[read_metric(run, metric) for run in runs] for metric in metrics]
    for metric, curves in zip(metrics, panels, strict=True):
        for each in curves:
            if each.num_left_out:
                what = f"values of another protocol, left out: {each.num_left_out:,}"
                reporter.info(f"{each.label}: {metric}: {what} (step {each.why})")
        if difference := protocol_difference(curves):
            reporter.info(f"{metric}: the runs were not measured alike ({difference})")
    save_figure(plot_metrics(panels), out)


def report(
    run: Run = None,
    out: Annotated[PathLike, Option("-o", "--out", help="A .html file.")] = "report.html",
    *,
    real: Annotated[
        bool, Option("--real", help="Show training images too: real people, where the data are photographs of them.")
    ] = False,
    reporter: Reporter = SILENT,
) -> "Report":
    """Write a run as one HTML page to send to others.

    It shows the grids through training, curves, health, evaluations and settings. The file needs no other file and no
    network. It shows training images only with --real, as the people on them may not want to be shared. Settings and
    command lines are shown as they were given, paths included.
    """
    from ..images import check_ending
    from ..report import write_report

    path = Path(out)
    check_ending(path, (".html", ".htm"))
    written = write_report(find_any_run(run), path, commands=next_commands, real=real, reporter=reporter)
    if written.damaged:
        reporter.warning(f"{out}: does not show {', '.join(written.damaged)}, which cannot be read")
    if written.num_left_out:
        num_grids = written.num_grids + written.num_left_out
        reporter.info(f"{out}: shows {written.num_grids} of {num_grids} grids, evenly chosen, to stay small")
    return written


def next_commands(found: "RunSummary") -> list[tuple[str, str]]:
    """Return commands that make sense now, the likeliest first, each with a description."""
    from ..storage.run_dir import DAMAGED

    run, path = found.standing, shell_path(found.standing.path)
    local = shlex.quote(str(found.standing.path))  # where no URI is taken
    again = f"facegan train --config {local}/config.json"
    files = [file for file in found.files if file.kind == "snapshots"]
    plain = found.settings and files and files[0].step == run.snapshot  # then the run's name is enough
    model = path if plain else f"{path}/snapshots/step-{run.snapshot or 0:08d}.safetensors"
    sample = (f"facegan sample {model} -n 64 -o grid.png", f"draw faces of step {run.snapshot}")
    damaged = [file for file in found.leftovers if file.path.suffix == DAMAGED]
    commands: list[tuple[str, str]] = []
    if run.standing == "running":
        commands.append((f"tail -f {local}/log.txt", "watch it"))
    elif run.standing == "finished":
        commands += [sample] if run.snapshot is not None else []
        if run.state is not None and run.num_steps:
            commands.append((f"facegan resume {path} --steps {2 * run.num_steps}", "train on, here twice as long"))
    elif run.standing == "stopped" and run.state is not None:
        commands.append((f"facegan resume {path}", f"go on from step {run.state}"))
    elif run.standing == "empty" and found.settings and not damaged:
        commands.append((f"facegan resume {path}", "begin again from the first step"))
    elif run.standing == "failed" and run.state is not None and "not finite" not in (run.reason or ""):
        commands.append((f"facegan resume {path}", f"go on from step {run.state}, once the cause is fixed"))
    elif run.standing == "failed" and "not finite" not in (run.reason or ""):
        commands.append((f"{again} --run {local} --force", "start it again, once the cause is fixed"))
    elif run.standing == "failed":
        rates = [f"--set {key}={found.settings[key] / 2:g}" for key in ("optimizer.lr_G", "optimizer.lr_D")]
        commands.append((f"{again} {' '.join(rates)}", "a new run at half the learning rates"))
    elif found.settings:
        commands.append((f"{again} --run {local} --force", "start it again; the old one is kept under another name"))
    if run.snapshot is not None and sample not in commands:
        commands.append(sample)
    if found.best and found.best.step != run.snapshot:
        best = shell_path(found.best.path)
        commands.append((f"facegan sample {best} -n 64 -o best.png", f"draw faces of step {found.best.step}, the best"))
    if len(found.files) > 2 and run.standing in ("finished", "stopped"):
        commands.append((f"facegan runs clean {path} --dry-run", "see what could be removed"))
    return commands
