"""Generators that were trained elsewhere."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Argument, Option

from ..errors import ConfigError, SnapshotError
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
) -> "Imported":
    """Turn a DCGAN's generator trained elsewhere into a snapshot.

    Known are the PyTorch tutorial's layout (main.0.weight, main.1.weight, ...), the one that begins with a linear layer
    (fc.weight, deconv1.0.weight, ...) and others of the same structure. Layers are recognised by shapes, whatever their
    names; the file can also hold a discriminator and optimizers. No code in it is run. Weights do not tell activations:
    ReLU after each batch norm, tanh at the end and none after a linear layer are assumed.
    """
    path = Path(out)
    if path.suffix != ".safetensors":
        raise ConfigError(f"-o {path}: a snapshot ends in .safetensors")
    if prior not in (None, "normal", "uniform"):
        raise ConfigError(f"--prior {prior}: give normal or uniform")
    if path.is_dir():
        raise SnapshotError(f"-o {path}: is a folder; give a file that ends in .safetensors")
    if path.exists() and not force:
        raise SnapshotError(f"-o {path}: exists already; choose another name, or replace it with --force")

    from ..importing.convert import import_generator

    return import_generator(Path(file), path, key=key, prior=prior)
