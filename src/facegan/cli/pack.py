"""`facegan pack`."""

from typing import Any

from rich.filesize import decimal

from ..api import data
from .console import ConsoleReporter
from .options import Json, command, print_json

MAX_SHOWN = 10  # skipped images; all are listed in the packed folder
EXAMPLES = """
    $ facegan pack celeba --resolution 64
    celeba: 202,599 images, 64x64, 2.5 GB
    ~/.cache/facegan/packed/3f2a...

    $ facegan pack photos/ --resolution 128 --set data.crop=center:400 -o photos-128
    photos/: 1,200 images, 128x128, 59.0 MB
    photos-128
    """


@command(data.pack, EXAMPLES)
def pack(options: dict[str, Any], *, as_json: Json = False) -> None:
    """Print the folder, and which images were skipped."""
    from ..data.source import shown, suffix_counts

    with ConsoleReporter() as reporter:
        packed = data.pack(**options, reporter=reporter)
        images = packed.images
        if as_json:
            about = images.index.model_dump(mode="json")
            print_json({"path": str(images.path), **about, "skipped": images.skipped})
            return
        if images.index.passed_over:
            reporter.info(f"skipped {suffix_counts(images.index.passed_over)}, which are not read")
        for name, reason in images.skipped[:MAX_SHOWN]:
            reporter.info(f"skipped {shown(name)}: {reason}")
        if images.num_skipped > MAX_SHOWN:
            num_more = images.num_skipped - MAX_SHOWN
            reporter.info(f"skipped {num_more:,} more; {images.path}/skipped.json names them")
        side, before = images.index.resolution, "" if packed.is_new else "; packed before"
        size = f"{len(images):,} images, {side}x{side}, {decimal(images.images.nbytes)}{before}"
        reporter.info(f"{options['source']}: {size}")
    print(images.path)
