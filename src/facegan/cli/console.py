"""What a person sees while long work runs."""

import io
import shlex
import sys
import textwrap
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, TextIO, cast

from rich.console import Console, RenderableType
from rich.filesize import decimal
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.text import Text

from ..storage.run_dir import RunDir
from .signals import Ended

QUICK_SECONDS = 2.0  # work that takes no longer is not talked about
DRAWN_SECONDS = 0.1  # between two states of a bar
PLAIN_SECONDS = 10.0  # between two lines of progress where there is no terminal


def console() -> Console:
    """Talk goes to stderr; stdout is for results."""
    return Console(file=cast(TextIO, _Lasting(sys.stderr)), highlight=False, soft_wrap=True)


class _NewsBar(Progress):
    """A bar with the time left, and under it, as wide as it needs, the latest news."""

    def __init__(self, *, console: Console, disable: bool) -> None:
        columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
        self.news, self._sheet = "", console  # before the parent begins to draw
        super().__init__(*columns, console=console, disable=disable)

    def get_renderables(self) -> Iterator[RenderableType]:
        """The bar, and the news under it."""
        yield self.make_tasks_table(self.tasks)
        yield from (Text(line) for line in textwrap.wrap(self.news, self._sheet.width))


class TrainingConsole:
    """Shows a run's progress as a live line on a terminal, else as plain lines; all lines also go to the run's log."""

    def __init__(self, log: Path, *, new: bool) -> None:
        """Begin to show a run.

        Args:
            log: The run's log.txt.
            new: Whether the run's folder is yet to be made; what stands under its name until then is another run's.
        """
        self._console = console()
        self._log, self._unlogged = log, list[str]()
        self._replaced = _identity(log) if new else None
        self._live = self._console.is_terminal
        self._bar = _NewsBar(console=self._console, disable=not self._live)
        self._entered = time.monotonic()
        self._tasks: dict[str, TaskID] = {}
        self._next_plain = self._next_drawn = 0.0
        self._last_line = ""

    def __enter__(self) -> "TrainingConsole":
        self._entered = time.monotonic()
        self._bar.start()
        return self

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        self._bar.stop()
        if isinstance(error, KeyboardInterrupt | Ended):
            folder = self._log.parent
            if states := RunDir(folder).steps("states"):
                self.say(
                    f"ended at once; from step {states[-1]} it goes on with: facegan resume {shlex.quote(str(folder))}"
                )
        if isinstance(error, Exception) and getattr(error, "exit_code", 1) != 2:  # 2: refused, and the run is as it was
            from ..storage.run_log import FAILED

            self.say(f"{FAILED}{' '.join(str(error).split())}", shown=False)  # the console hears of it at the very end

    def say(self, text: str, *, shown: bool = True) -> None:
        """One line, on the console and in the log."""
        if shown:
            self._console.print(text, markup=False)
        self._unlogged.append(text)
        with suppress(OSError):  # a full disk: the lines wait for the next one
            if _identity(self._log) not in (None, self._replaced):
                with self._log.open("a", encoding="utf-8", errors="backslashreplace") as file:
                    file.writelines(line + "\n" for line in self._unlogged)
                self._unlogged.clear()

    def packing(self, done: int, total: int) -> None:
        """The images are being packed: `done` of `total`."""
        seconds = time.monotonic() - self._entered
        rate = done / max(seconds, 1e-3)
        left = duration((total - done) / rate) if done else "?"
        line = f"packing {done}/{total} images  {rate:,.0f} pictures/s  ETA {left}"
        if seconds < QUICK_SECONDS and not self._live:
            return
        self._show("packing", done, total, "", line, done == total)
        if done == total and "packing" in self._tasks:
            self._bar.remove_task(self._tasks.pop("packing"))

    def metrics(self, step: int, num_steps: int, metrics: Mapping[str, Any]) -> None:
        """Show the progress of training at a tick."""
        news = (
            f"epoch {metrics['epoch']:.2f}  {metrics['images_per_second']:,.0f} images/s  "
            f"loss_D {metrics['loss/D']:.3f}  loss_G {metrics['loss/G']:.3f}  "
            f"D(x) {metrics['score/real']:.2f}  D(G(z)) {metrics['score/fake']:.2f} (balance 0.50)"
        )
        rate = max(metrics["images_per_second"], 1e-3)
        left = (num_steps - step) * metrics["kimg"] * 1000 / step / rate
        line = f"step {step}/{num_steps}  ETA {duration(left)}  {news}"
        self._show("step", step, num_steps, news, line, step == num_steps)

    def _show(self, name: str, done: int, total: int, news: str, line: str, last: bool) -> None:
        if self._live and (last or time.monotonic() >= self._next_drawn):
            self._next_drawn = time.monotonic() + DRAWN_SECONDS
            if name not in self._tasks:
                self._tasks[name] = self._bar.add_task(name, total=total)
            self._bar.news = news
            self._bar.update(self._tasks[name], completed=done, total=total)
        if time.monotonic() >= self._next_plain or last:
            self._next_plain = time.monotonic() + PLAIN_SECONDS
            self.say(line, shown=not self._live)


