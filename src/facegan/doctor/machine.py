"""What stands on this machine: facegan, Python, the system, and the packages that facegan needs."""

import contextlib
import importlib.metadata
import os
import platform
import re
import sys
from pathlib import Path
from typing import Any

from .. import __version__
from .check import Check, install

DRIVER = Path("/proc/driver/nvidia/version")


def look() -> list[Check]:
    """Versions of facegan, Python and the system; cores and memory."""
    python = f"{platform.python_implementation()} {platform.python_version()}"
    python += f" in {_environment()}"
    cores, usable = os.cpu_count() or 1, _usable_cores()
    memory = _memory_bytes()
    hardware = [
        f"{cores} core{'' if cores == 1 else 's'}" + (f" of which {usable} can be used" if usable != cores else "")
    ]
    hardware += [f"{memory / 1e9:.1f} GB memory"] if memory else []
    driver = nvidia_driver()
    hardware += [f"NVIDIA driver {driver}"] if driver else []
    facts: dict[str, Any] = {"cores": cores, "usable_cores": usable, "memory_bytes": memory, "nvidia_driver": driver}
    return [
        Check("facegan", __version__, facts={"version": __version__}),
        Check("python", python, facts={"version": platform.python_version()}),
        Check("system", platform.platform(), facts={"platform": platform.platform(), "machine": platform.machine()}),
        Check("machine", ", ".join(hardware), facts=facts),
    ]


def look_at_packages() -> list[Check]:
    """Every package that facegan needs, against the range that it asks for."""
    from packaging.requirements import Requirement

    try:
        lines = importlib.metadata.requires("facegan") or []
    except importlib.metadata.PackageNotFoundError:
        found = "facegan is not installed, only found on the path; what it needs cannot be compared"
        return [Check("packages", found, status="warning", mend="install it with 'python -m pip install .'")]
    needed = [Requirement(line) for line in lines]
    needed = [each for each in needed if each.marker is None or each.marker.evaluate({"extra": ""})]
    versions = {each.name: installed_version(each.name) for each in needed}
    amiss = {str(each): why for each in needed if (why := _amiss(each, versions[each.name]))}
    words = ", ".join(f"{name} {version or 'missing'}" for name, version in versions.items())
    facts = {"versions": versions, "amiss": amiss}
    checks = [Check("packages", words, facts=facts)]
    if amiss:
        found = "; ".join(f"{requirement} is needed, {why}" for requirement, why in amiss.items())
        checks.append(Check("requirements", found, status="wrong", mend=f"run: {install(*amiss)}"))
    return checks


def installed_version(name: str) -> str:
    """The installed version; empty when there is none."""
    try:
        return importlib.metadata.version(name) or ""
    except importlib.metadata.PackageNotFoundError:
        return ""


def nvidia_driver() -> str:
    """The version of NVIDIA's driver for Linux; empty where there is none, and on other systems."""
    try:
        match = re.search(r"Kernel Module.*?(\d+\.[\d.]+)", DRIVER.read_text())
    except (OSError, ValueError):
        return ""
    return match[1] if match else ""


def _amiss(requirement: Any, version: str) -> str:
    if not version:
        return "and it is missing"
    with contextlib.suppress(ValueError):  # a version that is none
        if requirement.specifier.contains(version, prereleases=True):
            return ""
    return f"and {version} is here"


def _environment() -> str:
    if (Path(sys.prefix) / "conda-meta").is_dir():
        return "a conda environment"
    return "a virtual environment" if sys.prefix != sys.base_prefix else "no environment of its own"


def _usable_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _memory_bytes() -> int | None:
    """The machine's memory, where the system tells it."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None
