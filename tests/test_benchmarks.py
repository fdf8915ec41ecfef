"""The benchmarks run and count correctly; no test depends on speed."""

import importlib
import json
import runpy
import sys
from pathlib import Path

import pytest
import torch

from facegan import cli
from facegan.config import DataConfig, resolve
from facegan.data.packed.load import load
from facegan.data.packed.packed_images import is_damaged
from facegan.networks.dcgan import DCGAN
from facegan.training.state import build_state
from facegan.training.step import training_step

FOLDER = Path(__file__).parents[1] / "benchmarks"
COMMANDS = ("textbook", "train_cpu", "train_gpu", "startup", "data", "sampling", "scaling", "profile", "penalty")


@pytest.fixture(autouse=True)
def benchmarks_on_the_path(monkeypatch):
    """Let the benchmarks import one another, as they do when you start one; unload them afterwards."""
    monkeypatch.syspath_prepend(str(FOLDER))
    yield
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", None)).startswith(str(FOLDER)):
            del sys.modules[name]


def start(monkeypatch, name, *arguments):
    monkeypatch.setattr(sys, "argv", [name, *(str(argument) for argument in arguments)])
    runpy.run_path(str(FOLDER / f"{name}.py"), run_name="__main__")


@pytest.fixture
def bound():
    return importlib.import_module("bound")


@pytest.fixture
def turns():
    return importlib.import_module("turns")


@pytest.fixture
def jittered():
    return importlib.import_module("jittered")


@pytest.fixture
def files(jittered, tmp_path):
    return jittered.jpeg_folder(tmp_path / "files", 24, distinct=10)


@pytest.mark.parametrize("name", COMMANDS)
def test_each_benchmark_explains_itself(name, monkeypatch, capsys):
    with pytest.raises(SystemExit) as ended:
        start(monkeypatch, name, "--help")
    assert ended.value.code == 0
    assert f"python benchmarks/{name}.py" in capsys.readouterr().out


def test_a_step_of_the_default_size_is_2_28_gflop_an_image(bound):
    assert bound.flops_an_image(DCGAN(), 64) == pytest.approx(2.28e9, rel=0.005)


@pytest.mark.parametrize("head", ["conv", "linear"])
def test_operations_are_those_that_torch_counts_in_a_real_step(head, bound):
    from torch.utils.flop_counter import FlopCounterMode

    settings = ["resolution=16", f"architecture.head={head}", "architecture.ngf=4", "architecture.ndf=6"]
    config = resolve(settings=[*settings, "train.device=cpu", "architecture.z_dim=5"]).complete()
    device = torch.device("cpu")
    with FlopCounterMode(display=False) as counter:
        training_step(build_state(config, device), torch.zeros(8, 3, 16, 16))
    assert bound.flops_of(config) == counter.get_total_flops() / 8


def test_sides_take_turns_and_every_second_turn_goes_backwards(turns):
    calls = []
    sides = {name: lambda name=name: calls.append(name) or len(calls) for name in "AB"}
    assert turns.alternate(sides, 3) == {"A": [1, 4, 5], "B": [2, 3, 6]}
    assert calls == ["A", "B", "B", "A", "A", "B"]


def test_ratios_are_of_one_turn_and_are_shown_as_median_with_spread(turns):
    found = turns.ratios([2.0, 9.0, 4.0], [1.0, 3.0, 4.0])
    assert found == {"median": 2.0, "least": 1.0, "most": 3.0, "each": [2.0, 3.0, 1.0]}
    assert turns.in_words(found) == "2 [1–3]"


def test_a_process_that_fails_ends_the_benchmark_with_its_last_lines(turns):
    with pytest.raises(SystemExit, match=r"(?s)-c .*failed with exit code 3\nno room"):
        turns.process("-c", "import sys; sys.stderr.write('no room'); sys.exit(3)")


@pytest.mark.parametrize("resident", [[], ["--resident"]])
def test_textbook_counts_the_images_of_an_epoch(files, resident, monkeypatch, capsys):
    size = ["--size", 16, "--width", 4, "--batch-size", 10, "--workers", 0, "--device", "cpu"]
    start(monkeypatch, "textbook", "--data", files, *size, *resident)
    result = json.loads(capsys.readouterr().out)
    assert (result["images"], result["steps"]) == (24, 3)


def test_a_jittered_folder_is_a_valid_packed_folder_of_different_images(jittered, tmp_path):
    path = jittered.packed_folder(tmp_path / "packed", 30, resolution=16, distinct=4)
    packed = load(DataConfig(source=str(path)), resolution=16, channels=3)
    assert len(packed) == len(packed.names) == 30
    assert not is_damaged(packed)
    assert len({each.tobytes() for each in packed.images}) > 20


