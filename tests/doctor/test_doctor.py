"""The checks of `facegan doctor`, and real faults: packages that fail or kill the interpreter at import."""

import importlib.metadata
import os
import platform
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

import facegan
from facegan.doctor import Check, can_train, checks, diagnose, problems, to_json, verdict

LIMIT = 300.0
PIP = "run: python -m pip install --upgrade --force-reinstall"
TORCH = {"cuda": "12.4", "hip": None, "num_cuda_devices": 0, "devices": ["cpu", "cuda:0"], "warning": ""}
# As much of torch as can be imported at once
SLIGHT_TORCH = """
import atexit, os
from types import SimpleNamespace as Space
__version__ = "2.6.0"
version = Space(cuda=None, hip=None)
cuda = Space(is_available=lambda: False, device_count=lambda: 0)
no = Space(is_available=lambda: False)
backends = Space(cudnn=no, mps=no)
atexit.register(os.abort)
"""


@pytest.fixture(autouse=True)
def workplace(tmp_path, monkeypatch):
    """An empty current folder, to which little is written, on a machine without a GPU."""
    monkeypatch.setattr(checks, "WRITTEN_BYTES", 1000)
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setattr(checks, "DRIVER", tmp_path / "driver")
    monkeypatch.setattr(shutil, "which", lambda name: None)
    return folder


@pytest.fixture
def package(tmp_path, monkeypatch):
    """package("torch", SOURCE): a package of that name, found before the one that is installed."""

    def make(name, source):
        folder = tmp_path / f"site-{name}" / name
        folder.mkdir(parents=True)
        (folder / "__init__.py").write_text(source)
        monkeypatch.syspath_prepend(str(folder.parent))

    return make


def find():
    return {check.name: check for check in diagnose(LIMIT)}


# The child process


def test_a_python_that_cannot_start_is_reported(monkeypatch):
    monkeypatch.setattr(sys, "executable", "/bin/false")
    (found,) = diagnose(LIMIT)
    assert (found.status, found.found) == ("wrong", "cannot be started (exit code 1)")


def test_crashes_after_torch_hide_nothing_else_and_one_at_exit_does_not_matter(package, install):
    package("torch", SLIGHT_TORCH)
    package("torchvision", "import os; os.abort()")
    killer = "import os, sys; print('no GPU', file=sys.stderr, flush=True); os._exit(9)"
    install("faceplug", killer, {"facegan.command": {"mine": "faceplug:mine"}})
    install("thirdplug", "raise SystemExit('not today')", {"facegan.command": {"third": "thirdplug:mine"}})
    install(
        "otherplug", "print(1); mine = 1", {"facegan.command": {"other": "otherplug:mine", "both": "otherplug:mine"}}
    )
    install("lastplug", "mine = 1", {"facegan.command": {"both": "lastplug:mine"}})
    found = find()
    assert found["torch"].found == "2.6.0, for the CPU alone"
    assert found["training"].status == "wrong" and found["training"].found.startswith("cannot start (")
    assert found["torchvision"].status == "warning"
    assert found["torchvision"].found == (
        "does not fit torch; facegan does not use it, other tools do (killed by SIGABRT)"
    )
    assert found["torchvision"].fix == f"{PIP} torch torchvision"
    assert " built in, 4 installed; " in found["plugins"].found
    assert found["plugins"].found.endswith(" cannot be loaded")
    assert found["plugins"].facts["command 'train'"]["reason"] is None
    killed, refused = found["command 'mine'"], found["command 'third'"]
    assert killed.found == "of faceplug 1.0 cannot be loaded (exit code 9: no GPU)"
    assert (refused.found, refused.status) == ("of thirdplug 1.0 cannot be loaded (not today)", "warning")
    assert refused.fix == "run: python -m pip install --upgrade thirdplug; or: python -m pip uninstall thirdplug"
    claimed = found["command 'both'"]
    assert claimed.status == "warning"
    assert "otherplug 1.0" in claimed.found and "lastplug 1.0" in claimed.found
    assert "command 'other'" not in found and "command 'train'" not in found
    assert found["loss 'saturating'"].status == "wrong"  # it is ours, and needs more of torch than this


