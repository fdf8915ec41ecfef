"""Pluggable parts by kind and name: built-in ones and those of installed packages.

A package registers a part by an entry point in one of the groups `facegan.command`, `facegan.architecture`,
`facegan.loss`, `facegan.dataset` or `facegan.metric`; `pip install` is all it takes. Built-in parts are in the same
table and are loaded by the same code. Listing imports nothing (`claims`); `find` and `probe` import a part. An
installed package with damaged metadata is skipped (`unreadable` names it).
"""

import functools
import importlib
import importlib.metadata
import re
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from . import __version__
from .errors import ConfigError, PluginError
from .messages import nearest, one_line, quoted

KINDS = ("command", "architecture", "loss", "dataset", "metric")

BUILT_IN = {
    "command": {
        "download": "facegan.cli.download:download",
        "data": "facegan.cli.data:data",
        "pack": "facegan.cli.pack:pack",
        "cache": "facegan.cli.cache:cache",
        "train": "facegan.cli.train:train",
        "resume": "facegan.cli.resume:resume",
        "runs": "facegan.cli.runs:runs",
        "sample": "facegan.cli.sample:sample",
        "interpolate": "facegan.cli.interpolate:interpolate",
        "arithmetic": "facegan.cli.arithmetic:arithmetic",
        "directions": "facegan.cli.directions:directions",
        "edit": "facegan.cli.edit:edit",
        "project": "facegan.cli.project:project",
        "neighbours": "facegan.cli.neighbours:neighbours",
        "evaluate": "facegan.cli.evaluate:evaluate",
        "whois": "facegan.cli.whois:whois",
        "import": "facegan.cli.import_:import_",
        "timelapse": "facegan.cli.timelapse:timelapse",
        "report": "facegan.cli.report:report",
        "plot": "facegan.cli.plot:plot",
        "presets": "facegan.cli.presets:presets",
        "plugins": "facegan.cli.plugins:plugins",
        "doctor": "facegan.cli.doctor:doctor",
    },
    "architecture": {
        "dcgan": "facegan.networks.dcgan:DCGAN",
        "resnet": "facegan.networks.resnet:ResNet",
    },
    "loss": {
        "nonsaturating": "facegan.losses:NonSaturating",
        "saturating": "facegan.losses:Saturating",
        "relativistic": "facegan.losses:Relativistic",
        "hinge": "facegan.losses:Hinge",
        "least-squares": "facegan.losses:LeastSquares",
        "wasserstein": "facegan.losses:Wasserstein",
    },
    "dataset": {
        "drawn": "facegan.data.drawn:DrawnFaces",
        "celeba": "facegan.data.published:CelebA",
        "lfw": "facegan.data.published:LabeledFaces",
        "ffhq-thumbnails": "facegan.data.published:FFHQThumbnails",
    },
    "metric": {
        "fid": "facegan.evaluation.metrics.fid:FrechetInception",
        "kid": "facegan.evaluation.metrics.kid:KernelInception",
        "is": "facegan.evaluation.metrics.inception_score:InceptionScore",
        "precision": "facegan.evaluation.metrics.prdc:Precision",
        "recall": "facegan.evaluation.metrics.prdc:Recall",
        "density": "facegan.evaluation.metrics.prdc:Density",
        "coverage": "facegan.evaluation.metrics.prdc:Coverage",
        "fd_random": "facegan.evaluation.metrics.fid:FrechetRandom",
        "memorisation": "facegan.evaluation.metrics.memorisation:MemorisationInPixels",
        "attributes": "facegan.evaluation.metrics.attributes:AttributeProportions",
        "swd": "facegan.evaluation.metrics.swd:SlicedWasserstein",
        "ms_ssim": "facegan.evaluation.metrics.ms_ssim:Diversity",
        "kd_random": "facegan.evaluation.metrics.kid:KernelRandom",
        "fd_discriminator": "facegan.evaluation.metrics.fid:FrechetDiscriminator",
        "kd_discriminator": "facegan.evaluation.metrics.kid:KernelDiscriminator",
    },
}

# Built-in parts that are younger than the first plugins: an installed package that has such a name keeps it.
YIELDING = {"architecture": ("resnet",), "loss": ("relativistic", "hinge", "least-squares", "wasserstein")}


