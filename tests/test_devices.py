import pytest
import torch

from facegan.devices import resolve_device
from facegan.errors import ConfigError


def test_devices_that_are_not_there_are_refused():
    assert resolve_device("cpu") == torch.device("cpu")
    assert resolve_device("auto").type in ("cpu", "cuda", "mps")
    with pytest.raises(ConfigError) as refusal:
        resolve_device("cuda:99")
    assert str(refusal.value) == (
        f"--device cuda:99: torch {torch.__version__} sees {torch.cuda.device_count()} CUDA devices here"
    )
    if not torch.backends.mps.is_available():
        with pytest.raises(ConfigError) as refusal:
            resolve_device("mps")
        assert str(refusal.value) == f"--device mps: torch {torch.__version__} sees no Apple GPU here"
