"""What may crash or hang, tried in a child process (`child`), and what that showed."""

import json
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from typing import Any

from ..plugins import KINDS, Plugin, claims, unreadable
from .check import Check, Status, install, shortened
from .machine import installed_version, nvidia_driver

# The child finds what this process finds, in the same order.
START = (
    "import json, sys; given = json.loads(sys.argv[1]); sys.path[:] = given['path']; "
    "from facegan.doctor.child import main; main(given['skip'])"
)


@dataclass
class Findings:
    """What the attempts of the child answered, each by its name.

    Attributes:
        answers: An attempt's answer; one that failed or that ended the child has the key `error`.
    """

    answers: dict[str, dict[str, Any]] = field(default_factory=dict)

    def of(self, name: str) -> dict[str, Any]:
        """An attempt's answer."""
        return self.answers.get(name, {"error": "not tried"})

    @property
    def torch_works(self) -> bool:
        """Whether torch can be imported and tells of its devices; if not, nothing else was attempted."""
        return "error" not in self.of("torch")

    @property
    def needed_bytes(self) -> int:
        """What a run of the default settings keeps; 0 when it could not be found out."""
        return int(self.of("facegan").get("run_bytes", 0))


def run(limit_seconds: float) -> Findings:
    """Make all attempts; after one that ends the child, or hangs, another child makes the rest.

    Args:
        limit_seconds: For each child.
    """
    found = Findings()
    while True:
        begun, ended = _start(list(found.answers), found, limit_seconds)
        if not ended:
            return found
        found.answers[begun or "torch"] = {"error": ended}  # between two attempts, only torch is at work
        if begun in ("", "torch"):
            return found


def look_at_torch(found: Findings) -> list[Check]:
    """Whether torch, and all that facegan imports with it, works; torchvision; packages whose records are damaged."""
    torch = found.of("torch")
    if "error" in torch:
        found_words = f"does not work, so that neither devices nor plugins were tried: {torch['error']}"
        # At import, torch reads the entry points of all packages, and fails at a damaged one.
        mend = "mend the damaged package first" if unreadable() else f"run: {install('torch')}"
        return [*_damaged("wrong"), Check("torch", found_words, status="wrong", mend=mend)]
    builds = {"CUDA": torch["cuda"], "ROCm": torch["hip"], "cuDNN": torch["cudnn"]}
    words = [f"{name} {version}" for name, version in builds.items() if version] or ["for the CPU alone"]
    checks = [Check("torch", f"{torch['version']}, {', '.join(words)}", facts=torch)]
    facegan = found.of("facegan")
    if "error" in facegan:
        mend = f"reinstall the package that is named; or: {install('facegan')}"
        checks.append(Check("facegan", f"cannot start: {facegan['error']}", status="wrong", mend=mend))
    return [*checks, _torchvision(found.of("torchvision"), torch["version"]), *_damaged("warning")]


def look_at_devices(found: Findings) -> list[Check]:
    """Every device of torch, the types in which it computes, and a GPU that torch does not see."""
    if not found.torch_works:
        return []
    chosen = found.of("facegan").get("device", "cpu")
    precision = found.of("facegan").get("precision", {})
    checks = []
    for attempt, answer in found.answers.items():
        if attempt.startswith("device "):
            name = attempt.removeprefix("device ")
            checks.append(_device(name, answer, precision.get(name, "?"), default=name == chosen))
    torch = found.of("torch")
    if not torch["num_cuda_devices"] and (nvidia_driver() or shutil.which("nvidia-smi")):
        built = torch["cuda"] or torch["hip"]
        mend = "see what 'nvidia-smi' and CUDA_VISIBLE_DEVICES say" if built else "install the build of torch for CUDA"
        why = shortened(torch["warning"]) or ("" if built else "this build of torch is for the CPU alone")
        found_words = "an NVIDIA driver is here, but torch sees no GPU" + (f" ({why})" if why else "")
        checks.append(Check("devices", found_words, status="warning", mend=mend))
    return checks


def look_at_plugins(found: Findings) -> list[Check]:
    """How many plugins load, and each that does not."""
    if not found.torch_works:
        return []
    parts = {f"{kind} '{name}'": owners for kind in KINDS for name, owners in claims(kind).items()}
    reasons = {name: why for name in parts if (why := _reason(found.of(name)))}
    foreign = sum(not _is_built_in(owners[0]) for owners in parts.values())
    words = f"{len(parts) - foreign} built in, {foreign} installed"
    words += "; all load" if not reasons else f"; {len(reasons)} cannot be loaded"
    facts = {name: {"origin": owners[0].origin, "reason": reasons.get(name)} for name, owners in parts.items()}
    broken = [_broken(name, parts[name], why) for name, why in reasons.items()]
    return [Check("plugins", words, facts=facts), *broken]


