"""What scripts rely on stays: imports, commands, settings, JSON keys, files, and the runs of facegan 0.1.0.

tests/fixtures/public-api.json lists the surface, tests/fixtures/run-of-0.1.0 is a run that facegan 0.1.0 wrote. More
may be added, nothing may go. Only documented imports and the command line are used here, so that modules behind them
may move. In the signatures, `name=` is optional, what follows `*` is given by name, and `_` may have any name.
"""

import contextlib
import importlib
import inspect
import io
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open
from torch import nn
from typer.main import get_command

import facegan
from facegan import plugins
from facegan.cli import app, main
from facegan.config import RunConfig

FIXTURES = Path(__file__).parent / "fixtures"
OLD_RUN = FIXTURES / "run-of-0.1.0"
PUBLIC = json.loads((FIXTURES / "public-api.json").read_text())
KINDS = ("architecture", "loss", "dataset", "metric")


def run_command(*arguments, code=0):
    """Run a command in this process; return its stdout."""
    out, err, found = io.StringIO(), io.StringIO(), 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main([str(argument) for argument in arguments])
        except SystemExit as end:
            found = end.code or 0
    assert found == code, f"facegan {' '.join(map(str, arguments))}: exit code {found}: {err.getvalue()}"
    return out.getvalue()


def gone(expected, found):
    """What is expected and not found, in order: the message of a failure."""
    return [each for each in expected if each not in found]


@pytest.fixture(scope="module")
def session_cache(tmp_path_factory):
    """One cache for this file, so that its images are packed once."""
    return tmp_path_factory.mktemp("public-cache")


@pytest.fixture(autouse=True)
def cache(session_cache, monkeypatch):
    monkeypatch.setenv("FACEGAN_CACHE", str(session_cache))


# Imports


def find_name(path):
    """`facegan.images:save` or `facegan.evaluation:Metric.measure` -> the object."""
    module, _, attribute = path.partition(":")
    found = importlib.import_module(module)
    for name in filter(None, attribute.split(".")):
        found = getattr(found, name)
    return found


def parameters_of(function):
    """{name: (position, required)}; the position of a keyword-only parameter is None."""
    found = {}
    for position, (name, parameter) in enumerate(inspect.signature(function).parameters.items()):
        required = parameter.default is parameter.empty and parameter.kind not in (
            parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD,
        )  # fmt: skip
        found[name] = (None if parameter.kind is parameter.KEYWORD_ONLY else position, required)
    return found


def has_attribute(owner, name):
    """Whether a class has an attribute, a field, or an annotation of this name."""
    fields = {**getattr(owner, "model_fields", {}), **getattr(owner, "__dataclass_fields__", {})}
    annotated = any(name in inspect.get_annotations(each) for each in owner.__mro__)
    return hasattr(owner, name) or name in fields or annotated


@pytest.mark.parametrize("module", PUBLIC["imports"])
def test_documented_names_can_be_imported(module):
    found = vars(importlib.import_module(module))
    modules = [name for name in found if inspect.ismodule(found[name])]  # one may have taken a function's place
    missing = [name for name in PUBLIC["imports"][module] if name in modules or not hasattr(find_name(module), name)]
    assert missing == []


@pytest.mark.parametrize("path", PUBLIC["signatures"])
def test_documented_functions_take_what_they_took(path):
    found = parameters_of(find_name(path))
    by_position = {position: name for name, (position, _) in found.items()}
    listed, known = PUBLIC["signatures"][path].split(", "), set()
    free = listed.index("*") if "*" in listed else len(listed)  # from here on the order is free
    for position, text in enumerate(each for each in listed if each not in ("", "*")):
        name = text.removesuffix("=")
        if name == "_":
            name = by_position[position]
        known.add(name)
        assert name in found, f"{path}: parameter {name} vanished"
        assert position >= free or found[name][0] == position, f"{path}: parameter {name} moved"
        assert not (text.endswith("=") and found[name][1]), f"{path}: parameter {name} is required now"
    added = [name for name, (_, required) in found.items() if required and name not in known]
    assert added == [], f"{path}: parameters that were added must have defaults"


