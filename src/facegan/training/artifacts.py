"""Artifacts of a finished run for people: loss curves, real next to generated faces, a model card."""

import hashlib
from pathlib import Path

import numpy as np

from .. import __version__
from ..checkpoint import snapshot_metadata
from ..config import RunConfig
from ..images.files import read_grid, save
from ..images.layouts import side_by_side
from ..messages import counted
from ..reporter import Reporter
from ..storage.atomic import read_regular, write_atomic
from ..storage.best_snapshot import best_snapshot
from ..storage.run_dir import RunDir
from ..storage.safetensors_file import read_tensors, write_tensors
from .checkpointing import prune_snapshots, prune_states
from .state import NETWORKS

CARD_NAME, MAX_CARD_BYTES = "model-card.md", 1 << 20
MARK = b"<!-- as facegan wrote it: "
CARD = """\
# {name}: a generator of synthetic faces

| | |
|---|---|
| network | {config.architecture.name}, {config.resolution}x{config.resolution}, {config.channels} channels, latents of length {architecture.z_dim} from a {architecture.prior} prior |
| trained on | `{source}` (crop {config.data.crop}, split {config.data.split}), {num_images} |
| length | {steps} of {config.train.images_per_step}, {kimg:,.1f} thousand images shown |
| loss | {config.loss.name} |
{best}{changes}| made with | facegan {version} |

Use it: `facegan sample {name} -n 64 -o grid.png`. The complete settings are in config.json and in every snapshot.

**What it is for.** Synthetic faces for study, art and tests. The faces are of nobody; a generator can still come close to
an image that it was trained on, above all when the set is small.

**What to keep in mind.** The faces have the proportions of the training set, with its gaps and biases. The licence of the
training images may bind what is made from them (CelebA: non-commercial research only). Say that they are synthetic.

**Sources.** A. Radford, L. Metz, S. Chintala, "Unsupervised Representation Learning with Deep Convolutional Generative
Adversarial Networks", ICLR 2016, arXiv:1511.06434. I. Goodfellow et al., "Generative Adversarial Nets", NeurIPS 2014,
arXiv:1406.2661. N. Inkawhich, "DCGAN Tutorial", PyTorch tutorials (pytorch.org/tutorials). Y. Huang et al., "The GAN is
dead; long live the GAN! A Modern GAN Baseline", NeurIPS 2024, arXiv:2501.05441.
"""


def finish(config: RunConfig, run: RunDir, *, num_images: int, reporter: Reporter) -> None:
    """Write losses.png, faces.png and model-card.md into a run folder, and report where they are.

    A card that somebody has edited, or that an earlier version wrote, stays as it is.
    """
    from .. import plots  # matplotlib takes half a second to import, and is needed only now

    plots.save_figure(plots.plot_curves([run]), run.path / "losses.png")
    step = run.steps("samples")[-1]
    real, fake = (np.asarray(read_grid(path)) for path in (run.path / "samples" / "real.png", run.sample(step)))
    sheet = side_by_side((real, fake), ("training images", f"generated, step {step:,}"))
    save(run.path / "faces.png", sheet)
    if _is_edited(run):
        reporter.info(
            f"{run.path / CARD_NAME}: is not as this version wrote it, and is kept; delete it, and 'facegan resume' "
            "writes a new one"
        )
    else:
        text = _card(config, run, step, num_images).encode("utf-8", "backslashreplace")
        write_atomic(run.path / CARD_NAME, text + _mark(text))
    if found := best_snapshot(run, config.evaluation):
        reporter.info(f"best by {found.metric} ({found.value:.4g} at step {found.step}): {found.path}")
    reporter.info(f"{run.path}: finished; look at faces.png and losses.png there")


def complete(config: RunConfig, run: RunDir, *, num_images: int, reporter: Reporter) -> None:
    """Write the missing files of a run that reached its last step but was ended before it was finished.

    Old snapshots and states that a power loss brought back are removed again.
    """
    last = run.steps("states")[-1]
    run.cut_metrics(last, inside_tick=False)
    if not run.snapshot(last).exists():  # it was damaged; the state holds the same networks
        networks = {
            key: value for key, value in read_tensors(run.state(last)).items() if key.partition(".")[0] in NETWORKS
        }
        write_tensors(run.snapshot(last), "snapshot", networks, snapshot_metadata(config, last))
    prune_snapshots(run, config, last)
    prune_states(run, config)
    reached = run.state(last).stat().st_mtime
    written = [run.path / name for name in ("losses.png", "faces.png", *(() if _is_edited(run) else (CARD_NAME,)))]
    if not all(path.exists() and path.stat().st_mtime >= reached for path in written):
        finish(config, run, num_images=num_images, reporter=reporter)


def _is_edited(run: RunDir) -> bool:
    """Return whether there is a card that is not as this or a later version of facegan wrote it."""
    try:
        content = read_regular(run.path / CARD_NAME, MAX_CARD_BYTES)
    except OSError as error:
        return not isinstance(error, FileNotFoundError)
    text, mark, _ = content.rpartition(MARK)
    return not mark or content != text + _mark(text)


def _mark(text: bytes) -> bytes:
    """Return the last line of a card, by which one that nobody has edited is known."""
    return MARK + hashlib.sha256(text).hexdigest()[:16].encode() + b" -->\n"


def _card(config: RunConfig, run: RunDir, step: int, num_images: int) -> str:
    architecture, found = config.part("architecture"), best_snapshot(run, config.evaluation)
    row = "| best snapshot | {}: {} {:.4g} on {:,} faces |\n"
    best_row = row.format(found.path.name, found.title, found.value, found.num_images) if found else ""
    return CARD.format(
        name=run.name,
        version=__version__,
        config=config,
        architecture=architecture,
        source=Path(config.data.source).name,
        num_images=counted(num_images, "image"),
        steps=counted(step, "step"),
        kimg=step * config.train.images_per_step / 1000,
        best=best_row,
        changes=_changed_rows(run) if run.changes.exists() else "",
    )


def _changed_rows(run: RunDir) -> str:
    from ..storage.run_changes import read_changes  # few runs have any

    changes = [each for each in read_changes(run) if not each.key.startswith(("output.", "evaluation."))]
    return "".join(f"| changed after step {each.step:,} | {each} |\n" for each in changes)
