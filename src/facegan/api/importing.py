"""Generators that were trained elsewhere."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Argument, Option

from ..errors import ConfigError, SnapshotError
from ..messages import counted
from ..reporter import SILENT, Reporter
from .options import PathLike

if TYPE_CHECKING:
    from ..importing.convert import Imported


def import_(
    file: Annotated[PathLike, Argument(help="Weights: a .pth or .pt file of torch.save, or .safetensors.")],
    out: Annotated[PathLike, Option("-o", "--out", help="The snapshot, a .safetensors file.")],
    *,
    key: Annotated[
        str | None, Option(metavar="NAME", help="The part of the file to take: its path, or the end of it (netG).")
    ] = None,
    prior: Annotated[
        str | None,
        Option(help="normal or uniform latents. Default: normal; uniform where G begins with a linear layer."),
    ] = None,
    activation: Annotated[
        str | None, Option(help="relu, leaky_relu or leaky_relu:SLOPE after each batch norm. Default: relu.")
    ] = None,
    output_activation: Annotated[str | None, Option(help="tanh or sigmoid at the end. Default: tanh.")] = None,
    eps: Annotated[float | None, Option(help="Epsilon of batch norm. Default: 1e-5, as torch's.")] = None,
    force: Annotated[bool, Option("--force", help="Replace a file that exists.")] = False,
    reporter: Reporter = SILENT,
) -> "Imported":
    """Turn a DCGAN's generator trained elsewhere into a snapshot.

    facegan knows the layout of the PyTorch tutorial (main.0.weight, main.1.weight, ...), the one that begins with a
    linear layer (fc.weight, deconv1.0.weight, ...), and others of the same structure. Layers are recognised by their
    shapes, not their names; the file can also hold a discriminator, optimizers and a few other objects. No code in it
    is run. Weights do not show activations: facegan assumes ReLU after each batch norm, tanh at the end and none after
    a linear layer. Compare the images: with a wrong activation, they are no faces.
    """
    path = Path(out)
    if path.suffix != ".safetensors":
        raise ConfigError(f"-o {path}: a snapshot ends in .safetensors")
    if path.exists() and not force:
        raise SnapshotError(f"-o {path}: exists already; choose another name, or replace it with --force")

    from ..importing.convert import Assumptions, import_generator

    given = Assumptions(prior, activation, output_activation, eps)
    found = import_generator(Path(file), path, key=key, given=given, reporter=reporter)
    _report(file, found, reporter)
    return found


def _report(file: PathLike, found: "Imported", reporter: Reporter) -> None:
    """Say what a file holds, what was left out of it, and what was assumed."""
    layout, part = found.layout, f", in {found.key!r}," if found.key else ""
    begins = "a linear layer" if layout.head == "linear" else "a convolution of z"
    size = f"{layout.resolution}x{layout.resolution}, {counted(layout.channels, 'channel')}"
    reporter.info(
        f"{file}{part} holds a DCGAN generator that begins with {begins} ({layout.layers[0].name!r} to "
        f"{layout.layers[-1].name!r}): {size}, z_dim {layout.z_dim}, ngf {layout.ngf}, "
        f"{found.num_parameters:,} parameters"
    )
    if found.left_out:
        reporter.info(f"left out: {', '.join(found.left_out)}, next to it")
    if found.assumed:
        words = {"prior": "{} latents", "activation": "{} after batch norm", "output_activation": "{} at the end"}
        words |= {"eps": "batch norm's eps {:g}"}
        taken = ", ".join(words[name].format(value) for name, value in found.assumed.items())
        options = ", ".join(f"--{name.replace('_', '-')}" for name in found.assumed)
        reporter.info(f"assumed: {taken}, which weights do not show; {options} can change that")
    if layout.head == "linear":
        reporter.info("assumed: no activation between the linear layer and the first convolution")
