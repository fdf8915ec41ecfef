"""What a power loss or a bad disk does to the files of a run whose process is dead."""

import json
import os
import re
from pathlib import Path

STEP_FILE = re.compile(r"step-(\d{8})\.safetensors")
GARBAGE = (b"\0" * 37, b"\xc3", b'{"name": "caf\xc3', b'{"step": 1', b"\xff\xfe\x80", b"12", b'"', b"{}")


def files(run, kind):
    """The whole-named files of a kind ("states", "snapshots") by their step, oldest first."""
    folder = Path(run) / kind
    paths = folder.iterdir() if folder.is_dir() else ()
    matches = ((STEP_FILE.fullmatch(path.name), path) for path in paths)
    return dict(sorted((int(match[1]), path) for match, path in matches if match))


def tear(path, rng):
    """Cut a file, zero some of its blocks, or flip one of its bits; the name of what was done."""
    content = bytearray(path.read_bytes())
    how = rng.choice(("cut", "zeroed", "flipped", "emptied"))
    if how == "cut":
        del content[rng.randrange(len(content)) :]
    elif how == "zeroed":
        block = rng.choice((64, 512, 4096))
        for _ in range(rng.randint(1, 4)):
            start = rng.randrange(0, len(content), block)
            content[start : start + block] = bytes(len(content[start : start + block]))
    elif how == "flipped":
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    else:
        content.clear()
    changed = bytes(content) != path.read_bytes()
    path.write_bytes(content)
    return how if changed else None


def tear_metrics(run, rng):
    """Leave the end of metrics.jsonl as a crash does: what no state has made sure of is cut, or nonsense follows it."""
    path, newest = Path(run) / "metrics.jsonl", max(files(run, "states"), default=0)
    if not path.exists():
        return None
    *lines, last = path.read_bytes().splitlines(keepends=True) or [b""]
    try:
        sure = not last or json.loads(last)["step"] <= newest
    except (ValueError, LookupError, TypeError):
        sure = False
    if sure:
        lines.append(last)
    else:
        lines.append(last[: rng.randrange(len(last))])
    path.write_bytes(b"".join(lines) + rng.choice((b"", *GARBAGE)))
    return "torn"


def leave_partial(run, rng):
    """Leave what a killed writer of another time left: half of a temporary file, with a name as ours are."""
    states = files(run, "states")
    if not states:
        return None
    newest = states[max(states)]
    content = newest.read_bytes()
    letters = "".join(rng.choice("abcdefghijklmnopqrstuvwxyz0123456789_") for _ in range(8))
    step = max(states) + rng.choice((0, 1, 5))
    name = f".step-{step:08d}.safetensors.{letters}.safetensors"
    (newest.parent / name).write_bytes(content[: rng.randrange(len(content))])
    return "left"


def lose_power(run, journal, rng):
    """Tear all that was never synced, as the journals of the run's processes tell; whether there was anything."""
    synced, lost = {}, None
    for line in Path(journal).read_text().splitlines():
        if line.startswith("synced "):
            _, number, size = line.split()
            synced[int(number)] = int(size)
    for path in sorted(Path(run).rglob("*")):
        if not path.is_file() or path.is_symlink():
            continue
        status = path.stat()
        sure = min(synced.get(status.st_ino, 0), status.st_size)
        if sure < status.st_size:
            lost = "lost"
            os.truncate(path, rng.randint(sure, status.st_size))
            if rng.random() < 0.5:  # the length was written, the blocks were not
                os.truncate(path, status.st_size)
    return lost
