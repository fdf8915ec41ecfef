"""Fixtures of all tests; torch is imported in them, since the process that only distributes tests needs none."""

import functools
import gc
import hashlib
import itertools
import json
import shutil
import signal
import sys

import numpy as np
import pytest

import facegan.downloads.inception_weights
from facegan import plugins
from facegan.config import resolve
from webserver import server, web_server  # noqa: F401  (fixtures for all)

TINY = (
    "resolution=16",
    "architecture.z_dim=12",
    "architecture.ngf=8",
    "architecture.ndf=8",
    "train.batch_size=8",
    "train.steps=3",
    "train.device=cpu",
    "train.precision=fp32",
)
NUMBERS = itertools.count()

gc.disable()  # imports make nothing that could be collected


def pytest_configure():
    """Give Ctrl-C its usual meaning: a shell's background jobs, and the processes they start, would ignore it."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_finish(session):
    """In the processes of `pytest -n`, never search for garbage among what was imported."""
    gc.enable()
    if hasattr(session.config, "workerinput"):
        gc.freeze()


def pytest_unconfigure():
    """Let the interpreter end in good order."""
    gc.unfreeze()


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    """Small tensors gain nothing from more, and workers of a parallel test run would fight for the cores."""
    import torch

    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    """A cache of the test's own, removed after it."""
    folder = tmp_path_factory.getbasetemp() / f"cache-{next(NUMBERS)}"  # mktemp would list all others first
    folder.mkdir()
    monkeypatch.setenv("FACEGAN_CACHE", str(folder))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(autouse=True)
def small_curves(request, monkeypatch):
    """Draw a run's losses as an empty figure: the real ones take longer than a tiny training.

    Tests marked `curves` see the real ones, and so do runs that several tests share.
    """
    if "curves" not in request.keywords:
        from matplotlib.figure import Figure

        monkeypatch.setattr("facegan.plots.plot_curves", lambda _: Figure(figsize=(1, 1)))


@pytest.fixture(autouse=True)
def short_pace(request, monkeypatch):
    """Time one step of two images of each kind where a plan would time seconds; tests marked `pace` do that."""
    if "pace" not in request.keywords:
        from facegan.training import plan

        def measure(*arguments, seconds=None, real=plan.measure_pace):
            return real(*arguments, seconds=0.0)

        monkeypatch.setattr(plan, "measure_pace", measure)


@pytest.fixture(scope="session")
def inception_file(tmp_path_factory):
    """A file like the published weights of Inception: drawn, with the real layout."""
    import torch

    from inception import drawn_weights

    path = tmp_path_factory.mktemp("weights") / "drawn.pth"
    torch.save(drawn_weights(), path)
    return path


@pytest.fixture(scope="session")
def _inception_row(inception_file):
    with inception_file.open("rb") as file:
        checksum = "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()
    about = {"checksum": checksum, "size_bytes": inception_file.stat().st_size}
    return facegan.downloads.inception_weights.INCEPTION.model_copy(update=about)


@pytest.fixture
def inception_weights(inception_file, _inception_row, monkeypatch):
    """The same file, and its digest stands for the published one."""
    monkeypatch.setattr(facegan.downloads.inception_weights, "INCEPTION", _inception_row)
    return inception_file


@pytest.fixture(scope="session")
def make_store():
    """make_store(parent, num=20) -> a folder of packed images of noise, ready to be a run's data.source."""

    import pyarrow
    import pyarrow.parquet

    def make(parent, num=20, resolution=16, channels=3, *, seed=0, at="pictures"):
        folder = parent / at
        folder.mkdir(exist_ok=True)
        rng = np.random.default_rng(seed)
        # Blocks of 4x4 and a little noise: images with structure, and no two alike.
        blocks = rng.integers(0, 256, (num, channels, resolution // 4, resolution // 4))
        pixels = np.kron(blocks, np.ones((1, 1, 4, 4))) * 0.9 + rng.uniform(0, 25, (num, channels, *[resolution] * 2))
        pixels = pixels.clip(0, 255).astype(np.uint8)
        np.save(folder / "images.npy", pixels)
        index = {
            "layout": 2,
            "packing": 2,
            "source": "noise",
            "selection": "all",
            "num_images": num,
            "num_skipped": 0,
            "passed_over": {},
            "crop": "none",
            "filter": "bicubic",
            "draft": False,
            "resolution": resolution,
            "channels": channels,
            "fingerprint": "test",
            "digest": hashlib.sha256(pixels.tobytes()).hexdigest(),
            "versions": {},
        }
        (folder / "index.json").write_text(json.dumps(index))
        (folder / "skipped.json").write_text("[]")
        columns = {
            "_name": [f"{number:05d}.png" for number in range(num)],
            "_sha256": [b"%032d" % n for n in range(num)],
        }
        pyarrow.parquet.write_table(pyarrow.table(columns), folder / "pictures.parquet")
        return folder

    return make


@pytest.fixture
def store(make_store, tmp_path):
    """store(num=20) -> the same in the test's own folder."""
    return functools.partial(make_store, tmp_path)


@pytest.fixture
def faces():
    """faces(num, seed) -> uint8 (num, 3, 16, 16): draws of one distribution, smooth in parts, no two alike."""

    def make(num, seed):
        rng = np.random.default_rng(seed)
        blocks = np.kron(rng.normal(size=(num, 3, 4, 4)), np.ones((1, 1, 4, 4)))
        pixels = 128 + 40 * blocks + 25 * rng.normal(size=(num, 3, 16, 16))
        return pixels.clip(0, 255).astype(np.uint8)

    return make


@pytest.fixture(scope="session")
def make_tiny():
    """make_tiny("train.steps=5", data=folder) -> a complete configuration that trains in a blink."""

    def make(*settings, preset=None, data):
        other_length = any(line.startswith(("train.epochs", "train.kimg")) for line in settings)
        base = [line for line in TINY if not (other_length and line.startswith("train.steps"))]
        config = resolve(preset=preset, settings=[*base, f"data.source={json.dumps(str(data))}", *settings])
        return config.complete()

    return make


@pytest.fixture
def tiny(make_tiny, store):
    """tiny("train.steps=5", preset="dcgan-linear") -> the same, on images of the test's own."""

    def make(*settings, preset=None, data=None):
        return make_tiny(*settings, preset=preset, data=data or store())

    return make


@pytest.fixture
def install(tmp_path, monkeypatch):
    """install("faceplug", SOURCE, {"facegan.loss": {"mine": "faceplug:Mine"}}): a package, as pip would leave it."""
    installed = []

    def make(package, source, points, version="1.0"):
        site = tmp_path / f"site-{package}"
        info = site / f"{package}-{version}.dist-info"
        info.mkdir(parents=True)
        (site / f"{package}.py").write_text(source)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n")
        lines = [f"[{group}]\n" + "".join(f"{k} = {v}\n" for k, v in names.items()) for group, names in points.items()]
        (info / "entry_points.txt").write_text("\n".join(lines))
        monkeypatch.syspath_prepend(str(site))
        plugins.claims.cache_clear()
        installed.append(package)

    yield make
    for package in installed:
        sys.modules.pop(package, None)
    plugins.claims.cache_clear()
