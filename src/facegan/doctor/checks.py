"""Checks that need no child process: versions, required packages, disk and cache; and the summary of the others."""

import importlib.metadata
import os
import platform
import re
import shlex
import shutil
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from .. import __version__
from ..messages import counted
from ..plugins import unreadable

DRIVER = Path("/proc/driver/nvidia/version")
CHUNK_BYTES, MAX_BYTES, MAX_SECONDS = 4 * 2**20, 32 * 2**20, 2.0  # of the test of a disk's speed


@dataclass(frozen=True)
class Check:
    """The result of one check.

    Attributes:
        name: The thing that was checked.
        found: Its state, in words; empty: not worth a line.
        status: `wrong` prevents training or sampling, `warning` does not.
        fix: How to repair it, with a command where there is one; empty where nothing is wrong.
        facts: The same in numbers, for programs.
    """

    name: str
    found: str = ""
    status: Literal["ok", "warning", "wrong"] = "ok"
    fix: str = ""
    facts: dict[str, Any] = field(default_factory=dict)

    def failed(self, why: str) -> "Check":
        """Return the result of a failure, given the reason that stands for `{why}`."""
        return replace(self, found=self.found.replace("{why}", why), facts=self.facts | {"reason": why, "error": why})


def check_machine() -> list[Check]:
    """Report the versions of facegan, Python and the system, and the cores and memory."""
    version, system = platform.python_version(), platform.platform()
    environment = "a virtual environment" if sys.prefix != sys.base_prefix else "no environment of its own"
    environment = "a conda environment" if (Path(sys.prefix) / "conda-meta").is_dir() else environment
    cores, memory, driver = os.cpu_count() or 1, None, nvidia_driver()
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else cores
    with suppress(AttributeError, ValueError, OSError):  # the system does not say
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    hardware = counted(cores, "core") + f" of which {usable} can be used" * (usable != cores)
    hardware += f", {memory / 1e9:.1f} GB memory" if memory else ""
    hardware += f", NVIDIA driver {driver}" if driver else ""
    facts = {"cores": cores, "usable_cores": usable, "memory_bytes": memory, "nvidia_driver": driver}
    python = f"{platform.python_implementation()} {version} in {environment}"
    return [
        Check("facegan", __version__, facts={"version": __version__}),
        Check("python", python, facts={"version": version}),
        Check("system", system, facts={"platform": system, "machine": platform.machine()}),
        Check("machine", hardware, facts=facts),
    ]


def nvidia_driver() -> str:
    """Return the version of NVIDIA's driver for Linux; empty: none, or another system."""
    with suppress(OSError, ValueError):
        if match := re.search(r"Kernel Module.*?(\d+\.[\d.]+)", DRIVER.read_text()):
            return match[1]
    return ""


def check_packages() -> list[Check]:
    """Compare the version of every package that facegan requires with the required range."""
    from packaging.requirements import Requirement

    try:
        lines = importlib.metadata.requires("facegan") or []
    except importlib.metadata.PackageNotFoundError:
        found = "facegan is not installed, only found on the path; its requirements cannot be compared"
        return [Check("packages", found, "warning", "install it with 'python -m pip install .'")]
    versions, unmet = {}, {}
    for each in map(Requirement, lines):
        if each.marker and not each.marker.evaluate({"extra": ""}):
            continue
        versions[each.name] = version = installed_version(each.name)
        with suppress(ValueError):  # of a version that cannot be parsed
            if version and each.specifier.contains(version, prereleases=True):
                continue
        unmet[str(each)] = f"and {version} is here" if version else "and it is missing"
    words = ", ".join(f"{name} {version or 'missing'}" for name, version in versions.items())
    checks = [Check("packages", words, facts={"versions": versions, "amiss": unmet})]
    if unmet:
        why = "; ".join(f"{requirement} is needed, {why}" for requirement, why in unmet.items())
        checks.append(Check("requirements", why, "wrong", f"run: {install(*unmet)}"))
    return checks


def installed_version(name: str) -> str:
    """Return the version of an installed package; empty: not installed."""
    try:
        return importlib.metadata.version(name) or ""
    except importlib.metadata.PackageNotFoundError:
        return ""


def install(*requirements: str) -> str:
    """Return the command that reinstalls packages."""
    return f"python -m pip install --upgrade --force-reinstall {shlex.join(requirements)}"


def check_torch(tried: Mapping[str, Check]) -> list[Check]:
    """Report packages with damaged metadata, then torch, what depends on it, and a GPU that torch does not see."""
    torch, *others = [check for check in tried.values() if check.found and "origin" not in check.facts]
    damaged = [f"{shorten(folder)} is damaged ({shorten(why)})" for folder, why in unreadable().items()]
    is_broken, fix = torch.status == "wrong", "reinstall that package, or remove the folder"
    if damaged and is_broken:  # at import, torch reads the entry points of all packages
        torch = replace(torch, fix="reinstall the damaged package first")
    found = [Check("package", each, "wrong" if is_broken else "warning", fix) for each in damaged]
    found += [torch, *others]
    if torch.facts.get("num_cuda_devices") == 0 and (nvidia_driver() or shutil.which("nvidia-smi")):
        why, fix = torch.facts["warning"], "see what 'nvidia-smi' and CUDA_VISIBLE_DEVICES say"
        if not (torch.facts["cuda"] or torch.facts["hip"]):
            why, fix = why or "this build of torch is for the CPU alone", "install the build of torch for CUDA"
        words = "an NVIDIA driver is here, but torch sees no GPU" + (f" ({shorten(why)})" if why else "")
        found.append(Check("devices", words, "warning", fix))
    return found


