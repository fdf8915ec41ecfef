"""The layers that an import may cross downwards only; the contracts stand in pyproject.toml."""

import ast
import sys
from pathlib import Path

import pytest
from importlinter.cli import lint_imports

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "src" / "facegan"
MODULES = sorted(path.relative_to(SOURCE).as_posix() for path in SOURCE.rglob("*.py"))
ENGINE = [module for module in MODULES if not module.startswith("cli/") and module != "__main__.py"]


def test_contracts_are_kept(monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    code = lint_imports(config_filename="pyproject.toml", no_cache=True)
    assert code == 0, capsys.readouterr().out


def loaded_with(module):
    """The first names of all that importing a module imports at once: outside functions and `if TYPE_CHECKING`."""
    names, waiting = set(), list(ast.parse((SOURCE / module).read_text()).body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            waiting += node.orelse
            continue
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            inside = (node.module or node.names[0].name).partition(".")[0]
            up = "" if node.level <= 1 else "facegan."
            names.add(inside if not node.level else f"{up}{inside}")
        waiting += ast.iter_child_nodes(node)
    return names


@pytest.mark.parametrize("module", [module for module in MODULES if module.startswith("cli/")])
def test_command_line_loads_only_words_and_its_own_when_it_is_imported(module):
    words = {
        "facegan.errors",
        "facegan.messages",
        "facegan.reporter",
        "facegan.config",
        "facegan.plugins",
        "facegan.storage",
        "facegan.__version__",
    }
    foreign = {name for name in loaded_with(module) if name in sys.stdlib_module_names or name in ("typer", "rich")}
    own = {path.stem for path in (SOURCE / "cli").glob("*.py")}
    assert loaded_with(module) - foreign - own - words == set()


TRAINING = [module for module in MODULES if module.startswith("training/") and module != "training/evaluation_hook.py"]


@pytest.mark.parametrize("module", TRAINING)
def test_training_loads_evaluation_only_where_it_is_asked_for(module):
    assert loaded_with(module) & {"facegan.evaluation", "evaluating"} == set()


@pytest.mark.parametrize("module", ENGINE)
def test_engine_neither_prints_nor_exits(module):
    tree = ast.parse((SOURCE / module).read_text())
    calls = {ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    assert calls & {"print", "input", "exit", "quit", "sys.exit", "os._exit"} == set()


def test_only_the_cache_and_the_start_of_several_processes_read_the_environment_outside_the_command_line():
    readers = {
        module
        for module in ENGINE
        for node in ast.walk(ast.parse((SOURCE / module).read_text()))
        if ast.unparse(node) in ("os.environ", "os.getenv")
    }
    assert readers == {"storage/cache.py", "training/distributed.py"}


@pytest.mark.parametrize("module", MODULES)
def test_no_module_is_a_box_of_leftovers(module):
    assert not {"utils", "helpers", "common", "manager", "misc"} & set(Path(module).with_suffix("").parts)
    assert len((SOURCE / module).read_text().splitlines()) <= 400
