"""Writing a run's files without stopping the training: weights in the background, and retries when a disk is full."""

import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from ..checkpoint import snapshot_metadata
from ..config import RunConfig
from ..errors import TrainingError
from ..reporter import Reporter
from ..storage.best_snapshot import best_snapshot
from ..storage.run_dir import RunDir
from ..storage.safetensors_file import write_tensors
from .state import NETWORKS, TrainState

RETRY_SECONDS = 10.0  # between two attempts at a disk that is full
PATIENCE_SECONDS = 300.0  # for the last files of a run

Write = Callable[[], None]


def copy_weights(run: RunDir, state: TrainState, *, snapshot: bool, data_digest: str | None) -> Write:
    """Copy the weights of this step to the CPU; return a function that writes them, whatever the state does meanwhile.

    A snapshot is written before the state, which implies that its step's other files exist. `data_digest` is that of
    the training set, for a state; None writes no state.
    """
    config, step = state.config, state.step
    prefixes = ("",) if data_digest is not None else NETWORKS
    chosen = {key: value for key, value in state.tensors().items() if key.startswith(prefixes)}
    copies = {key: value.detach().to("cpu", copy=True) for key, value in chosen.items()}
    metadata = state.metadata(data_digest) if data_digest is not None else None

    def write() -> None:
        if snapshot:
            networks = {key: value for key, value in copies.items() if key.partition(".")[0] in NETWORKS}
            write_tensors(run.snapshot(step), "snapshot", networks, snapshot_metadata(config, step))
            prune_snapshots(run, config, step)
        if metadata is not None:
            run.sync_metrics()
            write_tensors(run.state(step), "state", copies, metadata)
            prune_states(run, config)

    return write


def prune_snapshots(run: RunDir, config: RunConfig, step: int) -> None:
    """Remove the snapshots that the settings do not keep, once that of `step` is written."""
    every, evaluation = config.output, config.evaluation
    found = best_snapshot(run, evaluation)
    spare = {found.step} if found else ()
    since_regular = range(step - (step - 1) % every.snapshot_every, step)
    at_stops = [each for each in since_regular if not evaluation.every or each % evaluation.every]
    run.keep("snapshots", every.keep_snapshots, every.keep_snapshots_every, spare=spare, replaced=at_stops)


def prune_states(run: RunDir, config: RunConfig) -> None:
    """Remove the states that the settings do not keep."""
    run.keep("states", config.output.keep_states, config.output.keep_states_every)


class Saver:
    """Writes every file of the loop, in the loop's order.

    Small files, the lines of metrics and the grids, are written immediately. Weights are copied by the caller and
    written by a thread, one set at a time, while the next steps compute. A full disk does not stop the training: small
    files wait in memory, in their order; for weights the loop is asked to save newer ones (`is_retry_due`). Weights are
    never written before the lines and grids of earlier steps, so a state can rely on them.
    """

    def __init__(self, folder: Path, reporter: Reporter) -> None:
        self._folder, self._reporter = folder, reporter
        self._reason = ""  # of the last failure; "" after a success
        self._waiting: deque[tuple[str, Write]] = deque()
        self._writing: _Writing | None = None
        self._retry_at: float | None = None

    def __enter__(self) -> "Saver":
        return self

    def __exit__(self, _: type[BaseException] | None, error: BaseException | None, __: TracebackType | None) -> None:
        """Wait for the weights that are being written, unless the program must end immediately."""
        if error is None:
            self.wait()
        elif isinstance(error, Exception) and self._writing is not None:
            self._writing.join()

    def write(self, name: str, write: Write) -> None:
        """Write a small file now, or as soon as the disk takes it; `name` describes it in messages."""
        self._waiting.append((name, write))
        self._flush()

    def write_in_background(self, name: str, write: Write) -> None:
        """Write weights concurrently, after those before them; raises what `write` raises except OSError."""
        self.wait()
        if self._flush():
            self._writing = _Writing(name, write)
        else:
            self._retry_at = time.monotonic() + RETRY_SECONDS

    def write_last(self, name: str, write: Write) -> None:
        """Write the last weights of all; raises TrainingError if the disk stays full for PATIENCE_SECONDS."""
        self.wait()
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                if self._flush():
                    write()
                    self._succeed(name)
                    return
            except OSError as error:
                self._fail(name, error)
            if time.monotonic() >= deadline:
                raise TrainingError(
                    f"cannot save {name} ({self._reason}); everything saved before it is valid: fix that, then "
                    "continue with 'facegan resume'"
                )
            time.sleep(RETRY_SECONDS)

    def is_retry_due(self) -> bool:
        """Return whether weights could not be written and it is time to try again, with the current ones."""
        if self._writing is not None and not self._writing.is_alive():
            self.wait()
        return self._retry_at is not None and time.monotonic() >= self._retry_at

    def wait(self) -> None:
        """Wait for the weights that are being written; raises as `write_in_background`."""
        if self._writing is None:
            return
        done, self._writing = self._writing, None
        done.join()
        if done.error is None:
            self._succeed(done.file_name)
        elif isinstance(done.error, OSError):
            self._fail(done.file_name, done.error)
        else:
            raise done.error

    def _flush(self) -> bool:
        """Write the waiting files, oldest first; return whether none is left."""
        while self._waiting:
            name, write = self._waiting[0]
            try:
                write()
            except OSError as error:
                self._fail(name, error)
                return False
            self._waiting.popleft()
        return True

    def _fail(self, name: str, error: OSError) -> None:
        """Report a failure, once for each reason, and set the time of the next attempt."""
        if not self._folder.exists():
            raise TrainingError(
                f"{self._folder}: disappeared during training; move it back, then continue with 'facegan resume'"
            )
        reason = error.strerror or str(error)
        if reason != self._reason:
            self._reporter.info(
                f"cannot save {name} ({reason}); training continues and saving is tried again; everything saved before "
                "is valid"
            )
        self._reason, self._retry_at = reason, time.monotonic() + RETRY_SECONDS

    def _succeed(self, name: str) -> None:
        if self._retry_at is not None:
            self._reporter.info(f"saved {name}: the disk takes files again")
            self._reason, self._retry_at = "", None


class _Writing(threading.Thread):
    """One set of weights on its way to the disk; a daemon, so the program can end immediately."""

    def __init__(self, file_name: str, write: Write) -> None:
        super().__init__(name="saving", daemon=True)
        self.file_name, self._write = file_name, write
        self.error: Exception | None = None
        self.start()

    def run(self) -> None:
        """Write; an error is kept for the thread that waits."""
        try:
            self._write()
        except Exception as error:
            self.error = error
