"""Generators whose latents provably control something, and images with attributes, for tests of directions."""

import json

import numpy as np
import torch
from torch import nn

from facegan.checkpoint import load_generator, save_snapshot
from facegan.config import resolve
from facegan.data.image_set import from_packed
from facegan.data.packed.pack import write_columns
from facegan.data.packed.packed_images import PICTURES, Index, PackedImages
from facegan.generator import FaceGenerator
from facegan.images import save, to_uint8
from origins import origin

SIDE = 16


class Painter(nn.Module):
    """z (N, z_dim) -> tanh of a linear map: z[0] is brightness, z[1] a light from the left, the others faint noise."""

    def __init__(self, z_dim=8):
        super().__init__()
        dice = torch.Generator().manual_seed(5)
        self.paint = nn.Linear(z_dim, 3 * SIDE * SIDE)
        images = torch.randn(z_dim, 3, SIDE, SIDE, generator=dice) * 0.02
        images[0] = 0.4
        images[1] = torch.where(torch.arange(SIDE) < SIDE // 2, 0.3, -0.3)
        with torch.no_grad():
            self.paint.weight.copy_(images.flatten(1).T)
            self.paint.bias.fill_(0.1)

    def forward(self, z):
        return self.paint(z).tanh().unflatten(1, (3, SIDE, SIDE))


def painter(prior="normal", z_dim=8, digest="d" * 64):
    from_snapshot = origin("painter.safetensors", digest=digest, step=7, weights="G_ema")
    return FaceGenerator(Painter(z_dim), z_dim=z_dim, prior=prior, origin=from_snapshot)


def paintings(folder, num=200, seed=0, columns=None):
    """An image set of a painter's kind, some known to be bright, some lit from the left."""
    generator = painter()
    z = torch.randn(num, 8, generator=torch.Generator().manual_seed(seed))
    pixels = to_uint8(generator.images(z)).numpy()
    folder.mkdir(parents=True, exist_ok=True)
    known = {"bright": (z[:, 0] > 0).tolist(), "lit": z[:, 1].tolist()} if columns is None else columns
    index = Index(
        layout=2, packing=2, source="paintings", selection="all", num_images=num, num_skipped=0, passed_over={},
        channels=3, resolution=SIDE, crop="none", filter="bicubic", draft=False, fingerprint="", versions={},
        digest=f"{seed:064d}",
    )  # fmt: skip
    write_columns(
        folder / PICTURES, [f"{n:04d}.png" for n in range(num)], [b"%032d" % n for n in range(num)], known, ""
    )
    return from_packed(PackedImages(images=pixels, index=index, path=folder))


def vivid_run(folder, source, num=150):
    """A run whose G paints images of varied brightness, and its data: which of them are bright, which are odd."""
    settings = ["resolution=16", "architecture.z_dim=12", "architecture.ngf=8", "architecture.ndf=8"]
    config = resolve(settings=[*settings, f"data.source={json.dumps(str(source))}", "train.device=cpu"]).complete()
    torch.manual_seed(3)
    architecture = config.part("architecture")
    G, D = architecture.generator(16, 3), architecture.discriminator(16, 3)
    with torch.no_grad():
        G.to_image[0].weight.copy_(torch.tensor([0.15, -0.15]).repeat(4)[:, None, None, None].expand(8, 3, 4, 4))
        for module in G.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.momentum = 1.0  # its statistics are those of the batch that follows
        G.train()(torch.randn(256, 12))
    (folder / "snapshots").mkdir(parents=True)
    (folder / "config.json").write_text(config.to_json())
    snapshot = folder / "snapshots" / "step-00000004.safetensors"
    save_snapshot(snapshot, config, 4, {"G": G.eval(), "D": D})
    images = to_uint8(load_generator(snapshot).sample(range(1000, 1000 + num))).numpy()
    light = images.mean((1, 2, 3))
    for number, image in enumerate(images):
        save(source / f"{number:04d}.png", image.transpose(1, 2, 0))
    lines = [f"{number:04d}.png,{int(value > np.median(light))},{number % 2}" for number, value in enumerate(light)]
    (source / "attributes.csv").write_text("\n".join(["name,bright,odd", *lines]) + "\n")
    return snapshot
