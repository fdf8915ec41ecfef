"""Penalties on the slope of D: how steeply its logit changes with the image.

A penalty keeps D from an ever steeper boundary between the images and the fakes, without which alternating gradient
steps circle around the equilibrium instead of reaching it. The penalties need D without batch norm to mean what they
say, since the gradient of a mini-batch's summed logits is that of each image's logit only where no image acts on
another's.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from .convolution import Geometry, weight_gradient

Logits = Callable[[Tensor], Tensor]  # images (N, C, H, W) -> logits (N,)
LAYERS = (nn.Conv2d, nn.Linear)  # whose gradients `FirstPass` knows


def input_gradient(logits: Tensor, images: Tensor) -> Tensor:
    """Return the gradient of each logit with respect to its image, (N, C, H, W), differentiable in D's weights.

    `images` (N, C, H, W) require gradients and are those that the logits (N,) were computed from, before augmentation.
    """
    (gradient,) = torch.autograd.grad(logits.sum(), images, create_graph=True)
    return gradient


def zero_centred(gradient: Tensor) -> Tensor:
    """Return the mean of |grad D|^2 / 2: R1 of gradients (N, C, H, W) at real images, R2 of those at fakes.

    Source: Mescheder, Geiger, Nowozin, "Which Training Methods for GANs do actually Converge?", ICML 2018, section 4.1.
    """
    return gradient.square().sum(dim=(1, 2, 3)).mean() / 2


def one_centred(logits: Logits, real: Tensor, fake: Tensor, generator: torch.Generator) -> Tensor:
    """Return the mean of (|grad D| - 1)^2 at random points between pairs of a real image and a fake.

    Source: Gulrajani et al., "Improved Training of Wasserstein GANs", NeurIPS 2017, equation 3 and algorithm 1.
    """
    share = torch.rand(len(real), 1, 1, 1, generator=generator, device=real.device, dtype=real.dtype)
    between = torch.lerp(fake.detach(), real.detach(), share).requires_grad_()
    slopes = input_gradient(logits(between), between).flatten(1).norm(dim=1)
    penalty: Tensor = (slopes - 1).square().mean()
    return penalty


def has_known_layers(D: nn.Module) -> bool:
    """Return whether all trained parameters of D are of layers that `FirstPass` knows."""
    others = (module for module in D.modules() if not isinstance(module, LAYERS))
    return not any(parameter.requires_grad for module in others for parameter in module.parameters(recurse=False))


class FirstPass:
    """D's logits of a batch and their slopes; then the gradients of a loss and a penalty without a second derivative.

    D consists of convolutions, linear layers, LeakyReLU and sums, each layer used once, without norm: it is linear
    wherever no sign changes, so its masks have no derivative. With delta_l the gradient of a logit with respect to the
    output of layer l, c the derivative of the loss with respect to the logit, and u_0 any change of the image, the
    weight of layer l has the gradient

        delta_l (c x_l + u_l)^T    of    c D(x) + <u_0, grad D(x)>,

    x_l and u_l the inputs of the layer for x and, without biases and with the masks of x, for u_0. For a penalty of
    gamma/2 |grad D(x)|^2, u_0 is gamma grad D(x). Four passes take the place of six, all of the first order.
    """

    def __init__(self, D: nn.Module, images: Tensor) -> None:
        """Run D on images (N, C, H, W), under autocast or not, and differentiate the sum of its logits."""
        self._D, self._images = D, images.detach()
        self._positive: dict[nn.Module, Tensor] = {}
        self._deltas: dict[nn.Module, Tensor] = {}
        images = self._images.clone().requires_grad_()
        logits = self._hooked(images, self._note_signs, self._note_gradient)
        (slopes,) = torch.autograd.grad(logits.sum(), images)
        self.logits = logits.detach()  # (N,)
        self.slopes = slopes  # of each image's logit with respect to it, (N, C, H, W)

    @torch.no_grad()
    def gradients(self, parameters: Sequence[Tensor], factors: Tensor, changes: Tensor) -> list[Tensor | None]:
        """Return the gradients of sum_i c_i D(x_i) + <u_i, grad D(x_i)>, c and u held fixed; may be called once.

        None is that of a parameter of a layer that the logits do not depend on.

        Args:
            parameters: Of D, in any order.
            factors: c (N,), the derivatives of the loss with respect to the logits.
            changes: u (N, C, H, W): gamma times the slopes, for a penalty that is summed over the images.
        """
        found: dict[Tensor, Tensor] = {}

        def apply(layer: Any, inputs: tuple[Tensor], output: Tensor) -> Tensor:
            delta = self._deltas.pop(layer, None)
            if delta is None:
                return output
            x = inputs[0].to(delta.dtype)
            c = factors.to(delta.dtype).view(-1, *[1] * (delta.ndim - 1))
            if isinstance(layer, nn.Linear):
                gradient = delta.T @ x
            else:
                geometry = Geometry(layer.stride, layer.padding, (0, 0), layer.dilation, layer.groups)
                gradient = weight_gradient(delta, x, layer.weight.to(delta.dtype), geometry)
            found[layer.weight] = gradient.to(layer.weight.dtype)
            if layer.bias is None:
                return output
            shape = (1, -1) + (1,) * (delta.ndim - 2)
            found[layer.bias] = (delta * c).transpose(0, 1).flatten(1).sum(1).to(layer.bias.dtype)
            rescaled: Tensor = output + (c - 1) * layer.bias.view(shape).to(output.dtype)
            return rescaled

        self._hooked(factors.view(-1, 1, 1, 1) * self._images + changes, self._mask, apply)
        return [found.get(parameter) for parameter in parameters]

    def _hooked(self, images: Tensor, on_activation: Any, on_layer: Any) -> Tensor:
        hooks = []
        for module in self._D.modules():
            if isinstance(module, nn.LeakyReLU):
                hooks.append(module.register_forward_hook(on_activation))
            elif isinstance(module, LAYERS):
                hooks.append(module.register_forward_hook(on_layer))
        try:
            output: Tensor = self._D(images)
        finally:
            for hook in hooks:
                hook.remove()
        return output

    def _note_signs(self, activation: nn.Module, _: object, output: Tensor) -> None:
        self._positive[activation] = output.detach() > 0

    def _mask(self, activation: Any, inputs: tuple[Tensor], _: Tensor) -> Tensor:
        x, positive = inputs[0], self._positive.pop(activation)
        return torch.where(positive, x, x * activation.negative_slope)

    def _note_gradient(self, layer: nn.Module, _: object, output: Tensor) -> None:
        def note(gradient: Tensor) -> None:
            self._deltas[layer] = gradient

        output.register_hook(note)  # type: ignore[no-untyped-call]
