import contextlib
import io
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from facegan import cli, plugins
from facegan.config import resolve
from facegan.errors import ConfigError, PluginError

EXAMPLE = Path(__file__).resolve().parent.parent / "examples" / "facegan-example-plugin"

LOSS = """
from facegan.losses import NonSaturating
from pydantic import Field

class Mine(NonSaturating):
    margin: float = Field(1.0, gt=0, description="a setting")
"""


def call(*arguments):
    """Run a command in this process: its exit code, stdout and stderr."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), pytest.raises(SystemExit) as exit:
        cli.main([str(argument) for argument in arguments])
    return exit.value.code or 0, out.getvalue(), err.getvalue()


# A package's dist-info, as pip leaves it (the fixture `install`)


@pytest.mark.parametrize("kind", plugins.KINDS)
def test_installed_part_of_every_kind_is_named_without_importing_it(install, kind):
    install("faceplug", "raise RuntimeError('imported')", {f"facegan.{kind}": {"mine": "faceplug:Mine"}})
    assert plugins.names(kind) == [*plugins.BUILT_IN[kind], "mine"]
    assert "faceplug" not in sys.modules
    owner = plugins.claim(kind, "mine")
    assert (owner.target, owner.origin) == ("faceplug:Mine", "faceplug 1.0")


def test_installed_loss_is_loaded_when_it_is_asked_for(install):
    install("faceplug", LOSS, {"facegan.loss": {"mine": "faceplug:Mine"}})
    config = resolve(settings=["loss.name=mine", "loss.margin=0.5"]).complete()
    assert config.loss.fields == {"label_smoothing": 0.0, "margin": 0.5}
    assert config.part("loss") == sys.modules["faceplug"].Mine(margin=0.5)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("loss.margn=1", "config: no setting 'loss.margn'; did you mean 'margin'?"),
        ("loss.margin=-1", "config: loss.margin is -1; it must be above 0"),
        ("loss.margin=wide", "config: loss.margin is 'wide'; it must be a number"),
    ],
)
def test_invalid_settings_of_a_plugin_are_explained(install, setting, message):
    install("faceplug", LOSS, {"facegan.loss": {"mine": "faceplug:Mine"}})
    with pytest.raises(ConfigError) as refusal:
        resolve(settings=["loss.name=mine", setting]).complete()
    assert str(refusal.value) == message


def test_another_plugins_settings_are_not_carried_over(install):
    install("faceplug", LOSS, {"facegan.loss": {"mine": "faceplug:Mine"}})
    config = resolve(preset="dcgan-32", settings=["loss.name=mine"]).complete()
    assert config.loss.fields == {"label_smoothing": 0.0, "margin": 1.0}  # the preset's 0.1 was nonsaturating's


def test_list_of_plugins_imports_none_and_knows_nothing_of_their_state(install):
    install("faceplug", "raise RuntimeError('imported')", {"facegan.loss": {"mine": "faceplug:Mine"}})
    code, out, err = call("plugins", "--json")
    assert (code, err) == (0, "")
    assert {(each["available"], each["reason"], each["settings"]) for each in json.loads(out)["plugins"]} == {
        (None,) * 3
    }
    assert "facegan plugins --check imports every part" in call("plugins")[1]
    checked = json.loads(call("plugins", "--check", "--json")[1])["plugins"]
    assert next(each for each in checked if each["name"] == "swd")["settings"]["num_directions"] != ""


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("import no_such_module", "No module named 'no_such_module'"),
        ("raise RuntimeError('two\\nlines')", "two lines"),
        ("x = (", "'(' was never closed"),
        ("", "module 'faceplug' has no attribute 'Mine'"),
    ],
)
def test_a_broken_plugin_is_listed_with_its_reason_and_breaks_nothing_else(install, source, reason):
    install("faceplug", source, {"facegan.loss": {"mine": "faceplug:Mine"}})
    code, out, err = call("plugins", "--check", "--json")
    assert (code, err) == (0, "")
    parts = {(part["kind"], part["name"]): part for part in json.loads(out)["plugins"]}
    mine = parts.pop(("loss", "mine"))
    assert (mine["available"], mine["origin"]) == (False, "faceplug 1.0")
    assert reason in mine["reason"]
    assert all(part["available"] for part in parts.values())
    line = next(line for line in call("plugins", "--check")[1].splitlines() if " mine " in line)
    assert "faceplug 1.0" in line
    assert f"unavailable: {mine['reason']}" in line
    assert call("train", "--dry-run")[0] == 0


def test_broken_plugin_fails_in_one_line_and_exit_code_1_when_it_is_asked_for(install, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    install("faceplug", "import no_such_module", {"facegan.loss": {"mine": "faceplug:Mine"}})
    code, out, err = call("train", "--set", "loss.name=mine", "--run", "run")
    assert (code, out) == (1, "")
    assert err == (
        "facegan: loss 'mine': cannot be loaded from faceplug 1.0 (ModuleNotFoundError: No module named "
        "'no_such_module'); update or uninstall that package\n"
    )
    assert not Path("run").exists()


def test_broken_command_is_in_the_help_and_fails_only_when_it_is_called(install):
    install("faceplug", "import no_such_module", {"facegan.command": {"mine": "faceplug:mine"}})
    code, out, err = call("--help")
    assert (code, err) == (0, "")
    assert "  mine " in out
    assert "(from faceplug 1.0)" in out
    assert call("presets")[0] == 0
    code, out, err = call("mine")
    assert (code, out) == (1, "")
    assert err.startswith("facegan: command 'mine': cannot be loaded from faceplug 1.0 (ModuleNotFoundError: ")
    assert len(err.splitlines()) == 1


def test_help_imports_no_plugin(install):
    install("faceplug", "def mine(): ...", {"facegan.command": {"mine": "faceplug:mine"}})
    assert call("--help")[0] == 0
    assert "faceplug" not in sys.modules


def test_installed_command_runs_with_its_own_options(install):
    source = "def mine(times: int = 1):\n    '''Say hello.'''\n    print('hello ' * times)\n"
    install("faceplug", source, {"facegan.command": {"mine": "faceplug:mine"}})
    assert call("mine", "--times", 2) == (0, "hello hello \n", "")
    assert "Say hello." in call("mine", "--help")[1]


def test_group_of_commands_can_be_installed(install):
    commands = "@mine.command()\ndef one(): print(1)\n@mine.command()\ndef two(): print(2)\n"
    source = f"import typer\nmine = typer.Typer()\n{commands}"
    install("faceplug", source, {"facegan.command": {"mine": "faceplug:mine"}})
    assert call("mine", "two") == (0, "2\n", "")


def test_a_name_claimed_twice_is_an_error_that_names_both_owners(install):
    install("faceplug", LOSS, {"facegan.loss": {"mine": "faceplug:Mine"}})
    install("otherplug", LOSS, {"facegan.loss": {"mine": "otherplug:Mine"}}, version="2.5")
    with pytest.raises(PluginError) as refusal:
        plugins.find("loss", "mine")
    assert str(refusal.value) == "loss 'mine': claimed by otherplug 2.5 and faceplug 1.0; uninstall one of them"
    parts = json.loads(call("plugins", "--check", "--json")[1])["plugins"]
    mine = next(part for part in parts if part["name"] == "mine")
    assert (mine["available"], mine["reason"]) == (False, str(refusal.value))


def test_built_in_name_cannot_be_taken_silently(install):
    install("faceplug", LOSS, {"facegan.loss": {"nonsaturating": "faceplug:Mine"}})
    code, _, err = call("train", "--preset", "dcgan", "--dry-run")
    assert code == 1
    assert err.startswith("facegan: loss 'nonsaturating': claimed by facegan ")
    assert err.endswith(" and faceplug 1.0; uninstall one of them\n")
    assert call("train", "--dry-run")[0] == 0


DAMAGE = {
    "no equals sign": ("entry_points.txt", b"[facegan.loss]\nmine\n", "TypeError: "),
    "no text": ("entry_points.txt", b"\xff\xfe[facegan.loss]\nmine = a:b\n", "UnicodeDecodeError: 'utf-8' codec "),
    "metadata no text": ("METADATA", b"Name: \xff\nVersion: 1.0\n", "UnicodeDecodeError: 'utf-8' codec "),
    "metadata empty": ("METADATA", b"", "ValueError: its METADATA holds no Name and no Version"),
    "no version": ("METADATA", b"Metadata-Version: 2.1\nName: faceplug\n", "ValueError: its METADATA holds no Version"),
}


@pytest.fixture
def damage(install, tmp_path):
    """damage(file, content) -> the folder of a package's record, which then is damaged; another one is not."""

    def make(file, content):
        install("faceplug", LOSS, {"facegan.loss": {"mine": "faceplug:Mine"}})
        install("otherplug", LOSS, {"facegan.loss": {"other": "otherplug:Mine"}})
        info = tmp_path / "site-faceplug" / "faceplug-1.0.dist-info"
        (info / file).write_bytes(content)
        return info

    return make


