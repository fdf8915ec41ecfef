"""Writing what a run keeps: beside the loop, and without ending the training when the disk cannot take it."""

import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from ..errors import TrainingError

RETRY_SECONDS = 10.0  # between two attempts at a disk that would not take something
PATIENCE_SECONDS = 300.0  # for the last files of a run

Write = Callable[[], None]


class Saver:
    """Takes every file that the loop writes, in the loop's order.

    Small ones, the lines of metrics and the grids, are written at once. Weights are copied by the caller and written by
    a thread, one set at a time, while the next steps compute. What the disk does not take is no reason to stop: small
    files wait in memory, in their order; for weights the loop is asked to save newer ones (`behind`). Weights are
    never written before the lines and grids of the steps before them, so that a state can be counted on.
    """

    def __init__(self, folder: Path, report: Callable[[str], None]) -> None:
        """Begin to write into the run's folder.

        Args:
            folder: That all files are for.
            report: Called with a line when the disk takes no more, and when it does so again.
        """
        self._folder, self._report = folder, report
        self._told = ""
        self._waiting: deque[tuple[str, Write]] = deque()
        self._writing: _Writing | None = None
        self._retry_at: float | None = None

    def __enter__(self) -> "Saver":
        return self

    def __exit__(self, _: type[BaseException] | None, error: BaseException | None, __: TracebackType | None) -> None:
        """Wait for what is being written, unless the program is told to end at once."""
        if error is None:
            self.wait()
        elif isinstance(error, Exception) and self._writing is not None:
            self._writing.join()

    def at_once(self, what: str, write: Write) -> None:
        """Write a small file, or as soon as the disk takes it again; `what` is its name in a sentence."""
        self._waiting.append((what, write))
        self._catch_up()

    def beside(self, what: str, write: Write) -> None:
        """Write weights beside the loop, after those before them; raises what `write` raises but for OSError."""
        self.wait()
        if self._catch_up():
            self._writing = _Writing(what, write)
        else:
            self._retry_at = time.monotonic() + RETRY_SECONDS

    def behind(self) -> bool:
        """Whether weights could not be written and it is time for another attempt, with those of today."""
        if self._writing is not None and not self._writing.is_alive():
            self.wait()
        return self._retry_at is not None and time.monotonic() >= self._retry_at

    def wait(self) -> None:
        """Wait until the weights that are being written are written, or are not; raises as `beside`."""
        if self._writing is None:
            return
        done, self._writing = self._writing, None
        done.join()
        if done.error is None:
            self._succeeded(done.what)
        elif isinstance(done.error, OSError):
            self._failed(done.what, done.error)
        else:
            raise done.error

    def insist(self, what: str, write: Write) -> None:
        """Write the last weights of all, and wait for a disk that does not take them.

        Raises:
            TrainingError: It did not for PATIENCE_SECONDS.
        """
        self.wait()
        given_up = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                if self._catch_up():
                    write()
                    self._succeeded(what)
                    return
            except OSError as error:
                self._failed(what, error)
            if time.monotonic() >= given_up:
                raise TrainingError(
                    f"cannot save {what} ({self._told}); what was saved before it is whole: mend that, then go on with "
                    "'facegan resume'"
                )
            time.sleep(RETRY_SECONDS)

    def _catch_up(self) -> bool:
        """Write what waits, oldest first; whether nothing waits any more."""
        while self._waiting:
            what, write = self._waiting[0]
            try:
                write()
            except OSError as error:
                self._failed(what, error)
                return False
            self._waiting.popleft()
        return True

    def _failed(self, what: str, error: OSError) -> None:
        """Tell of a failure, once for each reason, and set the time of the next attempt."""
        if not self._folder.exists():
            raise TrainingError(f"{self._folder}: has gone while it was trained; move it back, then 'facegan resume'")
        reason = error.strerror or str(error)
        if reason != self._told:
            self._report(
                f"cannot save {what} ({reason}); training goes on, saving is tried again, what was saved before stands"
            )
        self._told, self._retry_at = reason, time.monotonic() + RETRY_SECONDS

    def _succeeded(self, what: str) -> None:
        if self._retry_at is not None:
            self._report(f"saved {what}: the disk takes files again")
            self._told, self._retry_at = "", None


class _Writing(threading.Thread):
    """One set of weights on its way to the disk. It never outlives the program, which may be told to end at once."""

    def __init__(self, what: str, write: Write) -> None:
        super().__init__(name="saving", daemon=True)
        self.what, self._write = what, write
        self.error: Exception | None = None
        self.start()

    def run(self) -> None:
        """Write; what goes wrong is kept for whoever waits."""
        try:
            self._write()
        except Exception as error:
            self.error = error
