"""`facegan hello-faces`: show faces in the terminal, for example over ssh."""

from typing import Annotated

import typer

from facegan.cli.options import Model, find_snapshot

HALF = "▀"  # the upper half of a character cell; the lower half shows the background colour


def hello_faces(
    model: Model = None,
    num: Annotated[int, typer.Option("-n", "--num", min=1, max=16, help="Number of faces, side by side.")] = 4,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the first face; the next ones follow.")] = 0,
    size: Annotated[int, typer.Option(min=8, max=64, help="Width of a face in characters.")] = 16,
) -> None:
    """Show faces in the terminal, in 24-bit colour."""
    from PIL import Image

    from facegan.checkpoint import load_generator
    from facegan.images import grid, to_uint8

    generator = load_generator(find_snapshot(model))
    faces = to_uint8(generator.sample(range(seed, seed + num)))  # (num, C, H, W)
    sheet = Image.fromarray(grid(faces, columns=num)).convert("RGB").resize((size * num, size), Image.Resampling.BOX)
    for row in range(0, size - 1, 2):
        print(
            "".join(cell(sheet.getpixel((x, row)), sheet.getpixel((x, row + 1))) for x in range(sheet.width))
            + "\x1b[0m"
        )
    last = seed + num - 1
    print(f"seeds {seed} to {last}, step {generator.origin.step}: synthetic faces")


def cell(upper: tuple[int, int, int], lower: tuple[int, int, int]) -> str:
    """Return one character that shows two pixels, one above the other."""
    return f"\x1b[38;2;{upper[0]};{upper[1]};{upper[2]}m\x1b[48;2;{lower[0]};{lower[1]};{lower[2]}m{HALF}"
