"""How much time takes the gradient of a gradient penalty, by our convolution and by torch's?

One layer at a time, and then D of `resnet` with the penalty's step against the step without it. A side's time is the
processor time of one thread; each turn runs every side once. Pin it: taskset -c 0 python benchmarks/penalty.py
"""

import time
from collections.abc import Callable
from typing import Any

import torch
import turns
from torch import Tensor, nn
from torch.nn import functional

from facegan import convolution as own
from facegan.convolution import Geometry
from facegan.networks.resnet import Block, ResNet
from facegan.penalties import FirstPass

LAYERS = {  # shape of x at 8 images, shape of the weight, geometry
    "3x3, 64 to 64 at 32": ((64, 32, 32), (64, 64, 3, 3), Geometry(padding=(1, 1))),
    "4x4 stride 2, 64 to 128": ((64, 32, 32), (128, 64, 4, 4), Geometry((2, 2), (1, 1))),
    "3x3, 128 in groups of 16": ((128, 32, 32), (128, 16, 3, 3), Geometry(padding=(1, 1), groups=8)),
    "1x1, 64 to 128": ((64, 32, 32), (128, 64, 1, 1), Geometry()),
    "depthwise 4x4 stride 2 at 64": ((64, 64, 64), (64, 1, 4, 4), Geometry((2, 2), (1, 1), groups=64)),
}
BATCH = 8
Convolution = Callable[..., Tensor]


def torchs(x: Tensor, weight: Tensor, bias: Tensor | None = None, geometry: Geometry = own.PLAIN) -> Tensor:
    """The same convolution with torch's derivatives."""
    stride, padding, _, dilation, groups, _ = geometry
    return functional.conv2d(x, weight, bias, stride, padding, dilation, groups)


def layer(convolution: Convolution, activation: Any, shapes: tuple[Any, ...]) -> Callable[[], float]:
    """Return a function that takes the gradient of one layer's penalty once, and its seconds."""
    (x_shape, weight_shape, geometry), layout = shapes, torch.channels_last
    x = torch.randn(BATCH, *x_shape).to(memory_format=layout).requires_grad_()
    weight = torch.randn(weight_shape).to(memory_format=layout).requires_grad_()

    def run() -> None:
        value = activation(convolution(x, weight, None, geometry))
        (slope,) = torch.autograd.grad(value.sum(), x, create_graph=True)
        slope.square().sum().backward(inputs=[weight])
        weight.grad = None

    return timed(run)


def network(convolution: Convolution, activation: type[nn.LeakyReLU], width: int, *, penalised: bool) -> Any:
    """Return a function that takes the gradient of D's loss once, with its penalty or without it, and its seconds."""
    D, images = discriminator(width), random_images().requires_grad_(penalised)
    for module in D.modules():
        if isinstance(module, nn.LeakyReLU):
            module.__class__ = activation
    parameters = list(D.parameters())

    def run() -> None:
        before, own.convolution = own.convolution, convolution
        try:
            logits = D(images)
            loss = functional.softplus(-logits).sum()
            if penalised:
                (slope,) = torch.autograd.grad(logits.sum(), images, create_graph=True)
                loss = loss + slope.square().sum() / 2
            loss.backward(inputs=parameters)
        finally:
            own.convolution = before
        for parameter in parameters:
            parameter.grad = None

    return timed(run)


def fused(width: int) -> Any:
    """Return a function that takes the same gradient with its penalty in one go, and its seconds."""
    D, images = discriminator(width), random_images()
    parameters = list(D.parameters())

    def run() -> None:
        first = FirstPass(D, images)
        first.gradients(parameters, -torch.sigmoid(-first.logits), first.slopes)

    return timed(run)


def discriminator(width: int) -> nn.Module:
    """Return D of `resnet` at 64 pixels, whose blocks do something."""
    torch.manual_seed(0)
    D = ResNet(width=width, width_max=4 * width).discriminator(64, 3).to(memory_format=torch.channels_last)
    for module in D.modules():
        if isinstance(module, Block):
            nn.init.normal_(module.residual[-1].weight, 0, 0.05)
    return D


def random_images() -> Tensor:
    return torch.randn(BATCH, 3, 64, 64).to(memory_format=torch.channels_last)


def timed(run: Callable[[], None]) -> Callable[[], float]:
    """Return a function that runs something twice, and the processor seconds of the second time."""

    def measure() -> float:
        run()
        begin = time.process_time()
        run()
        return time.process_time() - begin

    return measure


def main() -> None:
    options = turns.parser(__doc__, "penalty", turns=7)
    options.add_argument("--width", type=int, default=32, help="of resnet (default: 32)")
    options = options.parse_args()
    torch.set_num_threads(1)
    ways = {"own": (own.convolution, own.LeakyReLU), "torch": (torchs, nn.LeakyReLU)}
    result, rows = {}, []
    for name, shapes in LAYERS.items():
        sides = {way: layer(convolution, kind(0.2), shapes) for way, (convolution, kind) in ways.items()}
        compare(name, turns.alternate(sides, options.turns), "torch", "own", result, rows)
    sides = {
        f"{way}{', penalised' if penalised else ''}": network(*ways[way], options.width, penalised=penalised)
        for way in ways
        for penalised in (False, True)
    }
    sides["fused, penalised"] = fused(options.width)
    seconds = turns.alternate(sides, options.turns)
    compare("D of resnet, penalised", seconds, "torch, penalised", "own, penalised", result, rows)
    compare("D of resnet, not penalised", seconds, "torch", "own", result, rows)
    compare("own: penalised over not", seconds, "own, penalised", "own", result, rows)
    compare("own over fused, penalised", seconds, "own, penalised", "fused, penalised", result, rows)
    turns.table("Processor time of gradients, 8 images", ("what", "over, ms", "under, ms", "ratio"), rows)
    turns.write(options, {"batch": BATCH, "ratios": result})


def compare(name: str, seconds: Any, over: str, under: str, result: Any, rows: list[tuple[str, ...]]) -> None:
    """Add a row and an entry of the result: two sides and their ratio."""
    result[name] = {"seconds": {each: turns.summary(seconds[each]) for each in (over, under)}}
    result[name]["ratio"] = turns.ratios(seconds[over], seconds[under])
    cells = [turns.in_words(result[name]["seconds"][each], 1000) for each in (over, under)]
    rows.append((name, *cells, turns.in_words(result[name]["ratio"])))


if __name__ == "__main__":
    main()
