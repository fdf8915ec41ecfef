"""What `facegan sample` costs beside what cannot be saved: forward passes, PNG encoding, and loading torch.

    python benchmarks/sampling.py [--num 10000] [--model SNAPSHOT] [--turns 3]

Three questions, each asked of whole processes in turns: `facegan sample -n 64` beside `python -c "import torch"`;
NUM faces to a folder beside the bare forward passes and PNG encoding of as many; the peak memory of 20,000 faces beside
that of 1,000. Without --model, an untrained DCGAN of the default width is drawn from.
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
    parser.add_argument("--num", type=int, default=10_000)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--few", type=int, default=1_000, help="faces whose memory is compared")
    parser.add_argument("--many", type=int, default=20_000, help="with that of so many; 0: leave that out")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        model = str(options.model or Path(temporary) / "G.safetensors")
        if options.model is None:
            turns.process("-c", MAKE, model)
        sample = ["-m", "facegan", "sample", model]
        folder = f"{temporary}/faces/"
        questions = {
            "a grid of 64, beside loading torch": {
                "facegan sample -n 64": [*sample, "-n", 64, "-o", f"{temporary}/g.png"],
                "import torch": ["-c", "import torch"],
            },
            f"{options.num:,} faces to a folder, beside forward passes and PNG": {
                f"facegan sample -n {options.num}": [*sample, "-n", options.num, "-o", folder],
                "bare": ["-c", BARE, model, options.num],
            },
        }
        if options.many:
            questions["memory of many faces, beside that of few"] = {
                f"facegan sample -n {num}": [*sample, "-n", num, "-o", folder] for num in (options.many, options.few)
            }
        document = {question: asked(sides, options.turns) for question, sides in questions.items()}
    turns.table(
        "Sampling, whole processes",
        ("process", "seconds", "over the other", "peak MB", "over the other"),
        [(name, *map(turns.in_words, side.values())) for sides in document.values() for name, side in sides.items()],
    )
    turns.write(options, {"questions": document})


def asked(sides: dict[str, list[object]], num_turns: int) -> dict[str, dict[str, Any]]:
    """Seconds and peak memory of two processes, and how they compare turn by turn."""
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
