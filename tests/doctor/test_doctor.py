"""`diagnose`, with real faults where they can be made: packages that fail, kill the interpreter or hang at import."""

import errno
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
from facegan.doctor import Check, can_train, checks, diagnose, problems, to_json, trial, verdict

LIMIT = 300.0
PIP = "python -m pip install --upgrade --force-reinstall"
LOSS = {"facegan.loss": {"mine": "faceplug:Mine"}}
TORCH = {"cuda": "12.4", "hip": None, "num_cuda_devices": 0, "warning": ""}
SOUND = [Check("torch", "2.6.0", facts=TORCH), Check("facegan", facts={"run_bytes": 1}), Check("cpu", "computes")]
# As much of torch as can be imported at once
SLIGHT_TORCH = """
from types import SimpleNamespace as Space
__version__ = "2.6.0"
version = Space(cuda=None, hip=None)
cuda = Space(is_available=lambda: False, device_count=lambda: 0)
no = Space(is_available=lambda: False)
backends = Space(cudnn=no, mps=no)
"""


@pytest.fixture(autouse=True)
def workplace(tmp_path, monkeypatch):
    """An empty current folder, to which little is written, on a machine without a GPU."""
    monkeypatch.setattr(checks, "MAX_SECONDS", 0.0)
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


@pytest.fixture
def found(monkeypatch):
    """found(limit) -> the checks by name; found(None, CHECK, ...): those where the child finds these."""

    def find(limit=LIMIT, *others):
        if limit is None:
            tried = {check.name: check for check in (*SOUND, *others)}
            monkeypatch.setattr(trial, "run", lambda limit: tried)
        return {check.name: check for check in diagnose(limit)}

    return find


# The child process

FAULTS = {
    "raise ImportError('DLL load failed')": "ImportError: DLL load failed",
    "raise SystemExit(3)": "SystemExit: 3",
    "import os; os._exit(0)": "ended the interpreter",
    "import sys; print('no GPU', file=sys.stderr, flush=True); import os; os._exit(7)":
        "ended the interpreter with exit code 7: no GPU",
    "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)": "killed the interpreter (SIGSEGV)",
    "print('[\"torch\", {}]'); version = 1": "AttributeError: module 'torch' has no attribute 'cuda'",
    SLIGHT_TORCH + "cuda.is_available = lambda: 1 / 0": "ZeroDivisionError: division by zero",
}  # fmt: skip


@pytest.mark.parametrize(("source", "why"), FAULTS.items(), ids=[str(number) for number in range(len(FAULTS))])
def test_a_torch_that_fails_or_crashes_is_reported_with_reason_and_fix(package, found, source, why):
    package("torch", source)
    checked = found()
    assert checked["torch"].status == "wrong"
    assert checked["torch"].found == f"does not work, so that neither devices nor plugins were tried: {why}"
    assert checked["torch"].fix == f"run: {PIP} torch"
    assert not {"cpu", "torchvision", "plugins"} & set(checked)


def test_a_torch_that_hangs_is_ended_after_the_limit(package, found):
    package("torch", "import time\nwhile True: time.sleep(1)")
    assert found(0.7)["torch"].found.endswith(": did not return within 0.7 seconds")


def test_a_missing_torch_is_reported(tmp_path, monkeypatch, found):
    site = tmp_path / "site"
    site.mkdir()
    folders = [Path(folder) for folder in sys.path]
    packages = [folder for folder in folders if folder.name == "site-packages"]
    for path in [path for folder in packages for path in folder.iterdir() if path.name != "torch"]:
        (site / path.name).symlink_to(path)
    monkeypatch.setattr(sys, "path", [*(folder for folder in folders if folder not in packages), site])
    assert found()["torch"].found.endswith(": ModuleNotFoundError: No module named 'torch'")


def test_a_python_that_cannot_start_is_reported(monkeypatch, found):
    monkeypatch.setattr(sys, "executable", "/bin/false")
    assert found()["torch"].found.endswith(": ended the interpreter with exit code 1")


