"""The settings of a run: a frozen tree. The sections `architecture` and `loss` belong to the plugins they name."""

import json
import math
import re
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from .. import plugins
from ..devices import DEVICE_PATTERN
from ..errors import PluginError
from ..messages import nearest, portable_path, quoted
from .error_messages import CROP_PATTERN, build
from .filters import parse_where

DURATIONS = ("epochs", "kimg", "steps", "minutes")
PLUGIN_SECTIONS = ("architecture", "loss")
PortableText = Annotated[str, BeforeValidator(lambda value: portable_path(value) if isinstance(value, str) else value)]


class Section(BaseModel):
    """Settings that belong together: frozen, and unknown ones are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, protected_namespaces=())


class DataConfig(Section):
    """Which images to use, and how to crop and resize each to the network's square."""

    source: PortableText = Field(
        "drawn",
        max_length=4096,
        description="`drawn`, a downloaded dataset's name, a folder, an archive, a parquet file or a packed folder",
    )
    crop: str = Field(
        "auto",
        pattern=CROP_PATTERN,
        description="`auto` (the dataset's own crop, else the largest centre square), `none` (all of the image, which "
        "must be square), `center:N` or `box:X,Y,W,H`, in pixels",
    )
    mirror: bool = Field(False, description="mirror images left to right with probability 1/2, drawn each epoch")
    limit: int = Field(
        0, ge=0, description="use only the first N of the images that `split` and `where` select; 0: all"
    )
    split: Literal["all", "train", "val", "test", "heldout"] = Field(
        "all",
        description="with an official partition (CelebA's): `train`, `val`, `test`, or `heldout` for all but `train`; "
        "without one: `train` or `heldout`, 90 % or 10 % of the people (sub-folders) or, in a flat folder, of the "
        "images, by a stable hash",
    )
    where: str = Field(
        "",
        description="only images with these attributes, for instance `Smiling=1,Male=0`, where the comma means both; "
        "`=`, `!=`, `<`, `<=`, `>`, `>=`; images without a known value are left out",
    )
    filter: Literal["bicubic", "bilinear", "lanczos", "box"] = Field(
        "bicubic", description="resampling filter, always antialiased"
    )
    draft: bool = Field(
        False,
        description="decode JPEG files at 1/2, 1/4 or 1/8 of their size where that leaves enough pixels: packing "
        "is faster, and pixels differ slightly, shifted by half a pixel at most",
    )
    options: dict[str, Any] = Field({}, description="the dataset's own settings: `data.options.num_images=5000`")
    reading: Literal[1, 2] = Field(
        2,
        description="version of the rules by which files are found and decoded. 2: any image by its content, whatever "
        "its name; 1: by its ending, as before there were versions, so that older runs find the images they had",
    )

    @property
    def takes_all(self) -> bool:
        """Return whether every image of the source is used."""
        return self.split == "all" and not self.where.strip() and not self.limit

    @field_validator("crop")
    @classmethod
    def _square(cls, crop: str) -> str:
        if crop.startswith("box:"):
            width, height = crop.split(",")[2:]
            if int(width) != int(height):
                raise ValueError("must be square: faces are never squashed")
        return crop

    @field_validator("where")
    @classmethod
    def _conditions(cls, where: str) -> str:
        parse_where(where)
        return where


class PluginSection(BaseModel):
    """A section with the settings of the plugin called `name`."""

    model_config = ConfigDict(extra="allow", frozen=True)
    name: str

    @property
    def fields(self) -> dict[str, Any]:
        """The plugin's settings, without its name."""
        return dict(self.__pydantic_extra__ or {})


class OptimizerConfig(Section):
    """Two Adam optimizers (Radford, Metz, Chintala 2016, section 4: lr 0.0002, beta1 0.5)."""

    lr_G: float = Field(2e-4, gt=0, description="learning rate of G")
    lr_D: float = Field(2e-4, gt=0, description="learning rate of D")
    beta1: float = Field(0.5, ge=0, lt=1, description="Adam's decay of the gradient's mean")
    beta2: float = Field(0.999, ge=0, lt=1, description="Adam's decay of the gradient's square")

    decay: float = Field(
        1.0, gt=0, le=1, description="learning rates at the end of the schedule, as a share of those at its start"
    )
    warmup_kimg: float = Field(
        0.0, ge=0, description="thousand images over which the learning rates rise from 0; 0: none"
    )


