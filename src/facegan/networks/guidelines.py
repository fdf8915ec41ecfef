"""Check a pair of networks against the DCGAN paper's guidelines for stable training.

Source: Radford, Metz, Chintala, ICLR 2016, section 3, "Architecture guidelines for stable Deep Convolutional GANs".
The networks are run once: the order in which layers act counts, not their names. Operations that are not modules, for
instance a pooling function called in `forward`, are not seen.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd
from torch.nn.modules.pooling import _AdaptiveAvgPoolNd, _AdaptiveMaxPoolNd, _AvgPoolNd, _MaxPoolNd

from ..convolution import Resample

MAX_LISTED = 6  # layers in the evidence of a guideline
POOLING = (_AvgPoolNd, _MaxPoolNd, _AdaptiveAvgPoolNd, _AdaptiveMaxPoolNd, nn.FractionalMaxPool2d, nn.LPPool2d)
PARAMETRISED = "parametrizations"  # the name of the child that torch.nn.utils.parametrize adds to a layer
ACTIVATIONS = (nn.ReLU, nn.LeakyReLU, nn.ELU, nn.GELU, nn.SiLU, nn.SELU, nn.Tanh, nn.Sigmoid, nn.PReLU, nn.Softplus)


class Guideline(BaseModel):
    """One guideline of the paper, whether the networks follow it, and the evidence."""

    model_config = ConfigDict(frozen=True)

    text: str
    kept: bool
    evidence: str


class Trace(NamedTuple):
    """What one pass of latents through both networks shows."""

    layers_G: list[nn.Module]  # the leaf modules in the order in which they act
    layers_D: list[nn.Module]
    logits: Tensor  # D's output, with its graph


def trace(G: nn.Module, D: nn.Module, z: Tensor) -> Trace:
    """Run both networks once on latents z (N, z_dim), N > 1, on their device; torch's random state stays."""
    with torch.random.fork_rng(devices=[]):  # a network may draw
        layers_G, images = _layers(G, z)
        return Trace(layers_G, *_layers(D, images))


def learns(network: nn.Module, logits: Tensor) -> bool:
    """Return whether D's output depends on a parameter of a network that is not frozen.

    Autograd's graph is walked, which takes no time, where a backward pass would take longer than the forward one.
    """
    waiting, seen = [logits.grad_fn], set()
    for node in waiting:  # grows during the loop
        if node is not None and node not in seen:
            seen.add(node)
            waiting += [before for before, _ in node.next_functions]
    reached = {id(getattr(node, "variable", None)) for node in seen}
    return any(id(each) in reached for each in network.parameters() if each.requires_grad)


def guidelines(passed: Trace) -> list[Guideline]:
    """Check both networks against the five guidelines."""
    layers_G, layers_D, _ = passed
    return [
        _no_pooling(layers_G, layers_D),
        _batch_norm(layers_G, layers_D),
        _no_hidden_dense(layers_G, layers_D),
        _relu_then_tanh(layers_G),
        _leaky_relu(layers_D),
    ]


def _layers(network: nn.Module, inputs: Tensor) -> tuple[list[nn.Module], Any]:
    """Return the leaf modules of a network in the order in which they act on the input, and the output.

    A layer whose weight is parametrised, for instance by spectral norm, is a leaf; its parametrisation is not.
    """
    order: list[nn.Module] = []
    hooks = [
        module.register_forward_hook(lambda module, *_: order.append(module))
        for name, module in network.named_modules()
        if PARAMETRISED not in name.split(".") and {child for child, _ in module.named_children()} <= {PARAMETRISED}
    ]
    try:
        output = network(inputs)
    finally:
        for hook in hooks:
            hook.remove()
    return order, output


def _no_pooling(layers_G: list[nn.Module], layers_D: list[nn.Module]) -> Guideline:
    pooling = sorted(
        {type(layer).__name__ for layer in layers_G + layers_D if isinstance(layer, (*POOLING, nn.Upsample, Resample))}
    )
    down = [layer for layer in layers_D if isinstance(layer, _ConvNd) and max(layer.stride) > 1]
    up = [layer for layer in layers_G if isinstance(layer, _ConvTransposeNd) and max(layer.stride) > 1]
    return Guideline(
        text="strided convolutions (D) and fractional-strided convolutions (G) instead of pooling",
        kept=not pooling and bool(down) and bool(up),
        evidence=f"pooling or resizing layers: {', '.join(pooling) or 'none'}; "
        f"strided convolutions: D {len(down)}, G {len(up)}",
    )


