from typing import ClassVar

import numpy as np
import pytest
from PIL import Image

import facegan
from facegan.checkpoint import save_snapshot
from facegan.errors import ConfigError, SnapshotError
from facegan.evaluation import Evaluator, Measurement, Metric, Options
from facegan.evaluation.evaluate import check_forms, choose_metrics

ONE = {"metrics": ["fd_random"], "n": 12}


@pytest.fixture
def folder_of_faces(tmp_path, faces):
    """folder_of_faces("a", 20, seed) -> the path of a folder of PNGs."""

    def make(name, num, seed):
        (tmp_path / name).mkdir()
        for number, image in enumerate(faces(num, seed)):
            Image.fromarray(image.transpose(1, 2, 0)).save(tmp_path / name / f"{number:02d}.png")
        return str(tmp_path / name)

    return make


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


def test_a_snapshot_and_its_run_are_evaluated_alike(snapshot):
    path = snapshot()
    one, two = (facegan.evaluate(each, **ONE)[0] for each in (path, path.parent.parent))
    assert one.line() | {"time": 0, "seconds": 0} == two.line() | {"time": 0, "seconds": 0}
    assert (one.subject, one.step, one.weights, one.num_real, one.num_fake) == ("mine", 3, "G", 40, 12)
    assert not (path.parent.parent / "evaluations.jsonl").exists()


def test_two_folders_are_evaluated(folder_of_faces):
    real, fake = folder_of_faces("a", 13, 0), folder_of_faces("b", 13, 1)
    lines, tasks = [], []

    def tell(task):
        tasks.append(task)
        return lambda done, total: None

    (found,) = facegan.evaluate(real=real, fake=fake, metrics=["fd_random"], n=11, say=lines.append, tell=tell)
    assert (found.num_real, found.num_fake, found.step, found.weights) == (13, 11, None, None)
    assert lines[0].startswith("11 evaluated images, fewer than 2,048")
    assert tasks[:2] == ["reading sizes", "reading sizes"]  # of either folder


@pytest.mark.parametrize(("name", "num"), [("n", 0), ("n", 1), ("num_real", 1)])
def test_one_image_is_too_few(name, num):
    with pytest.raises(ConfigError) as refusal:
        facegan.evaluate(**{name: num})
    assert str(refusal.value) == f"{name} is {num}; it must be at least 2"


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


def test_images_of_a_source_are_evaluated_in_a_random_order(folder_of_faces):
    """Folders are sorted by something, and the parts from which intervals are taken are consecutive."""
    real, fake = folder_of_faces("a", 20, 0), folder_of_faces("b", 20, 1)
    rows = []

    class Rows(Metric):
        """Keeps the order."""

        title: ClassVar[str] = "rows"
        better: ClassVar[str] = "lower"

        def measure(self, pair):
            rows.append(pair.fake.rows)
            return Measurement(0.0)

    for seed in (0, 0, 1):
        Evaluator({"rows": Rows()}, Options(seed=seed, floor=False)).evaluate_sources(real, fake)
    np.testing.assert_array_equal(rows[0], rows[1])
    assert not np.array_equal(rows[0], rows[2])
    assert sorted(rows[0]) == list(range(20))
    assert not np.array_equal(rows[0], np.arange(20))


def test_each_size_of_images_has_a_network_of_its_own(folder_of_faces):
    real, fake = folder_of_faces("a", 12, 0), folder_of_faces("b", 12, 1)

    def evaluator():
        return Evaluator(choose_metrics(["fd_random"], {}), Options(floor=False))

    def evaluate(evaluator, resolution):
        (found,) = evaluator.evaluate_sources(real, fake, resolution=resolution)
        return found.value, found.digests["extractor"]

    shared = evaluator()
    for resolution in (16, 32):
        assert evaluate(shared, resolution) == evaluate(evaluator(), resolution)