class PenaltyConfig(Section):
    """Penalties on the slope of D (Mescheder et al. 2018; Gulrajani et al. 2017); D needs norm none or spectral."""

    r1: float = Field(0.0, ge=0, description="gamma of R1, the mean of |grad D|^2 / 2 at real images; 0: none")
    r2: float = Field(0.0, ge=0, description="gamma of R2, the same at fakes; 0: none")
    gradient: float = Field(
        0.0, ge=0, description="weight of WGAN-GP's (|grad D| - 1)^2 between real images and fakes; 0: none"
    )
    every: int = Field(1, ge=1, description="penalise every k-th step, k times as much (Karras et al. 2020)")
    fused: bool = Field(
        False,
        description="compute r1 and r2 in one go with the loss, without second derivatives: faster, for `resnet` and "
        "for `dcgan` with norm_D=none",
    )
    decay: float = Field(
        1.0, gt=0, le=1, description="the weights at the end of the schedule, as a share of those at its start"
    )

    @model_validator(mode="after")
    def _fuse_what_can_be(self) -> Self:
        if self.fused and self.gradient:
            raise ValueError("fused: is for r1 and r2; set it to false, or gradient to 0")
        return self

    @property
    def is_on(self) -> bool:
        """Return whether there is any penalty."""
        return bool(self.r1 or self.r2 or self.gradient)


class ScheduleConfig(Section):
    """The length of everything that changes while a run trains: learning rates, penalties, augmentation."""

    kimg: float | None = Field(
        None,
        gt=0,
        allow_inf_nan=False,
        description="thousand images until the last values are reached; none: the run's length when it starts, which "
        "config.json then contains, so that extending a run changes nothing of its past",
    )


class EMAConfig(Section):
    """The moving average of G's weights that samples are drawn with."""

    half_life_kimg: float = Field(
        10.0, ge=0, description="half-life in thousands of images; at most 5 % of those seen so far; 0: no averaging"
    )


class AugmentConfig(Section):
    """Differentiable augmentation of what D sees (Zhao et al. 2020)."""

    policy: str = Field("", description="any of `color`, `translation`, `cutout`, separated by commas; empty: none")

    probability: float | None = Field(
        None,
        ge=0,
        le=1,
        description="probability of each augmentation of an image; none: from 0.3 for 2,000 images and fewer to 0 for "
        "200,000 and more",
    )
    ramp_kimg: float | None = Field(
        None,
        ge=0,
        allow_inf_nan=False,
        description="thousand images over which the probability rises from 0; none: over the schedule; 0: constant",
    )

    @field_validator("policy")
    @classmethod
    def _known(cls, policy: str) -> str:
        known = ("color", "translation", "cutout")
        names = [name.strip() for name in policy.split(",") if name.strip()]
        for name in names:
            if name not in known:
                raise ValueError(f"there is no '{name}'; {nearest(name, known)}")
        return ",".join(names)


