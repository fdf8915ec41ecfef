"""Compare `facegan train` on one CUDA device with the textbook's loop: complete processes, a set of CelebA's size.

    python benchmarks/train_gpu.py [--num-images 202599] [--epochs 25] [--steps 3000] [--turns 3]
    python benchmarks/train_gpu.py --variant train.compile=true --variant train.precision=tf32 --epochs 0

The images are drawn faces, repeated and jittered: packed ones for facegan and for the textbook's step fed from the
device's memory, and as many JPEG files of CelebA's size for the textbook's loader. Sides, in turns: facegan with its
defaults (one iteration captured as a CUDA graph), facegan with train.capture=off, the textbook's step fed from the
device, the textbook with --workers, and one more facegan for each --variant. All write equally often (see sides.py). At
the end comes one complete run of --epochs with facegan's own intervals; 0 leaves it out.

Images per second are measured for complete processes, and for the loop alone without its first 50 steps. The bound is
the rate of the device itself, measured before each turn: bf16 products of matrices at 2.28 GFLOP per image, and copies
at 14 MB of activations per image; the share refers to the lower of both. Without a CUDA device, the benchmark exits
with code 2.
"""

import argparse
import importlib.util
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import turns

if TYPE_CHECKING:
    import torch
    from sides import Trained


def main() -> None:
    options = arguments().parse_args()
    import bound
    import sides
    import torch

    from facegan.config import resolve

    if not torch.cuda.is_available():
        turns.refuse("train_gpu: torch sees no CUDA device here; train_cpu.py measures training on the CPU")
    size = [f"resolution={options.size}", f"architecture.ngf={options.width}", f"architecture.ndf={options.width}"]
    settings = [*size, "train.device=cuda", *options.settings]
    flops = bound.flops_of(resolve(settings=size).complete())
    moved = bound.activation_bytes_an_image(options.size, options.width, options.width)
    floors: dict[str, list[float]] = {"product": [], "copy": []}  # images/s that the device would allow

    def measure_the_device() -> None:
        product, copy = device_rates(torch.device("cuda"))
        floors["product"].append(product / flops)
        floors["copy"].append(copy / moved)
        turns.note(f"bf16 product {product / 1e12:.0f} TFLOP/s, copy {copy / 1e12:.2f} TB/s")

    with tempfile.TemporaryDirectory(dir=options.folder) as temporary:
        begin = time.perf_counter()
        packed, files = make_images(options, Path(temporary))
        turns.note(f"made {options.num_images:,} images in {time.perf_counter() - begin:.0f} s")
        each = chosen(options, packed, files, settings)
        results = turns.alternate(each, options.turns, between=measure_the_device)
        complete = complete_run(options, packed, settings) if options.epochs else None
    document = sides.report(results, "textbook, resident")
    lowest = [min(pair) for pair in zip(*floors.values(), strict=True)]
    shares = {
        name: turns.summary(run.loop_images_per_second / floor for run, floor in zip(runs, lowest, strict=True))
        for name, runs in results.items()
    }
    title = f"{torch.cuda.get_device_name()}, batches of {options.batch_size}, {options.size} px, width {options.width}"
    sides.show(title, document, "textbook, resident", {"loop, % of the bound": shares})
    for name, floor in floors.items():
        print(f"bound by {name}: {turns.in_words(turns.summary(floor))} images/s")
    if "textbook, loader" in results:
        rates = [[run.loop_images_per_second for run in results[name]] for name in ("facegan", "textbook, loader")]
        print(
            f"facegan's loop over the textbook's with {options.workers} workers: {turns.in_words(turns.ratios(*rates))}"
        )
    if complete:
        print(
            f"{options.epochs} epochs of {options.num_images:,}: {complete['seconds']:.1f} s the complete process, "
            f"{complete['loop_images_per_second']:,.0f} images/s sustained"
        )
    turns.write(options, {
        "sides": document, "shares": shares, "whole_run": complete, "flops_an_image": flops, "bytes_an_image": moved,
        "bounds_images_per_second": {name: turns.summary(floor) for name, floor in floors.items()},
        "facegan_settings": settings,
    })  # fmt: skip


