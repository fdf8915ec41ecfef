"""Batches of real images on the device, each a pure function of (seed, step)."""

import hashlib
import mmap
from collections import OrderedDict
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .packed.packed_images import PackedImages

_AHEAD = 2  # batches gathered in advance, while steps compute
_CHUNK_BYTES = 2**26  # copied to a device at a time


class Feed:
    """Shuffled batches without end; every epoch shows each image once.

    An epoch's order is a permutation drawn from (seed, epoch). Batches straddle epochs, so none is short. Images that
    lie on the disk are read from their mapping by a thread that stays two steps ahead; the system is told which come
    next, and that the rest is not wanted: a set may be larger than the memory.
    """

    def __init__(
        self,
        images: PackedImages | NDArray[np.uint8],
        *,
        batch_size: int,
        seed: int,
        mirror: bool,
        device: torch.device | str,
        memory_format: torch.memory_format = torch.contiguous_format,
        share: tuple[int, int] = (0, 1),
    ) -> None:
        """Place the images where batches are gathered: on a CUDA device if they fill at most half of its free memory.

        Args:
            images: uint8 (N, C, H, W).
            batch_size: Images a batch.
            seed: What the order and the mirroring are drawn from.
            mirror: Show each image mirrored left to right with probability 1/2, drawn anew each epoch.
            device: Where batches are delivered.
            memory_format: The memory order of batches.
            share: Which of how many equal parts of each batch is given here; the default is all of it.
        """
        self._device = torch.device(device)
        self._images = images.images if isinstance(images, PackedImages) else images  # uint8 (N, C, H, W)
        self._resident = _resident(self._images, self._device)
        self._mapping = None if self._resident is not None else _mapping(self._images)
        self._batch_size = batch_size
        self._part, num_parts = share
        self._num = num = batch_size // num_parts
        self._seed = seed
        self._mirror = mirror
        self._memory_format = memory_format
        self._epochs: OrderedDict[int, tuple[Tensor, Tensor]] = OrderedDict()
        self._reader: ThreadPoolExecutor | None = None
        self._read: dict[int, Future[Tensor]] = {}
        self._copying: torch.cuda.Stream | None = None
        if self._device.type == "cuda" and self._resident is None:
            self._copying = torch.cuda.Stream(self._device)  # type: ignore[no-untyped-call]
        self._copied: tuple[int, torch.cuda.Event] | None = None  # the step whose images `_arriving` takes, and when
        # What `pictures` reads, always in the same places: a CUDA graph of the step looks nowhere else.
        self._index = torch.zeros(num, dtype=torch.int64, device=self._device)
        self._flipped = torch.zeros(num, dtype=torch.bool, device=self._device)
        shape = (num if self._resident is None else 0, *self._images.shape[1:])
        self._chosen = torch.zeros(shape, dtype=torch.uint8, device=self._device)
        self._arriving = torch.empty_like(self._chosen) if self._copying is not None else self._chosen

    def __len__(self) -> int:
        return len(self._images)

    def batch(self, step: int) -> Tensor:
        """The real images of a step: float32 (N, C, H, W) in [-1, 1] on the device; N is `batch_size` or its part."""
        self.turn_to(step)
        return self.pictures()

    def turn_to(self, step: int) -> None:
        """Have `pictures` give those of a step: all that the processor does for them."""
        index, flipped = self._positions(step)
        if self._resident is not None:
            self._index.copy_(index)
        else:
            self._bring(step)
        if self._mirror:
            self._flipped.copy_(flipped)

    def pictures(self) -> Tensor:
        """The real images of the step turned to, as of `batch`: all that the device does for them."""
        chosen = self._chosen if self._resident is None else self._resident.index_select(0, self._index)
        if self._mirror:  # uint8 (B, C, H, W)
            chosen = torch.where(self._flipped[:, None, None, None], chosen.flip(-1), chosen)
        # x / 127.5 - 1: 0 is -1 and 255 is 1
        return chosen.to(torch.float32, memory_format=self._memory_format, copy=True).div_(127.5).sub_(1)

    def sample(self, n: int) -> Tensor:
        """`n` real images (all, if there are fewer), the same for one seed: uint8 (n, C, H, W) on the CPU."""
        order = torch.randperm(len(self), generator=self._generator("sample", 0))
        return self._take(order[:n])

    def _bring(self, step: int) -> None:
        """A step's images to the device, where those of the next step follow beside the computing."""
        if self._copying is None:
            self._chosen.copy_(self._gathered(step))
            return
        if self._copied is None or self._copied[0] != step:
            self._copied = self._copy(step)
        torch.cuda.current_stream(self._device).wait_event(self._copied[1])
        self._chosen.copy_(self._arriving)
        self._copied = self._copy(step + 1)

    def _copy(self, step: int) -> tuple[int, torch.cuda.Event]:
        """Begin to copy a step's images to the device, on a stream of their own."""
        assert self._copying is not None, "only where images lie in the computer's memory and steps are on a GPU"
        self._copying.wait_stream(torch.cuda.current_stream(self._device))  # which still reads those before them
        with torch.cuda.stream(self._copying):
            self._arriving.copy_(self._gathered(step), non_blocking=True)
            return step, self._copying.record_event()

    def _gathered(self, step: int) -> Tensor:
        """A step's images from the disk, and a request for the next steps'."""
        if self._reader is None:
            self._reader = ThreadPoolExecutor(1, thread_name_prefix="feed")
        for ahead in range(step, step + _AHEAD + 1):
            if ahead not in self._read:
                index = self._positions(ahead)[0]
                self._announce(index)
                self._read[ahead] = self._reader.submit(self._take, index)
        chosen = self._read.pop(step).result()
        self._read = {other: read for other, read in self._read.items() if step < other <= step + _AHEAD}
        return chosen

    def _announce(self, index: Tensor) -> None:
        """Have the system begin to read these images from the disk, all at once and nothing around them."""
        if self._mapping is None:
            return
        mapping, offset = self._mapping
        size = self._images[0].nbytes
        for row in index.tolist():
            start = offset + row * size
            page = start - start % mmap.PAGESIZE
            mapping.madvise(mmap.MADV_WILLNEED, page, start + size - page)

    def _take(self, index: Tensor) -> Tensor:
        """These images, copied out of the mapping: uint8 (n, C, H, W) on the CPU, pinned if a GPU is to read them."""
        taken = torch.from_numpy(self._images.take(index.cpu().numpy(), axis=0))
        return taken.pin_memory() if self._copying is not None else taken

    def _positions(self, step: int) -> tuple[Tensor, Tensor]:
        """Which images a step shows, the next of the endless sequence, and whether each is mirrored."""
        num_images, first = len(self), step * self._batch_size + self._part * self._num
        end = first + self._num
        indices, flips = [], []
        while first < end:
            epoch, offset = divmod(first, num_images)
            stop = min(num_images, offset + end - first)
            order, flipped = self._epoch(epoch)
            indices.append(order[offset:stop])
            flips.append(flipped[offset:stop])
            first += stop - offset
        return (indices[0], flips[0]) if len(indices) == 1 else (torch.cat(indices), torch.cat(flips))

    def _epoch(self, epoch: int) -> tuple[Tensor, Tensor]:
        """An epoch's order of images and their mirroring; the last two epochs are kept."""
        if epoch not in self._epochs:
            order = torch.randperm(len(self), generator=self._generator("order", epoch))
            flipped = torch.rand(len(self), generator=self._generator("mirror", epoch)) < 0.5
            where = self._device if self._resident is not None else torch.device("cpu")
            self._epochs[epoch] = (order.to(where), flipped.to(where))
            while len(self._epochs) > 2:
                self._epochs.popitem(last=False)
        return self._epochs[epoch]

    def _generator(self, purpose: str, epoch: int) -> torch.Generator:
        digest = hashlib.sha256(f"{purpose} {self._seed} {epoch}".encode()).digest()
        return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)


def _resident(images: NDArray[np.uint8], device: torch.device) -> Tensor | None:
    """The images in the memory of a CUDA device, copied there in parts, if they fill at most half of what is free."""
    if device.type != "cuda" or images.nbytes > torch.cuda.mem_get_info(device)[0] // 2:
        return None
    resident = torch.empty(images.shape, dtype=torch.uint8, device=device)
    step = max(1, _CHUNK_BYTES // max(1, images[:1].nbytes))
    for start in range(0, len(images), step):
        resident[start : start + step] = torch.from_numpy(np.array(images[start : start + step]))
    return resident


def _mapping(images: NDArray[np.uint8]) -> tuple[mmap.mmap, int] | None:
    """The mapping that the images lie in and where in it they begin; None for those in memory.

    Without advice each image would bring its whole neighbourhood from the disk, which a set larger than the memory
    pays for many times over.
    """
    mapping: object = images.base
    if not isinstance(images, np.memmap) or not isinstance(mapping, mmap.mmap) or not hasattr(mmap, "MADV_RANDOM"):
        return None
    mapping.madvise(mmap.MADV_RANDOM)
    return mapping, images.offset % mmap.ALLOCATIONGRANULARITY  # numpy maps from the last such border on
