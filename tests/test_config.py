import json
import re
import tomllib

import pytest
from pydantic import BaseModel, field_validator

from facegan.config import (
    DEFAULT_PRESET,
    RunConfig,
    build,
    flat,
    preset_layer,
    preset_names,
    preset_text,
    read_file,
    resolve,
)  # fmt: skip
from facegan.config.schema import TrainConfig
from facegan.errors import ConfigError
from facegan.networks.dcgan import DCGAN


def message(**layers):
    with pytest.raises(ConfigError) as refusal:
        resolve(**layers).complete()
    assert refusal.value.exit_code == 2
    assert "\n" not in str(refusal.value)
    return str(refusal.value)


@pytest.fixture
def file(tmp_path):
    def make(text, name="mine.toml"):
        (tmp_path / name).write_text(text, encoding="utf-8")
        return tmp_path / name

    return make


def test_each_layer_wins_over_those_below(file):
    path = file("seed = 2\n[optimizer]\nlr_G = 2e-3\n[train]\nbatch_size = 32\n")
    layers = {"preset": "dcgan-linear", "file": path, "flags": {"train": {"batch_size": 16}}, "settings": ["seed=9"]}
    config = resolve(**layers)
    assert config.seed == 9  # --set over the file
    assert config.train.batch_size == 16  # a flag over the file over the preset's 64
    assert config.optimizer.lr_G == 2e-3  # the file over the preset
    assert config.optimizer.lr_D == 2e-4  # untouched beside it
    assert config.train.fresh_z is True  # the preset over the default
    assert resolve(flags={"seed": 3}, settings=["seed=4", "seed=5"]).seed == 5


@pytest.mark.parametrize(
    ("layers", "given"),
    [
        ({"preset": "dcgan"}, ("epochs", 25)),
        ({"preset": "dcgan-linear"}, ("epochs", 10)),
        ({"preset": "dcgan-linear", "settings": ["train.steps=100"]}, ("steps", 100)),
        ({"preset": "dcgan-linear", "flags": {"train": {"kimg": 5}}}, ("kimg", 5)),
        ({"flags": {"train": {"kimg": 5}}, "settings": ["train.steps=7"]}, ("steps", 7)),
        ({"flags": {"train": {"steps": 5}}, "settings": ["train.batch_size=7"]}, ("steps", 5)),
        ({"flags": {"train": {"steps": 5, "epochs": None}}}, ("steps", 5)),
    ],
)
def test_a_later_duration_replaces_any_earlier_one(layers, given):
    train = resolve(**layers).train
    durations = {"epochs": train.epochs, "kimg": train.kimg, "steps": train.steps}
    assert {name: value for name, value in durations.items() if value is not None} == dict([given])


def test_a_file_with_a_duration_replaces_the_presets(file):
    train = resolve(preset="dcgan", file=file("[train]\nkimg = 8\n")).train
    assert (train.kimg, train.epochs) == (8, None)


def test_two_durations_in_one_layer_exclude_each_other():
    assert message(settings=["train.steps=3", "train.epochs=2"]) == (
        "config: train: give exactly one of epochs, kimg, steps, minutes (given: train.epochs and train.steps)"
    )


@pytest.mark.parametrize(
    ("train", "num_images", "steps"),
    [
        ({"epochs": 1, "batch_size": 128}, 1280, 10),
        ({"epochs": 1, "batch_size": 128}, 1281, 11),  # rounded up
        ({"epochs": 0.5, "batch_size": 10}, 100, 5),
        ({"kimg": 1.28, "batch_size": 128, "epochs": None}, 7, 10),
        ({"steps": 17, "epochs": None}, 7, 17),
        ({"epochs": 0.001, "batch_size": 10}, 100, 1),
        ({"epochs": 25, "batch_size": 128}, 202_599, 39_571),  # CelebA: 5,064,975 / 128 = 39,570.1
    ],
)
def test_a_duration_in_steps(train, num_images, steps):
    assert (
        resolve(flags={"train": {k: v for k, v in train.items() if v is not None}}).train.num_steps(num_images) == steps
    )


