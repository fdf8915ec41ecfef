"""`facegan import`."""

from pathlib import Path
from typing import Annotated

import typer

from ..errors import ConfigError, SnapshotError
from .options import Json, print_json


def import_(
    file: Annotated[Path, typer.Argument(help="Weights: a .pth or .pt file of torch.save, or .safetensors.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="The snapshot, a .safetensors file.")],
    key: Annotated[
        str | None, typer.Option(metavar="NAME", help="The part of the file to take, for instance netG.")
    ] = None,
    prior: Annotated[
        str | None,
        typer.Option(help="normal or uniform latents. Default: normal; uniform where G begins with a linear layer."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that exists.")] = False,
    as_json: Json = False,
) -> None:
    """Turn a DCGAN's generator trained elsewhere into a snapshot.

    Known are the PyTorch tutorial's layout (main.0.weight, main.1.weight, ...), the one that begins with a linear layer
    (fc.weight, deconv1.0.weight, ...) and others of the same structure. Layers are recognised by shapes, whatever they
    are called; the file can also hold a discriminator and optimizers. No code in it is run. Weights do not tell
    activations: ReLU after each batch norm, tanh at the end and none after a linear layer are taken for granted.
    """
    if out.suffix != ".safetensors":
        raise ConfigError(f"-o {out}: a snapshot ends in .safetensors")
    if prior not in (None, "normal", "uniform"):
        raise ConfigError(f"--prior {prior}: give normal or uniform")
    if out.is_dir():
        raise SnapshotError(f"-o {out}: is a folder; give a file that ends in .safetensors")
    if out.exists() and not force:
        raise SnapshotError(f"-o {out}: exists already; choose another name, or replace it with --force")

    from ..importing.convert import import_generator
    from .console import console

    imported = import_generator(file, out, key=key, prior=prior)
    layout, architecture = imported.layout, imported.config.part("architecture")
    if as_json:
        about = {
            "snapshot": str(out),
            "key": imported.key,
            "layers": [module.name for module in layout.layers],
            "resolution": layout.resolution,
            "channels": layout.channels,
            "num_parameters": imported.num_parameters,
            "architecture": architecture.model_dump(mode="json"),
            "assumed": {"prior": architecture.prior} if prior is None else {},
        }
        print_json(about)
        return
    part = f", in {imported.key!r}," if imported.key else ""
    begins = "a linear layer" if layout.head == "linear" else "a convolution of z"
    size = f"{layout.resolution}x{layout.resolution}, {layout.channels} channel{'s' if layout.channels > 1 else ''}"
    say = console().print
    say(
        f"{file}{part} holds a DCGAN generator that begins with {begins} ({layout.layers[0].name!r} to "
        f"{layout.layers[-1].name!r}): {size}, z_dim {layout.z_dim}, ngf {layout.ngf}, "
        f"{imported.num_parameters:,} parameters",
        markup=False,
    )
    if prior is None:
        say(f"assumed: {architecture.prior} latents, which weights do not tell; --prior changes that", markup=False)
    if layout.head == "linear":
        say("assumed: no activation between the linear layer and the first convolution", markup=False)
    print(out)
