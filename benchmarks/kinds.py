"""Watch a training step for profile.py, and sort its work into kinds."""

import json
import re
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from torch.utils._python_dispatch import TorchDispatchMode

REST = "between operations"
FORWARD, BY_INPUT, BY_WEIGHTS = "convolution, forward", "convolution, by input", "convolution, by weights"

# The first pattern found in the name of an operation or kernel decides.
KINDS = (
    (FORWARD, r"aten::(_|mkldnn_|cudnn_)?convolution|fprop|implicit_convolve|conv2d_c1"),
    (BY_INPUT, r"dgrad"),
    (BY_WEIGHTS, r"wgrad"),
    ("batch norm", r"batch_norm|bn_fw|bn_bw|batchnorm"),
    ("optimizer", r"adam|_amp_|amp_"),
    ("average of G", r"lerp"),
    ("activations", r"relu|threshold|tanh"),
    ("losses", r"softplus|sigmoid|log_sigmoid"),
    ("data", r"index"),
    ("noise", r"normal|uniform|rand|distribution_"),
    ("fused by the compiler", r"triton"),
    ("copies and layouts", r"copy|memcpy|clone|contiguous|nchwtonhwc|nhwctonchw|_to_copy"),
    ("clearing", r"zero|fill|memset|aten::full"),
    ("matrix products", r"gemm|nvjet|aten::(mm|addmm)"),
    ("views and allocation", r"detach|view|expand|empty|_like|record_function|scalar_tensor"),
    ("sums and means", r"reduce|aten::(sum|mean)"),
    ("elementwise", r"elementwise|aten::(add|mul|div|sub|where|square|sqrt)"),
)  # fmt: skip


def kind_of(name: str) -> str:
    """Return the kind of an operation (aten::relu_) or kernel."""
    return next((kind for kind, pattern in KINDS if re.search(pattern, name, re.IGNORECASE)), "other")


class Operations(TorchDispatchMode):
    """Time every torch operation while `watching`, and record which part of a step it belongs to.

    Attributes:
        watching: Whether operations are timed.
        seen: (kind, name, begin, seconds) of each operation.
    """

    def __init__(self) -> None:
        super().__init__()
        self.watching = False
        self.seen: list[tuple[str, str, float, float]] = []
        self._part = ""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if not self.watching:
            return func(*args, **kwargs)
        if func is torch.ops.aten.convolution_backward.default:
            return self._convolution_backward(func, args)
        begin = time.perf_counter()
        result = func(*args, **kwargs)
        name = str(func).removesuffix(".default").replace("aten.", "aten::")
        self._saw(self._part or kind_of(name), name, begin)
        return result

    def _convolution_backward(self, func: Any, args: Any) -> Any:
        """Compute the gradient of the input separately from those of the weights and the bias."""
        *rest, mask = args
        results: list[Any] = [None, None, None]
        for kind, wanted in ((BY_INPUT, [mask[0], False, False]), (BY_WEIGHTS, [False, mask[1], mask[2]])):
            if any(wanted):
                begin = time.perf_counter()
                found = func(*rest, wanted)
                self._saw(kind, "aten::convolution_backward", begin)
                results = [new if asked else old for new, asked, old in zip(found, wanted, results, strict=True)]
        return tuple(results)

    def _saw(self, kind: str, name: str, begin: float) -> None:
        self.seen.append((kind, name, begin, time.perf_counter() - begin))

    def part(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """Wrap a function so that its operations count as the kind `name`."""

        def named(*args: Any, **kwargs: Any) -> Any:
            before, self._part = self._part, self._part or name
            try:
                return function(*args, **kwargs)
            finally:
                self._part = before

        return named

    @contextmanager
    def in_parts(self) -> Iterator[None]:
        """Assign the operations of the loader, the average of G and the metrics to their kinds by where they happen."""
        from facegan import ema
        from facegan.data.loader import Loader
        from facegan.training import step
        from facegan.training.loop import TrainLoop

        parts = [
            ("data", Loader, ("batch",)),
            ("average of G", ema, ("update", "weight")),
            ("metrics", step, ("accumulate_metrics", "spread")),
            ("metrics", TrainLoop, ("record", "check_finite")),
        ]
        with ExitStack() as stack:
            for kind, owner, names in parts:
                for name in (name for name in names if hasattr(owner, name)):
                    stack.enter_context(patch.object(owner, name, self.part(kind, getattr(owner, name))))
            yield

    def seconds(self) -> dict[str, float]:
        """Return the seconds of each kind."""
        totals: dict[str, float] = {}
        for kind, _, _, seconds in self.seen:
            totals[kind] = totals.get(kind, 0.0) + seconds
        return totals

    def write_trace(self, path: Path) -> None:
        """Write a Chrome trace."""
        events = [
            {"name": name, "cat": kind, "ph": "X", "ts": begin * 1e6, "dur": seconds * 1e6, "pid": 0, "tid": 0}
            for kind, name, begin, seconds in self.seen
        ]
        path.write_text(json.dumps({"traceEvents": events}), encoding="utf-8")


class Kernels:
    """The work of a CUDA device, as recorded by torch.profiler.

    Attributes:
        trace: The profile in Chrome's format.
    """

    def __init__(self) -> None:
        self._profiler = torch.profiler.profile(
            activities=[torch.profiler.ProfilerActivity.CPU, torch.profiler.ProfilerActivity.CUDA]
        )
        self.trace: Mapping[str, Any] = {}

    def begin(self) -> None:
        """Start recording."""
        self._profiler.start()

    def end(self) -> None:
        """Stop recording."""
        self._profiler.stop()
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "trace.json"
            self._profiler.export_chrome_trace(str(path))
            self.trace = json.loads(path.read_text(encoding="utf-8"))

    def seconds(self) -> dict[str, float]:
        """Return the seconds of each kind, and of the device's idle time between the first and the last kernel."""
        kernels = self._kernels()
        totals: dict[str, float] = {}
        busy, until = 0.0, 0.0
        for event in kernels:
            kind = kind_of(event["name"])
            totals[kind] = totals.get(kind, 0.0) + event["dur"] / 1e6
            end = event["ts"] + event["dur"]
            busy += max(0.0, end - max(until, event["ts"]))
            until = max(until, end)
        if kernels:
            totals[REST] = (until - kernels[0]["ts"] - busy) / 1e6
        return totals

    def _kernels(self) -> list[Any]:
        kinds = ("kernel", "gpu_memcpy", "gpu_memset")
        return sorted((e for e in self.trace["traceEvents"] if e.get("cat") in kinds), key=lambda event: event["ts"])

    def write_trace(self, path: Path) -> None:
        """Write a Chrome trace, including the work of the CPU."""
        path.write_text(json.dumps(self.trace), encoding="utf-8")
