from functools import partial
from types import SimpleNamespace

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from facegan.data.feed import Feed
from facegan.data.packed.loading import load
from facegan.training.capture import NUM_EAGER, repeated
from facegan.training.loop import step_settings
from facegan.training.machine import deterministic
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


def one_step(state, settings, feed):
    training_step(state, settings, feed.pictures())


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
}


@pytest.mark.parametrize("settings", VARIANTS.values(), ids=VARIANTS.keys())
def test_a_step_recorded_once_replays_as_every_later_step(tiny, settings):
    config = tiny(*settings)
    data = load(config.data, resolution=16, channels=3, at_least=8, progress=None)
    ends = []
    for recorded in (False, True):
        state, tape = build_state(config, CPU), Tape()
        wanted = step_settings(config, CPU)
        feed = Feed(data, batch_size=8, seed=0, mirror=config.data.mirror, device=CPU)
        for step in range(8):  # three epochs of 20 pictures
            feed.turn_to(step)
            if step <= NUM_EAGER or not recorded:
                with tape if step == NUM_EAGER else torch.enable_grad():
                    training_step(state, wanted, feed.pictures())
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

    def iteration():
        raise AssertionError

    assert repeated(iteration, tiny(), state, print) is iteration


def test_capture_can_be_switched_off(tiny):
    on_cuda = SimpleNamespace(sums=SimpleNamespace(device=torch.device("cuda")))

    def iteration():
        raise AssertionError

    assert repeated(iteration, tiny("train.capture=off"), on_cuda, print) is iteration


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_captured_steps_equal_eager_ones_on_cuda(tiny, monkeypatch, precision):
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    config = tiny("data.mirror=true", "augment.policy=color,translation,cutout", f"train.precision={precision}")
    device = torch.device("cuda")
    data = load(config.data, resolution=16, channels=3, at_least=8, progress=None)
    ends = []
    with deterministic(True):
        for setting in ("off", "auto"):
            settings = config.model_copy(update={"train": config.train.model_copy(update={"capture": setting})})
            state, wanted = build_state(settings, device), step_settings(settings, device)
            feed = Feed(data, batch_size=8, seed=0, mirror=True, device=device)
            refusals = []
            advance = repeated(partial(one_step, state, wanted, feed), settings, state, refusals.append)
            for step in range(200):
                feed.turn_to(step)
                advance()
            ends.append(numbers(state))
            assert refusals == []
    assert [name for name in ends[0] if not torch.equal(ends[0][name], ends[1][name])] == []
