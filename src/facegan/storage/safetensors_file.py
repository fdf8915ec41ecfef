"""Our safetensors files: written atomically, with an embedded digest of their bytes that is verified on reading.

Reading a header, verifying and hashing need neither torch nor NumPy.
"""

import errno
import hashlib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

from .. import __version__
from ..errors import DamagedError, SnapshotError
from ..messages import one_line, quoted
from .atomic import write_atomic
from .run_dir import MAX_STEPS

if TYPE_CHECKING:
    from torch import Tensor

SCHEMA = 2  # schema 1 had no digest

FOREIGN = (".pth", ".pt", ".ckpt", ".bin", ".pkl")  # weight files of other programs

_DIGEST = re.compile(rb'"digest":"([0-9a-f]{64})"')
_UNSEALED = "0" * 64
_MAX_HEADER_BYTES = 100_000_000  # the limit of the format


@dataclass(frozen=True)
class TensorFile:
    """A verified file of ours.

    Attributes:
        path: The file.
        metadata: The strings of its header.
        keys: The names of its tensors.
        digest: SHA-256 of the file, in hex.
    """

    path: Path
    metadata: Mapping[str, str]
    keys: frozenset[str]
    digest: str


@dataclass(frozen=True)
class _Header:
    """The first bytes of a file, up to its tensors; `seal` is where the embedded digest lies, None without one."""

    content: bytes
    metadata: dict[str, str]
    keys: frozenset[str]
    seal: re.Match[bytes] | None


def open_tensors(path: Path, kind: str) -> TensorFile:
    """Read the header of a file of ours, verify its embedded digest and hash it, in one pass.

    Args:
        path: The file.
        kind: "snapshot", "state", or another kind that `write_tensors` was given.

    Raises:
        SnapshotError: The file is missing, of another kind, or newer than this version of facegan.
        DamagedError: Its bytes are not those that were written.
    """
    _refuse_foreign(path, kind)
    with path.open("rb") as file:
        header = _parse(path, file)
        sealed, digest = _hash(file, header)
    _verify(path, header, sealed)  # before anything else: damage can look like anything
    _check_kind(path, kind, header.metadata)
    return TensorFile(path, header.metadata, header.keys, digest)


def read_header(path: Path, kind: str, *, whole: bool = True) -> tuple[dict[str, str], set[str]]:
    """Return the metadata and the tensors' names of a file of ours.

    Args:
        path: The file.
        kind: As in `open_tensors`.
        whole: Also verify the embedded digest, which reads the file to its end.

    Raises:
        SnapshotError, DamagedError: As `open_tensors`.
    """
    if whole:
        opened = open_tensors(path, kind)
        return dict(opened.metadata), set(opened.keys)
    _refuse_foreign(path, kind)
    with path.open("rb") as file:
        header = _parse(path, file)
    _check_kind(path, kind, header.metadata)
    return header.metadata, set(header.keys)


def verify(path: Path) -> None:
    """Compare a file with the digest it carries; files of schema 1 and foreign ones have none and pass.

    Raises:
        DamagedError: Its bytes are not those that were written.
    """
    with path.open("rb") as file:
        header = _parse(path, file)
        _verify(path, header, _hash(file, header)[0])


def digest(path: Path) -> str:
    """Return the SHA-256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_tensors(path: Path, prefix: str = "") -> dict[str, "Tensor"]:
    """Return the tensors whose names begin with `prefix`, by the rest of their names; does not verify the digest."""
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
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
    """Write the digest of all other bytes into the header's place for it."""
    with path.open("rb+") as file:
        header = _parse(path, file)
        assert header.seal is not None
        sealed, _ = _hash(file, header)
        file.seek(header.seal.start(1))
        file.write(sealed.encode())


def header_problem(path: Path) -> str | None:
    """Return why a snapshot or state is damaged as far as its header and length show, or None."""
    kind = path.parent.name.removesuffix("s")
    if not path.is_file():  # opening a pipe would block
        return "no regular file"
    try:
        with path.open("rb") as file:
            name = _parse(path, file).metadata.get("format")
    except (DamagedError, OSError) as error:
        return one_line(error).removeprefix(f"{path}: ")
    return None if name == f"facegan-{kind}" else f"not a {kind} of facegan"


def weights_digest(path: Path) -> str:
    """Return the SHA-256, in hex, over names, types, shapes and bytes of a file's tensors, without its metadata.

    Raises:
        OSError, SafetensorError: The file cannot be read.
    """
    from safetensors import safe_open

    total = hashlib.sha256()
    with safe_open(path, framework="np") as file:
        for name in sorted(file.keys()):
            tensor = file.get_tensor(name)
            total.update(f"{name} {tensor.dtype} {tensor.shape} ".encode())
            total.update(tensor.tobytes())
    return total.hexdigest()


def _refuse_foreign(path: Path, kind: str) -> None:
    if not path.is_file():
        raise SnapshotError(f"{path}: no such {kind} file")
    if path.suffix in FOREIGN:
        raise SnapshotError(
            f"{path}: no {kind} of facegan; 'facegan import {path} -o G.safetensors' may make one of it"
        )


def _parse(path: Path, file: IO[bytes]) -> _Header:
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
    return _Header(content, metadata, frozenset(document), _DIGEST.search(content))


def _hash(file: IO[bytes], header: _Header) -> tuple[str, str]:
    """Return the digest that a file should carry and that of the file itself, from its first tensor on.

    The former is the SHA-256 of the file with zeros for the 64 digits themselves; "" where it carries none.
    """
    content, seal = header.content, header.seal
    running = [hashlib.sha256(content)]
    if seal is not None:
        running.append(hashlib.sha256(content[: seal.start(1)] + _UNSEALED.encode() + content[seal.end(1) :]))
    while block := file.read(2**22):
        for each in running:
            each.update(block)
    return running[1].hexdigest() if seal is not None else "", running[0].hexdigest()


def _verify(path: Path, header: _Header, sealed: str) -> None:
    if header.seal is None:
        if header.metadata.get("format", "").startswith("facegan-") and header.metadata.get("schema") != "1":
            raise DamagedError(f"{path}: damaged (it carries no digest)")
    elif header.seal[1].decode() != sealed:
        raise DamagedError(f"{path}: damaged (its bytes are not those that were written: the digest differs)")


def _check_kind(path: Path, kind: str, metadata: Mapping[str, str]) -> None:
    if metadata.get("format") != f"facegan-{kind}":
        article = "" if kind.endswith("s") else "a "  # a snapshot; latents
        name = quoted(metadata.get("format", "nothing"))
        raise SnapshotError(f"{path}: not {article}{kind} of facegan (it says it is {name})")
    try:
        schema, step = int(metadata["schema"]), int(metadata["step"])
    except (KeyError, ValueError):
        raise SnapshotError(f"{path}: carries no readable schema or step") from None
    if schema > SCHEMA:
        writer = metadata.get("facegan", "?")[:40]
        raise SnapshotError(
            f"{path}: written by facegan {writer}, which is newer than this one ({__version__}); upgrade"
        )
    if not 0 <= step <= MAX_STEPS:
        raise SnapshotError(f"{path}: carries the step {step}, which no run has")
