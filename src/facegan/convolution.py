"""Convolutions and LeakyReLU whose gradients are cheap to differentiate; resampling by a fixed low-pass filter.

A gradient penalty differentiates a gradient. torch computes the second derivative of a grouped convolution group by
group, which takes most of a step's time. A convolution is bilinear in its input and its weight, so value, input
gradient and weight gradient are each other's derivatives: three functions on torch's native kernels suffice, to any
order. Values and first derivatives equal those of torch to the bit.
"""

from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional


class Geometry(NamedTuple):
    """Everything about a two-dimensional convolution but its tensors; pairs are (height, width)."""

    stride: tuple[int, ...] = (1, 1)
    padding: tuple[int, ...] = (0, 0)
    output_padding: tuple[int, ...] = (0, 0)  # of a transposed convolution
    dilation: tuple[int, ...] = (1, 1)
    groups: int = 1
    transposed: bool = False


PLAIN = Geometry()


def convolution(x: Tensor, weight: Tensor, bias: Tensor | None = None, geometry: Geometry = PLAIN) -> Tensor:
    """Return torch's `conv2d` or `conv_transpose2d` of x (N, C, H, W), cast by autocast as they are.

    The gradients with respect to x and to the parameters are separate nodes of the graph: the slope of a penalty,
    `torch.autograd.grad(..., x, create_graph=True)`, does not compute those of the parameters.
    """
    if not torch.is_grad_enabled() or torch.compiler.is_compiling():
        return _value(x, weight, bias, geometry)
    device = x.device.type
    if _autocasts(device):
        x, weight, bias = (_cast(each, torch.get_autocast_dtype(device)) for each in (x, weight, bias))
    return _differentiable(x, weight, bias, geometry)


@torch.no_grad()
def weight_gradient(grad: Tensor, x: Tensor, weight: Tensor, geometry: Geometry = PLAIN) -> Tensor:
    """Return the gradient with respect to the weight, for the gradient of the value and an input of one dtype."""
    return _gradient(grad, x, weight, geometry, [False, True, False])[1]


def without_autocast(device: str) -> AbstractContextManager[Any]:
    """Return a context in which operations on a type of device keep the dtype of their inputs."""
    return torch.autocast(device, enabled=False) if _autocasts(device) else nullcontext()


def _autocasts(device: str) -> bool:
    return torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device)


def _cast(tensor: Tensor | None, dtype: torch.dtype) -> Any:
    """Cast as autocast does: floating-point numbers, but not float64."""
    if tensor is None or not tensor.is_floating_point() or tensor.dtype == torch.float64:
        return tensor
    return tensor.to(dtype)


def _value(x: Tensor, weight: Tensor, bias: Tensor | None, geometry: Geometry) -> Tensor:
    stride, padding, output_padding, dilation, groups, transposed = geometry
    if transposed:
        return functional.conv_transpose2d(x, weight, bias, stride, padding, output_padding, groups, dilation)
    return functional.conv2d(x, weight, bias, stride, padding, dilation, groups)


def _differentiable(x: Tensor, weight: Tensor, bias: Tensor | None, geometry: Geometry) -> Tensor:
    """Return the convolution in the dtype of its inputs, with the graph for derivatives of any order."""
    learned = weight.requires_grad or (bias is not None and bias.requires_grad)
    with without_autocast(x.device.type):
        if not torch.is_grad_enabled() or not (learned or x.requires_grad):
            return _value(x, weight, bias, geometry)
        to_input = _Input.apply(x, (weight, geometry)) if x.requires_grad else None
        to_parameters = _Parameters.apply(weight, bias, (x, geometry)) if learned else None
        value: Tensor = _Convolution.apply(to_input, to_parameters, (x, weight, bias, geometry))
        return value


def _gradient(grad: Tensor, x: Tensor, weight: Tensor, geometry: Geometry, mask: list[bool]) -> list[Tensor]:
    """Return the gradients with respect to x, weight and bias, those of them that `mask` names."""
    stride, padding, output_padding, dilation, groups, transposed = geometry
    biases = [weight.shape[1] * groups if transposed else weight.shape[0]] if mask[2] else None
    found: list[Tensor] = torch.ops.aten.convolution_backward(
        grad, x, weight, biases, stride, padding, dilation, transposed, output_padding, groups, mask
    )
    return found


# A function has no edge to tensors inside a tuple: the engine does not run it for the sake of their gradients. Saved
# for the backward, they are still connected to their own graph, as higher derivatives need.


class _Convolution(torch.autograd.Function):
    """The value; its gradient goes to two tensors of its shape: one on the way to the input, one to the parameters."""

    @staticmethod
    def forward(_ctx: Any, _to_input: Tensor | None, _to_parameters: Tensor | None, others: tuple[Any, ...]) -> Tensor:
        return _value(*others)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        return *(grad if needed else None for needed in ctx.needs_input_grad[:2]), None


class _Input(torch.autograd.Function):
    """A tensor of the value's shape, without numbers of its own, whose gradient goes to the input."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, others: tuple[Tensor, Geometry]) -> Tensor:
        weight, ctx.geometry = others
        ctx.save_for_backward(x, weight)
        return x.new_empty(()).expand(_shape(x, weight, ctx.geometry))

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        return _InputGradient.apply(grad, weight, x.detach(), ctx.geometry), None


class _Parameters(torch.autograd.Function):
    """A tensor of the value's shape, without numbers of its own, whose gradient goes to weight and bias."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor, _bias: Tensor | None, others: tuple[Tensor, Geometry]) -> Tensor:
        x, ctx.geometry = others
        ctx.save_for_backward(x, weight)
        return x.new_empty(()).expand(_shape(x, weight, ctx.geometry))

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        to_weight, to_bias = ctx.needs_input_grad[:2]
        if not torch.is_grad_enabled():
            return *_gradient(grad, x, weight, ctx.geometry, [False, to_weight, to_bias])[1:], None
        return (
            _WeightGradient.apply(grad, x, weight.detach(), ctx.geometry) if to_weight else None,
            grad.sum((0, 2, 3)) if to_bias else None,
            None,
        )


