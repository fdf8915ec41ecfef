"""How far work on images has come, for a person who waits."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from ..reporter import Reporter
from .signals import came, end

if TYPE_CHECKING:
    from rich.progress import Progress

QUICK_SECONDS = 2.0  # work that takes no longer is not talked about
DRAWN_SECONDS = 0.1  # between two states of a bar
PLAIN_SECONDS = 10.0  # between two lines of progress where there is no terminal


@contextmanager
def counting(what: str) -> Iterator[Callable[[int, int], None]]:
    """Show how far work on images has come, with rate and time left: a bar on a terminal, else lines now and then.

    What draws is loaded with the first thing to show, so that quick work does not wait for it.

    Yields:
        What is to be called with (images done, images in all); it says nothing of work that is quickly done. Called
        with (0, 0), it shows from then on by itself that the work goes on, whether or not that counts anything.
    """
    shown, over = _Shown(what), threading.Event()
    watching: threading.Thread | None = None

    def watch() -> None:
        while not over.wait(max(shown.next_time - time.monotonic(), DRAWN_SECONDS)):
            shown.show(*shown.latest)

    def show(done: int, total: int) -> None:
        nonlocal watching
        if came:  # while processes were forked, where Python drops what a signal raises
            end(came[-1])
        shown.show(done, total)
        if not total and watching is None:
            watching = threading.Thread(target=watch, daemon=True)
            watching.start()

    try:
        yield show
    finally:
        over.set()
        if watching is not None:
            watching.join()
        shown.stop()


class ConsoleReporter(Reporter):
    """Show lines, and the progress of one task at a time, on stderr."""

    def __init__(self, task: ExitStack) -> None:
        self._task, self._name = task, ""

    def info(self, line: str) -> None:
        """Print a line."""
        from .console import console

        console().print(line, markup=False)

    def progress(self, task: str, done: int, total: int | None, **_: Any) -> None:
        """Show the progress of a task in place of that of the one before it."""
        if task != self._name:
            self._task.close()
            self._show, self._name = self._task.enter_context(counting(task)), task
        self._show(done, total or 0)


@contextmanager
def reporting() -> Iterator[Reporter]:
    """Yield a reporter that shows what it receives on stderr."""
    with ExitStack() as task:
        yield ConsoleReporter(task)


class _Shown:
    """What is shown of one piece of work.

    Attributes:
        latest: Images done, of how many; 0 of 0 as long as nothing is counted.
        next_time: When there is something to show again.
    """

    def __init__(self, what: str) -> None:
        self.latest = 0, 0
        self._what, self._started = what, time.monotonic()
        self.next_time = self._started + QUICK_SECONDS
        self._bar: Progress | None = None
        self._lock = threading.RLock()  # who counts and who watches are two

    def show(self, done: int, total: int) -> None:
        """Show so many, if it is time."""
        with self._lock:
            self.latest = done, total
            now = time.monotonic()
            if now >= self.next_time:
                self._draw(done, total, now - self._started)
                self.next_time = now + (PLAIN_SECONDS if self._bar is None else DRAWN_SECONDS)

    def _draw(self, done: int, total: int, seconds: float) -> None:
        from .console import console, duration

        talk = console()
        rate = done / max(seconds, 1e-3)
        told = f"{rate:,.0f} pictures/s" if rate >= 10 or not done else f"{rate:.2g} pictures/s"
        if talk.is_terminal:
            self._bar = self._bar or _bar(self._what)
            news = told if total else f"{duration(seconds)} so far"
            self._bar.update(self._bar.task_ids[0], completed=done, total=total or None, rate=news)
        elif total:
            left = duration((total - done) / rate) if done else "?"
            talk.print(f"{self._what} {done}/{total} images  {told}  ETA {left}", markup=False)
        else:
            talk.print(f"{self._what}  {duration(seconds)} so far", markup=False)

    def stop(self) -> None:
        """Take away a bar."""
        if self._bar is not None:
            self._bar.stop()


def _bar(what: str) -> "Progress":
    """A bar with one task, started."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from .console import console

    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[rate]}")
    bar = Progress(*columns, TimeRemainingColumn(), console=console(), transient=True)
    bar.add_task(what, total=None, rate="")
    bar.start()
    return bar
