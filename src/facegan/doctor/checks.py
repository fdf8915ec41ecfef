"""The checks of `facegan doctor`: functions of a check's name and of the facts found before it."""

import importlib.metadata
import importlib.util
import os
import platform
import re
import shlex
import shutil
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from .. import __version__
from ..messages import counted
from ..plugins import KINDS, Plugin, claims, probe, unreadable

Facts = dict[str, dict[str, Any]]  # of the checks made so far, by name
DRIVER = Path("/proc/driver/nvidia/version")
WRITTEN_BYTES = 16 * 2**20  # in the test of a disk's speed
WORDS = {"torch.float32": "fp32", "torch.bfloat16": "bf16", "torch.float16": "fp16"}


@dataclass(frozen=True)
class Check:
    """The result of one check."""

    name: str
    found: str = ""  # in words; empty: not worth a line
    status: Literal["ok", "warning", "wrong"] = "ok"  # `wrong` prevents training or sampling, `warning` does not
    fix: str = ""  # with a command where there is one
    facts: dict[str, Any] = field(default_factory=dict)  # the same in numbers, for programs


def install(*requirements: str) -> str:
    """Return the command that reinstalls packages."""
    return f"run: python -m pip install --upgrade --force-reinstall {shlex.join(requirements)}"


# Of failed checks: the finding in words, the status, and the fix.
FAILURES: dict[str, tuple[str, Literal["warning", "wrong"], str]] = {
    "python": ("cannot be started", "wrong", "reinstall Python, then facegan"),
    "torch": ("does not work, so that neither devices nor plugins were tried", "wrong", install("torch")),
    "torchvision": (
        "does not fit torch; facegan does not use it, other tools do", "warning", install("torch", "torchvision"),
    ),
    "training": ("cannot start", "wrong", install("facegan")),
    "current folder": ("cannot be written", "wrong", "go to a folder that can be written, or give train --run"),
    "runs": ("cannot be written", "wrong", "give train --run"),
    "cache": ("cannot be written", "wrong", "set the variable FACEGAN_CACHE to a folder that can be written"),
}  # fmt: skip


def all_checks(facts: Facts) -> Iterator[tuple[str, Callable[[str, Facts], Check]]]:
    """Yield every check and its function; those that need torch only where it works."""
    yield from ((name, check_version) for name in ("facegan", "python", "system"))
    yield from (("machine", check_machine), ("packages", check_packages), ("package", check_metadata))
    yield "torch", check_torch
    devices = facts["torch"].get("devices", [])
    if devices:
        yield from (("torchvision", check_torchvision), ("training", check_training))
        yield from ((name, check_device) for name in devices)
        yield "devices", check_missing_gpu
    yield from (("runs" if Path("runs").exists() else "current folder", check_disk), ("cache", check_cache))
    if devices:
        yield from ((name, check_plugin) for name in parts())
        yield "plugins", check_plugins


def parts() -> dict[str, Plugin]:
    """Return every part by the name of its check; of a name with several owners, which does not load, the first."""
    return {f"{kind} '{name}'": owners[0] for kind in KINDS for name, owners in claims(kind).items()}


def failure(name: str, why: str, facts: Facts, **known: Any) -> Check:
    """Return the result of a check that failed: whether that prevents training, how to fix it, and known facts."""
    about: dict[str, Any] = {"reason": why, "error": why, **known}
    words, status, fix = FAILURES.get(name, ("cannot be checked", "warning", "fix what the error names"))
    if name in facts.get("torch", {}).get("devices", ()):
        about |= choices(name, facts)
        words, status = "does not compute", "wrong" if about["default"] else "warning"
        fix = "install a build of torch for this device" + ("" if name == "cpu" else ", or give --device cpu")
    elif plugin := parts().get(name):
        about["origin"] = plugin.origin
        words, status, package = f"of {plugin.origin} cannot be loaded", "warning", plugin.origin.partition(" ")[0]
        fix = f"run: python -m pip install --upgrade {package}; or: python -m pip uninstall {package}"
        if package == "facegan":
            status, fix = "wrong", install("facegan")
    return Check(name, f"{words} ({why})", status, fix, about)


