import pytest


@pytest.fixture
def package(tmp_path, monkeypatch):
    """package("torch", SOURCE): a package of that name, found before the one that is installed."""

    def make(name, source):
        folder = tmp_path / f"site-{name}" / name
        folder.mkdir(parents=True)
        (folder / "__init__.py").write_text(source)
        monkeypatch.syspath_prepend(str(folder.parent))

    return make


@pytest.fixture
def workplace(tmp_path, monkeypatch):
    """An empty current folder."""
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder
