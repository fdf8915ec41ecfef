"""Everything that a run's next step depends on, built from a configuration or read back from a file."""

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from .. import ema, latents, losses
from ..checkpoint import load_network
from ..config import RunConfig
from ..errors import ConfigError, SnapshotError
from ..generator import FaceGenerator
from ..messages import counted, one_line
from ..penalties import has_known_layers
from ..storage.safetensors_file import TensorFile, open_tensors, read_tensors
from .adam import Adam
from .distributed import ALONE, World
from .runtime import num_threads

METRICS = (
    "loss/D", "loss/D_real", "loss/D_fake", "loss/G", "score/real", "score/fake", "spread/real", "spread/fake",
)  # fmt: skip
PENALTY_METRICS = ("slope/real", "slope/fake")  # the mean |grad D|^2 of the penalised steps
NUM_SUMS = len(METRICS) + len(PENALTY_METRICS) + 2
NETWORKS = ("G", "G_ema", "D")
OPTIMIZERS = ("opt_G", "opt_D")
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
NUM_CALIBRATION = 1024  # latents that the batch-norm statistics of G_ema are estimated from


@dataclass
class TrainState:
    """Configuration, networks, optimizers, randomness and running sums after `step` updates of G."""

    config: RunConfig  # complete
    architecture: Any  # the model of config.architecture: `z_dim`, `prior`
    loss: Any  # the model of config.loss: logits to losses, see losses.py
    dtype: torch.dtype  # of the convolutions
    step: int
    G: nn.Module
    G_ema: nn.Module
    D: nn.Module
    opt_G: Adam
    opt_D: Adam
    scaler: torch.amp.GradScaler
    noise: torch.Generator  # latents and augmentations, on the device
    count: Tensor  # int64 scalar on the device: `step` for what is computed there
    sums: Tensor  # (NUM_SUMS,): METRICS, PENALTY_METRICS, the penalised steps and all steps since the last tick
    first_bad_step: Tensor  # int64 scalar: the first step whose loss was not finite; -1: none
    world: World = ALONE  # the processes that have the same networks, optimizers and sums, and other noise

    @property
    def device(self) -> torch.device:
        """The device of every tensor."""
        return self.sums.device

    @property
    def is_penalised(self) -> bool:
        """Whether the next step penalises D's gradients: every `penalty.every`-th does."""
        return self.config.penalty.is_on and self.step % self.config.penalty.every == 0

    def generator(self) -> FaceGenerator:
        """Return G_ema as a generator that draws seeds; it shares the weights."""
        return FaceGenerator(self.G_ema, z_dim=self.architecture.z_dim, prior=self.architecture.prior)

    def means(self) -> dict[str, float]:
        """Return the means of the metrics since the last tick; waits for the device.

        Those of a penalty are over the penalised steps, and missing without one; so are the scores of a loss that has
        none.
        """
        *sums, num_penalised, num_steps = self.sums.tolist()
        found = {name: total / num_steps for name, total in zip(METRICS, sums, strict=False)}
        if not losses.has_scores(self.loss):
            found = {name: value for name, value in found.items() if not name.startswith("score/")}
        if num_penalised:
            found |= {
                name: total / num_penalised for name, total in zip(PENALTY_METRICS, sums[len(METRICS) :], strict=True)
            }
        return found

    def calibrate(self, num: int | None = None) -> None:
        """Set the batch-norm statistics of G_ema by the same `num` latents every time; None: NUM_CALIBRATION."""
        num = num or NUM_CALIBRATION
        source = torch.Generator(self.device).manual_seed(self.config.seed)
        size = min(self.config.train.batch_size, num)
        z_dim, prior = self.architecture.z_dim, self.architecture.prior
        ema.calibrate(self.G_ema, (latents.draw(size, z_dim, prior, source) for _ in range(num // size)))

    def tensors(self) -> dict[str, Tensor]:
        """Return all tensors of a state file by name; no copies."""
        tensors: dict[str, Tensor] = {"noise": self.noise.get_state(), "sums": self.sums}
        for name in NETWORKS:
            tensors |= {f"{name}.{key}": value for key, value in getattr(self, name).state_dict().items()}
        for name in OPTIMIZERS:
            tensors |= {f"{name}.{key}": value for key, value in getattr(self, name).tensors().items()}
        for key, value in self.scaler.state_dict().items():
            tensors[f"scaler.{key}"] = torch.tensor(value, dtype=torch.float64)
        return tensors

    def metadata(self, data_digest: str) -> dict[str, str]:
        """Return the metadata of a state file."""
        run = {"config": self.config.to_json(), "step": str(self.step)}
        return {**run, "data": data_digest, "num_processes": str(self.world.size), **self._numerics()}

    def _numerics(self) -> dict[str, str]:
        """Return what the rounding of sums depends on, besides the settings."""
        threads = {"threads": str(num_threads(self.config))} if self.device.type == "cpu" else {}
        return {"torch": torch.__version__, **threads}

    @torch.no_grad()
    def load(self, path: Path, data_digest: str) -> list[str]:
        """Load a state file in place; return the reasons why the run will not continue bit for bit, if any.

        The random state of another kind of device cannot be loaded: the noise then restarts from the seed and the step.

        Raises:
            DamagedError: Its bytes are not those that were written.
            SnapshotError: The file is missing, not a state, newer than this version, or of another run or data.
        """
        file = open_tensors(path, "state")
        check_images(file, data_digest)
        metadata = file.metadata
        for name in NETWORKS:
            load_network(path, getattr(self, name), f"{name}.")
        step = int(metadata["step"])
        try:
            for name in OPTIMIZERS:
                _load_optimizer(getattr(self, name), read_tensors(path, f"{name}."), stepped=step > 0)
            same_device = self._load_rest(read_tensors(path), step)
        except (KeyError, IndexError, ValueError, RuntimeError, TypeError, OverflowError) as error:
            raise SnapshotError(
                f"{path}: does not fit the run ({one_line(error, 200)}); was its config.json changed?"
            ) from None
        reasons = []
        if not same_device:
            reasons.append(f"was trained on another kind of device; its noise restarts on {self.device}")
        if (before := metadata.get("num_processes", "1")) != str(self.world.size):
            reasons.append(
                f"continues with {self.world.size} processes instead of {before}: on the same images, with other noise"
            )
        if (before := metadata.get("torch", torch.__version__)) != torch.__version__:
            reasons.append(f"continues with torch {torch.__version__} instead of {before}: sums may round differently")
        if (before := metadata.get("threads", "")) != (now := self._numerics().get("threads", "")) and before and now:
            reasons.append(
                f"continues with {counted(int(now), 'thread')} instead of {before}: sums round differently; "
                f"--set train.threads={before} continues to the bit"
            )
        return reasons

    def _load_rest(self, tensors: Mapping[str, Tensor], step: int) -> bool:
        """Load what belongs to no network and no optimizer; return whether the noise is of our kind of device."""
        mine = self.scaler.state_dict()
        scaler = {
            key: type(value)(tensors[f"scaler.{key}"]) for key, value in mine.items() if f"scaler.{key}" in tensors
        }
        if scaler.get("growth_interval") == mine.get("growth_interval"):  # another precision has its own scale
            self.scaler.load_state_dict(scaler)
        same_device = tensors["noise"].shape == self.noise.get_state().shape
        if same_device:
            self.noise.set_state(tensors["noise"])
        else:
            self.noise.manual_seed(self.noise.initial_seed() + step)
        sums = tensors["sums"]
        self.sums.zero_()[[*range(len(sums) - 1), -1]] = sums.to(self.sums)  # older runs have fewer metrics
        self.step = step
        self.count.fill_(step)
        return same_device


def check_images(file: TensorFile, data_digest: str, difference: str = "") -> None:
    """Raise SnapshotError if a state is of other images than those with this digest; `difference` follows the fact."""
    if file.metadata.get("data") != data_digest:
        raise SnapshotError(
            f"{file.path}: the images are not those that this run was trained on{difference}; put them back as "
            "they were, or start a new run"
        )


def build_networks(config: RunConfig) -> tuple[nn.Module, nn.Module]:
    """Build G and D on the CPU, their weights a function of `config.seed` alone; torch's random state stays."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        architecture = config.part("architecture")
        G: nn.Module = architecture.generator(config.resolution, config.channels)
        D: nn.Module = architecture.discriminator(config.resolution, config.channels)
    if config.train.micro_batch and (normed := [name for name, net in (("G", G), ("D", D)) if has_batch_norm(net)]):
        raise ConfigError(
            f"train.micro_batch: batch norm in {' and '.join(normed)} takes its statistics from a whole batch; set "
            "it to 0, or use networks without batch norm"
        )
    if config.penalty.fused and not (getattr(D, "is_piecewise_linear", False) and has_known_layers(D)):
        raise ConfigError(
            f"penalty.fused: D of {config.architecture.name} is not known to be linear between the kinks of LeakyReLU; "
            "set it to false, or use resnet or dcgan with architecture.norm_D=none"
        )
    return G, D


def has_batch_norm(network: nn.Module) -> bool:
    """Return whether a network's output for an image depends on the others in its batch."""
    return any(isinstance(module, _BatchNorm) for module in network.modules())


def build_state(config: RunConfig, device: torch.device, world: World = ALONE) -> TrainState:
    """Build the state before the first step."""
    layout, dtype = memory_format(config), precision(config, device)
    G, D = (network.to(device).to(memory_format=layout) for network in build_networks(config))
    optimizer, betas = config.optimizer, (config.optimizer.beta1, config.optimizer.beta2)
    # A scaler at scale 1 costs one pass over the gradients and makes the optimizers skip, on the device, an update
    # whose gradients are not finite. With fp16 its scale adapts (Micikevicius et al. 2018, section 3.2). On MPS older
    # versions of torch have neither scaler nor fused Adam; there the losses alone are watched.
    scale, interval = (2.0**16, 2000) if dtype == torch.float16 else (1.0, 2**31 - 1)
    enabled = device.type in ("cpu", "cuda")
    scaler = torch.amp.GradScaler(device.type, init_scale=scale, growth_interval=interval, enabled=enabled)
    return TrainState(
        config=config,
        architecture=config.part("architecture"),
        loss=config.part("loss"),
        dtype=dtype,
        step=0,
        G=G,
        G_ema=deepcopy(G).requires_grad_(False).eval(),
        D=D,
        opt_G=Adam(G.parameters(), lr=optimizer.lr_G, betas=betas),
        opt_D=Adam(D.parameters(), lr=optimizer.lr_D, betas=betas),
        scaler=scaler,
        noise=torch.Generator(device).manual_seed(config.seed),
        count=torch.zeros((), dtype=torch.int64, device=device),
        sums=torch.zeros(NUM_SUMS, device=device),
        first_bad_step=torch.full((), -1, dtype=torch.int64, device=device),
        world=world,
    )


def memory_format(config: RunConfig) -> torch.memory_format:
    """Return the memory format of images and convolution weights."""
    return torch.channels_last if config.train.channels_last else torch.contiguous_format


def precision(config: RunConfig, device: torch.device) -> torch.dtype:
    """Return the dtype of the convolutions; weights, losses and optimizers stay float32."""
    wanted = config.train.precision
    if wanted == "auto":
        if device.type != "cuda":
            return torch.float32
        fast = torch.cuda.get_device_capability(device) >= (8, 0) or torch.version.hip is not None
        slow = torch.float32 if config.penalty.is_on else torch.float16  # in which a penalty's gradient underflows
        return torch.bfloat16 if fast else slow
    return DTYPES[wanted]


def _load_optimizer(optimizer: Adam, tensors: Mapping[str, Tensor], *, stepped: bool) -> None:
    """Load the moments of an Adam in place; raises ValueError if they are not those of its parameters."""
    expected = optimizer.tensors()
    if unknown := tensors.keys() - expected.keys():
        raise ValueError(f"a moment of no parameter: {min(unknown)}")
    if stepped and expected.keys() - tensors.keys():
        raise ValueError("an optimizer's moments are missing")
    for key, value in tensors.items():
        if value.shape != expected[key].shape:
            raise ValueError(f"the moment {key} has the shape {tuple(value.shape)}, not {tuple(expected[key].shape)}")
        expected[key].copy_(value)
