"""The training loop: take a batch, one step, record, evaluate, grid, snapshot, state, done?"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import torch

from .. import ema, images, latents
from ..checkpoint import snapshot_metadata
from ..config import RunConfig
from ..data.loader import Feed
from ..data.packed.load import PackedImages
from ..errors import TrainingError
from ..generator import FaceGenerator
from ..storage.best_snapshot import best_snapshot
from ..storage.run_dir import RunDir
from ..storage.run_log import NOT_FINITE
from ..storage.safetensors_file import write_tensors
from .checkpointing import Saver, Write
from .cuda_graph import Iteration, repeated
from .diagnostics import Health
from .state import METRICS, NETWORKS, TrainState, memory_format, precision
from .step import StepSettings, training_step

if TYPE_CHECKING:
    from .evaluation_hook import Evaluating

NUM_GRID = 64  # latents of the grids, the seeds 0 to 63
NUM_CALIBRATION = 1024  # latents that the averaged G's batch-norm statistics are estimated from
NUM_FIRST = 128  # the same for the grid of step 0: noise, which more of them change by less than 1 in 255


@dataclass(frozen=True)
class Progress:
    """Where a run stands after a tick; `metrics` is the line just written to metrics.jsonl."""

    step: int
    num_steps: int
    metrics: dict[str, Any]


Report = Callable[[Progress | str], None]  # the one callback of long work: progress, or a line worth reading
Stop = Callable[[], bool]


def training_loop(
    config: RunConfig, run: RunDir, data: PackedImages, state: TrainState,
    *, evaluating: "Evaluating | None" = None, report: Report, stop: Stop,
) -> bool:  # fmt: skip
    """Train from `state` to the end of the run, leaving everything in the run folder.

    Everything that happens at a step is a function of (config, state): a run that was stopped and resumed equals one
    that never stopped, bit for bit on the CPU. On CUDA the same holds but for kernels that sum in any order.

    Args:
        config: Complete, with its intervals resolved.
        run: The run folder, which exists.
        data: The training set.
        state: Before the next step; changed in place.
        evaluating: What measures the run at some steps, without an effect on any other; None: nothing does.
        report: Called with progress at each tick.
        stop: Asked after each step; True saves a state and ends.

    Returns:
        Whether the run reached its end.

    Raises:
        TrainingError: A loss was not finite; what was saved before it stands.
    """
    num_steps, every = config.train.num_steps(len(data)), config.output
    batch_size = config.train.batch_size
    feed, advance = stepping(config, data, state, report)
    clock, saved_at = _Clock(run, state.step), time.monotonic()
    health = Health(each for each in run.read_metrics() if each.get("kimg") is not None)
    if health.verdict.words:
        report(health.verdict.line)
    with Saver(run.path, report) as saver:
        if state.step == 0:
            images.save(run.path / "samples" / "real.png", images.grid(feed.sample(NUM_GRID)))
            calibrate(config, state, NUM_FIRST)
            saver.at_once("the first grid", grid(config, run, state))
        if evaluating:
            evaluating.take_up()
            with clock.aside():
                best_so_far = evaluating.owed(state.step) and evaluating.evaluate(state, saver)
            if best_so_far:
                saver.beside(f"step {state.step:,}", weights(config, run, state, None, snapshot=True))

        while state.step < num_steps:
            # One step on the next batch.
            feed.turn_to(state.step)
            advance()
            state.step += 1
            step, last, stopping = state.step, state.step == num_steps, state.world.meet(stop())

            # Record. A last line between two ticks leaves the sums to whoever extends the run.
            on_tick = step % every.tick_every == 0
            if on_tick or last:
                refuse_bad_step(run, state, saver, batch_size)
                metrics = _tick(state, batch_size, len(data), clock)
                verdict = health.observe(metrics)
                metrics["health"] = verdict.name
                if on_tick:
                    state.sums.zero_()
                saver.at_once(f"the metrics of step {step:,}", partial(run.append_metrics, metrics))
                report(Progress(step, num_steps, metrics))
                if verdict.changed:
                    report(verdict.line)

            # An evaluation of a few faces, which changes nothing of the state; the best snapshot so far is kept.
            best_so_far, evaluated = False, bool(evaluating and (last or not stopping) and evaluating.due(step))
            if evaluating and evaluated:
                refuse_bad_step(run, state, saver, batch_size)
                with clock.aside():
                    best_so_far = evaluating.evaluate(state, saver)

            # A grid of the same latents; a snapshot, to use; a state, to resume.
            at_once = last or stopping or saver.behind()
            overdue = every.state_minutes and time.monotonic() - saved_at >= 60 * every.state_minutes
            grid_due = step % every.sample_every == 0 or last
            snapshot_due = step % every.snapshot_every == 0 or at_once or best_so_far
            state_due = step % every.state_every == 0 or at_once or overdue
            if (grid_due or snapshot_due or state_due) and not evaluated:
                refuse_bad_step(run, state, saver, batch_size)
                calibrate(config, state)
            if grid_due:
                saver.at_once(f"the grid of step {step:,}", grid(config, run, state))
            if state_due:
                saved_at = time.monotonic()
            if snapshot_due or state_due:
                write = weights(config, run, state, data.digest if state_due else None, snapshot=snapshot_due)
                (saver.insist if last or stopping else saver.beside)(f"step {step:,}", write)

            # Done?
            if stopping and not last:
                return False
        return True


def stepping(
    config: RunConfig, data: PackedImages, state: TrainState, report: Callable[[str], None]
) -> tuple[Feed, Iteration]:
    """What gives a step its images, those of this process, and what then takes the step."""
    device, world = state.sums.device, state.world
    settings = step_settings(config, device)
    feed = Feed(
        data, batch_size=config.train.batch_size, seed=config.seed, mirror=config.data.mirror, device=device,
        memory_format=memory_format(config), share=(world.rank, world.size),
    )  # fmt: skip
    if config.train.sync_batch_norm:
        state.G, state.D = world.synchronised(state.G), world.synchronised(state.D)
    if config.train.compile:
        for network in (state.G, state.D):
            network.compile()
    return feed, repeated(lambda: training_step(state, settings, feed.pictures()), config, state, report)


def weights(config: RunConfig, run: RunDir, state: TrainState, data_digest: str | None, *, snapshot: bool) -> Write:
    """Copy what a snapshot and a state of this step hold, and return what writes them.

    Args:
        config: Of the run.
        run: The run folder.
        state: Copied; the writing does not look at it any more.
        data_digest: Of the training set; None writes no state.
        snapshot: Whether to write a snapshot, before the state: a state says that all of its step is there.
    """
    step, every = state.step, config.output
    kept = NETWORKS if data_digest is None else ("",)
    copies = {
        key: value.detach().to("cpu", copy=True) for key, value in state.tensors().items() if key.startswith(kept)
    }
    about = state.metadata(config, data_digest) if data_digest is not None else None

    def write() -> None:
        if snapshot:
            networks = {key: value for key, value in copies.items() if key.partition(".")[0] in NETWORKS}
            write_tensors(run.snapshot(step), "snapshot", networks, snapshot_metadata(config, step))
            found = best_snapshot(run, config.evaluation)
            spare = {found.step} if found else ()
            run.keep("snapshots", every.keep_snapshots, every.keep_snapshots_every, spare)
        if about is not None:
            run.sync_metrics()
            write_tensors(run.state(step), "state", copies, about)
            run.keep("states", every.keep_states, every.keep_states_every)

    return write


def step_settings(config: RunConfig, device: torch.device) -> StepSettings:
    """What each step needs of the configuration."""
    architecture = config.part("architecture")
    return StepSettings(
        loss=config.part("loss"),
        z_dim=architecture.z_dim,
        prior=architecture.prior,
        dtype=precision(config, device),
        fresh_z=config.train.fresh_z,
        policy=config.augment.policy,
        half_life_kimg=config.ema.half_life_kimg,
    )


def calibrate(config: RunConfig, state: TrainState, num: int | None = None) -> None:
    """Give the averaged G the batch-norm statistics of its own weights, from latents that are the same every time.

    Args:
        config: Of the run.
        state: Whose averaged G is changed.
        num: Latents; NUM_CALIBRATION when not given.
    """
    num = num or NUM_CALIBRATION
    architecture, device = config.part("architecture"), state.sums.device
    source = torch.Generator(device).manual_seed(config.seed)
    size = min(config.train.batch_size, num)
    batches = (latents.draw(size, architecture.z_dim, architecture.prior, source) for _ in range(num // size))
    ema.calibrate(state.G_ema, batches)


def grid(config: RunConfig, run: RunDir, state: TrainState) -> Write:
    """Draw the grid of the seeds 0 to 63 by the averaged G, and return what writes it for the state's step."""
    architecture = config.part("architecture")
    generator = FaceGenerator(state.G_ema, z_dim=architecture.z_dim, prior=architecture.prior)
    sheet = images.grid(images.to_uint8(generator.sample(range(NUM_GRID))))
    text = {"facegan": f"synthetic faces, seeds 0-{NUM_GRID - 1}, step {state.step}"}
    return partial(images.save, run.sample(state.step), sheet, text)


