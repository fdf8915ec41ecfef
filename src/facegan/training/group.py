"""Several processes that train one run, by torch.distributed."""

from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import cache
from itertools import count
from types import TracebackType
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.distributed_c10d import PrefixStore, Store
from torch.distributed.rendezvous import rendezvous

from ..devices import resolve_device
from ..errors import ConfigError, LostError, ToldError, TrainingError
from .distributed import World

JOINING = timedelta(minutes=10)  # for all processes to be there
# For any other wait: longer than rank 0 packs images or evaluates. A process that ends is noticed at once, since its
# connections close; only a network that falls silent is waited for so long.
PATIENCE = timedelta(hours=2)

GO_ON, STOP, LOST, FAILED = range(4)  # what processes tell each other when they meet; FAILED + its exit code

_number = count()  # of the groups of this process, one after the other


@cache
def _meeting_place(rank: int, size: int) -> Store:
    """Where processes leave each other their addresses: one for all groups, else one could still find the last's."""
    found: tuple[Store, int, int] = next(iter(rendezvous("env://", rank, size, timeout=JOINING)))
    return found[0]


class Group(World):
    """One of several processes.

    Two groups of torch.distributed connect them. By the one, on the CPU, they meet: after every step, and when one has
    failed. By the other, tensors are averaged. A process that fails closes the second at once, so that no other waits
    there for its gradients; all of them then meet once more by the first, and learn who failed.
    """

    def __init__(self, rank: int, size: int, local_rank: int, local_size: int) -> None:
        """Join the others.

        Args:
            rank: This process's number.
            size: How many there are.
            local_rank: Its number among those on this machine, which is that of its GPU.
            local_size: How many there are on this machine.

        Raises:
            TrainingError: They cannot be reached.
        """
        self.rank, self.size = rank, size
        self._local_rank, self._local_size = local_rank, local_size
        self._shared = False
        self._backend = "gloo"
        self._averaging: Any = None  # a process group of torch, once all are ready
        try:
            self._store = PrefixStore(f"facegan/{next(_number)}", _meeting_place(rank, size))
            dist.init_process_group("gloo", store=self._store, rank=rank, world_size=size, timeout=PATIENCE)
        except (RuntimeError, ValueError) as error:
            reason = " ".join(str(error).split())[:200]
            raise TrainingError(f"rank {rank} of {size}: cannot join the other processes ({reason})") from None

    def __enter__(self) -> "Group":
        return self

    def __exit__(self, _: type[BaseException] | None, error: BaseException | None, __: TracebackType | None) -> None:
        """Leave: in good order after all others are done as well, else as `_part` does."""
        in_order = error is None or isinstance(error, SystemExit)
        try:
            if in_order:
                if not self._shared:
                    self.share("")
                self.meet()  # rank 0 has written everything
            elif isinstance(error, Exception) and not isinstance(error, ToldError):
                self._part(error)
        finally:
            self._close()
            # NCCL would wait for what never comes; the end of the program aborts it.
            if in_order or self._backend == "gloo":
                dist.destroy_process_group()

    def device(self, name: str) -> torch.device:
        """As of `World`: on CUDA, the GPU whose number is that of this process on its machine.

        Raises:
            ConfigError: There is none for it, one GPU is asked for by all, or processes cannot share this kind.
        """
        device, several = resolve_device(name), self._local_size > 1
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
        """As of `World`."""
        if batch_size % self.size or batch_size < 2 * self.size:
            raise ConfigError(
                f"train.batch_size is {batch_size}, for {self.size} processes; it must be a multiple of {self.size}, "
                "at least 2 images each"
            )

    def share(self, text: str) -> str:
        """As of `World`; also raises as `meet`."""
        self._shared = True
        if self.leads:
            self._store.set("shared", text)
        self.meet()
        return text if self.leads else self._store.get("shared").decode()

    def begin(self, device: torch.device) -> None:
        """As of `World`; also raises as `meet`."""
        self.meet()
        if device.type == "cuda":
            torch.cuda.set_device(device)
            self._backend = "nccl" if dist.is_nccl_available() else "gloo"
        self._averaging = dist.new_group(backend=self._backend, timeout=PATIENCE)

    @torch.no_grad()
    def average(self, tensors: Sequence[Tensor]) -> None:
        """As of `World`: by one all-reduce of them all, in the order of their indices; each keeps its memory order.

        Raises:
            LostError: Another process has ended, or has left because it failed.
        """
        flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
        try:
            dist.all_reduce(flat, group=self._averaging)
        except RuntimeError:
            raise self._lost() from None
        means = torch.split(flat.div_(self.size), [tensor.numel() for tensor in tensors])
        for tensor, mean in zip(tensors, means, strict=True):
            tensor.copy_(mean.view(tensor.shape))

    def synchronised(self, network: nn.Module) -> nn.Module:
        """As of `World`."""
        convert: Callable[..., nn.Module] = nn.SyncBatchNorm.convert_sync_batchnorm
        return convert(network, self._averaging)

    def meet(self, stop: bool = False) -> bool:
        """As of `World`."""
        told = self._tell(STOP if stop else GO_ON)
        if failed := [status for status in told if status >= FAILED]:
            raise ToldError(failed[0] - FAILED)
        if LOST in told:
            raise self._lost()
        return STOP in told

    def _tell(self, status: int) -> list[int]:
        """What each process tells here; waits for all, raises LostError."""
        told = torch.zeros(self.size, dtype=torch.int64)
        told[self.rank] = status
        try:
            dist.all_reduce(told)
        except RuntimeError:
            raise self._lost() from None
        statuses: list[int] = told.tolist()
        return statuses

    def _part(self, error: Exception) -> None:
        """Leave because of an error here, which all then learn of; raises what takes its place, if anything does."""
        lost = isinstance(error, LostError | dist.DistError)
        self._close()
        try:
            told = self._tell(LOST if lost else FAILED + getattr(error, "exit_code", 1))
        except LostError:  # one of them is not there any more to be told
            told = []
        first = next((rank for rank, status in enumerate(told) if status >= FAILED), self.rank)
        if first != self.rank:
            raise ToldError(told[first] - FAILED) from None
        if lost:
            raise self._lost() from None

    def _close(self) -> None:
        """Close the connections that tensors are averaged by."""
        if self._averaging is not None and self._backend == "gloo":
            dist.destroy_process_group(self._averaging)
        self._averaging = None

    def _lost(self) -> LostError:
        return LostError(
            f"rank {self.rank} of {self.size}: another process of this run has ended, or cannot be reached any more; "
            "what was saved stands: mend that, then go on with 'facegan resume'"
        )
