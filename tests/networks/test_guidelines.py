import pytest
import torch
from torch import nn

from facegan.networks.dcgan import DCGAN
from facegan.networks.guidelines import guidelines

NAMES = ("no pooling", "batch norm", "no hidden dense", "ReLU in G", "LeakyReLU in D")


def kept(G, D, z_dim=6):
    with torch.device("meta"):
        z = torch.zeros(2, z_dim)
    found = guidelines(G.to("meta"), D.to("meta"), z)
    return {name: line.kept for name, line in zip(NAMES, found, strict=True)}


def broken(G, D):
    return [name for name, keeps in kept(G, D).items() if not keeps]


@pytest.mark.parametrize("resolution", [16, 64, 256])
def test_conv_headed_dcgan_keeps_every_guideline(resolution):
    architecture = DCGAN(z_dim=6, ngf=2, ndf=2)
    assert broken(architecture.generator(resolution, 3), architecture.discriminator(resolution, 3)) == []


@pytest.mark.parametrize("resolution", [16, 64])
def test_linear_headed_dcgan_keeps_all_but_norm_and_relu_after_gs_head(resolution):
    # The paper norms and activates that layer; the linear-headed variant is defined by doing neither.
    architecture = DCGAN(z_dim=6, ngf=2, ndf=2, head="linear")
    G, D = architecture.generator(resolution, 3), architecture.discriminator(resolution, 3)
    assert broken(G, D) == ["batch norm", "ReLU in G"]
    found = guidelines(G.to("meta"), D.to("meta"), torch.zeros(2, 6, device="meta"))
    assert found[1].evidence.endswith("missing after: G's Linear number 1")
    assert found[3].evidence.endswith("missing after: G's Linear number 1")


def up(wide, narrow, activation=None, norm=True):
    norms = [nn.BatchNorm2d(narrow)] if norm else []
    return [nn.ConvTranspose2d(wide, narrow, 4, 2, 1), *norms, activation or nn.ReLU()]


def down(narrow, wide, activation=None, norm=True):
    norms = [nn.BatchNorm2d(wide)] if norm else []
    return [nn.Conv2d(narrow, wide, 4, 2, 1), *norms, activation or nn.LeakyReLU(0.2)]


HEAD_G = [nn.Unflatten(1, (6, 1, 1)), nn.ConvTranspose2d(6, 8, 4), nn.BatchNorm2d(8), nn.ReLU()]
TAIL_G = [nn.ConvTranspose2d(4, 3, 4, 2, 1), nn.Tanh()]
HEAD_D = [nn.Conv2d(3, 4, 4, 2, 1), nn.LeakyReLU(0.2)]
TAIL_D = [nn.Conv2d(8, 1, 4), nn.Flatten(0)]
GOOD_G = [*HEAD_G, *up(8, 4), *TAIL_G]
GOOD_D = [*HEAD_D, *down(4, 8), *TAIL_D]

