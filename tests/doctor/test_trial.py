"""Real faults: packages on the path that fail, kill the interpreter or hang when they are imported."""

import sys
from pathlib import Path

import pytest
import torch

from facegan.doctor import trial
from facegan.doctor.trial import Findings, look_at_devices, look_at_plugins, look_at_torch, run

LIMIT = 300.0
FAULTS = {
    "raise ImportError('DLL load failed')": "ImportError: DLL load failed",
    "raise OSError('libcudart.so.12: cannot open shared object file')":
        "OSError: libcudart.so.12: cannot open shared object file",
    "raise SystemExit(3)": "SystemExit: 3",
    "import os; os._exit(0)": "ended the interpreter",
    "import os; os._exit(7)": "ended the interpreter with exit code 7",
    "import sys; print('no GPU', file=sys.stderr, flush=True); import os; os._exit(7)":
        "ended the interpreter with exit code 7: no GPU",
    "import os; os.abort()": "killed the interpreter (SIGABRT)",
    "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)": "killed the interpreter (SIGSEGV)",
    "print('{\"end\": \"torch\"}'); version = 1": "AttributeError: module 'torch' has no attribute 'cuda'",
}  # fmt: skip


@pytest.mark.parametrize(("source", "why"), FAULTS.items(), ids=[str(number) for number in range(len(FAULTS))])
def test_torch_that_fails_or_kills_is_told_with_its_reason_and_its_mend(package, source, why):
    package("torch", source)
    found = run(LIMIT)
    (check,) = look_at_torch(found)
    assert check.status == "wrong"
    assert check.found == f"does not work, so that neither devices nor plugins were tried: {why}"
    assert check.mend == "run: python -m pip install --upgrade --force-reinstall torch"
    assert (look_at_devices(found), look_at_plugins(found), found.needed_bytes) == ([], [], 0)


def test_torch_that_hangs_is_ended_after_the_limit(package):
    package("torch", "import time\nwhile True: time.sleep(1)")
    (check,) = look_at_torch(run(0.7))
    assert check.found.endswith(": did not return within 0.7 seconds")


def test_missing_torch_is_told(tmp_path, monkeypatch):
    site = tmp_path / "site"
    site.mkdir()
    folders = [Path(folder) for folder in sys.path]
    packages = [folder for folder in folders if folder.name == "site-packages"]
    for path in [path for folder in packages for path in folder.iterdir() if path.name != "torch"]:
        (site / path.name).symlink_to(path)
    monkeypatch.setattr(sys, "path", [*(folder for folder in folders if folder not in packages), site])
    (check,) = look_at_torch(run(LIMIT))
    assert check.found.endswith(": ModuleNotFoundError: No module named 'torch'")


def test_python_that_cannot_start_is_told(monkeypatch):
    monkeypatch.setattr(trial, "START", "raise SystemExit('no such module')")
    (check,) = look_at_torch(run(LIMIT))
    assert check.found.endswith(": ended the interpreter with exit code 1: no such module")


LOSS = {"facegan.loss": {"mine": "faceplug:Mine"}}


def test_faults_of_torchvision_and_of_plugins_are_warnings_and_spoil_nothing_else(package, install):
    package("torchvision", "raise RuntimeError('operator torchvision::nms does not exist')")
    install("faceplug", "raise SystemExit('not today')", LOSS)
    found = run(LIMIT)
    first, torchvision = look_at_torch(found)
    assert first.found.startswith(f"{torch.__version__}, ")
    assert torchvision.status == "warning"
    assert torchvision.found.endswith(
        f" does not fit torch {torch.__version__} (RuntimeError: operator torchvision::nms does not exist); "
        "facegan does not use it, other tools do"
    )
    assert torchvision.mend == "run: python -m pip install --upgrade --force-reinstall torch torchvision"
    plugins, mine = look_at_plugins(found)
    assert plugins.found.endswith(" built in, 1 installed; 1 cannot be loaded")
    assert (mine.name, mine.status) == ("loss 'mine'", "warning")
    assert mine.found == "of faceplug 1.0 cannot be loaded (not today)"
    assert mine.mend == "run: python -m pip install --upgrade faceplug; or: python -m pip uninstall faceplug"
    cpu = look_at_devices(found)[0]
    assert (cpu.name, cpu.status) == ("cpu", "ok")
    assert found.needed_bytes > 10**8


