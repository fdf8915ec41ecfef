import numpy as np
import pytest
import torch

from counted import Counted
from facegan.errors import ConfigError
from facegan.recipes import Along, Arithmetic, Corners, Edit, Sheet, Walk, read
from facegan.seeds import Latent, Points, parse

ME = Points(text="5,me.safetensors", latents={"me.safetensors": Latent.of(torch.arange(12.0) / 12)})


def along(place, low, high, name):
    return Along(name=name, vector=Latent.of(torch.eye(12)[place], "d" * 64), low=low, high=high)


def edit(**settings):
    directions = along(0, -1, 2.5, "bright"), along(1, 1, 1, "lit")
    return Edit(points=parse("3-4"), along=directions, columns=4, kept=("hat", "nose"), **settings)


RECIPES = {
    "sheet": Sheet(points=ME, truncation=0.5, columns=1, labels=True),
    "plain sheet": Sheet(points=parse("0-3")),
    "arithmetic": Arithmetic(plus=(ME, parse("4,8")), minus=(parse("2,7"),), noise=0.5, seed=2, rescale=True),
    "walk": Walk(points=ME, num_frames=5),
    "simultaneous walks": Walk(
        points=parse("3,14,15,16"), num_frames=4, mode="lerp", loop=True, columns=2, scale=3, fps=12.5
    ),
    "filmstrip": Walk(points=parse("3,14"), num_frames=8, circle=True, strip=True),
    "corners": Corners(points=parse("1-4"), rows=2, columns=3, mode="lerp", scale=2),
    "edit": edit(),
}


@pytest.fixture(params=RECIPES.values(), ids=RECIPES)
def recipe(request):
    return request.param


def test_recipe_without_its_defaults_is_read_back_and_makes_the_same_pixels(recipe, generator):
    again = read(recipe.model_dump_json(exclude_defaults=True))
    assert again == recipe
    pairs = zip(recipe.frames(generator), again.frames(generator), strict=True)
    assert all(np.array_equal(first, second) for first, second in pairs)


@pytest.mark.parametrize("name", ["plain sheet", "walk", "simultaneous walks", "filmstrip", "corners"])
def test_frames_without_texts_have_the_predicted_size(name, generator):
    assert next(RECIPES[name].frames(generator)).shape[:2] == RECIPES[name].size(16)


def test_only_animations_have_a_rate():
    rates = {name: recipe.rate for name, recipe in RECIPES.items() if recipe.rate is not None}
    assert rates == {"walk": 25, "simultaneous walks": 12.5}


@pytest.mark.parametrize(
    ("recipe", "counts"),
    [
        (Sheet(points=parse("0-129")), [(64, 130), (128, 130), (130, 130)]),
        (Walk(points=parse("0-11"), num_frames=20, rows=2, columns=3), [(60, 120), (120, 120)]),
        (Corners(points=parse("0-3"), rows=9, columns=8), [(64, 72), (72, 72)]),
        (Edit(points=parse("0-19"), along=(along(0, -3, 3, "bright"),)), [(64, 140), (128, 140), (140, 140)]),
        (Arithmetic(plus=(parse("0-29"),)), [(12 + 1 + 9, 12 + 1 + 9)]),
    ],
)
def test_progress_counts_faces(recipe, counts, generator):
    reporter = Counted()
    list(recipe.frames(generator, reporter=reporter))
    assert reporter.counts == counts
    called = []
    list(recipe.frames(generator, lambda *numbers: called.append(numbers)))
    assert called == counts


@pytest.mark.parametrize(
    ("name", "flags"),
    [
        ("sheet", "sample --seeds 5,me.safetensors --truncation 0.5 --cols 1 --labels"),
        ("plain sheet", "sample --seeds 0-3"),
        (
            "arithmetic",
            "arithmetic --plus 5,me.safetensors --minus 2,7 --plus 4,8 --noise 0.5 --seed 2 --rescale",
        ),
        ("walk", "interpolate --seeds 5,me.safetensors --frames 5 --scale 1 --fps 25"),
        (
            "simultaneous walks",
            "interpolate --seeds 3,14,15,16 --frames 4 --mode lerp --loop --grid 1x2 --scale 3 --fps 12.5",
        ),
        ("filmstrip", "interpolate --seeds 3,14 --frames 8 --circle --scale 1"),
        ("corners", "interpolate --corners 1-4 --rows 2 --cols 3 --mode lerp --scale 2"),
        ("edit", "edit --seeds 3-4 --direction bright:-1..2.5 --direction lit:1 --keep hat,nose --cols 4"),
    ],
)
def test_flags_are_the_equivalent_command(name, flags):
    assert RECIPES[name].flags() == flags.split()


@pytest.mark.parametrize(
    "text",
    ["", "{}", '{"make": "cook"}', '{"make": "sample", "points": {"text": "0"}, "path": "/etc"}', '{"make": "sample"}'],
)
def test_other_texts_are_no_recipe(text):
    with pytest.raises(ConfigError, match="its recipe cannot be read"):
        read(text)
