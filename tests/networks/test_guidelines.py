import pytest
import torch
from torch import nn

from facegan.networks.dcgan import DCGAN
from facegan.networks.guidelines import guidelines, trace

NAMES = ("no pooling", "batch norm", "no hidden dense", "ReLU in G", "LeakyReLU in D")


def kept(G, D, z_dim=6):
    with torch.device("meta"):
        z = torch.zeros(2, z_dim)
    found = guidelines(trace(G.to("meta"), D.to("meta"), z))
    return {name: line.kept for name, line in zip(NAMES, found, strict=True)}


def broken(G, D):
    return [name for name, keeps in kept(G, D).items() if not keeps]


@pytest.mark.parametrize("resolution", [16, 64, 512])
def test_conv_headed_dcgan_keeps_every_guideline(resolution):
    architecture = DCGAN(z_dim=6, ngf=2, ndf=2)
    assert broken(architecture.generator(resolution, 3), architecture.discriminator(resolution, 3)) == []


@pytest.mark.parametrize("resolution", [16, 64])
def test_linear_headed_dcgan_keeps_all_but_norm_and_relu_after_gs_head(resolution):
    # The paper norms and activates that layer; the linear-headed variant is defined by doing neither.
    architecture = DCGAN(z_dim=6, ngf=2, ndf=2, head="linear")
    G, D = architecture.generator(resolution, 3), architecture.discriminator(resolution, 3)
    assert broken(G, D) == ["batch norm", "ReLU in G"]
    found = guidelines(trace(G.to("meta"), D.to("meta"), torch.zeros(2, 6, device="meta")))
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

KEEP_SIZE = [nn.Conv2d(4, 8, 3, 1, 1), nn.BatchNorm2d(8), nn.LeakyReLU(0.2)]
DENSE_G = [nn.Linear(6, 10), nn.BatchNorm1d(10), nn.ReLU(), nn.Linear(10, 128), nn.BatchNorm1d(128), nn.ReLU()]
DENSE_D = [nn.Flatten(1), nn.Linear(128, 10), nn.BatchNorm1d(10), nn.LeakyReLU(0.2), nn.Linear(10, 1), nn.Flatten(0)]

OF_G = {
    "upsampling": (
        [*HEAD_G, nn.Upsample(scale_factor=2), nn.Conv2d(8, 4, 3, 1, 1), nn.BatchNorm2d(4), nn.ReLU(), *TAIL_G],
        "no pooling",
    ),
    "a stage without norm": ([*HEAD_G, *up(8, 4, norm=False), *TAIL_G], "batch norm"),
    "a hidden dense layer": ([*DENSE_G, nn.Unflatten(1, (8, 4, 4)), *up(8, 4), *TAIL_G], "no hidden dense"),
    "leaky ReLU": ([*HEAD_G, *up(8, 4, nn.LeakyReLU(0.2)), *TAIL_G], "ReLU in G"),
    "sigmoid at the end": ([*HEAD_G, *up(8, 4), TAIL_G[0], nn.Sigmoid()], "ReLU in G"),
    "nothing at the end": ([*HEAD_G, *up(8, 4), TAIL_G[0]], "ReLU in G"),
    "no activation": ([*HEAD_G, nn.ConvTranspose2d(8, 4, 4, 2, 1), nn.BatchNorm2d(4), *TAIL_G], "ReLU in G"),
}
OF_D = {
    "max pooling": ([*HEAD_D, *KEEP_SIZE, nn.MaxPool2d(2), *TAIL_D], "no pooling"),
    "average pooling": ([*HEAD_D, *KEEP_SIZE, nn.AvgPool2d(2), *TAIL_D], "no pooling"),
    "a stage without norm": ([*HEAD_D, *down(4, 8, norm=False), *TAIL_D], "batch norm"),
    "a norm for two": ([*HEAD_D, nn.Conv2d(4, 4, 3, 1, 1), nn.LeakyReLU(0.2), *down(4, 8), *TAIL_D], "batch norm"),
    "instance norm": (
        [*HEAD_D, nn.Conv2d(4, 8, 4, 2, 1), nn.InstanceNorm2d(8), nn.LeakyReLU(0.2), *TAIL_D],
        "batch norm",
    ),
    "a hidden dense layer": ([*HEAD_D, *down(4, 8), *DENSE_D], "no hidden dense"),
    "ReLU": ([*HEAD_D, *down(4, 8, nn.ReLU()), *TAIL_D], "LeakyReLU in D"),
    "no activation": ([*HEAD_D, nn.Conv2d(4, 8, 4, 2, 1), nn.BatchNorm2d(8), *TAIL_D], "LeakyReLU in D"),
}


def test_hand_made_networks_that_keep_all_are_kept():
    assert broken(nn.Sequential(*GOOD_G), nn.Sequential(*GOOD_D)) == []
    assert broken(nn.Sequential(*GOOD_G), nn.Sequential(*GOOD_D, nn.Sigmoid())) == []


@pytest.mark.parametrize(("G", "name"), OF_G.values(), ids=OF_G.keys())
def test_breaking_one_guideline_in_g_is_reported_for_that_one_only(G, name):
    assert broken(nn.Sequential(*G), nn.Sequential(*GOOD_D)) == [name]


@pytest.mark.parametrize(("D", "name"), OF_D.values(), ids=OF_D.keys())
def test_breaking_one_guideline_in_d_is_reported_for_that_one_only(D, name):
    assert broken(nn.Sequential(*GOOD_G), nn.Sequential(*D)) == [name]


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
    def evidence(D):
        z = torch.zeros(2, 6, device="meta")
        passed = trace(nn.Sequential(*GOOD_G).to("meta"), nn.Sequential(*D).to("meta"), z)
        return [line.evidence for line in guidelines(passed)]

    assert evidence(OF_D["a stage without norm"][0])[1] == "2 batch norms; missing after: D's Conv2d number 2"
    assert evidence(OF_D["max pooling"][0])[0] == (
        "pooling or resizing layers: MaxPool2d; strided convolutions: D 1, G 2"
    )


def test_looking_leaves_no_hooks_and_no_numbers_behind():
    G, D = DCGAN(z_dim=6, ngf=2).generator(16, 3), DCGAN(ndf=2).discriminator(16, 3)
    guidelines(trace(G.to("meta"), D.to("meta"), torch.zeros(2, 6, device="meta")))
    assert not any(module._forward_hooks for network in (G, D) for module in network.modules())
