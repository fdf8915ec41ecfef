"""Survey the sizes and formats of a source's images from the files' headers alone."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from PIL import Image

from ..errors import DataError
from ..images.decode import quiet_pillow, read_header
from ..reporter import SILENT, Reporter
from .packed.packed_images import PackedSource
from .parallel import parallel_map
from .source import Delivered, ImageSource

_GREY = ("1", "L", "LA", "La", "I", "I;16", "I;16B", "F")
_RESOLUTIONS = (16, 32)  # at which a source is asked for one image, to find out whether it draws at any size


@dataclass(frozen=True)
class Survey:
    """Statistics of a source."""

    num: int  # images whose header can be read
    sizes: Mapping[tuple[int, int], int] = field(default_factory=dict)  # images of each; empty if drawn at any size
    num_grey: int = 0  # stored in grey
    num_lossy: int = 0  # JPEG or lossy WebP

    @property
    def is_grey(self) -> bool:
        """Whether every image is stored in grey."""
        return 0 < self.num == self.num_grey


def survey(source: ImageSource, names: Sequence[str], *, reporter: Reporter = SILENT) -> Survey:
    """Read the headers of these images, at least one; those that cannot be read are not counted."""
    if isinstance(source, PackedSource):
        index = source.packed.index
        sizes = {(index.resolution, index.resolution): len(names)}
        return Survey(len(names), sizes, len(names) if index.channels == 1 else 0)
    if _draws_at_any_size(source, names[0]):
        return Survey(len(names))
    counts: Counter[tuple[int, int]] = Counter()
    num_grey = num_lossy = 0
    with quiet_pillow():
        progress = reporter.counter("reading sizes")
        for _, found in parallel_map(source, names, _RESOLUTIONS[0], _properties, progress=progress):
            if found is not None:
                counts[found[0]] += 1
                num_grey += found[1]
                num_lossy += found[2]
    return Survey(counts.total(), dict(counts.most_common()), num_grey, num_lossy)


def _draws_at_any_size(source: ImageSource, name: str) -> bool:
    sizes = set()
    for resolution in _RESOLUTIONS:
        for _, content in source.read([name], resolution):
            if not isinstance(content, Image.Image):
                return False
            sizes.add(content.size)
    return len(sizes) > 1


def _properties(_: str, content: Delivered) -> tuple[tuple[int, int], bool, bool] | None:
    """Return an image's size, whether it is grey, and whether it is lossy; None if it cannot be read."""
    if isinstance(content, DataError):
        return None
    if isinstance(content, Image.Image):
        return content.size, content.mode in _GREY, False
    try:
        size, mode, format = read_header(content)
    except DataError:
        return None
    # A lossless WebP file has a chunk VP8L among its first ones, a lossy one VP8.
    is_lossy = format == "JPEG" or (format == "WEBP" and b"VP8L" not in content[:64])
    return size, mode in _GREY, is_lossy
