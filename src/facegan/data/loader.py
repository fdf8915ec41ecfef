"""Batches of real images on the training device, each a pure function of (seed, step)."""

import hashlib
import mmap
from collections import OrderedDict
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

_AHEAD = 2  # batches that are read in advance, while steps compute
_CHUNK_BYTES = 2**26  # copied to a device at a time


class InfiniteSampler:
    """Indices of shuffled batches without end; every epoch shows each image once.

    An epoch's order is a permutation drawn from (seed, epoch). Batches straddle epochs, so none is short.
    """

    def __init__(self, num_images: int, *, batch_size: int, seed: int, shard: tuple[int, int] = (0, 1)) -> None:
        # batch_size counts all ranks; shard is (rank, number of ranks), each with an equal, contiguous part of a batch.
        self.num_images, self._batch_size, self._seed = num_images, batch_size, seed
        self._rank, num_ranks = shard
        self.batch_size = batch_size // num_ranks  # of this rank
        self.device = torch.device("cpu")  # of the indices
        self._epochs: OrderedDict[int, tuple[Tensor, Tensor]] = OrderedDict()

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        """Return a step's indices, int64 (N,), and whether each image is mirrored, bool (N,), on `device`."""
        first = step * self._batch_size + self._rank * self.batch_size
        end = first + self.batch_size
        indices, flips = [], []
        while first < end:
            epoch, offset = divmod(first, self.num_images)
            stop = min(self.num_images, offset + end - first)
            order, flipped = self._epoch(epoch)
            indices.append(order[offset:stop])
            flips.append(flipped[offset:stop])
            first += stop - offset
        return (indices[0], flips[0]) if len(indices) == 1 else (torch.cat(indices), torch.cat(flips))

    def subset(self, n: int) -> Tensor:
        """Return the indices of `n` images (of all, if there are fewer), the same for one seed: int64, on the CPU."""
        return torch.randperm(self.num_images, generator=self._generator("sample", 0))[:n]

    def _epoch(self, epoch: int) -> tuple[Tensor, Tensor]:
        """Return an epoch's order and its mirroring; the last two epochs are cached."""
        if epoch not in self._epochs:
            order = torch.randperm(self.num_images, generator=self._generator("order", epoch))
            flipped = torch.rand(self.num_images, generator=self._generator("mirror", epoch)) < 0.5
            self._epochs[epoch] = (order.to(self.device), flipped.to(self.device))
            while len(self._epochs) > 2:
                self._epochs.popitem(last=False)
        return self._epochs[epoch]

    def _generator(self, purpose: str, epoch: int) -> torch.Generator:
        digest = hashlib.sha256(f"{purpose} {self._seed} {epoch}".encode()).digest()
        return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)


class Loader:
    """Real images of each step as plain tensors on the training device; `mirror` flips half of them, drawn each epoch.

    A set that fills at most half of a CUDA device's free memory lies there, and a batch is one `index_select`. Any
    other set is read by a `_Prefetcher`.
    """

    def __init__(
        self,
        images: NDArray[np.uint8],
        sampler: InfiniteSampler,
        *,
        mirror: bool = False,
        device: torch.device | str = "cpu",
        memory_format: torch.memory_format = torch.contiguous_format,
    ) -> None:
        """Place images, uint8 (num_images, C, H, W), and the sampler's indices where batches are taken from them."""
        self._images, self._sampler, self._mirror = images, sampler, mirror
        self._device, self._memory_format = torch.device(device), memory_format
        self._resident = _resident(images, self._device)
        if self._resident is not None:
            sampler.device = self._device
        else:
            self._prefetcher = _Prefetcher(images, sampler, self._device)

    def batch(self, step: int) -> Tensor:
        """Return the real images of a step: float32 (N, C, H, W) in [-1, 1]; N is the sampler's `batch_size`."""
        index, flipped = self._sampler.batch(step)
        images = self._prefetcher.batch(step) if self._resident is None else self._resident.index_select(0, index)
        if self._mirror:  # uint8 (N, C, H, W)
            flipped = flipped.to(self._device, non_blocking=True)
            images = torch.where(flipped[:, None, None, None], images.flip(-1), images)
        # x / 127.5 - 1 maps 0 to -1 and 255 to 1.
        return images.to(torch.float32, memory_format=self._memory_format, copy=True).div_(127.5).sub_(1)

    def sample(self, n: int) -> Tensor:
        """Return `n` real images (all, if there are fewer), the same for one seed: uint8 (n, C, H, W) on the CPU."""
        return _take(self._images, self._sampler.subset(n))


