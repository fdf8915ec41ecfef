import warnings
from contextlib import contextmanager, nullcontext
from functools import partial
from types import SimpleNamespace

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from facegan.data.packed.load import load
from facegan.reporter import SILENT, Callbacks
from facegan.training import step as steps
from facegan.training.adam import Adam
from facegan.training.cuda_graph import NUM_EAGER, GraphedStep, graphed
from facegan.training.distributed import ALONE
from facegan.training.loop import make_loader, make_step
from facegan.training.runtime import configured_torch
from facegan.training.state import build_state
from facegan.training.step import training_step

CPU = torch.device("cpu")


class Tape(TorchDispatchMode):
    """What a CUDA graph is, on any device: operations with their arguments frozen, all results in the same places."""

    def __init__(self):
        super().__init__()
        self.calls = []

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        result = operation(*args, **(kwargs or {}))
        self.calls.append((operation, args, kwargs or {}, result))
        return result

    @torch.no_grad()
    def replay(self):
        for operation, args, kwargs, result in self.calls:
            again = operation(*args, **kwargs)
            for place, value in zip(tree_leaves(result), tree_leaves(again), strict=True):
                if isinstance(place, torch.Tensor) and place.data_ptr() != value.data_ptr():
                    place.copy_(value)


def numbers(state):
    tensors = state.tensors() | {"count": state.count, "bad": state.first_bad_step}
    for name in ("G", "D"):
        tensors |= {f"{name} {index}": each.grad for index, each in enumerate(getattr(state, name).parameters())}
    return {name: value.detach().clone() for name, value in tensors.items()}


VARIANTS = {
    "default": (),
    "all that draws": (
        "data.mirror=true",
        "train.fresh_z=true",
        "augment.policy=color,translation,cutout",
        "architecture.prior=uniform",
    ),
    "no average": ("ema.half_life_kimg=0", "loss.name=saturating"),
    "bf16": ("train.precision=bf16",),
    "fp16": ("train.precision=fp16",),
    "pairs, penalties and schedules": (
        "loss.name=relativistic", "architecture.norm_D=none", "penalty.r1=1", "penalty.r2=1", "penalty.gradient=1",
        "penalty.decay=0.1", "optimizer.decay=0.25", "optimizer.warmup_kimg=0.05", "schedule.kimg=0.08",
        "augment.policy=color,translation,cutout", "augment.probability=0.5",
    ),
    "fused penalties": (
        "loss.name=relativistic", "architecture.norm_D=none", "penalty.r1=1", "penalty.r2=1", "penalty.fused=true",
        "augment.policy=color,translation,cutout", "augment.probability=0.5", "train.precision=bf16",
    ),
    "two updates of D": ("train.num_D_steps=2", "architecture.norm_D=spectral", "train.precision=bf16"),
}  # fmt: skip


@pytest.mark.parametrize("settings", VARIANTS.values(), ids=VARIANTS.keys())
def test_a_step_recorded_once_replays_as_every_later_step(tiny, settings):
    config = tiny(*settings)
    data = load(config.data, resolution=16, channels=3, at_least=8)
    ends = []
    for recorded in (False, True):
        state, tape = build_state(config, CPU), Tape()
        loader = make_loader(data, state)
        real = torch.empty_like(loader.batch(0))
        for step in range(8):  # three epochs of 20 images
            real.copy_(loader.batch(step))
            if step <= NUM_EAGER or not recorded:
                with tape if step == NUM_EAGER else torch.enable_grad():
                    training_step(state, real)
            else:
                tape.replay()
        ends.append(numbers(state))
    assert ends[0].keys() == ends[1].keys()
    different = [name for name in ends[0] if not torch.equal(ends[0][name], ends[1][name])]
    assert different == []


def test_the_tape_notices_what_a_graph_would_freeze():
    x, tape = torch.zeros(1), Tape()
    with tape:
        x += torch.full((1,), float(torch.tensor(5).numpy()))  # a number that the processor has read
    x.zero_()
    tape.replay()
    assert x == 5


