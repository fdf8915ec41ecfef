from types import SimpleNamespace

import pytest

from counted import Counted
from described import paintings
from facegan.directions import classifier


@pytest.fixture
def one_epoch(monkeypatch):
    monkeypatch.setattr(classifier, "MAX_EPOCHS", 1)


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """A classifier of paintings, its labels and progress (shared: not to be changed)."""
    images, reporter = paintings(tmp_path_factory.mktemp("paintings")), Counted()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FACEGAN_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setattr(classifier, "MAX_EPOCHS", 12)  # enough for paintings
        found, labels, is_cached = classifier.train_classifier(images, reporter=reporter)
    return SimpleNamespace(
        images=images, classifier=found, labels=labels, is_cached=is_cached, counts=list(reporter.counts)
    )
