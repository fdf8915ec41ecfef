"""Safetensors files of ours: written whole, sealed with a digest of all their bytes, verified when they are read."""

import errno
import hashlib
import re
from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from .. import __version__
from ..errors import DamagedError, SnapshotError
from ..plugins import quoted
from .atomic import write_atomic
from .run_dir import MOST_STEPS

SCHEMA = 2  # 1 had no digest

FOREIGN = (".pth", ".pt", ".ckpt", ".bin", ".pkl")  # what other programs call their weights

_DIGEST = re.compile(rb'"digest":"([0-9a-f]{64})"')
_UNSEALED = "0" * 64
_LONGEST_HEADER = 100_000_000  # bytes, as safetensors has it


def digest(path: Path) -> str:
    """SHA-256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_tensors(path: Path, kind: str, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Write a safetensors file of ours, whole or not at all, sealed with a digest of all its bytes.

    Args:
        path: The final name.
        kind: "snapshot" or "state".
        tensors: By name, on any device.
        metadata: Strings.

    Raises:
        OSError: The file cannot be written; nothing is left of it.
    """
    heading = {"format": f"facegan-{kind}", "schema": str(SCHEMA), "facegan": __version__, "synthetic": "faces"}
    whole = {key: value.detach().cpu().contiguous() for key, value in tensors.items()}

    def write(temporary: Path) -> None:
        try:
            save_file(whole, temporary, {**heading, **metadata, "digest": _UNSEALED})
        except SafetensorError as error:  # its way to tell of a full disk
            raise OSError(errno.EIO, one_line(error), str(path)) from None
        seal(temporary)

    write_atomic(path, write)


def seal(path: Path) -> None:
    """Put the digest of all other bytes of a file of ours into its metadata, where there is a place for it."""
    _, actual, offset = _digests(path)
    with path.open("rb+") as file:
        file.seek(offset)
        file.write(actual.encode())


def verify(path: Path) -> None:
    """Compare a file of ours with the digest that it carries; one of schema 1 has none and passes, as do foreign ones.

    Raises:
        DamagedError: It is not what was written.
    """
    try:
        stored, actual, _ = _digests(path)
    except ValueError:
        metadata, _ = _metadata(path)
        if metadata.get("format", "").startswith("facegan-") and metadata.get("schema") != "1":
            raise DamagedError(f"{path}: damaged (it carries no digest)") from None
        return
    if stored != actual:
        raise DamagedError(f"{path}: damaged (its bytes are not those that were written: the digest differs)")


def read_header(path: Path, kind: str, *, whole: bool = True) -> tuple[dict[str, str], set[str]]:
    """The metadata and the tensors' names of a file of ours.

    Args:
        path: The file.
        kind: "snapshot" or "state".
        whole: Also compare all its bytes with its digest; False looks at the header alone.

    Raises:
        SnapshotError: The file is missing, not of that kind, or newer than this version of facegan.
        DamagedError: Its bytes are not those that were written.
    """
    if not path.is_file():
        raise SnapshotError(f"{path}: no such {kind} file")
    if path.suffix in FOREIGN:
        raise SnapshotError(
            f"{path}: no {kind} of facegan; 'facegan import {path} -o G.safetensors' may make one of it"
        )
    metadata, keys = _metadata(path)
    if whole:  # first of all: damage may look like anything
        verify(path)
    if metadata.get("format") != f"facegan-{kind}":
        raise SnapshotError(
            f"{path}: not {_one(kind)} of facegan (it says it is {quoted(metadata.get('format', 'nothing'))})"
        )
    try:
        schema, step = int(metadata["schema"]), int(metadata["step"])
    except (KeyError, ValueError):
        raise SnapshotError(f"{path}: carries no readable schema or step") from None
    if schema > SCHEMA:
        writer = metadata.get("facegan", "?")[:40]
        raise SnapshotError(
            f"{path}: written by facegan {writer}, which is newer than this one ({__version__}); upgrade"
        )
    if not 0 <= step <= MOST_STEPS:
        raise SnapshotError(f"{path}: carries the step {step}, which no run has")
    return metadata, keys


def _one(kind: str) -> str:
    """A snapshot; latents."""
    return kind if kind.endswith("s") else f"a {kind}"


def _metadata(path: Path) -> tuple[dict[str, str], set[str]]:
    try:
        with safe_open(path, framework="pt") as file:
            return file.metadata() or {}, set(file.keys())
    except PermissionError:
        raise
    except (SafetensorError, OSError, ValueError) as error:
        raise DamagedError(f"{path}: not a whole safetensors file ({one_line(error)[:200]})") from None


def _digests(path: Path) -> tuple[str, str, int]:
    """The digest that a file carries, the one that it should, and where it stands; ValueError if it carries none.

    It is the SHA-256 of the file in which its own 64 digits are zeros.
    """
    with path.open("rb") as file:
        start = file.read(8)
        start += file.read(min(int.from_bytes(start, "little"), _LONGEST_HEADER))
        match = _DIGEST.search(start)
        if match is None:
            raise ValueError("no digest")
        running = hashlib.sha256(start[: match.start(1)] + _UNSEALED.encode() + start[match.end(1) :])
        while block := file.read(2**22):
            running.update(block)
    return match[1].decode(), running.hexdigest(), match.start(1)


def read_tensors(path: Path, prefix: str = "") -> dict[str, Tensor]:
    """The tensors whose names begin with `prefix`, by the rest of their names; the header must have been read."""
    with safe_open(path, framework="pt") as file:
        return {key.removeprefix(prefix): file.get_tensor(key) for key in file.keys() if key.startswith(prefix)}  # noqa: SIM118


def one_line(error: object) -> str:
    """An error's text without its line breaks."""
    return " ".join(str(error).split())
