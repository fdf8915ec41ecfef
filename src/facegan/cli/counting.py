"""How far work on pictures has come, for a person who waits."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from .signals import came, end

if TYPE_CHECKING:
    from rich.progress import Progress

QUICK_SECONDS = 2.0  # work that takes no longer is not talked about
DRAWN_SECONDS = 0.1  # between two states of a bar
PLAIN_SECONDS = 10.0  # between two lines of progress where there is no terminal


@contextmanager
def counting(what: str) -> Iterator[Callable[[int, int], None]]:
    """Show how far work on pictures has come, with rate and time left: a bar on a terminal, else lines now and then.

    What draws is loaded with the first thing to show, so that quick work does not wait for it.

    Yields:
        What is to be called with (pictures done, pictures in all); it says nothing of work that is quickly done.
    """
    started = time.monotonic()
    next_time = started + QUICK_SECONDS
    bar: Progress | None = None

    def show(done: int, total: int) -> None:
        nonlocal next_time, bar
        if came:  # while processes were forked, where Python drops what a signal raises
            end(came[-1])
        now = time.monotonic()
        if now < next_time:
            return
        from .console import console, duration

        talk = console()
        rate = done / max(now - started, 1e-3)
        told = f"{rate:,.0f} pictures/s" if rate >= 10 or not done else f"{rate:.2g} pictures/s"
        if talk.is_terminal:
            next_time = now + DRAWN_SECONDS
            bar = bar or _bar(what)
            bar.update(bar.task_ids[0], completed=done, total=total, rate=told)
        else:
            next_time = now + PLAIN_SECONDS
            left = duration((total - done) / rate) if done else "?"
            talk.print(f"{what} {done}/{total} pictures  {told}  ETA {left}", markup=False)

    try:
        yield show
    finally:
        if bar is not None:
            bar.stop()


def _bar(what: str) -> "Progress":
    """A bar with one task, started."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from .console import console

    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[rate]}")
    bar = Progress(*columns, TimeRemainingColumn(), console=console(), transient=True)
    bar.add_task(what, total=None, rate="")
    bar.start()
    return bar