class _Prefetcher:
    """Batches from memory or from a memory map, read by a thread that stays two steps ahead.

    The system is advised which images come next and that the others are not needed, so a set may be larger than
    memory. For CUDA, batches are pinned and copied on a stream of their own while the step before them computes.
    """

    def __init__(self, images: NDArray[np.uint8], sampler: InfiniteSampler, device: torch.device) -> None:
        self._images, self._sampler, self._device = images, sampler, device
        self._mapping = _mapping(images)
        self._reader: ThreadPoolExecutor | None = None
        self._reads: dict[int, Future[Tensor]] = {}
        self._stream: torch.cuda.Stream | None = None
        if device.type == "cuda":
            self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        self._uploads: dict[int, tuple[Tensor, torch.cuda.Event]] = {}

    def batch(self, step: int) -> Tensor:
        """Return the images of a step, uint8 (N, C, H, W) on the device, and start to bring those of the next."""
        if self._stream is None:
            return self._read(step).to(self._device)
        images, uploaded = self._uploads.get(step) or self._upload(step, self._stream)
        current = torch.cuda.current_stream(self._device)
        current.wait_event(uploaded)
        images.record_stream(current)  # its memory is reused only after this stream has read it
        self._uploads = {step + 1: self._upload(step + 1, self._stream)}
        return images

    def _upload(self, step: int, stream: torch.cuda.Stream) -> tuple[Tensor, torch.cuda.Event]:
        with torch.cuda.stream(stream):
            return self._read(step).to(self._device, non_blocking=True), stream.record_event()

    def _read(self, step: int) -> Tensor:
        """Return a step's images on the CPU, and submit the reads of the next steps."""
        if self._reader is None:
            self._reader = ThreadPoolExecutor(1, thread_name_prefix="loader")
        for ahead in range(step, step + _AHEAD + 1):
            if ahead not in self._reads:
                index, _ = self._sampler.batch(ahead)
                self._advise(index)
                self._reads[ahead] = self._reader.submit(_take, self._images, index, pin=self._stream is not None)
        images = self._reads.pop(step).result()
        self._reads = {other: read for other, read in self._reads.items() if step < other <= step + _AHEAD}
        return images

    def _advise(self, index: Tensor) -> None:
        """Advise the system to read these images, all at once and nothing around them."""
        if self._mapping is None:
            return
        mapping, offset = self._mapping
        size = self._images[0].nbytes
        for row in index.tolist():
            start = offset + row * size
            page = start - start % mmap.PAGESIZE
            mapping.madvise(mmap.MADV_WILLNEED, page, start + size - page)


def _take(images: NDArray[np.uint8], index: Tensor, *, pin: bool = False) -> Tensor:
    """Copy images out of their array: uint8 (n, C, H, W) on the CPU, pinned for an asynchronous copy to a GPU."""
    taken = torch.from_numpy(images.take(index.numpy(), axis=0))
    return taken.pin_memory() if pin else taken


def _resident(images: NDArray[np.uint8], device: torch.device) -> Tensor | None:
    """Copy the images to a CUDA device, in chunks, if they fill at most half of its free memory."""
    if device.type != "cuda" or images.nbytes > torch.cuda.mem_get_info(device)[0] // 2:
        return None
    resident = torch.empty(images.shape, dtype=torch.uint8, device=device)
    step = max(1, _CHUNK_BYTES // max(1, images[:1].nbytes))
    for start in range(0, len(images), step):
        resident[start : start + step] = torch.from_numpy(np.array(images[start : start + step]))
    return resident


def _mapping(images: NDArray[np.uint8]) -> tuple[mmap.mmap, int] | None:
    """Return the memory map that contains the images and their offset in it; None for images in memory.

    Without advice each image would bring its neighbourhood from the disk, at many times the cost for a set larger than
    memory.
    """
    mapping: object = images.base
    if not isinstance(images, np.memmap) or not isinstance(mapping, mmap.mmap) or not hasattr(mmap, "MADV_RANDOM"):
        return None
    mapping.madvise(mmap.MADV_RANDOM)
    return mapping, images.offset % mmap.ALLOCATIONGRANULARITY  # numpy maps from the last such border on