def test_another_plugin_drops_the_settings_of_the_one_below(file):
    smoothed = file("[loss]\nname = 'nonsaturating'\nlabel_smoothing = 0.2\n")
    assert resolve(file=smoothed, settings=["loss.label_smoothing=0.3"]).complete().loss.fields == {
        "label_smoothing": 0.3
    }
    changed = resolve(file=smoothed, settings=["loss.name=saturating"]).complete()
    assert changed.loss.fields == {"label_smoothing": 0.0}


def test_another_source_drops_the_options_of_the_one_below(file):
    path = file("[data]\nsource = 'drawn'\n[data.options]\nnum_images = 50\n")
    assert resolve(file=path, flags={"data": {"mirror": True}}).data.options == {"num_images": 50}
    assert resolve(file=path, flags={"data": {"source": "faces/"}}).data.options == {}


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("data.source=celeba", "celeba"),  # a bare word is a string
        ("data.source=my faces/a=b.zip", "my faces/a=b.zip"),
        ('data.source="quoted"', "quoted"),
        ("data.source='123'", "123"),
    ],
)
def test_set_takes_toml_values_and_bare_words(line, value):
    assert resolve(settings=[line]).data.source == value


def test_set_reads_numbers_and_truth():
    config = resolve(settings=["train.batch_size = 64", "optimizer.lr_G=1e-3", "data.mirror=true", "seed=0x10"])
    assert (config.train.batch_size, config.optimizer.lr_G, config.data.mirror, config.seed) == (64, 1e-3, True, 16)


MISTAKES = {
    "train.batchsize=3": "config: no setting 'train.batchsize'; did you mean 'batch_size'?",
    "trian.batch_size=3": "config: no setting 'trian'; did you mean 'train'?",
    "architecture.nfg=3": "config: no setting 'architecture.nfg'; did you mean 'ngf' or 'ndf'?",
    "loss.smooth=0.1": "config: no setting 'loss.smooth'; there is: label_smoothing",
    "train.batch_size=1": "config: train.batch_size is 1; it must be at least 2",
    "train.batch_size=many": "config: train.batch_size is 'many'; it must be a whole number",
    "train.batch_size=2.5": "config: train.batch_size is 2.5; it must be a whole number",
    "data.mirror=perhaps": "config: data.mirror is 'perhaps'; it must be true or false",
    "optimizer.lr_G=0": "config: optimizer.lr_G is 0; it must be above 0",
    "optimizer.lr_D=nan": "config: optimizer.lr_D is nan; it must be a finite number",
    "optimizer.beta1=1": "config: optimizer.beta1 is 1; it must be below 1",
    "resolution=65": "config: resolution is 65; it must be a power of two: 16, 32, 64, 128, 256 or 512",
    "resolution=8": "config: resolution is 8; it must be at least 16",
    "resolution=1024": "config: resolution is 1024; it must be at most 512",
    "channels=2": "config: channels is 2; it must be 1 or 3",
    "seed=-1": "config: seed is -1; it must be at least 0",
    "data.crop=centre:3": "config: data.crop is 'centre:3'; it must be auto, none, center:N or box:X,Y,W,H",
    "data.split=dev": "config: data.split is 'dev'; it must be 'all', 'train', 'val', 'test' or 'heldout'",
    "train.device=gpu": "config: train.device is 'gpu'; it must be auto, cpu, cuda, cuda:N or mps",
    "train.precision=fp8": "config: train.precision is 'fp8'; it must be 'auto', 'fp32', 'bf16' or 'fp16'",
    "augment.policy=colour": "config: augment.policy is 'colour'; there is no 'colour'; did you mean 'color'?",
    "architecture.ngf=0": "config: architecture.ngf is 0; it must be at least 1",
    "architecture.head=dense": "config: architecture.head is 'dense'; it must be 'conv' or 'linear'",
    "loss.label_smoothing=1": "config: loss.label_smoothing is 1; it must be below 1",
    "architecture.name=dcgn": "architecture: there is no 'dcgn'; did you mean 'dcgan'?",
    "loss.name=cramer": "loss: there is no 'cramer'; there is: nonsaturating, saturating, relativistic, hinge, "
    "least-squares, wasserstein",
    "data=3": "config: data is 3; it must be a table",
    "seed": "--set seed: give section.key=value, for instance --set train.batch_size=64",
    "=3": "--set =3: give section.key=value, for instance --set train.batch_size=64",
    "train.=3": "--set train.=3: give section.key=value, for instance --set train.batch_size=64",
}