def check_version(name: str, _: Facts) -> Check:
    """Report the version of facegan, Python or the system."""
    if name == "system":
        facts = {"platform": platform.platform(), "machine": platform.machine()}
        return Check(name, facts["platform"], facts=facts)
    facts = {"version": __version__ if name == "facegan" else platform.python_version()}
    return Check(name, facts["version"] + (f" in {shorten(sys.prefix)}" if name == "python" else ""), facts=facts)


def check_machine(name: str, _: Facts) -> Check:
    """Report the cores and memory of the machine, and NVIDIA's driver."""
    cores, memory, driver = os.cpu_count() or 1, None, nvidia_driver()
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else cores
    with suppress(AttributeError, ValueError):  # not every system says
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    found = f"{usable} of {counted(cores, 'core')}" + (f", {memory / 1e9:.1f} GB memory" if memory else "")
    found += f", NVIDIA driver {driver}" if driver else ""
    facts = {"cores": cores, "usable_cores": usable, "memory_bytes": memory, "nvidia_driver": driver}
    return Check(name, found, facts=facts)


def nvidia_driver() -> str:
    """Return the version of NVIDIA's driver for Linux; empty: none, or another system."""
    text = DRIVER.read_text() if DRIVER.exists() else ""
    match = re.search(r"Kernel Module.*?(\d+\.[\d.]+)", text)
    return match[1] if match else ""


def check_packages(name: str, _: Facts) -> Check:
    """Report the version of every package that facegan requires, or those that do not meet its requirements."""
    from packaging.requirements import Requirement

    versions, unmet = {}, {}
    for line in importlib.metadata.requires("facegan") or ():
        each, version = Requirement(line), ""
        if each.marker and not each.marker.evaluate({"extra": ""}):
            continue
        with suppress(importlib.metadata.PackageNotFoundError):
            version = importlib.metadata.version(each.name)
        versions[each.name] = version
        if not version or not each.specifier.contains(version, prereleases=True):
            unmet[str(each)] = f"and {version} is here" if version else "and it is missing"
    facts = {"versions": versions, "amiss": unmet}
    if unmet:
        found = "; ".join(f"{requirement} is needed, {why}" for requirement, why in unmet.items())
        return Check(name, found, "wrong", install(*unmet), facts)
    return Check(name, ", ".join(f"{package} {version}" for package, version in versions.items()), facts=facts)


def check_metadata(name: str, _: Facts) -> Check:
    """Report packages with damaged metadata, at which torch may fail as well, since it reads all entry points."""
    damaged = [f"{shorten(folder)} is damaged ({shorten(why)})" for folder, why in unreadable().items()]
    return Check(name, "; ".join(damaged), "warning" if damaged else "ok", "reinstall it, or remove the folder")


def check_torch(name: str, _: Facts) -> Check:
    """Report the version of torch, the libraries it is built for, and its devices."""
    import torch

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        num_devices = torch.cuda.device_count() if torch.cuda.is_available() else 0
    cudnn: Any = torch.backends.cudnn
    builds = {"cuda": torch.version.cuda, "hip": torch.version.hip}
    builds["cudnn"] = cudnn.version() if cudnn.is_available() else None
    devices = ["cpu", *(f"cuda:{index}" for index in range(num_devices))]
    devices += ["mps"] if torch.backends.mps.is_available() else []
    facts = {"version": torch.__version__, **builds, "num_cuda_devices": num_devices, "devices": devices}
    facts["warning"] = "; ".join(str(each.message) for each in caught)
    words = [f"{library} {version}" for library, version in builds.items() if version] or ["for the CPU alone"]
    return Check(name, f"{torch.__version__}, {', '.join(words)}", facts=facts)


def check_torchvision(name: str, _: Facts) -> Check:
    """Import torchvision, which facegan does not use, but other tools do; it must match torch."""
    if importlib.util.find_spec(name) is None:
        return Check(name, "not installed, nor needed", facts={"version": None})
    version = importlib.import_module(name).__version__
    return Check(name, f"{version}, fits torch", facts={"version": version})


