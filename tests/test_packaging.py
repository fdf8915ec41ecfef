"""The package that a user installs: built from the source, installed without the source, and complete."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import facegan

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "src" / "facegan"

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel, built without a network."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", folder]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    (path,) = folder.glob("*.whl")
    return path


def test_wheel_has_every_file_of_the_package_its_version_and_its_licence(wheel):
    assert wheel.name == f"facegan-{facegan.__version__}-py3-none-any.whl"
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    source = {path for path in PACKAGE.rglob("*") if path.is_file() and "__pycache__" not in path.parts}
    assert {name for name in names if name.startswith("facegan/")} == {
        path.relative_to(PACKAGE.parent).as_posix() for path in source
    }
    assert f"facegan-{facegan.__version__}.dist-info/licenses/LICENSE" in names


def test_installed_wheel_runs_without_the_source(wheel, tmp_path):
    site = tmp_path / "site"
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", site, wheel]
    subprocess.run(command, check=True, capture_output=True, text=True)
    (scripts,) = [path for path in (site / "bin", site / "Scripts") if path.exists()]
    code = "import facegan.cli; print(facegan.cli.__file__); facegan.cli.main()"
    done = subprocess.run(
        [sys.executable, "-c", code, "train", "--preset", "demo", "--dry-run"],
        env={**os.environ, "PYTHONPATH": str(site)}, cwd=tmp_path, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(str(site))
    assert [path.stem for path in scripts.iterdir()] == ["facegan"]
    assert list(tmp_path.iterdir()) == [site]
