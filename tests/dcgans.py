"""DCGANs as others write them, independently of facegan, with numbers as training leaves them."""

import torch
from torch import nn
from torch.nn import functional


class Tutorial(nn.Module):
    """The PyTorch tutorial's G: one sequence of transposed convolutions, batch norms and ReLUs, tanh at the end."""

    def __init__(self, z_dim=100, ngf=64, channels=3, resolution=64, hidden_bias=False, last_bias=False):
        super().__init__()
        self.z_dim = z_dim
        width = ngf * resolution // 8  # doubles from the last hidden layer to the first
        layers = [nn.ConvTranspose2d(z_dim, width, 4, 1, 0, bias=hidden_bias), nn.BatchNorm2d(width), nn.ReLU(True)]
        while width > ngf:
            layers.append(nn.ConvTranspose2d(width, width // 2, 4, 2, 1, bias=hidden_bias))
            layers += [nn.BatchNorm2d(width // 2), nn.ReLU(True)]
            width //= 2
        self.main = nn.Sequential(*layers, nn.ConvTranspose2d(ngf, channels, 4, 2, 1, bias=last_bias), nn.Tanh())

    def forward(self, z):
        return self.main(z[:, :, None, None])


class LinearHeaded(nn.Module):
    """The notebooks' G: a linear layer, then deconv1, deconv2, ..., of which all but the last hold a batch norm."""

    def __init__(self, z_dim=100, conv_dim=64, channels=3, resolution=64):
        super().__init__()
        self.z_dim = z_dim
        self.wide = conv_dim * resolution // 8
        self.fc = nn.Linear(z_dim, self.wide * 4 * 4)
        self.num = resolution.bit_length() - 3
        width = self.wide
        for number in range(1, self.num):
            up = nn.ConvTranspose2d(width, width // 2, 4, 2, 1, bias=False)
            setattr(self, f"deconv{number}", nn.Sequential(up, nn.BatchNorm2d(width // 2)))
            width //= 2
        last = nn.Sequential(nn.ConvTranspose2d(width, channels, 4, 2, 1, bias=False))
        setattr(self, f"deconv{self.num}", last)

    def forward(self, z):
        x = self.fc(z).view(-1, self.wide, 4, 4)
        for number in range(1, self.num):
            x = functional.relu(getattr(self, f"deconv{number}")(x))
        return torch.tanh(getattr(self, f"deconv{self.num}")(x))


class Apart(nn.Module):
    """A G at 32x32 that declares each convolution, with PyTorch's default bias, before its norm, under other names."""

    def __init__(self, z_dim=100, d=16, channels=3):
        super().__init__()
        self.z_dim = z_dim
        self.tconv1, self.bn1 = nn.ConvTranspose2d(z_dim, d * 4, 4), nn.BatchNorm2d(d * 4)
        self.tconv2, self.bn2 = nn.ConvTranspose2d(d * 4, d * 2, 4, 2, 1), nn.BatchNorm2d(d * 2)
        self.tconv3, self.bn3 = nn.ConvTranspose2d(d * 2, d, 4, 2, 1), nn.BatchNorm2d(d)
        self.tconv4 = nn.ConvTranspose2d(d, channels, 4, 2, 1)

    def forward(self, z):
        x = functional.relu(self.bn1(self.tconv1(z[:, :, None, None])))
        x = functional.relu(self.bn2(self.tconv2(x)))
        x = functional.relu(self.bn3(self.tconv3(x)))
        return torch.tanh(self.tconv4(x))


class Discriminator(nn.Module):
    """The tutorial's D at 32x32."""

    def __init__(self, ndf=16, channels=3):
        super().__init__()
        self.main = nn.Sequential(
            nn.Conv2d(channels, ndf, 4, 2, 1, bias=False), nn.LeakyReLU(0.2, True),
            nn.Conv2d(ndf, ndf * 2, 4, 2, 1, bias=False), nn.BatchNorm2d(ndf * 2), nn.LeakyReLU(0.2, True),
            nn.Conv2d(ndf * 2, ndf * 4, 4, 2, 1, bias=False), nn.BatchNorm2d(ndf * 4), nn.LeakyReLU(0.2, True),
            nn.Conv2d(ndf * 4, 1, 4, 1, 0, bias=False), nn.Sigmoid(),
        )  # fmt: skip


def trained(network, seed=0):
    """The network in eval mode, none of its numbers where initialisation puts it; its images are not saturated."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                for tensor, low, high in (
                    (module.weight, 0.5, 1.5),
                    (module.bias, -0.4, 0.4),
                    (module.running_mean, -0.5, 0.5),
                    (module.running_var, 0.3, 2.0),
                ):
                    tensor.uniform_(low, high, generator=generator)
                module.num_batches_tracked += 77
            elif hasattr(module, "weight"):
                fan_in = module.weight.shape[1] if isinstance(module, nn.Linear) else module.weight.shape[0] * 4
                module.weight.normal_(0, fan_in**-0.5, generator=generator)
                if module.bias is not None:
                    module.bias.uniform_(-0.5, 0.5, generator=generator)
    return network.eval()