def test_train_cpu_compares_both_sides_and_writes_json(files, tmp_path, monkeypatch, capsys, turns):
    def here(*command, env=None):
        """Run the same command in this process, which has loaded torch already."""
        capsys.readouterr()
        with monkeypatch.context() as surroundings:
            surroundings.setenv("FACEGAN_CACHE", (env or {}).get("FACEGAN_CACHE", ""))
            words = [str(word) for word in command]
            if words[:2] == ["-m", "facegan"]:
                with pytest.raises(SystemExit) as ended:
                    cli.main(words[2:])
                assert not ended.value.code
            else:
                start(surroundings, "textbook", *words[1:])
        return turns.Spent(2.0, 1.5, 100.0, capsys.readouterr().out)

    monkeypatch.setattr(turns, "process", here)
    size = ["--size", 16, "--width", 4, "--batch-size", 8, "--product", 64, "--threads", 1, "--workers", 0]
    start(
        monkeypatch, "train_cpu", "--data", files, *size, "--steps", 2, "--turns", 1, "--out", tmp_path,
        "--variant", "train.channels_last=false",
    )  # fmt: skip
    assert "over textbook" in capsys.readouterr().out
    result = json.loads((tmp_path / "train_cpu.json").read_text())
    assert list(result["sides"]) == [
        "textbook", "facegan, first run", "facegan, packed", "facegan, train.channels_last=false"
    ]  # fmt: skip
    packed = result["sides"]["facegan, packed"]
    assert packed["images_per_second"]["median"] == 2 * 8 / 2.0
    assert packed["over"]["textbook"]["median"] == 1.0
    share = 8.0 * result["flops_an_image"] / result["flops_a_second"]["product"]["median"]
    assert result["shares"]["product"]["facegan, packed"]["median"] == pytest.approx(share, rel=1e-3)
    assert torch.__version__.startswith(result["environment"]["torch"])


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_train_gpu_refuses_in_one_line_where_there_is_no_device(monkeypatch, capsys):
    with pytest.raises(SystemExit) as ended:
        start(monkeypatch, "train_gpu")
    assert ended.value.code == 2
    assert capsys.readouterr().err == (
        "train_gpu: torch sees no CUDA device here; train_cpu.py measures training on the CPU\n"
    )


def test_profile_separates_convolutions_and_its_kinds_add_up_to_the_step(jittered, tmp_path, monkeypatch):
    data = jittered.packed_folder(tmp_path / "packed", 24, resolution=16, distinct=4)
    small = ["resolution=16", "architecture.ngf=4", "architecture.ndf=4", "train.batch_size=8"]
    chosen = [word for setting in small for word in ("--set", setting)]
    trace = tmp_path / "trace.json"
    where = ["--data", data, "--out", tmp_path, "--trace", trace]
    start(monkeypatch, "profile", *where, "--device", "cpu", "--steps", 2, "--turns", 1, *chosen)
    kinds = json.loads((tmp_path / "profile.json").read_text())["kinds"]
    assert {"convolution, forward", "convolution, by input", "convolution, by weights", "optimizer"} <= set(kinds)
    assert sum(each["share"]["median"] for each in kinds.values()) == pytest.approx(1, abs=1e-3)
    assert json.loads(trace.read_text())["traceEvents"]


def test_profile_does_not_hide_the_standard_librarys_module(monkeypatch):
    monkeypatch.delitem(sys.modules, "profile", raising=False)
    assert hasattr(importlib.import_module("profile"), "Profile")


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("sm90_xmma_fprop_implicit_gemm_bf16bf16_nhwckrsc", "convolution, forward"),
        ("sm90_xmma_dgrad_implicit_gemm_bf16bf16_nhwckrsc", "convolution, by input"),
        ("cutlass_tensorop_bf16_s16816wgrad_optimized", "convolution, by weights"),
        ("void cudnn::bn_fw_tr_1C11_kernel_NCHW<float>", "batch norm"),
        ("void multi_tensor_apply_kernel<FusedAdamMathFunctor<float>>", "optimizer"),
        ("void vectorized_elementwise_kernel<4, leaky_relu_kernel>", "activations"),
        ("void indexSelectLargeIndex<unsigned char>", "data"),
    ],
)
def test_kernels_are_sorted_by_their_names(name, kind):
    assert importlib.import_module("kinds").kind_of(name) == kind


def test_a_device_is_idle_while_no_kernel_runs():
    watch = importlib.import_module("kinds").Kernels()
    begins = {"fprop": (10, 5), "leaky_relu": (12, 2), "wgrad": (18, 4)}  # microseconds; two run concurrently
    watch.trace = {"traceEvents": [
        {"cat": "kernel", "name": name, "ts": begin, "dur": length} for name, (begin, length) in begins.items()
    ] + [{"cat": "cpu_op", "name": "aten::mm", "ts": 0, "dur": 99}]}  # fmt: skip
    assert {kind: round(1e6 * seconds) for kind, seconds in watch.seconds().items()} == {
        "convolution, forward": 5, "activations": 2, "convolution, by weights": 4, "between operations": 3,
    }  # fmt: skip
