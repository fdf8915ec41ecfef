"""The processes that train a run: usually one; with torchrun several, on one machine or on more.

torch is imported where it is used, since a process on its own reads this file before it has decided to train.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from functools import cache
from itertools import count
from types import TracebackType
from typing import TYPE_CHECKING, Any

from ..errors import ConfigError, PeerFailedError, PeerLostError, TrainingError
from ..messages import one_line

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn
    from torch.distributed.distributed_c10d import Store

JOIN_TIMEOUT = timedelta(minutes=10)  # until all processes have started
# For any other collective call: longer than rank 0 takes to pack images or to evaluate. A process that ends is noticed
# immediately, since its connections close; only a silent network takes this long.
TIMEOUT = timedelta(hours=2)
# For an average of GPUs, where a lost process goes unnoticed until NCCL ends this one: longer than they are apart in a
# step. Before each step all meet on the CPU, so that none waits in an average for an evaluation of rank 0.
GPU_TIMEOUT = timedelta(minutes=10)

CONTINUE, STOP, LOST, FAILED = range(4)  # the status codes that processes exchange; FAILED + the exit code

_group_numbers = count()  # of the groups of this process, one after the other


class World:
    """The processes that train a run together, as one of them sees it; this class is a process on its own.

    Each of several processes takes its own share of a step's images; gradients and metrics are averaged over all. Rank
    0 is the main process: it alone writes, evaluates and reports. `broadcast`, `start`, `average` and `any_stops` are
    collective calls: they block until every rank makes them.
    """

    rank, size = 0, 1  # this process's number, and the number of processes

    @property
    def is_main(self) -> bool:
        """Whether this is the process that writes, evaluates and reports."""
        return self.rank == 0

    def device(self, name: str) -> "torch.device":
        """Resolve a device by name; with several processes, this one's."""
        from ..devices import resolve_device

        return resolve_device(name)

    def check_batch(self, batch_size: int) -> None:
        """Raise ConfigError for a batch that cannot be divided equally, with at least 2 images for each process."""

    def broadcast(self, text: str) -> str:
        """Return rank 0's text on every rank; called once."""
        return text

    def start(self, device: "torch.device") -> None:
        """Wait until all processes are ready to train, and prepare to average tensors on a device."""

    def average(self, tensors: "Sequence[Tensor]") -> None:
        """Replace tensors by their means over all processes, in place; a NaN anywhere is a NaN everywhere."""

    def sync_batch_norm(self, network: "nn.Module") -> "nn.Module":
        """Return the network with batch norm over the images of all processes; its weights stay the same tensors."""
        return network

    def any_stops(self, stop: bool = False) -> bool:
        """Return whether any process wants to stop; all get the same answer.

        Raises:
            PeerFailedError: Another process has failed, and reports the reason itself.
            PeerLostError: Another process has ended without reporting.
        """
        return stop


ALONE = World()


