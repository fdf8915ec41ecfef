"""The published weights of the network that FID is defined on: where they are fetched, and how a file is known."""

import hashlib
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import IO

from pydantic import BaseModel, ConfigDict, Field

from ..errors import DownloadError, WeightsError
from ..storage.atomic import write_atomic
from ..storage.cache import WEIGHTS
from .download import alone, source_at
from .http import fetch
from .links import Link, Patience, Progress, Say, matches

BRIEF = Patience(attempts=1, timeout_seconds=5)  # for work that can go on without


class Weights(BaseModel):
    """A file of weights that others publish.

    Attributes:
        name: What `facegan download` calls it.
        title: What it is.
        file: Its name here.
        checksum: `sha256:...`.
        size_bytes: Its exact size.
        licence: What its owners allow.
        licence_url: Where the licence is written.
        mirrors: Who offers it, in the order in which they are tried, and at which address.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    title: str
    file: str
    checksum: str = Field(pattern=r"^sha256:[0-9a-f]{64}$")
    size_bytes: int = Field(gt=0)
    licence: str
    licence_url: str
    mirrors: Mapping[str, str]

    @property
    def digest(self) -> str:
        """Its SHA-256, in hex."""
        return self.checksum.partition(":")[2]

    def link(self, url: str) -> Link:
        """The file at an address; raises as `source_at` does."""
        (found,) = source_at(url, self.name).links()
        return replace(found, name=self.file, checksum=self.checksum, size_bytes=self.size_bytes)


# The digest begins with the eight digits that the publishers put into the file's name.
INCEPTION = Weights(
    name="inception",
    title="Inception v3 of 2015, the network of FID and KID",
    file="pt_inception-2015-12-05-6726825d.pth",
    checksum="sha256:6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2",
    size_bytes=95_628_359,
    licence="Apache-2.0",
    licence_url="https://www.apache.org/licenses/LICENSE-2.0",
    mirrors={
        "pytorch-fid's release": "https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/"
        "pt_inception-2015-12-05-6726825d.pth",
        "torch-fidelity's release": "https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/"
        "weights-inception-2015-12-05-6726825d.pth",
    },
)


def find_weights() -> Path | None:
    """Where the weights of Inception lie in the cache, or None; `open_weights` looks whether they are whole."""
    path = _place()
    return path if path.is_file() else None


def fetch_weights(
    *, say: Say, progress: Progress, patience: Patience | None = None, address: str | None = None
) -> Path:
    """Bring the weights of Inception into the cache, unless they are there; what has arrived is gone on with.

    Args:
        say: Is told in a line what happens.
        progress: Is told how many bytes are here.
        patience: How often and how long each mirror is tried; `BRIEF` where the work can go on without.
        address: Of a copy, instead of the mirrors.

    Raises:
        ConfigError: The address is neither http nor https.
        DownloadError: No mirror works; the message says what to fetch by hand.
        OSError: The cache cannot be written.
    """
    row, path = INCEPTION, _place()
    links = {title: row.link(url) for title, url in ({address: address} if address else row.mirrors).items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    with alone(path.parent, row.name, say):
        if matches(path, row.checksum, row.size_bytes):
            say(f"{row.name}: already here, nothing is fetched")
            return path
        reasons = []
        for title, link in links.items():
            say(f"{row.name}: fetching from {title}")
            try:
                return fetch(link, path.parent, patience=patience or Patience(), say=say, progress=progress)
            except DownloadError as error:
                reasons.append(f"{title}: {error}")
                if len(reasons) < len(links):
                    say(f"{row.name}: {reasons[-1]}; now the next one")
    raise DownloadError(
        f"{row.name}: the weights could not be fetched ({reasons[-1]}); fetch {next(iter(row.mirrors.values()))} "
        f"by hand, then run: facegan download {row.name} --from {row.file}"
    )


def take_weights(copy: Path, *, say: Say) -> Path:
    """Copy a file of the weights of Inception into the cache.

    Raises:
        WeightsError: It is missing, or not what was published.
        OSError: It cannot be read, or the cache cannot be written.
    """
    path = _place()
    with open_weights(copy) as file:
        path.parent.mkdir(parents=True, exist_ok=True)
        with alone(path.parent, INCEPTION.name, say):
            write_atomic(path, lambda temporary: _pour(file, temporary))
    return path


def open_weights(path: Path) -> IO[bytes]:
    """Open a file of the weights of Inception, which is read through and compared before anything is made of it.

    Returns:
        The file, at its first byte.

    Raises:
        WeightsError: It is missing, or not what was published.
        OSError: It cannot be read.
    """
    row = INCEPTION
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "no such file"
        raise WeightsError(f"{path}: {what}; give the file {row.file}, or run 'facegan download {row.name}'")
    file = path.open("rb")
    found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != row.digest:
        file.close()
        raise WeightsError(
            f"{path}: not the published weights of Inception, and not read (its sha256 is {found}; published is "
            f"{row.digest}); run 'facegan download {row.name}'"
        )
    file.seek(0)
    return file


def _place() -> Path:
    return WEIGHTS.path / INCEPTION.file


def _pour(file: IO[bytes], to: Path) -> None:
    with to.open("wb") as copy:
        shutil.copyfileobj(file, copy, 2**20)
