"""Tensors out of a file that another program wrote: `torch.save` in either of its formats, or safetensors.

A file of `torch.save` is a pickle, and this is the one place where facegan opens one. Its instructions are first read
through without being carried out; a file that asks for anything but tensors and plain containers is refused. Only then
`torch.load(weights_only=True)` opens it, which for its part builds nothing else.
"""

import io
import pickletools
import re
import struct
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from ..errors import SnapshotError

Parts = dict[str, dict[str, Tensor]]

# What a dictionary of tensors, numbers and texts is made of. torch.load's own list is longer: some of what it allows
# takes any amount of memory (bytearray), and none of it stands in a file of weights.
PLAIN = re.compile(
    r"collections OrderedDict|torch\._utils _rebuild_(tensor(_v2|_v3)?|parameter)|torch\.nn\.parameter Parameter"
    r"|torch \w+Storage|torch\.storage UntypedStorage|torch (Size|device|b?float\w*|u?int\d+|bool)"
    r"|torch\.torch_version TorchVersion"
)
ADVICE = (
    "; such a file can run any code, and is not opened; where it was made, save the weights alone: "
    "G.state_dict() instead of G, or safetensors"
)
NUM_PICKLES = 5  # in the older format: magic number, version, the writer's machine, the object, the storages' keys
MAGIC = 0x1950A86A20F9469CFC6C
MOST_BYTES = 16 * 2**20  # of instructions, tensors aside: those of a generator are about 10 kB
DEEPEST = 8  # dictionaries in dictionaries


def read_parts(path: Path) -> Parts:
    """The tensors of a file, on the CPU, dictionary by dictionary.

    Returns:
        For each dictionary in the file that holds tensors, by its path (`""` is the outermost, `state_dict.netG` one
        in another): its tensors by their names, in the order in which they were written.

    Raises:
        SnapshotError: The file is missing, damaged, neither of the formats, or holds more than weights.
        OSError: It cannot be read.
    """
    if not path.exists():
        raise SnapshotError(f"{path}: no such file")
    with path.open("rb") as file:
        head = file.read(9)
    if head[8:] == b"{":
        return {"": _from_safetensors(path)}
    zipped = head.startswith(b"PK\3\4")
    for name in _names(path, _zipped_pickle(path) if zipped else _leading_pickles(path), 1 if zipped else NUM_PICKLES):
        if not PLAIN.fullmatch(name):
            module, _, kind = name.rpartition(" ")
            raise SnapshotError(f"{path}: holds more than weights ({kind!r} of {module!r}){ADVICE}")
    try:
        with warnings.catch_warnings(action="ignore"):  # of torch's own ways with old files
            root = torch.load(path, map_location="cpu", weights_only=True, mmap=zipped)
    except Exception as error:  # whatever a damaged file makes of torch's reader
        raise SnapshotError(f"{path}: damaged; torch.load cannot read it ({type(error).__name__})") from None
    return _parts(root)


def _from_safetensors(path: Path) -> dict[str, Tensor]:
    """Its tensors; the format keeps no order, so names are sorted, with numbers as numbers."""
    try:
        with safe_open(path, framework="pt") as file:
            made_by = (file.metadata() or {}).get("format", "")
            if made_by in ("facegan-snapshot", "facegan-state"):
                kind = made_by.removeprefix("facegan-")
                raise SnapshotError(f"{path}: is a {kind} of facegan already; there is nothing to import")
            return {name: file.get_tensor(name) for name in sorted(file.keys(), key=_natural)}
    except (SafetensorError, ValueError) as error:
        raise SnapshotError(f"{path}: not a valid safetensors file ({' '.join(str(error).split())[:200]})") from None


def _natural(name: str) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdecimal() and len(part) < 10 else (-1, part) for part in re.split(r"(\d+)", name)]


def _zipped_pickle(path: Path) -> bytes:
    """The instructions in a zip archive of torch.save, which stores its members as they are."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            pickles = [member for member in members if member.filename.endswith("data.pkl")]
            if any(member.filename.endswith("/constants.pkl") for member in members):
                raise SnapshotError(f"{path}: is a TorchScript program{ADVICE}")
            if len(pickles) != 1 or any(member.compress_type != zipfile.ZIP_STORED for member in members):
                raise SnapshotError(f"{path}: a zip archive, but none that torch.save wrote; unpack it first")
            if sum(member.compress_size for member in members) > path.stat().st_size or archive.testzip() is not None:
                raise SnapshotError(f"{path}: damaged; its contents do not have their checksums")
            if pickles[0].file_size > MOST_BYTES:
                raise SnapshotError(f"{path}: holds too much besides weights; save the weights alone, as a state dict")
            return archive.read(pickles[0])
    except (
        zipfile.BadZipFile,
        OSError,
        EOFError,
        NotImplementedError,
        RuntimeError,
        ValueError,
        struct.error,
    ) as error:
        raise _damaged(path, error) from None


def _leading_pickles(path: Path) -> bytes:
    """The beginning of a file in the older format, in which all instructions stand before the tensors' bytes."""
    with path.open("rb") as file:
        pickles = file.read(MOST_BYTES)
    magic = b"\x8a\x0a" + MAGIC.to_bytes(10, "little")  # as a pickle writes a number of ten bytes
    if magic not in pickles[:32]:
        raise SnapshotError(f"{path}: neither a file that torch.save wrote nor safetensors")
    return pickles


def _names(path: Path, pickles: bytes, number: int) -> Iterator[str]:
    """`module name` of everything that pickles would import, in their order."""
    stream = io.BytesIO(pickles)
    try:
        for _ in range(number):
            for opcode, argument, _ in pickletools.genops(stream):
                if opcode.name == "GLOBAL":
                    yield str(argument)
                elif opcode.name in ("STACK_GLOBAL", "INST"):
                    raise SnapshotError(
                        f"{path}: saved with a newer pickle protocol, which torch reads only where it may run code; "
                        "save it anew with torch.save's own protocol, 2"
                    )
    except (ValueError, IndexError, struct.error, MemoryError) as error:
        raise _damaged(path, error) from None


def _damaged(path: Path, error: Exception) -> SnapshotError:
    reason = " ".join(str(error).split()) or type(error).__name__
    return SnapshotError(f"{path}: damaged, or not all there ({reason[:200]})")


def _parts(root: Any) -> Parts:
    """The dictionaries and lists with tensors in them; one that stands in several places is taken once."""
    parts: Parts = {}
    waiting: list[tuple[tuple[str, ...], Any]] = [((), root)]
    seen = set()
    for where, node in waiting:  # grows as it is gone through
        entries = (
            node.items() if isinstance(node, Mapping) else enumerate(node if isinstance(node, list | tuple) else ())
        )
        if id(node) in seen or len(where) > DEEPEST:
            continue
        seen.add(id(node))
        for key, value in entries:
            if isinstance(value, Tensor) and isinstance(key, str | int):
                parts.setdefault(".".join(where), {})[str(key)] = value
            elif isinstance(value, Mapping | list | tuple) and isinstance(key, str | int):
                waiting.append(((*where, str(key)), value))
    return parts
