"""Attempts that may crash the interpreter or hang, made in a child process: torch, its devices, the plugins."""

import contextlib
import importlib
import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping
from functools import partial
from typing import Any

from ..plugins import KINDS, Plugin, claims, probe, unreadable
from .checks import Check, describe_error, install, installed_version, nvidia_driver, shorten

Answer = dict[str, Any]  # of an attempt; one that failed has the key `error`
# The child finds the packages of this process, in the same order.
START = (
    "import json, sys; given = json.loads(sys.argv[1]); sys.path[:] = given['path']; "
    "from facegan.doctor.trial import child; child(given['skip'])"
)


def run(limit_seconds: float) -> dict[str, Answer]:
    """Make all attempts; after one that ends or hangs the child, another child makes the rest.

    Args:
        limit_seconds: For each child.
    """
    answers: dict[str, Answer] = {}
    while True:
        given = json.dumps({"path": [str(folder) for folder in sys.path], "skip": list(answers)})
        command = [sys.executable, "-c", START, given]
        try:
            done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=limit_seconds)
            out, failure = done.stdout, _describe_exit(done.returncode, done.stderr)
        except subprocess.TimeoutExpired as error:
            out, failure = error.stdout or b"", f"did not return within {limit_seconds:g} seconds"
        begun = "torch"  # between two attempts, only torch is at work
        for line in out.splitlines():
            with contextlib.suppress(ValueError):  # a line that is cut short
                name, answer = json.loads(line)
                begun = name if answer is None else "torch"
                answers |= {name: answer} if answer is not None else {}
        if answers.pop("end", None):  # a crash at exit does not matter
            return answers
        answers[begun] = {"error": failure}
        if begun == "torch":
            return answers


def _describe_exit(code: int, stderr: bytes) -> str:
    how = f"ended the interpreter with exit code {code}" if code else "ended the interpreter"
    if code < 0:
        how = f"killed the interpreter ({ {-each: each.name for each in signal.Signals}.get(code, f'signal {-code}') })"
    last = stderr.decode(errors="replace").strip().rpartition("\n")[2]
    return f"{how}: {shorten(last, 200)}" if last and code else how


def child(skip: Collection[str]) -> None:
    """Make every attempt but those in `skip`, with a line of JSON before and after it for the parent."""
    with os.fdopen(os.dup(1), "w", buffering=1) as parent:
        os.dup2(2, 1)  # whatever foreign code prints goes to stderr
        for name, attempt in _attempts():
            if name in skip:
                continue
            parent.write(json.dumps([name, None]) + "\n")
            try:
                answer = attempt()
            except (Exception, SystemExit) as error:
                answer = {"error": describe_error(error)}
            parent.write(json.dumps([name, answer]) + "\n")
            if name == "torch" and "error" in answer:
                break
        parent.write(json.dumps(["end", True]) + "\n")


def _attempts() -> Iterator[tuple[str, Callable[[], Answer]]]:
    yield "torch", _try_torch
    yield "facegan", _try_facegan
    for name in _device_names():
        yield f"device {name}", partial(try_device, name)
    yield "torchvision", _try_torchvision
    for kind in KINDS:
        for name, owners in claims(kind).items():
            yield f"{kind} '{name}'", partial(lambda owner: {"reason": probe(owner)}, owners[0])


def _try_torch() -> Answer:
    import torch

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        num_devices = torch.cuda.device_count() if torch.cuda.is_available() else 0
    cudnn: Any = torch.backends.cudnn
    return {
        "version": torch.__version__,
        "cuda": torch.version.cuda,
        "hip": torch.version.hip,
        "cudnn": cudnn.version() if cudnn.is_available() else None,
        "num_cuda_devices": num_devices,
        "warning": "; ".join(str(each.message) for each in caught),
    }


def _try_facegan() -> Answer:
    """Import all that training and sampling import; return what `auto` chooses, and the size of a usual run."""
    for module in ("training.trainer", "sampling", "checkpoint", "images", "plots"):
        importlib.import_module(f"facegan.{module}")

    import torch

    from ..config import RunConfig
    from ..devices import resolve_device
    from ..training.plan import plan
    from ..training.state import precision

    config, device = RunConfig().complete(), resolve_device("auto")
    types = {torch.float32: "fp32", torch.bfloat16: "bf16", torch.float16: "fp16"}
    return {
        "device": "cuda:0" if device.type == "cuda" else device.type,
        "precision": {name: types[precision(config, torch.device(name))] for name in _device_names()},
        "run_bytes": plan(config, 10_000).run_bytes,  # of so many images
    }


