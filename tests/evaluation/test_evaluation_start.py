import numpy as np
import pytest
from PIL import Image

import facegan
from facegan.checkpoint import save_snapshot
from facegan.errors import ConfigError, SnapshotError
from facegan.evaluation.start import check_forms

ONE = {"metrics": ["fd_random"], "n": 12}


@pytest.fixture
def snapshot(tmp_path, tiny, store):
    """snapshot("data.mirror=true") -> a snapshot of networks that have learned nothing, in a run of its own."""

    def make(*settings, num=40):
        config = tiny(*settings, data=store(num=num))
        run = tmp_path / "runs" / "mine"
        (run / "snapshots").mkdir(parents=True)
        (run / "config.json").write_text(config.to_json())
        architecture = config.part("architecture")
        G, D = architecture.generator(16, 3), architecture.discriminator(16, 3)
        save_snapshot(run / "snapshots" / "step-00000003.safetensors", config, 3, {"G": G, "D": D})
        return run / "snapshots" / "step-00000003.safetensors"

    return make


def test_a_snapshot_and_its_run_are_judged_alike(snapshot):
    path = snapshot()
    one, two = (facegan.evaluate(each, **ONE)[0] for each in (path, path.parent.parent))
    assert one.line() | {"time": 0, "seconds": 0} == two.line() | {"time": 0, "seconds": 0}
    assert (one.subject, one.step, one.weights, one.num_real, one.num_fake) == ("mine", 3, "G", 40, 12)
    assert not (path.parent.parent / "evaluations.jsonl").exists()


def test_two_folders_are_judged(tmp_path, faces):
    for name, seed in (("a", 0), ("b", 1)):
        (tmp_path / name).mkdir()
        for number, picture in enumerate(faces(13, seed)):
            Image.fromarray(picture.transpose(1, 2, 0)).save(tmp_path / name / f"{number}.png")
    said, told = [], []

    def tell(what):
        told.append(what)
        return lambda done, total: None

    (found,) = facegan.evaluate(
        real=tmp_path / "a", fake=tmp_path / "b", metrics=["fd_random"], n=11, say=said.append, tell=tell
    )
    assert (found.num_real, found.num_fake, found.step, found.weights) == (13, 11, None, None)
    assert said[0].startswith("11 judged images, fewer than 2,048")
    assert told[:2] == ["reading sizes", "reading sizes"]


@pytest.mark.parametrize("name", ["n", "num_real"])
def test_one_picture_is_too_few(snapshot, name):
    with pytest.raises(ConfigError) as refusal:
        facegan.evaluate(snapshot(), **{name: 1})
    assert str(refusal.value) == f"{name} is 1; it must be at least 2"


def test_run_without_snapshots_is_refused(snapshot):
    path = snapshot()
    path.unlink()
    run = path.parent.parent
    with pytest.raises(SnapshotError) as refusal:
        facegan.evaluate(run)
    assert str(refusal.value) == (f"{run}: holds no snapshot yet; train it further with 'facegan resume {run}'")


def test_forms_exclude_each_other():
    check_forms(True, None, None, None)
    check_forms(False, "a", "b", 64)
    for given, message in (
        ((True, "a", "b", None), "--real, --fake: are instead of a MODEL and its --data; give either"),
        ((False, "a", None, None), "--real: give --real A and --fake B, both"),
        ((False, None, None, 64), "--resolution 64: is for --real A --fake B; a model has its own"),
    ):
        with pytest.raises(ConfigError) as refusal:
            check_forms(*given)
        assert str(refusal.value) == message


def test_judged_pictures_of_a_source_are_in_an_order_of_their_own(tmp_path, faces):
    """Folders are sorted by something, and the parts from which intervals are taken are consecutive."""
    from facegan.evaluation.choosing import choose
    from facegan.evaluation.evaluate import Judge

    for name, seed in (("a", 0), ("b", 1)):
        (tmp_path / name).mkdir()
        for number, picture in enumerate(faces(20, seed)):
            Image.fromarray(picture.transpose(1, 2, 0)).save(tmp_path / name / f"{number:02d}.png")
    seen = []

    class Kept(Judge):
        def _measure(self, reference, subject, D):
            seen.append(subject.order())
            return super()._measure(reference, subject, D)

    for seed in (0, 0, 1):
        Kept(choice=choose(["fd_random"], {}, print), seed=seed).pictures(str(tmp_path / "a"), str(tmp_path / "b"))
    np.testing.assert_array_equal(seen[0], seen[1])
    assert not np.array_equal(seen[0], seen[2])
    assert sorted(seen[0]) == list(range(20))
    assert not np.array_equal(seen[0], np.arange(20))