@pytest.mark.parametrize(("line", "words"), MISTAKES.items())
def test_an_invalid_setting_is_explained(line, words):
    assert message(settings=[line]) == words


def test_a_section_instead_of_a_value_is_refused(file):
    assert message(file=file("train = 3\n")) == "config: train is 3; it must be a table"
    assert message(file=file("[seed]\nx = 3\n")) == "config: seed is {'x': 3}; it must be a whole number"


def test_a_missing_file_and_other_endings_are_refused(tmp_path, file):
    assert message(file=tmp_path / "no.toml") == f"{tmp_path}/no.toml: cannot be read (No such file or directory)"
    path = file("seed: 1", "mine.yaml")
    assert message(file=path) == f"{path}: a configuration file ends in .toml or .json"


@pytest.mark.parametrize(("name", "text", "kind"), [("a.toml", "seed = ", "TOML"), ("a.json", "{", "JSON")])
def test_a_file_that_is_not_of_its_kind_is_refused(file, name, text, kind):
    path = file(text, name)
    assert message(file=path).startswith(f"{path}: not valid {kind} (")


@pytest.mark.parametrize("text", ["[1, 2]", '"word"', "3"])
def test_a_json_file_must_hold_a_table(file, text):
    path = file(text, "a.json")
    assert message(file=path).startswith(f"{path}: holds a ")


def test_config_json_is_complete_and_itself_a_valid_file(file):
    config = resolve(preset="dcgan-linear", settings=["seed=7", "train.steps=5", "architecture.ngf=8"]).complete()
    path = file(config.to_json(), "config.json")
    assert resolve(file=path).complete() == config
    assert resolve(preset="dcgan-32", file=path).complete() == config  # nothing of the layer below shines through
    assert json.loads(config.to_json())["loss"] == {"name": "nonsaturating", "label_smoothing": 0.1}
    assert read_file(path)["architecture"] == {
        "name": "dcgan",
        **DCGAN(ngf=8, prior="uniform", head="linear").model_dump(),
    }


def test_the_defaults_are_the_preset_dcgan():
    assert resolve(preset="dcgan").complete() == RunConfig().complete()


def test_an_unknown_preset_is_named():
    assert message(preset="dcgan-33").startswith("preset: there is no 'dcgan-33'; did you mean 'dcgan-32' or 'dcgan'")


PRESETS = {
    "dcgan": {
        "resolution": 64, "channels": 3, "train.batch_size": 128, "train.fresh_z": False,
        "architecture.head": "conv", "architecture.prior": "normal", "architecture.z_dim": 100,
        "architecture.ngf": 64, "architecture.ndf": 64, "loss.name": "nonsaturating", "loss.label_smoothing": 0.0,
        "optimizer.lr_G": 2e-4, "optimizer.lr_D": 2e-4, "optimizer.beta1": 0.5, "optimizer.beta2": 0.999,
    },
    "dcgan-linear": {
        "architecture.head": "linear", "architecture.prior": "uniform", "loss.label_smoothing": 0.1,
        "train.fresh_z": True, "train.batch_size": 64, "train.epochs": 10, "resolution": 64,
        "loss.name": "nonsaturating",
    },
    "dcgan-32": {"resolution": 32, "channels": 3, "loss.label_smoothing": 0.1, "architecture.head": "conv"},
}  # fmt: skip


