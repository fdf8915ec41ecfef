"""The published weights of the network that defines FID: where to download them, and how to verify a file."""

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import IO

from pydantic import BaseModel, ConfigDict

from ..errors import DownloadError, WeightsError
from ..reporter import SILENT, Reporter
from ..storage.cache import WEIGHTS
from .download import exclusive
from .http import Link, Patience, fetch
from .sources import source_at

BRIEF = Patience(attempts=1, timeout_seconds=5)  # for work that can go on without the weights


class Weights(BaseModel):
    """A published file of weights."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str  # in `facegan download`
    title: str
    file: str  # its name on this machine
    checksum: str
    size_bytes: int
    licence: str
    licence_url: str
    mirrors: Mapping[str, str]  # the address of each, in the order in which they are tried

    @property
    def digest(self) -> str:
        """Its SHA-256, in hex."""
        return self.checksum.partition(":")[2]

    def link(self, url: str) -> Link:
        """Return the file at an address; raises as `source_at` does."""
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
    """Return the path of the weights in the cache, or None; `open_weights` verifies them."""
    path = WEIGHTS.path / INCEPTION.file
    return path if path.is_file() else None


def fetch_weights(*, reporter: Reporter = SILENT, patience: Patience | None = None, address: str | None = None) -> Path:
    """Download the weights into the cache, unless they are there; an interrupted download is continued.

    Args:
        reporter: Receives what happens, and the bytes of the file.
        patience: How often and how long to try each mirror; `BRIEF` where the work can go on without.
        address: Of a copy, instead of the mirrors.

    Raises:
        ConfigError: The address is neither http nor https.
        DownloadError: No mirror works; the message says what to download by hand.
        OSError: The cache cannot be written.
    """
    row, path, reason = INCEPTION, WEIGHTS.path / INCEPTION.file, ""
    links = {title: row.link(url) for title, url in ({address: address} if address else row.mirrors).items()}
    with exclusive(path.parent, row.name, reporter):
        if next(iter(links.values())).matches(path):
            reporter.info(f"{row.name}: already here, nothing is fetched")
            return path
        for title, link in links.items():
            if reason:
                reporter.warning(f"{row.name}: {reason}; now the next one")
            reporter.info(f"{row.name}: fetching from {title}")
            try:
                return fetch(link, path.parent, patience=patience or Patience(), reporter=reporter)
            except DownloadError as error:
                reason = f"{title}: {error}"
    raise DownloadError(
        f"{row.name}: the weights could not be fetched ({reason}); fetch {next(iter(row.mirrors.values()))} "
        f"by hand, then run: facegan download {row.name} --from {row.file}"
    )


def take_weights(copy: Path) -> Path:
    """Copy a file of the weights into the cache; raises as `open_weights`."""
    with open_weights(copy) as file:
        return WEIGHTS.write(INCEPTION.file, file.read())


def open_weights(path: Path) -> IO[bytes]:
    """Open a file of the weights at its first byte; its digest is verified before anything is made of it.

    Raises:
        WeightsError: It is missing, or not the published one.
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
