"""What `facegan sample` costs beside what cannot be saved: forward passes, PNG encoding, and loading torch.

    python benchmarks/sampling.py [--num 10000] [--model SNAPSHOT] [--repeats 3]

Three questions, each asked of whole processes in turns, best of the repeats: NUM faces at 64x64 to a folder against the
bare forward passes and PNG encoding of as many; `facegan sample -n 64` against `python -c "import torch"`; the peak
memory of 1,000 faces against that of 20,000. Without --model, an untrained DCGAN of the default width is drawn from.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

BARE = """
import io, sys
import torch
from PIL import Image
from facegan.snapshots import load_generator

num = int(sys.argv[2])
G = load_generator(sys.argv[1]).network
noise = torch.Generator().manual_seed(0)
with torch.no_grad():
    for start in range(0, num, 64):
        images = G(torch.randn(64, 100, generator=noise))
        pixels = ((images + 1) * 127.5).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
        for picture in pixels[: num - start]:
            Image.fromarray(picture).save(io.BytesIO(), format="PNG")
"""

MAKE = """
import sys
from pathlib import Path
from facegan.config import resolve
from facegan.snapshots import save_snapshot

config = resolve().complete()
save_snapshot(Path(sys.argv[1]), config, 0, {"G": config.part("architecture").generator(64, 3)})
"""


def process(*arguments: str) -> tuple[float, float]:
    """Seconds and peak resident megabytes of a process."""
    start = time.perf_counter()
    child = subprocess.Popen([sys.executable, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    if status:
        raise SystemExit(f"{' '.join(arguments)}: failed with {status}")
    return time.perf_counter() - start, usage.ru_maxrss / 1024


def ratio(ours: list[str], other: list[str], repeats: int) -> dict[str, float]:
    """Best of the repeats of both sides, in turns."""
    times = [(process(*ours)[0], process(*other)[0]) for _ in range(repeats)]
    mine, others = (min(side) for side in zip(*times, strict=True))
    return {"seconds": round(mine, 2), "beside": round(others, 2), "ratio": round(mine / others, 3)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--num", type=int, default=10_000)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        model = str(options.model or Path(temporary) / "G.safetensors")
        if options.model is None:
            process("-c", MAKE, model)
        sample = ["-m", "facegan", "sample", model]
        folder = f"{temporary}/faces/"
        report = {
            "start": ratio([*sample, "-n", "64", "-o", f"{temporary}/g.png"], ["-c", "import torch"], options.repeats),
            "folder": ratio(
                [*sample, "-n", str(options.num), "-o", folder], ["-c", BARE, model, str(options.num)], options.repeats
            ),
        }
        few, many = (process(*sample, "-n", str(num), "-o", folder)[1] for num in (1_000, 20_000))
        report["memory"] = {"megabytes_1000": round(few), "megabytes_20000": round(many), "ratio": round(many / few, 3)}
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
