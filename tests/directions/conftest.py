import pytest

from facegan.directions import classifier


@pytest.fixture
def few_epochs(monkeypatch):
    """Twelve epochs: enough for the attributes of paintings."""
    monkeypatch.setattr(classifier, "MAX_EPOCHS", 12)


@pytest.fixture
def one_epoch(monkeypatch):
    monkeypatch.setattr(classifier, "MAX_EPOCHS", 1)
