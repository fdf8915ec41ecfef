import pytest

from facegan.errors import ConfigError, PluginError
from facegan.evaluation import make_evaluator
from facegan.evaluation.evaluate import choose_metrics

SOURCE = (
    "from pydantic import Field\nfrom facegan.evaluation import Metric\n"
    "class Mine(Metric):\n    title = 'Mine'\n    better = 'lower'\n    space = 'random'\n"
    "    num: int = Field(3, ge=1)\n"
)


@pytest.fixture
def mine(install):
    install("mine", SOURCE, {"facegan.metric": {"mine": "mine:Mine", "lost": "mine:Lost"}})


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("channels=2", "config: channels is 2; it must be 1 or 3"),
        ("data=2", "config: data is 2; it must be a table"),
        ("mine=2", "config: mine is 2; it must be a table"),
        ("mime.num=2", "config: no setting 'mime'; did you mean 'mine'?"),
        ("num", "--set num: give section.key=value, for instance --set train.batch_size=64"),
    ],
)
def test_invalid_settings_are_refused(mine, line, message):
    with pytest.raises(ConfigError) as refusal:
        make_evaluator(["mine"], [line])
    assert str(refusal.value) == message


def test_metrics_are_built_with_their_settings(mine):
    found = choose_metrics(["mine", "fd_random", "mine"], {"mine": {"num": 7}})
    assert list(found) == ["mine", "fd_random"]
    assert found["mine"].num == 7


def test_by_default_all_that_load_are_chosen(mine, reporter):
    found = choose_metrics(None, {}, reporter)
    assert {"mine", "fd_random"} <= set(found)
    (line,) = [each for each in reporter.lines if "lost" in each]
    assert line.startswith("metric 'lost': cannot be loaded from mine 1.0")


def test_metric_that_was_named_must_load(mine):
    with pytest.raises(PluginError, match=r"^metric 'lost': cannot be loaded from mine 1\.0"):
        choose_metrics(["lost"], {})


@pytest.mark.parametrize(
    ("names", "settings", "message"),
    [
        (["mime"], {}, "metric: there is no 'mime'; did you mean 'mine'?"),
        (["mine"], {"mine": {"nun": 1}}, "config: no setting 'mine.nun'; did you mean 'num'?"),
        (["mine"], {"mine": {"num": 0}}, "config: mine.num is 0; it must be at least 1"),
        (["fd_random"], {"mine": {"num": 1}}, "config: mine.num is set, but mine is not among the metrics (fd_random); "
         "add it, or leave the setting out"),
    ],
)  # fmt: skip
def test_invalid_metrics_are_refused(mine, names, settings, message):
    with pytest.raises(ConfigError) as refusal:
        choose_metrics(names, settings)
    assert str(refusal.value) == message


def test_no_metric_is_refused():
    with pytest.raises(ConfigError, match=r"^metrics: none is named; there is: "):
        choose_metrics([], {})
