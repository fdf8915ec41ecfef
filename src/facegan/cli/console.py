"""Show people what long-running work reports: on stderr, and in a run's log."""

import shlex
import sys
import textwrap
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO, cast

from ..reporter import Reporter
from .signals import Ended, came, end

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, ProgressColumn

    from ..storage.run_dir import RunDir


QUICK_SECONDS = 2.0  # tasks that take no longer are not shown
DRAWN_SECONDS = 0.1  # between two states of a bar
PLAIN_SECONDS = 10.0  # between two lines of progress where there is no terminal


@dataclass
class _Task:
    """A task that has begun: its latest progress, and when to show it again."""

    name: str
    unit: str
    first: int  # units that were done when it began, such as the bytes of an earlier attempt
    started: float = field(default_factory=lambda: time.monotonic())
    shown_from: float = 0.0
    next_drawn: float = 0.0
    next_line: float = 0.0
    done: int = 0
    total: int = 0
    metrics: Mapping[str, Any] = field(default_factory=dict)

    @property
    def seconds(self) -> float:
        return max(time.monotonic() - self.started, 1e-3)

    @property
    def rate(self) -> float:
        """Units per second, of those done since it began."""
        return (self.done - self.first) / self.seconds

    def is_ended_by(self, name: str, done: int, unit: str) -> bool:
        """Whether this progress is that of another task; the files of one download follow each other."""
        return unit != self.unit or done < self.done or (unit != "bytes" and name != self.name)


class ConsoleReporter(Reporter):
    """Show lines as they come, and progress as a bar on a terminal, else as a line every ten seconds.

    Quick tasks are not shown. A terminal that vanishes, or a disk without room for the log, does not end the work.
    """

    def __init__(self, *, repeat: bool = True) -> None:
        """Begin to report; `repeat` shows a line again that was shown before."""
        self.lines: list[str] = []  # all that were shown
        self._repeat, self._unlogged = repeat, list[str]()
        self.run: RunDir | None = None  # that is being trained
        self._replaced: tuple[int, int] | None = None  # the run whose folder is to be replaced
        self._task: _Task | None = None
        self._next_step_line = 0.0
        self._bar: Progress | None = None
        self._lock = threading.RLock()  # the watcher draws as well
        self._watcher: threading.Thread | None = None
        self._closed = threading.Event()

    def __enter__(self) -> "ConsoleReporter":
        return self

    def __exit__(self, *_: object) -> None:
        self._closed.set()
        if self._watcher:
            self._watcher.join()
        self._end_task()

    def begin_run(self, folder: Path, *, is_new: bool) -> None:
        """Add all further lines to the log of the run as well."""
        from ..storage.run_dir import RunDir

        self.run = RunDir(folder)
        self._replaced = _identity(self.run) if is_new else None

    def info(self, line: str) -> None:
        """Show a line, and log it."""
        if self._repeat or line not in self.lines:
            self.lines.append(line)
            self._console.print(line, markup=False)
        self.write_log(line)

    def progress(
        self, task: str, done: int, total: int | None, *, unit: str = "images", metrics: Mapping[str, Any] | None = None
    ) -> None:
        """Show the progress of a task when it is time to; raises what a signal raises that an import swallowed."""
        if came:  # while processes were forked, where Python drops what a signal raises
            end(came[-1])
        with self._lock:
            if self._task and self._task.is_ended_by(task, done, unit):
                self._end_task()
            if self._task is None:
                self._task = self._begin(task, done, unit)
            self._task.name, self._task.done, self._task.total = task, done, total or 0
            self._task.metrics = metrics or {}
            self._show_if_due(self._task)
            if unit == "images" and not total and self._watcher is None:  # it may count nothing
                self._watcher = threading.Thread(target=self._watch, daemon=True)
                self._watcher.start()

    @property
    def _console(self) -> "Console":
        """The console of a live bar, else of stderr as it is now."""
        return self._bar.console if self._bar else stderr_console()

    @cached_property
    def _is_live(self) -> bool:
        return self._console.is_terminal

    def _begin(self, name: str, done: int, unit: str) -> _Task:
        task = _Task(name, unit, done if unit == "bytes" else 0)
        if unit == "steps":
            task.next_line = self._next_step_line
        elif not (unit == "bytes" and self._is_live):
            task.shown_from = task.started + QUICK_SECONDS
        return task

    def _end_task(self) -> None:
        with self._lock:
            if self._bar:
                self._bar.stop()
            self._bar = self._task = None

    def _watch(self) -> None:
        """Show a task that counts nothing again and again."""
        while not self._closed.wait(DRAWN_SECONDS):
            with self._lock:
                if self._task and self._task.unit == "images":
                    self._show_if_due(self._task)

    def _show_if_due(self, task: _Task) -> None:
        now, last = time.monotonic(), task.done == task.total > 0
        if now < task.shown_from:
            return
        if self._is_live and (last or now >= task.next_drawn):
            task.next_drawn = now + DRAWN_SECONDS
            self._bar = self._bar or _make_bar(self._console, task.unit)
            name, total = task.name if task.unit != "steps" else "step", task.total or None
            (number,) = self._bar.task_ids
            self._bar.update(number, description=name, completed=task.done, total=total, news=_news_of(task))
        if last or now >= task.next_line:
            task.next_line = now + PLAIN_SECONDS
            if task.unit == "steps":
                self._next_step_line = task.next_line
            if not self._is_live:
                self._console.print(_line_of(task), markup=False)
            self.write_log(_line_of(task))
        if last:  # what follows is another task
            task.shown_from = float("inf")

    def write_log(self, line: str) -> None:
        """Add a line to the log alone."""
        if self.run is None:
            return
        self._unlogged.append(line)
        with suppress(OSError):  # a full disk: the lines wait for the next one
            if _identity(self.run) not in (None, self._replaced):
                with self.run.log.open("a", encoding="utf-8", errors="backslashreplace") as file:
                    file.writelines(each + "\n" for each in self._unlogged)
                self._unlogged.clear()