def _device_names() -> list[str]:
    import torch

    mps = ["mps"] if torch.backends.mps.is_available() else []
    return ["cpu", *(f"cuda:{index}" for index in range(torch.cuda.device_count())), *mps]


def try_device(name: str) -> Answer:
    """Return what a device is, and the types in which it computes or fails."""
    import torch

    device, answer, works, fails = torch.device(name), {}, [], {}
    if device.type == "cuda":
        found = torch.cuda.get_device_properties(device)
        answer = {"name": found.name, "memory_bytes": found.total_memory}
        answer["capability"] = ".".join(map(str, torch.cuda.get_device_capability(device)))
    if device.type == "cpu":
        answer = {"name": torch.backends.cpu.get_cpu_capability(), "threads": torch.get_num_threads()}
    for word, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16), ("fp16", torch.float16)):
        try:
            _compute(device, dtype)
            works.append(word)
        except Exception as error:
            fails[word] = describe_error(error)
    if device.type == "cuda" and works:
        answer["free_bytes"] = torch.cuda.mem_get_info(device)[0]
    return {**answer, "works": works, "fails": fails}


def _compute(device: Any, dtype: Any) -> None:
    """Run a layer of G forward and backward."""
    import torch

    layer = torch.nn.Sequential(torch.nn.ConvTranspose2d(8, 8, 4, 2, 1), torch.nn.BatchNorm2d(8)).to(device)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # for an unknown type, autocast only warns and takes another
        with torch.autocast(device.type, dtype=dtype, enabled=dtype != torch.float32):
            images = layer(torch.randn(2, 8, 4, 4, device=device))  # (2, 8, 8, 8)
    images.float().abs().mean().backward()
    if not all(bool(each.grad.isfinite().all()) for each in layer.parameters() if each.grad is not None):
        raise ArithmeticError("gradients are not finite")


def _try_torchvision() -> Answer:
    """Import torchvision, which facegan does not use, but other tools do; it must match torch."""
    if importlib.util.find_spec("torchvision") is None:
        return {"version": None}
    return {"version": getattr(importlib.import_module("torchvision"), "__version__", "of no version")}


def check_torch(answers: Mapping[str, Answer]) -> list[Check]:
    """Report on torch, what facegan imports with it, torchvision, and packages with damaged records."""
    torch = answers["torch"]
    records = [f"{shorten(folder)} is damaged ({shorten(why)})" for folder, why in unreadable().items()]
    repair = "reinstall that package, or remove the folder"
    if "error" in torch:
        found = f"does not work, so that neither devices nor plugins were tried: {torch['error']}"
        # At import, torch reads the entry points of all packages, and fails at a damaged one.
        fix = "reinstall the damaged package first" if records else f"run: {install('torch')}"
        return [*(Check("package", each, "wrong", repair) for each in records), Check("torch", found, "wrong", fix)]
    builds = {"CUDA": torch["cuda"], "ROCm": torch["hip"], "cuDNN": torch["cudnn"]}
    words = [f"{name} {version}" for name, version in builds.items() if version] or ["for the CPU alone"]
    checks = [Check("torch", f"{torch['version']}, {', '.join(words)}", facts=torch)]
    if error := answers["facegan"].get("error"):
        fix = f"reinstall the package that is named; or: {install('facegan')}"
        checks.append(Check("facegan", f"cannot start: {error}", "wrong", fix))
    vision = answers["torchvision"]
    if "error" in vision:
        found = f"{installed_version('torchvision')} does not fit torch {torch['version']} ({vision['error']}); "
        found += "facegan does not use it, other tools do"
        checks.append(Check("torchvision", found, "warning", f"run: {install('torch', 'torchvision')}"))
    else:
        found = f"{vision['version']}, fits torch" if vision["version"] else "not installed, nor needed"
        checks.append(Check("torchvision", found, facts=vision))
    return [*checks, *(Check("package", each, "warning", repair) for each in records)]


