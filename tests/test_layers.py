"""Imports go downward only (the contracts are in pyproject.toml) and without circles."""

import ast
import graphlib
from pathlib import Path

import grimp
import pytest
from importlinter.cli import lint_imports

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "src" / "facegan"
MAX_LINES, MAX_LINES_OF_A_FUNCTION = 400, 50


@pytest.fixture(scope="module")
def trees():
    """The syntax tree of every module, by its path in the package."""
    return {path.relative_to(SOURCE).as_posix(): ast.parse(path.read_text()) for path in sorted(SOURCE.rglob("*.py"))}


@pytest.fixture
def engine(trees):
    """The same without the command line."""
    return {module: tree for module, tree in trees.items() if not module.startswith("cli/") and module != "__main__.py"}


def test_contracts_are_kept(monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    code = lint_imports(config_filename="pyproject.toml", no_cache=True)
    assert code == 0, capsys.readouterr().out


def test_no_files_import_each_other_in_a_circle():
    """Imports for type checking and imports inside functions count."""
    graph = grimp.build_graph("facegan", cache_dir=None)
    packages = {module for module in graph.modules if graph.find_children(module)}
    edges = {module: graph.find_modules_directly_imported_by(module) - packages for module in graph.modules}
    try:
        graphlib.TopologicalSorter(edges).prepare()
    except graphlib.CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


def loaded_with(tree):
    """The first names of all that importing a module imports at once: outside functions and `if TYPE_CHECKING`."""
    names, waiting = set(), list(tree.body)
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
            names.add((node.module or "").partition(".")[0] if not node.level else "facegan")
        waiting += ast.iter_child_nodes(node)
    return names


TORCHLESS = ("api", "cli", "config", "storage", "downloads", "plugins", "errors", "messages", "reporter", "doctor")
HEAVY = {"torch", "torchvision", "matplotlib", "PIL", "safetensors", "scipy", "av", "pyarrow"}


def test_modules_that_need_no_torch_do_not_import_it_when_they_are_imported(trees):
    rooms = {module: module.removesuffix(".py").partition("/")[0] for module in trees}
    assert set(TORCHLESS) <= set(rooms.values())
    loaded = {module: loaded_with(tree) & HEAVY for module, tree in trees.items() if rooms[module] in TORCHLESS}
    assert {module: names for module, names in loaded.items() if names} == {}


def test_engine_neither_prints_nor_exits(engine):
    forbidden = {"print", "input", "exit", "quit", "sys.exit", "os._exit"}
    found = {
        module: calls
        for module, tree in engine.items()
        if (calls := forbidden & {ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)})
    }
    assert found == {}


def test_only_the_cache_and_training_use_the_environment_outside_the_command_line(engine):
    readers = {
        module
        for module, tree in engine.items()
        if any(
            isinstance(node, ast.Attribute) and node.attr in ("environ", "getenv") and ast.unparse(node.value) == "os"
            for node in ast.walk(tree)
        )
    }
    assert readers == {"storage/cache.py", "training/distributed.py", "training/runtime.py"}


def test_no_module_is_a_box_of_leftovers_or_too_long(trees):
    leftovers = {"utils", "helpers", "common", "manager", "misc"}
    assert [module for module in trees if leftovers & set(Path(module).with_suffix("").parts)] == []
    lengths = {module: len((SOURCE / module).read_text().splitlines()) for module in trees}
    assert {module: length for module, length in lengths.items() if length > MAX_LINES} == {}


def test_no_function_is_too_long(trees):
    lengths = {
        f"{module}: {node.name}": node.end_lineno - node.lineno + 1
        for module, tree in trees.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    assert {name: length for name, length in lengths.items() if length > MAX_LINES_OF_A_FUNCTION} == {}
