"""Paths as text that every file format can hold, and back; a name on disk is bytes, which need not be UTF-8."""

import os
import re
from pathlib import Path
from typing import Annotated
from urllib.parse import unquote_to_bytes

from pydantic import BeforeValidator, PlainSerializer

_URI = re.compile("file:/+")  # a Path of it has one slash


def portable_path(path: str | Path) -> str:
    """Return a path as text: itself, or the file: URI of its absolute path if its bytes are not UTF-8."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return Path(path).absolute().as_uri()
    return str(path)


def local_path(text: str | Path) -> str:
    """Return the path that `portable_path`, or a file manager, wrote as a file: URI; any other text is unchanged."""
    text = str(text)
    return os.fsdecode(unquote_to_bytes(_URI.sub("/", text, count=1))) if _URI.match(text) else text


PortableText = Annotated[str, BeforeValidator(lambda value: portable_path(value) if isinstance(value, str) else value)]
PortablePath = Annotated[
    Path,
    BeforeValidator(lambda value: local_path(value) if isinstance(value, str) else value),
    PlainSerializer(portable_path, when_used="json"),
]