def test_steps_on_the_cpu_are_called_as_they_are(tiny):
    state = build_state(tiny(), CPU)

    assert graphed(print, state, SILENT) is print


def test_capture_can_be_switched_off(tiny):
    on_cuda = SimpleNamespace(device=torch.device("cuda"), config=tiny("train.capture=off"), world=ALONE)
    assert graphed(print, on_cuda, SILENT) is print


class Stream:
    def __init__(self, device):
        self.device = device

    def wait_stream(self, other):
        pass


class Graph:
    """A recording that does nothing but count its replays."""

    replays = 0

    def register_generator_state(self, generator):
        warnings.warn("is deprecated", UserWarning, stacklevel=1)  # as torch does from 2.12 on

    def replay(self):
        self.replays += 1


@pytest.fixture
def recorder(monkeypatch):
    """recorder(failure) -> the graph that is recorded, where torch.cuda is there in name; or its end fails."""

    def make(failure=None):
        made = Graph()

        @contextmanager
        def graph(recorded, *, pool, stream, capture_error_mode):
            assert recorded is made and (pool, capture_error_mode) == ("pool", "thread_local")
            try:
                yield
            finally:
                if failure:
                    raise RuntimeError("operation failed due to a previous error during capture")

        stubs = {
            "graph_pool_handle": lambda: "pool",
            "Stream": Stream,
            "current_stream": Stream,
            "stream": nullcontext,
            "graph": graph,
        }
        for name, stub in (stubs | {"CUDAGraph": lambda: made}).items():
            monkeypatch.setattr(torch.cuda, name, stub)
        return made

    return make


def drawing(config, failure=None):
    """A step that draws from the noise, and all draws with the batch's number; the 4th call, the capture, may fail."""
    drawn = []
    noise = torch.Generator().manual_seed(1)
    optimizer = SimpleNamespace(zero_grad=lambda: None)
    device, scaler = torch.device("cuda"), torch.amp.GradScaler("cpu", enabled=False)
    parts = {"noise": noise, "opt_G": optimizer, "opt_D": optimizer, "scaler": scaler, "is_penalised": False}
    state = SimpleNamespace(config=config, device=device, world=ALONE, **parts)

    def run_step(real):
        drawn.append(float(real) + float(torch.rand((), generator=state.noise)))
        if failure and len(drawn) == NUM_EAGER + 1:
            raise RuntimeError(failure)

    lines = []
    return graphed(run_step, state, Callbacks(line=lines.append)), drawn, lines


def test_an_iteration_is_recorded_after_the_first_steps_and_then_replayed(tiny, recorder):
    graph = recorder()
    run_step, drawn, lines = drawing(tiny())
    for step in range(7):
        run_step(torch.tensor(float(step)))
    assert (len(drawn), graph.replays, lines) == (NUM_EAGER + 1, 7 - NUM_EAGER, [])


def test_an_iteration_that_cannot_be_recorded_goes_on_as_if_no_one_had_tried(tiny, recorder):
    failure = "CUDA error: operation not permitted when stream is capturing. Search for it in the manual"
    graph = recorder(failure)
    run_step, drawn, lines = drawing(tiny(), failure)
    for step in range(7):
        run_step(torch.tensor(float(step)))
    expected = torch.Generator().manual_seed(1)
    del drawn[NUM_EAGER]  # of the attempt
    assert drawn == [step + float(torch.rand((), generator=expected)) for step in range(7)] and graph.replays == 0
    assert lines == [
        "train.capture: steps are launched kernel by kernel, since they cannot be captured: "
        "CUDA error: operation not permitted when stream is capturing"
    ]