@pytest.mark.parametrize("name", PRESETS)
def test_presets_fix_what_their_descriptions_say(name):
    tree = resolve(preset=name).complete().model_dump()
    for key, value in PRESETS[name].items():
        found = tree
        for part in key.split("."):
            found = found[part]
        assert found == value, key


def test_the_default_preset_is_the_first():
    assert preset_names()[0] == DEFAULT_PRESET == "faces"
    assert set(PRESETS) <= set(preset_names())


@pytest.mark.parametrize("name", preset_names())
def test_every_preset_is_a_complete_and_valid_configuration(name):
    config = resolve(preset=name).complete()
    for section, value in preset_layer(name).items():
        found = getattr(config, section)
        assert value == found if not isinstance(value, dict) else value.items() <= found.model_dump().items()


@pytest.mark.parametrize("name", preset_names())
def test_every_value_of_a_preset_has_its_source_in_a_comment(name):
    values = [line for line in preset_text(name).splitlines() if re.match(r"\w+ *=", line)]
    assert len(values) > 12
    for line in values:
        assert re.search(r"# [\w ,0-9-]+:? ?\S+", line), line
    leaves = [leaf for each in preset_layer(name).values() for leaf in (each if isinstance(each, dict) else [each])]
    assert len(values) == len(leaves)
    assert tomllib.loads(preset_text(name)) == preset_layer(name)


@pytest.mark.parametrize(
    ("num_steps", "intervals"),
    [
        (1, (1, 1, 1, 1)),
        (3, (1, 1, 1, 1)),
        (1000, (1, 50, 100, 50)),
        (39_571, (20, 1000, 2000, 1000)),
        (10**6, (1000, 50_000, 100_000, 50_000)),
    ],
)
def test_intervals_scale_to_round_numbers(num_steps, intervals):
    output = RunConfig().output.scaled(num_steps)
    assert (output.tick_every, output.sample_every, output.snapshot_every, output.state_every) == intervals


def test_given_intervals_are_kept():
    output = resolve(settings=["output.sample_every=7"]).output.scaled(39_571)
    assert (output.sample_every, output.snapshot_every) == (7, 2000)


LOSS = """
from pydantic import BaseModel, ConfigDict

class Mine(BaseModel):
    model_config = ConfigDict(extra="forbid")
    weight: float = 2.0
"""


def test_a_plugins_section_is_checked_by_the_plugin(install):
    install("mineplug", LOSS, {"facegan.loss": {"mine": "mineplug:Mine"}})
    config = resolve(settings=["loss.name=mine", "loss.weight=3"])
    assert config.complete().loss.fields == {"weight": 3.0}
    assert resolve(settings=["loss.name=mine"]).complete().loss.fields == {"weight": 2.0}
    assert (
        message(settings=["loss.name=mine", "loss.wieght=3"])
        == "config: no setting 'loss.wieght'; did you mean 'weight'?"
    )
    assert message(settings=["loss.name=mine", "loss.weight=x"]) == "config: loss.weight is 'x'; it must be a number"


def test_a_configuration_cannot_be_changed():
    with pytest.raises(ValueError, match="frozen"):
        RunConfig().train.batch_size = 3


def test_kimg_of_complete_batches_is_that_many_steps():
    for steps in range(1, 20_000):
        assert TrainConfig(epochs=None, kimg=steps * 128 / 1000, batch_size=128).num_steps(5) == steps


def test_a_setting_of_two_lines_keeps_both():
    with pytest.raises(ConfigError, match="config: seed is"):
        resolve(settings=["seed=1\nresolution=32"])