# Torch and its devices


def facts_with(default, precision="fp16"):
    """What is known before a device is checked."""
    names = {"cpu", "cuda:0"}
    choices = {name: {"auto_precision": precision, "default": name == default} for name in names}
    return {"torch": TORCH, "training": {"choices": choices, "run_bytes": 1}}


def test_a_device_computes_in_some_types_and_gives_a_reason_for_the_others(monkeypatch):
    autocast = torch.autocast

    def refuse(kind, dtype, enabled):
        if dtype == torch.bfloat16:
            raise RuntimeError("no bf16 here")
        return autocast(kind, dtype=dtype, enabled=enabled)

    monkeypatch.setattr(torch, "autocast", refuse)
    cpu = checks.check_device("cpu", facts_with("cpu", "fp32"))
    assert cpu.status == "ok" and cpu.found.endswith(", precision=auto is fp32, device=auto is this")
    assert "fp32" in cpu.facts["works"] and cpu.facts["threads"] == torch.get_num_threads()
    assert cpu.facts["fails"]["bf16"] == "RuntimeError: no bf16 here"
    monkeypatch.setattr(torch, "randn", lambda *size, device: torch.full(size, torch.inf, device=device))
    cpu = checks.check_device("cpu", facts_with("cpu"))
    assert (cpu.status, cpu.found) == ("wrong", "does not compute (ArithmeticError: gradients are not finite)")
    assert cpu.facts["works"] == [] and cpu.facts["fails"].keys() == {"fp32", "bf16", "fp16"}


T4 = "Tesla T4, 16.0 GB of memory (15.0 GB free), compute capability 7.5, computes in"


@pytest.mark.parametrize(
    ("works", "default", "status", "words", "fix"),
    [
        (["float32", "float16"], "cuda:0", "ok", f"{T4} fp32, fp16, precision=auto is fp16, device=auto is this", ""),
        (["float32", "float16"], "cpu", "ok", f"{T4} fp32, fp16, precision=auto is fp16", ""),
        (
            ["float32"], "cuda:0", "wrong",
            f"{T4} fp32, precision=auto is fp16, device=auto is this, but that fails (RuntimeError: no kernel)",
            "give train --precision fp32",
        ),
    ],
)  # fmt: skip
def test_a_gpu_is_reported_with_its_precision(monkeypatch, works, default, status, words, fix):
    def compute(device, dtype):
        if dtype not in works:
            raise RuntimeError("no kernel")

    t4 = SimpleNamespace(name="Tesla T4", total_memory=16_000_000_000, major=7, minor=5)
    monkeypatch.setattr(checks, "compute", compute)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: t4)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (15_000_000_000, t4.total_memory))
    gpu = checks.check_device("cuda:0", facts_with(default))
    assert (gpu.status, gpu.found, gpu.fix) == (status, words, fix)
    assert gpu.facts["capability"] == "7.5" and gpu.facts["auto_precision"] == "fp16"


@pytest.mark.parametrize(("default", "status"), [("cuda:0", "wrong"), ("cpu", "warning")])
def test_a_device_that_does_not_compute_matters_only_as_the_default(default, status):
    gpu = checks.failure("cuda:0", "no kernel", facts_with(default))
    assert (gpu.status, gpu.found) == (status, "does not compute (no kernel)")
    assert gpu.fix == "install a build of torch for this device, or give --device cpu"
    assert gpu.facts == {
        "reason": "no kernel", "error": "no kernel", "auto_precision": "fp16", "default": status == "wrong",
    }  # fmt: skip


DRIVERS = (
    "NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.104.05  Sat Aug 19 01:15:15 UTC 2023\n",
    "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  535.104.05  Release Build\n",
)


