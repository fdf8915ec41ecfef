"""One run that meets fault after fault, is resumed each time, and is compared with one that was left alone."""

import json
import os
import random
import re
import signal
import time
from pathlib import Path

import damage
from comparing import differences
from faults import FILLER, Fault, Shared, begin, make_room
from plans import Size, draw_fault, draw_plan

HUNG_SECONDS = 120.0
KILLED = (-signal.SIGKILL, -signal.SIGXFSZ)
STOPPED = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 129}
DAMAGES = ("state", "state", "snapshot", "metrics", "metrics", "temporary", "power", "power")


class LostError(Exception):
    """A run that could not go on, or came out otherwise (`differs`)."""

    def __init__(self, text, *, differs=False):
        super().__init__(text)
        self.differs = differs


class Trial:
    """A run and what befalls it."""

    def __init__(self, folder, rng, harness, *, small_disk):
        self.folder, self.rng, self.harness, self.small_disk = folder, rng, harness, small_disk
        self.path, self.output = folder / "faces", folder / "output"
        self.shared, self.other = Shared(), Shared()
        self.faults, self.events = [], []  # what came, by its label; the same as a story
        self.torn = {}  # damaged files, and what they held when they were damaged
        self.reached = 0  # steps trained
        self.damaged = False  # whether a state was, since the last start
        self.loose = False  # whether states and snapshots may be of other steps than the undisturbed run's
        self.environment = [("FACEGAN_CACHE", str(folder / "cache"))] if rng.random() < 0.1 else []
        folder.mkdir(parents=True)

    def run(self):
        """Raises LostError."""
        plan_number = self.rng.randrange(self.harness.num_plans)
        self.plan = draw_plan(random.Random(f"{self.harness.seed}-plan-{plan_number}"))
        self.whole, self.size = straight(self.plan, self.harness, plan_number)
        left = self.rng.randint(2, 9)
        for target in (self.plan.steps, self.plan.extended):
            while target:
                disturbed = len(self.faults) < left
                if self.once(target, disturbed):
                    break
        found = [f"{path.name}: damaged, and not put aside" for path in self.torn if self.is_torn(path)]
        found += differences(self.whole, self.path, loose=self.loose)
        if found:
            raise LostError("; ".join(found), differs=True)

    def once(self, target, disturbed):
        """One process; whether it brought the run to its end."""
        states = self.intact()
        arguments = self.command(target, states)
        before = max(states, default=0) if arguments[0] == "resume" else 0
        fault = Fault()
        if disturbed:
            share = 1 - before / target
            fault = draw_fault(self.rng, self.size, share, small_disk=self.small_disk)
        self.events.append(f"{arguments[0]} from {before}: {fault.kind} {fault.on}{fault.at}")
        said_from, self.other.step = self.said(), 0
        if fault.kind == "two":
            code = self.two(arguments, said_from)
        else:
            process = begin(arguments, self.output, fault, self.folder, self.shared, environment=self.environment)
            if fault.kind in ("limit", "disk"):
                code = self.wait_and_make_room(process, fault)
            else:
                code = wait(process, fault.seconds if fault.kind == "time" else None)
        said = self.output.read_text(errors="replace")[said_from:]
        self.events[-1] += f" -> {code}, reached {self.shared.step}"
        self.check_start(said, before)
        self.reached = max(self.shared.step, self.other.step, before)
        self.judge(fault, code, said, target)
        if code in KILLED:
            self.after_kill()
        return code == 0 and self.steps_of_config() == target

    def command(self, target, states):
        """What a person would type now."""
        if not (self.path / "config.json").exists():
            return self.plan.train(self.path)
        if not states and (self.torn or self.rng.random() < 0.3):  # nothing is there to go on from
            return [*self.plan.train(self.path), "--force"]
        longer = ["--steps", target] if self.steps_of_config() != target else []
        return ["resume", self.path, *longer]

    def check_start(self, said, before):
        """That a resume went on from the newest whole state, and lost no more than the steps since."""
        start = re.search(r"from step (\d+) to", said)
        if not start:
            return
        if int(start[1]) != before:
            raise LostError(f"resumed from step {start[1]}, though the state of step {before} is whole")
        lost = self.reached - before
        name = "after damage to the newest state" if self.damaged else "after a kill"
        self.harness.lost_steps[name] = max(self.harness.lost_steps[name], lost)
        if lost > 2 * self.plan.state_every and not self.damaged:  # one state may be on its way to the disk
            raise LostError(f"lost {lost} steps, with a state every {self.plan.state_every}")
        self.damaged = False

    def judge(self, fault, code, said, target):
        """Count the fault if it came; raises LostError when the process ended otherwise than it should."""
        struck = bool(self.shared.struck)
        if code is None:
            raise LostError(f"hung for {HUNG_SECONDS:.0f} s: {said[-500:]}")
        if "Traceback" in said or code in (98, 99):
            raise LostError(f"a traceback: {said[-1500:]}")
        if fault.kind in ("time", "event", "write"):
            expected = (0, *KILLED)
            came = code in KILLED
        elif fault.kind == "signal":
            number = fault.signals[0]
            expected, came = ((0, STOPPED[number], -number) if struck else (0,)), struck
            self.loose |= struck
            saved = re.search(r"saved at step (\d+)", said)
            if saved and int(saved[1]) != self.reached:
                raise LostError(f"saved at step {saved[1]} after step {self.reached}")
        elif fault.kind in ("limit", "disk"):
            # A command may give up before its first step, and when all is saved; while it trains it may not.
            idle = self.shared.step == 0 or max(self.intact(), default=0) == target
            expected, came = ((0, 1) if struck and idle else (0,)), struck
            self.loose |= struck  # what was put off is saved between the intervals
        elif fault.kind == "two":
            return
        else:
            expected, came = (0,), fault.kind != "none" and struck
        (self.folder / FILLER).unlink(missing_ok=True)
        if code not in expected:
            raise LostError(f"exit code {code} after {fault.kind}: {said[-700:]}")
        if came:
            self.faults.append(fault.label)

    def wait_and_make_room(self, process, fault):
        """A process's exit code; its fault is ended a while after it came."""
        began = time.monotonic()
        while not self.shared.struck and time.monotonic() - began < HUNG_SECONDS:
            if os.waitid(os.P_PID, process, os.WEXITED | os.WNOHANG | os.WNOWAIT):
                return wait(process)
            time.sleep(0.002)
        time.sleep(fault.seconds)
        if not os.waitid(os.P_PID, process, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            make_room(process, self.folder)
        return wait(process)

    def two(self, arguments, said_from):
        """Two processes on one run folder: at most one may work on it."""
        first = begin(arguments, self.output, Fault(), self.folder, self.shared, environment=self.environment)
        if self.rng.random() < 0.6:  # not at the same moment
            time.sleep(self.rng.uniform(0, 1.0))
        second_output = self.folder / "second"
        second_output.unlink(missing_ok=True)
        second = begin(arguments, second_output, Fault(), self.folder, self.other, environment=self.environment)
        kill_one = self.rng.random() < 0.5
        codes = [wait(first, self.rng.uniform(0, 2.0) if kill_one else None), wait(second)]
        said = second_output.read_text(errors="replace")
        self.events[-1] += f" (two: {codes})"
        if None in codes or "Traceback" in said or not set(codes) <= {0, 2, *KILLED}:
            raise LostError(f"two processes ended with {codes}: {said[-700:]}")
        said += self.output.read_text(errors="replace")[said_from:]
        if codes == [0, 0] and "finished already" not in said:
            raise LostError("two processes wrote one run at once")
        self.faults.append("two processes on one run")
        return 0 if 0 in codes else codes[0]

    def after_kill(self):
        """Sometimes the files suffer too, as when the power fails."""
        if self.rng.random() > 0.45:
            return
        kind = self.rng.choice(DAMAGES)
        done = None
        if kind in ("state", "snapshot"):
            files = damage.files(self.path, f"{kind}s")
            if files:
                newest = files[max(files)]
                done = damage.tear(newest, self.rng)
                if done:
                    self.torn[newest] = newest.read_bytes()
                    self.damaged |= kind == "state"
                    self.loose = True  # other files are kept in its stead
        elif kind == "metrics":
            done = damage.tear_metrics(self.path, self.rng)
        elif kind == "temporary":
            done = damage.leave_partial(self.path, self.rng)
        else:
            done = damage.lose_power(self.path, f"{self.output}.journal", self.rng)
        if done:
            names = {"state": "newest state", "snapshot": "newest snapshot", "metrics": "end of metrics.jsonl"}
            label = {"temporary": "partial temporary file", "power": "power loss: the unsynced lost"}.get(kind)
            self.faults.append(label or f"{names[kind]} {done}")
            self.events.append(self.faults[-1])

    def intact(self):
        """The states that no damage was done to."""
        return {step: path for step, path in damage.files(self.path, "states").items() if not self.is_torn(path)}

    def is_torn(self, path):
        return path in self.torn and path.exists() and path.read_bytes() == self.torn[path]

    def steps_of_config(self):
        """The length that the run's configuration now names."""
        try:
            return json.loads((self.path / "config.json").read_text())["train"]["steps"]
        except FileNotFoundError:
            return 0

    def said(self):
        return len(self.output.read_text(errors="replace")) if self.output.exists() else 0

    def journal(self):
        return [line for line in Path(f"{self.output}.journal").read_text().splitlines() if not line.startswith("sync")]

    def story(self):
        """What befell the run, in order."""
        return "\n  ".join([str(self.plan), *self.events, *self.journal()[-3:]])


def straight(plan, harness, number):
    """The same run undisturbed, made when it is first asked for: its folder and its size."""
    if number not in harness.straights:
        folder = harness.folder / f"straight-{number}"
        folder.mkdir()
        run, shared, size = folder / "faces", Shared(), Size()
        for command in plan.commands:
            arguments = [run if word == "RUN" else word for word in command]
            began = time.monotonic()
            code = wait(begin(arguments, folder / "output", Fault(), folder, shared))
            if code != 0:
                raise SystemExit(f"the undisturbed run failed: {(folder / 'output').read_text()}")
            size.seconds, size.events = max(size.seconds, time.monotonic() - began), max(size.events, shared.events)
        size.largest_bytes = max(path.stat().st_size for path in run.rglob("*") if path.is_file())
        harness.straights[number] = run, size
    return harness.straights[number]


def wait(process, seconds=None):
    """A process's exit code, or minus the signal that ended it; killed after `seconds`. None: it hung."""
    began, hung = time.monotonic(), False
    while True:
        done, status = os.waitpid(process, os.WNOHANG)
        if done:
            return None if hung else os.waitstatus_to_exitcode(status)
        waited = time.monotonic() - began
        if waited > (HUNG_SECONDS if seconds is None else seconds):
            hung = seconds is None
            os.kill(process, signal.SIGKILL)
            os.waitpid(process, 0)
            return None if hung else -signal.SIGKILL
        time.sleep(0.002)
