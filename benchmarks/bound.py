"""The operations and bytes of a training step, and the rates of the device: the bound that speeds are compared with."""

import time
from collections.abc import Callable

import torch
from torch import nn

from facegan.config import RunConfig
from facegan.networks.dcgan import DCGAN


def multiply_adds(network: nn.Module, inputs: torch.Tensor) -> list[int]:
    """Return the multiply-adds per image of each convolution or linear layer, in order; other layers do not count."""
    counts: list[int] = []

    def count(module: nn.Module, given: tuple[torch.Tensor, ...], result: torch.Tensor) -> None:
        assert isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear)
        # A convolution uses each weight once per output position, a transposed convolution once per input position.
        places = given[0] if isinstance(module, nn.ConvTranspose2d) else result
        counts.append(module.weight.numel() * (places.shape[2:].numel() if places.ndim == 4 else 1))

    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            module.register_forward_hook(count)
    with torch.no_grad():
        network(inputs)
    return counts


def flops_an_image(architecture: DCGAN, resolution: int, channels: int = 3) -> float:
    """Return the floating-point operations of a training step per real image, with D frozen in G's step.

    A convolution costs one forward pass, the same for the gradient of its weights, and the same for that of its input.
    G runs once and has both gradients. D runs three times (on real, on fake, and for G); it has both gradients twice,
    and for G only that of its input. The gradients of the latents, and of D's input in its own step, are not needed.
    A multiply-add counts as two operations; batch norm, activations and optimizers are left out.
    """
    in_G = multiply_adds(architecture.generator(resolution, channels).eval(), torch.zeros(1, architecture.z_dim))
    images = torch.zeros(1, channels, resolution, resolution)
    in_D = multiply_adds(architecture.discriminator(resolution, channels).eval(), images)
    return 2.0 * (3 * sum(in_G) - in_G[0] + 8 * sum(in_D) - 2 * in_D[0])


def flops_of(config: RunConfig) -> float:
    """Return `flops_an_image` of a configuration whose architecture is DCGAN."""
    return flops_an_image(config.part("architecture"), config.resolution, config.channels)


def activation_bytes_an_image(resolution: int, ngf: int, ndf: int) -> float:
    """Return the bytes of activations that a step moves per image in bf16: 14 MB at 64 pixels and 64 feature maps.

    The largest layers have half the resolution, and each next one half as many numbers, so the sum grows with the
    number of pixels and with the width.
    """
    return 14e6 * (resolution / 64) ** 2 * (ngf + ndf) / 128


def product_rate(device: torch.device, dtype: torch.dtype, *, size: int = 4096, repeats: int = 3) -> float:
    """Return the operations per second of the product of two square matrices: the best of the repeats."""
    a, b = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    out = torch.empty_like(a)
    return 2 * size**3 / _best(lambda: torch.mm(a, b, out=out), device, repeats)


def convolution_rate(device: torch.device, dtype: torch.dtype, *, size: int = 4096, repeats: int = 3) -> float:
    """Return the rate of the same product as a 1x1 convolution: on a CPU with oneDNN instead of the BLAS library."""
    side, num = 16, max(1, size // 256)
    layer = nn.Conv2d(size, size, 1, bias=False, device=device, dtype=dtype).to(memory_format=torch.channels_last)
    images = torch.randn(num, size, side, side, device=device).to(dtype).to(memory_format=torch.channels_last)
    with torch.no_grad():
        return 2 * size**2 * num * side**2 / _best(lambda: layer(images), device, repeats)


def copy_bandwidth(device: torch.device, *, num_bytes: int = 2**30, repeats: int = 5) -> float:
    """Return the bytes per second, read and written, of a copy within the device's memory."""
    source = torch.zeros(num_bytes, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    return 2 * num_bytes / _best(lambda: target.copy_(source), device, repeats)


def wait(device: torch.device) -> None:
    """Wait until the device has finished its work."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _best(work: Callable[[], object], device: torch.device, repeats: int) -> float:
    """Return the seconds of the fastest run after a warm-up; on CUDA each run repeats the work ten times."""
    inner = 10 if device.type == "cuda" else 1
    times = []
    for _ in range(repeats + 1):
        wait(device)
        begin = time.perf_counter()
        for _ in range(inner):
            work()
        wait(device)
        times.append((time.perf_counter() - begin) / inner)
    return min(times[1:])