def refuse_bad_step(run: RunDir, state: TrainState, saver: Saver, batch_size: int) -> None:
    """Stop a run whose numbers are no longer finite, before anything of them is saved; metrics.jsonl says so too.

    Raises:
        TrainingError: Naming the step.
    """
    bad = int(state.first_bad_step)
    if bad < 0 and state.scaler.get_scale() >= 1:  # gradients that are not finite halve the scale
        return
    record = {"step": state.step, "kimg": state.step * batch_size / 1000, "health": NOT_FINITE}
    saver.at_once("the metrics", partial(run.append_metrics, record))
    saver.wait()
    what = f"step {bad}: the loss is not finite" if bad >= 0 else f"by step {state.step}: a gradient was not finite"
    saved = run.steps("states")
    stands = (
        f"the state of step {saved[-1]} was saved before it and is good" if saved else "no state was saved before it"
    )
    raise TrainingError(
        f"{what}; {stands}; lower optimizer.lr_G and optimizer.lr_D, or use train.precision fp32, in a new run"
    )


class _Clock:
    """Seconds of the run so far, also those before a resume: metadata, not part of the state."""

    def __init__(self, run: RunDir, step: int) -> None:
        records = list(run.read_metrics())
        self.seconds = next((each["seconds"] for each in reversed(records) if "seconds" in each), 0.0)
        self.last_step, self.last_time, self.seconds_aside = step, time.perf_counter(), 0.0

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Work that is no training: of the total, and not of the lap."""
        began = time.perf_counter()
        yield
        self.seconds_aside += time.perf_counter() - began

    def lap(self, step: int) -> tuple[float, int, float]:
        """Total seconds, and the steps and the seconds of training since the last lap."""
        now = time.perf_counter()
        steps, seconds = step - self.last_step, now - self.last_time
        training = seconds - self.seconds_aside
        self.seconds += seconds
        self.last_step, self.last_time, self.seconds_aside = step, now, 0.0
        return self.seconds, steps, training


def _tick(state: TrainState, batch_size: int, num_images: int, clock: _Clock) -> dict[str, Any]:
    """Read the running sums off the device and make of them one line of metrics."""
    *sums, count = state.sums.tolist()
    seconds, steps, lap = clock.lap(state.step)
    num_shown = state.step * batch_size
    return {
        "step": state.step,
        "epoch": num_shown / num_images,
        "kimg": num_shown / 1000,
        "seconds": round(seconds, 3),
        "images_per_second": round(steps * batch_size / lap, 3),
        **{name: total / count for name, total in zip(METRICS, sums, strict=True)},
    }
