"""The kinds of places to download from: web addresses, Google Drive, the Hugging Face hub."""

import fnmatch
import re
import urllib.parse
from pathlib import PurePosixPath
from typing import Any

from .. import __version__
from ..errors import ConfigError, DownloadError
from ..messages import one_line
from .http import PROXY, Link, title_of
from .publication import DownloadSource, File

_DRIVE = "Google Drive"
_PASSED_ON = {"name", "checksum", "size_bytes", "needed"}  # of a File to its Link


class WebSource(DownloadSource):
    """Files at http or https addresses."""

    host: str  # the name of the place in messages
    files: tuple[File, ...]

    @property
    def title(self) -> str:
        """Its name in messages."""
        return self.host

    def links(self) -> list[Link]:
        """Return the files; nothing is requested."""
        return [Link(url=file.at, **file.model_dump(include=_PASSED_ON)) for file in self.files]


class DriveSource(WebSource):
    """Files that are shared on Google Drive, which often sends a web page in the place of a file."""

    host: str = _DRIVE
    address: str = "https://drive.google.com/uc"

    def links(self) -> list[Link]:
        """Return the files; nothing is requested."""
        url = f"{self.address}?export=download&id="
        return [
            Link(url=url + file.at, past_page=_confirmed_url, **file.model_dump(include=_PASSED_ON))
            for file in self.files
        ]


class HubSource(DownloadSource):
    """Files of a dataset repository on the Hugging Face hub.

    The hub's library knows addresses, tokens, mirrors and checksums; `http` downloads the bytes, since that library
    discards an interrupted download. It respects `HF_ENDPOINT`, `HF_TOKEN` and `HF_HUB_OFFLINE`.
    """

    repo: str  # OWNER/NAME
    files: str = "*.parquet"  # a pattern of the files' paths
    endpoint: str | None = None  # the hub's address; None: `HF_ENDPOINT`, else the public hub

    @property
    def title(self) -> str:
        """Its name in messages."""
        return f"Hugging Face {self.repo}"

    @property
    def folder(self) -> str:
        """A folder for each repository, so that the shards of two never mix."""
        return "" if self.opens else self.repo.replace("/", "--")

    def links(self) -> list[Link]:
        """Ask the hub for the files, their sizes and their checksums, all of one revision."""
        try:
            links = self._list()
        except DownloadError:
            raise
        except Exception as error:  # the hub's library raises its own, its client's and the system's
            raise DownloadError(_hub_error(error, self.repo)) from None
        if not links:
            raise DownloadError(f"the repository holds no file like {self.files}")
        if len({link.name for link in links}) < len(links):
            raise DownloadError(f"the repository holds two files of one name like {self.files}")
        return sorted(links, key=lambda link: link.name)

    def _list(self) -> list[Link]:
        from huggingface_hub import HfApi, hf_hub_url
        from huggingface_hub.hf_api import RepoFile
        from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]

        hub = HfApi(endpoint=self.endpoint)
        revision = hub.dataset_info(self.repo, timeout=self.patience.timeout_seconds).sha
        tree = hub.list_repo_tree(self.repo, recursive=True, revision=revision, repo_type="dataset")
        return [
            Link(
                PurePosixPath(file.path).name,
                hf_hub_url(self.repo, file.path, repo_type="dataset", revision=revision, endpoint=hub.endpoint),
                checksum=f"sha256:{file.lfs.sha256}" if file.lfs else "",
                size_bytes=file.size,
                headers=build_hf_headers(library_name="facegan", library_version=__version__),
            )
            for file in tree
            if isinstance(file, RepoFile) and fnmatch.fnmatch(file.path, self.files)
        ]


def source_at(url: str, dataset: str) -> DownloadSource:
    """Return the source of the one file at an address that a person gives; `dataset` names it where the address cannot.

    Raises:
        ConfigError: The address is neither http nor https.
        DownloadError: It is a link to a folder on Google Drive.
    """
    from gdown.parse_url import is_google_drive_url, parse_url

    parts = urllib.parse.urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigError(f"{url}: this kind of address is not supported; give http:// or https://, or a path")
    if is_google_drive_url(url=url):
        file_id, _ = parse_url(url=url)
        if file_id is None:
            raise DownloadError(
                f"{url}: not the share link of one file on {_DRIVE}; open the file there and copy its link"
            )
        name = f"{dataset}-{file_id}"
        return DriveSource(files=(File(name=name, at=file_id),), opens=name)
    last = PurePosixPath(urllib.parse.unquote(parts.path)).name
    name = re.sub(r"[^\w.\-]+", "-", last).strip(".-")  # safe on any file system
    name = name if PurePosixPath(name).suffix else f"{dataset}-copy"
    return WebSource(host=parts.hostname, files=(File(name=name, at=url),), opens=name)


def _confirmed_url(page: str) -> str:
    """Return the file's address from Drive's page that asks to confirm a download without a virus scan.

    Raises:
        DownloadError: There is nothing to confirm: the quota is exceeded, or the file is not public.
    """
    from gdown.download import get_url_from_gdrive_confirmation
    from gdown.exceptions import FileURLRetrievalError

    try:
        return get_url_from_gdrive_confirmation(page)
    except FileURLRetrievalError:
        meaning, text = title_of(page) or "one without a title", page.lower()
    if "accounts.google.com" in text or "sign in" in text:
        meaning = "it asks to sign in; the file is not shared with everybody"
    if "quota" in text or "too many users" in text:
        meaning = "quota exceeded; too many people fetched this file lately, and it may be available again in a day"
    raise DownloadError(f"{_DRIVE} answered with a web page: {meaning}")


def _hub_error(error: Exception, repo: str) -> str:
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError

    if isinstance(error, GatedRepoError):
        return f"{repo} is gated; accept its terms at https://huggingface.co/datasets/{repo} and set HF_TOKEN"
    response: Any = getattr(error, "response", None)
    if isinstance(error, RepositoryNotFoundError) or getattr(response, "status_code", 0) == 401:
        return f"there is no {repo}, or it is private and HF_TOKEN does not give access"
    if type(error).__name__ == "ProxyError":
        return f"{PROXY} refused or failed, not the hub ({one_line(error, 200)})"
    return f"the hub cannot be asked ({one_line(error, 200)})"
