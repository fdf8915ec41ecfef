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
    key: Annotated[str | None, Option(metavar="NAME", help="The part of the file to take, for instance netG.")] = None,
    prior: Annotated[
        str | None,
        Option(help="normal or uniform latents. Default: normal; uniform where G begins with a linear layer."),
    ] = None,
    force: Annotated[bool, Option("--force", help="Replace a file that exists.")] = False,
    reporter: Reporter = SILENT,
) -> "Imported":
    """Turn a DCGAN's generator trained elsewhere into a snapshot.

    facegan knows the layout of the PyTorch tutorial (main.0.weight, main.1.weight, ...), the one that begins with a
    linear layer (fc.weight, deconv1.0.weight, ...), and others of the same structure. Layers are recognised by their
    shapes, not their names; the file can also hold a discriminator and optimizers. No code in it is run. Weights do
    not show activations: facegan assumes ReLU after each batch norm, tanh at the end and none after a linear layer.
    """
    path = Path(out)
    if path.suffix != ".safetensors":
        raise ConfigError(f"-o {path}: a snapshot ends in .safetensors")
    if path.exists() and not force:
        raise SnapshotError(f"-o {path}: exists already; choose another name, or replace it with --force")

    from ..importing.convert import import_generator

    found = import_generator(Path(file), path, key=key, prior=prior)
    layout, part = found.layout, f", in {found.key!r}," if found.key else ""
    begins = "a linear layer" if layout.head == "linear" else "a convolution of z"
    size = f"{layout.resolution}x{layout.resolution}, {counted(layout.channels, 'channel')}"
    reporter.info(
        f"{file}{part} holds a DCGAN generator that begins with {begins} ({layout.layers[0].name!r} to "
        f"{layout.layers[-1].name!r}): {size}, z_dim {layout.z_dim}, ngf {layout.ngf}, "
        f"{found.num_parameters:,} parameters"
    )
    if prior is None:
        assumed = found.config.part("architecture").prior
        reporter.info(f"assumed: {assumed} latents, which weights do not tell; --prior changes that")
    if layout.head == "linear":
        reporter.info("assumed: no activation between the linear layer and the first convolution")
    return found
