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
    """Statistics of a source.

    Attributes:
        num: The number of images whose header can be read.
        sizes: The number of images of each (width, height); empty for a source that draws at any size.
        num_grey: The number stored in grey.
        num_lossy: The number of JPEG or lossy WebP files.
    """

    num: int
    sizes: Mapping[tuple[int, int], int] = field(default_factory=dict)
    num_grey: int = 0
    num_lossy: int = 0

    @property
    def is_grey(self) -> bool:
        """Whether every image is stored in grey."""
        return 0 < self.num == self.num_grey


def survey(source: ImageSource, names: Sequence[str], *, reporter: Reporter = SILENT) -> Survey:
    """Read the headers of images; those that cannot be read are not counted.

    Args:
        source: The source.
        names: Which of its images, at least one.
        reporter: Receives the progress of "reading sizes".
    """
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
                size, is_grey, is_lossy = found
                counts[size] += 1
                num_grey += is_grey
                num_lossy += is_lossy
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