def test_a_box_that_is_not_square_is_refused():
    with pytest.raises(ConfigError) as refusal:
        resolve(settings=["data.crop=box:0,0,3,4"])
    assert str(refusal.value) == "config: data.crop is 'box:0,0,3,4'; it must be square: faces are never squashed"


def test_flat_settings_have_the_keys_that_set_takes():
    tree = {"seed": 1, "data": {"options": {"num_images": 5}, "where": ""}, "loss": {}}
    assert flat(tree) == {"seed": 1, "data.options.num_images": 5, "data.where": ""}
    config = resolve(settings=["train.steps=3", "data.options.num_images=5"])
    settings = [f"{key}={json.dumps(value)}" for key, value in flat(config.model_dump()).items() if value is not None]
    assert resolve(settings=settings) == config


def test_long_and_unprintable_values_are_cut_and_escaped(file):
    assert message(file=file(json.dumps({"resolution": "x" * 99_999}), "c.json")) == (
        f"config: resolution is '{'x' * 99}...{'x' * 16}'; it must be a whole number"
    )
    assert message(file=file(r'{"\u001b[2J": 1}', "c.json")).startswith(r"config: no setting '\x1b[2J'; there is: ")
    assert message(file=file(r'{"loss": {"name": "\u001b"}}', "c.json")).startswith(r"loss: there is no '\x1b'; ")
    assert message(file=file(f"seed = 0x{'f' * 9999}")) == (
        "config: seed is a number of thousands of digits; it must be below 4.29497e+09"
    )
    assert len(message(file=file(f'augment.policy = "{"x" * 99_999}"'))) < 500


def test_a_lone_surrogate_is_refused(file):
    assert message(file=file(r'{"data": {"crop": "\ud800"}}', "c.json")) == (
        r"config: data.crop is '\ud800'; it must be a word"
    )
    assert message(file=file(r'{"augment": {"policy": "\ud800"}}', "c.json")).startswith(
        "config: a setting is not text ("
    )

    class Picky(BaseModel):
        word: str

        @field_validator("word")
        @classmethod
        def _never(cls, word: str) -> str:
            raise ValueError("no \ud800")

    with pytest.raises(ConfigError, match=r"^config: a setting of loss is not text \('no \\ud800'\)$"):
        build(Picky, {"word": "a"}, where="loss")


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        *(
            ([f"evaluation.metrics={given}"], f"config: evaluation.metrics is '{given}'; it must be names of metrics, "
             "each once, separated by commas")
            for given in ("fid,,swd", "fid,fid", "")
        ),
        (["evaluation.metrics=fid", "evaluation.keep_best=swd"],
         "config: evaluation: keep_best is 'swd'; it must be one of metrics (fid)"),
        (["evaluation.every=-1"], "config: evaluation.every is -1; it must be at least 0"),
        (["evaluation.max_share=0"], "config: evaluation.max_share is 0; it must be above 0"),
        (["evaluation.max_share=2"], "config: evaluation.max_share is 2; it must be at most 1"),
        (["evaluation.num_images=1"], "config: evaluation.num_images is 1; it must be at least 2"),
    ],
)  # fmt: skip
def test_invalid_evaluation_settings_are_explained(settings, complaint):
    assert message(settings=settings) == complaint


def test_a_run_with_metrics_of_a_missing_package_can_still_be_read():
    config = resolve(settings=["evaluation.every=5", "evaluation.metrics= elsewhere , fid"])
    assert config.evaluation.keys == ("elsewhere", "fid")
    assert config.complete().evaluation.metrics == "elsewhere,fid"


def test_old_runs_have_no_evaluation():
    tree = RunConfig().model_dump()
    del tree["evaluation"]
    assert RunConfig.model_validate(tree).evaluation.every == 0


def test_run_of_a_source_with_a_long_name_has_a_name_that_every_system_takes():
    config = resolve(flags={"data": {"source": "n" * 250}})
    assert config.run_name("p" * 250) == f"{'n' * 100}-{'p' * 100}"
