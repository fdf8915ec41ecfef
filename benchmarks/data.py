"""Measure the cost of the data: packing a folder, opening packed images, feeding a training step.

    python benchmarks/data.py [--what packing|opening|feeding|memory|all] [--turns 5]
    python benchmarks/data.py --what packing --data FOLDER_OF_FOLDERS [--crop 128] [--resolution 64]
    python benchmarks/data.py --what opening [--num 200000] [--keep FOLDER]
    python benchmarks/data.py --what feeding --data SOURCE [--set data.crop=center:128] [--steps 40] [--device auto]
    python benchmarks/data.py --what memory --data PACKED_FOLDER --limit-mb 300

packing: the time for a folder of images, against one epoch of torchvision's ImageFolder in a DataLoader. Both read,
decode, crop the centre and resize it with the same filter, with as many workers. torchvision's side also makes batches
of bytes and drops them; facegan's also writes the packed set, its digests and its index to the disk.
opening: the time and resident memory for a new process to open NUM packed images of 64x64, against numpy, which maps
the same file and checks nothing.
feeding: the share of a training step that the data take: steps on new batches against steps on one batch in memory.
memory (Linux): one epoch in a process that may allocate only so many megabytes beyond what it has at the start, against
one without a limit; the batches of both must be equal.

Without --data, drawn faces are made and jittered: files for packing, a packed folder for the others (--keep keeps it).
"""

import argparse
import hashlib
import json
import os
import resource
import shutil
import tempfile
import time
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import turns

if TYPE_CHECKING:
    from facegan.data.packed.packed_images import PackedImages

OPEN = """
import json, resource, sys, time
import numpy
from facegan.config import DataConfig
from facegan.data.packed.load import load

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()

data = DataConfig(source=sys.argv[2])
before, start = resident(), time.perf_counter()
if sys.argv[1] == "facegan":
    packed = load(data, resolution=64, channels=3)
else:
    packed = numpy.load(sys.argv[2] + "/images.npy", mmap_mode="r")
seconds = time.perf_counter() - start
print(json.dumps([len(packed), seconds, resident() - before]))
"""


def packing(options: argparse.Namespace, temporary: Path) -> dict[str, Any]:
    """Measure the images per second of packing files for training."""
    import jittered

    warnings.filterwarnings("ignore", module="torch")
    folder = options.data or jittered.jpeg_folder(temporary / "files", min(options.num, 4096))
    crop, resolution = options.crop, options.resolution
    os.environ["FACEGAN_CACHE"] = str(temporary / "packing")
    sides = {
        "torchvision": partial(by_torchvision, folder, crop, resolution),
        "facegan": partial(by_facegan, folder, crop, resolution, draft=False),
        "facegan, data.draft": partial(by_facegan, folder, crop, resolution, draft=True),
    }
    num_images = sides["facegan"]()  # reads every file once, so that later reads come from the page cache

    def seconds(side: Callable[[], int]) -> float:
        begin = time.perf_counter()
        if side() != num_images:
            raise SystemExit("packing: the sides saw different numbers of images")
        return time.perf_counter() - begin

    times = turns.alternate({name: partial(seconds, side) for name, side in sides.items()}, options.turns)
    document = {
        name: {
            "images_per_second": turns.summary(num_images / each for each in mine),
            "over_torchvision": turns.ratios(times["torchvision"], mine),
        }
        for name, mine in times.items()
    }
    turns.table(
        f"Packing {num_images:,} images with {turns.cores()} workers",
        ("side", "images/s", "over torchvision"),
        [(name, *map(turns.in_words, side.values())) for name, side in document.items()],
    )
    return {"num_images": num_images, "num_workers": turns.cores(), "sides": document}


def by_torchvision(folder: Path, crop: int, resolution: int) -> int:
    import torch
    from torchvision import datasets
    from torchvision.transforms import CenterCrop, Compose, InterpolationMode, PILToTensor, Resize

    steps = [CenterCrop(crop), Resize(resolution, InterpolationMode.BICUBIC), PILToTensor()]
    images = datasets.ImageFolder(folder, Compose(steps))
    loader = torch.utils.data.DataLoader(images, batch_size=128, num_workers=turns.cores())
    return sum(len(batch) for batch, _ in loader)


