"""The command line answers before anything heavy is loaded."""

import json
import subprocess
import sys

import pytest

HEAVY = ("torch", "torchvision", "numpy", "matplotlib", "PIL", "safetensors", "scipy", "pandas")

UNASKED = (
    "pydantic",
    "rich.console",
    "hashlib",
    "facegan.storage.run_dir",
)  # light, and not needed to show a help text
MOST_MODULES = 110  # beyond typer's own, for the help of all commands together

# One process for all of them: what is loaded is told after each, the menu itself first.
LOOK = """
import contextlib, io, json, sys
import typer

base = set(sys.modules)
from facegan import cli, plugins

commands = {name: plugins.find("command", name) for name in plugins.BUILT_IN["command"]}
groups = {name: part for name, part in commands.items() if isinstance(part, typer.Typer)}
asked = [["--help"], ["--version"], *([name, "--help"] for name in commands)]
asked += [
    [name, each.name or each.callback.__name__, "--help"]
    for name, group in groups.items() for each in group.registered_commands
]
seen = {}
for arguments in asked:
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.suppress(SystemExit):
        cli.main(arguments)
    seen[" ".join(arguments)] = [len(out.getvalue()), sorted(set(sys.modules) - base)]
json.dump(seen, sys.stdout)
"""


def look(code):
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def seen():
    return look(LOOK)


def test_help_of_every_command_loads_nothing_heavy(seen):
    assert len(seen) > 8
    assert "runs show --help" in seen
    for arguments, (length, loaded) in seen.items():
        assert length > 10, f"facegan {arguments} printed nothing"
        assert not {*HEAVY, *UNASKED} & set(loaded), f"facegan {arguments}"
        assert len(loaded) <= MOST_MODULES, f"facegan {arguments}"


# What a training step needs nothing of, as long as nothing is evaluated or drawn as a curve.
ASIDE = (
    *("torchvision", "matplotlib", "scipy", "pandas", "pyarrow", "networkx", "av", "jinja2"),
    *("requests", "urllib3", "gdown", "huggingface_hub", "facegan.evaluation", "facegan.plots"),
    *("torch._dynamo", "torch._inductor", "sympy", "mpmath"),  # the compiler and its algebra
)

FIRST_STEP = """
import json, sys
import torch

base = set(sys.modules)
from facegan import cli
from facegan.training import loop

def training_step(*_):
    json.dump(sorted(set(sys.modules) - base), sys.__stdout__)
    raise SystemExit

loop.training_step = training_step
cli.main(sys.argv[1:])
"""


def test_first_step_begins_with_little_more_than_torch_loaded(store, tmp_path):
    where = ("--data", str(store()), "--run", str(tmp_path / "run"))
    size = ("--resolution", "16", "--batch-size", "8", "--set", "architecture.ngf=8", "--device", "cpu")
    command = [sys.executable, "-c", FIRST_STEP, "train", *where, *size]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    loaded = json.loads(done.stdout)
    assert "facegan.training.step" in loaded
    assert not set(ASIDE) & set(loaded)


@pytest.mark.parametrize(
    "module",
    ["facegan", "facegan.config", "facegan.storage.run_dir", "facegan.plugins", "facegan.downloads", "facegan.doctor"],
)
def test_words_load_nothing_heavy(module):
    loaded = look(
        f"import json, sys, {module}; json.dump([name.partition('.')[0] for name in sys.modules], sys.stdout)"
    )
    assert not set(HEAVY) & set(loaded)


@pytest.mark.parametrize("arguments", [["plugins"], ["runs", "list"], ["runs", "show", "run"], ["presets"]])
def test_commands_that_only_read_load_nothing_heavy(arguments, tmp_path):
    run = tmp_path / "runs" / "run"
    run.mkdir(parents=True)
    (run / "config.json").write_text("{}")
    code = f"""
import contextlib, io, json, os, sys
from facegan import cli
os.chdir({str(tmp_path)!r})
with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.suppress(SystemExit):
    cli.main({arguments!r})
json.dump([out.getvalue(), sorted({{name.partition(".")[0] for name in sys.modules}})], sys.stdout)
"""
    said, loaded = look(code)
    assert said
    assert not {"torch", "torchvision", "matplotlib", "PIL", "safetensors", "scipy", "pandas"} & set(loaded)


def test_settings_are_checked_before_anything_heavy_is_loaded():
    code = """
import contextlib, io, json, sys
from facegan import cli
with contextlib.redirect_stderr(io.StringIO()) as err, contextlib.suppress(SystemExit):
    cli.main(["train", "--set", "train.batchsize=1"])
json.dump([err.getvalue(), sorted({name.partition(".")[0] for name in sys.modules})], sys.stdout)
"""
    said, loaded = look(code)
    assert said == "facegan: config: no setting 'train.batchsize'; did you mean 'batch_size'?\n"
    assert not set(HEAVY) & set(loaded)


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