def test_one_crash_after_torch_hides_nothing_else(package, install, found):
    package("torch", SLIGHT_TORCH)
    package("torchvision", "import os; os.abort()")
    install("faceplug", "import os; os._exit(9)", {"facegan.command": {"mine": "faceplug:mine"}})
    install("thirdplug", "raise SystemExit('not today')", {"facegan.command": {"third": "thirdplug:mine"}})
    install("otherplug", "mine = 1", {"facegan.command": {"other": "otherplug:mine", "both": "otherplug:mine"}})
    install("lastplug", "mine = 1", {"facegan.command": {"both": "lastplug:mine"}})
    checked = found()
    assert checked["torch"].found == "2.6.0, for the CPU alone"
    assert checked["facegan"].status == "wrong" and checked["facegan"].found.startswith("cannot start: ")
    assert checked["torchvision"].status == "warning"
    assert checked["torchvision"].found.endswith(
        " does not fit torch 2.6.0 (killed the interpreter (SIGABRT)); facegan does not use it, other tools do"
    )
    assert checked["torchvision"].fix == f"run: {PIP} torch torchvision"
    assert " built in, 4 installed; " in checked["plugins"].found
    assert checked["plugins"].found.endswith(" cannot be loaded")
    killed, refused = checked["command 'mine'"], checked["command 'third'"]
    assert killed.found == "of faceplug 1.0 cannot be loaded (ended the interpreter with exit code 9)"
    assert (refused.found, refused.status) == ("of thirdplug 1.0 cannot be loaded (not today)", "warning")
    assert refused.fix == "run: python -m pip install --upgrade thirdplug; or: python -m pip uninstall thirdplug"
    claimed = checked["command 'both'"]
    assert (claimed.status, claimed.fix) == ("warning", "uninstall one of them")
    assert set(claimed.found.removeprefix("claimed by ").split(" and ")) == {"otherplug 1.0", "lastplug 1.0"}
    assert "command 'other'" not in checked and "command 'train'" not in checked
    assert checked["loss 'saturating'"].status == "wrong"  # it is ours, and needs more of torch than this


def test_a_crash_at_exit_does_not_matter(package, found):
    package("torch", SLIGHT_TORCH + "import atexit, os\natexit.register(os.abort)\n")
    package("torchvision", "")
    checked = found()
    assert (checked["torch"].status, checked["torchvision"].found) == ("ok", "of no version, fits torch")
    assert checked["plugins"].facts["command 'train'"]["reason"] is None


def test_a_damaged_package_is_named_before_the_torch_that_fails_at_it(package, install, tmp_path, found):
    package("torch", "import importlib.metadata as all; all.entry_points(group='torch.backends')")
    install("faceplug", "", LOSS)
    info = tmp_path / "site-faceplug" / "faceplug-1.0.dist-info"
    (info / "entry_points.txt").write_bytes(b"\xff")
    checked = found()
    assert list(checked).index("package") == list(checked).index("torch") - 1
    assert checked["package"].status == checked["torch"].status == "wrong"
    assert checked["package"].found.startswith(f"{info} is damaged (UnicodeDecodeError: ")
    assert checked["package"].fix == "reinstall that package, or remove the folder"
    assert checked["torch"].fix == "reinstall the damaged package first"


def test_a_device_computes_in_some_types_and_gives_a_reason_for_the_others(monkeypatch):
    autocast = torch.autocast

    def refuse(kind, dtype, enabled):
        if dtype == torch.bfloat16:
            raise RuntimeError("no bf16 here")
        return autocast(kind, dtype=dtype, enabled=enabled)

    monkeypatch.setattr(torch, "autocast", refuse)
    failed = trial.failed_device("cpu", "cpu", "fp32")
    cpu = trial.check_device(failed)
    assert cpu.status == "ok" and cpu.found.endswith(", precision=auto is fp32, device=auto is this")
    assert "fp32" in cpu.facts["works"] and cpu.facts["threads"] == torch.get_num_threads()
    assert cpu.facts["fails"]["bf16"] == "RuntimeError: no bf16 here"
    monkeypatch.setattr(torch, "randn", lambda *size, device: torch.full(size, torch.inf, device=device))
    cpu = trial.check_device(failed)
    assert (cpu.status, cpu.found) == ("wrong", "does not compute (ArithmeticError: gradients are not finite)")
    assert cpu.fix == "install a build of torch for this device"