@pytest.mark.parametrize(("file", "content", "why"), DAMAGE.values(), ids=DAMAGE)
def test_a_package_with_damaged_metadata_is_skipped_and_named(damage, file, content, why):
    info = damage(file, content)
    assert plugins.names("loss") == [*plugins.BUILT_IN["loss"], "other"]
    assert list(plugins.unreadable()) == [str(info)]
    assert plugins.unreadable()[str(info)].startswith(why)
    with pytest.raises(ConfigError, match="loss: there is no 'mine'"):
        plugins.find("loss", "mine")


def test_commands_name_a_package_with_damaged_metadata_and_do_without(damage):
    file, content, why = DAMAGE["no text"]
    info = damage(file, content)
    assert call("--help")[0] == 0
    document = json.loads(call("plugins", "--check", "--json")[1])
    assert document["unreadable"] == plugins.unreadable()
    assert all(part["available"] for part in document["plugins"])
    line = next(line for line in call("plugins")[1].splitlines() if str(info) in line)
    assert line.startswith("package ") and f"skipped: its record is damaged ({why}" in line


def test_a_damaged_package_without_plugins_breaks_no_command(install, tmp_path):
    install("facelib", "", {"console_scripts": {"facelib": "facelib:main"}})
    (tmp_path / "site-facelib" / "facelib-1.0.dist-info" / "entry_points.txt").write_text(
        "[console_scripts]\nfacelib\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "facegan", "--help"], capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path / "site-facelib"), *sys.path])},
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert "  train " in done.stdout


def test_of_a_package_found_twice_only_the_first_copy_counts(install, tmp_path, monkeypatch):
    install("faceplug", LOSS, {"facegan.loss": {"mine": "faceplug:Mine"}}, version="1.0")
    monkeypatch.syspath_prepend(str(tmp_path / "newer"))
    info = tmp_path / "newer" / "FacePlug-2.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: FacePlug\nVersion: 2.0\n")
    (info / "entry_points.txt").write_text("[facegan.loss]\nmine = faceplug:Mine\n")
    plugins.claims.cache_clear()
    assert plugins.claim("loss", "mine").origin == "FacePlug 2.0"


