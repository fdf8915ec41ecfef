"""How a person, or a system that is shutting down, stops a command."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import NoReturn


class StopRequest:
    """Ctrl-C, SIGTERM, SIGHUP and a time limit as a question that the loop asks after each step.

    The first signal asks to save and end, a second one ends at once. Until the loop has asked for the first time there
    is nothing to save, and a signal ends the program at once. A signal that whoever started the program has it ignore
    (nohup does so with SIGHUP) stays ignored.
    """

    def __init__(self, max_seconds: float | None = None, *, quiet: bool = False) -> None:
        """Begin to count the time; None: there is no limit. If `quiet`, another process says what a signal will do."""
        self.signal: int | None = None
        self._quiet = quiet
        self._asked = False
        self._end = None if max_seconds is None else time.monotonic() + max_seconds

    def __call__(self) -> bool:
        """Whether to save and end."""
        self._asked = True
        return self.signal is not None or (self._end is not None and time.monotonic() >= self._end)

    @property
    def exit_code(self) -> int:
        """130 after Ctrl-C, 143 after SIGTERM, 129 after SIGHUP; 0 when the time was up."""
        return 128 + self.signal if self.signal is not None else 0

    @contextmanager
    def listening(self) -> Iterator["StopRequest"]:
        """Take the signals while the block runs; one that an import has swallowed ends the program here."""
        if came:
            end(came[-1])
        wanted = (getattr(signal, name, None) for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK"))
        taken = [each for each in wanted if each is not None and signal.getsignal(each) != signal.SIG_IGN]
        before = [signal.signal(each, self._receive) for each in taken]
        try:
            yield self
        finally:
            for each, handler in zip(taken, before, strict=True):
                signal.signal(each, handler)

    def _receive(self, number: int, _: FrameType | None) -> None:
        if self._asked and self.signal is None:
            self.signal = number
            with suppress(OSError):  # after SIGHUP there may be nobody to tell
                os.write(
                    2, b"" if self._quiet else b"\nstopping: this step is finished and saved; once more ends at once\n"
                )
            return
        end(number)


came: list[int] = []  # the signals that were to end the program at once; some imports swallow what they raise


def take(number: int, _: FrameType | None) -> NoReturn:
    """The handler of a whole command: note the signal, and end."""
    came.append(number)
    end(number)


def end(number: int, _: FrameType | None = None) -> NoReturn:
    """End at once for a signal, through every clean-up."""
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    raise Ended(number)


class Ended(BaseException):
    """A signal other than Ctrl-C has come; `number` is its own. No plugin's `except` may take it for an error."""

    def __init__(self, number: int) -> None:
        self.number = number
        super().__init__(number)