@pytest.mark.parametrize(
    ("facts", "why", "fix"),
    [
        ({"warning": "It is too old"}, ": It is too old", "see what 'nvidia-smi' and CUDA_VISIBLE_DEVICES say"),
        ({}, "", "see what 'nvidia-smi' and CUDA_VISIBLE_DEVICES say"),
        ({"cuda": None}, ": this build of torch is for the CPU alone", "install the build of torch for CUDA"),
    ],
)
def test_a_gpu_that_torch_does_not_see_is_a_warning(tmp_path, facts, why, fix):
    assert checks.check_missing_gpu("devices", {"torch": TORCH | facts}).found == ""
    (tmp_path / "driver").write_text(DRIVERS[0])
    unseen = checks.check_missing_gpu("devices", {"torch": TORCH | facts})
    assert (unseen.status, unseen.found) == ("warning", "an NVIDIA driver is here, but torch sees no GPU" + why)
    assert unseen.fix == fix


def test_the_builds_of_torch_are_reported_and_torchvision_is_not_needed(monkeypatch):
    monkeypatch.setattr(torch.version, "cuda", "12.4")
    monkeypatch.setattr(torch.backends.cudnn, "is_available", lambda: True)
    monkeypatch.setattr(torch.backends.cudnn, "version", lambda: 90100)
    checked = checks.check_torch("torch", {})
    assert checked.found == f"{torch.__version__}, cuda 12.4, cudnn 90100"
    assert checked.facts["devices"][0] == "cpu"
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    vision = checks.check_torchvision("torchvision", {})
    assert (vision.status, vision.found) == ("ok", "not installed, nor needed")


# Versions and packages


def test_versions_are_reported():
    assert checks.check_version("facegan", {}) == Check(
        "facegan", facegan.__version__, facts={"version": facegan.__version__}
    )
    assert checks.check_version("python", {}).facts == {"version": platform.python_version()}
    assert checks.check_version("system", {}).found == platform.platform()
    packages = checks.check_packages("packages", {})
    assert packages.facts["versions"]["torch"] == importlib.metadata.version("torch")
    assert f"numpy {importlib.metadata.version('numpy')}" in packages.found
    assert "pytest" not in packages.facts["versions"]  # only the tests need it


@pytest.mark.parametrize("line", DRIVERS)
def test_the_machine_is_reported_with_its_nvidia_driver(tmp_path, line):
    (tmp_path / "driver").write_text(line)
    machine = checks.check_machine("machine", {})
    assert machine.facts["cores"] >= machine.facts["usable_cores"] >= 1
    assert machine.found.endswith("NVIDIA driver 535.104.05") and machine.facts["nvidia_driver"] == "535.104.05"


def test_a_missing_or_old_package_is_wrong_with_the_command_that_installs_it(tmp_path, monkeypatch):
    lines = "facelib>=2", "no-such-package", "facelib<9", 'facelib>=5; extra == "dev"', "numpy>=1"
    for name, required in (("facegan", lines), ("facelib", ())):
        info = tmp_path / f"{name}-1.0.dist-info"
        info.mkdir()
        requires = "".join(f"Requires-Dist: {line}\n" for line in required)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n{requires}")
    monkeypatch.syspath_prepend(str(tmp_path))
    found = checks.check_packages("packages", {})
    assert found.status == "wrong"
    assert found.found == "facelib>=2 is needed, and 1.0 is here; no-such-package is needed, and it is missing"
    assert found.fix == f"{PIP} 'facelib>=2' no-such-package"
    assert list(found.facts["versions"]) == ["facelib", "no-such-package", "numpy"]


def test_a_package_with_damaged_metadata_is_a_warning(install, tmp_path):
    assert checks.check_metadata("package", {}).found == ""
    install("faceplug", "", {"facegan.loss": {"mine": "faceplug:Mine"}})
    info = tmp_path / "site-faceplug" / "faceplug-1.0.dist-info"
    (info / "METADATA").write_text("")
    package = checks.check_metadata("package", {})
    assert package.status == "warning"
    assert package.found == f"{info} is damaged (ValueError: its METADATA holds no Name and no Version)"


# Disk and cache