@contextmanager
def joined() -> Iterator[World]:
    """Join the other processes that torchrun has started together with this one, while the block runs.

    An exception that ends the block ends all of them, and is reported once: where another process failed first,
    PeerFailedError replaces it here.

    Raises:
        ConfigError: The environment is incomplete.
        TrainingError: The others cannot be reached.
    """
    if os.environ.get("WORLD_SIZE", "1") == "1":
        yield ALONE
        return
    values = {name: os.environ.get(name, "") for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")}
    if not all(value.isdecimal() for value in values.values()) or int(values["RANK"]) >= int(values["WORLD_SIZE"]):
        given = ", ".join(f"{name}={value}" for name, value in values.items())
        raise ConfigError(f"environment: describes no group of processes ({given}); start them with torchrun")
    with Group(*map(int, values.values())) as world:
        yield world


def torchrun_launch() -> str | None:
    """Return the name of the torchrun that has started this process; it stays the same when that restarts it."""
    name = os.environ.get("TORCHELASTIC_RUN_ID")
    return name and f"{name} {os.getppid()}"


def num_restarts() -> str:
    """Return how often torchrun has restarted the processes of this machine; 0 without torchrun."""
    return os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")


@cache
def _rendezvous(rank: int, size: int) -> "Store":
    """Return the store where processes exchange addresses: one for all groups, or one could find the last group's."""
    from torch.distributed.rendezvous import rendezvous

    found: tuple[Store, int, int] = next(iter(rendezvous("env://", rank, size, timeout=JOIN_TIMEOUT)))
    return found[0]


class Group(World):
    """One of several processes, which two process groups of torch.distributed connect.

    One, on the CPU, exchanges status codes: after every step, and when a process has failed. The other averages
    tensors. A process that fails closes the second immediately, so that no other waits there for its gradients; all of
    them then exchange codes once more and learn who failed.
    """

    def __init__(self, rank: int, size: int, local_rank: int, local_size: int) -> None:
        """Join the others; raises TrainingError if they cannot be reached.

        `local_rank` is the number among the `local_size` processes of this machine, and the number of the GPU.
        """
        import torch
        import torch.distributed as dist
        from torch.distributed.distributed_c10d import PrefixStore

        self.rank, self.size = rank, size
        # Held until the group is closed: in torch 2.6 gloo's thread would else free it, for which it needs Python's
        # lock, while closing holds that lock and waits for the thread.
        self._codes = torch.zeros(size, dtype=torch.int64)
        self._local_rank, self._local_size = local_rank, local_size
        self._has_broadcast = False
        self._backend = "gloo"
        self._averaging: Any = None  # a process group of torch, once all are ready
        try:
            # torchrun keeps its store when it restarts processes, with the addresses of those that have ended.
            attempt = num_restarts() if local_size == size else "0"
            self._store = PrefixStore(f"facegan/{attempt}/{next(_group_numbers)}", _rendezvous(rank, size))
            dist.init_process_group("gloo", store=self._store, rank=rank, world_size=size, timeout=TIMEOUT)
        except (RuntimeError, ValueError) as error:
            reason = one_line(error, 200)
            raise TrainingError(f"rank {rank} of {size}: cannot join the other processes ({reason})") from None

    def __enter__(self) -> "Group":
        return self

    def __exit__(self, _: type[BaseException] | None, error: BaseException | None, __: TracebackType | None) -> None:
        """Leave: after a success once all others are done, after an error as `_leave_failed` does."""
        import torch.distributed as dist

        in_order = error is None or isinstance(error, SystemExit)
        try:
            if in_order:
                if not self._has_broadcast:
                    self.broadcast("")
                self.any_stops()  # rank 0 has written everything
            elif isinstance(error, Exception) and not isinstance(error, PeerFailedError):
                self._leave_failed(error)
        finally:
            self._close()
            # NCCL would wait for operations that never come; the end of the program aborts it.
            if in_order or self._backend == "gloo":
                dist.destroy_process_group()

    def device(self, name: str) -> "torch.device":
        """Resolve a device by name; on CUDA, the GPU whose number is that of this process on its machine."""
        import torch

        device, several = super().device(name), self._local_size > 1
        if device.type == "mps":
            raise ConfigError(f"--device {name}: only one process can train on mps; start one, or use --device cpu")
        if device.type != "cuda":
            return device
        if several and device.index is not None:
            raise ConfigError(
                f"--device {name}: {self._local_size} processes of this machine would share it; with --device cuda "
                "each takes its own"
            )
        if self._local_rank >= torch.cuda.device_count():
            raise ConfigError(
                f"--device {name}: {self._local_size} processes on this machine need as many GPUs, and torch "
                f"{torch.__version__} sees {torch.cuda.device_count()}; give --nproc-per-node as many"
            )
        return torch.device("cuda", self._local_rank) if device.index is None else device

    def check_batch(self, batch_size: int) -> None:
        """Raise ConfigError for a batch that cannot be divided equally, with at least 2 images for each process."""
        if batch_size % self.size or batch_size < 2 * self.size:
            raise ConfigError(
                f"train.batch_size is {batch_size}, for {self.size} processes; it must be a multiple of {self.size}, "
                "at least 2 images each"
            )

    def broadcast(self, text: str) -> str:
        """Return rank 0's text on every rank; raises as `any_stops`."""
        self._has_broadcast = True
        if self.is_main:
            self._store.set("shared", text)
        self.any_stops()
        return text if self.is_main else self._store.get("shared").decode()

    def start(self, device: "torch.device") -> None:
        """Wait until all processes are ready, and connect them for averages on a device; raises as `any_stops`."""
        import torch
        import torch.distributed as dist

        self.any_stops()
        if device.type == "cuda":
            torch.cuda.set_device(device)
            self._backend = "nccl" if dist.is_nccl_available() else "gloo"
        timeout = GPU_TIMEOUT if self._backend == "nccl" else TIMEOUT
        self._averaging = dist.new_group(backend=self._backend, timeout=timeout)

    def average(self, tensors: "Sequence[Tensor]") -> None:
        """Average tensors by one all-reduce of all elements, in index order; each keeps its memory format."""
        import torch
        import torch.distributed as dist

        with torch.no_grad():
            flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
            try:
                dist.all_reduce(flat, group=self._averaging)
            except RuntimeError:
                raise self._lost() from None
            means = torch.split(flat.div_(self.size), [tensor.numel() for tensor in tensors])
            for tensor, mean in zip(tensors, means, strict=True):
                tensor.copy_(mean.view(tensor.shape))

    def sync_batch_norm(self, network: "nn.Module") -> "nn.Module":
        """Return the network with torch's SyncBatchNorm over all processes."""
        from torch import nn

        convert: Callable[..., nn.Module] = nn.SyncBatchNorm.convert_sync_batchnorm
        return convert(network, self._averaging)

    def any_stops(self, stop: bool = False) -> bool:
        """Exchange status codes; return whether any process wants to stop."""
        statuses = self._exchange(STOP if stop else CONTINUE)
        if failed := [status for status in statuses if status >= FAILED]:
            raise PeerFailedError(failed[0] - FAILED)
        if LOST in statuses:
            raise self._lost()
        return STOP in statuses

    def _exchange(self, status: int) -> list[int]:
        """Return the status code of each process; blocks until all have sent one; raises PeerLostError."""
        import torch.distributed as dist

        self._codes.zero_()[self.rank] = status
        try:
            dist.all_reduce(self._codes)
        except RuntimeError:
            raise self._lost() from None
        return list(map(int, self._codes))

    def _leave_failed(self, error: Exception) -> None:
        """Send the others the code of an error here; raise the error that replaces it, if another failed first."""
        import torch.distributed as dist

        lost = isinstance(error, PeerLostError | dist.DistError)
        self._close()
        try:
            statuses = self._exchange(LOST if lost else FAILED + getattr(error, "exit_code", 1))
        except PeerLostError:  # one of them no longer exists
            statuses = []
        first = next((rank for rank, status in enumerate(statuses) if status >= FAILED), self.rank)
        if first != self.rank:
            raise PeerFailedError(statuses[first] - FAILED) from None
        if lost:
            raise self._lost() from None

    def _close(self) -> None:
        import torch.distributed as dist

        if self._averaging is not None and self._backend == "gloo":
            dist.destroy_process_group(self._averaging)
        self._averaging = None

    def _lost(self) -> PeerLostError:
        return PeerLostError(
            f"rank {self.rank} of {self.size}: another process of this run has ended, or cannot be reached any more; "
            "everything saved is valid: fix that, then continue with 'facegan resume'"
        )
