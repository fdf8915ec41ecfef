"""Read tensors from a file that another program wrote: `torch.save` in either of its formats, or safetensors.

A file of `torch.save` is a pickle. `torch.load(weights_only=True)` opens it, which runs no code. Before that, the
pickle's instructions are scanned without executing them, since torch also allows what is no part of weights and can
take any amount of memory, such as a bytearray.
"""

import io
import pickletools
import re
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..errors import SnapshotError
from ..messages import one_line, shell_path
from ..reporter import SILENT, Reporter
from ..storage.safetensors_file import open_safetensors

Parts = dict[str, dict[str, Tensor]]

# The globals in a pickle of tensors, numbers and texts.
_ALLOWED = re.compile(
    r"collections OrderedDict|torch\._utils _rebuild_(tensor(_v2|_v3)?|parameter)|torch\.nn\.parameter Parameter"
    r"|torch \w+Storage|torch\.storage UntypedStorage|torch (Size|device|b?float\w*|u?int\d+|bool)"
    r"|torch\.torch_version TorchVersion"
)
# Others that need not stop an import: numbers, times, paths and settings. What they name is never loaded: an inert
# object takes its place.
_HARMLESS = re.compile(
    r"numpy(\.\w+)* \w+|_codecs encode|(__builtin__|builtins) (set|frozenset|complex|object)|copy_?reg _reconstructor"
    r"|datetime \w+|pathlib \w+|decimal Decimal|uuid UUID|argparse Namespace|types SimpleNamespace"
)
_NUM_PICKLES = 5  # in the older format: magic number, version, the writer's machine, the object, the storages' keys
_MAGIC = b"\x8a\x0a" + 0x1950A86A20F9469CFC6C.to_bytes(10, "little")  # of the older format
_MAX_BYTES = 16 * 2**20  # of instructions, without the tensors; a generator has about 10 kB
_MAX_DEPTH = 8  # of dictionaries in dictionaries


class _Inert:
    """What takes the place of an object that is not loaded."""

    def __init__(self, *_: Any) -> None: ...

    def __new__(cls, *_: Any) -> "_Inert":
        return super().__new__(cls)

    def __setstate__(self, _: Any) -> None: ...

    def __hash__(self) -> int:
        return id(self)


def read_parts(path: Path, reporter: Reporter = SILENT) -> Parts:
    """Read the tensors of a file to the CPU, one dictionary for each that contains any.

    The reporter receives a line for objects that are left out.

    Returns:
        By the path of each dictionary in the file (`""` is the outermost, `state_dict.netG` a nested one): its tensors
        by name, in the order in which they were written.

    Raises:
        SnapshotError: The file is missing, damaged, of neither format, or contains more than weights.
        OSError: It cannot be read.
    """
    if not (path.is_file() or path.is_dir()):  # reading a pipe would block
        raise SnapshotError(f"{path}: {'no regular file' if path.exists() else 'no such file'}")
    with path.open("rb") as file:
        head = file.read(_MAX_BYTES)
    is_zip = head.startswith(b"PK\3\4")
    if head[8:9] != b"{" and not is_zip and _MAGIC not in head[:32]:
        raise SnapshotError(f"{path}: neither a file that torch.save wrote nor safetensors")
    try:
        if head[8:9] == b"{":
            return {"": _read_safetensors(path)}
        others = _scan(path, _zipped_pickle(path) if is_zip else head, 1 if is_zip else _NUM_PICKLES)
        renamed = [name.replace("__builtin__", "builtins").replace("copy_reg", "copyreg") for name in others]
        inert: list[Any] = [(_Inert, name.replace(" ", ".")) for name in (*others, *renamed)]
        # torch warns of its older formats
        warned, allowed = warnings.catch_warnings(action="ignore"), torch.serialization.safe_globals(inert)
        with path.open("rb") as file, warned, allowed:
            by_path = path.suffix != ".safetensors"  # torch takes any file of that ending for safetensors
            parts = _collect(
                torch.load(path if by_path else file, map_location="cpu", weights_only=True, mmap=is_zip and by_path)
            )
        if others:
            reporter.info(
                f"{path}: next to weights it contains other objects, left out and not run: {', '.join(others)}"
            )
        return parts
    except SnapshotError:
        raise
    except Exception as error:  # on damaged bytes the readers raise a dozen kinds
        raise SnapshotError(f"{path}: damaged or incomplete ({one_line(error, 100)})") from None


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    """Read tensors by name; the format keeps no order, so `10` is sorted behind `9`."""

    def natural(name: str) -> list[tuple[int, str]]:
        return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name)]

    with open_safetensors(path) as file:
        made_by = (file.metadata() or {}).get("format", "")
        if made_by in ("facegan-snapshot", "facegan-state"):
            kind = made_by.removeprefix("facegan-")
            use = f"facegan sample {shell_path(path)}" if kind == "snapshot" else "facegan resume"
            raise SnapshotError(
                f"{path}: is a {kind} of facegan already; there is nothing to import ('{use}' takes it)"
            )
        return {name: file.get_tensor(name) for name in sorted(file.keys(), key=natural)}


def _zipped_pickle(path: Path) -> bytes:
    """Return the instructions in a zip archive of torch.save, which compresses nothing."""
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        pickles = [member for member in members if member.filename.endswith("data.pkl")]
        if len(pickles) != 1 or any(member.compress_type != zipfile.ZIP_STORED for member in members):
            what = "no weights that torch.save wrote; compressed archives and TorchScript programs are not read"
            raise SnapshotError(f"{path}: a zip archive, but {what}")
        if pickles[0].file_size > _MAX_BYTES:
            raise SnapshotError(f"{path}: contains too much besides weights; save the weights alone, as a state dict")
        if bad := archive.testzip():
            raise SnapshotError(f"{path}: damaged; {bad} does not have its checksum")
        return archive.read(pickles[0])


def _scan(path: Path, pickles: bytes, num_pickles: int) -> list[str]:
    """Refuse pickles that import anything but parts of tensors and plain containers; return the harmless others."""
    stream, others = io.BytesIO(pickles), dict[str, None]()
    for _ in range(num_pickles):
        for opcode, argument, _ in pickletools.genops(stream):
            what = str(argument) if opcode.name == "GLOBAL" else "what torch itself does not save"
            if opcode.name == "GLOBAL" and _HARMLESS.fullmatch(what):
                others[what] = None
                continue
            if opcode.name in ("STACK_GLOBAL", "INST") or (opcode.name == "GLOBAL" and not _ALLOWED.fullmatch(what)):
                raise SnapshotError(
                    f"{path}: contains more than weights ({one_line(what, 100)}); such a file can run any code, and is "
                    "not opened; where it was made, save the weights alone: G.state_dict() instead of G, or safetensors"
                )
    return list(others)


def _collect(root: Any) -> Parts:
    """Return the tensors of all dictionaries and lists; those of one that occurs several times once."""
    parts: Parts = {}
    waiting: list[tuple[tuple[str, ...], Any]] = [((), root)]
    seen = set()
    for where, node in waiting:  # grows during the loop
        if id(node) in seen or len(where) > _MAX_DEPTH or not isinstance(node, Mapping | list | tuple):
            continue
        seen.add(id(node))
        for key, value in node.items() if isinstance(node, Mapping) else enumerate(node):
            if isinstance(value, Tensor):
                parts.setdefault(".".join(where), {})[str(key)] = value
            else:
                waiting.append(((*where, str(key)), value))
    return parts
