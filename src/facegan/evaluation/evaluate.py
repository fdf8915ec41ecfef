"""From a checkpoint, or from two sources of images, to results."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from .. import plugins
from ..checkpoint import Checkpoint, find_checkpoint
from ..config import build, settings_layer
from ..data.image_set import ImageSet, held_out, training_set
from ..devices import resolve_device
from ..errors import ConfigError, DataError, FaceganError, PluginError
from ..features import Extractor
from ..messages import counted, nearest, printable, quoted
from ..reporter import SILENT, Callbacks, Progress, Reporter
from ..sampling import generated
from .extractors import make_extractor
from .measure import Floors, measure
from .metric import PIXELS, Metric, Pair, Sample
from .results import Result
from .sources import load_sources

NUM_FAKE = 10_000
NUM_REAL = 50_000
FEW = 2048  # images: below, a covariance of Inception's 2,048 features is singular and FID is hardly meaningful
DATA_SETTINGS = ("split", "where", "limit", "options", "crop", "filter", "draft")  # which real images, how cropped


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
    tell: Callable[[str], Progress] | None = None,
    say: Callable[[str], None] | None = None,
) -> list[Result]:
    """Evaluate the faces of a model, or any images; print nothing and write into no run.

    Args:
        model: A snapshot file, a run's folder, or its name under runs/; by default the latest run's.
        data: Real images, instead of those that the model was trained on; cropped as those.
        real: Instead of a model: a source of real images.
        fake: With `real`: a source of images to evaluate.
        metrics: Their keys; by default all that can be measured.
        settings: Of the real images, as `{"data.split": "heldout"}`, and of metrics, by `key.setting`.
        n: Evaluated images; by default the faces of the seeds 0 to 9,999, or all of `fake`.
        num_real: Real images at most, drawn at random; 0: all.
        resolution: For `real` and `fake`: the size to which both are brought; by default they have one.
        raw: Take the current weights instead of their moving average.
        weights: A file of Inception's weights; by default those of the cache, else downloaded.
        floor: Whether real images are measured against real ones, too.
        device: auto, cpu, cuda, cuda:1 or mps.
        seed: Seed of whatever is drawn at random, except the faces.
        tell: Called with each task as it begins; returns a callback (done, total).
        say: Called with a line about each metric left out and each warning; `print` will do.

    Raises:
        ConfigError, DataError, SnapshotError, FaceganError: An argument is wrong, or weights are missing.
    """
    check_forms(model is not None or data is not None, real, fake, resolution)
    evaluator = make_evaluator(
        metrics, settings, num_fake=n, num_real=num_real, seed=seed, raw=raw, floor=floor, weights=weights,
        device=device, reporter=Callbacks(line=say, begin=tell),
    )  # fmt: skip
    if real is not None:
        return evaluator.evaluate_sources(str(real), str(fake), resolution=resolution)
    return evaluator.evaluate_checkpoint(find_checkpoint(model, reporter=evaluator.reporter), data)


def check_forms(model: bool, real: object, fake: object, resolution: int | None) -> None:
    """Raise ConfigError for arguments of both kinds of evaluation, of a model and of two sources, or half of one."""
    if real is None and fake is None:
        if resolution is not None:
            raise ConfigError(f"--resolution {resolution}: is for --real A --fake B; a model has its own")
    elif real is None or fake is None:
        raise ConfigError(f"--{'fake' if real is None else 'real'}: give --real A and --fake B, both")
    elif model:
        raise ConfigError("--real, --fake: are instead of a MODEL and its --data; give either")


@dataclass(frozen=True, kw_only=True)
class Options:
    """The settings of an evaluation, the same for everything that is evaluated."""

    data: Mapping[str, Any] = field(default_factory=dict)  # settings of `data` for the real images
    channels: int | None = None  # for two sources, 3 for colour, 1 for grey; None: as the images are
    num_fake: int | None = None  # None: 10,000 faces of a checkpoint, all images of a source
    num_real: int = NUM_REAL  # at most, drawn at random; 0: all
    seed: int = 0  # of every random choice, except the faces
    raw: bool = False  # take the current weights instead of their moving average
    floor: bool = True  # measure real images against real ones, too
    device: str = "cpu"
    weights: Path | None = None  # of Inception; None: those of the cache, else downloaded ones


def make_evaluator(
    metrics: Iterable[str] | None,
    settings: Mapping[str, Any] | Iterable[str] = (),
    *,
    device: str | None = None,
    weights: str | Path | None = None,
    reporter: Reporter = SILENT,
    **options: Any,
) -> "Evaluator":
    """Build an evaluator from the arguments of `evaluate`; `options` are other fields of `Options`.

    Raises:
        ConfigError: There is no such metric or setting, a value is invalid, or a setting has no effect.
        PluginError: A metric that was named does not load.
    """
    layer = settings_layer(settings)
    data, channels = layer.pop("data", {}), layer.pop("channels", None)
    if channels not in (None, 1, 3):
        raise ConfigError(f"config: channels is {quoted(channels)}; it must be 1 or 3")
    for name, number in (("n", options.get("num_fake")), ("num_real", options.get("num_real") or None)):
        if number is not None and number < 2:
            raise ConfigError(f"{name} is {number}; it must be at least 2")
    chosen = choose_metrics(metrics, layer, reporter)
    if not isinstance(data, Mapping):
        raise ConfigError(f"config: data is {quoted(data)}; it must be a table")
    for key in data:
        if key not in DATA_SETTINGS:
            can = ", ".join(f"data.{each}" for each in DATA_SETTINGS)
            raise ConfigError(f"config: data.{key} has no effect on an evaluation; you can set {can}")
    found = Options(data=data, channels=channels, device=str(resolve_device(device or "auto")), **options)
    return Evaluator(chosen, replace(found, weights=None if weights is None else Path(weights)), reporter=reporter)


def choose_metrics(
    names: Iterable[str] | None, settings: Mapping[str, Mapping[str, Any]], reporter: Reporter = SILENT
) -> dict[str, Metric]:
    """Build metrics from their keys and settings, in the order of measuring.

    Without names these are all there are; a package that does not load is then left out, with a warning.
    """
    known = plugins.names("metric")
    wanted = known if names is None else list(dict.fromkeys(names))
    if not wanted:
        raise ConfigError(f"metrics: none is named; there is: {', '.join(known)}")
    for key, fields in settings.items():
        if key not in known:
            raise ConfigError(f"config: no setting {quoted(key)}; {nearest(key, ['data', 'channels', *known])}")
        if not isinstance(fields, Mapping):
            raise ConfigError(f"config: {key} is {quoted(fields)}; it must be a table")
        if key not in wanted:
            raise ConfigError(
                f"config: {key}.{next(iter(fields), '')} is set, but {key} is not among the metrics "
                f"({', '.join(wanted)}); add it, or leave the setting out"
            )
    metrics: dict[str, Metric] = {}
    for key in wanted:
        try:
            metrics[key] = build(plugins.find("metric", key), settings.get(key, {}), where=key)
        except PluginError as error:
            if names is not None:
                raise
            reporter.warning(str(error))
    return metrics


class Evaluator:
    """Evaluate checkpoints and sources by the same metrics; networks and floors are computed once and shared."""

    def __init__(
        self, metrics: Mapping[str, Metric], options: Options | None = None, *, reporter: Reporter = SILENT
    ) -> None:
        """Take metrics by key."""
        self._metrics, self._options, self.reporter = metrics, options or Options(), reporter
        self._floors: Floors = {}
        self._made: dict[tuple[str, int, int], Extractor | FaceganError] = {}

    def evaluate_checkpoint(self, checkpoint: Checkpoint, source: str | Path | None = None) -> list[Result]:
        """Evaluate the faces of the seeds 0 to num_fake - 1 against the training images, or those of `source`.

        Raises:
            SnapshotError: Its weights do not fit, or its images are not finite.
            DataError: The real images are missing, or nothing can be measured.
            FaceganError: A network that all metrics need cannot be had.
        """
        options, reporter = self._options, self.reporter
        if options.channels is not None:
            raise ConfigError("--set channels: is for --real A --fake B; a model has its own")
        generator = checkpoint.generator(raw=options.raw, device=options.device)
        real = training_set(
            checkpoint, None if source is None else str(source), settings=options.data, reporter=reporter
        )
        unseen = self._held_out(real)
        subject = printable(checkpoint.run_folder.name if checkpoint.run_folder else checkpoint.path.name)
        with generated(generator, options.num_fake or NUM_FAKE, reporter=reporter) as images:
            fake = replace(images, label=f"{subject}, step {checkpoint.step:,}")
            results = self._measure(real, Sample(fake), unseen, checkpoint)
        provenance = {"subject": subject, "step": checkpoint.step, "weights": generator.origin.weights}
        return [
            result.model_copy(update={**provenance, "digests": {**result.digests, "snapshot": checkpoint.digest}})
            for result in results
        ]

    def evaluate_sources(self, real: str, fake: str, *, resolution: int | None = None) -> list[Result]:
        """Evaluate the images of one source against those of another; raises errors as `load_sources` and `measure`.

        Both are brought to `resolution`; None: both have one size, and no pixel is changed.
        """
        options = self._options
        reals, fakes = load_sources(
            real, fake, options.data, resolution=resolution, channels=options.channels, reporter=self.reporter
        )
        # Folders are sorted by something, and the parts from which intervals are taken are consecutive.
        return self._measure(reals, Sample.shuffled(fakes, options.seed, options.num_fake))

    def _held_out(self, training: ImageSet) -> ImageSet | None:
        """Images that the model has not seen, as many as the metrics use; None: there are none."""
        num = max(metric.num_held_out for metric in self._metrics.values())
        try:
            return held_out(training, num, reporter=self.reporter) if num and training.is_training_set else None
        except DataError as error:
            self.reporter.warning(f"no held-out images: {error}")
            return None

    def _measure(
        self, real: ImageSet, fake: Sample, unseen: ImageSet | None = None, checkpoint: Checkpoint | None = None
    ) -> list[Result]:
        options = self._options
        reals = Sample.shuffled(real, options.seed, options.num_real)
        pair = Pair(reals, fake, unseen, device=options.device, seed=options.seed)
        extractors = self._extractors(fake.image_set, checkpoint)
        metrics = {key: each for key, each in self._metrics.items() if each.space in (PIXELS, *extractors)}
        self._warn_of_few(pair, metrics)
        return measure(metrics, pair, extractors, floor=options.floor, floors=self._floors, reporter=self.reporter)

    def _extractors(self, images: ImageSet, checkpoint: Checkpoint | None) -> dict[str, Extractor]:
        """The networks that the metrics need; warns about each that cannot be had, and raises if none can."""
        device, weights = self._options.device, self._options.weights
        found: dict[str, Extractor] = {}
        missing: dict[str, FaceganError] = {}
        spaces = {metric.space for metric in self._metrics.values()}
        for space in sorted(spaces - {PIXELS}):
            key = (space, images.channels, images.resolution)
            if space == "discriminator" or key not in self._made:  # each snapshot has its own
                try:
                    self._made[key] = make_extractor(
                        space, images, device=device, weights=weights, checkpoint=checkpoint, reporter=self.reporter
                    )
                except FaceganError as error:
                    if space == "inception" and weights is not None:  # a file that was named must be right
                        raise
                    self._made[key] = error
            made = self._made[key]
            if isinstance(made, Extractor):
                found[space] = made
            else:
                missing[space] = made
        if missing and len(missing) == len(spaces):
            raise next(iter(missing.values()))
        for space, reason in missing.items():
            keys = [key for key, metric in self._metrics.items() if metric.space == space]
            self.reporter.warning(f"left out: {', '.join(keys)}: {reason}")
        return found

    def _warn_of_few(self, pair: Pair, metrics: Mapping[str, Metric]) -> None:
        """Warn where too few images bias the Fréchet distances."""
        num, side = min((len(pair.fake), "evaluated"), (len(pair.real), "real"))
        biased = [
            key
            for key, metric in metrics.items()
            if (key == "fid" or key.startswith("fd_")) and num >= metric.at_least  # else it is left out
        ]
        if biased and num < FEW:
            self.reporter.warning(
                f"{counted(num, f'{side} image')}, fewer than {FEW:,}: Fréchet distances ({', '.join(biased)}) come "
                "out too high, the more so the fewer there are; compare them at equal numbers only, and prefer kernel "
                "distances (kid, kd_random)"
            )
