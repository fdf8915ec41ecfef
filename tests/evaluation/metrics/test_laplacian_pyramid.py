import numpy as np
import pytest
import torch
from scipy import ndimage

from facegan.evaluation.metrics.swd import enlarge, laplacian, pyramid_sizes, shrink

KERNEL = np.outer([1, 4, 6, 4, 1], [1, 4, 6, 4, 1]) / 256


def literal(image, num_levels):
    """The pyramid of one channel (H, W), with SciPy's convolution at every pixel."""
    levels = [image.astype(np.float64)]
    for _ in range(num_levels - 1):
        small = ndimage.convolve(levels[-1], KERNEL, mode="mirror")[::2, ::2]
        large = np.zeros_like(levels[-1])
        large[::2, ::2] = small
        levels[-1] = levels[-1] - ndimage.convolve(large, 4 * KERNEL, mode="mirror")
        levels.append(small)
    return levels


@pytest.mark.parametrize("shape", [(32, 32), (33, 50)])
def test_every_level_equals_scipys_convolutions(shape):
    images = np.random.default_rng(0).integers(0, 256, (2, 3, *shape)).astype(np.float32)
    for number in range(3):
        level = laplacian(torch.from_numpy(images), number, 3)
        expected = [[literal(channel, 3)[number] for channel in image] for image in images]
        assert np.allclose(level, expected, atol=1e-4)


def test_levels_add_up_to_the_image():
    image = torch.rand(1, 3, 32, 32, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    fine, middle, rest = (laplacian(image, number, 3) for number in range(3))
    assert torch.allclose(enlarge(enlarge(rest, 16, 16) + middle, 32, 32) + fine, image)


def test_flat_images_stay_flat():
    image = torch.full((1, 1, 32, 32), 200.0)
    assert torch.equal(shrink(image), torch.full((1, 1, 16, 16), 200.0))
    assert torch.equal(laplacian(image, 0, 2), torch.zeros(1, 1, 32, 32))


@pytest.mark.parametrize(
    ("size", "expected"),
    [((64, 64), [64, 32, 16]), ((16, 16), [16]), ((31, 100), [31, 16]), ((30, 30), [30]), ((8, 8), [8])],
)
def test_levels_end_at_16_pixels(size, expected):
    assert [height for height, _ in pyramid_sizes(*size)] == expected