T4 = "Tesla T4, 16.0 GB of memory (15.0 GB free), compute capability 7.5, computes in"
NO_KERNEL = "RuntimeError: no kernel image is available"
REBUILD = "install a build of torch for this device, or give --device cpu"


@pytest.mark.parametrize(
    ("works", "default", "status", "words", "fix"),
    [
        (["fp32", "fp16"], "cuda:0", "ok", f"{T4} fp32, fp16, precision=auto is fp16, device=auto is this", ""),
        (["fp32", "fp16"], "cpu", "ok", f"{T4} fp32, fp16, precision=auto is fp16", ""),
        ([], "cuda:0", "wrong", f"does not compute ({NO_KERNEL})", REBUILD),
        ([], "cpu", "warning", f"does not compute ({NO_KERNEL})", REBUILD),
        (
            ["fp32"], "cuda:0", "wrong",
            f"{T4} fp32, precision=auto is fp16, device=auto is this, but that fails ({NO_KERNEL})",
            "give train --precision fp32",
        ),
    ],
)  # fmt: skip
def test_a_gpu_is_reported_with_its_precision_and_matters_only_as_the_default(
    monkeypatch, works, default, status, words, fix
):
    def compute(device, dtype):
        if dtype not in [getattr(torch, trial.DTYPES[word]) for word in works]:
            raise RuntimeError("no kernel image is available")

    t4 = SimpleNamespace(name="Tesla T4", total_memory=16_000_000_000, major=7, minor=5)
    monkeypatch.setattr(trial, "compute", compute)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: t4)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (15_000_000_000, t4.total_memory))
    gpu = trial.check_device(trial.failed_device("cuda:0", default, "fp16"))
    assert (gpu.status, gpu.found, gpu.fix) == (status, words, fix)
    assert gpu.facts["capability"] == "7.5" and gpu.facts["works"] == works


@pytest.mark.parametrize(
    ("facts", "why", "fix"),
    [
        ({"warning": "The driver is too old"}, " (The driver is too old)", "see what 'nvidia-smi' and CUDA_VISIBLE_DE"),
        ({}, "", "see what 'nvidia-smi' and CUDA_VISIBLE_DEVICES say"),
        ({"cuda": None}, " (this build of torch is for the CPU alone)", "install the build of torch for CUDA"),
    ],
)
def test_a_gpu_that_torch_does_not_see_is_a_warning(found, tmp_path, facts, why, fix):
    (tmp_path / "driver").write_text("NVRM version: NVIDIA UNIX x86_64 Kernel Module  450.1  Sat Aug 19 2023\n")
    unseen = found(None, Check("torch", "2.6.0", facts=TORCH | facts))["devices"]
    assert (unseen.status, unseen.found) == ("warning", "an NVIDIA driver is here, but torch sees no GPU" + why)
    assert unseen.fix.startswith(fix)


def test_what_torch_is_built_for_is_reported(monkeypatch):
    monkeypatch.setattr(torch.version, "cuda", "12.4")
    monkeypatch.setattr(torch.backends.cudnn, "is_available", lambda: True)
    monkeypatch.setattr(torch.backends.cudnn, "version", lambda: 90100)
    checked = trial.check_torch()
    assert checked.found == f"{torch.__version__}, CUDA 12.4, cuDNN 90100"
    assert checked.facts["devices"][0] == "cpu"