@dataclass(frozen=True)
class Plugin:
    """A part and its owner: `target` is `module:attribute`, `origin` the package and its version."""

    kind: str
    name: str
    target: str
    origin: str

    def load(self) -> Any:
        """Import and return the part.

        Raises:
            PluginError: The import failed; the message gives the reason.
        """
        module, _, attribute = self.target.partition(":")
        try:
            return functools.reduce(getattr, attribute.split("."), importlib.import_module(module))
        except (Exception, SystemExit) as error:  # a broken package must not break facegan
            raise PluginError(
                f"{self.kind} '{self.name}': cannot be loaded from {self.origin} "
                f"({type(error).__name__}: {one_line(error)}); update or uninstall that package"
            ) from error


@functools.cache
def claims(kind: str) -> dict[str, tuple[Plugin, ...]]:
    """Return the owners of every name of a kind, built-in names first, installed ones in order; imports nothing."""
    found: dict[str, list[Plugin]] = {
        name: [Plugin(kind, name, target, f"facegan {__version__}")] for name, target in BUILT_IN[kind].items()
    }
    for plugin in sorted(_installed(kind), key=lambda plugin: plugin.name):
        owners = found.setdefault(plugin.name, [])
        if plugin.name in YIELDING.get(kind, ()):
            owners[:] = [owner for owner in owners if owner.target != BUILT_IN[kind].get(plugin.name)]
        if plugin not in owners:
            owners.append(plugin)
    return {name: tuple(owners) for name, owners in found.items()}


def unreadable() -> dict[str, str]:
    """Return the folder of every installed package with unreadable metadata, and why; its parts are not listed."""
    found: dict[str, str] = {}
    for package in importlib.metadata.distributions():
        try:
            list(package.entry_points)
            _name_and_version(package)
        except Exception as error:
            # The standard library has no public name for the path of the metadata.
            folder = str(getattr(package, "_path", package.locate_file("")))
            found.setdefault(folder, f"{type(error).__name__}: {one_line(error)}")
    return found


def names(kind: str) -> list[str]:
    """Return the names of a kind; imports nothing."""
    return list(claims(kind))


def find(kind: str, name: str) -> Any:
    """Load the part of this kind and name.

    Raises:
        ConfigError: There is none of that name; the message gives the nearest.
        PluginError: Two packages claim the name, or it cannot be loaded.
    """
    return claim(kind, name).load()


def claim(kind: str, name: str) -> Plugin:
    """Return the only owner of a name without loading it; raises as `find`."""
    owners = claims(kind).get(name, ())
    if not owners:
        raise ConfigError(f"{kind}: there is no {quoted(name)}; {nearest(name, names(kind))}")
    if len(owners) > 1:
        both = " and ".join(owner.origin for owner in owners)
        raise PluginError(f"{kind} '{name}': claimed by {both}; uninstall one of them")
    return owners[0]


def replaces_built_in(plugin: Plugin) -> bool:
    """Return whether an installed part has taken the name of a built-in one."""
    return plugin.target != BUILT_IN[plugin.kind].get(plugin.name, plugin.target)


def probe(plugin: Plugin) -> str | None:
    """Import a part; return why it is unavailable, in one line, or None."""
    try:
        find(plugin.kind, plugin.name)
    except PluginError as error:
        return one_line(error.__cause__ or error)
    return None


def _installed(kind: str) -> list[Plugin]:
    """Return the parts of a kind in installed packages; of a package found twice on the path, the first counts."""
    found: dict[str, list[Plugin]] = {}
    for package in importlib.metadata.distributions():
        with suppress(Exception):  # damaged metadata can raise anything; `unreadable` reports it
            if points := [point for point in package.entry_points if point.group == f"facegan.{kind}"]:
                name, version = _name_and_version(package)
                plugins = [Plugin(kind, point.name, point.value, f"{name} {version}") for point in points]
                found.setdefault(re.sub(r"[-_.]+", "-", name).lower(), plugins)
    return [plugin for plugins in found.values() for plugin in plugins]


def _name_and_version(package: importlib.metadata.Distribution) -> tuple[str, str]:
    """Return a package's name and version; raises anything if METADATA is damaged."""
    missing = [field for field in ("Name", "Version") if field not in package.metadata]
    if missing:
        raise ValueError(f"its METADATA holds no {' and no '.join(missing)}")
    return package.metadata["Name"], package.metadata["Version"]