class TrainConfig(Section):
    """Length, batch size, device and precision."""

    batch_size: int = Field(
        128, ge=2, description="real images per step, and as many fakes, over all processes together"
    )
    epochs: float | None = Field(25, gt=0, allow_inf_nan=False, description="length in passes over the images")
    kimg: float | None = Field(
        None, gt=0, allow_inf_nan=False, description="length in thousands of real images shown, instead of epochs"
    )
    steps: int | None = Field(None, ge=1, description="length in updates of G, instead of epochs")
    minutes: float | None = Field(
        None,
        gt=0,
        allow_inf_nan=False,
        description="length in minutes, instead of epochs: a few timed steps turn it into kimg when the run starts",
    )
    precision: Literal["auto", "fp32", "bf16", "fp16"] = Field(
        "auto",
        description="`auto`: on CUDA, bf16 if the GPU supports it, else fp16 with loss scaling (with a penalty fp32); "
        "on CPUs with AMX bf16; elsewhere fp32. config.json contains the result",
    )
    device: str = Field("auto", pattern=DEVICE_PATTERN, description="`auto`, `cpu`, `cuda`, `cuda:1`, `mps`")
    num_D_steps: int = Field(1, ge=1, description="updates of D, each on real images of its own, for one of G")
    micro_batch: int = Field(
        0,
        ge=0,
        description="images at a time, their gradients summed, so that a batch needs less memory; 0: all. Not with "
        "batch norm, whose statistics are those of a batch",
    )
    fresh_z: bool = Field(False, description="draw new latents for G's step instead of reusing the fakes of D's step")
    deterministic: bool = Field(
        False,
        description="on CUDA: only kernels that always sum in the same order, so that runs repeat and resume to the "
        "bit; slower. On the CPU, runs always do",
    )
    channels_last: bool = Field(
        True, description="keep images and weights in channels-last memory order; results differ only by rounding"
    )
    fp32_precision: Literal["ieee", "tf32", "bf16"] = Field(
        "ieee",
        description="how convolutions multiply fp32 numbers: `ieee` exactly; `tf32` rounded to 10 bits (CUDA); `bf16` "
        "rounded to 7 bits (CPU, by oneDNN, if the processor supports it; torch 2.9 or newer)",
    )
    threads: int = Field(0, ge=0, description="CPU threads; 0: one per core, within a container's limit")
    capture: Literal["auto", "off"] = Field(
        "auto", description="on CUDA: `auto` captures the step once and replays it as one CUDA graph"
    )
    sync_batch_norm: bool = Field(
        False, description="on CUDA, share batch-norm statistics among all training processes"
    )
    compile: bool = Field(False, description="compile G and D with torch.compile; slow to start, needs a C++ compiler")

    @model_validator(mode="after")
    def _one_duration(self) -> Self:
        given = [name for name in DURATIONS if getattr(self, name) is not None]
        if len(given) != 1:
            what = " and ".join(f"train.{name}" for name in given) or "none"
            raise ValueError(f"give exactly one of epochs, kimg, steps, minutes (given: {what})")
        return self

    @property
    def images_per_step(self) -> int:
        """Real images shown in one step, over all processes."""
        return self.batch_size * self.num_D_steps

    def num_steps(self, num_images: int) -> int:
        """Return the updates of G in the duration, for a set of `num_images` images, rounded up; at least 1."""
        if self.steps is not None:
            return self.steps
        shown = self.kimg * 1000 if self.kimg is not None else (self.epochs or 0) * num_images
        return max(1, math.ceil(round(shown, 6) / self.images_per_step))  # 256.896 kimg are exactly 256,896 images


class OutputConfig(Section):
    """Files that a run writes and keeps. Intervals are in steps; 0 scales them with the run's length."""

    tick_every: int = Field(0, ge=0, description="steps between lines of metrics; 0: 1,000 lines per run")
    sample_every: int = Field(0, ge=0, description="steps between grids of the same latents; 0: 20 grids per run")
    snapshot_every: int = Field(0, ge=0, description="steps between snapshots (networks, for use); 0: 10 per run")
    state_every: int = Field(0, ge=0, description="steps between states (everything, for resuming); 0: 20 per run")
    state_minutes: float = Field(15.0, ge=0, description="maximum minutes between states; 0: no maximum")
    keep_states: int = Field(2, ge=1, description="how many of the newest states to keep")
    keep_states_every: int = Field(0, ge=0, description="also keep states at multiples of this many steps; 0: none")
    keep_snapshots: int = Field(
        5, ge=1, description="how many of the newest snapshots to keep; that of a stop only until the next"
    )
    keep_snapshots_every: int = Field(0, ge=0, description="also keep snapshots at multiples of this; 0: none")

    def scaled(self, num_steps: int) -> "OutputConfig":
        """Return these settings with each interval 0 replaced by one of 1, 2, 5, 10, 20, ... steps."""
        shares = {"tick_every": 1000, "sample_every": 20, "snapshot_every": 10, "state_every": 20}
        given = {name: getattr(self, name) or _round_number(num_steps / share) for name, share in shares.items()}
        return self.model_copy(update=given)


