"""Show people what long-running work reports: on stderr, and in a run's log."""

import os
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO, cast

from ..messages import printable, shell_path
from ..reporter import Reporter
from .signals import Ended, came, end

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

    from ..storage.run_dir import RunDir


QUICK_SECONDS = 2.0  # tasks that take no longer are not shown
WATCH_SECONDS = 0.1  # between two looks at a task that may count nothing
PLAIN_SECONDS = 10.0  # between two lines of progress in a log, or where there is no terminal


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
        self._bar: Progress | None = None  # of the task that is under way; on a terminal it is started when it is due
        self._unit = ""
        self._shown_from = self._next_line = 0.0
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
            self._print(line)
        self.write_log(line)

    def progress(
        self, task: str, done: int, total: int | None, *, unit: str = "images", metrics: Mapping[str, Any] | None = None
    ) -> None:
        """Show the progress of a task when it is due; raise the exception of a signal that an import swallowed."""
        if came:  # while processes were forked, where Python drops the exception of a signal
            end(came[-1])
        name = task if unit != "steps" else "step"
        fields: dict[str, Any] = {"news": _news_of(metrics)} if metrics else {}
        with self._lock:
            if self._bar:  # the files of one download follow each other
                shown = self._bar.tasks[0]
                if unit != self._unit or done < shown.completed or (unit != "bytes" and name != shown.description):
                    self._end_task()
            self._bar = self._bar or self._begin(unit)
            self._bar.update(self._bar.task_ids[0], description=name, completed=done, total=total or None, **fields)
            self._show_if_due()
            if unit == "images" and not total and self._watcher is None:
                self._watcher = threading.Thread(target=self._watch, daemon=True)
                self._watcher.start()

    def _begin(self, unit: str) -> "Progress":
        bar, now = _make_bar(unit), time.monotonic()
        is_shown_at_once = unit == "steps" or (unit == "bytes" and bar.console.is_terminal)
        self._unit, self._shown_from = unit, now if is_shown_at_once else now + QUICK_SECONDS
        return bar

    def _end_task(self) -> None:
        with self._lock:
            if self._bar and self._bar.live.is_started:
                self._bar.stop()
            self._bar = None

    def _print(self, line: str) -> None:
        """Print above a live bar, or to the current stderr."""
        console = self._bar.console if self._bar and self._bar.live.is_started else stderr_console()
        console.print(line)

    def _watch(self) -> None:
        """Show a task that counts nothing again and again."""
        while not self._closed.wait(WATCH_SECONDS):
            with self._lock:
                if self._bar and self._unit == "images":
                    self._show_if_due()

    def _show_if_due(self) -> None:
        bar, now = cast("Progress", self._bar), time.monotonic()
        if now < self._shown_from:
            return
        if bar.console.is_terminal and not bar.live.is_started:
            bar.start()
        (task,) = bar.tasks
        if task.finished or now >= self._next_line:
            self._next_line = now + PLAIN_SECONDS
            name, _, *columns = (cast("Any", column).render(task) for column in bar.columns)
            line = f"{name} {'  '.join(filter(None, map(str, [*columns, task.fields['news']])))}"
            if not bar.console.is_terminal:
                self._print(line)
            self.write_log(line)
        if task.finished:  # what follows is another task
            self._shown_from = float("inf")

    def write_log(self, line: str) -> None:
        """Add a line to the log alone."""
        if self.run is None:
            return
        from ..storage.atomic import open_regular

        self._unlogged.append(printable(line))
        with suppress(OSError):  # a full disk: the lines wait for the next one; nothing is written through a link
            if _identity(self.run) not in (None, self._replaced):
                with open_regular(self.run.log, "ab") as file:
                    file.write("".join(f"{each}\n" for each in self._unlogged).encode("utf-8", "backslashreplace"))
                self._unlogged.clear()


