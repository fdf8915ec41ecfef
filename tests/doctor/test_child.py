import torch

from facegan.config import RunConfig
from facegan.doctor import child
from facegan.training.state import precision


def test_attempts_begin_with_what_matters_most():
    names = [name for name, _ in child.attempts()]
    assert names[:3] == ["torch", "facegan", "device cpu"]
    assert names[-1].startswith("metric ")
    assert {"torchvision", "command 'doctor'", "loss 'saturating'"} < set(names)


def test_what_auto_chooses_is_what_training_chooses():
    answer = child.try_facegan()
    taken = precision(RunConfig().complete(), torch.device("cpu"))
    assert {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[answer["precision"]["cpu"]] == taken
    assert answer["device"] in answer["precision"]


def test_cpu_computes_in_fp32():
    answer = child.try_device("cpu")
    assert answer["threads"] == torch.get_num_threads()
    assert "fp32" in answer["works"]
    assert sorted([*answer["works"], *answer["fails"]]) == ["bf16", "fp16", "fp32"]


def test_type_in_which_a_device_does_not_compute_is_told_with_its_reason(monkeypatch):
    def refuse(device, dtype):
        if dtype == torch.bfloat16:
            raise RuntimeError("no bf16 here")

    monkeypatch.setattr(child, "_compute", refuse)
    answer = child.try_device("cpu")
    assert answer["works"] == ["fp32", "fp16"]
    assert answer["fails"] == {"bf16": "RuntimeError: no bf16 here"}


def test_device_whose_results_are_not_finite_does_not_compute(monkeypatch):
    monkeypatch.setattr(torch, "randn", lambda *size, device: torch.full(size, torch.inf, device=device))
    assert child.try_device("cpu")["fails"]["fp32"] == "ArithmeticError: gradients are not finite"


def test_torchvision_that_is_not_there_has_no_version(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert child.try_torchvision() == {"version": None}
