"""Batches of real pictures on the device, each a pure function of (seed, step)."""

import hashlib
from collections import OrderedDict

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .stored import IMAGES, PackedImages


class Feed:
    """Shuffled batches without end; every epoch shows each picture once.

    An epoch's order is a permutation drawn from (seed, epoch). Batches straddle epochs, so none is short.
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
    ) -> None:
        """Place the pictures where batches are gathered: on a CUDA device if they fill at most half of its free memory.

        Args:
            images: uint8 (N, C, H, W).
            batch_size: Pictures a batch.
            seed: What the order and the mirroring are drawn from.
            mirror: Show each picture mirrored left to right with probability 1/2, drawn anew each epoch.
            device: Where batches are delivered.
            memory_format: The memory order of batches.
        """
        self._device = torch.device(device)
        self._images = _tensor(images)  # uint8 (N, C, H, W)
        if self._device.type == "cuda":
            free_bytes, _ = torch.cuda.mem_get_info(self._device)
            if self._images.nbytes <= free_bytes // 2:
                self._images = self._images.to(self._device)
        self._batch_size = batch_size
        self._seed = seed
        self._mirror = mirror
        self._memory_format = memory_format
        self._epochs: OrderedDict[int, tuple[Tensor, Tensor]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._images)

    def batch(self, step: int) -> Tensor:
        """The real pictures of a step: float32 (batch_size, C, H, W) in [-1, 1] on the device."""
        first = step * self._batch_size
        index, flipped = self._positions(first, first + self._batch_size)
        chosen = self._images.index_select(0, index)  # uint8 (B, C, H, W)
        if self._mirror:
            chosen = torch.where(flipped[:, None, None, None], chosen.flip(-1), chosen)
        if chosen.device != self._device:
            if self._device.type == "cuda":  # the copy then runs beside the work already queued
                chosen = chosen.pin_memory()
            chosen = chosen.to(self._device, non_blocking=True)
        # x / 127.5 - 1: 0 is -1 and 255 is 1
        return chosen.to(torch.float32, memory_format=self._memory_format).div_(127.5).sub_(1)

    def sample(self, n: int) -> Tensor:
        """`n` real pictures (all, if there are fewer), the same for one seed: uint8 (n, C, H, W) on the CPU."""
        order = torch.randperm(len(self), generator=self._generator("sample", 0))
        return self._images.index_select(0, order[:n].to(self._images.device)).cpu()

    def _positions(self, first: int, end: int) -> tuple[Tensor, Tensor]:
        """The pictures at positions first...end-1 of the endless sequence, and whether each is mirrored."""
        num_images = len(self)
        indices, flips = [], []
        while first < end:
            epoch, offset = divmod(first, num_images)
            stop = min(num_images, offset + end - first)
            order, flipped = self._epoch(epoch)
            indices.append(order[offset:stop])
            flips.append(flipped[offset:stop])
            first += stop - offset
        return torch.cat(indices), torch.cat(flips)

    def _epoch(self, epoch: int) -> tuple[Tensor, Tensor]:
        """An epoch's order of pictures and their mirroring; the last two epochs are kept."""
        if epoch not in self._epochs:
            order = torch.randperm(len(self), generator=self._generator("order", epoch))
            flipped = torch.rand(len(self), generator=self._generator("mirror", epoch)) < 0.5
            self._epochs[epoch] = (order.to(self._images.device), flipped.to(self._images.device))
            while len(self._epochs) > 2:
                self._epochs.popitem(last=False)
        return self._epochs[epoch]

    def _generator(self, purpose: str, epoch: int) -> torch.Generator:
        digest = hashlib.sha256(f"{purpose} {self._seed} {epoch}".encode()).digest()
        return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)


def _tensor(images: PackedImages | NDArray[np.uint8]) -> Tensor:
    """The pictures as a tensor without copying them into memory: a private mapping, as torch wants writable memory."""
    if isinstance(images, PackedImages):
        images = np.load(images.path / IMAGES, mmap_mode="c", allow_pickle=False)
    elif not images.flags.writeable:
        images = images.copy()
    return torch.from_numpy(images)