@pytest.mark.parametrize("path", PUBLIC["attributes"])
def test_documented_classes_have_their_attributes(path):
    owner = find_name(path)
    assert [name for name in PUBLIC["attributes"][path] if not has_attribute(owner, name)] == []


def test_errors_keep_their_exit_codes():
    errors = importlib.import_module("facegan.errors")
    found = {name: (owner.exit_code, owner.__mro__) for name, owner in vars(errors).items() if isinstance(owner, type)}
    assert gone(PUBLIC["errors"], found) == []
    assert {name: found[name][0] for name in PUBLIC["errors"]} == PUBLIC["errors"]
    assert all(errors.FaceganError in found[name][1] for name in PUBLIC["errors"])


# Commands


def commands():
    """{"runs show": {"argument 1": "optional", "--json": "flag", ...}} for every built-in command."""
    menu = get_command(app)
    top = menu.make_context("facegan", [], resilient_parsing=True)
    found = {"facegan": spellings(menu)}
    for name in PUBLIC["parts"]["command"]:
        command = menu.get_command(top, name)
        if command is not None:
            found |= below(name, command, top)
    return found


def below(path, command, parent):
    if not hasattr(command, "list_commands"):
        return {path: spellings(command)}
    context = command.make_context(path, [], parent=parent, resilient_parsing=True)
    found = {}
    for name in command.list_commands(context):
        found |= below(f"{path} {name}", command.get_command(context, name), context)
    return found


def spellings(command):
    """{spelling: kind} of a command's parameters; arguments by their position."""
    found, position = {}, 0
    for parameter in command.params:
        many = ", many" if parameter.multiple or parameter.nargs != 1 else ""
        if parameter.param_type_name == "argument":
            position += 1
            found[f"argument {position}"] = ("required" if parameter.required else "optional") + many
            continue
        kind = "flag" if parameter.is_flag else f"value{many}"
        found |= dict.fromkeys([*parameter.opts, *parameter.secondary_opts], kind)
    return found


def test_every_command_and_option_is_there():
    found = commands()
    assert gone(PUBLIC["commands"], found) == []
    missing = [
        f"{command}: {spelling} ({kind}; now {found[command].get(spelling, 'gone')})"
        for command, options in PUBLIC["commands"].items()
        for spelling, kind in options.items()
        if found[command].get(spelling) not in (kind, kind.replace("required", "optional"), f"{kind}, many")
    ]
    assert missing == []
    extra = {command: [each for each, kind in found[command].items() if "required" in kind] for command in found}
    assert {
        command: names for command, names in extra.items()
        if command in PUBLIC["commands"] and gone(names, PUBLIC["commands"][command])
    } == {}, "an argument that was added must be optional"  # fmt: skip


@pytest.mark.parametrize(
    ("code", "arguments"),
    [
        (0, ["--version"]),
        (2, ["train", "--no-such-option"]),
        (2, ["train", "--set", "train.no_such_setting=1", "--dry-run"]),
        (2, ["sample", "no-such-model"]),
        (2, ["no-such-command"]),
        (1, ["data", "check", "damaged", "--resolution", "16", "--strict"]),
    ],
)
def test_exit_codes_are_as_documented(code, arguments, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_photos(Path("damaged"))
    run_command(*arguments, code=code)


# Settings


def settings_of(model, prefix=""):
    """{"train.steps": ["integer or null", None]}: type and default of every setting of a model."""
    schema = model.model_json_schema()
    found = {}
    for name, each in schema.get("properties", {}).items():
        section = model.model_fields[name].annotation
        if hasattr(section, "model_fields"):
            found |= settings_of(section, f"{prefix}{name}.")
        else:
            kinds = [kind.get("type", "table") for kind in each.get("anyOf", [each])]
            found[prefix + name] = [" or ".join(kinds), each.get("default")]
            if "enum" in each:
                found[prefix + name].append(each["enum"])
    return found


def check_settings(known, found, where=""):
    assert gone(known, found) == [], f"settings {where}"
    for name, (kind, default, *values) in known.items():
        assert found[name][:2] == [kind, default], f"{where}{name}: type or default differs"
        assert gone(*values, found[name][-1]) == [] if values else True, f"{where}{name}: values vanished"


def test_every_setting_keeps_its_name_type_and_default():
    check_settings(PUBLIC["settings"], settings_of(RunConfig))


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind in KINDS for name in PUBLIC["parts"][kind]])
def test_every_built_in_part_keeps_its_settings(kind, name):
    check_settings(PUBLIC["parts"][kind][name], settings_of(plugins.find(kind, name)), f"{kind} {name}: ")