def check_training(name: str, facts: Facts) -> Check:
    """Import all that training and sampling import; note what `auto` chooses, and the size of a usual run."""
    for module in ("training.trainer", "sampling", "checkpoint", "images", "plots"):
        importlib.import_module(f"facegan.{module}")

    import torch

    from ..config import DEFAULT_PRESET, resolve
    from ..devices import resolve_device
    from ..training.plan import plan, settled

    config, default, found = resolve(preset=DEFAULT_PRESET).complete(), resolve_device("auto").type, {}
    for device in facts["torch"]["devices"]:
        word = settled(config, 10_000, torch.device(device)).train.precision
        found[device] = {"auto_precision": word, "default": device.removesuffix(":0") == default}
    return Check(name, facts={"choices": found, "run_bytes": plan(config, 10_000).run_bytes})  # of so many images


def choices(device: str, facts: Facts) -> dict[str, Any]:
    """Return whether `auto` chooses a device, and which precision there; the CPU where training cannot start."""
    usual = {"auto_precision": "fp32", "default": device == "cpu"}
    return {**facts["training"].get("choices", {}).get(device, usual)}


def check_device(name: str, facts: Facts) -> Check:
    """Report the name and memory of a device, and the types in which it computes or fails."""
    import torch

    about, words, works, fails = choices(name, facts), list[str](), list[str](), dict[str, str]()
    for dtype, word in WORDS.items():
        try:
            compute(name, dtype.removeprefix("torch."))
            works.append(word)
        except Exception as error:
            fails[word] = describe_error(error)
    if "fp32" in fails:
        return failure(name, fails["fp32"], facts, works=works, fails=fails)
    if name == "cpu":
        about |= {"name": torch.backends.cpu.get_cpu_capability(), "threads": torch.get_num_threads()}
        words = [about["name"], counted(about["threads"], "thread")]
        if "bf16" in works:
            about["bf16_speed"] = round(pass_seconds("float32") / pass_seconds("bfloat16"), 2)
            words.append(f"bf16 {about['bf16_speed']:g} times as fast as fp32")
    elif name != "mps":
        gpu, free = torch.cuda.get_device_properties(name), torch.cuda.mem_get_info(name)[0]
        capability = f"{gpu.major}.{gpu.minor}"
        about |= {"name": gpu.name, "memory_bytes": gpu.total_memory, "free_bytes": free, "capability": capability}
        memory = f"{size_in_words(gpu.total_memory)} of memory ({size_in_words(free)} free)"
        words = [gpu.name, memory, f"compute capability {capability}"]
    about |= {"works": works, "fails": fails}
    words += [f"computes in {', '.join(works)}", f"precision=auto is {about['auto_precision']}"]
    words += ["device=auto is this"] if about["default"] else []
    if why := fails.get(about["auto_precision"]):
        found, fix = f"{', '.join(words)}, but that fails ({why})", "give train --precision fp32"
        return Check(name, found, "wrong" if about["default"] else "warning", fix, about)
    return Check(name, ", ".join(words), facts=about)


def compute(device: str, dtype: str) -> None:
    """Run a layer of G forward and backward."""
    import torch

    layer = torch.nn.Sequential(torch.nn.ConvTranspose2d(8, 8, 4, 2, 1), torch.nn.BatchNorm2d(8)).to(device)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # for an unknown type, autocast only warns and takes another
        with torch.autocast(torch.device(device).type, dtype=getattr(torch, dtype), enabled=dtype != "float32"):
            images = layer(torch.randn(2, 8, 4, 4, device=device))  # (2, 8, 8, 8)
    images.float().abs().mean().backward()
    if not all(bool(each.grad.isfinite().all()) for each in layer.parameters() if each.grad is not None):
        raise ArithmeticError("gradients are not finite")


def pass_seconds(dtype: str, seconds: float = 0.2) -> float:
    """Return the shortest time of a pass, there and back, through one convolution on the CPU, in a short trial."""
    import torch

    layer, images = torch.nn.Conv2d(64, 128, 4, 2, 1), torch.randn(32, 64, 16, 16, requires_grad=True)
    layer, images = layer.to(memory_format=torch.channels_last), images.to(memory_format=torch.channels_last)
    times, end = list[float](), time.perf_counter() + seconds
    while len(times) < 3 or time.perf_counter() < end:
        began = time.perf_counter()
        with torch.autocast("cpu", dtype=getattr(torch, dtype), enabled=dtype != "float32"):
            found = layer(images)
        found.float().sum().backward()
        times.append(time.perf_counter() - began)
    return min(times)


