"""Evaluation from Python: `facegan.evaluate` takes what `facegan evaluate` takes, by the same names."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ..devices import resolve_device
from ..errors import ConfigError, SnapshotError
from ..storage.run_dir import RunDir, find_run
from .choosing import choose, read_settings
from .evaluate import NUM_REAL, Judge, silent
from .measure import Tell
from .reals import Say
from .results import Result


def evaluate(
    model: str | Path | None = None,
    data: str | Path | None = None,
    *,
    real: str | Path | None = None,
    fake: str | Path | None = None,
    metrics: Iterable[str] | None = None,
    settings: Mapping[str, Any] | Iterable[str] = (),
    n: int | None = None,
    num_real: int = NUM_REAL,
    resolution: int | None = None,
    raw: bool = False,
    weights: str | Path | None = None,
    floor: bool = True,
    device: str = "auto",
    seed: int = 0,
    tell: Tell = silent,
    say: Say = lambda _: None,
) -> list[Result]:
    """Judge the faces of a model, or any images; it prints nothing and writes into no run.

    Args:
        model: A snapshot file, a run's folder, or its name under runs/; by default the latest run's.
        data: Real images, instead of those that the model was trained on; cropped as those.
        real: Instead of a model, with `fake`: a source of real images.
        fake: A source of images that are judged.
        metrics: Their keys; by default all that can be measured.
        settings: Of the real images, as `{"data.split": "heldout"}`, and of metrics, by `key.setting`.
        n: Judged images; by default the faces of the seeds 0 to 9,999, or all of `fake`.
        num_real: Real images at most, drawn at random; 0: all.
        resolution: For `real` and `fake`: the size to which both are brought; by default they have one.
        raw: Take the current weights instead of their moving average.
        weights: A file of Inception's weights; by default those of the cache, else fetched.
        floor: Whether real images are measured against real ones, too.
        device: auto, cpu, cuda, cuda:1 or mps.
        seed: Of what is drawn at random.
        tell: Called with what is begun; returns what is called with (done, total).
        say: Called with a line on what is left out, and on what to keep in mind; `print` will do.

    Returns:
        A result for each metric.

    Raises:
        ConfigError, DataError, SnapshotError: A mistake in what was given.
        FaceganError: What the metrics need is not there.
    """
    check_forms(model is not None or data is not None, real, fake, resolution)
    for name, value in (("n", n), ("num_real", num_real or None)):
        if value is not None and value < 2:
            raise ConfigError(f"{name} is {value}; it must be at least 2")
    wanted = read_settings(settings)
    judge = Judge(
        choice=choose(metrics, wanted.metrics, say),
        settings=wanted,
        num=n,
        num_real=num_real,
        seed=seed,
        device=str(resolve_device(device)),
        weights=None if weights is None else Path(weights),
        floor=floor,
        tell=tell,
        say=say,
    )
    if real is not None:
        return judge.pictures(str(real), str(fake), resolution=resolution)
    snapshot = Path(model) if model is not None and Path(model).is_file() else newest(find_run(model))
    return judge.model(snapshot, None if data is None else str(data), raw=raw)


def check_forms(model: bool, real: object, fake: object, resolution: int | None) -> None:
    """Refuse what belongs to different evaluations: of a model, or of two sources.

    Raises:
        ConfigError: Both are meant, or one source is missing.
    """
    if real is None and fake is None:
        if resolution is not None:
            raise ConfigError(f"--resolution {resolution}: is for --real A --fake B; a model has its own")
        return
    if real is None or fake is None:
        raise ConfigError(f"--{'fake' if real is None else 'real'}: give --real A and --fake B, both")
    if model:
        raise ConfigError("--real, --fake: are instead of a MODEL and its --data; give either")


def newest(run: RunDir) -> Path:
    """The newest snapshot of a run; raises SnapshotError when there is none."""
    found = run.latest("snapshots")
    if found is None:
        raise SnapshotError(f"{run.path}: holds no snapshot yet; train it further with 'facegan resume {run.path}'")
    return found
