import pytest

from facegan.cli.tables import print_evaluations
from facegan.evaluation import Result


def share(name, real, fake):
    around = {f"{side}_interval": [value - 0.01, value + 0.01] for side, value in (("real", real), ("fake", fake))}
    return {"name": name, "real": real, "fake": fake, **around, "differs": real != fake}


@pytest.fixture
def result():
    """A line of the metric attributes, with nine of them."""
    shares = [share("glasses", 0.25, 0.05), *(share(f"hat={number}", 0.2, 0.2) for number in range(8))]
    return Result(
        metric="attributes", title="Attributes' combinations", better="lower", subject="faces", value=0.16,
        interval=(0.15, 0.17), num_real=100, num_fake=90, floor=None, digests={}, step=7, seconds=1, time="",
        facegan="",
        protocol={
            "extractor": "pixels", "comparable": "facegan alone", "resolution": 16, "real": "drawn", "crop": "none",
            "filter": "bicubic", "device": "cpu", "seed": 0,
        },
        details={"attributes": shares, "num_missed": 1234, "by_chance": {"value": 0.03}},
    )  # fmt: skip


def test_attributes_are_listed_the_worst_first_with_what_chance_gives(result, capsys):
    print_evaluations([[result]])
    said = capsys.readouterr().out
    assert "Attributes of faces, step 7: 0.16; 0.03 by chance" in said
    (worst,) = [line for line in said.splitlines() if line.startswith("glasses ")]
    assert worst.split() == ["glasses", "25.0%", "(24.0%", "to", "26.0%)", "5.0%", "(4.0%", "to", "6.0%)", "0.20"]
    assert "hat=6" in said and "hat=7" not in said
    assert "1 attributes differ less: --plot bars.png draws them, --json has all" in said
    assert "combinations of two that real faces have, and generated ones hardly ever: 1,234" in said


def test_attributes_that_are_all_shown_are_not_said_to_be_more(result, capsys):
    details = {**result.details, "attributes": result.details["attributes"][:8], "by_chance": None}
    print_evaluations([[result.model_copy(update={"details": details})]])
    said = capsys.readouterr().out
    assert "differ less" not in said
    assert "Attributes of faces, step 7: 0.16\n" in said
