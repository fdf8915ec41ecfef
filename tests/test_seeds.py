import json

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from facegan.errors import ConfigError, DamagedError, SnapshotError
from facegan.generator import FaceGenerator
from facegan.reporter import Callbacks
from facegan.seeds import Latent, Points, load_latents, parse, save_latents
from origins import origin

HERE, ELSEWHERE = "a" * 64, "b" * 64


def generator(z_dim=5, digest=HERE):
    network = nn.Sequential(nn.Linear(z_dim, 3 * 4 * 4), nn.Unflatten(1, (3, 4, 4)), nn.Tanh())
    return FaceGenerator(network, z_dim=z_dim, prior="normal", origin=origin(digest=digest, step=7))


@pytest.fixture
def saved(tmp_path):
    """saved("me", rows) -> a file of latents of those rows, and the rows."""

    def make(name, num=1, z_dim=5):
        z = torch.randn(num, z_dim, generator=torch.Generator().manual_seed(len(name)))
        path = tmp_path / f"{name}.safetensors"
        save_latents(path, z, generator(z_dim))
        return path, z

    return make


@pytest.mark.parametrize(
    ("text", "names"),
    [("7", [7]), ("0-3", [0, 1, 2, 3]), ("9,0-2, 9", [9, 0, 1, 2, 9]), ("4294967295", [2**32 - 1]), ("5-5", [5])],
)
def test_seeds_and_ranges_are_named_in_their_order(text, names):
    points = parse(text)
    assert list(points.names()) == names
    assert len(points) == len(names)
    assert points.labels() == [str(name) for name in names]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("5-1", "the range '5-1' runs backwards; give 1-5"),
        ("a", "'a' is not a seed; give numbers and ranges, for instance 0-63,99, or a file of latents"),
        ("1,,2", "'' is not a seed"),
        ("-3", "'-3' is not a seed"),
        ("1.5", "'1.5' is not a seed"),
        ("١", "is not a seed"),  # a digit, but not an ASCII one
        ("4294967296", "'4294967296' is too large; seeds are below 2^32"),
        ("0-10000000", "'0-10000000' is too large"),
        ("0-9999999,5", "10,000,001 points; give 1 to 10,000,000"),
        ("9" * 5000, "is not a seed"),
    ],
)
def test_texts_that_name_no_points_are_refused(text, message):
    with pytest.raises(ConfigError) as refused:
        parse(text)
    assert message in str(refused.value)


def test_many_seeds_are_held_as_ranges_and_come_in_batches():
    points = Points.of(range(10_000_000))
    assert points.text == "0-9999999"
    assert next(points.batches(3)) == [0, 1, 2]
    assert [len(batch) for batch in parse("0-6").batches(3)] == [3, 3, 1]


def test_the_text_of_seeds_is_the_shortest_one():
    texts = [Points.of(seeds).text for seeds in ([0, 1, 2, 9, 4, 5], range(4, 5), range(0, 9, 3))]
    assert texts == ["0-2,9,4-5", "4", "0,3,6"]


def test_latents_can_be_given_wherever_seeds_can(saved):
    path, z = saved("me")
    points = parse(f"3,{path},15")
    assert list(points.names()) == [3, "me.safetensors", 15]
    assert points.labels() == ["3", "me", "15"]
    found = points.z(generator())
    assert torch.equal(found, torch.cat([generator().latents([3]), z, generator().latents([15])]))


def test_every_row_of_a_file_is_a_point_and_one_can_be_chosen(saved):
    path, z = saved("family", 3)
    assert list(parse(str(path)).names()) == [f"family.safetensors#{row}" for row in range(3)]
    assert torch.equal(parse(str(path)).z(generator()), z)
    assert torch.equal(parse(f"{path}#2").z(generator()), z[2:])
    with pytest.raises(ConfigError, match=r"there is no row 3; family.safetensors has 3, numbered from 0"):
        parse(f"{path}#3")


def test_points_are_complete_without_their_files(saved):
    path, z = saved("me")
    written = parse(f"{path},1-2").model_dump_json()
    path.unlink()
    assert str(path.parent) not in written
    again = Points.model_validate_json(written)
    assert torch.equal(again.z(generator())[:1], z)
    assert list(again.names()) == ["me.safetensors", 1, 2]


def test_two_files_of_one_name_are_refused(saved, tmp_path):
    path, _ = saved("me")
    (tmp_path / "other").mkdir()
    other = tmp_path / "other" / path.name
    other.write_bytes(path.read_bytes())
    with pytest.raises(ConfigError, match="have one name; rename one of them"):
        parse(f"{path},{other}")
    assert len(parse(f"{path},{path}")) == 2


def test_latent_of_another_length_is_refused(saved):
    path, _ = saved("me", z_dim=12)
    with pytest.raises(
        SnapshotError, match=r"me.safetensors: a latent of 12 numbers, but G.safetensors takes 5; it be"
    ):
        parse(str(path)).z(generator())


@pytest.mark.parametrize(("digest", "warned"), [(HERE, False), (ELSEWHERE, True)])
def test_latents_of_another_snapshot_are_reported(saved, digest, warned):
    path, _ = saved("me")
    lines = []
    parse(f"{path},3").warn_of_foreign(generator(digest=digest), Callbacks(line=lines.append))
    warning = "me.safetensors: was found for another snapshot; its face here is another one"
    assert lines == [warning] * warned


def test_latents_survive_their_file_to_the_bit_with_where_they_come_from(saved):
    path, z = saved("me", 2)
    found, snapshot = load_latents(path)
    assert torch.equal(found, z)
    assert snapshot == HERE


def test_damaged_latents_are_refused(saved):
    path, _ = saved("me")
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)
    with pytest.raises(DamagedError, match="digest differs"):
        parse(str(path))


@pytest.mark.parametrize("z", [torch.zeros(4), torch.full((1, 4), np.nan), torch.zeros(0, 4), torch.zeros(1, 4).int()])
def test_files_without_finite_latents_are_refused(tmp_path, z):
    path = tmp_path / "odd.safetensors"
    save_file({"z": z}, path, {"format": "facegan-latents", "schema": "1", "step": "0"})
    with pytest.raises(SnapshotError, match=r"holds no latents of shape \(N, z_dim\) that are finite"):
        parse(str(path))


def test_a_missing_file_is_named():
    with pytest.raises(SnapshotError, match=r"none.safetensors: no such latents file"):
        parse("none.safetensors")


@pytest.mark.parametrize("z", ["!", "AAAA", "AADAfw=="])  # no base64, three bytes, a NaN
def test_invalid_latents_in_an_image_are_refused(z):
    points = Points.model_validate_json(json.dumps({"text": "me", "latents": {"me": {"z": z}}}))
    with pytest.raises(ConfigError):
        points.z(generator())


def test_latent_of_a_vector_is_that_vector():
    z = torch.randn(9)
    assert torch.equal(Latent.of(z).vector(), z)
