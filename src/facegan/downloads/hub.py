"""Files in a dataset repository on the Hugging Face hub.

The hub's own library knows addresses, tokens, mirrors and checksums; the bytes come by `transfer`, since that library
throws away what has arrived of a file when a download is interrupted.
"""

import fnmatch
from pathlib import PurePosixPath
from typing import Any

from .. import __version__
from ..errors import DownloadError
from .links import Link
from .publication import Source


class HubSource(Source):
    """Files of a dataset repository; `HF_ENDPOINT`, `HF_TOKEN` and `HF_HUB_OFFLINE` are respected.

    Attributes:
        repo: OWNER/NAME.
        files: Which files, as a pattern of their paths.
        endpoint: The hub's address; None: `HF_ENDPOINT`, else the public hub.
    """

    repo: str
    files: str = "*.parquet"
    endpoint: str | None = None

    @property
    def title(self) -> str:
        """What messages call it."""
        return f"Hugging Face {self.repo}"

    @property
    def folder(self) -> str:
        """A folder for each repository, so that the shards of two never mix."""
        return "" if self.opens else self.repo.replace("/", "--")

    def links(self) -> list[Link]:
        """Ask the hub for the files, their sizes and their checksums, all of one revision."""
        try:
            links = self._ask()
        except DownloadError:
            raise
        except Exception as error:  # the hub's library raises its own, its client's and the system's
            raise DownloadError(_in_words(error, self.repo)) from None
        if not links:
            raise DownloadError(f"the repository holds no file like {self.files}")
        if len({link.name for link in links}) < len(links):
            raise DownloadError(f"the repository holds two files of one name like {self.files}")
        return sorted(links, key=lambda link: link.name)

    def _ask(self) -> list[Link]:
        from huggingface_hub import HfApi, hf_hub_url
        from huggingface_hub.hf_api import RepoFile
        from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]

        hub = HfApi(endpoint=self.endpoint)  # without one, that of HF_ENDPOINT
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


def _in_words(error: Exception, repo: str) -> str:
    from huggingface_hub.errors import GatedRepoError, OfflineModeIsEnabled, RepositoryNotFoundError

    if isinstance(error, OfflineModeIsEnabled):
        return "HF_HUB_OFFLINE is set, and nothing is asked of the hub"
    if isinstance(error, GatedRepoError):
        return f"{repo} is gated; accept its terms at https://huggingface.co/datasets/{repo} and set HF_TOKEN"
    response: Any = getattr(error, "response", None)
    if isinstance(error, RepositoryNotFoundError) or getattr(response, "status_code", 0) == 401:
        return f"there is no {repo}, or it is private and HF_TOKEN does not open it"
    if response is not None:
        return f"the hub answered {response.status_code} {response.reason_phrase}"
    return f"the hub cannot be asked ({' '.join(str(error).split())[:200] or type(error).__name__})"
