"""The whole iteration as one CUDA graph: launched at once instead of kernel by kernel."""

import warnings
from collections.abc import Callable

import torch

from ..config import RunConfig
from .state import TrainState

NUM_EAGER = 3  # steps before the recording: in them torch chooses its kernels and makes what it keeps

Report = Callable[[str], None]
Iteration = Callable[[], None]


def repeated(iteration: Iteration, config: RunConfig, state: TrainState, report: Report) -> Iteration:
    """What to call for each step: the iteration itself, or on CUDA (train.capture=auto) its recording.

    Args:
        iteration: Does the same operations on the same tensors every time, and draws from `state.noise` alone.
        config: Of the run.
        state: What the iteration changes.
        report: Told why, if recording fails; the iteration is then called as it is.
    """
    device = state.sums.device
    if device.type != "cuda" or config.train.capture == "off":
        return iteration
    if state.world.size > 1:
        report("train.capture: is for one process; steps of several are launched kernel by kernel")
        return iteration
    return Captured(iteration, state, report)


class Captured:
    """An iteration that is recorded after a few calls and replayed from then on.

    The calls before the recording are steps of the run like any other, so that nothing has to be put back after them;
    the recording itself computes nothing. They share a stream, since autograd adds up a parameter's gradient on the
    stream that first asked for it. The generator is registered with the graph: a replay draws what the call would have
    drawn, and moves the generator on as far.

    Source: torch.cuda.CUDAGraph; Nvidia, CUDA C++ Programming Guide, "CUDA Graphs".
    """

    def __init__(self, iteration: Iteration, state: TrainState, report: Report) -> None:
        self._iteration, self._state, self._report = iteration, state, report
        self._stream = torch.cuda.Stream(state.sums.device)  # type: ignore[no-untyped-call]
        self._num_calls, self._next = 0, self._call

    def __call__(self) -> None:
        """One iteration."""
        if self._num_calls == NUM_EAGER:
            self._next = self._recorded()
        self._num_calls += 1
        self._next()

    def _call(self) -> None:
        """The iteration as it is."""
        current = torch.cuda.current_stream(self._stream.device)
        self._stream.wait_stream(current)
        with torch.cuda.stream(self._stream):
            self._iteration()
        current.wait_stream(self._stream)

    def _recorded(self) -> Iteration:
        """What replays the iteration; `_call`, if it cannot be recorded."""
        state, graph = self._state, torch.cuda.CUDAGraph()
        noise = state.noise.get_state()
        for optimizer in (state.opt_G, state.opt_D):
            optimizer.zero_grad()  # the gradients will lie in the graph's own memory
        try:
            # Of `stream` and `graph` the former makes the device the current one, and leaves the stream in any case:
            # older versions of torch stay on it when a recording fails.
            with torch.cuda.stream(self._stream):
                with warnings.catch_warnings():  # newer ones find the generators themselves, and say so
                    warnings.simplefilter("ignore")
                    graph.register_generator_state(state.noise)
                with torch.cuda.graph(graph, stream=self._stream, capture_error_mode="thread_local"):
                    self._iteration()
        except RuntimeError as error:
            state.noise = torch.Generator(state.noise.device)  # the old one may still take itself for recorded
            state.noise.set_state(noise)
            reason = " ".join(str(error.__context__ or error).split()).partition(". ")[0][:200]
            self._report(f"train.capture: steps are launched kernel by kernel, since they cannot be recorded: {reason}")
            return self._call
        return graph.replay
