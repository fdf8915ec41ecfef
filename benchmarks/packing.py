"""How long facegan takes to pack a folder of pictures, beside one epoch of torchvision's ImageFolder in a DataLoader.

Both read, decode, cut out the centre and resize it with the same filter, with as many workers; torchvision's side also
makes batches of bytes and drops them, facegan's also writes the packed set, its digests and its index to the disk.

    python benchmarks/packing.py --data FOLDER_OF_FOLDERS [--crop 128] [--resolution 64] [--repeats 5]
"""

import argparse
import json
import os
import shutil
import statistics
import sys
import tempfile
import time
import warnings
from pathlib import Path

import torch
from torchvision import datasets
from torchvision.transforms import CenterCrop, Compose, InterpolationMode, PILToTensor, Resize

from facegan.config import DataConfig
from facegan.data.packed.loading import load


def by_torchvision(folder: Path, crop: int, resolution: int, num_workers: int) -> int:
    steps = [CenterCrop(crop), Resize(resolution, InterpolationMode.BICUBIC), PILToTensor()]
    pictures = datasets.ImageFolder(folder, Compose(steps))
    loader = torch.utils.data.DataLoader(pictures, batch_size=128, num_workers=num_workers)
    return sum(len(batch) for batch, _ in loader)


def by_facegan(folder: Path, crop: int, resolution: int, draft: bool) -> int:
    shutil.rmtree(os.environ["FACEGAN_CACHE"], ignore_errors=True)
    data = DataConfig(source=str(folder), crop=f"center:{crop}", draft=draft)
    return len(load(data, resolution=resolution, channels=3))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--crop", type=int, default=128)
    parser.add_argument("--resolution", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    warnings.filterwarnings("ignore", module="torch")
    num_workers = os.cpu_count() or 1
    sides = {
        "torchvision": lambda: by_torchvision(options.data, options.crop, options.resolution, num_workers),
        "facegan": lambda: by_facegan(options.data, options.crop, options.resolution, draft=False),
        "facegan, draft": lambda: by_facegan(options.data, options.crop, options.resolution, draft=True),
    }
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    with tempfile.TemporaryDirectory() as cache:
        os.environ["FACEGAN_CACHE"] = cache + "/facegan"
        num_images = sides["facegan"]()  # reads every file once, so that none comes from the disk later
        for number in range(options.repeats):
            for name, side in sides.items():
                start = time.perf_counter()
                assert side() == num_images, f"{name} saw another number of pictures"
                seconds[name].append(time.perf_counter() - start)
            print(number + 1, {name: round(num_images / each[-1]) for name, each in seconds.items()}, file=sys.stderr)
    ratios = {
        name: [theirs / ours for theirs, ours in zip(seconds["torchvision"], seconds[name], strict=True)]
        for name in sides
    }
    result = {
        "num_images": num_images,
        "num_workers": num_workers,
        "images_per_second": {name: round(num_images / min(each)) for name, each in seconds.items()},
        "ratio_median": {name: round(statistics.median(each), 3) for name, each in ratios.items()},
        "ratio_range": {name: [round(min(each), 3), round(max(each), 3)] for name, each in ratios.items()},
    }
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
