"""What is tried in a process of its own: importing torch and plugins may crash the interpreter or never return.

`main` tells its parent, as lines of JSON, of each attempt before it begins and when it has ended; so an attempt that
ends the process is known by its name. No contract of layers names torchvision: it is imported here only to see whether
it fits torch, for the sake of other tools.
"""

import importlib
import importlib.util
import json
import os
import warnings
from collections.abc import Callable, Collection, Iterator
from functools import partial
from typing import Any

from ..plugins import KINDS, Plugin, claims, probe
from .check import in_one_line

Answer = dict[str, Any]


def main(skip: Collection[str]) -> None:
    """Make every attempt but those in `skip`; what foreign code prints goes to stderr."""
    with os.fdopen(os.dup(1), "w") as parent:
        os.dup2(2, 1)

        def tell(**words: Any) -> None:
            parent.write(json.dumps(words) + "\n")
            parent.flush()

        for name, attempt in attempts():
            if name in skip:
                continue
            tell(begin=name)
            try:
                answer = attempt()
            except (Exception, SystemExit) as error:
                answer = {"error": in_one_line(error)}
            tell(end=name, answer=answer)
            if name == "torch" and "error" in answer:
                break
        tell(done=True)


def attempts() -> Iterator[tuple[str, Callable[[], Answer]]]:
    """Everything to be tried, what matters most first; what comes after torch is found out once that is imported."""
    yield "torch", try_torch
    import torch

    yield "facegan", try_facegan
    for name in ["cpu", *(f"cuda:{index}" for index in range(torch.cuda.device_count()))]:
        yield f"device {name}", partial(try_device, name)
    if torch.backends.mps.is_available():
        yield "device mps", partial(try_device, "mps")
    yield "torchvision", try_torchvision

    for kind in KINDS:
        for name, owners in claims(kind).items():
            yield f"{kind} '{name}'", partial(try_plugin, owners[0])


def try_torch() -> Answer:
    """Versions of torch and what it is built for, and what it says when it looks for CUDA."""
    import torch

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        devices = torch.cuda.device_count() if torch.cuda.is_available() else 0
    cudnn: Any = torch.backends.cudnn
    return {
        "version": torch.__version__,
        "cuda": torch.version.cuda,
        "hip": torch.version.hip,
        "cudnn": cudnn.version() if cudnn.is_available() else None,
        "num_cuda_devices": devices,
        "warning": "; ".join(str(each.message) for each in caught),
    }


def try_facegan() -> Answer:
    """Import all that training and sampling import; what `auto` chooses here, and what a usual run keeps."""
    for module in ("training.runs", "sampling", "snapshots", "images", "plots"):
        importlib.import_module(f"facegan.{module}")

    import torch

    from ..config import RunConfig
    from ..devices import resolve_device
    from ..training.plan import plan
    from ..training.state import precision

    config = RunConfig().complete()
    device = resolve_device("auto")
    types = {torch.float32: "fp32", torch.bfloat16: "bf16", torch.float16: "fp16"}
    devices = ["cpu", *(f"cuda:{index}" for index in range(torch.cuda.device_count()))]
    devices += ["mps"] if device.type == "mps" else []
    return {
        "device": "cuda:0" if device.type == "cuda" else device.type,
        "precision": {name: types[precision(config, torch.device(name))] for name in devices},
        "run_bytes": plan(config, 10_000).run_bytes,  # of so many images
    }


def try_device(name: str) -> Answer:
    """What a device is, and in which types it computes a step's kind of work."""
    import torch

    device = torch.device(name)
    answer: Answer = {}
    if device.type == "cuda":
        found = torch.cuda.get_device_properties(device)
        answer = {"name": found.name, "memory_bytes": found.total_memory}
        answer["capability"] = ".".join(map(str, torch.cuda.get_device_capability(device)))
    if device.type == "cpu":
        answer = {"name": torch.backends.cpu.get_cpu_capability(), "threads": torch.get_num_threads()}
    works, fails = [], {}
    for word, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16), ("fp16", torch.float16)):
        try:
            _compute(device, dtype)
            works.append(word)
        except Exception as error:
            fails[word] = in_one_line(error)
    if device.type == "cuda" and works:
        answer["free_bytes"] = torch.cuda.mem_get_info(device)[0]
    return {**answer, "works": works, "fails": fails}


def try_torchvision() -> Answer:
    """The version of torchvision; None where it is not installed."""
    if importlib.util.find_spec("torchvision") is None:
        return {"version": None}
    return {"version": getattr(importlib.import_module("torchvision"), "__version__", "of no version")}


def try_plugin(owner: Plugin) -> Answer:
    """Why a plugin is unavailable; None when it loads."""
    return {"reason": probe(owner)}


def _compute(device: Any, dtype: Any) -> None:
    """Forward and backward through a layer of G; raises what torch raises, and ArithmeticError for nonsense."""
    import torch

    layer = torch.nn.Sequential(torch.nn.ConvTranspose2d(8, 8, 4, 2, 1), torch.nn.BatchNorm2d(8)).to(device)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # autocast warns where it does not know the type, and goes on in another
        with torch.autocast(device.type, dtype=dtype, enabled=dtype != torch.float32):
            images = layer(torch.randn(2, 8, 4, 4, device=device))  # (2, 8, 8, 8)
    images.float().abs().mean().backward()
    if not all(bool(each.grad.isfinite().all()) for each in layer.parameters() if each.grad is not None):
        raise ArithmeticError("gradients are not finite")
