"""Checks that may crash the interpreter or hang, made in a child process: torch, its devices, the plugins."""

import importlib
import importlib.util
import json
import os
import signal
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from functools import partial
from typing import Any

from ..messages import counted
from ..plugins import KINDS, Plugin, claims, probe
from .checks import Check, describe_error, install, installed_version, shorten

Facts = dict[str, Any]
# The child finds the packages of this process, in the same order.
START = (
    "import json, sys; given = json.loads(sys.argv[1]); sys.path[:] = given['path']; "
    "from facegan.doctor.trial import child; child(given['facts'])"
)
DTYPES = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}
NO_TORCH = "does not work, so that neither devices nor plugins were tried: {why}"
FAILED_TORCH = Check("torch", NO_TORCH, "wrong", f"run: {install('torch')}")


def run(limit_seconds: float) -> dict[str, Check]:
    """Make every check, torch first, and return them by name.

    After a check that ends or hangs the child, another child makes the rest; `limit_seconds` is for each of them.
    """
    found: dict[str, Check] = {}
    while True:
        facts = {name: check.facts for name, check in found.items()}
        given = json.dumps({"path": [str(folder) for folder in sys.path], "facts": facts})
        command = [sys.executable, "-c", START, given]
        try:
            done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=limit_seconds)
            out, why = done.stdout, _describe_exit(done.returncode, done.stderr)
        except subprocess.TimeoutExpired as error:
            out, why = error.stdout or b"", f"did not return within {limit_seconds:g} seconds"
        begun = FAILED_TORCH  # between two checks, only torch is at work
        for failed, check in map(json.loads, out.splitlines()):
            if check:
                found[check["name"]] = Check(**check)
            elif not failed:  # the end; a crash at exit does not matter
                return found
            begun = Check(**failed) if failed else FAILED_TORCH
        found[begun.name] = begun.failed(why)
        if begun == FAILED_TORCH:
            return found


def _describe_exit(code: int, stderr: bytes) -> str:
    how = f"ended the interpreter with exit code {code}" if code else "ended the interpreter"
    if code < 0:
        how = f"killed the interpreter ({ {-each: each.name for each in signal.Signals}.get(code, f'signal {-code}') })"
    last = stderr.decode(errors="replace").strip().rpartition("\n")[2]
    return f"{how}: {shorten(last, 200)}" if last and code else how


def child(facts: dict[str, Facts]) -> None:
    """Make every check that has no facts yet, and send each to the parent: its failure when it begins, then itself."""
    with os.fdopen(os.dup(1), "w", buffering=1) as parent:
        os.dup2(2, 1)  # whatever foreign code prints goes to stderr

        def send(failed: Check | None, check: Check | None) -> None:
            parent.write(json.dumps([each and asdict(each) for each in (failed, check)]) + "\n")

        for failed, attempt in _attempts(facts):
            if failed.name in facts:
                continue
            send(failed, None)
            try:
                check = attempt()
            except (Exception, SystemExit) as error:
                check = failed.failed(describe_error(error))
            send(None, check)
            facts[check.name] = check.facts
            if check.name == "torch" and check.status == "wrong":
                break
        send(None, None)


def _attempts(facts: dict[str, Facts]) -> Iterator[tuple[Check, Callable[[], Check]]]:
    """Yield each check as it is reported when it fails, and the function that makes it."""
    yield FAILED_TORCH, check_torch
    torch, fix = facts["torch"], f"reinstall the package that is named; or: {install('facegan')}"
    yield Check("facegan", "cannot start: {why}", "wrong", fix), partial(_check_facegan, torch["devices"])
    found = f"{installed_version('torchvision')} does not fit torch {torch['version']} ({{why}}); "
    found += "facegan does not use it, other tools do"
    yield Check("torchvision", found, "warning", f"run: {install('torch', 'torchvision')}"), check_torchvision
    default, precisions = facts["facegan"].get("device", "cpu"), facts["facegan"].get("precision", {})
    for name in torch["devices"]:
        failed = failed_device(name, default, precisions.get(name, "?"))
        yield failed, partial(check_device, failed)
    for kind in KINDS:
        for name, owners in claims(kind).items():
            failed = _failed_plugin(f"{kind} '{name}'", owners)
            yield failed, partial(_check_plugin, failed, owners[0])


def check_torch() -> Check:
    """Report the version of torch, what it is built for, and its devices."""
    import torch

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        num_devices = torch.cuda.device_count() if torch.cuda.is_available() else 0
    mps = ["mps"] if torch.backends.mps.is_available() else []
    cudnn: Any = torch.backends.cudnn
    facts = {
        "version": torch.__version__,
        "cuda": torch.version.cuda,
        "hip": torch.version.hip,
        "cudnn": cudnn.version() if cudnn.is_available() else None,
        "num_cuda_devices": num_devices,
        "devices": ["cpu", *(f"cuda:{index}" for index in range(num_devices)), *mps],
        "warning": "; ".join(str(each.message) for each in caught),
    }
    builds = {"CUDA": facts["cuda"], "ROCm": facts["hip"], "cuDNN": facts["cudnn"]}
    words = [f"{name} {version}" for name, version in builds.items() if version] or ["for the CPU alone"]
    return Check("torch", f"{torch.__version__}, {', '.join(words)}", facts=facts)


