import hashlib
import os

import numpy as np
import pytest
import torch

import facegan.downloads.inception_weights
from facegan.errors import WeightsError
from facegan.features import embed, inception_extractor
from inception import block_images


@pytest.fixture
def publish(monkeypatch):
    """publish(path) -> its sha256, from now on that of the published file."""

    def make(path):
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        row = facegan.downloads.inception_weights.INCEPTION.model_copy(
            update={"checksum": f"sha256:{digest}", "size_bytes": path.stat().st_size}
        )
        monkeypatch.setattr(facegan.downloads.inception_weights, "INCEPTION", row)
        return digest

    return make


def refusal(path):
    with pytest.raises(WeightsError) as error:
        inception_extractor(path)
    assert error.value.exit_code == 2
    return str(error.value)


def test_images_become_vectors_and_logits_and_the_random_state_stays(inception_weights):
    before = torch.get_rng_state()
    extractor = inception_extractor(inception_weights)
    assert torch.equal(torch.get_rng_state(), before)
    seen = embed(extractor, block_images(3, (16, 16)).numpy(), np.array([2, 0]), batch_size=2)
    assert seen.features.shape == (2, 2048) and seen.logits.shape == (2, 1008)
    assert np.isfinite(seen.features).all() and not np.allclose(seen.features[0], seen.features[1], rtol=0.01)
    assert (extractor.key, extractor.num_features, extractor.device) == ("inception", 2048, "cpu")
    assert extractor.digest == hashlib.sha256(inception_weights.read_bytes()).hexdigest()
    assert "TensorFlow 1" in extractor.resize and "grey repeated to 3 channels" in extractor.resize


def test_file_in_torchs_older_format_and_without_counters_loads_as_well(inception_file, tmp_path, publish):
    tensors = torch.load(inception_file, weights_only=True)
    older = {name: tensor for name, tensor in tensors.items() if tensor.is_floating_point()}
    path = tmp_path / "older.pth"
    torch.save(older, path, _use_new_zipfile_serialization=False)
    publish(path)
    extractor = inception_extractor(path)
    assert torch.equal(extractor.see.fc.weight, tensors["fc.weight"])
    assert extractor.see(block_images(1, (16, 16)))[0].isfinite().all()


def test_other_file_is_refused_by_its_digest_and_never_read(tmp_path, monkeypatch):
    path = tmp_path / "other.pth"
    path.write_bytes(b"something else")
    monkeypatch.setattr(torch, "load", None)
    assert refusal(path) == (
        f"{path}: not the published weights of Inception, and not read (its sha256 is "
        f"{hashlib.sha256(b'something else').hexdigest()}; published is "
        "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2); run 'facegan download inception'"
    )


def test_missing_file_and_folder_are_refused(tmp_path):
    advice = "give the file pt_inception-2015-12-05-6726825d.pth, or run 'facegan download inception'"
    assert refusal(tmp_path / "gone.pth") == f"{tmp_path / 'gone.pth'}: no such file; {advice}"
    assert refusal(tmp_path) == f"{tmp_path}: is a folder; {advice}"


class Code:
    def __reduce__(self):
        return os.mkdir, ("executed",)


@pytest.mark.parametrize(("content", "reason"), [(b"garbage", "UnpicklingError"), (Code(), "UnpicklingError")])
def test_file_that_holds_no_weights_runs_no_code_even_with_the_right_digest(
    tmp_path, monkeypatch, publish, content, reason
):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "bad.pth"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        torch.save(content, path)
    publish(path)
    assert refusal(path) == f"{path}: torch.load cannot read it ({reason})"
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize(
    ("tensors", "reason"),
    [
        ({"fc.weight": torch.zeros(1, 1)}, 'Missing key(s) in state_dict: "Conv2d_1a_3x3.conv.weight"'),
        ([torch.zeros(1)], "Expected state_dict to be dict-like"),
    ],
)
def test_other_layout_is_refused_in_one_line(tmp_path, publish, tensors, reason):
    path = tmp_path / "other.pth"
    torch.save(tensors, path)
    publish(path)
    message = refusal(path)
    assert message.startswith(f"{path}: its weights are not those of Inception v3 (")
    assert reason in message and len(message.splitlines()) == 1 and len(message) < 600
