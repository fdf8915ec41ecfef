import json
import os
import signal
import socket
import subprocess
import sys
import time
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file

import facegan
from facegan import ema
from facegan.checkpoint import load_generator
from facegan.data.loader import InfiniteSampler, Loader
from facegan.data.packed.load import load
from facegan.errors import ConfigError, FaceganError
from facegan.reporter import Callbacks
from facegan.storage.run_dir import RunDir
from facegan.training import loop, trainer
from facegan.training.cuda_graph import graphed
from facegan.training.distributed import ALONE, Group, World, joined
from facegan.training.runtime import select_device
from facegan.training.state import build_state
from facegan.training.step import draw_latents, generate, spread
from facegan.training.trainer import resume
from facegan.training.worker import noise_seed, worker_loop

CPU = torch.device("cpu")
LOST = (
    "facegan: rank 0 of 2: another process of this run has ended, or cannot be reached any more; everything "
    "saved is valid: fix that, then continue with 'facegan resume'\n"
)


def free_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


class Pair:
    """Two processes as torchrun would start them, which do one job after the other."""

    def __init__(self, folder):
        self.folder, self.port = folder, free_port()
        self.log = (folder / "stderr.txt").open("wb")
        self.ranks = [self._start(rank) for rank in range(2)]

    def _start(self, rank):
        world = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": 2, "LOCAL_WORLD_SIZE": 2, "OMP_NUM_THREADS": 1}
        env = os.environ | {name: str(value) for name, value in world.items()}
        env |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(self.port)}
        env |= {"FACEGAN_CACHE": str(self.folder / "cache")}
        streams = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": self.log}
        script = str(Path(__file__).with_name("rank.py"))
        return subprocess.Popen([sys.executable, script], env=env, cwd=self.folder, text=True, **streams)

    def begin(self, *jobs):
        """Give each rank its job, or all the same one."""
        for rank, process in enumerate(self.ranks):
            process.stdin.write(json.dumps(jobs[rank % len(jobs)]) + "\n")
            process.stdin.flush()

    def answer(self, rank):
        return SimpleNamespace(**json.loads(self.ranks[rank].stdout.readline()))

    def command(self, *arguments):
        """What both say of a command."""
        self.begin({"arguments": [str(argument) for argument in arguments]})
        return self.answer(0), self.answer(1)

    def python(self, code):
        """The `result` of code, on both."""
        self.begin({"code": code})
        return self.answer(0).result, self.answer(1).result

    def close(self):
        for process in self.ranks:
            process.kill()
            process.wait()
            for stream in (process.stdin, process.stdout):
                with stream:
                    pass
        self.log.close()


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    started = []

    def make():
        if not started or any(process.poll() is not None for process in started[-1].ranks):
            started.append(Pair(tmp_path_factory.mktemp("pair")))
        return started[-1]

    yield make
    for pair in started:
        pair.close()


@pytest.fixture
def pair(pairs):
    """The two processes; started again if a test has ended one."""
    return pairs()


@pytest.fixture
def undrawn(monkeypatch):
    """Without the curves of a finished run, which take a second."""
    monkeypatch.setattr("facegan.training.trainer.finish", lambda *arguments, **options: None)


@pytest.fixture
def train(pair, tiny, tmp_path):
    """train("train.steps=2", run=folder) -> what both processes said; the configuration is that of `tiny`."""

    def make(*settings, run, begin=False):
        config = tiny(*settings)
        file = tmp_path / "config.json"
        file.write_text(config.to_json())
        arguments = ["train", "--config", str(file), "--run", str(run)]
        if begin:
            return pair.begin({"arguments": arguments})
        return pair.command(*arguments)

    return make


def newest(run):
    path = RunDir(run).latest("states")
    return load_file(path)


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


def descend(optimizer, losses):
    """One step along the mean of the gradients of the shards' losses, taken one after the other."""
    gradients = [torch.autograd.grad(loss, optimizer.parameters) for loss in losses]
    for parameter, one, two in zip(optimizer.parameters, *gradients, strict=True):
        parameter.grad = (one + two) / 2
    optimizer.step()


