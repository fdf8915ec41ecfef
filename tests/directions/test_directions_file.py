import pytest
import torch

from described import painter
from facegan.directions import DirectionInfo, Directions, load_directions, save_directions
from facegan.errors import ConfigError, SnapshotError
from facegan.storage.safetensors_file import write_tensors


@pytest.fixture
def directions():
    vectors = torch.eye(8)[:2]
    infos = [
        DirectionInfo(name="smile", kind="labelled", auc=0.9, accuracy=0.8, share=0.4),
        DirectionInfo(name="sefa-1", kind="sefa", share=0.2),
    ]
    return Directions(infos, vectors, ["smile", "hat"], torch.tensor([[0.5, -0.1], [0.0, 0.3]]), "d" * 64, 7)


def test_directions_come_back_as_they_were(directions, tmp_path):
    save_directions(tmp_path / "d.safetensors", directions)
    loaded = load_directions(tmp_path / "d.safetensors", painter())
    assert loaded.infos == directions.infos
    assert loaded.names == ["smile", "sefa-1"]
    assert torch.equal(loaded.vectors, directions.vectors)
    assert torch.equal(loaded.moved, directions.moved)
    assert (loaded.attributes, loaded.snapshot, loaded.step) == (["smile", "hat"], "d" * 64, 7)


def test_unknown_name_gets_the_nearest(directions):
    with pytest.raises(ConfigError, match=r"^there is no direction 'smil'; did you mean 'smile'\?$"):
        directions.vector("smil")
    with pytest.raises(ConfigError, match=r"^there is no direction 'sefa-2'; did you mean 'sefa-1'\?$"):
        directions.vector("smile", ["sefa-2"])


def test_direction_without_itself_is_refused(directions):
    with pytest.raises(ConfigError, match=r"^nothing is left of 'smile' without smile; keep fewer$"):
        directions.vector("smile", ["smile"])


@pytest.mark.parametrize(
    ("other", "refusal"),
    [
        (
            {"z_dim": 6},
            "d.safetensors: directions in 8 dimensions, but painter.safetensors takes 6; they belong to another model; "
            "run 'facegan directions painter.safetensors -o FILE' for this one",
        ),
        (
            {"digest": "e" * 64},
            "d.safetensors: directions of another snapshot (of step 7) than painter.safetensors; name that one, or run "
            "'facegan directions painter.safetensors' for this one",
        ),
    ],
)
def test_directions_of_another_model_are_refused(directions, tmp_path, other, refusal):
    save_directions(tmp_path / "d.safetensors", directions)
    with pytest.raises(SnapshotError) as caught:
        load_directions(tmp_path / "d.safetensors", painter(**other))
    assert str(caught.value) == f"{tmp_path}/{refusal}"


def test_file_that_names_other_directions_than_it_holds_is_refused(directions, tmp_path):
    path = tmp_path / "d.safetensors"
    about = {"step": "7", "snapshot": "d" * 64, "directions": "[]", "attributes": "[]"}
    write_tensors(path, "directions", {"vectors": torch.eye(8), "moved": torch.empty(0, 0)}, about)
    with pytest.raises(SnapshotError) as caught:
        load_directions(path, painter())
    assert (
        str(caught.value) == f"{path}: holds no directions that can be read (its vectors are not those that it names)"
    )