def _batch_norm(layers_G: list[nn.Module], layers_D: list[nn.Module]) -> Guideline:
    """Check for batch norm in both, except on G's output and D's input (section 3); D's output has none either."""
    missing, num = [], 0
    for name, layers, exempt in (("G", layers_G, {-1}), ("D", layers_D, {0, -1})):
        stages = _stages(layers)
        exempt_at = {index % len(stages) for index in exempt if stages}
        for index, (weighted, *after) in enumerate(stages):
            normed = any(isinstance(layer, _BatchNorm) for layer in after)
            num += normed
            if not normed and index not in exempt_at:
                missing.append(f"{name}'s {type(weighted).__name__} number {index + 1}")
    return Guideline(
        text="batch norm in both G and D, except on G's output and D's input layer",
        kept=not missing and num > 0,
        evidence=f"{num} batch norms; missing after: {_listed(missing)}",
    )


def _no_hidden_dense(layers_G: list[nn.Module], layers_D: list[nn.Module]) -> Guideline:
    """Allow a linear layer only first in G and last in D: there the paper has a reshaped product and a sigmoid."""
    hidden = []
    for name, layers, outer in (("G", layers_G, 0), ("D", layers_D, -1)):
        weighted = [layer for layer in layers if isinstance(layer, _ConvNd | nn.Linear)]
        hidden += [f"in {name}" for layer in weighted if isinstance(layer, nn.Linear) and layer is not weighted[outer]]
    return Guideline(
        text="no fully connected hidden layers",
        kept=not hidden,
        evidence=f"hidden linear layers: {', '.join(hidden) or 'none'}",
    )


def _relu_then_tanh(layers_G: list[nn.Module]) -> Guideline:
    activations, missing = [layer for layer in layers_G if isinstance(layer, ACTIVATIONS)], _inactive("G", layers_G)
    kept = bool(layers_G) and isinstance(layers_G[-1], nn.Tanh)
    kept = kept and all(isinstance(layer, nn.ReLU) for layer in activations[:-1])
    return Guideline(
        text="ReLU in G for all layers except the output, which uses tanh",
        kept=kept and not missing,
        evidence=f"G's activations: {_counted(activations)}; missing after: {_listed(missing)}",
    )


def _leaky_relu(layers_D: list[nn.Module]) -> Guideline:
    activations = [layer for layer in layers_D if isinstance(layer, ACTIVATIONS)]
    hidden = activations[:-1] if activations and isinstance(activations[-1], nn.Sigmoid) else activations
    missing = _inactive("D", layers_D)
    return Guideline(
        text="LeakyReLU in D for all layers",
        kept=bool(hidden) and all(isinstance(layer, nn.LeakyReLU) for layer in hidden) and not missing,
        evidence=f"D's activations: {_counted(activations)}; missing after: {_listed(missing)}",
    )


def _stages(layers: list[nn.Module]) -> list[list[nn.Module]]:
    """Return each layer with weights, followed by the layers between it and the next one."""
    stages: list[list[nn.Module]] = []
    for layer in layers:
        if isinstance(layer, _ConvNd | nn.Linear):
            stages.append([layer])
        elif stages:
            stages[-1].append(layer)
    return stages


def _inactive(name: str, layers: list[nn.Module]) -> list[str]:
    """Return the layers with weights, except the last, that no activation follows."""
    return [
        f"{name}'s {type(weighted).__name__} number {number}"
        for number, (weighted, *after) in enumerate(_stages(layers)[:-1], start=1)
        if not any(isinstance(layer, ACTIVATIONS) for layer in after)
    ]


def _listed(layers: list[str]) -> str:
    more = len(layers) - MAX_LISTED
    return ", ".join(layers[:MAX_LISTED] + ([f"{more} more"] if more > 0 else [])) or "none"


def _counted(layers: Sequence[nn.Module]) -> str:
    names = [type(layer).__name__ for layer in layers]
    return ", ".join(f"{names.count(name)} {name}" for name in dict.fromkeys(names)) or "none"