class _InputGradient(torch.autograd.Function):
    """The gradient with respect to the input: bilinear in the value's gradient and the weight. x gives its shape."""

    @staticmethod
    def forward(ctx: Any, grad: Tensor, weight: Tensor, x: Tensor, geometry: Geometry) -> Tensor:
        ctx.save_for_backward(grad, weight)
        ctx.geometry = geometry
        return _gradient(grad, x, weight, geometry, [True, False, False])[0]

    @staticmethod
    def backward(ctx: Any, outer: Tensor) -> tuple[Tensor | None, ...]:
        grad, weight = ctx.saved_tensors
        to_grad, to_weight = ctx.needs_input_grad[:2]
        return (
            _differentiable(outer, weight, None, ctx.geometry) if to_grad else None,
            _WeightGradient.apply(grad, outer, weight.detach(), ctx.geometry) if to_weight else None,
            None,
            None,
        )


class _WeightGradient(torch.autograd.Function):
    """The gradient with respect to the weight: bilinear in the value's gradient and the input. Its shape is given."""

    @staticmethod
    def forward(ctx: Any, grad: Tensor, x: Tensor, weight: Tensor, geometry: Geometry) -> Tensor:
        ctx.save_for_backward(grad, x)
        ctx.geometry = geometry
        return _gradient(grad, x, weight, geometry, [False, True, False])[1]

    @staticmethod
    def backward(ctx: Any, outer: Tensor) -> tuple[Tensor | None, ...]:
        grad, x = ctx.saved_tensors
        to_grad, to_x = ctx.needs_input_grad[:2]
        return (
            _differentiable(x, outer, None, ctx.geometry) if to_grad else None,
            _InputGradient.apply(grad, outer, x.detach(), ctx.geometry) if to_x else None,
            None,
            None,
        )


def _shape(x: Tensor, weight: Tensor, geometry: Geometry) -> list[int]:
    """Return the shape of the value."""
    stride, padding, output_padding, dilation, groups, transposed = geometry
    sides = []
    for axis, side in enumerate(x.shape[2:]):
        reach = dilation[axis] * (weight.shape[2 + axis] - 1)  # of the kernel, less 1
        if transposed:
            sides.append((side - 1) * stride[axis] - 2 * padding[axis] + reach + output_padding[axis] + 1)
        else:
            sides.append((side + 2 * padding[axis] - reach - 1) // stride[axis] + 1)
    return [len(x), weight.shape[1] * groups if transposed else weight.shape[0], *sides]


class Conv2d(nn.Conv2d):
    """`torch.nn.Conv2d`, padded with zeros, with cheap second derivatives."""

    padding: tuple[int, ...]

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return convolution(input, weight, bias, Geometry(self.stride, self.padding, (0, 0), self.dilation, self.groups))


class Resample(nn.Module):
    """Halve or double the sides of images (N, C, H, W) by the low-pass filter [1, 3, 3, 1] / 8 of both axes.

    Outside are zeros. Inside, a constant stays the same, and <up x, y> = 4 <x, down y> for any x, y.
    """

    def __init__(self, channels: int, *, up: bool) -> None:
        super().__init__()
        taps = torch.tensor([1.0, 3.0, 3.0, 1.0]) / (4 if up else 8)
        kernel = torch.outer(taps, taps).repeat(channels, 1, 1, 1)
        self.register_buffer("kernel", kernel, persistent=False)
        self.geometry = Geometry((2, 2), (1, 1), groups=channels, transposed=up)

    kernel: Tensor

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to (N, C, H/2, W/2) or (N, C, 2 H, 2 W)."""
        return convolution(x, self.kernel, None, self.geometry)


class LeakyReLU(nn.LeakyReLU):
    """`torch.nn.LeakyReLU` without a second derivative; torch's is a tensor of zeros, which costs time."""

    def forward(self, input: Tensor) -> Tensor:
        """Map any tensor to the same shape."""
        if self.inplace or not (torch.is_grad_enabled() and input.requires_grad) or torch.compiler.is_compiling():
            return super().forward(input)
        value: Tensor = _LeakyReLU.apply(input, self.negative_slope)
        return value


class _LeakyReLU(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, slope: float) -> Tensor:
        ctx.save_for_backward(x)
        ctx.slope = slope
        return functional.leaky_relu(x, slope)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        return _Slopes.apply(grad, ctx.saved_tensors[0].detach(), ctx.slope), None


class _Slopes(torch.autograd.Function):
    """A gradient times the slope of LeakyReLU at x, which is constant almost everywhere."""

    @staticmethod
    def forward(ctx: Any, grad: Tensor, x: Tensor, slope: float) -> Tensor:
        ctx.save_for_backward(x)
        ctx.slope = slope
        slopes: Tensor = torch.ops.aten.leaky_relu_backward(grad, x, slope, False)
        return slopes

    @staticmethod
    def backward(ctx: Any, outer: Tensor) -> tuple[Tensor | None, ...]:
        return _Slopes.apply(outer, *ctx.saved_tensors, ctx.slope), None, None
