"""What can go wrong, in one line each: where, what is wrong (what was given), what would be right."""

from .messages import printable as printable


class FaceganError(Exception):
    """Anything facegan refuses or fails at; the message is one line for the person at the shell.

    `exit_code` is 2 when the person can mend it (a flag, a setting, a missing or wrong file) and 1 otherwise.
    """

    exit_code = 1

    def __init__(self, message: str) -> None:
        """Take the message; what a file has put into it cannot break its line or move a terminal's cursor."""
        super().__init__(printable(message))


class ConfigError(FaceganError):
    """A setting, flag or preset that does not exist or cannot be."""

    exit_code = 2


class DataError(FaceganError):
    """A source of images that is missing, empty, unsafe or too small."""

    exit_code = 2


class SnapshotError(FaceganError):
    """A run folder, snapshot or state that is missing, damaged, or not ours."""

    exit_code = 2


class DamagedError(SnapshotError):
    """A snapshot or state whose bytes are not those that were written."""


class WeightsError(FaceganError):
    """Weights of a published network that are missing, or not those that were published."""

    exit_code = 2


class PluginError(FaceganError):
    """A pluggable part that cannot be loaded, or that two packages claim."""


class TrainingError(FaceganError):
    """A run that cannot go on: a loss that is not finite, or no room on the disk."""


class LostError(TrainingError):
    """Another of the processes that train a run together has ended, or cannot be reached any more."""


class ToldError(FaceganError):
    """A failure of another process that trains the run too, and that tells of it; `exit_code` is its own."""

    def __init__(self, exit_code: int) -> None:
        self.exit_code = exit_code
        super().__init__("another process of this run has failed, and says why")


class DownloadError(FaceganError):
    """A published dataset, or published weights, that could not be fetched or came damaged."""
