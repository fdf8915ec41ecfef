"""Our safetensors files: written atomically, with an embedded digest of their bytes that is verified on reading.

Reading a header, verifying and hashing need neither torch nor NumPy.
"""

import errno
import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from .. import __version__
from ..errors import DamagedError, SnapshotError
from ..messages import one_line, portable_path, quoted
from .atomic import write_atomic
from .run_dir import MAX_STEPS

if TYPE_CHECKING:
    from torch import Tensor

SCHEMA = 2  # schema 1 had no digest

_FOREIGN = (".pth", ".pt", ".ckpt", ".bin", ".pkl")  # weight files of other programs; a snapshot is known by content
_PICKLES = (b"PK\3\4", b"\x80\2")  # how files of torch.save begin, in its newer and older format
_DIGEST = re.compile(rb'"digest":"([0-9a-f]{64})"')
_UNSEALED = "0" * 64
_MAX_HEADER_BYTES = 100_000_000  # the limit of the format


@dataclass(frozen=True)
class TensorFile:
    """A file of ours, whose `digest`, the SHA-256 of all its bytes, is set once it is verified."""

    path: Path
    header: bytes  # up to its tensors
    metadata: Mapping[str, str]
    keys: frozenset[str]  # the names of its tensors
    digest: str = ""

    @property
    def format(self) -> str:
        """The format that it says it has."""
        return self.metadata.get("format", "nothing")


def open_tensors(path: Path, kind: str) -> TensorFile:
    """Read the header of a file of ours, verify its embedded digest and hash it, in one pass.

    Args:
        path: The file.
        kind: "snapshot", "state", or another kind that `write_tensors` was given.

    Raises:
        SnapshotError: The file is missing, of another kind, or newer than this version of facegan.
        DamagedError: Its bytes are not those that were written.
    """
    if not path.is_file():
        raise SnapshotError(f"{path}: no such {kind} file")
    with path.open("rb") as file:
        head = file.read(9)
        # Ours begin with eight bytes of a length, which can be any, and a brace.
        if head[8:] != b"{" and (head.startswith(_PICKLES) or path.suffix in _FOREIGN):
            raise _foreign(path, kind)
        file.seek(0)
        found = _parse(path, file)
        digest, unsealed = _hash(file, found.header)
    carried = _DIGEST.search(found.header)
    # Before anything else: damage can look like anything.
    if carried is not None and carried[1].decode() != unsealed:
        raise DamagedError(f"{path}: damaged (its bytes are not those that were written: the digest differs)")
    if carried is None and found.format.startswith("facegan-") and found.metadata.get("schema") != "1":
        raise DamagedError(f"{path}: damaged (it carries no digest)")
    _check_kind(found, kind)
    return replace(found, digest=digest)


def header_problem(path: Path, kind: str = "") -> str | None:
    """Return why a file of ours is damaged or of another kind, as far as its header and length show, or None.

    Args:
        path: The file.
        kind: As in `open_tensors`; empty: by the folder of a run in which it lies.
    """
    kind = kind or path.parent.name.removesuffix("s")
    if not path.is_file():  # opening a pipe would block
        return "no regular file"
    try:
        with path.open("rb") as file:
            name = _parse(path, file).format
    except (DamagedError, OSError) as error:
        return one_line(error).removeprefix(f"{path}: ")
    return None if name == f"facegan-{kind}" else f"not {_article(kind)}{kind} of facegan"


def weights_digest(path: Path) -> str:
    """Return the SHA-256, in hex, over names, types, shapes and bytes of a file's tensors, without its metadata.

    Raises:
        OSError, SafetensorError: The file cannot be read.
    """
    total = hashlib.sha256()
    with open_safetensors(path, framework="np") as file:
        for name in sorted(file.keys()):
            tensor = file.get_tensor(name)
            total.update(f"{name} {tensor.dtype} {tensor.shape} ".encode())
            total.update(tensor.tobytes())
    return total.hexdigest()


@contextmanager
def open_safetensors(path: Path, framework: str = "pt") -> Iterator[Any]:
    """Open any safetensors file with the library, which opens no path that is not UTF-8 by itself."""
    from safetensors import safe_open

    with path.open("rb") as file:
        name = str(path) if portable_path(path) == str(path) else f"/dev/fd/{file.fileno()}"
        with safe_open(name, framework=framework) as opened:
            yield opened


