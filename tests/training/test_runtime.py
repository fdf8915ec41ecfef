import ctypes
import json
import resource
import sys
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from facegan.errors import ConfigError, TrainingError
from facegan.storage.run_dir import RunDir
from facegan.training import loop, runtime
from facegan.training.distributed import ALONE
from facegan.training.runtime import configured_torch, cpu_quota, retained_memory, select_device
from facegan.training.trainer import train

CPU, CUDA = torch.device("cpu"), torch.device("cuda")
PRODUCTS = hasattr(torch.backends.mkldnn, "conv")  # since torch 2.9: products in bf16


@pytest.fixture
def seen(monkeypatch):
    """Torch's global settings in each step: deterministic or not, number of threads, oneDNN's products."""
    found, step = [], loop.training_step

    def watch(*arguments):
        products = torch.backends.mkldnn.conv.fp32_precision if PRODUCTS else None
        found.append((torch.are_deterministic_algorithms_enabled(), torch.get_num_threads(), products))
        step(*arguments)

    monkeypatch.setattr(loop, "training_step", watch)
    monkeypatch.setattr("facegan.training.trainer.finish", lambda *arguments, **options: None)
    return found


def test_settings_of_torch_hold_within_the_run_alone(tiny, tmp_path, monkeypatch, seen):
    threads = torch.get_num_threads()
    usual = torch.backends.mkldnn.conv.fp32_precision if PRODUCTS else None
    wanted = ("train.deterministic=true", "train.threads=3", *(("train.fp32_precision=bf16",) if PRODUCTS else ()))
    train(tiny(*wanted, "train.steps=1"), RunDir(tmp_path / "set"))
    assert torch.get_num_threads() == threads
    monkeypatch.setattr(runtime, "cpu_quota", lambda: 1)
    train(tiny("train.steps=1"), RunDir(tmp_path / "usual"))
    assert seen == [(True, 3, "bf16" if PRODUCTS else None), (False, 1, usual)]
    reported = [json.loads((tmp_path / name / "environment.json").read_text())["threads"] for name in ("set", "usual")]
    assert reported == [3, 1]


@pytest.mark.parametrize(
    ("setting", "error", "message"),
    [
        (
            "train.deterministic=true",
            RuntimeError(
                "grid_sampler_2d_backward_cuda does not have a deterministic implementation, but you set "
                "'torch.use_deterministic_algorithms(True)'. You can turn off"
            ),
            "train.deterministic: grid_sampler_2d_backward_cuda does not have a deterministic implementation, but you "
            "set 'torch.use_deterministic_algorithms(True)'; train without it, or on the CPU",
        ),
        (
            "train.compile=true",
            type("CompilerError", (RuntimeError,), {"__module__": "torch._inductor.exc"})("No working\nC++ compiler"),
            "train.compile: torch.compile failed (No working C++ compiler); train without it",
        ),
    ],
)
def test_what_torch_cannot_do_is_one_line_that_names_the_setting(tiny, setting, error, message):
    with pytest.raises(TrainingError) as refusal, configured_torch(tiny(setting), CPU):
        raise error
    assert str(refusal.value) == message
    for config, other in ((tiny(), error), (tiny(setting), RuntimeError("shapes differ"))):
        with pytest.raises(RuntimeError) as raised, configured_torch(config, CPU):
            raise other
        assert raised.value is other
    assert not torch.are_deterministic_algorithms_enabled()


@pytest.fixture
def cuda_here(monkeypatch):
    """Any device that is named is taken to be here."""
    monkeypatch.setattr("facegan.devices.resolve_device", torch.device)


@pytest.mark.parametrize(
    ("precision", "device", "message"),
    [
        ("tf32", "cpu", "train.fp32_precision=tf32: is for cuda, and this is cpu; ieee is for every device"),
        ("bf16", "cuda", "train.fp32_precision=bf16: is for cpu, and this is cuda; ieee is for every device"),
    ],
)
def test_products_that_a_device_lacks_are_refused(tiny, cuda_here, precision, device, message):
    with pytest.raises(ConfigError) as refusal:
        select_device(tiny(f"train.fp32_precision={precision}"), ALONE, device)
    assert str(refusal.value) == message
    assert select_device(tiny(), ALONE, device) == torch.device(device)