def test_torchvision_is_not_needed(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    vision = trial.check_torchvision()
    assert (vision.status, vision.found) == ("ok", "not installed, nor needed")


def test_a_package_with_damaged_metadata_is_a_warning_where_torch_works(found, install, tmp_path):
    install("faceplug", "", LOSS)
    info = tmp_path / "site-faceplug" / "faceplug-1.0.dist-info"
    (info / "METADATA").write_text("")
    package = found(None)["package"]
    assert package.status == "warning"
    assert package.found == f"{info} is damaged (ValueError: its METADATA holds no Name and no Version)"


# This process: versions and packages


def test_versions_are_those_of_this_process(found):
    checked = found(None)
    assert checked["python"].facts == {"version": platform.python_version()}
    assert checked["system"].found == platform.platform()
    assert checked["machine"].facts["cores"] >= checked["machine"].facts["usable_cores"] >= 1
    assert checked["packages"].facts["versions"]["torch"] == importlib.metadata.version("torch")
    assert f"numpy {importlib.metadata.version('numpy')}" in checked["packages"].found
    assert "pytest" not in checked["packages"].facts["versions"]  # only the tests need it
    assert to_json(diagnose(LIMIT))["checks"][0] == {
        "name": "facegan", "found": facegan.__version__, "status": "ok", "mend": "",
        "facts": {"version": facegan.__version__},
    }  # fmt: skip


@pytest.mark.parametrize(
    "line",
    [
        "NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.104.05  Sat Aug 19 01:15:15 UTC 2023\n",
        "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  535.104.05  Release Build\n",
    ],
)
def test_the_nvidia_driver_is_reported(found, tmp_path, line):
    (tmp_path / "driver").write_text(line)
    machine = found(None)["machine"]
    assert machine.found.endswith("NVIDIA driver 535.104.05") and machine.facts["nvidia_driver"] == "535.104.05"


@pytest.fixture
def needs(tmp_path, monkeypatch):
    """needs("numpy>=99"): what the installed facegan requires."""

    def make(*lines, version="1.0"):
        for name, required in (("facegan", lines), ("facelib", ())):
            info = tmp_path / f"{name}-{version}.dist-info"
            info.mkdir()
            requires = "".join(f"Requires-Dist: {line}\n" for line in required)
            (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{requires}")
        monkeypatch.syspath_prepend(str(tmp_path))

    return make


def test_a_missing_or_old_package_is_wrong_with_the_command_that_installs_it(needs, found):
    needs("facelib>=2", "no-such-package", "facelib<9", 'facelib>=5; extra == "dev"', "numpy>=1")
    checked = found(None)
    assert checked["packages"].found.startswith("facelib 1.0, no-such-package missing, numpy ")
    assert checked["requirements"].status == "wrong"
    assert checked["requirements"].found == (
        "facelib>=2 is needed, and 1.0 is here; no-such-package is needed, and it is missing"
    )
    assert checked["requirements"].fix == f"run: {PIP} 'facelib>=2' no-such-package"


def test_a_version_that_cannot_be_parsed_is_wrong(needs, found):
    needs("facelib>=1", version="one")
    assert found(None)["requirements"].found == "facelib>=1 is needed, and one is here"


def test_a_facegan_that_is_not_installed_is_a_warning(monkeypatch, tmp_path, found):
    import packaging.markers
    import packaging.requirements  # noqa: F401  (found before the path is emptied)

    monkeypatch.setattr("sys.path", [str(tmp_path)])
    packages = found(None)["packages"]
    assert packages.status == "warning"
    assert packages.found.startswith("facegan is not installed, only found on the path")


# Disk and cache


def test_the_write_speed_is_measured_where_runs_go_and_nothing_is_left(found, workplace):
    here = found(None)["current folder"]
    assert here.status == "ok" and " GB free of " in here.found and here.found.endswith(" MB/s")
    assert here.facts["total_bytes"] == shutil.disk_usage(workplace).total
    assert list(workplace.iterdir()) == []
    (workplace / "runs").mkdir()
    checked = found(None)
    assert "write_bytes_per_second" not in checked["current folder"].facts
    assert checked["runs"].facts["write_bytes_per_second"] > 0
    assert list((workplace / "runs").iterdir()) == []


@pytest.mark.parametrize(("max_seconds", "num_chunks"), [(float("inf"), 8), (0.0, 1)])
def test_at_most_32_mib_are_written_and_less_to_a_slow_disk(found, monkeypatch, max_seconds, num_chunks):
    sizes = []
    monkeypatch.setattr(checks, "MAX_SECONDS", max_seconds)
    monkeypatch.setattr(os, "fsync", lambda file: sizes.append(os.fstat(file).st_size))
    found(None)
    assert sizes == [number * 4 * 2**20 for number in range(1, num_chunks + 1)]


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(errno.ENOSPC, "No space left on device")])
def test_nothing_is_left_when_writing_is_stopped(found, workplace, monkeypatch, error):
    seen = []

    def stop(file):
        seen.append([path.name for path in workplace.iterdir()])
        raise error

    monkeypatch.setattr(os, "fsync", stop)
    if isinstance(error, OSError):
        assert found(None)["current folder"].found.endswith("; cannot be written (No space left on device)")
    else:
        with pytest.raises(KeyboardInterrupt):
            found(None)
    assert seen == [[]]  # not even while it is written
    assert list(workplace.iterdir()) == []


