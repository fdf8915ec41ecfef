import numpy as np
import pytest
import torch

from facegan.config import DataConfig
from facegan.data.loader import InfiniteSampler, Loader
from facegan.data.packed.load import check_enough, load
from facegan.errors import DataError


def loader(images, *, batch_size, seed=0, shard=(0, 1), **options):
    return Loader(images, InfiniteSampler(len(images), batch_size=batch_size, seed=seed, shard=shard), **options)


@pytest.fixture
def images():
    """Ten images whose first pixel is their number."""
    pixels = np.random.default_rng(0).integers(0, 256, (10, 3, 4, 4), dtype=np.uint8)
    pixels[:, 0, 0, 0] = pixels[:, 0, 0, -1] = np.arange(10)
    return pixels


def numbers(batch):
    return ((batch[:, 0, 0, 0] + 1) * 127.5).round().int().tolist()


def test_batch_is_a_pure_function_of_seed_and_step(images):
    one_loader = loader(images, batch_size=4, mirror=True)
    forward = [one_loader.batch(step) for step in range(12)]
    backward = [one_loader.batch(step) for step in reversed(range(12))][::-1]
    fresh = [loader(images, batch_size=4, mirror=True).batch(step) for step in range(12)]
    for one, two, three in zip(forward, backward, fresh, strict=True):
        assert torch.equal(one, two) and torch.equal(one, three)


@pytest.mark.parametrize("num_parts", [1, 2, 4])
def test_the_parts_of_a_batch_are_the_batch_in_order(images, num_parts):
    full = loader(images, batch_size=8, mirror=True)
    parts = [loader(images, batch_size=8, shard=(part, num_parts), mirror=True) for part in range(num_parts)]
    for step in range(6):
        assert torch.equal(torch.cat([part.batch(step) for part in parts]), full.batch(step))


def test_loading_leaves_the_global_random_state_alone(images):
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    loader(images, batch_size=4, mirror=True).batch(3)
    assert torch.equal(torch.rand(1), expected)


@pytest.mark.parametrize("batch_size", [1, 3, 4, 10, 23])
def test_every_epoch_shows_each_image_once_and_batches_straddle_epochs(images, batch_size):
    endless = loader(images, batch_size=batch_size)
    batches = [numbers(endless.batch(step)) for step in range(30)]
    assert {len(batch) for batch in batches} == {batch_size}
    shown = [number for batch in batches for number in batch]
    epochs = [shown[start : start + 10] for start in range(0, len(shown) - 9, 10)]
    assert all(sorted(epoch) == list(range(10)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == len(epochs)


def test_another_seed_is_another_order(images):
    orders = [numbers(loader(images, batch_size=10, seed=seed).batch(0)) for seed in (0, 1)]
    assert orders[0] != orders[1]


def test_pixels_map_exactly_to_minus_one_to_one():
    values = np.arange(256, dtype=np.uint8).reshape(1, 1, 16, 16)
    batch = loader(values, batch_size=1).batch(0)
    assert batch.dtype == torch.float32 and batch.shape == (1, 1, 16, 16)
    expected = torch.arange(256, dtype=torch.float32).reshape(1, 1, 16, 16) / 127.5 - 1
    assert torch.equal(batch, expected)
    assert batch.min() == -1 and batch.max() == 1


def test_mirror_flips_half_of_the_images_again_each_epoch():
    values = np.zeros((400, 1, 2, 4), dtype=np.uint8)
    values[:, 0, 0, 0] = 255
    plain = loader(values, batch_size=400)
    mirrored = loader(values, batch_size=400, mirror=True)
    assert torch.equal(plain.batch(0)[:, 0, 0], torch.tensor([1.0, -1, -1, -1]).expand(400, 4))
    flipped = [mirrored.batch(step)[:, 0, 0, 3] == 1 for step in (0, 1)]
    for mask in flipped:
        assert 160 < mask.sum() < 240  # 200 +- 4 standard deviations
    assert not torch.equal(*flipped)
    row = mirrored.batch(0)[flipped[0]][0, 0]
    assert row.tolist() == [[-1, -1, -1, 1], [-1, -1, -1, -1]]


def test_batches_come_in_the_memory_format_asked_for(images):
    plain = loader(images, batch_size=4).batch(0)
    last = loader(images, batch_size=4, memory_format=torch.channels_last).batch(0)
    assert plain.is_contiguous() and last.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(plain, last)


def test_batches_of_packed_images_leave_the_file_alone(folder):
    packed = load(DataConfig(source=str(folder(*(f"{i}.png" for i in range(6))))), resolution=16, channels=3)
    before = (packed.path / "images.npy").read_bytes()
    batches = loader(packed.images, batch_size=6)
    batches.batch(0).zero_()
    batches.sample(6).zero_()
    assert (packed.path / "images.npy").read_bytes() == before


def test_read_only_arrays_are_accepted(images):
    images.flags.writeable = False
    assert sorted(numbers(loader(images, batch_size=10).batch(0))) == list(range(10))


def test_sample_is_fixed_by_the_seed(images):
    batches = loader(images, batch_size=2)
    sample = batches.sample(4)
    assert sample.dtype == torch.uint8 and sample.shape == (4, 3, 4, 4)
    assert torch.equal(sample, batches.sample(4)) and torch.equal(sample, batches.sample(9)[:4])
    assert len(set(sample[:, 0, 0, 0].tolist())) == 4
    assert not torch.equal(sample, loader(images, batch_size=2, seed=1).sample(4))
    assert len(batches.sample(64)) == 10


def test_set_smaller_than_a_batch_is_refused():
    check_enough(128, 128, "faces/")
    with pytest.raises(DataError) as caught:
        check_enough(3, 128, "faces/")
    assert str(caught.value) == "faces/: found 3 images, need at least 128 (train.batch_size)"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("free_bytes", [2**40, 0], ids=["set on the device", "set on the host"])
def test_cuda_batches_equal_those_of_the_cpu(images, free_bytes, monkeypatch):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (free_bytes, 2**40))
    there = loader(images, batch_size=7, device="cuda", mirror=True)
    here = loader(images, batch_size=7, mirror=True)
    for step in range(5):
        batch = there.batch(step)
        assert batch.is_cuda
        torch.testing.assert_close(batch.cpu(), here.batch(step), rtol=0, atol=1e-7)