class FailingCapture:
    """A capture of the real step on the CPU: it changes objects but no tensor, and raises at a place in the step."""

    def __init__(self, state, monkeypatch, place, error):
        self.state, self.lines, self.active = state, [], False
        monkeypatch.setattr(torch.cuda, "CUDAGraph", Graph)
        monkeypatch.setattr(torch.cuda, "stream", nullcontext)
        monkeypatch.setattr(torch.cuda, "current_stream", Stream)
        monkeypatch.setattr(torch.cuda, "graph", self.capture)
        self.error = error
        before_G = partial(self.fail, steps.generator_step)
        adam_step = Adam.step
        places = {
            "after D's update": (steps, "generator_step", before_G),
            "inside an optimizer": (Adam, "step", lambda optimizer: self.fail(adam_step, optimizer)),
            "at its end": (steps, "accumulate_metrics", partial(self.fail, steps.accumulate_metrics)),
        }
        monkeypatch.setattr(*places[place])
        run_step = partial(training_step, state)
        reporter = Callbacks(line=self.lines.append)
        self.step = GraphedStep(run_step, state, reporter, stream=Stream(CPU), pool="pool")

    def fail(self, call, *arguments, **named):
        if self.active:
            raise self.error
        return call(*arguments, **named)

    @contextmanager
    def capture(self, graph, **_):
        state = self.state
        tensors = [*state.tensors().values(), state.count, state.first_bad_step]
        tensors += [state.scaler._scale, state.scaler._growth_tracker]
        before = [tensor.clone() for tensor in tensors]
        self.active = True
        try:
            yield
        finally:
            self.active = False
            with torch.no_grad():
                for tensor, value in zip(tensors, before, strict=True):
                    tensor.copy_(value)


@pytest.mark.parametrize("place", ["after D's update", "inside an optimizer", "at its end"])
@pytest.mark.parametrize(
    ("settings", "error"),
    [
        ("fp16", RuntimeError("CUDA error: operation not permitted when stream is capturing")),
        ("two updates of D", torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")),
        ("fused penalties", AssertionError("of the compiler")),  # as torch.compile may raise
    ],
)
def test_a_failed_capture_of_the_real_step_changes_nothing(tiny, monkeypatch, place, settings, error):
    config = tiny(*VARIANTS[settings])
    loader = make_loader(load(config.data, resolution=16, channels=3, at_least=8), build_state(config, CPU))
    ends = []
    for captured in (False, True):
        state = build_state(config, CPU)
        capture = FailingCapture(state, monkeypatch, place, error) if captured else None
        run_step = capture.step if capture else partial(training_step, state)
        for number in range(7):
            run_step(loader.batch(number))
            state.step = number + 1 if settings == "fp16" else 0  # always the same kind of step
        ends.append(numbers(state))
    assert [name for name in ends[0] if not torch.equal(ends[0][name], ends[1][name])] == []
    assert len(capture.lines) == 1 and str(error).partition(". ")[0] in capture.lines[0]


HOST_READS = ("_local_scalar_dense", "nonzero", "masked_select", "lift_fresh", "unique")  # or sizes known to data alone


@pytest.mark.parametrize("settings", VARIANTS.values(), ids=VARIANTS.keys())
def test_nothing_in_a_step_is_read_by_the_processor_or_comes_from_it(tiny, settings):
    config = tiny(*settings)
    state, tape = build_state(config, CPU), Tape()
    real = torch.zeros(8, 3, 16, 16)
    training_step(state, real)  # makes what is made once
    with tape:
        training_step(state, real)
    names = {call[0].name() for call in tape.calls}
    assert [name for name in names if name.split("::")[1].startswith(HOST_READS)] == []


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_captured_steps_equal_eager_ones_on_cuda(tiny, monkeypatch, precision):
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    draws = ("data.mirror=true", "augment.policy=color,translation,cutout")
    config = tiny(*draws, f"train.precision={precision}", "train.deterministic=true")
    device = torch.device("cuda")
    data = load(config.data, resolution=16, channels=3, at_least=8)
    ends = []
    with configured_torch(config, device):
        for setting in ("off", "auto"):
            settings = config.model_copy(update={"train": config.train.model_copy(update={"capture": setting})})
            state, refusals = build_state(settings, device), []
            loader, run_step = make_loader(data, state), make_step(state, Callbacks(line=refusals.append))
            for step in range(200):
                run_step(loader.batch(step))
            ends.append(numbers(state))
            assert refusals == []
    assert [name for name in ends[0] if not torch.equal(ends[0][name], ends[1][name])] == []
