"""`facegan` in a process of its own that meets a fault at a chosen moment: the side of the dying process.

The moments are file events below one folder: a file is about to be opened for writing, renamed, removed; an fsync or a
rename is about to begin, or has just ended. They are counted, so that a fault can be put before or after each of them.
"""

import contextlib
import mmap
import os
import resource
import signal
import struct
import sys
import traceback
from dataclasses import dataclass
from pathlib import Path

WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
EVENTS = ("open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.truncate", "os.chmod")
LABELS = {
    "time": "SIGKILL after a random time",
    "event": "SIGKILL at a file event",
    "write": "killed inside a write",
    "limit": "no file can grow, for a while",
    "disk": "full disk, for a while",
    "nohup": "SIGHUP under nohup",
    "terminal": "terminal or pipe gone",
}
FILLER = "filler"
FULL_BYTES = 2000  # the largest file while a limit on file sizes plays the full disk


@dataclass(frozen=True)
class Fault:
    """What happens to one process, and when.

    `kind` is "none"; "time": SIGKILL after `seconds`; "event": SIGKILL at an event; "write": the system kills it inside
    of a write, when a file grows beyond `limit` bytes; "signal": it gets `signals`; "limit" and "disk": no file can
    grow, or the disk is full, for `seconds`; "nohup": SIGHUP, which is ignored; "terminal": nobody is there any more
    who reads what is said. All but "time" come at the event number `at` of those whose path
    contains `on`.
    """

    kind: str = "none"
    at: int = 0
    on: str = ""
    seconds: float = 0.0
    limit: int = 0
    signals: tuple[int, ...] = ()

    @property
    def label(self):
        """Its name in the closing table."""
        return LABELS.get(self.kind) or ", ".join(signal.Signals(number).name for number in self.signals)


def _number(place):
    """A property that is a number in shared memory."""

    def get(self):
        return struct.unpack_from("q", self.memory, 8 * place)[0]

    def put(self, value):
        struct.pack_into("q", self.memory, 8 * place, value)

    return property(get, put)


class Shared:
    """Numbers that a process leaves even when it is killed."""

    step = _number(0)  # the last step that was trained
    events = _number(1)
    struck = _number(2)  # whether the fault came

    def __init__(self):
        self.memory = mmap.mmap(-1, 24)


class Watch:
    """Counts the events of this process and strikes at the chosen one."""

    def __init__(self, fault, folder, shared, journal):
        self.fault, self.folder, self.shared = fault, os.path.realpath(folder), shared
        self.journal = os.open(journal, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        self.seen = 0

    def install(self):
        """From here on every event counts."""
        real_fsync, real_replace = os.fsync, os.replace

        def fsync(file):
            number = file if isinstance(file, int) else file.fileno()
            path = _path_of(number)
            self.event("before fsync", path)
            real_fsync(file)
            status = os.fstat(number)
            if path.startswith(self.folder):
                self.note(f"synced {status.st_ino} {status.st_size}")
            self.event("after fsync", path)

        def replace(source, target, **options):
            real_replace(source, target, **options)
            self.event("after os.replace", os.fspath(target))

        os.fsync, os.replace = fsync, replace
        sys.addaudithook(self.audit)

    def audit(self, name, arguments):
        if name not in EVENTS or not isinstance(arguments[0], str | os.PathLike):
            return
        if name == "open" and not (arguments[2] or 0) & WRITING:
            return
        self.event(f"before {name}", os.fspath(arguments[0]))

    def event(self, what, path):
        path = os.path.abspath(path)  # noqa: PTH100  (a link is an event of its own)
        if not path.startswith(self.folder) or path.endswith(FILLER):
            return
        self.shared.events += 1
        if self.fault.on in path:
            self.seen += 1
            if self.seen - 1 == self.fault.at and self.fault.kind not in ("none", "time"):
                self.note(f"struck {what} {path.removeprefix(self.folder)}")
                self.shared.struck = 1
                self.strike()

    def strike(self):
        kind = self.fault.kind
        if kind == "event":
            os.kill(os.getpid(), signal.SIGKILL)
        elif kind == "write":
            limit_file_size(self.fault.limit)
        elif kind == "signal":
            for number in self.fault.signals:
                os.kill(os.getpid(), number)
        elif kind == "nohup":
            os.kill(os.getpid(), signal.SIGHUP)
        elif kind == "terminal":
            _hang_up(self.fault.limit % 2)
        elif kind == "limit":
            limit_file_size(FULL_BYTES)
        elif kind == "disk":
            fill(Path(self.folder) / FILLER)

    def note(self, line):
        os.write(self.journal, f"{line}\n".encode())


def begin(arguments, output, fault, folder, shared, *, environment=()):
    """Start `facegan` with some arguments in a fork of this process, which must not have worked with torch.

    Args:
        arguments: Of the command line.
        output: The file that takes its stdout and stderr.
        fault: What happens to it.
        folder: Where its events count; its journal is beside `output`.
        shared: Where it counts.
        environment: Pairs of variables that are its own.

    Returns:
        The process's number.
    """
    shared.step = shared.events = shared.struck = 0
    number = os.fork()
    if number:
        return number
    code = 99
    try:
        os.environ.update(environment)
        _redirect(output)
        if fault.kind == "write":
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
        if fault.kind == "nohup":
            signal.signal(signal.SIGHUP, signal.SIG_IGN)
        watch = Watch(fault, folder, shared, f"{output}.journal")
        _prepare(shared)
        watch.install()
        code = _call(arguments)
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def _call(arguments):
    from facegan.cli import main

    try:
        main([str(argument) for argument in arguments])
    except SystemExit as end:
        sys.stdout.flush()
        return end.code or 0
    return 98


def _redirect(output):
    number = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for stream in (1, 2):
        os.dup2(number, stream)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", buffering=1, closefd=False)  # noqa: SIM115


def _hang_up(pipe):
    """Let what this process says go to a pipe or a terminal whose other end is closed."""
    reader, writer = os.pipe() if pipe else os.openpty()
    os.close(reader)
    for stream in (1, 2):
        os.dup2(writer, stream)


def _prepare(shared):
    from facegan.training import checkpointing as saving
    from facegan.training import loop

    real = loop.training_step

    def training_step(state, *arguments):
        real(state, *arguments)
        shared.step = int(state.count)

    loop.training_step = training_step
    loop.NUM_CALIBRATION = 64  # few latents, as the networks are small
    saving.RETRY_SECONDS = 0.05  # a run of two seconds is to see a retry


def limit_file_size(size_bytes, process=0):
    """No file of a process (0: this one) may grow beyond that."""
    resource.prlimit(process, resource.RLIMIT_FSIZE, (size_bytes, resource.RLIM_INFINITY))


def make_room(process, folder):
    """End the "limit" or "disk" fault of a process."""
    limit_file_size(resource.RLIM_INFINITY, process)
    (Path(folder) / FILLER).unlink(missing_ok=True)


def fill(path):
    """Take what is left of a small disk."""
    with path.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(65536))
    with path.open("ab", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(512))


def _path_of(number):
    try:
        return os.readlink(f"/proc/self/fd/{number}")  # noqa: PTH115
    except OSError:
        return ""
