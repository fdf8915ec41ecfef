"""A reporter that keeps the progress it receives."""

from facegan.reporter import Reporter


class Counted(Reporter):
    """Keeps (done, total) of all progress in `counts`."""

    def __init__(self):
        self.counts = []

    def progress(self, task, done, total, **_):
        self.counts.append((done, total))
