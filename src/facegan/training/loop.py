"""The training loop: batch, step, record, evaluate, sample grid, save, done?"""

import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from .. import images
from ..data.loader import InfiniteSampler, Loader
from ..data.packed.load import write_names
from ..data.packed.packed_images import PackedImages
from ..errors import TrainingError
from ..plugins import names
from ..reporter import SILENT, Reporter
from ..storage.run_dir import RunDir
from ..storage.run_log import NOT_FINITE
from .checkpointing import Saver, Write, copy_weights
from .cuda_graph import RunStep, graphed
from .diagnostics import HealthMonitor
from .state import TrainState, memory_format
from .step import training_step

if TYPE_CHECKING:
    from .evaluation_hook import EvaluationHook

NUM_GRID = 64  # latents of the grids, the seeds 0 to 63
NUM_FIRST = 128  # latents that calibrate the grid of step 0: noise, which more of them change by less than 1 in 255


class TrainLoop:
    """Train a state to the end of its run, and leave everything in the run folder.

    Everything that happens at a step is a function of (config, state): a run that was stopped and resumed equals one
    that never stopped, bit for bit on the CPU. On CUDA the same holds except for kernels that sum in any order.
    """

    def __init__(
        self,
        run: RunDir,
        data: PackedImages,
        state: TrainState,
        *,
        hook: "EvaluationHook | None" = None,
        reporter: Reporter = SILENT,
    ) -> None:
        """Prepare the loop in an existing run folder; writes nothing. `state` has resolved intervals, and changes."""
        self.run, self.data, self.state, self.hook, self.reporter = run, data, state, hook, reporter
        self.num_steps = state.config.train.num_steps(len(data))
        self.loader, self.run_step = make_loader(data, state), make_step(state, reporter)
        self.saver = Saver(run.path, reporter)
        records = list(run.read_metrics())
        ticks = (record for record in records if record.get("kimg") is not None)
        self.monitor = HealthMonitor(ticks, are_equal=data.are_equal())
        # Wall-clock time, including the time before a resume: metadata, not part of the state.
        self._seconds = next((record["seconds"] for record in reversed(records) if "seconds" in record), 0.0)
        self._saved_at = self._tick_at = time.perf_counter()
        self._tick_step, self._evaluation_seconds = state.step, 0.0  # since the last tick

    def run_loop(self, stop: Callable[[], bool]) -> bool:
        """Train to the last step; return whether it was reached. `stop`, asked after each step, saves and ends.

        Raises:
            TrainingError: A loss was not finite; everything saved before it is valid.
        """
        state, every = self.state, self.state.config.output
        with self.saver:
            self.begin()
            for step in range(state.step, self.num_steps):
                # Batch: real images, a function of (seed, step).
                real = self.loader.batch(step)

                # Step: one update of D, one of G, one of the average.
                state.world.any_stops()  # the others may have waited for an evaluation of this process
                self.run_step(real)
                state.step = step + 1
                last, stopping = state.step == self.num_steps, state.world.any_stops(stop())

                # Record: the means of the metrics since the last tick.
                if last or self.is_due(every.tick_every):
                    self.record()

                # Evaluate: G_ema on a few samples (read-only).
                evaluated = self.hook is not None and (last or not stopping) and self.hook.is_due(state.step)
                is_best = evaluated and self.evaluate()

                # Calibrate: the batch-norm statistics of G_ema, before it is shown or saved.
                must_save = last or stopping or self.saver.is_retry_due()
                show = last or self.is_due(every.sample_every)
                snapshot = must_save or is_best or self.is_due(every.snapshot_every)
                resumable = must_save or self.is_overdue() or self.is_due(every.state_every)
                if (show or snapshot or resumable) and not evaluated:
                    self.check_finite()
                    state.calibrate()

                # Sample grid: the same latents at every step.
                if show:
                    self.saver.write(f"the grid of step {state.step:,}", sample_grid(self.run, state))

                # Save: a snapshot, to use; a state, to resume.
                if snapshot or resumable:
                    self.save(snapshot=snapshot, resumable=resumable, wait=last or stopping)

                # Done?
                if stopping and not last:
                    return False
        return True

    def begin(self) -> None:
        """Write the first grids of a new run; evaluate a step whose evaluation was interrupted."""
        state = self.state
        if self.monitor.health.words:
            self.reporter.info(self.monitor.health.line)
        if state.step == 0:
            images.save(self.run.path / "samples" / "real.png", images.grid(self.loader.sample(NUM_GRID)))
            state.calibrate(NUM_FIRST)
            self.saver.write("the first grid", sample_grid(self.run, state))
        if self.hook:
            self.hook.begin()
            if self.hook.is_pending(state.step) and self.evaluate() and not self.run.snapshot(state.step).exists():
                self.save(snapshot=True, resumable=False)

    def is_due(self, interval: int) -> bool:
        """Return whether the number of steps is a multiple of an interval."""
        return self.state.step % interval == 0

    def is_overdue(self) -> bool:
        """Return whether the last state is older than output.state_minutes; 0: never."""
        minutes = self.state.config.output.state_minutes
        return minutes > 0 and time.perf_counter() - self._saved_at >= 60 * minutes

    def record(self) -> None:
        """Write one line of metrics. A last line between two ticks keeps the sums for a run that is extended."""
        self.check_finite()
        state, metrics = self.state, self._metrics()
        health = self.monitor.observe(metrics)
        metrics["health"] = health.name
        if self.is_due(state.config.output.tick_every):
            state.sums.zero_()
        self.saver.write(f"the metrics of step {state.step:,}", partial(self.run.append_metrics, metrics))
        self.reporter.progress("training", state.step, self.num_steps, unit="steps", metrics=metrics)
        if health.changed:
            self.reporter.info(health.line)

    def _metrics(self) -> dict[str, Any]:
        """Read the running sums off the device; the time of evaluations counts in `seconds`, not in the rate."""
        state, now, per_step = self.state, time.perf_counter(), self.state.config.train.images_per_step
        num_shown, num_new = state.step * per_step, (state.step - self._tick_step) * per_step
        training_seconds = now - self._tick_at - self._evaluation_seconds
        self._seconds += now - self._tick_at
        self._tick_at, self._tick_step, self._evaluation_seconds = now, state.step, 0.0
        return {
            "step": state.step,
            "epoch": num_shown / len(self.data),
            "kimg": num_shown / 1000,
            "seconds": round(self._seconds, 3),
            "images_per_second": round(num_new / training_seconds, 3),
            **state.means(),
        }

    def evaluate(self) -> bool:
        """Evaluate this step; return whether its snapshot is the best so far."""
        assert self.hook is not None
        began = time.perf_counter()
        self.check_finite()
        is_best = self.hook.evaluate(self.state, self.saver)
        self._evaluation_seconds += time.perf_counter() - began
        return is_best

    def save(self, *, snapshot: bool, resumable: bool, wait: bool = False) -> None:
        """Save a snapshot, a state or both in the background, or `wait` until they are written."""
        if resumable:
            self._saved_at = time.perf_counter()
            if not self.run.images.exists() and self.state.config.data.source not in names("dataset"):
                self.saver.write("the list of images", partial(write_names, self.run.images, self.data))
        digest = self.data.digest if resumable else None
        write = copy_weights(self.run, self.state, snapshot=snapshot, data_digest=digest)
        (self.saver.write_last if wait else self.saver.write_in_background)(f"step {self.state.step:,}", write)

    def check_finite(self) -> None:
        """Raise TrainingError before numbers are saved that are not finite; metrics.jsonl records the step."""
        state = self.state
        bad = int(state.first_bad_step)
        if bad < 0 and state.scaler.get_scale() >= 1:  # gradients that are not finite halve the scale
            return
        kimg = state.step * state.config.train.images_per_step / 1000
        record = {"step": state.step, "kimg": kimg, "health": NOT_FINITE}
        self.saver.write("the metrics", partial(self.run.append_metrics, record))
        self.saver.wait()
        problem = f"step {bad}: the loss" if bad >= 0 else f"by step {state.step}: a gradient"
        saved = self.run.steps("states")
        good = f"the state of step {saved[-1]}, saved before it, is good" if saved else "no state was saved before it"
        raise TrainingError(
            f"{problem} is not finite; {good}; lower optimizer.lr_G and optimizer.lr_D, or use train.precision fp32, "
            "in a new run"
        )