def read_tensors(path: Path, prefix: str = "") -> dict[str, "Tensor"]:
    """Return the tensors whose names begin with `prefix`, by the rest of their names; does not verify the digest."""
    with open_safetensors(path) as file:
        return {key.removeprefix(prefix): file.get_tensor(key) for key in file.keys() if key.startswith(prefix)}  # noqa: SIM118


def write_tensors(path: Path, kind: str, tensors: Mapping[str, "Tensor"], metadata: Mapping[str, str]) -> None:
    """Write a safetensors file atomically, with a digest of all its bytes in its header.

    Args:
        path: The final name.
        kind: "snapshot", "state", ...
        tensors: By name, on any device.
        metadata: Strings.

    Raises:
        OSError: The file cannot be written; nothing is left of it.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    heading = {"format": f"facegan-{kind}", "schema": str(SCHEMA), "facegan": __version__, "synthetic": "faces"}
    contiguous = {key: value.detach().cpu().contiguous() for key, value in tensors.items()}

    def write(temporary: Path) -> None:
        try:
            save_file(contiguous, temporary, {**heading, **metadata, "digest": _UNSEALED})
        except SafetensorError as error:  # how it reports a full disk
            raise OSError(errno.EIO, one_line(error), str(path)) from None
        seal(temporary)

    write_atomic(path, write)


def seal(path: Path) -> None:
    """Sort the metadata, which the library writes in random order; write the digest of all other bytes into it."""
    with path.open("rb+") as file:
        header = _parse(path, file).header
        document = json.loads(header[8:])
        document["__metadata__"] = dict(sorted(document["__metadata__"].items()))
        ordered = json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode().ljust(len(header) - 8)
        assert len(ordered) == len(header) - 8, "the same JSON in another order"
        file.seek(8)
        file.write(ordered)
        header = header[:8] + ordered
        (place,) = _DIGEST.finditer(header)
        _, unsealed = _hash(file, header)
        file.seek(place.start(1))
        file.write(unsealed.encode())


def _parse(path: Path, file: IO[bytes]) -> TensorFile:
    """Read the header, and compare the file's length with it; leaves the file at its first tensor."""
    content = file.read(8)
    length = int.from_bytes(content, "little")
    try:
        if len(content) < 8 or length > _MAX_HEADER_BYTES:
            raise ValueError("it has no header")
        content += file.read(length)
        if len(content) < 8 + length:
            raise ValueError("it ends within its header")
        document = json.loads(content[8:])
        metadata = document.pop("__metadata__", {})
        if not all(isinstance(value, str) for value in metadata.values()):
            raise ValueError("its metadata holds more than strings")
        num_bytes = max((entry["data_offsets"][1] for entry in document.values()), default=0)
        if (actual := os.fstat(file.fileno()).st_size - len(content)) != num_bytes:
            raise ValueError(f"it holds {actual:,} bytes of tensors, not the {num_bytes:,} of its header")
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise DamagedError(f"{path}: not a valid safetensors file ({one_line(error, 200)})") from None
    return TensorFile(path, content, metadata, frozenset(document))


def _hash(file: IO[bytes], header: bytes) -> tuple[str, str]:
    """Return the SHA-256 of a file whose header has been read, and that of it with zeros for its embedded digest."""
    running = [hashlib.sha256(header), hashlib.sha256(_DIGEST.sub(f'"digest":"{_UNSEALED}"'.encode(), header, 1))]
    while block := file.read(2**22):
        for each in running:
            each.update(block)
    return running[0].hexdigest(), running[1].hexdigest()


def _foreign(path: Path, kind: str) -> SnapshotError:
    return SnapshotError(f"{path}: no {kind} of facegan; 'facegan import {path} -o G.safetensors' may make one of it")


def _check_kind(file: TensorFile, kind: str) -> None:
    path, metadata = file.path, file.metadata
    if kind == "snapshot" and not file.format.startswith("facegan-"):
        raise _foreign(path, kind)
    if file.format != f"facegan-{kind}":
        raise SnapshotError(f"{path}: not {_article(kind)}{kind} of facegan (it says it is {quoted(file.format)})")
    try:
        schema, step = int(metadata["schema"]), int(metadata["step"])
    except (KeyError, ValueError):
        schema, step = 0, -1
    if schema > SCHEMA:
        writer = metadata.get("facegan", "?")[:40]
        raise SnapshotError(
            f"{path}: written by facegan {writer}, which is newer than this one ({__version__}); upgrade"
        )
    if not 0 <= step <= MAX_STEPS:
        raise SnapshotError(f"{path}: carries no schema or step that a run has")


def _article(kind: str) -> str:
    return "" if kind.endswith("s") else "a "  # a snapshot; latents
