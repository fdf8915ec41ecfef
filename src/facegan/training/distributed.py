"""Which processes train a run: usually one; with torchrun several, on one machine or on more."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ..errors import ConfigError

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn


class World:
    """The processes that train a run together, as one of them sees it; this is a process on its own, the usual case.

    Each of several takes its own share of a step's images; gradients and metrics are averaged over all. Rank 0 leads:
    it alone writes, evaluates and talks. What is asked of all (`share`, `begin`, `average`, `meet`) waits until all do.

    Attributes:
        rank: This process's number, from 0.
        size: How many there are.
    """

    rank, size = 0, 1

    @property
    def leads(self) -> bool:
        """Whether this is the process that writes, evaluates and talks."""
        return self.rank == 0

    def device(self, name: str) -> "torch.device":
        """The device that a person means, as of `resolve_device`; of several processes, this one's."""
        from ..devices import resolve_device

        return resolve_device(name)

    def check_batch(self, batch_size: int) -> None:
        """Refuse a batch that cannot be shared evenly, at least 2 images each; raises ConfigError."""

    def share(self, text: str) -> str:
        """What rank 0 gives here, on every rank; asked once."""
        return text

    def begin(self, device: "torch.device") -> None:
        """Wait until all are ready to train, and make ready to average what lies on a device."""

    def average(self, tensors: "Sequence[Tensor]") -> None:
        """Replace tensors by their means over all processes, in place; a NaN anywhere is one everywhere."""

    def synchronised(self, network: "nn.Module") -> "nn.Module":
        """The network with batch norm over the images of all processes; its weights stay the same tensors."""
        return network

    def meet(self, stop: bool = False) -> bool:
        """Whether any process wants to stop, of which all are told alike.

        Raises:
            ToldError: Another process has failed, and tells of it.
            LostError: Another process has ended without a word.
        """
        return stop


ALONE = World()


@contextmanager
def joined() -> Iterator[World]:
    """Train together with the other processes that were started as this one was, while the block runs.

    torchrun says in the environment who there is. An exception that ends the block ends all of them, and is told once:
    where another process failed first, ToldError takes its place here.

    Raises:
        ConfigError: The environment does not say all of it.
        TrainingError: The others cannot be reached.
    """
    if os.environ.get("WORLD_SIZE", "1") == "1":
        yield ALONE
        return
    names = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")
    values = [os.environ.get(name, "") for name in names]
    if not all(value.isdecimal() for value in values) or int(values[0]) >= int(values[1]):
        given = ", ".join(f"{name}={value}" for name, value in zip(names, values, strict=True))
        raise ConfigError(f"environment: says no world of processes ({given}); start them with torchrun")
    from .group import Group

    with Group(*map(int, values)) as world:
        yield world