# As much of torch as can be imported at once, and nothing else of it
SLIGHT_TORCH = """
from types import SimpleNamespace as Space
__version__ = "2.6.0"
version = Space(cuda=None, hip=None)
cuda = Space(is_available=lambda: False, device_count=lambda: 0)
no = Space(is_available=lambda: False)
backends = Space(cudnn=no, mps=no)
"""


def test_what_kills_the_interpreter_after_torch_spoils_nothing_else(package, install):
    package("torch", SLIGHT_TORCH)
    package("torchvision", "import os; os.abort()")
    install("faceplug", "import os; os._exit(9)", {"facegan.command": {"mine": "faceplug:mine"}})
    install("otherplug", "mine = 1", {"facegan.command": {"other": "otherplug:mine"}})
    found = run(LIMIT)
    first, facegan, torchvision = look_at_torch(found)
    assert (first.status, first.found) == ("ok", "2.6.0, for the CPU alone")
    assert (facegan.status, facegan.found[:14]) == ("wrong", "cannot start: ")
    assert "does not fit torch 2.6.0 (killed the interpreter (SIGABRT))" in torchvision.found
    broken = {each.name: each for each in look_at_plugins(found)}
    assert broken["command 'mine'"].found == (
        "of faceplug 1.0 cannot be loaded (ended the interpreter with exit code 9)"
    )
    assert "command 'other'" not in broken and "command 'train'" not in broken
    assert broken["loss 'saturating'"].status == "wrong"  # it is ours, and needs more of torch than this


def test_torch_that_fails_at_its_devices_is_wrong(package):
    package("torch", SLIGHT_TORCH + "cuda.device_count = lambda: 1 / 0\n")
    (check,) = look_at_torch(run(LIMIT))
    assert check.status == "wrong"
    assert check.found.endswith(": ended the interpreter with exit code 1: ZeroDivisionError: division by zero")


def test_crash_at_the_very_end_is_nobodys_fault(package):
    package("torch", SLIGHT_TORCH + "import atexit, os\natexit.register(os.abort)\n")
    package("torchvision", "")
    found = run(LIMIT)
    assert found.torch_works
    assert found.of("torchvision") == {"version": "of no version"}
    assert found.of("command 'train'") == {"reason": None}


def test_damaged_package_is_named_before_the_torch_that_stumbles_over_it(package, install, tmp_path):
    package("torch", "import importlib.metadata as all; all.entry_points(group='torch.backends')")
    install("faceplug", "", LOSS)
    info = tmp_path / "site-faceplug" / "faceplug-1.0.dist-info"
    (info / "entry_points.txt").write_bytes(b"\xff")
    damaged, check = look_at_torch(run(LIMIT))
    assert (damaged.name, damaged.status, check.status) == ("package", "wrong", "wrong")
    assert damaged.found.startswith(f"{info} is damaged (UnicodeDecodeError: ")
    assert damaged.mend == "reinstall that package, or remove the folder"
    assert check.mend == "mend the damaged package first"


@pytest.fixture
def tried(monkeypatch):
    """tried(**ANSWERS): findings of a machine where torch works and, but for the answers given, all else."""
    monkeypatch.setattr(trial, "nvidia_driver", lambda: "")
    monkeypatch.setattr(trial.shutil, "which", lambda name: None)

    def make(**answers):
        usual = {
            "torch": {
                "version": "2.6.0", "cuda": "12.4", "hip": None, "cudnn": 90100, "num_cuda_devices": 0, "warning": "",
            },
            "facegan": {"device": "cpu", "precision": {"cpu": "fp32", "cuda:0": "fp16"}, "run_bytes": 1},
            "torchvision": {"version": None},
        }  # fmt: skip
        return Findings(usual | {name.replace("_", " "): answer for name, answer in answers.items()})

    return make


