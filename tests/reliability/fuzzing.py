"""Damaged and forged files for everything that facegan reads: `python tests/reliability/fuzzing.py --inputs 20000`.

Whatever a file holds, it is loaded, or refused in one clear line. Each input is a function of (loader, seed, number):
`--kind LOADER --seed SEED --first NUMBER --inputs 1` repeats one, and `--first` goes on where another run stopped.
Inputs are loaded in forked processes, each with a limit on its memory and on its time, so that whatever goes wrong
there is seen from outside.
"""

import argparse
import contextlib
import faulthandler
import json
import os
import re
import resource
import select
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import fuzz_mutations

from facegan.errors import FaceganError

CPU_SECONDS = 5  # an input may keep a processor busy
WALL_SECONDS = 300  # an input may take in all, on a machine that does other things too
BATCH = 200  # inputs a process
LONGEST = 600  # characters of a message
OUT_OF_MEMORY = re.compile(r"alloc|memory", re.IGNORECASE)
LOADED, REFUSED, DEFECT = "loaded", "refused", "defect"


class HangError(BaseException):
    """Too much time has gone by; no `except Exception` takes it."""


@dataclass
class Tally:
    """What became of the inputs of one loader.

    Attributes:
        counts: How many were loaded, refused, or showed a defect.
        defects: (number, what) of each that did.
        refusals: The messages.
    """

    counts: Counter[str] = field(default_factory=Counter)
    defects: list[tuple[int, str]] = field(default_factory=list)
    refusals: Counter[str] = field(default_factory=Counter)

    def add(self, number: int, verdict: str, words: str) -> None:
        """Count an input."""
        self.counts[verdict] += 1
        if verdict == DEFECT:
            self.defects.append((number, words))
        elif verdict == REFUSED:
            self.refusals[re.sub(r"[\d.,]+|'.*?'|\S*/\S*", "_", words)[:100]] += 1


def mutant(loader, seed: int, number: int) -> tuple[str, bytes]:
    """The name and the content of an input: one of the loader's files, damaged."""
    dice = Random(f"{loader.name} {seed} {number}")
    name, other = dice.choice(loader.victims), dice.choice(loader.victims)
    return name, loader.mutate(loader.files[name], loader.files[other], dice)


def fuzz(loader, numbers: Sequence[int], *, seed: int, until: float = float("inf")) -> Tally:
    """Try inputs, until a time of the monotonic clock."""
    tally = Tally()
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        for start in range(0, len(numbers), BATCH):
            rest = list(numbers[start : start + BATCH])
            while rest and time.monotonic() < until:
                for number, verdict, words in _in_a_process(loader, seed, rest, Path(folder)):
                    tally.add(number, verdict, words)
                    rest = [each for each in rest if each > number]
    return tally


def load_sound(loader, folder: Path) -> None:
    """Load each of a loader's files as it is."""
    for name in loader.victims:
        _lay_out(loader, folder)
        loader.load(folder / name)


def _in_a_process(loader, seed: int, numbers: Sequence[int], folder: Path) -> Iterator[tuple[int, str, str]]:
    """The outcomes of inputs in a process of its own; it may end early, and then the last one is why."""
    reading, writing = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # a general one, of forking beside threads
        child = os.fork()
    if not child:
        os.close(reading)
        _work(loader, seed, numbers, folder, writing)
    os.close(writing)
    waiting = list(numbers)
    try:
        with os.fdopen(reading, "rb", buffering=0) as pipe:
            buffer = b""
            while select.select([pipe], [], [], WALL_SECONDS)[0] and (more := pipe.read(2**16)):
                *lines, buffer = (buffer + more).split(b"\n")
                for line in lines:
                    yield tuple(json.loads(line))
                    waiting.pop(0)
            silent = not select.select([pipe], [], [], 0)[0]
    finally:
        if waiting:
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
    if waiting:
        why = f"hangs for {WALL_SECONDS} s" if silent else f"the process dies (status {status})"
        yield waiting[0], DEFECT, why


def _work(loader, seed: int, numbers: Sequence[int], folder: Path, pipe: int) -> None:
    """In the forked process: try the inputs and tell of each; never returns."""
    try:
        faulthandler.disable()  # what it would print of a process that dies is of no use here
        log = os.open(folder / "said", os.O_RDWR | os.O_CREAT | os.O_TRUNC)
        os.dup2(log, 1)
        os.dup2(log, 2)
        sys.stdout, sys.stderr = open(1, "w", closefd=False), open(2, "w", closefd=False)  # noqa: SIM115
        signal.signal(signal.SIGPROF, _hang)
        warnings.resetwarnings()
        warnings.simplefilter("always")
        for category in (DeprecationWarning, PendingDeprecationWarning, ImportWarning, ResourceWarning):
            warnings.simplefilter("ignore", category)  # as Python itself does
        taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (taken + loader.budget_bytes,) * 2)
        for number in numbers:
            try:
                verdict, words = _try(loader, seed, number, folder, log)
            except Exception:  # of the fuzzer itself
                verdict, words = DEFECT, traceback.format_exc()[-600:]
            os.write(pipe, json.dumps([number, verdict, words]).encode() + b"\n")
    finally:
        os._exit(0)


def _hang(*_: object) -> None:
    raise HangError