def test_presets_keep_their_values():
    found = json.loads(run_command("presets", "--json"))
    assert {name: found.get(name) for name in PUBLIC["presets"]} == PUBLIC["presets"]


# Documents


def keys_of(document, prefix=""):
    """The dotted paths of a document's keys; `[]` follows a list's."""
    if isinstance(document, dict):
        found = set()
        for key, value in document.items():
            found |= {f"{prefix}{key}"} | keys_of(value, f"{prefix}{key}.")
        return found
    if isinstance(document, list):
        return set().union(*(keys_of(each, f"{prefix.removesuffix('.')}[].") for each in document))
    return set()


def lines_of(path):
    return [json.loads(line) for line in Path(path).read_text().splitlines()]


def contents_of(path):
    """The metadata and the tensors of a safetensors file."""
    with safe_open(path, framework="pt") as file:
        return file.metadata(), {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118


def write_photos(folder):
    """A folder of images: distinct ones, two of equal bytes, two of equal pixels, and a damaged one."""
    folder.mkdir(parents=True)
    for number in range(4):
        pixels = np.random.default_rng(number).integers(0, 255, (20, 20, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    shutil.copy(folder / "0.png", folder / "copy.png")
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (20, 20, 3), dtype=np.uint8)).save(folder / "same.bmp")
    (folder / "damaged.png").write_bytes((folder / "1.png").read_bytes()[:200])


def write_foreign_weights(path):
    """A generator as the DCGAN tutorial of PyTorch saves it."""
    main = nn.Sequential(
        nn.ConvTranspose2d(4, 8, 4, 1, 0, bias=False), nn.BatchNorm2d(8), nn.ReLU(),
        nn.ConvTranspose2d(8, 4, 4, 2, 1, bias=False), nn.BatchNorm2d(4), nn.ReLU(),
        nn.ConvTranspose2d(4, 1, 4, 2, 1, bias=False),
    )  # fmt: skip
    torch.save({f"main.{key}": value for key, value in main.state_dict().items()}, path)


SHORT = ("--config", OLD_RUN / "config.json", "--steps", 2, "--evaluate-every", 0, "--set", "output.snapshot_every=1")
DOCUMENTS = {  # in this order, since some read what others write
    "train --dry-run": ["train", *SHORT, "--dry-run"],
    "train": ["train", *SHORT, "--run", "runs/new"],
    "resume": ["resume", "runs/new", "--steps", 3],
    "sample": ["sample", "runs/old", "-n", 2, "-o", "grid.png", "--separate", "separate"],
    "interpolate": ["interpolate", "runs/old", "--seeds", "1,2", "--frames", 3, "-o", "walk.gif"],
    "arithmetic": ["arithmetic", "runs/old", "--plus", 1, "--minus", 2, "-o", "sum.png", "--save", "sum.safetensors"],
    "directions": ["directions", "runs/old", "--unlabelled", "--components", 2, "-n", 8],
    "edit": ["edit", "runs/old", "--seeds", 1, "--direction", "sefa-1:-1..1", "--cols", 2, "-o", "edit.png"],
    "project": [
        "project",
        "photos/0.png",
        "--model",
        "runs/old",
        "--restarts",
        1,
        "--steps",
        1,
        "-o",
        "found.png",
        "--data",
        "photos",
    ],
    "neighbours": ["neighbours", "runs/old", "--seeds", 1, "-n", 8],
    "evaluate": ["evaluate", "runs/old", "--metrics", "fd_random,swd", "-n", 32],
    "whois": ["whois", "grid.png"],
    "import": ["import", "netG.pth", "-o", "imported.safetensors"],
    "report": ["report", "runs/old"],
    "plot": ["plot", "runs/old", "-o", "plot.svg"],
    "plot --arrays": ["plot", "runs/old", "--arrays", "arrays"],
    "runs list": ["runs", "list"],
    "runs show": ["runs", "show", "runs/old"],
    "runs compare": ["runs", "compare", "runs/old", "runs/new"],
    "runs clean": ["runs", "clean", "--dry-run"],
    "data check": ["data", "check", "photos", "--resolution", 16],
    "pack": ["pack", "photos", "--resolution", 16, "-o", "packed"],
    "cache list": ["cache", "list"],
    "cache prune": ["cache", "prune", "--dry-run", "--all"],
    "download --list": ["download", "--list"],
    "download": ["download", "lfw", "--from", "photos"],
}


@pytest.fixture(scope="module")
def documents(tmp_path_factory, session_cache):
    """Each command's JSON, and the folder in which they ran."""
    folder = tmp_path_factory.mktemp("documents")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FACEGAN_CACHE", str(session_cache))
        patch.chdir(folder)
        shutil.copytree(OLD_RUN, "runs/old")
        write_photos(Path("photos"))
        write_foreign_weights("netG.pth")
        return folder, {name: json.loads(run_command(*call, "--json")) for name, call in DOCUMENTS.items()}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_documents_of_json_keep_their_keys(name, documents):
    assert gone(PUBLIC["documents"][name], keys_of(documents[1][name])) == []


def test_doctor_keeps_its_keys(tmp_path, monkeypatch):
    (tmp_path / "torch").mkdir()
    (tmp_path / "torch" / "__init__.py").write_text("raise ImportError('as good as none')")  # which ends it at once
    monkeypatch.syspath_prepend(str(tmp_path))
    found = json.loads(run_command("doctor", "--json", code=1))
    assert gone(PUBLIC["documents"]["doctor"], keys_of(found)) == []


def test_plugins_are_found_by_their_entry_points_and_keep_their_keys(install):
    groups = PUBLIC["entry_points"]
    install("absent", "raise ImportError('of no use')", {group: {"new-part": "absent:Part"} for group in groups})
    document = json.loads(run_command("plugins", "--json"))
    assert gone(PUBLIC["documents"]["plugins"], keys_of(document)) == []
    found = {(part["kind"], part["name"]): part["origin"] for part in document["plugins"]}
    expected = [(kind, name) for kind, names in PUBLIC["parts"].items() for name in names]
    assert gone(expected, found) == []
    assert [found.get((group.removeprefix("facegan."), "new-part")) for group in groups] == ["absent 1.0"] * len(groups)


def test_single_samples_come_with_a_manifest(documents):
    lines = lines_of(documents[0] / "separate" / "manifest.jsonl")
    assert [line["file"] for line in lines] == ["seed-00000000.png", "seed-00000001.png"]
    assert [gone(PUBLIC["files"]["manifest.jsonl"], line) for line in lines] == [[], []]


@pytest.mark.parametrize("name", ["sum.safetensors", "runs/old/directions.safetensors"])
def test_files_of_latents_and_directions_keep_their_format(name, documents):
    metadata, tensors = contents_of(documents[0] / name)
    known = PUBLIC["files"][Path(name).name]
    assert gone(known["metadata"], metadata) == []
    assert gone(known["tensors"], tensors) == []
    assert metadata["format"] == known["format"]


# A run of facegan 0.1.0


@pytest.fixture(scope="module")
def fresh(tmp_path_factory, session_cache):
    """The old run trained again by this code, without an interruption, and what `facegan.train` returns."""
    folder = tmp_path_factory.mktemp("fresh") / "fresh"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FACEGAN_CACHE", str(session_cache))
        said = []
        run = facegan.train(run=folder, config=OLD_RUN / "config.json", report=said.append)
    assert [line for line in said if "could not" in str(line)] == []
    return run


@pytest.fixture
def old(tmp_path, monkeypatch):
    """A copy of the old run, at runs/old in the current folder."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(OLD_RUN, "runs/old")
    return Path("runs/old")


def state_of(run, step):
    return contents_of(Path(run) / "states" / f"step-{step:08d}.safetensors")[1]


def same(first, second):
    return set(first) == set(second) and all(torch.equal(first[key], second[key]) for key in first)


def rewind(run):
    """Take a run back to step 4: its last state and snapshot go."""
    for kind in ("states", "snapshots"):
        (run / kind / "step-00000008.safetensors").unlink()


def distance(first, second):
    """Euclidean distance of two states' networks and optimisers."""
    names = [name for name in first if name.startswith(("G", "D", "opt_"))]
    return sum((first[name].double() - second[name].double()).square().sum().item() for name in names) ** 0.5


def test_a_run_returned_by_train_has_its_attributes(fresh):
    assert fresh.finished and fresh.path.is_dir() and fresh.snapshot.is_file() and fresh.best.is_file()
    assert fresh.metrics()[-1]["step"] == 8
    generator = fresh.generator()
    assert generator.sample([1]).shape == (1, 1, 16, 16)
    expected = ("network", "z_dim", "prior", "info", "latents", "sample", "images")
    assert [name for name in expected if not hasattr(generator, name)] == []
    assert gone(["digest", "step"], generator.info) == []


def test_a_run_folder_keeps_its_files(fresh, documents):
    names = sorted(path.relative_to(OLD_RUN).as_posix() for path in OLD_RUN.rglob("*") if path.is_file())
    names.remove("log.txt")  # what the console said, of which there is none in Python
    assert gone(names, {path.relative_to(fresh.path).as_posix() for path in fresh.path.rglob("*")}) == []
    assert (documents[0] / "runs" / "new" / "log.txt").is_file()


@pytest.mark.parametrize("name", ["config.json", "environment.json"])
def test_documents_of_a_run_keep_their_keys(name, fresh):
    found = json.loads((fresh.path / name).read_text())
    assert gone(sorted(keys_of(json.loads((OLD_RUN / name).read_text()))), keys_of(found)) == []


@pytest.mark.parametrize("name", ["metrics.jsonl", "evaluations.jsonl"])
def test_lines_of_a_run_keep_their_keys(name, fresh):
    found, known = lines_of(fresh.path / name), lines_of(OLD_RUN / name)
    assert [line["step"] for line in found] == [line["step"] for line in known]
    for line, old_line in zip(found, known, strict=True):
        assert gone(sorted(keys_of(old_line)), keys_of(line)) == []


@pytest.mark.parametrize("kind", ["snapshots", "states"])
def test_files_of_tensors_keep_their_format(kind, fresh):
    name = f"{kind}/step-00000008.safetensors"
    (metadata, tensors), (old_metadata, old_tensors) = contents_of(fresh.path / name), contents_of(OLD_RUN / name)
    assert gone(sorted(old_metadata), metadata) == []
    assert gone(sorted(old_tensors), tensors) == []
    assert metadata["format"] == old_metadata["format"]
    shapes = {key: (value.dtype, value.shape) for key, value in old_tensors.items() if key != "sums"}
    assert {key: (tensors[key].dtype, tensors[key].shape) for key in shapes} == shapes


def test_an_old_run_is_listed_and_shown(old):
    listed = json.loads(run_command("runs", "list", "--json"))
    assert [(each["name"], each["step"], each["standing"]) for each in listed["runs"]] == [("old", 8, "finished")]
    shown = json.loads(run_command("runs", "show", old, "--verify", "--json"))
    assert [each["problem"] for each in shown["files"] if each["problem"]] == []
    assert len([each for each in shown["files"] if each["kind"] in ("snapshots", "states")]) == 4
    assert (shown["best"]["metric"], shown["best"]["step"]) == ("fd_random", 8)
    assert shown["metrics"] == lines_of(OLD_RUN / "metrics.jsonl")[-1]
    assert shown["environment"] == json.loads((OLD_RUN / "environment.json").read_text())


def test_an_old_configuration_is_a_valid_one():
    plan = json.loads(run_command("train", "--config", OLD_RUN / "config.json", "--dry-run", "--json"))
    known = json.loads((OLD_RUN / "config.json").read_text())
    assert gone(sorted(keys_of(known)), keys_of(plan["config"])) == []
    for section, values in known.items():
        found = plan["config"][section]
        assert values == ({key: found[key] for key in values} if isinstance(values, dict) else found)


@pytest.mark.parametrize("step", [4, 8])
@pytest.mark.parametrize(("raw", "name"), [(False, "G_ema"), (True, "G")])
def test_an_old_snapshot_loads_to_the_bit(raw, name, step):
    path = OLD_RUN / "snapshots" / f"step-{step:08d}.safetensors"
    tensors = contents_of(path)[1]
    known = {key.removeprefix(f"{name}."): tensors[key] for key in tensors if key.startswith(f"{name}.")}
    generator = facegan.load_generator(path, raw=raw)
    assert same(generator.network.state_dict(), known)
    assert generator.info["step"] == step


def test_an_old_run_draws_the_faces_that_it_drew(old):
    run_command("sample", old, "--seeds", "0-7", "-o", "grid.png")
    with Image.open("grid.png") as drawn, Image.open(FIXTURES / "run-of-0.1.0.png") as known:
        assert drawn.size == known.size
        assert abs(np.asarray(drawn).astype(int) - np.asarray(known).astype(int)).max() <= 1


def test_a_snapshot_made_of_an_old_state_has_its_bits(old):
    (old / "snapshots" / "step-00000008.safetensors").unlink()
    run_command("resume", old)
    name = "snapshots/step-00000008.safetensors"
    assert same(contents_of(old / name)[1], contents_of(OLD_RUN / name)[1])


def test_an_old_run_resumed_from_its_middle_ends_as_it_ended(old, fresh):
    rewind(old)
    run_command("resume", old)
    resumed, known, middle = state_of(old, 8), state_of(OLD_RUN, 8), state_of(OLD_RUN, 4)
    assert torch.equal(resumed["noise"], known["noise"])
    if same(state_of(fresh.path, 4), middle):  # a CPU and a PyTorch whose arithmetic is that of the fixture
        assert same(resumed, known)
    # Elsewhere the last bits differ; what is not loaded costs far more than a hundredth of the way.
    assert distance(resumed, known) < 0.01 * distance(middle, known)


def test_a_resumed_run_ends_as_one_that_never_stopped(fresh, tmp_path):
    run = tmp_path / "copy"
    shutil.copytree(fresh.path, run)
    rewind(run)
    run_command("resume", run)
    assert same(state_of(run, 8), state_of(fresh.path, 8))


def test_an_old_run_is_extended(old):
    assert json.loads(run_command("resume", old, "--steps", 12, "--json"))["step"] == 12
    assert [line["step"] for line in lines_of(old / "metrics.jsonl")] == [2, 4, 6, 8, 10, 12]
    assert lines_of(old / "metrics.jsonl")[:4] == lines_of(OLD_RUN / "metrics.jsonl")


def test_an_old_run_is_evaluated_plotted_and_reported(old):
    (found,) = json.loads(run_command("evaluate", old, "--metrics", "fd_random", "-n", 32, "--json"))["results"]
    known = lines_of(OLD_RUN / "evaluations.jsonl")[-1]
    assert found["value"] == pytest.approx(known["value"], rel=1e-3)
    assert found["digests"]["real"] == known["digests"]["real"]
    assert len(lines_of(old / "evaluations.jsonl")) == 3
    run_command("plot", old, "-o", "losses.png")
    run_command("plot", old, "--metric", "fd_random", "-o", "metric.png")
    run_command("report", old, "-o", "report.html")
    run_command("timelapse", old, "-o", "growth.gif", "--seconds", 0.5)
    written = ("losses.png", "metric.png", "report.html", "growth.gif")
    assert [name for name in written if not Path(name).is_file()] == []
