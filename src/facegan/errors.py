"""Errors, each one line: where: what is wrong (what was given); what would be right."""

from .messages import printable


class FaceganError(Exception):
    """Base class of the errors of facegan; the message is one line for the person at the shell.

    `exit_code` is 2 for a user's mistake (a flag, a setting, a missing or wrong file) and 1 otherwise.
    """

    exit_code = 1

    def __init__(self, message: str) -> None:
        """Take the message; unprintable characters in it are escaped, so that no file can control the terminal."""
        super().__init__(printable(message))


class ConfigError(FaceganError):
    """A setting, flag or preset that does not exist or is invalid."""

    exit_code = 2


class DataError(FaceganError):
    """A source of images that is missing, empty, unsafe or too small."""

    exit_code = 2


class SnapshotError(FaceganError):
    """A run folder, snapshot or state that is missing, damaged or foreign."""

    exit_code = 2


class DamagedError(SnapshotError):
    """A snapshot or state whose bytes are not those that were written."""


class WeightsError(FaceganError):
    """Weights of a published network that are missing or differ from the published ones."""

    exit_code = 2


class PluginError(FaceganError):
    """A pluggable part that cannot be loaded, or that two packages claim."""


class TrainingError(FaceganError):
    """A run that cannot go on: a loss that is not finite, or no room on the disk."""


class PeerLostError(TrainingError):
    """Another process of the same run has ended, or cannot be reached any more."""


class PeerFailedError(FaceganError):
    """Another process of the same run has failed and reports the reason itself; `exit_code` is that process's."""

    def __init__(self, exit_code: int) -> None:
        """Take the exit code of the process that failed."""
        self.exit_code = exit_code
        super().__init__("another process of this run has failed and reports the reason")


class DownloadError(FaceganError):
    """A published dataset, or published weights, that could not be fetched or came damaged."""


LostError, ToldError = PeerLostError, PeerFailedError  # their names in version 0.1