def by_facegan(folder: Path, crop: int, resolution: int, *, draft: bool) -> int:
    from facegan.config import DataConfig
    from facegan.data.packed.load import load

    shutil.rmtree(os.environ["FACEGAN_CACHE"], ignore_errors=True)
    data = DataConfig(source=str(folder), crop=f"center:{crop}", draft=draft)
    return len(load(data, resolution=resolution, channels=3))


def opening(options: argparse.Namespace, temporary: Path) -> dict[str, Any]:
    """Measure the milliseconds and megabytes of opening, in new processes."""
    folder = drawn(options, temporary)

    def side(name: str) -> tuple[int, float, int]:
        count, seconds, added = json.loads(turns.process("-c", OPEN, name, folder).output)
        return count, seconds * 1e3, added / 1e6

    results = turns.alternate({name: partial(side, name) for name in ("numpy", "facegan")}, options.turns)
    document = {}
    for name, runs in results.items():
        counts, milliseconds, megabytes = zip(*runs, strict=True)
        document[name] = {
            "milliseconds": turns.summary(milliseconds), "resident_megabytes_added": turns.summary(megabytes)
        }  # fmt: skip
    size = sum(file.stat().st_size for file in os.scandir(folder))
    turns.table(
        f"Opening {counts[0]:,} packed images, {size / 1e6:,.0f} MB on disk",
        ("side", "milliseconds", "MB of memory"),
        [(name, *map(turns.in_words, side.values())) for name, side in document.items()],
    )
    return {"num_images": counts[0], "bytes_on_disk": size, "sides": document}


def feeding(options: argparse.Namespace, temporary: Path) -> dict[str, Any]:
    """Measure steps on new batches, from the second epoch on, against steps on one batch in memory."""
    import bound

    from facegan.config import resolve
    from facegan.data.packed.load import load
    from facegan.devices import resolve_device
    from facegan.training.loop import make_loader
    from facegan.training.state import build_state
    from facegan.training.step import training_step

    source = options.data or drawn(options, temporary)
    settings = [*options.settings, f"train.device={options.device}"]
    config = resolve(flags={"data": {"source": str(source)}}, settings=settings).complete()
    packed = load(config.data, resolution=config.resolution, channels=config.channels)
    device, batch_size = resolve_device(config.train.device), config.train.batch_size
    state = build_state(config, device)
    loader = make_loader(packed, state)
    first = -(-len(packed) // batch_size)  # the first step of the second epoch
    for step in range(first):
        loader.batch(step)
    there, numbers = loader.batch(first), iter(range(first, 10**9))
    training_step(state, there)

    def timed(work: Callable[[], object]) -> float:
        bound.wait(device)
        begin = time.perf_counter()
        for _ in range(options.steps):
            work()
        bound.wait(device)
        return 1e3 * (time.perf_counter() - begin) / options.steps

    sides = {
        "steps on one batch": partial(timed, lambda: training_step(state, there)),
        "steps on new batches": partial(timed, lambda: training_step(state, loader.batch(next(numbers)))),
        "new batches alone": partial(timed, lambda: loader.batch(next(numbers))),
    }
    times = turns.alternate(sides, options.turns)
    document = {
        name: {
            "milliseconds_a_step": turns.summary(mine),
            "over_one_batch": turns.ratios(mine, times["steps on one batch"]),
        }
        for name, mine in times.items()
    }
    turns.table(
        f"Feeding on {device}, batches of {batch_size}, {len(packed):,} images",
        ("side", "ms a step", "over steps on one batch"),
        [(name, *map(turns.in_words, side.values())) for name, side in document.items()],
    )
    return {"device": str(device), "batch_size": batch_size, "steps": options.steps, "sides": document}


def memory(options: argparse.Namespace, temporary: Path) -> dict[str, Any]:
    """Measure an epoch with and without a memory limit."""
    source = options.data or drawn(options, temporary)

    def side(limit_mb: int) -> dict[str, Any]:
        command = [__file__, "--what", "memory", "--data", source, "--child", "--limit-mb", limit_mb]
        result: dict[str, Any] = json.loads(turns.process(*command).output)
        return result

    sides = {"limited": partial(side, options.limit_mb), "free": partial(side, 0)}
    results = turns.alternate(sides, options.turns)
    if len({run["digest"] for runs in results.values() for run in runs}) > 1:
        raise SystemExit("memory: the batches differ")
    document = {
        name: {
            "images_per_second": turns.summary(run["images_per_second"] for run in runs),
            "anonymous_megabytes_added": turns.summary(run["anonymous_mb_added"] for run in runs),
        }
        for name, runs in results.items()
    }
    set_mb = results["free"][0]["set_mb"]
    turns.table(
        f"Reading {set_mb:,} MB of images with at most {options.limit_mb} MB of memory, and without a limit",
        ("side", "images/s", "MB of private memory"),
        [(name, *map(turns.in_words, side.values())) for name, side in document.items()],
    )
    return {"limit_mb": options.limit_mb, "set_mb": set_mb, "sides": document}


def read_an_epoch(packed: "PackedImages", limit_mb: int) -> dict[str, object]:
    """Read one epoch with private memory limited to `limit_mb` beyond what is in use; 0 is no limit."""
    from facegan.data.loader import InfiniteSampler, Loader

    if limit_mb:
        limit = _status("VmData") + limit_mb * 10**6
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    loader, digest = Loader(packed.images, InfiniteSampler(len(packed), batch_size=128, seed=0)), hashlib.sha256()
    before, begin = _status("RssAnon"), time.perf_counter()
    num_steps = len(packed) // 128
    for step in range(num_steps):
        digest.update(loader.batch(step).numpy().tobytes() if step % 16 == 0 else b"")
    seconds = time.perf_counter() - begin
    return {
        "set_mb": round(packed.images.nbytes / 1e6),
        "images_per_second": num_steps * 128 / seconds,
        "anonymous_mb_added": (_status("RssAnon") - before) / 1e6,
        "digest": digest.hexdigest(),
    }


def _status(key: str) -> int:
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(f"{key}:"))


