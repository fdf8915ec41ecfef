"""`facegan arithmetic`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import ConfigError
from .options import Device, Json, Model, find_snapshot, print_json

if TYPE_CHECKING:
    from ..recipes import Arithmetic

FAR_OFF = 1.5  # times longer or shorter than a latent of the prior: from here on, faces are seen to suffer


def arithmetic(
    model: Model = None,
    plus: Annotated[
        list[str] | None,
        typer.Option(metavar="SEEDS", help="Points whose mean is added, for instance 1,5,9; can be repeated."),
    ] = None,
    minus: Annotated[
        list[str] | None, typer.Option(metavar="SEEDS", help="Points whose mean is subtracted; can be repeated.")
    ] = None,
    out: Annotated[
        str | None, typer.Option("-o", "--out", help="An image, .png, .jpg or .webp; - writes a PNG to stdout.")
    ] = None,
    save: Annotated[
        Path | None, typer.Option(help="A .safetensors file for the sum's latent, to be given wherever seeds are.")
    ] = None,
    noise: Annotated[float, typer.Option(help="Neighbours differ by uniform noise of up to so much a number.")] = 0.25,
    seed: Annotated[int, typer.Option(help="What the noise is drawn from.", min=0, max=2**32 - 1)] = 0,
    rescale: Annotated[
        bool, typer.Option("--rescale", help="Bring the sum to the length that single latents have.")
    ] = False,
    raw: Annotated[bool, typer.Option("--raw", help="The current weights instead of their moving average.")] = False,
    device: Device = None,
    as_json: Json = False,
) -> None:
    """Add and subtract faces.

    The sum is mean(--plus) - mean(--minus) + mean(--plus) ... The image shows each term's faces over the face of
    their mean, the sum, and the sum among eight neighbours. As in the DCGAN paper, terms are means of about three faces
    that share a trait; three such terms make a sum as long as a single latent. Sums of other lengths give other faces,
    short ones pale and dull, long ones glaring: --rescale brings them to that length, which the paper does not do.
    SEEDS are seeds, ranges (0-7) and files of latents.
    """
    from .making import STDOUT, check_still, check_tensors, make, warn_of_strangers

    if out is None and save is None:
        raise ConfigError("arithmetic: nowhere to write; give -o sum.png, or --save sum.safetensors")
    if out is not None:
        check_still(out, as_json=as_json)
    if save is not None:
        check_tensors(save, "--save", "latents")
    recipe = _recipe(plus or [], minus or [], noise, seed, rescale)
    snapshot = find_snapshot(model)

    from ..checkpoint import load_generator
    from ..devices import resolve_device
    from ..latents import typical_length
    from ..seeds import save_latents

    generator = load_generator(snapshot, raw=raw, device=resolve_device(device or "auto"))
    for _, term in recipe.terms():
        warn_of_strangers(term, generator)
    z = recipe.z(generator)
    _tell_length(float(z.norm()) / typical_length(generator.z_dim, generator.prior))
    if save is not None:
        save.parent.mkdir(parents=True, exist_ok=True)
        save_latents(save, z[None], generator, {"command": " ".join(["facegan", *recipe.flags()])})
    if out is not None:
        make(recipe, generator, out)
    written = [str(path) for path in (save, out) if path is not None]
    if as_json:
        info = {key: getattr(generator.origin, key) for key in ("digest", "step", "weights")}
        print_json({"snapshot": str(snapshot), **info, "length": float(z.norm()), "files": written})
    elif out != STDOUT:
        print(*written, sep="\n")


def _tell_length(share: float) -> None:
    """Say so where a sum is much shorter or longer than single latents are: that shows in its face."""
    if not 1 / FAR_OFF < share < FAR_OFF:
        from .console import console

        how = "pale and dull" if share < 1 else "glaring"
        console().print(
            f"the sum is {share:.2f} times as long as a single latent, and its face {how}; --rescale evens that out",
            markup=False,
        )


def _recipe(plus: list[str], minus: list[str], noise: float, seed: int, rescale: bool) -> "Arithmetic":
    """The recipe that the flags describe; raises ConfigError for what is none, before any model is looked for."""
    if not plus:
        raise ConfigError("arithmetic: nothing to add up; give --plus with seeds, for instance --plus 1,5,9")

    from ..recipes.arithmetic import MOST_NOISE, MOST_TERMS, Arithmetic
    from .making import points_of

    if not 0 <= noise <= MOST_NOISE:
        raise ConfigError(f"--noise is {noise:g}; it must be 0 to {MOST_NOISE:g}")
    for flag, terms in (("--plus", plus), ("--minus", minus)):
        if len(terms) > MOST_TERMS:
            raise ConfigError(f"{flag} is given {len(terms)} times; give it at most {MOST_TERMS} times")
    return Arithmetic(
        plus=tuple(points_of(text, "--plus") for text in plus),
        minus=tuple(points_of(text, "--minus") for text in minus),
        noise=noise, seed=seed, rescale=rescale,
    )  # fmt: skip
