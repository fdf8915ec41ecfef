"""Compare `facegan train` on the CPU with the textbook's loop: complete processes on the same images.

    python benchmarks/train_cpu.py --data FOLDER_OF_FOLDERS [--steps 40] [--turns 3]
    python benchmarks/train_cpu.py --variant train.precision=bf16 --variant "train.channels_last=false"

Sides: textbook.py with as many workers as cores; facegan's first run on a folder, which packs it; later runs, which
find it packed; and one more for each --variant. One epoch, unless --steps is given. Before each turn the machine's own
rate is measured: float32 products of two 4096x4096 matrices with torch's BLAS library, and the same product as a 1x1
convolution with oneDNN, which is faster on some processors. The share is images/s times the operations per image (2.28
GFLOP at the default size), divided by that rate.

Both sides write equally often: losses every 50 steps, a grid every 500. facegan additionally writes one snapshot and
state at the end, its curves and its model card. With --defaults it writes at its own intervals.
"""

import argparse
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import turns


def main() -> None:
    options = arguments().parse_args()
    import bound
    import sides
    import torch

    from facegan.config import resolve

    size = [f"resolution={options.size}", f"architecture.ngf={options.width}", f"architecture.ndf={options.width}"]
    writing = [] if options.defaults else [*sides.EQUAL_WRITING]
    settings = [*size, "train.device=cpu", *writing, *options.settings]
    flops = bound.flops_of(resolve(settings=settings).complete())
    torch.set_num_threads(options.threads or turns.cores())
    rates: dict[str, list[float]] = {"product": [], "convolution": []}

    def measure_the_machine() -> None:
        for name, rate in (("product", bound.product_rate), ("convolution", bound.convolution_rate)):
            rates[name].append(rate(torch.device("cpu"), torch.float32, size=options.product))
        turns.note(", ".join(f"{name} {each[-1] / 1e9:.0f} GFLOP/s" for name, each in rates.items()))

    with tempfile.TemporaryDirectory() as temporary:
        data = options.data or drawn_folder(Path(temporary) / "images", options.num_images)
        results = turns.alternate(
            chosen(options, data, settings, Path(temporary)), options.turns, between=measure_the_machine
        )
    document = sides.report(results, "textbook")
    shares = {
        name: {
            side: turns.summary(run.images_per_second * flops / rate for run, rate in zip(runs, each, strict=True))
            for side, runs in results.items()
        }
        for name, each in rates.items()
    }
    title = f"{turns.cores()} CPU cores, batches of {options.batch_size}, {options.size} px, width {options.width}"
    sides.show(title, document, "textbook", {f"% of the {name}'s rate": each for name, each in shares.items()})
    for name, each in rates.items():
        print(f"float32 {name}, GFLOP/s: {turns.in_words(turns.summary(each), 1e-9)}")
    print(f"{flops / 1e9:.4g} GFLOP per image")
    turns.write(options, {
        "sides": document, "shares": shares, "flops_an_image": flops, "facegan_settings": settings,
        "flops_a_second": {name: turns.summary(each) for name, each in rates.items()},
    })  # fmt: skip


def chosen(
    options: argparse.Namespace, data: Path, settings: list[str], temporary: Path
) -> dict[str, Callable[[], object]]:
    """Return the sides by name; packs the images that later runs find packed."""
    import sides

    length = ["--steps", options.steps] if options.steps else ["--epochs", options.epochs]
    kept = turns.surroundings(options.threads, FACEGAN_CACHE=str(temporary / "kept"))
    words = ["-m", "facegan", "pack", data, "--resolution", options.size]
    turns.process(*words, env=kept)  # also reads every file once, so that later reads come from the page cache

    def train(extra: str, env: dict[str, str]) -> sides.Trained:
        return sides.facegan(
            "--data", data, *length, settings=[*settings, *extra.split()], batch_size=options.batch_size, env=env
        )

    def first_run() -> sides.Trained:
        with tempfile.TemporaryDirectory() as cache:
            return train("", turns.surroundings(options.threads, FACEGAN_CACHE=cache))

    book = ["--data", data, *length, "--batch-size", options.batch_size, "--width", options.width]
    book += ["--size", options.size, "--device", "cpu", "--workers", options.workers]
    every: dict[str, Callable[[], sides.Trained]] = {
        "textbook": partial(sides.textbook, *book, env=turns.surroundings(options.threads)),
        "facegan, first run": first_run,
        "facegan, packed": partial(train, "", kept),
    }
    return every | {f"facegan, {extra}": partial(train, extra, kept) for extra in options.variant}


def drawn_folder(path: Path, num: int) -> Path:
    """Make a folder of drawn faces as files, of CelebA's size."""
    from jittered import jpeg_folder

    turns.note(f"drawing {num} images, since no --data was given")
    return jpeg_folder(path, num)


def arguments() -> argparse.ArgumentParser:
    parser = turns.parser(__doc__, "train_cpu")
    parser.add_argument("--data", type=Path, help="a folder of folders of images; default: drawn faces")
    parser.add_argument("--num-images", type=int, default=8192, help="number of drawn faces without --data")
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--steps", type=int, default=0, help="instead of --epochs")
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--width", type=int, default=64, help="ngf and ndf")
    parser.add_argument("--size", type=int, default=64, choices=(16, 32, 64, 128), help="side of the images")
    parser.add_argument("--threads", type=int, default=0, help="OMP_NUM_THREADS of both sides; default: torch's choice")
    parser.add_argument("--workers", type=int, default=turns.cores(), help="workers of the textbook's DataLoader")
    parser.add_argument("--set", dest="settings", action="append", default=[], help="a setting of all facegan sides")
    parser.add_argument("--variant", action="append", default=[], help="settings (a=b c=d) of one more facegan side")
    parser.add_argument("--defaults", action="store_true", help="facegan writes at its own intervals")
    parser.add_argument("--product", type=int, default=4096, help="side of the matrices whose product gives the bound")
    return parser


if __name__ == "__main__":
    main()
