"""The health of lines made by hand, whose numbers are known, and of small runs that really fail."""

import functools
import json
from itertools import pairwise
from random import Random

import pytest
import torch

from facegan.data.packed.load import load
from facegan.training.diagnostics import ADVICE, HealthMonitor
from facegan.training.loop import make_loader
from facegan.training.state import METRICS, build_state
from facegan.training.step import training_step

NAMES = ("good", "D has won", "collapse", "stagnation", "not finite")


def line(step, real=0.75, fake=0.2, share=0.9, **others):
    return {
        "step": step, "kimg": step * 0.032, "loss/D": 0.7, "loss/G": 2.5,
        "score/real": real, "score/fake": fake, "spread/real": 0.36, "spread/fake": share * 0.36, **others,
    }  # fmt: skip


@functools.cache
def wave(step):
    """Noise that lasts for 50 steps, as of networks that learn from each other."""
    return Random(step // 50).gauss(0, 0.02) if step % 50 == 0 else wave(step - step % 50)


def well(step, **others):
    """The line of a run that goes well; its fakes begin grey."""
    values = {"real": 0.75 + wave(step), "fake": 0.2 - wave(step), "share": min(0.9, 0.2 + step / 1000)}
    return line(step, **(values | others))


@pytest.mark.parametrize(("score", "word"), [(0.001, "fake"), (0.999, "real")])
def test_a_d_that_gives_one_answer_to_everything_does_not_learn(score, word):
    monitor = HealthMonitor(run(400))
    for step in range(401, 1500):
        monitor.observe(well(step, real=score, fake=score))
    assert monitor.health.name == "stagnation"
    assert f"D takes everything for {word}" in monitor.health.words or "no longer learn" in monitor.health.words


def run(num_steps, tick=1, of=well, start=0):
    return [of(step) for step in range(start + tick, num_steps + 1, tick)]


def names(monitor, records):
    return [monitor.observe(record).name for record in records]


def changes(seen):
    return [after for before, after in pairwise(["good", *seen]) if after != before]


def failing(name):
    kinds = {
        "D has won": lambda step: well(step, real=0.99, fake=0.002),
        "collapse": lambda step: well(step, share=0.02),
        "stagnation": lambda step: line(step, real=0.4, fake=0.44, share=0.2),
        "not finite": lambda step: well(step, **{"loss/G": float("nan")}),
    }
    return kinds[name]


@pytest.mark.parametrize(("num_steps", "tick"), [(500, 1), (500, 100), (5000, 10), (50_000, 50), (500_000, 500)])
def test_a_run_that_learns_is_good_at_every_tick(num_steps, tick):
    assert set(names(HealthMonitor(), run(num_steps, tick))) == {"good"}


@pytest.mark.parametrize(("num_steps", "tick"), [(500, 1), (500, 50), (50_000, 50), (500_000, 500)])
@pytest.mark.parametrize("name", NAMES[1:])
def test_each_failure_is_named_in_short_and_long_runs_at_any_tick(name, num_steps, tick):
    assert changes(names(HealthMonitor(), run(num_steps, tick, failing(name)))) == [name]


@pytest.mark.parametrize("name", ["D has won", "collapse", "stagnation"])
@pytest.mark.parametrize("tick", [1, 20])
def test_a_failure_late_in_a_run_is_named_and_its_end_makes_it_good_again(name, tick):
    monitor = HealthMonitor()
    seen = names(monitor, [*run(3000, tick), *run(6000, tick, failing(name), 3000), *run(9000, tick, well, 6000)])
    assert changes(seen) == [name, "good"]
    assert seen[3000 // tick] == "good"  # not at once
    assert seen[-1] == "good"


def test_long_is_a_tenth_of_the_run_and_two_thousand_steps_at_most():
    found = []
    for start, tick in ((1000, 20), (10_000, 50), (400_000, 200)):
        seen = names(HealthMonitor(), [*run(start, tick), *run(start + 20_000, tick, failing("D has won"), start)])
        found.append(tick * (seen.index("D has won") - start // tick))
    assert 200 < found[0] < 800  # an average of 0.2 is down to 0.01 after three memories
    assert 2000 < found[1] < 8000
    assert 5000 < found[2] < 8000


@pytest.mark.parametrize("name", ["D has won", "collapse"])
def test_health_hardly_depends_on_the_tick_interval(name):
    steps = []
    for tick in (1, 10, 50):
        records = [*run(2000, tick), *run(4000, tick, failing(name), 2000)]
        steps.append(records[names(HealthMonitor(), records).index(name)]["step"])
    assert max(steps) - min(steps) <= 60


def test_d_ahead_in_the_first_steps_and_a_grey_g_are_no_failures():
    early = lambda step: well(step, real=0.97, fake=0.026 if step < 150 else 0.12)  # noqa: E731
    for tick in (1, 10, 100):
        assert set(names(HealthMonitor(), run(1000, tick, early))) == {"good"}
    grey = lambda step: well(step, share=0.17)  # noqa: E731
    assert set(names(HealthMonitor(), run(3000, 10, grey))) == {"good"}


def test_a_spell_shorter_than_the_memory_is_ignored():
    records = [*run(5000, 10), *run(5200, 10, failing("D has won"), 5000), *run(8000, 10, well, 5200)]
    assert set(names(HealthMonitor(), records)) == {"good"}


@pytest.mark.parametrize(
    ("name", "key", "low", "high"), [("D has won", "fake", 0.005, 0.018), ("collapse", "share", 0.01, 0.12)]
)
def test_a_run_on_the_edge_does_not_flicker(name, key, low, high):
    edge = lambda step: well(step, real=0.9 + wave(step), **{key: low if (step // 2000) % 2 else high})  # noqa: E731
    seen = names(HealthMonitor(), run(40_000, 10, edge))
    assert changes(seen) == [name]


def test_smoothed_labels_do_not_hide_that_d_has_won():
    seen = names(HealthMonitor(), run(1000, 10, lambda step: well(step, real=0.7, fake=0.005)))
    assert seen[-1] == "D has won"


def test_a_d_that_calls_everything_fake_has_not_won():
    seen = names(HealthMonitor(), run(1000, 10, lambda step: well(step, real=0.02 + wave(step) / 2, fake=0.01)))
    assert set(seen) == {"good", "stagnation"}


def test_d_has_won_comes_before_the_stillness_and_the_grey_that_follow_from_it():
    seen = names(HealthMonitor(), run(2000, 10, lambda step: line(step, real=1.0, fake=0.0, share=0.02)))
    assert changes(seen) == ["D has won"]


def test_a_collapse_that_has_come_to_rest_is_still_called_a_collapse():
    seen = names(HealthMonitor(), run(2000, 10, lambda step: line(step, real=0.4, fake=0.999, share=0.01)))
    assert changes(seen) == ["collapse"]


def test_a_d_that_takes_the_fakes_for_real_does_not_learn():
    monitor = HealthMonitor(run(1000, 10, lambda step: well(step, real=0.4, fake=0.95)))
    assert monitor.health.name == "stagnation"
    assert monitor.health.words == (
        "D takes the fakes for real rather than the images (D(x) 0.40, D(G(z)) 0.95): it does not learn"
    )
    behind = run(1000, 10, lambda step: well(step, real=0.45, fake=0.55 + wave(step)))
    assert set(names(HealthMonitor(), behind)) == {"good"}


def test_a_low_spread_is_a_collapse_only_after_a_fall():
    def low(first):
        return lambda step: well(step, share=first if step < 100 else 0.07)

    assert set(names(HealthMonitor(), run(3000, 10, low(first=0.08)))) == {"good"}  # a G that has not begun
    assert changes(names(HealthMonitor(), run(3000, 10, low(first=0.2)))) == ["collapse"]


def test_stagnation_is_seen_through_the_noise_of_the_mini_batches():
    noise = torch.Generator().manual_seed(0)
    jitter = lambda: torch.randn((), generator=noise).item()  # noqa: E731
    still = lambda step: line(step, real=0.4 + 0.02 * jitter(), fake=0.44 + 0.02 * jitter(), share=0.2)  # noqa: E731
    assert changes(names(HealthMonitor(), run(1500, 1, still))) == ["stagnation"]


@pytest.mark.parametrize(("batch_size", "name"), [(8, "stagnation"), (512, "good")])
def test_what_is_chance_in_small_batches_is_movement_in_large_ones(batch_size, name):
    restless = lambda step: line(step, real=0.7 + wave(step) / 10, kimg=step * batch_size / 1000)  # noqa: E731
    assert HealthMonitor(run(1000, 10, restless)).health.name == name


@pytest.mark.parametrize("moving", ["real", "fake", "share"])
def test_one_thing_that_moves_is_no_stagnation(moving):
    still = {"real": 0.7, "fake": 0.3, "share": 0.8}
    records = run(3000, 10, lambda step: line(step, **(still | {moving: still[moving] + wave(step)})))
    assert set(names(HealthMonitor(), records)) == {"good"}


@pytest.mark.parametrize(
    ("key", "value"),
    [*((key, float("nan")) for key in METRICS), ("loss/D", float("inf")), ("loss/G", -float("inf")), ("loss/D", None)],
)
def test_a_value_that_is_not_finite_is_named_at_once_and_spoils_no_average(key, value):
    monitor, spared = HealthMonitor(run(1000, 10)), HealthMonitor(run(1000, 10))
    health = monitor.observe(well(1010, **{key: value}))
    assert health.name == "not finite"
    assert health.words == "a loss, a score or a spread is no longer a number (step 1010)"
    assert monitor.observe(well(1020)).name == "good"
    spared.observe(well(1010))
    assert names(monitor, run(2000, 10, well, 1020)) == names(spared, run(2000, 10, well, 1010))[1:]


def test_lines_without_spreads_are_diagnosed_by_the_scores():
    def old(record):
        return {key: value for key, value in record.items() if not key.startswith("spread")}

    assert changes(names(HealthMonitor(), map(old, run(1000, 10, failing("D has won"))))) == ["D has won"]
    for silent in ("collapse", "stagnation"):
        assert set(names(HealthMonitor(), map(old, run(1000, 10, failing(silent))))) == {"good"}
    mixed = [*map(old, run(1000, 10)), *run(3000, 10, failing("collapse"), 1000)]
    assert changes(names(HealthMonitor(), mixed)) == ["collapse"]


def test_images_that_are_all_the_same_make_no_collapse():
    same = lambda step: well(step, **{"spread/real": 0.0, "spread/fake": 0.0})  # noqa: E731
    assert set(names(HealthMonitor(), run(1000, 10, same))) == {"good"}
    assert set(names(HealthMonitor(are_equal=True), run(1000, 10, same))) == {"equal images"}


def test_a_monitor_rebuilt_from_the_lines_continues_like_one_that_never_stopped():
    records = [
        *run(1000, 20), *run(2000, 20, failing("collapse"), 1000), *run(4000, 20, failing("stagnation"), 2000),
        *run(6000, 20, well, 4000),
    ]  # fmt: skip
    straight = HealthMonitor()
    healths = [straight.observe(record) for record in records]
    assert changes([health.name for health in healths]) == ["collapse", "good", "stagnation", "good"]
    on_disk = [json.dumps(record | {"health": health.name}) for record, health in zip(records, healths, strict=True)]
    for cut in range(0, len(records), 21):
        rebuilt = HealthMonitor(map(json.loads, on_disk[:cut]))
        assert [rebuilt.observe(record) for record in records[cut : cut + 40]] == healths[cut : cut + 40]
    assert HealthMonitor(map(json.loads, on_disk)).health == healths[-1]


def test_symptom_and_advice_are_one_line():
    seen = {name: HealthMonitor(run(1000, 10, failing(name))).health for name in NAMES[1:]}
    assert {health.name: health.words for health in seen.values()} == {
        "D has won": "D tells every fake from every image (D(x) 0.99, D(G(z)) 0.0020), and a D that is always right "
        "teaches G little",
        "collapse": "the fakes are nearly all the same image (their spread is 2 % of the real images')",
        "stagnation": "neither D nor G has changed for long (D(x) 0.40, D(G(z)) 0.44): they no longer learn",
        "not finite": "a loss, a score or a spread is no longer a number (step 1000)",
    }
    for name, health in seen.items():
        assert health.line == f"{name}: {health.words}; {ADVICE[name]}"
        assert "optimizer.lr_G" in health.advice or "lr_G" in health.advice


def test_only_the_line_where_the_name_changes_is_news():
    monitor = HealthMonitor()
    healths = [monitor.observe(record) for record in [*run(1000, 10, failing("collapse")), *run(3000, 10, well, 1000)]]
    news = [health for health in healths if health.changed]
    assert [health.name for health in news] == ["collapse", "good"]
    assert news[-1].line == "good again"
    assert news[-1].advice == ""


@pytest.mark.parametrize("name", NAMES[1:])
def test_the_settings_that_the_advice_names_exist(tiny, name):
    config = tiny().model_dump()
    words = ADVICE[name].replace(",", " ").replace("=", " ").split()
    settings = [word.strip(".;") for word in words if "." in word and word[0].isalpha()]
    assert settings
    for setting in settings:
        section, _, key = setting.partition(".")
        assert key in config[section]


def train(config, num_steps, *, spoil=lambda state: None):
    """The changes of health in a run that ticks at every step."""
    state = build_state(config, torch.device("cpu"))
    data = load(config.data, resolution=16, channels=3, at_least=8)
    loader = make_loader(data, state)
    spoil(state)
    monitor, seen = HealthMonitor(), []
    for step in range(num_steps):
        if seen and seen[-1] == "not finite":
            break
        training_step(state, loader.batch(step))
        means = state.means()
        state.sums.zero_()
        kimg = (step + 1) * config.train.batch_size / 1000
        seen.append(monitor.observe({"step": step + 1, "kimg": kimg, **means}).name)
    return changes(seen)


def no_latents(state):
    usual = state.G.forward
    state.G.forward = lambda z: usual(torch.ones_like(z))


@pytest.mark.parametrize(
    ("settings", "spoil", "healths"),
    [
        pytest.param((), lambda state: None, [], marks=pytest.mark.campaign),
        pytest.param(
            ("optimizer.lr_G=1e-6", "optimizer.lr_D=1e-3"),
            lambda state: None,
            ["D has won"],
            marks=pytest.mark.campaign,
        ),
        pytest.param((), no_latents, ["collapse"], marks=pytest.mark.campaign),
        (("optimizer.lr_G=1e30", "optimizer.lr_D=1e30"), lambda state: None, ["not finite"]),
    ],
    ids=["healthy", "G stands still", "G does not look at z", "rates far too high"],
)
def test_real_runs_get_the_right_health(tiny, store, settings, spoil, healths):
    config = tiny("optimizer.lr_G=4e-4", *settings, data=store(num=200))
    assert train(config, 310, spoil=spoil) == healths