@pytest.mark.parametrize(
    ("kind", "name", "message"),
    [
        ("loss", "nonsaturatin", "loss: there is no 'nonsaturatin'; did you mean 'nonsaturating' or 'saturating'?"),
        ("architecture", "vit", "architecture: there is no 'vit'; there is: dcgan, resnet"),
        ("metric", "recal", "metric: there is no 'recal'; did you mean 'recall'?"),
    ],
)
def test_unknown_names_are_answered_with_the_nearest(kind, name, message):
    with pytest.raises(ConfigError) as refusal:
        plugins.find(kind, name)
    assert str(refusal.value) == message


# The example package, installed for real


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A folder into which pip has installed the example package."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*command, "--target", folder, EXAMPLE], check=True, capture_output=True, text=True)
    return folder


@pytest.fixture
def example(site, monkeypatch, tmp_path):
    """The example package on this process's path."""
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.chdir(tmp_path)
    plugins.claims.cache_clear()
    yield
    plugins.claims.cache_clear()
    for name in [name for name in sys.modules if name.partition(".")[0] == "facegan_example"]:
        del sys.modules[name]


@pytest.mark.integration
def test_example_package_trains_with_its_own_architecture_loss_and_dataset_and_is_looked_at(
    site, cache, tmp_path, monkeypatch, example
):
    command = [
        "train", "--data", "smileys", "--set", "data.options.num_images=32", "--resolution", "16", "--batch-size", "8",
        "--set", "architecture.name=spectral-dcgan", "--set", "architecture.ngf=8", "--set", "architecture.ndf=8",
        "--set", "loss.name=margin-hinge", "--set", "loss.margin=0.5", "--steps", "3",
        "--device", "cpu", "--run", "smiling",
    ]  # fmt: skip
    trained = subprocess.run(
        [sys.executable, "-m", "facegan", *command], env={**os.environ, "PYTHONPATH": str(site)}, capture_output=True,
        text=True, cwd=tmp_path,
    )  # fmt: skip
    assert trained.returncode == 0, trained.stderr
    assert trained.stdout == "smiling\n"
    config = json.loads(Path("smiling/config.json").read_text())
    assert config["loss"] == {"name": "margin-hinge", "margin": 0.5}
    assert config["architecture"]["num_power_iterations"] == 1
    assert json.loads(Path("smiling/environment.json").read_text())["plugins"] == dict.fromkeys(
        ("architecture", "loss", "dataset"), "facegan-example 1.0.0"
    )

    code, out, err = call("hello-faces", "smiling", "-n", 2, "--seed", 5, "--size", 8)
    assert (code, err) == (0, "")
    rows = out.splitlines()
    assert [row.count("▀") for row in rows] == [16, 16, 16, 16, 0]
    assert rows[-1] == "seeds 5 to 6, step 3: synthetic faces"

    code, out, err = call("evaluate", "smiling", "--metrics", "sharpness", "-n", 12, "--json")
    assert code == 0, err
    (judged,) = json.loads(out)["results"]
    assert (judged["metric"], judged["num_fake"], judged["protocol"]["num_images"]) == ("sharpness", 12, 1000)

    code, out, err = call("resume", "smiling", "--steps", 4)
    assert code == 0, err