def _check_facegan(devices: list[str]) -> Check:
    """Import all that training and sampling import; note what `auto` chooses, and the size of a usual run."""
    for module in ("training.trainer", "sampling", "checkpoint", "images", "plots"):
        importlib.import_module(f"facegan.{module}")

    import torch

    from ..config import RunConfig
    from ..devices import resolve_device
    from ..training.plan import plan
    from ..training.state import precision

    config, device = RunConfig().complete(), resolve_device("auto")
    words = {getattr(torch, dtype): word for word, dtype in DTYPES.items()}
    facts = {
        "device": "cuda:0" if device.type == "cuda" else device.type,
        "precision": {name: words[precision(config, torch.device(name))] for name in devices},
        "run_bytes": plan(config, 10_000).run_bytes,  # of so many images
    }
    return Check("facegan", facts=facts)


def check_torchvision() -> Check:
    """Import torchvision, which facegan does not use, but other tools do; it must match torch."""
    if importlib.util.find_spec("torchvision") is None:
        return Check("torchvision", "not installed, nor needed", facts={"version": None})
    version = getattr(importlib.import_module("torchvision"), "__version__", "of no version")
    return Check("torchvision", f"{version}, fits torch", facts={"version": version})


def failed_device(name: str, default: str, precision: str) -> Check:
    """Return the check of a device that does not compute; only the default one keeps facegan from training."""
    fix = "install a build of torch for this device" + ("" if name == "cpu" else ", or give --device cpu")
    facts = {"auto_precision": precision, "default": name == default}
    return Check(name, "does not compute ({why})", "wrong" if name == default else "warning", fix, facts)


def check_device(failed: Check) -> Check:
    """Report what a device is, and the types in which it computes or fails."""
    import torch

    name, facts, words, works, fails = failed.name, failed.facts, [], [], {}
    for word, dtype in DTYPES.items():
        try:
            compute(name, getattr(torch, dtype))
            works.append(word)
        except Exception as error:
            fails[word] = describe_error(error)
    if name == "cpu":
        facts |= {"name": torch.backends.cpu.get_cpu_capability(), "threads": torch.get_num_threads()}
        words = [facts["name"], counted(facts["threads"], "thread")]
    elif name != "mps":
        gpu, free = torch.cuda.get_device_properties(name), torch.cuda.mem_get_info(name)[0]
        capability = f"{gpu.major}.{gpu.minor}"
        facts |= {"name": gpu.name, "memory_bytes": gpu.total_memory, "free_bytes": free, "capability": capability}
        memory = f"{gpu.total_memory / 1e9:.1f} GB of memory ({free / 1e9:.1f} GB free)"
        words = [gpu.name, memory, f"compute capability {capability}"]
    failed = replace(failed, facts=facts | {"works": works, "fails": fails})
    if "fp32" in fails:
        return failed.failed(fails["fp32"])
    precision = facts["auto_precision"]
    words += [f"computes in {', '.join(works)}", f"precision=auto is {precision}"]
    words += ["device=auto is this"] * facts["default"]
    if precision in fails:
        found = f"{', '.join(words)}, but that fails ({fails[precision]})"
        return replace(failed, found=found, fix="give train --precision fp32")
    return Check(name, ", ".join(words), facts=failed.facts)


def compute(device: str, dtype: Any) -> None:
    """Run a layer of G forward and backward."""
    import torch

    layer = torch.nn.Sequential(torch.nn.ConvTranspose2d(8, 8, 4, 2, 1), torch.nn.BatchNorm2d(8)).to(device)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # for an unknown type, autocast only warns and takes another
        with torch.autocast(torch.device(device).type, dtype=dtype, enabled=dtype != torch.float32):
            images = layer(torch.randn(2, 8, 4, 4, device=device))  # (2, 8, 8, 8)
    images.float().abs().mean().backward()
    if not all(bool(each.grad.isfinite().all()) for each in layer.parameters() if each.grad is not None):
        raise ArithmeticError("gradients are not finite")


def _failed_plugin(name: str, owners: tuple[Plugin, ...]) -> Check:
    origin = owners[0].origin
    package, facts = origin.partition(" ")[0], {"origin": origin}
    if len(owners) > 1:
        return Check(name, "{why}", "warning", "uninstall one of them", facts)
    if package == "facegan":
        return Check(name, "cannot be loaded ({why})", "wrong", f"run: {install('facegan')}", facts)
    fix = f"run: python -m pip install --upgrade {package}; or: python -m pip uninstall {package}"
    return Check(name, f"of {origin} cannot be loaded ({{why}})", "warning", fix, facts)


def _check_plugin(failed: Check, owner: Plugin) -> Check:
    why = probe(owner)
    return failed.failed(shorten(why)) if why else Check(failed.name, facts={"origin": owner.origin, "reason": None})
