"""Make as many images as a benchmark needs, quickly: drawn faces, repeated, shifted, mirrored and relit."""

import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import simplejpeg
from numpy.typing import NDArray

from facegan.config import DataConfig
from facegan.data.drawn.attributes import draw_attributes
from facegan.data.drawn.render import render
from facegan.data.packed.load import pack_folder
from facegan.data.packed.pack import write_columns
from facegan.data.packed.packed_images import IMAGES, INDEX, PICTURES, SKIPPED

CELEBA_WIDTH, CELEBA_HEIGHT = 178, 218  # size of its aligned images
_BLOCK = 4096  # images per block
_REACH = 4  # maximum shift in pixels, in each direction


def jittered(faces: NDArray[np.uint8], num: int) -> Iterator[NDArray[np.uint8]]:
    """Yield blocks (n, C, H, W) of `num` images: the faces (N, C, H, W), shifted, mirrored and relit at random."""
    side = faces.shape[-1]
    rng = np.random.default_rng(0)
    margins = ((0, 0), (0, 0), (_REACH, _REACH), (_REACH, _REACH))
    windows = np.lib.stride_tricks.sliding_window_view(np.pad(faces, margins, mode="edge"), (side, side), axis=(2, 3))
    lights = np.stack([np.arange(256) * light for light in np.linspace(0.8, 1.2, 9)]).clip(0, 255).astype(np.uint8)
    for start in range(0, num, _BLOCK):
        n = min(_BLOCK, num - start)
        which, light = rng.integers(len(faces), size=n), rng.integers(len(lights), size=n)
        down, right = rng.integers(2 * _REACH + 1, size=(2, n))
        block = lights[light[:, None, None, None], windows[which, :, down, right]]
        mirrored = rng.random(n) < 0.5
        block[mirrored] = block[mirrored, ..., ::-1]
        yield block


def packed_folder(path: Path, num: int, *, resolution: int, distinct: int = 2048) -> Path:
    """Make a packed folder of `num` images for `facegan train --data`."""
    with tempfile.TemporaryDirectory() as temporary:
        drawn = DataConfig(source="drawn", options={"num_images": min(num, distinct)})
        few, _ = pack_folder(drawn, Path(temporary) / "few", resolution=resolution, channels=3)
        path.mkdir(parents=True)
        shape = (num, 3, resolution, resolution)
        images = np.lib.format.open_memmap(path / IMAGES, mode="w+", dtype=np.uint8, shape=shape)
        digest, start = hashlib.sha256(), 0
        for block in jittered(np.asarray(few.images), num):
            images[start : start + len(block)] = block
            digest.update(block.tobytes())
            start += len(block)
        images.flush()
        made = {"num_images": num, "digest": digest.hexdigest(), "source": "drawn faces, jittered", "fingerprint": ""}
        (path / INDEX).write_text(json.dumps(few.index.model_copy(update=made).model_dump()))
    write_columns(path / PICTURES, [f"{i:07d}" for i in range(num)], [bytes(32)] * num, {}, str(path))
    (path / SKIPPED).write_text(json.dumps([]))
    return path


def jpeg_folder(path: Path, num: int, *, distinct: int = 4096) -> Path:
    """Make a folder of one folder of `num` JPEG files, 178x218 like CelebA; each distinct file has several names."""
    inner = path / "faces"
    inner.mkdir(parents=True)
    distinct = min(num, distinct)
    few = render(draw_attributes(0, np.arange(min(distinct, 512))), CELEBA_WIDTH)  # (N, H, W, C)
    above = (CELEBA_HEIGHT - CELEBA_WIDTH) // 2
    tall = np.pad(few, ((0, 0), (above, above), (0, 0), (0, 0)), mode="edge")

    def write(index: int, image: NDArray[np.uint8]) -> None:
        content = simplejpeg.encode_jpeg(np.ascontiguousarray(image), quality=90)
        (inner / f"{index:07d}.jpg").write_bytes(content)

    rng = np.random.default_rng(0)
    shifts = rng.integers(-above, above + 1, size=distinct)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        images = (np.roll(tall[index % len(tall)], int(shifts[index]), axis=0) for index in range(distinct))
        for _ in pool.map(write, range(distinct), images):
            pass
    for index in range(distinct, num):
        os.link(inner / f"{index % distinct:07d}.jpg", inner / f"{index:07d}.jpg")
    return path
