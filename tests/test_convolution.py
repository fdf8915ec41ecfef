import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode

from facegan.convolution import Conv2d, Geometry, LeakyReLU, convolution, without_autocast

CASES = {  # geometry, shape of x, shape of the weight, channels of the value
    "3x3": (Geometry(padding=(1, 1)), (2, 2, 4, 3), (3, 2, 3, 3), 3),
    "1x1": (Geometry(), (2, 3, 2, 3), (2, 3, 1, 1), 2),
    "strided, a row too many": (Geometry(stride=(2, 2), padding=(1, 1)), (1, 2, 5, 4), (2, 2, 4, 4), 2),
    "groups, uneven": (Geometry(stride=(2, 1), padding=(1, 0), groups=2), (2, 4, 4, 3), (4, 2, 3, 2), 4),
    "dilated": (Geometry(padding=(2, 2), dilation=(2, 2)), (1, 2, 4, 4), (2, 2, 3, 3), 2),
    "depthwise": (Geometry(stride=(2, 2), padding=(1, 1), groups=3), (1, 3, 4, 4), (3, 1, 4, 4), 3),
    "transposed": (Geometry((2, 2), (1, 1), transposed=True), (1, 2, 2, 3), (2, 3, 4, 4), 3),
    "transposed in groups": (
        Geometry((2, 2), (1, 1), (1, 0), groups=2, transposed=True), (2, 4, 2, 2), (4, 1, 3, 3), 2,
    ),
}  # fmt: skip
EVERY = pytest.mark.parametrize(("geometry", "x", "weight", "width"), CASES.values(), ids=CASES)


def torchs(x, weight, bias, geometry):
    stride, padding, output_padding, dilation, groups, transposed = geometry
    if transposed:
        return functional.conv_transpose2d(x, weight, bias, stride, padding, output_padding, groups, dilation)
    return functional.conv2d(x, weight, bias, stride, padding, dilation, groups)


def tensors(*shapes, dtype=torch.float32):
    source = torch.Generator().manual_seed(0)
    return [torch.randn(shape, generator=source, dtype=dtype).requires_grad_() for shape in shapes]


@EVERY
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_first_and_second_derivatives_are_right(geometry, x, weight, width, layout):
    def apply(x, weight, bias):
        return convolution(x.to(memory_format=layout), weight.to(memory_format=layout), bias, geometry)

    inputs = tensors(x, weight, (width,), dtype=torch.float64)
    assert torch.autograd.gradcheck(apply, inputs, fast_mode=True)
    assert torch.autograd.gradgradcheck(apply, inputs, fast_mode=True)


@EVERY
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("dtype", [None, torch.bfloat16])  # of autocast
def test_values_and_gradients_are_those_of_torch_to_the_bit(geometry, x, weight, width, layout, dtype):
    inputs = tensors(x, weight, (width,))
    found = []
    for function in (convolution, torchs):
        with torch.autocast("cpu", dtype or torch.bfloat16, enabled=dtype is not None):
            value = function(*(each.to(memory_format=layout) for each in inputs[:2]), inputs[2], geometry)
        found.append([value, *torch.autograd.grad(value.float().square().sum(), inputs)])
    assert found[0][0].dtype == (dtype or torch.float32)
    for ours, theirs in zip(*found, strict=True):
        assert ours.dtype == theirs.dtype
        assert torch.equal(ours, theirs)


def slope(network, images):
    """The sum of squared slopes of a network's outputs, ready for a second derivative."""
    (slopes,) = torch.autograd.grad(network(images).sum(), images, create_graph=True)
    return slopes.square().sum()


def network_of(layer, activation=LeakyReLU):
    torch.manual_seed(0)
    return nn.Sequential(
        *[layer(3, 8, 3, padding=1), activation(0.2), layer(8, 8, 3, padding=1, groups=2), activation(0.2)],
        *[layer(8, 4, 4, stride=2, padding=1, bias=False), activation(0.2), nn.Flatten(1), nn.Linear(64, 1)],
    )


def test_gradients_of_a_penalty_are_those_of_torch():
    images = torch.randn(2, 3, 8, 8, dtype=torch.float64)
    found = []
    for network in (network_of(Conv2d), network_of(nn.Conv2d, nn.LeakyReLU)):
        logits = network.double()(images.requires_grad_())
        (slopes,) = torch.autograd.grad(logits.square().sum(), images, create_graph=True)
        loss = slopes.square().sum() + logits.sum()
        found.append([loss, *torch.autograd.grad(loss, list(network.parameters()))])
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs)


