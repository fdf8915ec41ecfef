"""`facegan pack`."""

from typing import TYPE_CHECKING, Any

from ..api import data
from .console import print_lines
from .options import Options, verb_command

if TYPE_CHECKING:
    from ..data.packed.packed_images import PackedImages

EXAMPLES = """
    $ facegan pack celeba --resolution 64
    celeba: 202,599 images, 64x64, 2.5 GB
    ~/.cache/facegan/packed/3f2a...

    $ facegan pack photos/ --resolution 128 --set data.crop=center:400 -o photos-128
    photos/: 1,200 images, 128x128, 59.0 MB
    photos-128
    """


def _document(images: "PackedImages", _: Options) -> dict[str, Any]:
    return {"path": str(images.path), **images.index.model_dump(mode="json"), "skipped": images.skipped}


pack = verb_command(data.pack, EXAMPLES, lambda images, _: print_lines(images.path), _document)