def _start(skip: list[str], found: Findings, limit_seconds: float) -> tuple[str, str]:
    """Run a child. Returns what it had begun when it ended too soon, and how it ended; twice '' when it got through."""
    given = json.dumps({"path": [str(folder) for folder in sys.path], "skip": skip})
    ended = ""
    try:
        # Killed, and waited for, on any exception here, Ctrl-C among them.
        done = subprocess.run(
            [sys.executable, "-c", START, given], stdin=subprocess.DEVNULL, capture_output=True, timeout=limit_seconds
        )
        out = done.stdout
        if done.returncode:
            ended = _how(done.returncode, done.stderr)
    except subprocess.TimeoutExpired as error:
        out, ended = error.stdout or b"", f"did not return within {limit_seconds:g} seconds"
    begun = ""
    for line in out.decode(errors="replace").splitlines():
        try:
            told = json.loads(line)
        except ValueError:  # cut short
            continue
        if "done" in told:  # whatever happened to it afterwards
            return "", ""
        begun = told.get("begin", "")
        if "end" in told:
            found.answers[told["end"]] = told["answer"]
    return begun, ended or "ended the interpreter"


def _how(code: int, stderr: bytes) -> str:
    """How a process ended, with its last words."""
    last = stderr.decode(errors="replace").strip().rpartition("\n")[2]
    if code < 0:
        name = next((each.name for each in signal.Signals if each == -code), f"signal {-code}")
        ended = f"killed the interpreter ({name})"
    else:
        ended = f"ended the interpreter with exit code {code}"
    return f"{ended}: {shortened(last, 200)}" if last else ended


def _damaged(status: Status) -> list[Check]:
    """The installed packages whose records are damaged."""
    mend = "reinstall that package, or remove the folder"
    return [
        Check("package", f"{shortened(folder)} is damaged ({shortened(why)})", status=status, mend=mend)
        for folder, why in unreadable().items()
    ]


def _torchvision(answer: dict[str, Any], torch: str) -> Check:
    if "error" in answer:
        version = installed_version("torchvision")
        found = f"{version} does not fit torch {torch} ({answer['error']}); facegan does not use it, other tools do"
        return Check("torchvision", found, status="warning", mend=f"run: {install('torch', 'torchvision')}")
    if answer["version"] is None:
        return Check("torchvision", "not installed, nor needed", facts=answer)
    return Check("torchvision", f"{answer['version']}, fits torch", facts=answer)


def _device(name: str, answer: dict[str, Any], precision: str, *, default: bool) -> Check:
    """One device; one that does not even compute in fp32 is wrong when it is the one that facegan takes."""
    works, fails = answer.get("works", []), answer.get("fails", {})
    facts = {**answer, "auto_precision": precision, "default": default}
    if "fp32" not in works:
        why = answer.get("error") or fails.get("fp32", "")
        mend = "install a build of torch for this device" + ("" if name == "cpu" else ", or give --device cpu")
        return Check(
            name, f"does not compute ({why})", status="wrong" if default else "warning", mend=mend, facts=facts
        )
    words = [answer["name"]] if "name" in answer else []
    if "capability" in answer:
        memory = f"{answer['memory_bytes'] / 1e9:.1f} GB of memory ({answer['free_bytes'] / 1e9:.1f} GB free)"
        words += [memory, f"compute capability {answer['capability']}"]
    if "threads" in answer:
        words += [f"{answer['threads']} thread{'' if answer['threads'] == 1 else 's'}"]
    words += [f"computes in {', '.join(works)}", f"precision=auto is {precision}"]
    words += ["device=auto is this"] if default else []
    if precision in fails:
        mend = "give train --precision fp32"
        found = f"{', '.join(words)}, but that fails ({fails[precision]})"
        return Check(name, found, status="wrong" if default else "warning", mend=mend, facts=facts)
    return Check(name, ", ".join(words), facts=facts)


def _reason(answer: dict[str, Any]) -> str:
    return shortened(answer.get("error") or answer.get("reason") or "")


def _is_built_in(owner: Plugin) -> bool:
    return owner.target.startswith("facegan.")


def _broken(name: str, owners: tuple[Plugin, ...], why: str) -> Check:
    if len(owners) > 1:
        return Check(name, why, status="warning", mend="uninstall one of them")
    if _is_built_in(owners[0]):
        return Check(name, f"cannot be loaded ({why})", status="wrong", mend=f"run: {install('facegan')}")
    origin = owners[0].origin
    package = origin.partition(" ")[0]
    mend = f"run: python -m pip install --upgrade {package}; or: python -m pip uninstall {package}"
    return Check(name, f"of {origin} cannot be loaded ({why})", status="warning", mend=mend)