def test_runs_that_cannot_be_written_are_wrong(found, workplace):
    (workplace / "runs").write_text("a file")
    runs = found(None)["runs"]
    assert runs.status == "wrong" and runs.found.endswith("; cannot be written (Not a directory)")
    assert runs.fix == "go to a folder that can be written, or give train --run"


def test_too_little_space_for_a_run_is_wrong(found, workplace):
    needed = shutil.disk_usage(workplace).total + 1
    here = found(None, Check("facegan", facts={"run_bytes": needed}))["current folder"]
    assert here.status == "wrong"
    assert here.found.endswith(f"; a run of the default settings keeps {needed / 1e9:,.1f} GB")


def test_the_cache_is_reported_with_path_and_size(found, cache):
    assert found(None)["cache"].found.startswith(f"{cache}: empty; ")
    (cache / "packed" / "abc").mkdir(parents=True)
    (cache / "packed" / "abc" / "images.npy").write_bytes(bytes(3_000_000))
    (cache / "packed" / "abc" / "index.json").write_bytes(bytes(200_000))
    (cache / "note").write_bytes(bytes(7))
    check = found(None)["cache"]
    assert check.found.startswith(f"{cache}: holds 3 MB (note 0 MB, packed 3 MB); ")
    assert check.found.endswith(" free, can be written")
    assert check.facts["sizes_bytes"] == {"note": 7, "packed": 3_200_000}
    assert check.facts["size_bytes"] == 3_200_007


def test_a_cache_that_does_not_exist_yet_is_not_made(found, cache, monkeypatch):
    monkeypatch.setenv("FACEGAN_CACHE", str(cache / "a" / "b"))
    check = found(None)["cache"]
    assert check.facts["writable"] and check.status == "ok"
    assert list(cache.iterdir()) == []


def test_a_cache_that_cannot_be_written_is_wrong(found, cache, monkeypatch):
    (cache / "file").write_text("")
    monkeypatch.setenv("FACEGAN_CACHE", str(cache / "file" / "cache"))
    check = found(None)["cache"]
    assert (check.status, check.facts["writable"]) == ("wrong", False)
    assert check.found == f"{cache / 'file' / 'cache'} cannot be written (Not a directory)"
    assert check.fix == "set the environment variable FACEGAN_CACHE to a folder that can be written"


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


def test_a_check_that_fails_itself_is_reported_on_one_short_line_without_the_home_folder(found, monkeypatch):
    def fail():
        raise OSError(f"in {Path.home()}/x:\n  gone" + "x" * 400)

    monkeypatch.setattr(checks, "check_cache", fail)
    check = found(None)["cache"]
    assert check.status == "wrong" and check.found.startswith("cannot be checked (OSError: in ~/x: gonexxx")
    assert check.found.endswith("x...)") and len(check.found) < 330


def test_a_failed_check_keeps_its_reason_under_both_keys():
    failed = Check("cuda:0", "does not compute ({why})", "wrong", facts={"default": True}).failed("out of order")
    assert failed.found == "does not compute (out of order)"
    assert failed.facts == {"default": True, "reason": "out of order", "error": "out of order"}