def gpu(**changes):
    return {
        "device cuda:0": {
            "name": "Tesla T4", "capability": "7.5", "memory_bytes": 16e9, "free_bytes": 15e9,
            "works": ["fp32", "fp16"], "fails": {"bf16": "RuntimeError: no"}, **changes,
        }
    }  # fmt: skip


def on_gpu(tried, **changes):
    found = tried(**gpu(**changes))
    found.answers["facegan"]["device"] = "cuda:0"
    return look_at_devices(found)[0]


def test_torchvision_is_not_needed(tried):
    assert look_at_torch(tried())[1].found == "not installed, nor needed"


def test_what_torch_is_built_for_is_told(tried):
    assert look_at_torch(tried())[0].found == "2.6.0, CUDA 12.4, cuDNN 90100"


def test_facegan_that_cannot_be_imported_is_wrong(tried):
    check = look_at_torch(tried(facegan={"error": "ImportError: numpy.core.multiarray failed to import"}))[1]
    assert (check.name, check.status) == ("facegan", "wrong")
    assert check.found == "cannot start: ImportError: numpy.core.multiarray failed to import"


def test_gpu_is_told_with_memory_capability_and_the_precision_that_is_chosen(tried):
    check = on_gpu(tried)
    assert (check.name, check.status) == ("cuda:0", "ok")
    assert check.found == (
        "Tesla T4, 16.0 GB of memory (15.0 GB free), compute capability 7.5, computes in fp32, fp16, "
        "precision=auto is fp16, device=auto is this"
    )


def test_default_device_that_does_not_compute_is_wrong_and_another_one_a_warning(tried):
    nothing = {"works": [], "fails": {"fp32": "RuntimeError: no kernel image is available"}}
    check = on_gpu(tried, **nothing)
    assert check.status == "wrong"
    assert check.found == "does not compute (RuntimeError: no kernel image is available)"
    assert check.mend == "install a build of torch for this device, or give --device cpu"
    assert look_at_devices(tried(**gpu(**nothing)))[0].status == "warning"


def test_device_that_fails_in_the_precision_that_is_chosen_is_wrong(tried):
    check = on_gpu(tried, works=["fp32"], fails={"fp16": "RuntimeError: no"})
    assert check.status == "wrong"
    assert check.found.endswith(", but that fails (RuntimeError: no)")
    assert check.mend == "give train --precision fp32"


def test_gpu_that_torch_does_not_see_is_a_warning(tried, monkeypatch):
    monkeypatch.setattr(trial, "nvidia_driver", lambda: "450.1")
    found = tried()
    found.answers["torch"]["warning"] = "The NVIDIA driver on your system is too old"
    (check,) = look_at_devices(found)
    assert check.status == "warning"
    assert check.found == (
        "an NVIDIA driver is here, but torch sees no GPU (The NVIDIA driver on your system is too old)"
    )
    found.answers["torch"] |= {"warning": "", "cuda": None}
    (check,) = look_at_devices(found)
    assert check.found.endswith(" (this build of torch is for the CPU alone)")
    assert check.mend == "install the build of torch for CUDA"
    assert look_at_torch(found)[0].found == "2.6.0, cuDNN 90100"


def test_package_whose_metadata_is_damaged_is_a_warning_where_torch_works(tried, install, tmp_path):
    install("faceplug", "", LOSS)
    info = tmp_path / "site-faceplug" / "faceplug-1.0.dist-info"
    (info / "METADATA").write_text("")
    check = look_at_torch(tried())[-1]
    assert check.status == "warning"
    assert check.found == f"{info} is damaged (ValueError: its METADATA holds no Name and no Version)"


def test_two_owners_of_one_name_are_a_warning(tried, install):
    install("faceplug", "", LOSS)
    install("otherplug", "", LOSS)
    found = tried(**{"loss 'mine'": {"reason": "claimed by otherplug 1.0 and faceplug 1.0"}})
    mine = next(check for check in look_at_plugins(found) if check.name == "loss 'mine'")
    assert (mine.status, mine.found) == ("warning", "claimed by otherplug 1.0 and faceplug 1.0")
    assert mine.mend == "uninstall one of them"
