"""A training step as one CUDA graph: launched at once instead of kernel by kernel."""

import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ..messages import one_line
from ..reporter import Reporter
from .state import TrainState

NUM_EAGER = 3  # steps before the capture, in which torch chooses its kernels and allocates its buffers

RunStep = Callable[[Tensor], None]


def graphed(run_step: RunStep, state: TrainState, reporter: Reporter) -> RunStep:
    """Return the step itself, or on CUDA (train.capture=auto) one that is captured and replayed.

    `run_step` takes a batch of one shape and draws from `state.noise` alone. With equal `state.is_penalised` it runs
    the same operations on the same tensors, so either kind of step has a graph of its own. If one cannot be captured,
    the reason is reported and those steps run kernel by kernel.
    """
    if state.device.type != "cuda" or state.config.train.capture == "off":
        return run_step
    if state.world.size > 1:
        reporter.info("train.capture: is for one process; steps of several are launched kernel by kernel")
        return run_step
    # Both kinds share a stream, and memory, since they never run at once and leave no results in it.
    stream = torch.cuda.Stream(state.device)  # type: ignore[no-untyped-call]
    pool = torch.cuda.graph_pool_handle()
    steps = [GraphedStep(run_step, state, reporter, stream=stream, pool=pool) for _ in (False, True)]
    return lambda real: steps[state.is_penalised](real)


class GraphedStep:
    """A step that is captured after a few calls and replayed from then on.

    A graph reads its input in one place, so each batch is copied into a static buffer: one device-to-device copy of a
    float32 batch, 6 MB for 128 images of 64x64, a few microseconds.

    The warm-up calls are steps of the run like any other, so nothing has to be restored after them; the capture itself
    computes nothing. Where it fails, only objects have changed, and are restored: the noise, the optimizers, the
    scaler's record of their steps. All share a stream, since autograd accumulates a parameter's gradient on the stream
    that first asked for it. The generator is registered with the graph: a replay draws what the call would have drawn,
    and advances the generator as far.

    Source: torch.cuda.CUDAGraph; Nvidia, CUDA C++ Programming Guide, "CUDA Graphs".
    """

    def __init__(
        self, run_step: RunStep, state: TrainState, reporter: Reporter, *, stream: torch.cuda.Stream, pool: Any
    ) -> None:
        self._run_step, self._state, self._reporter = run_step, state, reporter
        self._stream, self._pool = stream, pool
        self._num_calls = 0
        self._next: RunStep = self._run_eagerly

    def __call__(self, real: Tensor) -> None:
        """Run one step on a batch (N, C, H, W)."""
        if self._num_calls == NUM_EAGER:
            self._next = self._capture(real)
        self._num_calls += 1
        self._next(real)

    def _run_eagerly(self, real: Tensor) -> None:
        current = torch.cuda.current_stream(self._stream.device)
        self._stream.wait_stream(current)
        with torch.cuda.stream(self._stream):
            self._run_step(real)
        current.wait_stream(self._stream)

    def _capture(self, real: Tensor) -> RunStep:
        """Return a step that replays the graph; `_run_eagerly`, if it cannot be captured."""
        state, graph = self._state, torch.cuda.CUDAGraph()
        optimizers = (state.opt_G, state.opt_D)
        for optimizer in optimizers:
            optimizer.zero_grad()  # the gradients will be in the graph's own memory
        noise, scale = state.noise.get_state(), state.scaler.get_scale()
        attributes = [dict(vars(optimizer)) for optimizer in optimizers]
        try:
            static_real = torch.empty_like(real)
            # `stream` comes before `graph`: it makes the device the current one, and always leaves the stream again;
            # older versions of torch stay on it when a capture fails.
            with torch.cuda.stream(self._stream):
                with warnings.catch_warnings():  # newer versions find the generators themselves, and warn of this call
                    warnings.simplefilter("ignore")
                    graph.register_generator_state(state.noise)
                with torch.cuda.graph(graph, pool=self._pool, stream=self._stream, capture_error_mode="thread_local"):
                    self._run_step(static_real)
        except Exception as error:  # one that is not of the capture is raised again by the next step
            state.noise = torch.Generator(state.noise.device)  # the old one may still be registered
            state.noise.set_state(noise)
            state.scaler.update(scale)  # forgets which optimizers have taken their step
            for optimizer, before in zip(optimizers, attributes, strict=True):
                optimizer.zero_grad()
                vars(optimizer).clear()
                vars(optimizer).update(before)
            reason = one_line(error.__context__ or error).partition(". ")[0][:200]
            self._reporter.info(
                f"train.capture: steps are launched kernel by kernel, since they cannot be captured: {reason}"
            )
            return self._run_eagerly

        def replay(real: Tensor) -> None:
            static_real.copy_(real)
            graph.replay()

        return replay
