"""`facegan plugins`."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from .console import print_lines
from .options import Json, examples, print_json
from .tables import print_table

if TYPE_CHECKING:
    from ..plugins import Plugin


@examples("""
    $ facegan plugins
    kind          name              from
    command       download          facegan 0.1.0
    ...
    architecture  dcgan             facegan 0.1.0
    ...

    $ facegan plugins --check
    ...
    architecture  dcgan             facegan 0.1.0  z_dim=100, prior='normal', ...
    ...
    """)
def plugins(
    check: Annotated[bool, typer.Option("--check", help="Import every part, and show whether it works.")] = False,
    as_json: Json = False,
) -> None:
    """List every pluggable part and its origin.

    Nothing is imported. With --check, every part is, and shows its settings or why it is unavailable.
    """
    from ..plugins import KINDS, claims, unreadable

    parts = [_describe(owners, check) for kind in KINDS for owners in claims(kind).values()]
    damaged = unreadable()
    if as_json:
        print_json({"plugins": parts, "unreadable": damaged})
        return
    rows = [(part["kind"], part["name"], part["origin"], _summary(part)) for part in parts]
    rows += [("package", "?", folder, f"skipped: its record is damaged ({why})") for folder, why in damaged.items()]
    heads = ("kind", "name", "from", "settings")
    print_table("", heads if check or damaged else heads[:3], rows if check or damaged else [row[:3] for row in rows])
    if not check:
        print_lines("", "facegan plugins --check imports every part, and shows its settings or why it fails")


def _describe(owners: "tuple[Plugin, ...]", check: bool) -> dict[str, Any]:
    from ..plugins import probe

    origin = " and ".join(owner.origin for owner in owners)
    part: dict[str, Any] = {"kind": owners[0].kind, "name": owners[0].name, "origin": origin}
    part |= {"available": None, "reason": None, "settings": None}
    if not check:
        return part
    reason = probe(owners[0])
    if reason is not None:
        return part | {"available": False, "reason": reason}
    fields = getattr(owners[0].load(), "model_fields", {})
    return part | {"available": True, "settings": {field: repr(info.default) for field, info in fields.items()}}


def _summary(part: dict[str, Any]) -> str:
    if part["available"] is None:
        return ""
    if not part["available"]:
        return f"unavailable: {part['reason']}"
    return ", ".join(f"{field}={default}" for field, default in part["settings"].items()) or "-"