def check_missing_gpu(name: str, facts: Facts) -> Check:
    """Report a GPU that torch does not see."""
    torch = facts["torch"]
    if torch["num_cuda_devices"] or not (nvidia_driver() or shutil.which("nvidia-smi")):
        return Check(name)
    why, fix = torch["warning"], "see what 'nvidia-smi' and CUDA_VISIBLE_DEVICES say"
    if not (torch["cuda"] or torch["hip"]):
        why, fix = "this build of torch is for the CPU alone", "install the build of torch for CUDA"
    return Check(name, shorten(f"an NVIDIA driver is here, but torch sees no GPU: {why}"), "warning", fix)


def check_disk(name: str, facts: Facts) -> Check:
    """Measure free space and write speed where runs go, and whether a run of the default settings has room."""
    folder, content = Path("runs" if name == "runs" else ""), os.urandom(WRITTEN_BYTES)  # as some disks compress
    usage, started = shutil.disk_usage(folder), time.perf_counter()
    about = {"free_bytes": usage.free, "total_bytes": usage.total}
    try:
        with tempfile.TemporaryFile(dir=folder, buffering=0) as file:  # without a name, so that nothing remains
            file.write(content)
            os.fsync(file.fileno())
    except OSError as error:
        return failure(name, describe_error(error), facts, **about)
    about["write_bytes_per_second"] = speed = round(WRITTEN_BYTES / (time.perf_counter() - started))
    found = f"{size_in_words(usage.free)} free of {size_in_words(usage.total)}, written at {size_in_words(speed)}/s"
    needed = facts.get("training", {}).get("run_bytes", 0)
    if usage.free < needed:
        found += f"; a run of the default settings keeps {size_in_words(needed)}"
        return Check(name, found, "wrong", "free some space, or give train --run on another disk", about)
    return Check(name, found, facts=about)


def check_cache(name: str, facts: Facts) -> Check:
    """Report the cache's path, size and free space, and whether it can be written."""
    from ..storage.atomic import size_of
    from ..storage.cache import cache_root

    root = cache_root()
    try:
        sizes = {path.name: size_of(path) for path in sorted(root.iterdir())} if root.is_dir() else {}
        parent = next(folder for folder in (root, *root.parents) if folder.exists())
        tempfile.TemporaryFile(dir=parent).close()
    except OSError as error:
        return failure(name, describe_error(error), facts, path=str(root), writable=False)
    free, total = shutil.disk_usage(parent).free, sum(sizes.values())
    about = {"path": str(root), "writable": True, "size_bytes": total, "sizes_bytes": sizes, "free_bytes": free}
    return Check(name, f"{shorten(str(root))}, {size_in_words(total)}; {size_in_words(free)} free", facts=about)


def check_plugin(name: str, facts: Facts) -> Check:
    """Load a part; empty when it loads."""
    plugin = parts()[name]
    if why := probe(plugin):
        return failure(name, shorten(why), facts)
    return Check(name, facts={"origin": plugin.origin, "reason": None})


def check_plugins(name: str, facts: Facts) -> Check:
    """Count the parts, and those that do not load."""
    tried = {each: about for each, about in facts.items() if "origin" in about}
    num_built_in = sum(about["origin"].startswith("facegan ") for about in tried.values())
    num_broken = sum(about["reason"] is not None for about in tried.values())
    found = f"{num_built_in} built in, {len(tried) - num_built_in} installed"
    return Check(name, found + (f"; {num_broken} cannot be loaded" if num_broken else "; all load"), facts=tried)


def size_in_words(size_bytes: int) -> str:
    """Format a size as 1.2 GB or 3 MB."""
    return f"{size_bytes / 1e9:,.1f} GB" if size_bytes >= 1e9 else f"{size_bytes / 1e6:,.0f} MB"


def describe_error(error: BaseException) -> str:
    """Return an error's type and message on one line."""
    return shorten(f"{type(error).__name__}: {error}")


def shorten(text: str) -> str:
    """Put text on one line of at most 300 characters, with `~` for the home folder: reports are made public."""
    text = " ".join(text.split()).removesuffix(":").replace(str(Path.home()), "~")
    return text if len(text) <= 300 else f"{text[:297]}..."
