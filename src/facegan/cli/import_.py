"""`facegan import`."""

from typing import Any

from ..api import importing
from .console import ConsoleReporter
from .options import Json, command, print_json

EXAMPLES = """
    $ facegan import netG_epoch_24.pth -o tutorial.safetensors
    tutorial.safetensors

    $ facegan import checkpoint.pt --key G_ema -o other.safetensors
    other.safetensors
    """


@command(importing.import_, EXAMPLES)
def import_(options: dict[str, Any], *, as_json: Json = False) -> None:
    """Print the snapshot, and what was found and assumed."""
    imported = importing.import_(**options)
    layout, architecture = imported.layout, imported.config.part("architecture")
    is_assumed = options["prior"] is None
    if as_json:
        about = {
            "snapshot": str(options["out"]),
            "key": imported.key,
            "layers": [module.name for module in layout.layers],
            "resolution": layout.resolution,
            "channels": layout.channels,
            "num_parameters": imported.num_parameters,
            "architecture": architecture.model_dump(mode="json"),
            "assumed": {"prior": architecture.prior} if is_assumed else {},
        }
        print_json(about)
        return
    part = f", in {imported.key!r}," if imported.key else ""
    begins = "a linear layer" if layout.head == "linear" else "a convolution of z"
    size = f"{layout.resolution}x{layout.resolution}, {layout.channels} channel{'s' if layout.channels > 1 else ''}"
    with ConsoleReporter() as reporter:
        reporter.info(
            f"{options['file']}{part} holds a DCGAN generator that begins with {begins} ({layout.layers[0].name!r} to "
            f"{layout.layers[-1].name!r}): {size}, z_dim {layout.z_dim}, ngf {layout.ngf}, "
            f"{imported.num_parameters:,} parameters"
        )
        if is_assumed:
            reporter.info(f"assumed: {architecture.prior} latents, which weights do not tell; --prior changes that")
        if layout.head == "linear":
            reporter.info("assumed: no activation between the linear layer and the first convolution")
    print(options["out"])