@contextmanager
def training_reporter() -> Iterator[ConsoleReporter]:
    """Report a training; log why it failed, and say how to continue a run that a signal ended at once."""
    with ConsoleReporter() as reporter:
        try:
            yield reporter
        except (KeyboardInterrupt, Ended):
            if reporter.run and (states := reporter.run.steps("states")):
                path = shlex.quote(str(reporter.run.path))
                reporter.info(f"ended at once; continue from step {states[-1]} with: facegan resume {path}")
            raise
        except Exception as error:
            if getattr(error, "exit_code", 1) != 2:  # 2: refused, and the run is as it was
                from ..storage.run_log import FAILED

                reporter.write_log(f"{FAILED}{' '.join(str(error).split())}")
            raise


def _identity(run: "RunDir") -> tuple[int, int] | None:
    """Return what tells a run from another of the same name; None while it does not exist."""
    with suppress(OSError):
        about = run.config.stat()
        return about.st_ino, about.st_mtime_ns
    return None


def _line_of(task: _Task) -> str:
    """Return a line of progress, for a log or a stream without a terminal."""
    if task.unit == "bytes":
        from rich.filesize import decimal

        rate = max(task.rate, 1.0)
        parts = [decimal(task.done) + (f" of {decimal(task.total)}" if task.total else ""), f"{decimal(int(rate))}/s"]
        parts += [f"ETA {duration((task.total - task.done) / rate)}"] if task.done < task.total else []
        return f"{task.name}: {', '.join(parts)}"
    if task.unit == "steps":
        rate = max(task.metrics["images_per_second"], 1e-3)
        seconds = (task.total - task.done) * task.metrics["kimg"] * 1000 / task.done / rate
        return f"step {task.done}/{task.total}  ETA {duration(seconds)}  {_news_of(task)}"
    if not task.total:
        return f"{task.name}  {duration(task.seconds)} so far"
    left = duration((task.total - task.done) / task.rate) if task.done else "?"
    return f"{task.name} {task.done}/{task.total} images  {_news_of(task)}  ETA {left}"


def _news_of(task: _Task) -> str:
    """Return what a bar says next to its counts."""
    if task.unit == "bytes":
        return ""
    if task.unit == "steps":
        metrics = task.metrics
        return (
            f"epoch {metrics['epoch']:.2f}  {metrics['images_per_second']:,.0f} images/s  "
            f"loss_D {metrics['loss/D']:.3f}  loss_G {metrics['loss/G']:.3f}  "
            f"D(x) {metrics['score/real']:.2f}  D(G(z)) {metrics['score/fake']:.2f} (balance 0.50)"
        )
    if not task.total:
        return f"{duration(task.seconds)} so far"
    return f"{task.rate:,.0f} images/s" if task.rate >= 10 or not task.done else f"{task.rate:.2g} images/s"


def _make_bar(console: "Console", unit: str) -> "Progress":
    """Return a bar with one task, started; a run's news are below it, as wide as they need."""
    from rich import progress
    from rich.console import RenderableType
    from rich.text import Text

    class Bar(progress.Progress):
        def get_renderables(self) -> Iterator[RenderableType]:
            yield self.make_tasks_table(self.tasks)
            if unit == "steps" and self.tasks:
                yield from (Text(line) for line in textwrap.wrap(self.tasks[0].fields["news"], console.width))

    left = progress.TimeRemainingColumn()
    counts: dict[str, list[ProgressColumn]] = {
        "bytes": [progress.DownloadColumn(), progress.TransferSpeedColumn(), left],
        "steps": [progress.MofNCompleteColumn(), left],
        "images": [progress.MofNCompleteColumn(), progress.TextColumn("{task.fields[news]}"), left],
    }
    name = progress.TextColumn("{task.description}", markup=False)
    bar = Bar(name, progress.BarColumn(), *counts[unit], console=console, transient=unit == "images")
    bar.add_task("", total=None, news="")
    bar.start()
    return bar


class _LastingStream:
    """A stream that outlives its terminal: what nobody can read any more is dropped."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        with suppress(OSError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with suppress(OSError):
            self._stream.flush()


def stderr_console() -> "Console":
    """Return a console on stderr, for lines and bars; stdout is for results."""
    from rich.console import Console

    return Console(file=cast(TextIO, _LastingStream(sys.stderr)), highlight=False, soft_wrap=True)


def duration(seconds: float) -> str:
    """Format a number of seconds as 1:02:03 or 2:03."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
