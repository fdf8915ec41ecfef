"""What it costs to open 200,000 packed pictures of 64x64: time, and resident memory.

    python benchmarks/opening.py [--num 200000] [--keep FOLDER]

Makes the set from the built-in drawn faces (some minutes; `--keep` keeps it for the next time), then opens it in new
processes.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from facegan.config import DataConfig
from facegan.data.packed.loading import pack_folder
from facegan.data.packed.stored import is_stored

OPEN = """
import json, resource, sys, time
from facegan.config import DataConfig
from facegan.data.packed.loading import load

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()

data = DataConfig(source=sys.argv[1])
before, start = resident(), time.perf_counter()
packed = load(data, resolution=64, channels=3)
seconds = time.perf_counter() - start
print(json.dumps([len(packed), seconds, resident() - before]))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--num", type=int, default=200_000)
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--repeats", type=int, default=9)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.keep or Path(temporary) / "packed"
        if not is_stored(folder):
            start = time.perf_counter()
            pack_folder(
                DataConfig(source="drawn", options={"num_images": options.num}), folder, resolution=64, channels=3
            )
            print(f"packed {options.num} drawn faces in {time.perf_counter() - start:.0f} s", file=sys.stderr)
        command = [sys.executable, "-c", OPEN, str(folder)]
        results = [
            json.loads(subprocess.run(command, capture_output=True, check=True).stdout) for _ in range(options.repeats)
        ]
        on_disk = sum(file.stat().st_size for file in os.scandir(folder))
    counts, seconds, added = zip(*results, strict=True)
    print(json.dumps({
        "num_images": counts[0],
        "bytes_on_disk": on_disk,
        "milliseconds_median": round(statistics.median(seconds) * 1e3, 1),
        "milliseconds_worst": round(max(seconds) * 1e3, 1),
        "resident_megabytes_added_worst": round(max(added) / 1e6, 1),
    }, indent=2))  # fmt: skip


if __name__ == "__main__":
    main()