@pytest.mark.integration
def test_snapshot_of_an_architecture_that_is_not_installed_says_so(tiny, tmp_path, monkeypatch, example):
    from facegan.checkpoint import load_generator, save_snapshot

    config = tiny("architecture.name=spectral-dcgan", "architecture.z_dim=12", "architecture.ngf=8")
    G = config.part("architecture").generator(16, 3)
    save_snapshot(tmp_path / "a.safetensors", config, 0, {"G": G})
    monkeypatch.undo()
    plugins.claims.cache_clear()
    with pytest.raises(PluginError) as refusal:
        load_generator(tmp_path / "a.safetensors")
    assert str(refusal.value) == (
        f"{tmp_path}/a.safetensors: its architecture is 'spectral-dcgan'; install the package that brings it"
    )


@pytest.mark.integration
def test_examples_parts_are_listed_with_their_settings(example):
    parts = {part["name"]: part for part in json.loads(call("plugins", "--check", "--json")[1])["plugins"]}
    for name in ("hello-faces", "spectral-dcgan", "margin-hinge", "smileys", "sharpness"):
        assert parts[name]["available"], parts[name]
        assert parts[name]["origin"] == "facegan-example 1.0.0"
    assert parts["margin-hinge"]["settings"] == {"margin": "1.0"}
    assert list(parts["smileys"]["settings"]) == ["num_images", "seed"]


