"""What size and kind a source's images are, from the files' headers alone."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from PIL import Image

from ..errors import DataError
from ..images.decode import quiet_pillow, read_header
from .packed.packed_images import PackedSource
from .parallel import parallel_map
from .source import Delivered, ImageSource

_GREY = ("1", "L", "LA", "La", "I", "I;16", "I;16B", "F")
_SIDES = (16, 32)  # at which a source is asked for an image, to learn whether it draws at any


@dataclass(frozen=True)
class Survey:
    """What there is in a source.

    Attributes:
        num: Images whose header can be read.
        sizes: How many there are of each (width, height); empty for a source that draws at any size.
        num_grey: How many are stored in grey.
        num_lossy: How many are JPEG or lossy WebP files.
    """

    num: int
    sizes: Mapping[tuple[int, int], int] = field(default_factory=dict)
    num_grey: int = 0
    num_lossy: int = 0

    @property
    def is_grey(self) -> bool:
        """Whether every image is stored in grey."""
        return 0 < self.num == self.num_grey


def survey(
    pictures: ImageSource, names: Sequence[str], *, progress: Callable[[int, int], None] | None = None
) -> Survey:
    """Look at the headers of these images; what cannot be read is not counted.

    Args:
        pictures: The source.
        names: Which of them, one at least.
        progress: Called with (images done, images in all).
    """
    if isinstance(pictures, PackedSource):
        index = pictures.packed.index
        num = len(names)
        return Survey(num, {(index.resolution, index.resolution): num}, num if index.channels == 1 else 0)
    if _draws(pictures, names[0]):
        return Survey(len(names))
    sizes: Counter[tuple[int, int]] = Counter()
    num_grey = num_lossy = 0
    with quiet_pillow():
        for done, (_, found) in enumerate(parallel_map(pictures, names, _SIDES[0], _look), start=1):
            if found is not None:
                size, is_grey, is_lossy = found
                sizes[size] += 1
                num_grey += is_grey
                num_lossy += is_lossy
            if progress is not None:
                progress(done, len(names))
    return Survey(sizes.total(), dict(sizes.most_common()), num_grey, num_lossy)


def _draws(pictures: ImageSource, name: str) -> bool:
    """Whether a source gives its images at whatever size is asked for."""
    sizes = set()
    for side in _SIDES:
        for _, content in pictures.read([name], side):
            if not isinstance(content, Image.Image):
                return False
            sizes.add(content.size)
    return len(sizes) > 1


def _look(_: str, content: Delivered) -> tuple[tuple[int, int], bool, bool] | None:
    """Size, whether in grey, and whether lossy; None of what cannot be read."""
    if isinstance(content, DataError):
        return None
    if isinstance(content, Image.Image):
        return content.size, content.mode in _GREY, False
    try:
        size, mode, format = read_header(content)
    except DataError:
        return None
    # A lossless WebP file has a chunk VP8L among its first ones; a lossy one has VP8 instead.
    is_lossy = format == "JPEG" or (format == "WEBP" and b"VP8L" not in content[:64])
    return size, mode in _GREY, is_lossy