def test_the_write_speed_is_measured_where_runs_go_and_nothing_is_left(workplace, monkeypatch):
    seen, fsync = [], os.fsync
    monkeypatch.setattr(os, "fsync", lambda file: (seen.append(list(workplace.rglob("*"))), fsync(file)))
    here = checks.check_disk("current folder", {})
    assert here.status == "ok" and " GB free of " in here.found and here.found.endswith("/s")
    assert here.facts["total_bytes"] == shutil.disk_usage(workplace).total
    (workplace / "runs").mkdir()
    assert checks.check_disk("runs", {}).facts["write_bytes_per_second"] > 0
    assert seen == [[], [workplace / "runs"]]  # no file has a name, not even while it is written


def test_runs_that_cannot_be_written_are_wrong(workplace):
    (workplace / "runs").write_text("a file")
    runs = checks.check_disk("runs", {})
    assert runs.status == "wrong" and "Not a directory" in runs.found
    assert runs.facts["free_bytes"] > 0


def test_too_little_space_for_a_run_is_wrong(workplace):
    needed = shutil.disk_usage(workplace).total + 1
    here = checks.check_disk("current folder", {"training": {"run_bytes": needed}})
    assert here.status == "wrong"
    assert here.found.endswith(f"; a run of the default settings keeps {needed / 1e9:,.1f} GB")


def test_the_cache_is_reported_with_path_and_size(cache, monkeypatch):
    (cache / "packed" / "abc").mkdir(parents=True)
    (cache / "packed" / "abc" / "images.npy").write_bytes(bytes(3_000_000))
    (cache / "packed" / "abc" / "index.json").write_bytes(bytes(200_000))
    (cache / "note").write_bytes(bytes(7))
    check = checks.check_cache("cache", {})
    assert check.found.startswith(f"{cache}, 3 MB; ") and check.found.endswith(" free")
    assert check.facts["sizes_bytes"] == {"note": 7, "packed": 3_200_000}
    assert check.facts["size_bytes"] == 3_200_007
    monkeypatch.setenv("FACEGAN_CACHE", str(cache / "a" / "b"))  # is not made
    check = checks.check_cache("cache", {})
    assert check.facts["writable"] and not (cache / "a").exists()
    monkeypatch.setenv("FACEGAN_CACHE", str(cache / "note" / "b"))  # below a file
    check = checks.check_cache("cache", {})
    assert check.status == "wrong" and "cannot be written (" in check.found
    assert (check.facts["path"], check.facts["writable"]) == (str(cache / "note" / "b"), False)


# All in one line

GOOD = Check("cpu", "computes")
ODD = Check("torchvision", "does not fit", "warning", "run: this")
BAD = Check("torch", "is missing", "wrong", "run: that")


@pytest.mark.parametrize(
    ("found", "able", "line"),
    [
        ([GOOD], True, "all is well: facegan can train and sample here"),
        ([GOOD, ODD], True, "facegan can train and sample here, but: torchvision: does not fit; run: this"),
        ([GOOD, BAD], False, "facegan cannot train and sample here: torch: is missing; run: that"),
        ([ODD, BAD], False, "facegan cannot train and sample here: torch: is missing; run: that (and 1 more, above)"),
    ],
)
def test_the_verdict_names_the_worst_problem_with_its_fix(found, able, line):
    assert (verdict(found), can_train(found)) == (line, able)
    assert to_json(found) | {"checks": []} == {"able": able, "verdict": line, "checks": []}
    assert problems([GOOD, ODD, BAD]) == [BAD, ODD]


def test_an_error_is_reported_on_one_short_line_without_the_home_folder():
    why = checks.describe_error(OSError(f"in {Path.home()}/x:\n  gone" + "x" * 400))
    check = checks.failure("machine", why, {})
    assert check.status == "warning" and check.found.startswith("cannot be checked (OSError: in ~/x: gonexxx")
    assert check.found.endswith("x...)") and len(check.found) < 330
    assert to_json([check])["checks"] == [
        {"name": "machine", "found": check.found, "status": "warning", "mend": check.fix, "facts": check.facts}
    ]