@pytest.mark.integration
def test_plan_of_the_examples_architecture_sees_its_convolutions_and_misses_batch_norm(example):
    plan = json.loads(call("train", "--dry-run", "--json", "--set", "architecture.name=spectral-dcgan")[1])
    strided, normed, *rest = plan["guidelines"]
    assert "strided convolutions: D 4, G 4" in strided["evidence"]
    assert strided["kept"]
    assert not normed["kept"]
    assert all(line["kept"] for line in rest)


@pytest.mark.integration
def test_examples_hinge_loss_is_that_of_the_paper(example):
    torch = pytest.importorskip("torch")
    real, fake = torch.tensor([2.0, 0.5, -1.0]), torch.tensor([-3.0, 0.0, 1.0])
    loss = plugins.find("loss", "margin-hinge")()
    terms = loss.discriminator(real, fake)
    assert terms.real.item() == pytest.approx((0 + 0.5 + 2) / 3)  # max(0, 1 - l)
    assert terms.fake.item() == pytest.approx((0 + 1 + 2) / 3)  # max(0, 1 + l)
    assert loss.generator(fake, real).item() == pytest.approx(2 / 3)


@pytest.mark.integration
def test_examples_metric_is_that_of_its_text(example):
    import numpy as np

    from facegan.evaluation import Pair, Sample

    stripes = np.zeros((20, 1, 16, 16), np.uint8)
    stripes[:, :, :, ::2] = 100  # side by side, every two pixels differ by 100
    softer = stripes // np.arange(1, 21, dtype=np.uint8)[:, None, None, None]
    rows = np.arange(20)
    metric = plugins.find("metric", "sharpness")(num_images=20)
    pair = Pair(Sample(stripes, rows), Sample(softer, rows))
    found = metric.measure(pair)
    each = np.array([100 // n for n in range(1, 21)]) / 100
    assert found.value == pytest.approx(each.mean())
    assert found.interval[1] - found.value == pytest.approx(1.96 * each.std(ddof=1) / 20**0.5)
    assert found.details == {"real": 100.0}
    assert metric.measure(replace(pair, intervals=False)).interval is None
    half = plugins.find("metric", "sharpness")(num_images=10)
    assert half.measure(pair).value == pytest.approx(each[:10].mean())


@pytest.mark.integration
def test_examples_discriminator_has_spectral_norm_1_and_no_batch_norm(example):
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    D = plugins.find("architecture", "spectral-dcgan")(ndf=8, num_power_iterations=20).discriminator(16, 3)
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in D.modules())
    assert D(torch.zeros(2, 3, 16, 16)).shape == (2,)
    weights = [module.weight for module in D.modules() if isinstance(module, torch.nn.Conv2d)]
    assert len(weights) == 3
    for weight in weights:
        assert torch.linalg.matrix_norm(weight.flatten(1), ord=2).item() == pytest.approx(
            1, abs=0.02
        )  # twenty steps short of exact


@pytest.mark.integration
def test_examples_smileys_are_functions_of_seed_and_index(example):
    source = plugins.find("dataset", "smileys")(num_images=5).open()
    first = {name: image.tobytes() for name, image in source.read(source.names, 16)}
    again = dict(source.read(source.names[3:], 16))
    assert all(first[name] == image.tobytes() for name, image in again.items())
    assert len(set(first.values())) == 5
    other = plugins.find("dataset", "smileys")(num_images=5, seed=1).open()
    assert source.fingerprint(source.names) != other.fingerprint(other.names)
    assert -1 <= source.attributes(source.names)["happiness"][0] <= 1
