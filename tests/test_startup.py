"""The command line answers before anything heavy is loaded, and each command loads few modules."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

RUN = Path(__file__).parent / "fixtures" / "run-of-0.1.0"
HEAVY = {"torch", "torchvision", "numpy", "matplotlib", "PIL", "safetensors", "scipy", "pandas"}
NOT_FOR_HELP = {"pydantic", "rich.console", "hashlib", "facegan.storage.run_dir"}  # light, but not needed there
MAX_MODULES_OF_HELP = 110  # beyond typer's own, for the help of all commands together

# One process for all: it reports what is loaded after each command, so that a heavy module shows from then on.
LIGHT = """
import contextlib, importlib, io, json, sys
import typer

base = set(sys.modules)
from facegan import cli, plugins

seen = {}

def note(name, said=""):
    seen[name] = [said, sorted(set(sys.modules) - base)]

def run(*arguments):
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as err:
        with contextlib.suppress(SystemExit):
            cli.main(list(arguments))
    note(" ".join(arguments), out.getvalue() + err.getvalue())

commands = {name: plugins.find("command", name) for name in plugins.BUILT_IN["command"]}
groups = {name: part for name, part in commands.items() if isinstance(part, typer.Typer)}
run("--help")
run("--version")
for name in commands:
    run(name, "--help")
for name, group in groups.items():
    for each in group.registered_commands:
        run(name, each.name or each.callback.__name__, "--help")
for module in "config", "storage.run_dir", "downloads", "doctor":
    importlib.import_module(f"facegan.{module}")
    note(f"import {module}")
run("train", "--set", "train.batchsize=1")
base -= {"numpy"}
run("plugins")
run("presets")
run("runs", "list")
run("runs", "show", "run")
json.dump(seen, sys.stdout)
"""


@pytest.fixture(scope="module")
def seen(tmp_path_factory):
    """What each command printed, and the modules that were loaded after it."""
    folder = tmp_path_factory.mktemp("light")
    (folder / "runs" / "run").mkdir(parents=True)
    (folder / "runs" / "run" / "config.json").write_text("{}")
    done = subprocess.run([sys.executable, "-c", LIGHT], capture_output=True, text=True, check=True, cwd=folder)
    assert done.stderr == ""
    return json.loads(done.stdout)


def test_help_of_every_command_loads_nothing_heavy(seen):
    helps = {name: found for name, found in seen.items() if name.endswith("--help")}
    assert len(helps) > 8
    assert "runs show --help" in helps
    for name, (said, loaded) in helps.items():
        assert len(said) > 10, f"facegan {name} printed nothing"
        assert not (HEAVY | NOT_FOR_HELP) & set(loaded), f"facegan {name}"
        assert len(loaded) <= MAX_MODULES_OF_HELP, f"facegan {name}"


@pytest.mark.parametrize("module", ["config", "storage.run_dir", "downloads", "doctor"])
def test_modules_that_need_no_torch_load_nothing_heavy(module, seen):
    assert not HEAVY & set(seen[f"import {module}"][1])


def test_settings_are_checked_before_anything_heavy_is_loaded(seen):
    said, loaded = seen["train --set train.batchsize=1"]
    assert said == "facegan: config: no setting 'train.batchsize'; did you mean 'batch_size'?\n"
    assert not HEAVY & set(loaded)


@pytest.mark.parametrize("command", ["plugins", "presets", "runs list", "runs show run"])
def test_commands_that_only_read_load_nothing_heavy(command, seen):
    said, loaded = seen[command]
    assert said
    assert not (HEAVY - {"numpy"}) & set(loaded)


# What a training step does not need, as long as nothing is evaluated or drawn as a curve.
NOT_FOR_A_STEP = {
    *("torchvision", "matplotlib", "scipy", "pandas", "pyarrow", "networkx", "av", "jinja2"),
    *("requests", "urllib3", "gdown", "huggingface_hub", "facegan.evaluation", "facegan.plots"),
    *("torch._dynamo", "torch._inductor", "sympy", "mpmath"),  # the compiler and its algebra
}

# One process for all; the package's own modules are loaded again for each command.
WORK = """
import json, sys
import torch

base = set(sys.modules)

def run(*arguments):
    from facegan import cli
    try:
        cli.main(list(arguments))
    except SystemExit as end:
        assert not end.code
    ours = [name for name in sys.modules if name.partition(".")[0] == "facegan"]
    for name in ours:
        del sys.modules[name]
    return sorted(ours)

def training_step(*arguments):
    seen.setdefault("first step", sorted(set(sys.modules) - base))
    return original(*arguments)

store, old, *size = sys.argv[1:]
seen = {}
from facegan.training import loop

original, loop.training_step = loop.training_step, training_step
run("train", "--data", store, *size)
seen["train"] = run("train", "--data", "drawn", "--set", "data.options.num_images=16", *size)
seen["sample"] = run("sample", old, "-n", "4", "-o", "grid.png")
json.dump(seen, open("seen.json", "w"))
"""


@pytest.fixture(scope="module")
def working(tmp_path_factory, make_store):
    """All modules loaded at a training's first step, and the package's own that a training and sampling load."""
    folder = tmp_path_factory.mktemp("work")
    size = ("--resolution", "16", "--batch-size", "8", "--steps", "1", "--set", "architecture.ngf=8", "--device", "cpu")
    command = [sys.executable, "-c", WORK, make_store(folder), RUN, *size]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, cwd=folder)
    assert done.returncode == 0, done.stderr
    return json.loads((folder / "seen.json").read_text())


def test_first_step_begins_with_little_more_than_torch_loaded(working):
    assert "facegan.training.step" in working["first step"]
    assert not NOT_FOR_A_STEP & set(working["first step"])


def test_few_modules_serve_training_and_sampling(working):
    assert "facegan.training.loop" in working["train"]
    assert len(working["train"]) <= 90, working["train"]
    assert "facegan.training.loop" not in working["sample"]
    assert len(working["sample"]) <= 45, working["sample"]


def test_public_names_are_the_engines_own():
    import facegan
    from facegan import checkpoint as snapshots
    from facegan import sampling
    from facegan.api import training

    assert facegan.load_generator is snapshots.load_generator
    assert facegan.sample is sampling.sample
    assert facegan.train is training.train
    with pytest.raises(AttributeError, match="module 'facegan' has no attribute 'trian'"):
        _ = facegan.trian
