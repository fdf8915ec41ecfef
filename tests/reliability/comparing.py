"""Whether two run folders hold the same: to the bit, but for the clock."""

import json
from pathlib import Path

from damage import files

WALL_CLOCK = ("seconds", "images_per_second")
OF_ITS_OWN = (".lock", "log.txt", "environment.json")


def differences(whole, other, *, loose=False):
    """What a run lacks or has otherwise than one that never stopped, a line each; files are compared byte by byte.

    Args:
        whole: The folder of the run that never stopped.
        other: The folder of the run that met faults.
        loose: Whether states and snapshots but the newest may be of other steps: a signal saves between the intervals,
            and in place of a damaged file an older one is kept.
    """
    whole, other = Path(whole), Path(other)
    found = _names(whole, other, loose=loose)
    for kind in ("states", "snapshots"):
        ours, theirs = files(whole, kind), files(other, kind)
        if max(ours) != max(theirs, default=None):
            found.append(f"{kind}: the newest is of step {max(theirs, default=None)}, not {max(ours)}")
        for step in ours.keys() & theirs.keys():
            found += _tensors(ours[step], theirs[step])
    for path in sorted((whole / "samples").iterdir()):
        found += _bytes(path, other / "samples" / path.name)
    for name in ("config.json", "model-card.md", "faces.png"):
        found += _bytes(whole / name, other / name)
    if records(whole) != records(other):
        steps = [[each.get("step") for each in records(run)] for run in (whole, other)]
        found.append(f"metrics.jsonl: differs (steps {steps[1]}, not {steps[0]})")
    return found


def records(run):
    """The lines of metrics.jsonl but for the clock."""
    path = Path(run) / "metrics.jsonl"
    lines = path.read_bytes().splitlines() if path.exists() else []
    return [{key: value for key, value in _parsed(line).items() if key not in WALL_CLOCK} for line in lines]


def _parsed(line):
    try:
        return dict(json.loads(line))
    except (ValueError, TypeError):
        return {"unreadable": line}


def _names(whole, other, *, loose):
    ours, theirs = (
        {path.relative_to(run).as_posix() for path in run.rglob("*") if path.is_file()} for run in (whole, other)
    )
    missing, extra = ours - theirs, theirs - ours
    if loose:
        missing, extra = (
            {name for name in names if not name.startswith(("states/step-", "snapshots/step-"))}
            for names in (missing, extra)
        )
    extra -= {name for name in extra if name.endswith(".damaged") or name in OF_ITS_OWN}
    return [f"{name}: missing" for name in sorted(missing)] + [f"{name}: left over" for name in sorted(extra)]


def _tensors(one, other):
    try:
        ours, theirs = read_tensors(one), read_tensors(other)
    except (ValueError, LookupError) as error:
        return [f"{other.parent.name}/{other.name}: cannot be read ({error})"]
    names = sorted(key for key in ours.keys() | theirs.keys() if ours.get(key) != theirs.get(key))
    if names:
        return [f"{other.parent.name}/{other.name}: {len(names)} tensors differ ({names[0]}, ...)"]
    return [f"{other.parent.name}/{other.name}: its header differs"] if one.read_bytes() != other.read_bytes() else []


def read_tensors(path):
    """(type, shape, bytes) of each tensor in a safetensors file, by name."""
    content = path.read_bytes()
    start = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:start])
    header.pop("__metadata__", None)
    return {
        name: (each["dtype"], each["shape"], content[slice(*(start + offset for offset in each["data_offsets"]))])
        for name, each in header.items()
    }


def _bytes(one, other):
    if other.exists() and one.read_bytes() != other.read_bytes():
        return [f"{other.parent.name}/{other.name}: differs"]
    return []