@contextmanager
def training_reporter() -> Iterator[ConsoleReporter]:
    """Report a training; log why it failed, and say how to continue a run that a signal ended at once."""
    with ConsoleReporter() as reporter:
        try:
            yield reporter
        except (KeyboardInterrupt, Ended):
            if reporter.run and (states := reporter.run.steps("states")):
                path = shell_path(reporter.run.path)
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


def _news_of(metrics: Mapping[str, Any]) -> str:
    news = (
        f"epoch {metrics['epoch']:.2f}  {metrics['images_per_second']:,.0f} images/s  "
        f"loss_D {metrics['loss/D']:.3f}  loss_G {metrics['loss/G']:.3f}"
    )
    if "score/real" in metrics:  # some losses give single images none
        news += f"  D(x) {metrics['score/real']:.2f}  D(G(z)) {metrics['score/fake']:.2f} (balance 0.50)"
    return news


def _make_bar(unit: str) -> "Progress":
    """Return a bar with one task; the metrics of a run are below it, as wide as they need."""
    from rich import progress
    from rich.console import RenderableType
    from rich.text import Text

    class Bar(progress.Progress):
        def get_renderables(self) -> Iterator[RenderableType]:
            yield self.make_tasks_table(self.tasks)
            news = [task.fields["news"] for task in self.tasks if task.fields["news"]]
            yield from (Text(line, no_wrap=False, overflow="fold") for line in news)

    class Left(progress.TimeRemainingColumn):
        def render(self, task: progress.Task) -> Text:
            return Text("ETA ") + super().render(task) if task.total else Text(f"{duration(task.elapsed or 0)} so far")

    class Rate(progress.ProgressColumn):
        def render(self, task: progress.Task) -> Text:
            speed = task.finished_speed or task.speed
            return Text(f"{speed:,.{0 if speed >= 10 else 2}f} images/s" if speed else "")

    left = Left(compact=True)
    columns: dict[str, list[progress.ProgressColumn]] = {
        "bytes": [progress.DownloadColumn(), progress.TransferSpeedColumn(), left],
        "steps": [progress.MofNCompleteColumn(), left],
        "images": [progress.MofNCompleteColumn(), Rate(), left],
    }
    name, console = progress.TextColumn("{task.description}", markup=False), stderr_console()
    options: dict[str, Any] = {"transient": unit == "images", "get_time": lambda: time.monotonic()}
    bar = Bar(name, progress.BarColumn(), *columns[unit], console=console, speed_estimate_period=3600, **options)
    bar.add_task("", total=None, news="")
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
    return escaping_console(file=cast(TextIO, _LastingStream(sys.stderr)), soft_wrap=True)


def escaping_console(**options: Any) -> "Console":
    """Return a console of rich that shows text unchanged, but escapes what could control the terminal."""
    from rich.console import Console
    from rich.segment import Segment

    class Escaping(Console):
        def render(self, *args: Any, **kwargs: Any) -> Iterator[Segment]:
            for text, style, control in super().render(*args, **kwargs):
                yield Segment(text if control else "\n".join(map(printable, text.split("\n"))), style, control)

    return Escaping(highlight=False, markup=False, emoji=False, **options)


def print_lines(*lines: object, stream: TextIO | None = None) -> None:
    """Print lines, on stdout unless another stream is given, and escape what could control the terminal.

    All text of the command line leaves through this function or an `escaping_console`.
    """
    text = "".join(f"{printable(str(line))}\n" for line in lines or [""])
    (stream or sys.stdout).write(text)


def open_streams() -> None:
    """Have closed standard streams behave as /dev/null, and stdout escape the characters that its encoding lacks."""
    for number, (name, mode) in enumerate({"stdin": "r", "stdout": "w", "stderr": "w"}.items()):
        try:
            os.fstat(number)
        except OSError:  # the next file that is opened would get this number, and receive what is printed
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode))  # noqa: PTH123, SIM115
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def duration(seconds: float) -> str:
    """Format a number of seconds as 1:02:03 or 2:03."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