class EvaluationConfig(Section):
    """Evaluation of G_ema during training; it takes time and does not change the training."""

    every: int = Field(0, ge=0, description="steps between evaluations, and one at the end; 0: never")
    metrics: str = Field("fd_random", description="metrics, separated by commas (`facegan plugins` lists all)")
    num_images: int = Field(
        1000, ge=2, description="images generated per evaluation, and the maximum number of training images"
    )
    keep_best: str = Field(
        "", description="metric by which the best snapshot is kept; empty: the first that can rank snapshots"
    )
    max_share: float = Field(
        0.1,
        gt=0,
        le=1,
        description="maximum share of the time for evaluations: one that would exceed it is postponed to the next "
        "step at which it is due. The first, whose duration is unknown, and the last never are. 1: none is "
        "postponed, and equal runs evaluate at the same steps",
    )

    @property
    def keys(self) -> tuple[str, ...]:
        """The metrics' names, in order."""
        return tuple(self.metrics.split(","))

    @field_validator("metrics")
    @classmethod
    def _listed(cls, metrics: str) -> str:
        names = [name.strip() for name in metrics.split(",")]
        if not all(names) or len(set(names)) < len(names):
            raise ValueError("must be names of metrics, each once, separated by commas")
        return ",".join(names)

    @model_validator(mode="after")
    def _best_is_measured(self) -> Self:
        if self.keep_best and self.keep_best not in self.keys:
            raise ValueError(f"keep_best is {quoted(self.keep_best)}; it must be one of metrics ({self.metrics})")
        return self


def _round_number(value: float) -> int:
    """Return the largest of 1, 2, 5, 10, 20, 50, ... up to `value`; at least 1."""
    if value < 1:
        return 1
    power = 10 ** math.floor(math.log10(value))
    return int(max(digit * power for digit in (1, 2, 5) if digit * power <= value))


def _power_of_two(value: int) -> int:
    if value & (value - 1):
        raise ValueError("must be a power of two: 16, 32, 64, 128, 256 or 512")
    return value


class RunConfig(Section):
    """All settings that a run depends on, as `config.json` in the run folder holds them."""

    seed: int = Field(0, ge=0, lt=2**32, description="seed of weights, data order and noise")
    resolution: Annotated[int, AfterValidator(_power_of_two)] = Field(
        64, ge=16, le=512, description="height and width of the images in pixels, a power of two from 16 to 512"
    )
    channels: Literal[1, 3] = Field(3, description="3: colour, 1: grey")
    data: DataConfig = DataConfig()
    architecture: PluginSection = PluginSection(name="dcgan")
    loss: PluginSection = PluginSection(name="nonsaturating")
    penalty: PenaltyConfig = PenaltyConfig()
    optimizer: OptimizerConfig = OptimizerConfig()
    schedule: ScheduleConfig = ScheduleConfig()
    ema: EMAConfig = EMAConfig()
    augment: AugmentConfig = AugmentConfig()
    train: TrainConfig = TrainConfig()
    output: OutputConfig = OutputConfig()
    evaluation: EvaluationConfig = EvaluationConfig()

    def complete(self) -> "RunConfig":
        """Return the settings with the plugins' sections validated and filled in; loads those plugins and torch.

        Raises:
            ConfigError: A setting of a plugin does not exist, or its value is invalid.
            PluginError: A plugin cannot be loaded.
        """
        filled = {}
        for kind in PLUGIN_SECTIONS:
            name, fields = getattr(self, kind).name, self.part(kind).model_dump(mode="json")
            if "name" in fields:
                raise PluginError(f"{kind} '{name}': has a setting called 'name', the section's own; rename it")
            filled[kind] = PluginSection(name=name, **fields)
        return self.model_copy(update=filled)

    def part(self, kind: str) -> Any:
        """Return the architecture or the loss, built from its section; raises as `complete`."""
        section: PluginSection = getattr(self, kind)
        return build(plugins.find(kind, section.name), section.fields, where=kind)

    def run_name(self, settings_name: str) -> str:
        """Return the name of a run that is given none, without its number: `drawn-dcgan` with the preset `dcgan`."""
        source = re.sub(r"\.(zip|tar|tgz|tar\.\w+|parquet)$", "", Path(self.data.source).name.lower())
        stem, settings = (re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-") for text in (source, settings_name))
        return f"{stem[:100] or 'faces'}-{settings[:100] or 'own'}"

    def to_json(self) -> str:
        """Return the tree as indented JSON, itself a valid `--config` file."""
        return json.dumps(self.model_dump(mode="json"), indent=2) + "\n"
