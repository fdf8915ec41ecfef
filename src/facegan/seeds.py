"""Points of latent space as users name them: seeds, ranges of seeds, and files of latents."""

import base64
import itertools
import re
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor

from .errors import ConfigError, SnapshotError
from .generator import FaceGenerator
from .messages import printable, quoted
from .reporter import Reporter
from .storage.safetensors_file import open_tensors, read_tensors, write_tensors

MAX_POINTS = 10_000_000  # points at a time
_ROW = re.compile(r"(?P<path>.+\.safetensors)(?:#(?P<row>\d{1,9}))?")


class Latent(BaseModel):
    """One latent, and the snapshot that it was found for."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    z: str  # float32 numbers, little-endian, in base64
    snapshot: str = ""  # digest of that snapshot's file; empty when unknown

    @classmethod
    def of(cls, z: Tensor, snapshot: str = "") -> "Latent":
        """Encode a vector z (z_dim,)."""
        numbers = z.detach().cpu().float().numpy().astype("<f4").tobytes()
        return cls(z=base64.b64encode(numbers).decode(), snapshot=snapshot)

    def vector(self) -> Tensor:
        """Decode its numbers, float32 (z_dim,); raises ConfigError where they are none, or not finite."""
        try:
            z = torch.frombuffer(bytearray(base64.b64decode(self.z, validate=True)), dtype=torch.float32)
            if z.isfinite().all():
                return z
        except ValueError:
            pass
        raise ConfigError("a latent is no base64 of finite float32 numbers")

    def z_of(self, generator: FaceGenerator, name: str) -> Tensor:
        """Decode its numbers for a generator, float32 (z_dim,); raises SnapshotError for those of another length."""
        z = self.vector()
        if len(z) != generator.z_dim:
            raise SnapshotError(
                f"{name}: a latent of {len(z)} numbers, but {generator.name} takes "
                f"{generator.z_dim}; it belongs to another model"
            )
        return z


class Points(BaseModel):
    """An ordered choice of points, as `--seeds` takes it, complete in itself."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    text: str  # comma-separated seeds (7) below 2^32, ranges of them (0-63), and names of `latents`
    latents: dict[str, Latent] = {}

    def model_post_init(self, _: Any) -> None:
        """Refuse no points and too many; raises ConfigError."""
        if not 1 <= len(self) <= MAX_POINTS:
            raise ConfigError(f"{len(self):,} points; give 1 to {MAX_POINTS:,}")

    @classmethod
    def of(cls, seeds: Iterable[int]) -> "Points":
        """Return the points of seeds, with the shortest text: 0-63,99."""
        if isinstance(seeds, range) and seeds.step == 1 and len(seeds) > 1:
            return cls(text=f"{seeds[0]}-{seeds[-1]}")
        parts: list[list[int]] = []
        for seed in seeds:
            if parts and seed == parts[-1][1] + 1:
                parts[-1][1] = seed
            else:
                parts.append([seed, seed])
        return cls(text=",".join(f"{low}-{high}" if high > low else str(low) for low, high in parts))

    @cached_property
    def _segments(self) -> list[range | list[str]]:
        names = (part.strip() for part in self.text.split(","))
        return [[name] if name in self.latents else _range(name) for name in names]

    def __len__(self) -> int:
        return sum(map(len, self._segments))

    def names(self) -> Iterator[int | str]:
        """Yield each point in order: a seed, or a latent's name."""
        return itertools.chain.from_iterable(self._segments)

    def labels(self) -> list[str]:
        """Return the caption of each point's image."""
        return [str(name).replace(".safetensors", "") for name in self.names()]

    def batches(self, size: int) -> Iterator[list[int | str]]:
        """Yield the names in order, `size` at a time."""
        names = self.names()
        while batch := list(itertools.islice(names, size)):
            yield batch

    def z(self, generator: FaceGenerator, names: Sequence[int | str] | None = None) -> Tensor:
        """Return the latents of these names (all by default): float32 (len(names), z_dim); raises as `Latent.z_of`."""
        rows = [
            generator.latents([name])[0] if isinstance(name, int) else self.latents[name].z_of(generator, name)
            for name in (self.names() if names is None else names)
        ]
        return torch.stack(rows)

    def warn_of_foreign(self, generator: FaceGenerator, reporter: Reporter) -> None:
        """Warn of each latent that was found for another snapshot: its image here is another one."""
        for name, latent in self.latents.items():
            if latent.snapshot not in ("", generator.origin.digest):
                reporter.warning(f"{name}: was found for another snapshot; its face here is another one")


def parse(text: str) -> Points:
    """Parse `--seeds 0-63,99,me.safetensors`; files of latents are read, each row of one is a point of its own.

    A single row of a file is `faces.safetensors#3`. A path must not contain a comma.

    Raises:
        ConfigError: A part is neither a seed, nor a range, nor a file of latents, or two files share one name.
        SnapshotError: A file is missing, damaged, or holds no latents.
    """
    parts, latents, paths = [], dict[str, Latent](), dict[str, Path]()
    for part in text.split(","):
        match = _ROW.fullmatch(part.strip())
        if match is None:
            _range(part.strip())  # refuses it before a file is read
            parts.append(part.strip())
            continue
        path = Path(match["path"])
        if paths.setdefault(path.name, path) != path:
            raise ConfigError(f"{paths[path.name]} and {path} have one name; rename one of them")
        z, snapshot = load_latents(path)
        rows = range(len(z)) if match["row"] is None else [int(match["row"])]
        if rows[-1] >= len(z):
            raise ConfigError(f"there is no row {rows[-1]}; {path.name} has {len(z)}, numbered from 0")
        for row in rows:
            name = printable(path.name) if len(z) == 1 else f"{printable(path.name)}#{row}"
            latents[name] = Latent.of(z[row], snapshot)
            parts.append(name)
    return Points(text=",".join(parts), latents=latents)


def save_latents(path: Path, z: Tensor, generator: FaceGenerator, about: dict[str, str] | None = None) -> None:
    """Write latents z (N, z_dim) of a generator to a .safetensors file that can be given wherever seeds can.

    `about` is more metadata.
    """
    origin = {"snapshot": generator.origin.digest, "step": str(generator.origin.step), "prior": generator.prior}
    write_tensors(path, "latents", {"z": z.float()}, {**(about or {}), **origin})


def load_latents(path: Path) -> tuple[Tensor, str]:
    """Load the latents of a file, float32 (N, z_dim), N >= 1, and the digest of the snapshot they were found for.

    Raises:
        SnapshotError: The file is missing, damaged, or holds no latents.
    """
    metadata = open_tensors(path, "latents").metadata
    z = read_tensors(path).get("z")
    if z is None or z.ndim != 2 or not z.numel() or not z.is_floating_point() or not z.isfinite().all():
        raise SnapshotError(f"{path}: holds no latents of shape (N, z_dim) that are finite")
    return z.float(), metadata.get("snapshot", "")


def _range(part: str) -> range:
    """Parse 7 or 0-63."""
    match = re.fullmatch(r"([0-9]{1,99})(?:-([0-9]{1,99}))?", part)
    if match is None:
        raise ConfigError(
            f"{quoted(part)} is not a seed; give numbers and ranges, for instance 0-63,99, or a file of latents"
        )
    low, high = int(match[1]), int(match[2] or match[1])
    if high >= 2**32 or high - low >= MAX_POINTS:
        raise ConfigError(f"{quoted(part)} is too large; seeds are below 2^32, {MAX_POINTS:,} at a time")
    if high < low:
        raise ConfigError(f"the range {quoted(part)} runs backwards; give {high}-{low}")
    return range(low, high + 1)