def make_loader(data: PackedImages, state: TrainState) -> Loader:
    """Return the loader of this process's share of every batch."""
    config, shard = state.config, (state.world.rank, state.world.size)
    sampler = InfiniteSampler(len(data), batch_size=config.train.images_per_step, seed=config.seed, shard=shard)
    layout = memory_format(config)
    return Loader(data.images, sampler, mirror=config.data.mirror, device=state.device, memory_format=layout)


def make_step(state: TrainState, reporter: Reporter = SILENT) -> RunStep:
    """Return `training_step` of a state as a function of the batch: compiled, or as a CUDA graph, if so configured."""
    train = state.config.train
    if train.sync_batch_norm:
        state.G, state.D = state.world.sync_batch_norm(state.G), state.world.sync_batch_norm(state.D)
    if train.compile:
        state.G.compile()
        if not state.config.penalty.is_on:  # torch.compile has no second derivatives
            state.D.compile()
    return graphed(partial(training_step, state), state, reporter)


def sample_grid(run: RunDir, state: TrainState) -> Write:
    """Draw the grid of the seeds 0 to 63 by G_ema; return a function that writes it for the state's step."""
    grid = images.grid(images.to_uint8(state.generator().sample(range(NUM_GRID))))
    text = {"facegan": f"synthetic faces, seeds 0-{NUM_GRID - 1}, step {state.step}"}
    return partial(images.save, run.sample(state.step), grid, text)