def drawn(options: argparse.Namespace, temporary: Path) -> Path:
    """Return a packed folder of drawn faces of 64x64; it is made once."""
    import jittered

    from facegan.data.packed.packed_images import is_packed

    folder: Path = options.keep or temporary / "packed"
    if not is_packed(folder):
        turns.note(f"making {options.num:,} packed images")
        jittered.packed_folder(folder, options.num, resolution=64)
    return folder


QUESTIONS = {"packing": packing, "opening": opening, "feeding": feeding, "memory": memory}


def main() -> None:
    parser = turns.parser(__doc__, "data", turns=5)
    parser.add_argument("--what", choices=(*QUESTIONS, "all"), default="all")
    parser.add_argument("--data", type=Path, help="the images; default: drawn faces")
    parser.add_argument("--set", dest="settings", action="append", default=[], help="a setting, for feeding")
    parser.add_argument("--crop", type=int, default=128, help="side of the centre crop, for packing")
    parser.add_argument("--resolution", type=int, default=64, help="resolution, for packing")
    parser.add_argument("--num", type=int, default=200_000, help="number of drawn faces")
    parser.add_argument("--keep", type=Path, help="folder that keeps the packed drawn faces")
    parser.add_argument("--steps", type=int, default=40, help="steps per side and turn, for feeding")
    parser.add_argument("--device", default="auto", help="device, for feeding")
    parser.add_argument("--limit-mb", type=int, default=300, help="memory limit, for memory")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        from facegan.config import DataConfig
        from facegan.data.packed.load import load

        packed = load(DataConfig(source=str(options.data)), resolution=64, channels=3)
        print(json.dumps(read_an_epoch(packed, options.limit_mb)))
        return
    wanted = list(QUESTIONS) if options.what == "all" else [options.what]
    with tempfile.TemporaryDirectory() as temporary:
        results = {name: QUESTIONS[name](options, Path(temporary)) for name in wanted}
    turns.write(options, results)


if __name__ == "__main__":
    main()
