"""Settings of a run that were changed when it was resumed, as changes.jsonl records them."""

import json
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from pydantic import BaseModel, ValidationError

from ..config import RunConfig, flat
from .atomic import json_object, read_regular, write_atomic
from .run_dir import MAX_BYTES, RunDir


class SettingChange(BaseModel, frozen=True):
    """A setting that has another value after a step."""

    step: int
    key: str  # with dots, as `--set` takes it
    before: Any
    after: Any

    def __str__(self) -> str:
        """Return `optimizer.lr_G from 0.0002 to 0.0001`."""
        return f"{self.key} from {json.dumps(self.before)} to {json.dumps(self.after)}"


def compare_settings(before: RunConfig, after: RunConfig, step: int) -> list[SettingChange]:
    """Return the settings that differ; one that a plugin does not have is None."""
    old, new = (flat(each.model_dump(mode="json")) for each in (before, after))
    return [
        SettingChange(step=step, key=key, before=old.get(key), after=new.get(key))
        for key in dict.fromkeys([*new, *old])
        if old.get(key) != new.get(key)
    ]


def read_changes(run: RunDir) -> list[SettingChange]:
    """Return the changes of a run, without invalid lines; none of a file that cannot be read."""
    found = []
    with suppress(OSError):
        for record in map(json_object, read_regular(run.changes, MAX_BYTES).splitlines()):
            with suppress(ValidationError):
                found.append(SettingChange.model_validate(record))
    return found


def record_changes(run: RunDir, step: int, changes: Sequence[SettingChange]) -> None:
    """Replace the changes at a step and after it by these."""
    earlier = [each for each in read_changes(run) if each.step < step]
    if run.changes.exists() or changes:
        lines = [each.model_dump_json() + "\n" for each in (*earlier, *changes)]
        write_atomic(run.changes, "".join(lines).encode())
