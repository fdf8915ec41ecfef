import pytest

from facegan.report.words import STANDING, summary
from facegan.storage.run_summary import summarize_run

ALWAYS = "The faces on this page are synthetic: a network drew them from noise, and they are of nobody."


def test_a_run_in_plain_words(make):
    run = make(ticks=range(1, 13))
    config = run.config.read_text().replace('"batch_size": 128', '"batch_size": 16')
    run.config.write_text(config)
    assert summary(summarize_run(run)) == [
        ALWAYS,
        "The network is a dcgan for images of 16x16 pixels, trained on “drawn” (64 images). A face can still come "
        "close to one that it learned from.",
        "Its length so far: 12 of 20 steps, 0.2 thousand images, 3.00 times through all of them.",
        "That took 0:00:06 hours of training on a CPU under Linux, 32 images a second.",
        "The run has hardly begun: it holds no snapshot and no state.",
    ]


def test_of_a_run_of_which_nothing_is_known_nothing_is_said(make):
    run = make()
    run.config.unlink()
    run.environment.unlink()
    assert summary(summarize_run(run)) == [ALWAYS, "The run has hardly begun: nothing was written into it."]


@pytest.mark.parametrize("standing", ["running", "finished", "stopped", "failed", "damaged", "empty"])
def test_every_standing_has_its_sentence(standing):
    assert STANDING[standing].endswith(".")
