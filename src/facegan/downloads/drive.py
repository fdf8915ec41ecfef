"""Files on Google Drive, which often sends a web page where the file should be."""

from ..errors import DownloadError
from .answers import title_of
from .links import Link
from .publication import File, Source

_NAME = "Google Drive"


class DriveSource(Source):
    """Files that are shared on Google Drive.

    Attributes:
        files: The files with their ids.
        address: Where Drive answers.
    """

    files: tuple[File, ...]
    address: str = "https://drive.google.com/uc"

    @property
    def title(self) -> str:
        """What messages call it."""
        return _NAME

    def links(self) -> list[Link]:
        """The files as they stand in the row; asks nobody."""
        return [
            Link(
                file.name,
                f"{self.address}?export=download&id={file.at}",
                checksum=file.checksum,
                size_bytes=file.size_bytes,
                needed=file.needed,
                past_page=past_page,
            )
            for file in self.files
        ]


def past_page(page: str) -> str:
    """The file's address behind Drive's page that asks to confirm a download without a virus scan.

    Raises:
        DownloadError: The page asks for nothing that can be confirmed: the quota is used up, or the file is not public.
    """
    from gdown.download import get_url_from_gdrive_confirmation
    from gdown.exceptions import FileURLRetrievalError

    try:
        return get_url_from_gdrive_confirmation(page)
    except FileURLRetrievalError:
        raise DownloadError(f"{_NAME} answered with a web page: {_meaning(page)}") from None


def shared_id(url: str) -> str | None:
    """The id in a Google Drive share link, or None for any other address.

    Raises:
        DownloadError: It is a link to a folder, or to no file.
    """
    from gdown.parse_url import is_google_drive_url, parse_url

    if not is_google_drive_url(url=url):
        return None
    file_id, _ = parse_url(url=url)
    if file_id is None:
        raise DownloadError(f"{url}: not the share link of one file on {_NAME}; open the file there and copy its link")
    return file_id


def _meaning(page: str) -> str:
    text = page.lower()
    if "quota" in text or "too many users" in text:
        return "quota exceeded; too many people fetched this file lately, and it may be free again in a day"
    if "accounts.google.com" in text or "sign in" in text:
        return "it asks to sign in; the file is not shared with everybody"
    return title_of(page) or "one without a title"
