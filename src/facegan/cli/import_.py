"""`facegan import`."""

from typing import TYPE_CHECKING, Any

from ..api import importing
from .console import print_lines
from .options import Options, verb_command

if TYPE_CHECKING:
    from ..importing.convert import Imported

EXAMPLES = """
    $ facegan import netG_epoch_24.pth -o tutorial.safetensors
    tutorial.safetensors

    $ facegan import checkpoint.pt --key G_ema -o other.safetensors
    other.safetensors
    """


def _document(imported: "Imported", options: Options) -> dict[str, Any]:
    layout, architecture = imported.layout, imported.config.part("architecture")
    return {
        "snapshot": str(options["out"]),
        "key": imported.key,
        "layers": [module.name for module in layout.layers],
        "resolution": layout.resolution,
        "channels": layout.channels,
        "num_parameters": imported.num_parameters,
        "architecture": architecture.model_dump(mode="json"),
        "left_out": imported.left_out,
        "assumed": imported.assumed,
    }


import_ = verb_command(importing.import_, EXAMPLES, lambda _, options: print_lines(options["out"]), _document)