def test_older_torch_says_which_one_has_bf16_products(tiny, monkeypatch):
    monkeypatch.setattr(torch.backends, "mkldnn", object())
    with pytest.raises(ConfigError, match=r"train\.fp32_precision=bf16: torch .* lacks it; use torch 2\.9, or ieee"):
        select_device(tiny("train.fp32_precision=bf16"), ALONE)


@pytest.mark.parametrize(("precision", "allowed"), [("ieee", False), ("tf32", True)])
def test_cuda_multiplies_as_asked_within_the_block_alone(tiny, precision, allowed):
    def now():
        cudnn = torch.backends.cudnn
        return torch.backends.cuda.matmul.allow_tf32, cudnn.allow_tf32, cudnn.benchmark

    before = now()
    with configured_torch(tiny(f"train.fp32_precision={precision}"), CUDA):
        assert now() == (allowed, allowed, True)
    assert now() == before


def faults_of_large_tensors():
    """Pages that the system gives for tensors of 40 MB, one after the other, once the heap has found its size."""
    for _ in range(10):
        torch.ones(10_000_000)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(3):
        torch.ones(10_000_000)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="needs glibc")
def test_freed_memory_is_retained_within_the_block():
    with retained_memory():
        assert faults_of_large_tensors() < 1000  # 3 tensors are 29,298 pages


def test_memory_is_handled_as_usual_after_the_block(monkeypatch):
    calls = []
    library = SimpleNamespace(mallopt=lambda *call: calls.append(call), malloc_trim=lambda pad: calls.append(pad))
    monkeypatch.setattr(runtime.ctypes, "CDLL", lambda _: library)
    with retained_memory():
        kept = [*calls]
    trim_threshold, mmap_max = -1, -4  # of malloc.h
    assert kept == [(trim_threshold, 2**31 - 1), (mmap_max, 0)]
    assert calls[2:] == [(trim_threshold, 128 * 1024), (mmap_max, 65536), 0]


def test_without_glibc_memory_is_handled_as_usual(monkeypatch):
    monkeypatch.setattr(runtime.ctypes, "CDLL", lambda _: object())
    with retained_memory():
        pass


@pytest.mark.integration
@pytest.mark.filterwarnings("ignore")  # of the compiler's own
def test_training_compiles_g_and_d_and_learns_the_same(tiny, tmp_path, monkeypatch):
    compiled, compile_module = [], nn.Module.compile

    def traced_only(module):  # without a C++ compiler, and in a second
        compiled.append(type(module).__name__)
        compile_module(module, backend="eager")

    monkeypatch.setattr(nn.Module, "compile", traced_only)
    runs = [RunDir(tmp_path / name) for name in ("plain", "compiled")]
    for run, setting in zip(runs, ("false", "true"), strict=True):
        train(tiny("train.steps=2", f"train.compile={setting}"), run)
    assert compiled == ["Generator", "Discriminator"]
    assert runs[0].snapshot(2).read_bytes()[-4096:] == runs[1].snapshot(2).read_bytes()[-4096:]


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"cpu.max": "200000 100000\n"}, 2),
        ({"cpu.max": "150000 100000\n"}, 2),
        ({"cpu.max": "10000 100000\n"}, 1),
        ({"cpu.max": "max 100000\n"}, sys.maxsize),
        ({"cpu/cpu.cfs_quota_us": "300000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 3),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, sys.maxsize),
        ({"cpu.max": "what\n"}, sys.maxsize),
        ({}, sys.maxsize),
    ],
)
def test_a_containers_share_of_the_processors_limits_the_threads(tmp_path, files, expected):
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert cpu_quota(tmp_path) == expected