def _identity(log: Path) -> tuple[int, int] | None:
    """What tells the run whose log this is from another of the same name: of its first file; None: it is not made."""
    with suppress(OSError):
        about = log.with_name("config.json").stat()
        return about.st_ino, about.st_mtime_ns
    return None


class ByteProgress:
    """Shows files that arrive: a bar with bytes, rate and time left on a terminal, else a line every ten seconds."""

    def __init__(self) -> None:
        self._console = console()
        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            DownloadColumn(),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
        )
        self._bar = Progress(*columns, console=self._console, disable=not self._console.is_terminal)
        self._task: TaskID | None = None
        self._began, self._began_at = 0.0, 0  # when, and with how many bytes, this sitting began
        self._last = 0
        self._next_plain = 0.0

    def __enter__(self) -> "ByteProgress":
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def say(self, text: str) -> None:
        """One line of talk."""
        self._console.print(text, markup=False)

    def show(self, name: str, done: int, total: int | None) -> None:
        """So many bytes are here, of `total` if that is known; of one file, or of several that follow each other."""
        if self._task is None or done < self._last:  # the first bytes, or the first of another file
            self._restart(name, done, total)
        self._last = done
        if self._task is not None:
            self._bar.update(self._task, description=name, completed=done, total=total)
        if not self._console.is_terminal and (time.monotonic() >= self._next_plain or done == total):
            self._next_plain = time.monotonic() + PLAIN_SECONDS
            self.say(f"{name}: {self._in_words(done, total)}")

    def _restart(self, name: str, done: int, total: int | None) -> None:
        if self._task is None:
            self._bar.start()  # not before there is something to show: until then, questions may be asked
        else:
            self._bar.remove_task(self._task)
        self._task = self._bar.add_task(name, total=total)
        self._began, self._began_at = time.monotonic(), done
        self._next_plain = self._began + QUICK_SECONDS

    def _in_words(self, done: int, total: int | None) -> str:
        seconds = max(time.monotonic() - self._began, 1e-3)
        rate = max((done - self._began_at) / seconds, 1.0)
        parts = [decimal(done) + (f" of {decimal(total)}" if total else ""), f"{decimal(int(rate))}/s"]
        return ", ".join(parts + ([f"ETA {duration((total - done) / rate)}"] if total and done < total else []))


class _Lasting(io.TextIOBase):
    """A stream that outlives its terminal: what nobody can read any more is dropped, and the work goes on."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write, or drop."""
        with suppress(OSError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Flush, or do not."""
        with suppress(OSError):
            self._stream.flush()

    def isatty(self) -> bool:
        """Whether there is a terminal."""
        return self._stream.isatty()

    def fileno(self) -> int:
        """The stream's own number."""
        return self._stream.fileno()

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """The stream's own encoding."""
        return self._stream.encoding


def duration(seconds: float) -> str:
    """1:02:03 or 2:03."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def table(title: str, columns: tuple[str, ...], rows: list[tuple[Any, ...]]) -> None:
    """A table on stdout; as wide as its content where there is no terminal."""
    from rich.table import Table

    sheet = Table(*columns, title=title, title_justify="left", title_style="bold", box=None, pad_edge=False)
    for row in rows:
        sheet.add_row(*(str(cell) for cell in row))
    out = Console(highlight=False, markup=False)
    if out.is_terminal:
        out.print(sheet)
        return
    wide = Console(highlight=False, markup=False, width=1000, file=io.StringIO())
    wide.print(sheet)
    print(*(line.rstrip() for line in wide.file.getvalue().splitlines()), sep="\n")  # type: ignore[attr-defined]
