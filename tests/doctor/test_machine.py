import importlib.metadata
import platform

import pytest

import facegan
from facegan.doctor import machine


def test_versions_are_those_of_this_process():
    checks = {check.name: check for check in machine.look()}
    assert checks["facegan"].found == facegan.__version__
    assert platform.python_version() in checks["python"].found
    assert checks["system"].found == platform.platform()
    assert checks["machine"].facts["cores"] >= checks["machine"].facts["usable_cores"] >= 1


def test_every_package_that_facegan_needs_is_told_with_its_version():
    (check,) = machine.look_at_packages()
    assert check.status == "ok"
    assert check.facts["versions"]["torch"] == importlib.metadata.version("torch")
    assert f"numpy {importlib.metadata.version('numpy')}" in check.found
    assert "pytest" not in check.facts["versions"]  # only the tests need it


@pytest.fixture
def needs(tmp_path, monkeypatch):
    """needs("numpy>=99"): what the installed facegan says that it needs."""

    def make(*lines, version="1.0"):
        for name, required in (("facegan", lines), ("facelib", ())):
            info = tmp_path / f"{name}-{version}.dist-info"
            info.mkdir()
            requires = "".join(f"Requires-Dist: {line}\n" for line in required)
            (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{requires}")
        monkeypatch.syspath_prepend(str(tmp_path))

    return make


def test_package_that_is_missing_or_too_old_is_wrong_with_the_command_that_mends_it(needs):
    needs("facelib>=2", "no-such-package", "facelib<9", 'facelib>=5; extra == "dev"', "numpy>=1")
    whole, wrong = machine.look_at_packages()
    assert whole.found.startswith("facelib 1.0, no-such-package missing, numpy ")
    assert (wrong.name, wrong.status) == ("requirements", "wrong")
    assert wrong.found == "facelib>=2 is needed, and 1.0 is here; no-such-package is needed, and it is missing"
    assert wrong.mend == "run: python -m pip install --upgrade --force-reinstall 'facelib>=2' no-such-package"


def test_version_that_is_none_is_wrong(needs):
    needs("facelib>=1", version="one")
    assert machine.look_at_packages()[1].found == "facelib>=1 is needed, and one is here"


def test_facegan_that_is_not_installed_is_a_warning(monkeypatch, tmp_path):
    import packaging.markers
    import packaging.requirements  # noqa: F401  (found before the path is emptied)

    monkeypatch.setattr("sys.path", [str(tmp_path)])
    (check,) = machine.look_at_packages()
    assert check.status == "warning"
    assert check.found.startswith("facegan is not installed, only found on the path")


@pytest.mark.parametrize(
    "line",
    [
        "NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.104.05  Sat Aug 19 01:15:15 UTC 2023\n",
        "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  535.104.05  Release Build\n",
    ],
)
def test_nvidia_driver_is_told(tmp_path, monkeypatch, line):
    monkeypatch.setattr(machine, "DRIVER", tmp_path / "version")
    assert machine.nvidia_driver() == ""
    (tmp_path / "version").write_text(line)
    assert machine.nvidia_driver() == "535.104.05"
    assert machine.look()[-1].found.endswith("NVIDIA driver 535.104.05")
