"""The tiny runs that faults are tried on, and the faults, drawn from a seed."""

import signal
from dataclasses import dataclass

from faults import Fault

NETWORK = ("architecture.z_dim=12", "architecture.ngf=8", "architecture.ndf=8", "data.options.num_images=48")
PLACES = {  # parts of a run folder that few events touch, and about how many
    "states/": 60,
    "snapshots/": 40,
    "samples/": 40,
    "metrics.jsonl": 40,
    "config.json": 9,
    "environment.json": 9,
    "losses.png": 9,
    "faces.png": 9,
    "model-card.md": 9,
    "log.txt": 4,
}
KINDS = {"time": 5, "event": 10, "write": 4, "signal": 4, "full": 2, "two": 2, "nohup": 1, "terminal": 1}
SIGNALS = ((signal.SIGTERM,), (signal.SIGINT,), (signal.SIGHUP,), (signal.SIGINT, signal.SIGINT))


@dataclass(frozen=True)
class Plan:
    """A run: its settings, its length, and the longer one it is extended to (0: not at all)."""

    settings: tuple[str, ...]
    preset: str
    steps: int
    extended: int
    state_every: int

    def train(self, run):
        """The command that starts it in a folder."""
        settings = [part for line in self.settings for part in ("--set", line)]
        flags = ("--preset", self.preset, "--resolution", "16", "--batch-size", "8", "--device", "cpu")
        return ["train", *flags, "--steps", self.steps, *settings, "--run", run]

    @property
    def commands(self):
        """What a person does who is not disturbed: words for `facegan`, RUN where the folder's path belongs."""
        extending = [["resume", "RUN", "--steps", self.extended]] if self.extended else []
        return [self.train("RUN"), *extending]


def draw_plan(rng):
    """A run with settings of any kind, that trains in a second or two."""
    steps, state_every = rng.randint(12, 30), rng.randint(1, 4)
    precision = rng.choice(("fp32", "fp32", "bf16", "fp16"))
    penalised = () if precision == "fp16" else ("faces", "few")  # fp16 and penalties exclude each other
    settings = [
        *NETWORK,
        f"seed={rng.randrange(1000)}",
        f"train.precision={precision}",
        f"train.fresh_z={rng.choice(('true', 'false'))}",
        f"data.mirror={rng.choice(('true', 'false'))}",
        f"loss.name={rng.choice(('nonsaturating', 'relativistic', 'saturating'))}",
        f"augment.policy={rng.choice(('', '', 'color,translation,cutout'))!r}",
        f"channels={rng.choice((3, 3, 1))}",
        f"output.tick_every={rng.randint(1, 3)}",
        f"output.state_every={state_every}",
        f"output.snapshot_every={rng.randint(1, 6)}",
        f"output.sample_every={rng.randint(1, 8)}",
        f"output.keep_states={rng.choice((1, 2, 2, 3))}",
        f"output.keep_snapshots={rng.choice((1, 2, 5))}",
    ]
    preset = rng.choice(("dcgan", "dcgan-linear", "dcgan-32", "demo", *penalised))
    extended = steps + rng.randint(1, 10) if rng.random() < 0.35 else 0
    return Plan(tuple(settings), preset, steps, extended, state_every)


@dataclass
class Size:
    """How long the undisturbed run took, for faults to fall inside of it."""

    seconds: float = 1.0
    events: int = 100
    largest_bytes: int = 100_000


def draw_fault(rng, size, share_left, *, small_disk, kinds=KINDS):
    """A fault for a process that has a share of the whole run before it."""
    kind = rng.choices(list(kinds), list(kinds.values()))[0]
    if kind == "full":
        kind = "disk" if small_disk else "limit"
    if rng.random() < 0.4:
        on = rng.choice(list(PLACES))
        at = rng.randrange(PLACES[on])
    else:
        on, at = "", rng.randrange(10 + int(size.events * share_left))
    return Fault(
        kind,
        at=at,
        on=on,
        seconds=rng.uniform(0, 0.2 + size.seconds * share_left),
        limit=rng.randrange(1, size.largest_bytes),
        signals=rng.choice(SIGNALS) if kind == "signal" else (),
    )
