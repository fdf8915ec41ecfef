"""Train a DCGAN the textbook way, as the other side of the benchmarks.

    python benchmarks/textbook.py --data FOLDER_OF_FOLDERS [--batch-size 128] [--width 64] [--size 64] [--epochs 1]
    python benchmarks/textbook.py --data PACKED_FOLDER --resident [--device cuda] [--steps 2000]

The loop of PyTorch's DCGAN tutorial, written by us: torchvision's ImageFolder, a DataLoader with one worker per core, G
and D with a sigmoid at its end, BCELoss, Adam, float32 in the default memory order. D is not frozen while G is trained;
64 fixed latents are drawn every 500 steps and at the end. Losses are read with .item() every 50 steps: the tutorial
reads five numbers at every step, so this favours it on a GPU. Nothing is written to the disk. With --resident there is
no loader: the images are on the device as bytes (from a packed folder, or decoded before the clock starts), and each
batch is picked, cast and scaled there.

Prints one line of JSON: the number of images shown, the number of steps, and the seconds in the loop, which begins with
the first batch and ends when the device has finished; the sustained rate leaves out the first 50 steps.

Source: N. Inkawhich, "DCGAN Tutorial", pytorch.org, which follows Radford et al., ICLR 2016.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor, nn

Z_DIM = 100
PRINT_EVERY, DRAW_EVERY = 50, 500


def generator(width: int, size: int) -> nn.Sequential:
    """Return G: latents (N, 100, 1, 1) to images (N, 3, size, size) in [-1, 1]."""
    wide = width * size // 8
    layers: list[nn.Module] = [
        nn.ConvTranspose2d(Z_DIM, wide, 4, 1, 0, bias=False),
        nn.BatchNorm2d(wide),
        nn.ReLU(True),
    ]
    while wide > width:
        layers += [nn.ConvTranspose2d(wide, wide // 2, 4, 2, 1, bias=False), nn.BatchNorm2d(wide // 2), nn.ReLU(True)]
        wide //= 2
    return nn.Sequential(*layers, nn.ConvTranspose2d(width, 3, 4, 2, 1, bias=False), nn.Tanh())


def discriminator(width: int, size: int) -> nn.Sequential:
    """Return D: images (N, 3, size, size) to probabilities of being real (N, 1, 1, 1)."""
    layers: list[nn.Module] = [nn.Conv2d(3, width, 4, 2, 1, bias=False), nn.LeakyReLU(0.2, True)]
    wide = width
    while wide < width * size // 8:
        layers += [nn.Conv2d(wide, 2 * wide, 4, 2, 1, bias=False), nn.BatchNorm2d(2 * wide), nn.LeakyReLU(0.2, True)]
        wide *= 2
    return nn.Sequential(*layers, nn.Conv2d(wide, 1, 4, 1, 0, bias=False), nn.Sigmoid())


def initialise(module: nn.Module) -> None:
    """Initialise weights from N(0, 0.02) and the scale of batch norm from N(1, 0.02)."""
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.normal_(module.weight, 0.0, 0.02)
    elif isinstance(module, nn.BatchNorm2d):
        nn.init.normal_(module.weight, 1.0, 0.02)
        nn.init.zeros_(module.bias)


class Textbook:
    """Both networks and their optimizers; `step` trains them on one batch."""

    def __init__(self, width: int, size: int, device: torch.device) -> None:
        self.G = generator(width, size).to(device).apply(initialise)
        self.D = discriminator(width, size).to(device).apply(initialise)
        self.opt_G = torch.optim.Adam(self.G.parameters(), lr=2e-4, betas=(0.5, 0.999))
        self.opt_D = torch.optim.Adam(self.D.parameters(), lr=2e-4, betas=(0.5, 0.999))
        self.criterion = nn.BCELoss()

    def step(self, real: Tensor) -> dict[str, Tensor]:
        """Update D and G once; return the losses and mean probabilities."""
        num, device = len(real), real.device
        self.D.zero_grad()
        ones = torch.full((num,), 1.0, device=device)
        on_real = self.D(real).view(-1)
        loss_real = self.criterion(on_real, ones)
        loss_real.backward()
        fake = self.G(torch.randn(num, Z_DIM, 1, 1, device=device))
        on_fake = self.D(fake.detach()).view(-1)
        loss_fake = self.criterion(on_fake, torch.zeros_like(ones))
        loss_fake.backward()
        self.opt_D.step()

        self.G.zero_grad()
        on_new_fake = self.D(fake).view(-1)
        loss_G = self.criterion(on_new_fake, ones)
        loss_G.backward()
        self.opt_G.step()
        means = (each.mean() for each in (on_real, on_fake, on_new_fake))
        return {
            "D": loss_real + loss_fake,
            "G": loss_G,
            **dict(zip(("real", "fake", "fake after"), means, strict=True)),
        }


def image_folder(options: argparse.Namespace) -> torch.utils.data.DataLoader[tuple[Tensor, Tensor]]:
    """Return a loader of batches (N, 3, size, size) in [-1, 1] from a folder of folders, decoded by workers."""
    try:
        from torchvision import datasets, transforms
    except ImportError as error:
        raise SystemExit(f"textbook: needs torchvision ({error}); install it, or use --resident") from None
    half = (0.5, 0.5, 0.5)
    steps = [
        transforms.Resize(options.size),
        transforms.CenterCrop(options.size),
        transforms.ToTensor(),
        transforms.Normalize(half, half),
    ]
    images = datasets.ImageFolder(options.data, transforms.Compose(steps))
    return torch.utils.data.DataLoader(images, batch_size=options.batch_size, shuffle=True, num_workers=options.workers)


def loaded(options: argparse.Namespace, device: torch.device) -> Iterator[Tensor]:
    """Yield batches from a DataLoader, epoch after epoch."""
    loader = image_folder(options)
    while True:
        for images, _ in loader:
            yield images.to(device)


def resident(options: argparse.Namespace, device: torch.device) -> Iterator[Tensor]:
    """Yield batches from images that are on the device as bytes, epoch after epoch."""
    if (options.data / "images.npy").is_file():
        import numpy as np

        pixels = torch.from_numpy(np.load(options.data / "images.npy")).to(device)  # uint8 (N, 3, size, size)
    else:
        batches = [((images + 1) * 127.5).round().to(torch.uint8) for images, _ in image_folder(options)]
        pixels = torch.cat(batches).to(device)
    while True:
        order = torch.randperm(len(pixels), device=device)
        for index in order.split(options.batch_size):
            yield pixels[index].float() / 127.5 - 1


def count_images(data: Path) -> int:
    """Return the number of images of an epoch."""
    if (data / "images.npy").is_file():
        import numpy as np

        return len(np.load(data / "images.npy", mmap_mode="r"))
    from torchvision import datasets

    return len(datasets.ImageFolder(data))


def train(options: argparse.Namespace) -> dict[str, object]:
    """Run and time the loop."""
    device = torch.device(options.device)
    torch.manual_seed(0)
    book = Textbook(options.width, options.size, device)
    fixed = torch.randn(64, Z_DIM, 1, 1, device=device)
    num_steps = options.steps or options.epochs * -(-count_images(options.data) // options.batch_size)
    batches = (resident if options.resident else loaded)(options, device)
    first = next(batches) if options.resident else None  # loads resident images before the clock starts
    grids, losses, num_images = [], [], 0
    begin = warm_since = time.perf_counter()
    num_cold = 0
    for step in range(num_steps):
        if step == PRINT_EVERY:  # the sustained rate starts here, as on the other side
            wait(device)
            warm_since, num_cold = time.perf_counter(), num_images
        real = first if first is not None and step == 0 else next(batches)
        read = book.step(real)
        num_images += len(real)
        if step % PRINT_EVERY == 0:
            numbers = {name: round(value.item(), 4) for name, value in read.items()}
            print(f"{step}/{num_steps}", numbers, file=sys.stderr)
        losses.append((read["D"].detach(), read["G"].detach()))
        if step % DRAW_EVERY == 0 or step == num_steps - 1:
            with torch.no_grad():
                grids.append(book.G(fixed).cpu())
    wait(device)
    end = time.perf_counter()
    seconds = end - begin
    return {
        "images": num_images, "steps": num_steps, "seconds": round(seconds, 4),
        "images_per_second": round(num_images / seconds, 2),
        "sustained_images_per_second": round((num_images - num_cold) / (end - warm_since), 2),
        "loss_D": losses[-1][0].item(), "loss_G": losses[-1][1].item(),
    }  # fmt: skip


def wait(device: torch.device) -> None:
    """Wait until the device has finished its work."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--data", type=Path, required=True, help="a folder of folders; with --resident also a packed one"
    )
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--width", type=int, default=64, help="ngf and ndf")
    parser.add_argument("--size", type=int, default=64, choices=(16, 32, 64, 128), help="side of the images")
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--steps", type=int, default=0, help="instead of --epochs")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--resident", action="store_true", help="no loader: the images are on the device")
    print(json.dumps(train(parser.parse_args())))


if __name__ == "__main__":
    main()
