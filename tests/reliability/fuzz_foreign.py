"""Weights that other programs wrote, to damage: what `facegan import` reads."""

import io
from pathlib import Path

import fuzz_mutations as lies
import safetensors.torch
import torch

from facegan.importing.convert import import_generator
from facegan.networks.dcgan import DCGAN


def weights() -> dict[str, tuple[dict[str, bytes], lies.Mutation]]:
    """Sound files of each format with the mutation that suits it."""
    torch.manual_seed(0)
    network = DCGAN(z_dim=12, ngf=4, ndf=4).generator(16, 3).state_dict()
    nested = {"epoch": 3, "netG": network, "args": {"lr": 2e-4, "name": "faces"}}
    zipped, older = io.BytesIO(), io.BytesIO()
    torch.save(nested, zipped)
    torch.save(nested, older, _use_new_zipfile_serialization=False)
    return {
        "weights zip": ({"1.pth": zipped.getvalue(), "2.pth": zipped.getvalue()}, lies.lying_zip),
        "weights zip bytes": ({"1.pth": zipped.getvalue()}, lies.scarred),
        "weights older": ({"1.pth": older.getvalue()}, lies.scarred),
        "weights safetensors": ({"1.safetensors": safetensors.torch.save(network)}, lies.scarred),
    }


def bring(path: Path) -> None:
    """Import a file and leave a snapshot beside it."""
    import_generator(path, path.with_name("imported.safetensors"))
