"""Compare `facegan sample` with the work it cannot avoid: forward passes, PNG encoding, and loading torch.

    python benchmarks/sampling.py [--num 10000] [--model SNAPSHOT] [--turns 3]

Three comparisons of complete processes, in turns: `facegan sample -n 64` with `python -c "import torch"`; NUM faces to
a folder with the bare forward passes and PNG encoding of as many; the peak memory of 20,000 faces with that of 1,000.
Without --model, an untrained DCGAN of the default width makes the faces.
"""

import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import turns

BARE = """
import io, sys
import torch
from PIL import Image
from facegan.checkpoint import load_generator

num = int(sys.argv[2])
G = load_generator(sys.argv[1]).network
noise = torch.Generator().manual_seed(0)
with torch.no_grad():
    for start in range(0, num, 64):
        images = G(torch.randn(64, 100, generator=noise))
        pixels = ((images + 1) * 127.5).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
        for image in pixels[: num - start]:
            Image.fromarray(image).save(io.BytesIO(), format="PNG")
"""

MAKE = """
import sys
from pathlib import Path
from facegan.config import resolve
from facegan.checkpoint import save_snapshot

config = resolve().complete()
save_snapshot(Path(sys.argv[1]), config, 0, {"G": config.part("architecture").generator(64, 3)})
"""


def main() -> None:
    parser = turns.parser(__doc__, "sampling")
    parser.add_argument("--num", type=int, default=10_000, help="faces to a folder")
    parser.add_argument("--model", type=Path, help="a snapshot; default: an untrained DCGAN")
    parser.add_argument("--few", type=int, default=1_000, help="number of faces whose memory is compared")
    parser.add_argument("--many", type=int, default=20_000, help="with that of this many faces; 0 leaves it out")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        model = str(options.model or Path(temporary) / "G.safetensors")
        if options.model is None:
            turns.process("-c", MAKE, model)
        sample = ["-m", "facegan", "sample", model]
        folder = f"{temporary}/faces/"
        questions = {
            "a grid of 64, against loading torch": {
                "facegan sample -n 64": [*sample, "-n", 64, "-o", f"{temporary}/g.png"],
                "import torch": ["-c", "import torch"],
            },
            f"{options.num:,} faces to a folder, against forward passes and PNG": {
                f"facegan sample -n {options.num}": [*sample, "-n", options.num, "-o", folder],
                "bare": ["-c", BARE, model, options.num],
            },
        }
        if options.many:
            questions["memory of many faces, against that of few"] = {
                f"facegan sample -n {num}": [*sample, "-n", num, "-o", folder] for num in (options.many, options.few)
            }
        document = {question: asked(sides, options.turns) for question, sides in questions.items()}
    turns.table(
        "Sampling, complete processes",
        ("process", "seconds", "over the other", "peak MB", "over the other"),
        [(name, *map(turns.in_words, side.values())) for sides in document.values() for name, side in sides.items()],
    )
    turns.write(options, {"questions": document})


def asked(sides: dict[str, list[object]], num_turns: int) -> dict[str, dict[str, Any]]:
    """Measure seconds and peak memory of two processes, and their ratios turn by turn."""
    runs = turns.alternate({name: partial(turns.process, *words) for name, words in sides.items()}, num_turns)
    document = {}
    for name, other in zip(sides, reversed(sides), strict=True):
        document[name] = {}
        for what in ("seconds", "peak_mb"):
            mine, others = ([getattr(run, what) for run in runs[each]] for each in (name, other))
            document[name] |= {what: turns.summary(mine), f"{what}_over_the_other": turns.ratios(mine, others)}
    return document


if __name__ == "__main__":
    main()