def shards_in_turn(config, num_steps):
    """One process that runs the two shards of each batch one after the other: its state, and each step's metrics."""
    data = load(config.data, resolution=16, channels=3)
    state = build_state(config, CPU)
    other = deepcopy(state.noise)
    size = config.train.batch_size
    parts = [
        Loader(
            data.images,
            InfiniteSampler(len(data), batch_size=size, seed=config.seed, shard=(rank, 2)),
            memory_format=torch.channels_last,
        )
        for rank in range(2)
    ]
    rows = []
    for step in range(num_steps):
        other.manual_seed(noise_seed(config.seed, 1, step))
        reals = [part.batch(step) for part in parts]
        fakes = []
        for noise in (state.noise, other):
            state.noise, kept = noise, state.noise
            fakes.append(generate(state, draw_latents(state, size // 2)))
            state.noise = kept
        logits = [(state.D(real), state.D(fake.detach())) for real, fake in zip(reals, fakes, strict=True)]
        terms = [state.loss.discriminator(*pair) for pair in logits]
        descend(state.opt_D, [term.real + term.fake for term in terms])
        losses_G = [
            state.loss.generator(state.D(fake), real.detach()) for fake, (real, _) in zip(fakes, logits, strict=True)
        ]
        descend(state.opt_G, losses_G)
        each = [
            torch.stack([term.real + term.fake, loss_G, real.sigmoid().mean(), spread(fake)]).detach()
            for term, loss_G, (real, _), fake in zip(terms, losses_G, logits, fakes, strict=True)
        ]
        weight = ema.weight(config.ema.half_life_kimg, torch.tensor((step + 1) * size), size)
        ema.update(state.G_ema, state.G, weight)
        rows.append(((each[0] + each[1]) / 2).tolist())
    return state, rows


def test_two_processes_learn_what_one_does_that_runs_their_shards_one_after_the_other(train, tiny, tmp_path):
    settings = "train.steps=2", "output.tick_every=1"
    leader, follower = train(*settings, run=tmp_path / "two")
    assert (leader.code, follower.code) == (0, 0), leader.err
    assert f"{tmp_path / 'two'}: 2 steps on 20 images, 2 processes on cpu\n" in leader.err
    assert (follower.out, follower.err) == ("", "")
    state, rows = shards_in_turn(tiny(*settings), 2)
    found = newest(tmp_path / "two")
    for name in ("G", "D", "G_ema"):
        for key, value in getattr(state, name).named_parameters():
            assert torch.allclose(found[f"{name}.{key}"], value, rtol=0, atol=1e-7), key
    lines = [json.loads(line) for line in (tmp_path / "two" / "metrics.jsonl").read_text().splitlines()]
    for line, row in zip(lines, rows, strict=True):
        keys = "loss/D", "loss/G", "score/real", "spread/fake"
        assert [line[key] for key in keys] == pytest.approx(row, rel=1e-5)
    assert [line["kimg"] for line in lines] == [0.008, 0.016]
    assert json.loads((tmp_path / "two" / "environment.json").read_text())["processes"] == 2


def test_a_run_of_two_goes_on_with_two_to_the_bit_and_with_another_number_on_the_same_images(pair, train, tmp_path):
    straight, broken = tmp_path / "straight", tmp_path / "broken"
    train("train.steps=3", "data.mirror=true", run=straight)
    train("train.steps=2", "data.mirror=true", run=broken)
    leader, follower = pair.command("resume", broken, "--steps", 3)
    assert (leader.code, follower.code, follower.err) == (0, 0, ""), leader.err
    assert same(newest(straight), newest(broken))

    done = pair.command("resume", broken)
    assert [each.code for each in done] == [0, 0], [each.err for each in done]
    assert "finished already" in done[0].err and done[1].err == ""

    said = []
    assert resume(RunDir(broken), {"train": {"steps": 4}}, reporter=Callbacks(line=said.append))
    assert said[0] == f"{broken}: continues with 1 processes instead of 2: on the same images, with other noise"
    leader, _ = pair.command("resume", broken, "--steps", 5)
    assert "continues with 2 processes instead of 1: " in leader.err
    assert load_generator(RunDir(broken).latest("snapshots")).sample([0]).isfinite().all()


GROUP = """
import torch
from facegan.training.distributed import joined

with joined() as world:
    rank, laid = world.rank, torch.arange(24.0).reshape(1, 2, 3, 4).contiguous(memory_format=torch.channels_last)
    shared = world.broadcast(f"from {rank}")
    world.start(world.device("auto" if torch.cuda.is_available() is False else "cpu"))
    two = [laid * (1 + 2 * rank), torch.tensor([float(rank), 5.0])]
    strides = [each.stride() for each in two]
    world.average(two)
    kept = strides == [each.stride() for each in two] and torch.equal(two[0], laid * 2)
    bad = torch.tensor([float("nan") if rank else 1.0, 1.0])
    world.average([bad])
    result = [rank, shared, kept, two[1].tolist(), bad.isnan().tolist(), world.any_stops(rank == 1), world.any_stops()]
"""


def test_tensors_are_averaged_in_their_places_and_a_nan_or_a_request_to_stop_reaches_all(pair):
    agreed = ["from 0", True, [0.5, 5.0], [True, False], True, False]
    assert pair.python(GROUP) == ([0, *agreed], [1, *agreed])


EQUAL = """
import hashlib
import torch
import facegan
from facegan.training import trainer, worker

digests = []

def weighed(steps):
    def inner(first, state, *others, **more):
        ended = steps(first, state, *others, **more)
        tensors = [*state.G.parameters(), *state.D.parameters(), *state.G_ema.parameters(), state.count]
        tensors += [*state.opt_G.tensors().values(), *state.opt_D.tensors().values()]
        content = b"".join(each.detach().contiguous().numpy().tobytes() for each in tensors)
        digests.append(hashlib.sha256(content).hexdigest())
        return ended
    return inner

loops = worker.worker_loop, trainer._run_loop
worker.worker_loop, trainer._run_loop = map(weighed, loops)
try:
    trained = [facegan.train(**ARGUMENTS, steps=steps, run=f"{RUN}-{steps}") for steps in (1, 3)]
finally:
    worker.worker_loop, trainer._run_loop = loops
result = [digests, [str(each.path) for each in trained], [each.finished for each in trained]]
"""


def test_from_python_both_processes_have_the_run_and_equal_weights(pair, tiny, tmp_path):
    (tmp_path / "config.json").write_text(tiny("output.tick_every=2").to_json())
    about = f"ARGUMENTS = dict(config={str(tmp_path / 'config.json')!r})\nRUN = {str(tmp_path / 'run')!r}\n"
    leader, follower = pair.python(about + EQUAL)
    assert leader == follower
    digests, paths, finished = leader
    assert len(set(digests)) == 2
    assert paths == [str(tmp_path / "run-1"), str(tmp_path / "run-3")] and finished == [True, True]


def test_a_mistake_is_reported_once_and_ends_both_with_its_code(pair, train, tiny, tmp_path):
    leader, follower = pair.command("train", "--set", "train.batchsize=3")
    assert (leader.code, follower.code) == (2, 2)
    assert leader.err == "facegan: config: no setting 'train.batchsize'; did you mean 'batch_size'?\n"
    assert follower.err == ""

    leader, follower = train("train.batch_size=7", run=tmp_path / "odd")
    assert (leader.code, follower.code, follower.err) == (2, 2, "")
    assert leader.err == (
        "facegan: train.batch_size is 7, for 2 processes; it must be a multiple of 2, at least 2 images each\n"
    )

    (tmp_path / "config.json").write_text(tiny().to_json())
    arguments = ["train", "--config", str(tmp_path / "config.json"), "--run", str(tmp_path / "odd"), "--seed"]
    fine, wrong = ([*arguments, seed] for seed in ("1", "-1"))
    pair.begin({"arguments": fine}, {"arguments": wrong})
    leader, follower = pair.answer(0), pair.answer(1)
    assert (leader.code, follower.code, leader.err) == (2, 2, "")
    assert follower.err.startswith("facegan: config: seed") and len(follower.err.splitlines()) == 1
    assert not (tmp_path / "odd").exists()

    plan = pair.command("train", "--dry-run", "--json", "--steps", 2, "--device", "cpu")
    assert json.loads(plan[0].out)["num_steps"] == 2
    assert (plan[0].code, plan[1].code, plan[1].out, plan[1].err) == (0, 0, "", "")


def test_a_loss_that_is_not_finite_is_reported_by_rank_0_and_ends_both(train, tmp_path):
    leader, follower = train("train.steps=50", "optimizer.lr_D=1e30", run=tmp_path / "run")
    assert (leader.code, follower.code, follower.err) == (1, 1, "")
    assert "the loss is not finite" in leader.err


def wait_for(path, num_lines=1):
    end = time.monotonic() + 600  # no test should wait so long; a hang must end
    while not (path.exists() and len(path.read_text().splitlines()) >= num_lines):
        assert time.monotonic() < end, path
        time.sleep(0.05)


def test_a_signal_to_all_saves_once_and_one_to_any_stops_all(pair, train, tmp_path):
    long = "train.steps=100000", "output.tick_every=1"
    train(*long, run=tmp_path / "all", begin=True)
    wait_for(tmp_path / "all" / "metrics.jsonl")
    for process in pair.ranks:
        process.send_signal(signal.SIGTERM)
    leader, follower = pair.answer(0), pair.answer(1)
    assert (leader.code, follower.code, follower.err) == (143, 143, "")
    (step,) = RunDir(tmp_path / "all").steps("states")
    assert f"saved at step {step}; continue with: facegan resume {tmp_path / 'all'}\n" in leader.err
    assert newest(tmp_path / "all")["sums"][-1] == 0

    train(*long, run=tmp_path / "any", begin=True)
    wait_for(tmp_path / "any" / "metrics.jsonl")
    pair.ranks[1].send_signal(signal.SIGTERM)
    leader, follower = pair.answer(0), pair.answer(1)
    assert (leader.code, follower.code) == (0, 143)
    assert len(RunDir(tmp_path / "any").steps("states")) == 1


@pytest.mark.integration
def test_torchrun_starts_two_and_ends_them_on_a_signal(tiny, tmp_path):
    (tmp_path / "config.json").write_text(tiny("train.steps=100000", "output.tick_every=1").to_json())
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "--"]
    command += ["facegan", "train", "--config", "config.json", "--run", "runs/two"]
    with (tmp_path / "stderr.txt").open("wb") as log:
        process = subprocess.Popen(command, cwd=tmp_path, stderr=log, stdout=log)
        run = tmp_path / "runs" / "two"
        try:
            wait_for(run / "metrics.jsonl")
            process.send_signal(signal.SIGTERM)
            assert process.wait() != 0
        finally:
            process.kill()
            process.wait()
    assert len(RunDir(run).steps("states")) == 1
    log = (tmp_path / "stderr.txt").read_text()
    assert log.count("saved at step") == 1


@pytest.mark.integration
def test_a_run_whose_process_is_killed_is_continued_by_torchruns_restart(tiny, tmp_path):
    script = """
import os, signal, sys, facegan
def die(line):
    if os.environ["TORCHELASTIC_RESTART_COUNT"] == "0" and getattr(line, "step", 0) == 4:
        os.kill(os.getpid(), signal.SIGKILL)
facegan.train(config="config.json", run="runs/two", report=die)
"""
    settings = ("train.steps=8", "output.tick_every=1", "output.state_every=2")
    (tmp_path / "config.json").write_text(tiny(*settings).to_json())
    (tmp_path / "script.py").write_text(script)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command += ["--max-restarts", "1", "script.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert RunDir(tmp_path / "runs" / "two").steps("states")[-1] == 8
    assert [record["step"] for record in RunDir(tmp_path / "runs" / "two").read_metrics()] == [*range(1, 9)]


@pytest.mark.parametrize("named", [True, False])
def test_a_command_that_torchrun_starts_again_continues_its_own_run_alone(
    tiny, tmp_path, monkeypatch, undrawn, after, named
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config.json").write_text(tiny("train.steps=5").to_json())
    options = {"config": "config.json", **({"run": "runs/named"} if named else {})}
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "0")
    begun = facegan.train(**options, stop=after(2))
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "1")
    said = []
    assert facegan.train(**options, report=said.append, stop=after(2)) == replace(begun, finished=False)
    assert f"{begun.path}: torchrun has started this command again; the run continues" in said
    assert facegan.train(**options) == replace(begun, finished=True)
    assert RunDir(begun.path).steps("states")[-1] == 5

    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "another")
    if named:
        with pytest.raises(FaceganError, match="exists already"):
            facegan.train(**options)
    else:
        assert facegan.train(**options, stop=after(1)).path != begun.path


def test_a_process_on_its_own_costs_and_changes_nothing(tiny, monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    gradient = torch.tensor([3.0, float("nan")])
    with joined() as world:
        assert world is ALONE and world.is_main
        world.start(CPU)
        world.average([gradient])
        assert (world.broadcast("word"), world.any_stops(), world.any_stops(True)) == ("word", False, True)
        assert select_device(tiny("train.batch_size=7"), world) == CPU
    assert gradient[0] == 3


@pytest.mark.parametrize(
    ("rank", "local", "given"),
    [("2", "0", "RANK=2, WORLD_SIZE=2, LOCAL_RANK=0"), ("0", "", "RANK=0, WORLD_SIZE=2, LOCAL_RANK=,")],
)
def test_an_incomplete_environment_is_refused(monkeypatch, rank, local, given):
    for name, value in {"RANK": rank, "WORLD_SIZE": "2", "LOCAL_RANK": local, "LOCAL_WORLD_SIZE": "2"}.items():
        monkeypatch.setenv(name, value)
    with (
        pytest.raises(ConfigError, match="describes no group of processes") as refusal,
        joined(),
    ):
        pass
    assert given in str(refusal.value) and str(refusal.value).endswith("; start them with torchrun")


def test_batch_norm_over_all_processes_is_refused_where_it_cannot_be(tiny):
    with pytest.raises(FaceganError) as refusal:
        select_device(tiny("train.sync_batch_norm=true"), ALONE)
    assert str(refusal.value) == (
        "train.sync_batch_norm: is for cuda, and this is cpu; without it each process's batch norm is over its own "
        "images"
    )


REFUSED = """
import os
from types import SimpleNamespace
import facegan
from facegan.errors import FaceganError
from facegan.training import worker

versions, load, result = worker.VERSIONS, worker.load, []
others = ["0", "1"], versions
loads = load, lambda *arguments, **options: SimpleNamespace(digest="others")
try:
    for case in range(2):
        if os.environ["RANK"] == "1":
            worker.VERSIONS, worker.load = others[case], loads[case]
        try:
            facegan.train(config=CONFIG, run=RUN)
        except FaceganError as error:
            result.append([type(error).__name__, str(error), error.exit_code])
finally:
    worker.VERSIONS, worker.load = versions, load
"""


def test_a_process_of_other_versions_or_images_ends_all_before_anything_is_written(pair, tiny, tmp_path):
    config = tiny()
    (tmp_path / "config.json").write_text(config.to_json())
    about = f"CONFIG, RUN = {str(tmp_path / 'config.json')!r}, {str(tmp_path / 'run')!r}\n"
    leader, follower = pair.python(about + REFUSED)
    failed = ["PeerFailedError", "another process of this run has failed and reports the reason", 2]
    assert leader == [failed, failed]
    ours = f"{facegan.__version__} and {torch.__version__}"
    assert follower == [
        ["ConfigError", f"rank 1: has facegan 0 and torch 1, rank 0 has {ours}; install the same", 2],
        ["DataError", f"rank 1: {config.data.source}: holds other images here than for rank 0", 2],
    ]
    assert not (tmp_path / "run").exists()


@pytest.fixture
def second(monkeypatch):
    """second(num_gpus): the second of two processes of a machine, as far as its device goes."""

    def make(num_gpus):
        monkeypatch.setattr("facegan.devices.resolve_device", torch.device)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: num_gpus)
        group = object.__new__(Group)
        group.rank, group._local_rank, group._local_size = 1, 1, 2
        return group

    return make


def test_each_process_of_a_machine_takes_its_own_gpu(second):
    assert second(2).device("cuda") == torch.device("cuda:1")
    assert second(2).device("cpu") == CPU


@pytest.mark.parametrize(
    ("name", "refusal"),
    [
        ("mps", "--device mps: only one process can train on mps; start one, or use --device cpu"),
        (
            "cuda:1",
            "--device cuda:1: 2 processes of this machine would share it; with --device cuda each takes its own",
        ),
        (
            "cuda",
            f"--device cuda: 2 processes on this machine need as many GPUs, and torch {torch.__version__} sees 1; give "
            "--nproc-per-node as many",
        ),
    ],
)
def test_a_device_that_processes_cannot_share_is_refused(second, name, refusal):
    with pytest.raises(ConfigError) as raised:
        second(1).device(name)
    assert str(raised.value) == refusal


def test_averages_of_gpus_are_given_up_after_minutes_and_all_else_after_hours(second, monkeypatch):
    made = []
    monkeypatch.setattr("torch.distributed.new_group", lambda **options: made.append(options))
    monkeypatch.setattr("torch.distributed.is_nccl_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "set_device", lambda device: None)
    monkeypatch.setattr(Group, "any_stops", lambda self: False)
    for device in (torch.device("cuda:0"), CPU):
        group = second(1)
        group._backend = "gloo"
        group.start(device)
    assert [(each["backend"], each["timeout"].total_seconds()) for each in made] == [("nccl", 600), ("gloo", 7200)]


def test_no_step_begins_before_all_processes_have_finished_with_the_one_before(tiny, tmp_path, monkeypatch, undrawn):
    calls = []

    class Watched(World):
        def any_stops(self, stop=False):
            calls.append("meet")
            return stop

    step = loop.training_step
    monkeypatch.setattr(loop, "training_step", lambda *args: (calls.append("step"), step(*args)))
    trainer.train(tiny("train.steps=2"), RunDir(tmp_path / "run"), world=Watched())
    assert calls == ["meet", "step", "meet"] * 2
    calls.clear()
    data = load(tiny().data, resolution=16, channels=3, at_least=8)
    worker_loop(data, build_state(tiny("train.steps=2"), CPU, Watched()), lambda: False)
    assert calls == ["meet", "step", "meet"] * 2


def test_on_cuda_steps_of_several_processes_are_not_captured(tiny):
    said = []
    state = SimpleNamespace(device=torch.device("cuda"), config=tiny(), world=SimpleNamespace(size=2))
    assert graphed(print, state, Callbacks(line=said.append)) is print
    assert said == ["train.capture: is for one process; steps of several are launched kernel by kernel"]


# The last test that needs both processes: it ends one of them.
@pytest.mark.integration
def test_when_one_process_is_killed_the_other_says_so_and_the_run_can_be_resumed(pair, train, undrawn, tmp_path):
    train("train.steps=100000", "output.tick_every=1", "output.state_every=2", run=tmp_path / "run", begin=True)
    wait_for(tmp_path / "run" / "metrics.jsonl", 3)
    pair.ranks[1].kill()
    leader = pair.answer(0)
    assert leader.code == 1
    assert leader.err.endswith(LOST)
    step = RunDir(tmp_path / "run").steps("states")[-1]
    assert resume(RunDir(tmp_path / "run"), {"train": {"steps": step + 1}}) is True