def test_leaky_relu_is_torchs_to_the_bit_and_its_slopes_are_constant():
    x = torch.randn(50, dtype=torch.float64).requires_grad_()
    ours, theirs = LeakyReLU(0.2)(x), functional.leaky_relu(x, 0.2)
    assert torch.equal(ours, theirs)
    factor = torch.randn(50, dtype=torch.float64).requires_grad_()
    slopes = [torch.autograd.grad((value * factor).sum(), x, create_graph=True)[0] for value in (ours, theirs)]
    assert torch.equal(*slopes)
    of_factor = [torch.autograd.grad(each.square().sum(), factor)[0] for each in slopes]
    assert torch.equal(*of_factor)
    (slope,) = torch.autograd.grad(LeakyReLU(0.2)(x).sum(), x, create_graph=True)
    assert not slope.requires_grad
    inside = LeakyReLU(0.2, inplace=True)
    y = torch.tensor([-1.0, 1.0])
    assert inside(y) is y and y.tolist() == pytest.approx([-0.2, 1])


class Gradients(TorchDispatchMode):
    """Count the gradients with respect to inputs and to weights that are computed."""

    def __enter__(self):
        self.of_inputs = self.of_weights = 0
        return super().__enter__()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func is torch.ops.aten.convolution_backward.default:
            self.of_inputs += args[-1][0]
            self.of_weights += args[-1][1]
        return func(*args, **(kwargs or {}))


def test_slope_of_the_images_computes_no_gradients_of_weights():
    network, images = network_of(Conv2d), torch.randn(2, 3, 8, 8).requires_grad_()
    with Gradients() as first:
        loss = slope(network, images)
    assert (first.of_inputs, first.of_weights) == (3, 0)
    with Gradients() as second:
        loss.backward(inputs=list(network.parameters()))
    assert (second.of_inputs, second.of_weights) == (0, 3)


def test_frozen_layers_and_frozen_images_get_no_gradients():
    images = torch.randn(2, 3, 8, 8)
    with Gradients() as counted:
        network_of(Conv2d)(images).sum().backward()
    assert (counted.of_inputs, counted.of_weights) == (2, 3)
    frozen = network_of(Conv2d).requires_grad_(False)
    with Gradients() as counted:
        frozen(images.requires_grad_()).sum().backward()
    assert (counted.of_inputs, counted.of_weights) == (3, 0)
    with Gradients() as counted:
        learned = network_of(Conv2d)
        learned(images).sum().backward(inputs=list(learned.parameters()))
    assert (counted.of_inputs, counted.of_weights) == (2, 3)  # though the images could have a gradient
    assert not frozen(images.detach()).requires_grad


def test_penalty_of_layers_outside_autocast_may_be_differentiated_inside_it():
    network, images = network_of(Conv2d)[:-2], torch.randn(2, 3, 8, 8).requires_grad_()
    expected = torch.autograd.grad(slope(network, images), network[2].weight)[0]
    with torch.autocast("cpu", torch.bfloat16):
        with without_autocast("cpu"):
            logits = network(images)
        (slopes,) = torch.autograd.grad(logits.sum(), images, create_graph=True)
        (found,) = torch.autograd.grad(slopes.square().sum(), network[2].weight)
    assert torch.equal(found, expected)


def test_penalty_under_autocast_is_near_the_exact_one():
    network, images = network_of(Conv2d), torch.randn(4, 3, 8, 8).requires_grad_()
    exact = torch.autograd.grad(slope(network, images), network[2].weight)[0]
    with torch.autocast("cpu", torch.bfloat16):
        logits = network(images)
    (slopes,) = torch.autograd.grad(logits.float().sum(), images, create_graph=True)
    assert slopes.dtype == torch.float32
    (found,) = torch.autograd.grad(slopes.square().sum(), network[2].weight)
    assert found.dtype == torch.float32
    assert (found - exact).norm() < 0.06 * exact.norm()


def test_tensor_changed_in_place_before_the_backward_is_reported():
    x, weight = tensors((1, 2, 4, 4), (2, 2, 3, 3))
    hidden = x * 1
    value = convolution(hidden, weight)
    hidden.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        value.sum().backward()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_penalty_is_captured_as_a_cuda_graph():
    network = network_of(Conv2d).cuda()
    images = torch.randn(2, 3, 8, 8, device="cuda").requires_grad_()
    weights = list(network.parameters())

    def gradients():
        return torch.autograd.grad(slope(network, images), weights[:-1], allow_unused=True)

    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        expected = gradients()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        found = gradients()
    graph.replay()
    for ours, theirs in zip(found, expected, strict=True):
        assert ours is theirs is None or torch.allclose(ours, theirs, rtol=1e-3, atol=1e-5)