def device_rates(device: "torch.device") -> tuple[float, float]:
    """Return operations per second of bf16 products and bytes per second of copies; frees its memory afterwards."""
    import bound
    import torch

    rates = bound.product_rate(device, torch.bfloat16, size=8192), bound.copy_bandwidth(device)
    torch.cuda.empty_cache()
    return rates


def make_images(options: argparse.Namespace, temporary: Path) -> tuple[Path, Path | None]:
    """Make a packed folder, and a folder of files if a loader can read them."""
    import jittered

    packed = jittered.packed_folder(temporary / "packed", options.num_images, resolution=options.size)
    if not options.workers or importlib.util.find_spec("torchvision") is None:
        turns.note("the textbook's loader is left out: " + ("no workers" if not options.workers else "no torchvision"))
        return packed, None
    return packed, jittered.jpeg_folder(temporary / "files", options.num_images)


def chosen(
    options: argparse.Namespace, packed: Path, files: Path | None, settings: list[str]
) -> "dict[str, Callable[[], Trained]]":
    """Return the sides by name."""
    import sides

    env, settings = turns.surroundings(), [*settings, *sides.EQUAL_WRITING]
    book = ["--batch-size", options.batch_size, "--width", options.width, "--size", options.size, "--device", "cuda"]

    def train(extra: str) -> sides.Trained:
        return sides.facegan(
            "--data", packed, "--steps", options.steps, settings=[*settings, *extra.split()],
            batch_size=options.batch_size, env=env,
        )  # fmt: skip

    resident = ["--data", packed, "--resident", "--steps", options.steps]
    every: dict[str, Callable[[], Trained]] = {
        "facegan": partial(train, ""),
        "facegan, train.capture=off": partial(train, "train.capture=off"),
        "textbook, resident": partial(sides.textbook, *resident, *book, env=env),
    }
    if files is not None:
        loader = ["--data", files, "--workers", options.workers, "--steps", options.loader_steps]
        every["textbook, loader"] = partial(sides.textbook, *loader, *book, env=env)
    return every | {f"facegan, {extra}": partial(train, extra) for extra in options.variant}


def complete_run(options: argparse.Namespace, packed: Path, settings: list[str]) -> dict[str, Any]:
    """Run all epochs with facegan's own intervals of writing."""
    from dataclasses import asdict

    import sides

    length = ["--data", packed, "--epochs", options.epochs]
    run = sides.facegan(*length, settings=settings, batch_size=options.batch_size, env=turns.surroundings())
    turns.note(f"{options.epochs} epochs, {run.seconds:.1f} s")
    return asdict(run)


def arguments() -> argparse.ArgumentParser:
    parser = turns.parser(__doc__, "train_gpu")
    parser.add_argument("--num-images", type=int, default=202_599, help="number of images; default: CelebA's")
    parser.add_argument("--epochs", type=int, default=25, help="epochs of the complete run at the end; 0 leaves it out")
    parser.add_argument("--steps", type=int, default=3000, help="steps per side and turn")
    parser.add_argument("--loader-steps", type=int, default=1583, help="steps of the textbook's loader: an epoch")
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--width", type=int, default=64, help="ngf and ndf")
    parser.add_argument("--size", type=int, default=64, choices=(16, 32, 64, 128), help="side of the images")
    parser.add_argument("--workers", type=int, default=16, help="workers of the textbook's loader; 0: none")
    parser.add_argument("--set", dest="settings", action="append", default=[], help="a setting of all facegan sides")
    parser.add_argument("--variant", action="append", default=[], help="settings (a=b c=d) of one more facegan side")
    parser.add_argument("--folder", type=Path, help="folder for the images: 5 GB by default, removed at the end")
    return parser


if __name__ == "__main__":
    main()