def check_plugins(tried: Mapping[str, Check]) -> list[Check]:
    """Count the plugins that load, and report each that does not."""
    facts = {name: check.facts for name, check in tried.items() if "origin" in check.facts}
    broken = [replace(tried[name], facts={}) for name in facts if tried[name].found]
    num_built_in = sum(each["origin"].startswith("facegan ") for each in facts.values())
    words = f"{num_built_in} built in, {len(facts) - num_built_in} installed; "
    words += f"{len(broken)} cannot be loaded" if broken else "all load"
    return [Check("plugins", words, facts=facts), *broken] if facts else []


def check_disk(needed_bytes: int) -> list[Check]:
    """Measure free space in the current folder and ./runs, and the write speed where runs go.

    Args:
        needed_bytes: Of a run with the default settings; 0: unknown.
    """
    has_runs = Path("runs").exists()
    here = _check_folder("current folder", Path(), None if has_runs else needed_bytes)
    return [here, _check_folder("runs", Path("runs"), needed_bytes)] if has_runs else [here]


def _check_folder(name: str, folder: Path, needed_bytes: int | None) -> Check:
    """Report on one folder; None bytes are needed where nothing is written."""
    usage = shutil.disk_usage(folder)
    facts = {"free_bytes": usage.free, "total_bytes": usage.total}
    found = f"{_in_words(usage.free)} free of {_in_words(usage.total)}"
    if needed_bytes is None:
        return Check(name, found, facts=facts)
    try:
        facts["write_bytes_per_second"] = speed = round(_write_bytes_per_second(folder))
    except OSError as error:
        found += f"; cannot be written ({error.strerror or describe_error(error)})"
        return Check(name, found, "wrong", "go to a folder that can be written, or give train --run", facts)
    found += f"; written at {speed / 1e6:,.0f} MB/s"
    if usage.free >= needed_bytes:
        return Check(name, found, facts=facts)
    found += f"; a run of the default settings keeps {_in_words(needed_bytes)}"
    return Check(name, found, "wrong", "free some space, or give train --run on another disk", facts)


def _write_bytes_per_second(folder: Path) -> float:
    """Write at most MAX_BYTES and about MAX_SECONDS into a file that has no name, so that nothing remains."""
    chunk, done = os.urandom(CHUNK_BYTES), 0  # random, since some file systems compress
    started = time.perf_counter()
    with tempfile.TemporaryFile(dir=folder, buffering=0) as file:
        while done < MAX_BYTES and (not done or time.perf_counter() - started < MAX_SECONDS):
            done += file.write(chunk)
            os.fsync(file.fileno())
        return done / (time.perf_counter() - started)


def check_cache() -> list[Check]:
    """Report the cache's path, size and free space, and whether it can be written."""
    from ..storage.atomic import size_of
    from ..storage.cache import cache_root

    root = cache_root()
    facts: dict[str, Any] = {"path": str(root)}
    try:
        sizes = {path.name: size_of(path) for path in sorted(root.iterdir())} if root.is_dir() else {}
        parent = next(folder for folder in (root, *root.parents) if folder.exists())
        free_bytes = shutil.disk_usage(parent).free
        with tempfile.TemporaryFile(dir=parent):
            pass
    except OSError as error:
        found = f"{shorten(str(root))} cannot be written ({error.strerror or describe_error(error)})"
        fix = "set the environment variable FACEGAN_CACHE to a folder that can be written"
        return [Check("cache", found, "wrong", fix, facts | {"writable": False})]
    total = sum(sizes.values())
    facts |= {"size_bytes": total, "sizes_bytes": sizes, "free_bytes": free_bytes, "writable": True}
    parts = ", ".join(f"{name} {_in_words(size)}" for name, size in sizes.items() if size)
    held = f"holds {_in_words(total)} ({parts})" if total else "empty"
    return [Check("cache", f"{shorten(str(root))}: {held}; {_in_words(free_bytes)} free, can be written", facts=facts)]


def _in_words(size_bytes: int) -> str:
    return f"{size_bytes / 1e9:,.1f} GB" if size_bytes >= 1e9 else f"{size_bytes / 1e6:,.0f} MB"


def describe_error(error: BaseException) -> str:
    """Return an error's type and message on one line."""
    return shorten(f"{type(error).__name__}: {error}")


def shorten(text: str, length: int = 300) -> str:
    """Put text on one line of at most `length` characters, with `~` for the home folder: reports are made public."""
    text, home = " ".join(text.split()).removesuffix(":"), str(Path.home())
    text = text.replace(home, "~") if len(home) > 1 else text
    return text if len(text) <= length else f"{text[: length - 3]}..."