BREAKS = {
    "max pooling in D": (GOOD_G, [*HEAD_D, nn.Conv2d(4, 8, 3, 1, 1), nn.BatchNorm2d(8), nn.LeakyReLU(0.2), nn.MaxPool2d(2), *TAIL_D], "no pooling"),
    "average pooling in D": (GOOD_G, [*HEAD_D, nn.Conv2d(4, 8, 3, 1, 1), nn.BatchNorm2d(8), nn.LeakyReLU(0.2), nn.AvgPool2d(2), *TAIL_D], "no pooling"),
    "upsampling in G": ([*HEAD_G, nn.Upsample(scale_factor=2), nn.Conv2d(8, 4, 3, 1, 1), nn.BatchNorm2d(4), nn.ReLU(), *TAIL_G], GOOD_D, "no pooling"),
    "no norm in G": ([*HEAD_G, *up(8, 4, norm=False), *TAIL_G], GOOD_D, "batch norm"),
    "no norm in D": (GOOD_G, [*HEAD_D, *down(4, 8, norm=False), *TAIL_D], "batch norm"),
    "two convolutions share a norm": (GOOD_G, [*HEAD_D, nn.Conv2d(4, 4, 3, 1, 1), nn.LeakyReLU(0.2), *down(4, 8), *TAIL_D], "batch norm"),
    "instance norm": (GOOD_G, [*HEAD_D, nn.Conv2d(4, 8, 4, 2, 1), nn.InstanceNorm2d(8), nn.LeakyReLU(0.2), *TAIL_D], "batch norm"),
    "a hidden dense layer in G": (
        [nn.Linear(6, 10), nn.BatchNorm1d(10), nn.ReLU(), nn.Linear(10, 128), nn.BatchNorm1d(128), nn.ReLU(), nn.Unflatten(1, (8, 4, 4)), *up(8, 4), *TAIL_G],
        GOOD_D, "no hidden dense",
    ),
    "a hidden dense layer in D": (
        GOOD_G, [*HEAD_D, *down(4, 8), nn.Flatten(1), nn.Linear(128, 10), nn.BatchNorm1d(10), nn.LeakyReLU(0.2), nn.Linear(10, 1), nn.Flatten(0)],
        "no hidden dense",
    ),
    "leaky ReLU in G": ([*HEAD_G, *up(8, 4, nn.LeakyReLU(0.2)), *TAIL_G], GOOD_D, "ReLU in G"),
    "sigmoid at G's end": ([*HEAD_G, *up(8, 4), nn.ConvTranspose2d(4, 3, 4, 2, 1), nn.Sigmoid()], GOOD_D, "ReLU in G"),
    "nothing at G's end": ([*HEAD_G, *up(8, 4), nn.ConvTranspose2d(4, 3, 4, 2, 1)], GOOD_D, "ReLU in G"),
    "a layer of G without activation": (
        [*HEAD_G, nn.ConvTranspose2d(8, 4, 4, 2, 1), nn.BatchNorm2d(4), *TAIL_G], GOOD_D, "ReLU in G",
    ),
    "ReLU in D": (GOOD_G, [*HEAD_D, *down(4, 8, nn.ReLU()), *TAIL_D], "LeakyReLU in D"),
    "a layer of D without activation": (GOOD_G, [*HEAD_D, nn.Conv2d(4, 8, 4, 2, 1), nn.BatchNorm2d(8), *TAIL_D], "LeakyReLU in D"),
}  # fmt: skip


def test_hand_made_networks_that_keep_all_are_kept():
    assert broken(nn.Sequential(*GOOD_G), nn.Sequential(*GOOD_D)) == []
    assert broken(nn.Sequential(*GOOD_G), nn.Sequential(*GOOD_D, nn.Sigmoid())) == []


@pytest.mark.parametrize(("G", "D", "name"), BREAKS.values(), ids=BREAKS.keys())
def test_breaking_one_guideline_is_reported_for_that_one_only(G, D, name):
    assert broken(nn.Sequential(*G), nn.Sequential(*D)) == [name]


def test_order_of_action_counts_not_order_of_definition():
    class Swapped(nn.Module):
        def __init__(self):
            super().__init__()
            self.last = nn.Sequential(*TAIL_G)
            self.first = nn.Sequential(*HEAD_G, *up(8, 4))

        def forward(self, z):
            return self.last(self.first(z))

    assert broken(Swapped(), nn.Sequential(*GOOD_D)) == []


def test_evidence_names_what_is_missing():
    G, D, _ = BREAKS["no norm in D"]
    found = guidelines(nn.Sequential(*G).to("meta"), nn.Sequential(*D).to("meta"), torch.zeros(2, 6, device="meta"))
    assert found[1].text == "batch norm in both G and D, except on G's output and D's input layer"
    assert found[1].evidence == "2 batch norms; missing after: D's Conv2d number 2"
    G, D, _ = BREAKS["max pooling in D"]
    found = guidelines(nn.Sequential(*G).to("meta"), nn.Sequential(*D).to("meta"), torch.zeros(2, 6, device="meta"))
    assert found[0].evidence == "pooling or resizing layers: MaxPool2d; strided convolutions: D 1, G 2"


def test_looking_leaves_no_hooks_and_no_numbers_behind():
    G, D = DCGAN(z_dim=6, ngf=2).generator(16, 3), DCGAN(ndf=2).discriminator(16, 3)
    guidelines(G.to("meta"), D.to("meta"), torch.zeros(2, 6, device="meta"))
    assert not any(module._forward_hooks for network in (G, D) for module in network.modules())
