"""What a file is by its first bytes, whatever its name says."""

import re

_BEGINNINGS = (
    (b"PK\x03\x04", "a zip archive"),
    (b"PK\x05\x06", "a zip archive"),
    (b"\x1f\x8b", "a gzip file"),
    (b"BZh", "a bzip2 file"),
    (b"\xfd7zXZ\x00", "an xz file"),
    (b"Rar!", "a rar archive"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (b"PAR1", "a parquet file"),
    (b"\x89PNG", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF8", "a GIF image"),
    (b"II*\x00", "a TIFF image"),
    (b"MM\x00*", "a TIFF image"),
    (b"BM", "a BMP image"),
    (b"%PDF", "a PDF document"),
    (b"\x93NUMPY", "a numpy array"),
)


def sniff_file_type(content: bytes) -> str:
    """What a file's first bytes (512 are enough) look like, in words with their article."""
    if not content:
        return "an empty file"
    for beginning, words in _BEGINNINGS:
        if content.startswith(beginning):
            return words
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return "a WebP image"
    if content[257:262] == b"ustar":
        return "a tar archive"
    text = content[:512].removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if re.match(rb"<(!doctype html|html|head|body|!--|meta|script|title)", text):
        return "a web page"
    if text and not re.search(rb"[^\t\n\r\x20-\x7e]", text):
        return "plain text"
    return "data of an unknown kind"