def _try(loader, seed: int, number: int, folder: Path, log: int) -> tuple[str, str]:
    os.ftruncate(log, 0)
    os.lseek(log, 0, os.SEEK_SET)
    name, content = mutant(loader, seed, number)
    work = folder / "work"
    _lay_out(loader, work)
    (work / name).write_bytes(content)
    fuzz_mutations.Canary.path = Path("canary")
    os.chdir(folder)
    verdict, words = judged(loader, work / name)
    sys.stdout.flush()
    sys.stderr.flush()
    said = os.pread(log, 2000, 0)
    noise = [line for line in said.splitlines() if not (loader.noise and loader.noise.fullmatch(line))]
    if Path("canary").exists():
        return DEFECT, "runs code of the file"
    if noise and verdict != DEFECT:
        return DEFECT, f"prints: {b' '.join(noise).decode(errors='replace')}"
    return verdict, words


def judged(loader, path: Path) -> tuple[str, str]:
    """Load a file: was it loaded, refused, or is there a defect, and in what words."""
    verdict, words, error = LOADED, "", None
    signal.setitimer(signal.ITIMER_PROF, CPU_SECONDS)
    try:
        loader.load(path)
    except FaceganError as refusal:
        verdict, words, error = REFUSED, str(refusal), refusal
    except HangError as hang:
        verdict, words = DEFECT, f"hangs at {_place(hang)}"
    except OSError as refusal:
        verdict, words, error = REFUSED, f"{refusal.filename}: {refusal.strerror}", refusal
        if refusal.errno is None:
            verdict, words = DEFECT, f"{type(refusal).__name__}: {refusal} at {_place(refusal)}"
    except BaseException as other:
        verdict, words = DEFECT, f"{type(other).__name__}: {' '.join(str(other).split())[:300]} at {_place(other)}"
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
    if verdict == REFUSED and (fault := _fault(words, error)):
        return DEFECT, f"{fault}: {words[:300]!r} at {_place(error)}"
    return verdict, words


def _fault(words: str, error: BaseException | None) -> str:
    """What is wrong with a refusal; empty: nothing."""
    if not words.strip() or not words.isprintable():
        return "an empty message, or one with signs that cannot be printed"
    if len(words) > LONGEST:
        return f"a message of {len(words)} characters"
    while error is not None:  # what was said of it hides what happened before
        if _is_out_of_memory(error):
            return "asked for more memory than there may be"
        error = error.__context__
    return ""


def _is_out_of_memory(error: BaseException) -> bool:
    """Whether the system refused memory; what facegan itself refuses, before it asks for it, is as it should be."""
    frames = traceback.extract_tb(error.__traceback__)
    if frames and "facegan" in Path(frames[-1].filename).parts and (frames[-1].line or "").startswith("raise"):
        return False
    return isinstance(error, MemoryError) or (type(error) is RuntimeError and bool(OUT_OF_MEMORY.search(str(error))))


def _place(error: BaseException | None) -> str:
    frames = traceback.extract_tb(error.__traceback__) if error else []
    ours = [frame for frame in frames if "facegan" in Path(frame.filename).parts or frame.name == "load"] or frames
    return f"{Path(ours[-1].filename).name}:{ours[-1].lineno}" if ours else "?"


def _lay_out(loader, folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    for name, content in loader.files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


def table(name: str, tally: Tally, seed: int) -> str:
    """A row for a loader, and a line for each kind of defect with a number that repeats it."""
    counts = tally.counts
    row = f"{name:32}{counts.total():>9}{counts[REFUSED]:>18}{counts[LOADED]:>22}{counts[DEFECT]:>9}"
    kinds: dict[str, list[int]] = {}
    for number, words in tally.defects:
        kinds.setdefault(re.sub(r"\d+", "N", words)[:60], []).append(number)
    told = dict(tally.defects)
    lines = [
        f"    {len(each)} x {told[each[0]][:400]}\n      --kind '{name}' --seed {seed} --first {each[0]} --inputs 1"
        for each in kinds.values()
    ]
    return "\n".join([row, *lines])


def main() -> None:
    """Run the command."""
    from fuzz_loaders import loaders

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=int, default=1000, help="for each loader; fewer for those that take long")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, help="number of the first input")
    parser.add_argument("--kind", help="one loader, or those whose names contain this")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="in all; each loader gets its share")
    parser.add_argument("--refusals", action="store_true", help="list the kinds of refusals too")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="fuzz-shared-") as folder:
        every = loaders(Path(folder))
        chosen = [each for each in every.values() if given.kind in (None, each.name)]
        chosen = chosen or [each for each in every.values() if given.kind in each.name]
        print(f"{'loader':32}{'inputs':>9}{'refused cleanly':>18}{'loaded all the same':>22}{'defects':>9}")
        whole, end = Tally(), time.monotonic() + given.seconds
        for place, loader in enumerate(chosen):
            until = time.monotonic() + (end - time.monotonic()) / (len(chosen) - place)
            count = max(1, given.inputs // loader.cost)
            tally = fuzz(loader, range(given.first, given.first + count), seed=given.seed, until=until)
            whole.counts += tally.counts
            print(table(loader.name, tally, given.seed), flush=True)
            if given.refusals:
                print(*(f"    {count:6} {words}" for words, count in tally.refusals.most_common()), sep="\n")
        print(table("in all", whole, given.seed))
    sys.exit(1 if whole.counts[DEFECT] else 0)


if __name__ == "__main__":
    main()