def check_devices(answers: Mapping[str, Answer]) -> list[Check]:
    """Report on every device of torch, the types in which it computes, and a GPU that torch does not see."""
    torch, auto = answers["torch"], answers.get("facegan", {})
    if "error" in torch:
        return []
    checks = []
    for attempt, answer in answers.items():
        if attempt.startswith("device "):
            name = attempt.removeprefix("device ")
            facts = {"auto_precision": auto.get("precision", {}).get(name, "?")}
            checks.append(_check_device(name, {**answer, **facts, "default": name == auto.get("device", "cpu")}))
    if not torch["num_cuda_devices"] and (nvidia_driver() or shutil.which("nvidia-smi")):
        built = torch["cuda"] or torch["hip"]
        fix = "see what 'nvidia-smi' and CUDA_VISIBLE_DEVICES say" if built else "install the build of torch for CUDA"
        why = shorten(torch["warning"]) or ("" if built else "this build of torch is for the CPU alone")
        found = "an NVIDIA driver is here, but torch sees no GPU" + (f" ({why})" if why else "")
        checks.append(Check("devices", found, "warning", fix))
    return checks


def _check_device(name: str, facts: Answer) -> Check:
    """Report on one device; only the default one can keep facegan from training."""
    works, fails, precision = facts.get("works", []), facts.get("fails", {}), facts["auto_precision"]
    bad = partial(Check, name, status="wrong" if facts["default"] else "warning", facts=facts)
    if "fp32" not in works:
        fix = "install a build of torch for this device" + ("" if name == "cpu" else ", or give --device cpu")
        return bad(f"does not compute ({facts.get('error') or fails.get('fp32', '')})", fix=fix)
    words = [facts["name"]] if "name" in facts else []
    if "capability" in facts:
        words += [f"{facts['memory_bytes'] / 1e9:.1f} GB of memory ({facts['free_bytes'] / 1e9:.1f} GB free)"]
        words += [f"compute capability {facts['capability']}"]
    if "threads" in facts:
        words += [f"{facts['threads']} thread{'s' * (facts['threads'] != 1)}"]
    words += [f"computes in {', '.join(works)}", f"precision=auto is {precision}"]
    words += ["device=auto is this"] * facts["default"]
    if precision in fails:
        return bad(f"{', '.join(words)}, but that fails ({fails[precision]})", fix="give train --precision fp32")
    return Check(name, ", ".join(words), facts=facts)


def check_plugins(answers: Mapping[str, Answer]) -> list[Check]:
    """Count the plugins that load, and report each that does not."""
    if "error" in answers["torch"]:
        return []
    parts = {f"{kind} '{name}'": owners for kind in KINDS for name, owners in claims(kind).items()}
    found = {name: answers.get(name, {"error": "not tried"}) for name in parts}
    reasons = {name: shorten(why) for name, each in found.items() if (why := each.get("error") or each.get("reason"))}
    num_foreign = sum(not _is_built_in(owners[0]) for owners in parts.values())
    words = f"{len(parts) - num_foreign} built in, {num_foreign} installed; "
    words += f"{len(reasons)} cannot be loaded" if reasons else "all load"
    facts = {name: {"origin": owners[0].origin, "reason": reasons.get(name)} for name, owners in parts.items()}
    broken = [_broken_plugin(name, parts[name], why) for name, why in reasons.items()]
    return [Check("plugins", words, facts=facts), *broken]


def _is_built_in(owner: Plugin) -> bool:
    return owner.target.startswith("facegan.")


def _broken_plugin(name: str, owners: tuple[Plugin, ...], why: str) -> Check:
    if len(owners) > 1:
        return Check(name, why, "warning", "uninstall one of them")
    if _is_built_in(owners[0]):
        return Check(name, f"cannot be loaded ({why})", "wrong", f"run: {install('facegan')}")
    package = owners[0].origin.partition(" ")[0]
    fix = f"run: python -m pip install --upgrade {package}; or: python -m pip uninstall {package}"
    return Check(name, f"of {owners[0].origin} cannot be loaded ({why})", "warning", fix)
