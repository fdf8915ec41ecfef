"""How long-running work reports: one object, passed once, that receives lines, warnings and progress."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

Progress = Callable[[int, int], None]  # (done, total)


class Reporter:
    """Receive what long-running work reports; this base class ignores all of it.

    The command line shows it, Python's callbacks receive it through `Callbacks`, and a subclass of your own can do
    anything else. Methods may be called from one thread at a time.
    """

    def begin_run(self, folder: Path, *, is_new: bool) -> None:
        """Receive the folder of the run that is about to be trained.

        Args:
            folder: The run's folder.
            is_new: It is yet to be made; until then another run may exist under its name.
        """

    def info(self, line: str) -> None:
        """Receive a line worth reading."""

    def warning(self, line: str) -> None:
        """Receive a line about something that did not work but does not stop the task."""
        self.info(line)

    def progress(
        self, task: str, done: int, total: int | None, *, unit: str = "images", metrics: Mapping[str, Any] | None = None
    ) -> None:
        """Receive the progress of a task.

        Args:
            task: The name of the task, such as "packing"; the same text throughout.
            done: Units done so far.
            total: Units in all; 0 or None while that is unknown.
            unit: The unit of the counts: "images", "bytes" or "steps".
            metrics: The line just written to metrics.jsonl, when the task is training.
        """

    def counter(self, task: str, *, unit: str = "images") -> Progress:
        """Return a callback (done, total) that reports the progress of one task."""
        return lambda done, total: self.progress(task, done, total, unit=unit)


SILENT = Reporter()


class Callbacks(Reporter):
    """Adapt the callbacks of the public Python functions to a reporter."""

    def __init__(
        self,
        *,
        line: Callable[[str], None] | None = None,
        progress: Mapping[str, Callable[[int, int], None]] | None = None,
        begin: Callable[[str], Progress] | None = None,
        transfer: Callable[[str, int, int | None], None] | None = None,
        metrics: Callable[[int, int, Mapping[str, Any]], None] | None = None,
    ) -> None:
        """Take any of the callbacks; reports without one are ignored.

        Args:
            line: Called with each line and warning.
            progress: By task, called with (done, total).
            begin: Called as a task without an entry in `progress` begins, also again; returns its (done, total).
            transfer: Called with (file, bytes here, bytes in all or None) as files arrive.
            metrics: Called with (step, number of steps, metrics) at each tick of a training run.
        """
        self._line, self._progress, self._begin = line, progress or {}, begin
        self._transfer, self._metrics = transfer, metrics
        self._task, self._done = "", 0

    def info(self, line: str) -> None:
        """Pass the line on."""
        if self._line:
            self._line(line)

    def progress(
        self, task: str, done: int, total: int | None, *, unit: str = "images", metrics: Mapping[str, Any] | None = None
    ) -> None:
        """Pass the progress to the callback for this kind of task."""
        if metrics is not None:
            if self._metrics:
                self._metrics(done, total or 0, metrics)
        elif unit == "bytes":
            if self._transfer:
                self._transfer(task, done, total)
        elif task in self._progress:
            self._progress[task](done, total or 0)
        elif self._begin:
            if task != self._task or done < self._done:
                self._show = self._begin(task)
            self._task, self._done = task, done
            self._show(done, total or 0)
